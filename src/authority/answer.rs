//! The whole way of a dispatch: verified, stored, and only then our signed receipt.

use std::sync::Arc;

use crate::domain::party::{Organisation, Party};
use crate::domain::refusal::{Class, Refusal, Rule, Violation};
use crate::domain::time::Timestamp;
use crate::http::Request;
use crate::protocol::jws::Unverified;
use crate::protocol::mailbox::ClaimedDispatch;
use crate::protocol::signing::{Signed, SigningFault, SigningIdentity};
use crate::protocol::tokens::{Audience, Delivered, DispatchNote};
use crate::protocol::trust::{Chain, Purpose};
use crate::store::{
    Dispatch, DispatchKey, ReceiveOutcome, SeenChain, SeenCrl, StoreFault, StoredDispatch, Token,
    TokenKind,
};
use crate::telemetry::metric;

use super::receive::Received;
use super::station::Station;
use super::verify::{Noted, Verified};

/// The same referral, version and purpose was received with other bytes.
pub const OTHER_BYTES: Rule = Rule {
    id: "dispatch.other-bytes",
    title: "this version of this referral was received before with other bytes",
    action: "Bring the very dispatch of the first time; its receipt will come again.",
};

/// A receipt to release.
pub struct Receipt {
    /// The `delivered` token: the same bytes for the same dispatch.
    pub delivered: String,
    /// The chain of its signer, in the form of `Ecaf-Certificates`. A receipt from before a renewal names
    /// the certificate of then.
    pub certificates: String,
    /// Whether this very request brought it.
    pub new: bool,
}

/// Instead of a receipt.
#[derive(Debug)]
pub enum Trouble {
    /// Somebody else's fault.
    Refused(Refusal),
    /// The store's.
    Store(StoreFault),
    /// The key's.
    Signing(SigningFault),
    /// Our own signing certificate would be refused by others, by this rule.
    OwnCertificate(&'static str),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Trouble::Refused(refusal)
    }
}

impl From<StoreFault> for Trouble {
    fn from(fault: StoreFault) -> Self {
        Trouble::Store(fault)
    }
}

impl From<SigningFault> for Trouble {
    fn from(fault: SigningFault) -> Self {
        Trouble::Signing(fault)
    }
}

impl Trouble {
    /// The rule that was broken, or the word for our fault.
    pub fn label(&self) -> &'static str {
        match self {
            Trouble::Refused(refusal) => refusal.rule().map_or("unspecified", |rule| rule.id),
            Trouble::Store(fault) => fault.label(),
            Trouble::Signing(_) => "signing",
            Trouble::OwnCertificate(rule) => rule,
        }
    }
}

/// Receives one dispatch that a gateway brings.
pub async fn receive(station: &Station, request: &Request) -> Result<Receipt, Trouble> {
    let (directory, _) = station.directory.usable(station.now())?;
    let received = Received::take(request, Arc::clone(directory.directory()), &station.cache)?;
    take(station, received).await
}

/// Receives one dispatch that was claimed from `gateway`.
pub async fn collect(
    station: &Station,
    dispatch: &ClaimedDispatch,
    gateway: &Party,
) -> Result<Receipt, Trouble> {
    let (directory, _) = station.directory.usable(station.now())?;
    let directory = Arc::clone(directory.directory());
    take(station, Received::collected(dispatch, gateway, directory, &station.cache)?).await
}

async fn take(station: &Station, received: Received) -> Result<Receipt, Trouble> {
    let noted = Noted::verify(received, station)?;
    let key = DispatchKey {
        referral_id: noted.referral_id,
        version: noted.note.version,
        purpose: purpose_key(&noted.note),
    };
    // A repetition that follows soon costs next to nothing; of any other the storing transaction finds the
    // receipt.
    let asked = station.recent.has(noted.referral_id);
    if asked && let Some(stored) = station.store.received(key.clone()).await? {
        return before(station, &noted, stored).await;
    }
    let taken = match Verified::check(&noted, station) {
        Ok(verified) => store(station, verified, key.clone()).await,
        Err(refusal) => Err(refusal.into()),
    };
    match taken {
        // What was stored had passed: a changed schema or directory, or a key of ours that fails, takes
        // no receipt away.
        Err(trouble) if !asked => match station.store.received(key).await? {
            Some(stored) => before(station, &noted, stored).await,
            None => Err(trouble),
        },
        taken => taken,
    }
}

async fn store(
    station: &Station,
    verified: Verified<'_>,
    key: DispatchKey,
) -> Result<Receipt, Trouble> {
    let now = station.now();
    let (identity, trust) = (station.signing.load_full(), station.trust.store());
    // A receipt that others would refuse must not be stored: it would be repeated for ever.
    let own = station.cache.verify(&trust, identity.chain(), Purpose::Signing, now);
    own.map_err(|refusal| Trouble::OwnCertificate(refusal.0.id))?;
    // A crash after this leaves a number unused, which harms nobody; so does losing a race below.
    let year = now.in_england().0.year();
    let reference = station.store.next_reference(station.reference_prefix.clone(), year).await?;
    let noted = verified.noted;
    let signed = sign(station, noted, &identity, reference.clone(), now)?;
    let received = &noted.received;
    let own = Token {
        kind: TokenKind::Delivered,
        sha256: signed.sha256,
        jws: signed.jws.clone(),
        issuer: identity.party().clone(),
        x5t: identity.x5t(),
        crl_digests: trust.crl_digests(),
    };
    let kept = |kind, jws: &str, token: &crate::protocol::jws::Verified| Token {
        kind,
        sha256: token.digest(),
        jws: jws.to_owned(),
        issuer: token.signer().party().clone(),
        x5t: token.signer().x5t(),
        crl_digests: token.signer().crl_digests().to_vec(),
    };
    let submission_kind = match verified.submission_token.signer().party().organisation {
        Organisation::Gateway(_) => TokenKind::Attested,
        _ => TokenKind::Submission,
    };
    let header = &verified.header;
    let dispatch = Dispatch {
        sender: noted.note.sender.organisation.clone(),
        request_type: header.request_type.as_str().into(),
        urgency: header.urgency.rank(),
        payload_sha256: received.payload_sha256,
        document: received.document.clone(),
        submission: kept(submission_kind, &received.submission, &verified.submission_token),
        accepted: Some(kept(TokenKind::Accepted, &received.accepted, &verified.accepted_token)),
        note: kept(TokenKind::DispatchNote, &received.note, &noted.note_token),
        proposal: match (&received.proposal, &verified.proposal_token) {
            (Some((jws, _)), Some(token)) => Some(kept(TokenKind::Event, jws, token)),
            _ => None,
        },
        delivered: own,
        reference,
        chains: [
            &received.submission_chain,
            &received.note_chain,
            &received.accepted_chain,
            identity.chain(),
        ]
        .into_iter()
        .chain(received.proposal.as_ref().map(|(_, chain)| chain))
        .map(seen_chain)
        .collect(),
        crls: trust
            .crl_digests()
            .into_iter()
            .filter_map(|sha256| {
                let der = trust.loaded_crl(&sha256)?;
                Some(SeenCrl { sha256, der })
            })
            .collect(),
        recorded_at: noted.note.recorded_at,
        received_at: now,
        key,
    };
    // A crash before the commit: the gateway gets no receipt and brings it again. After it: the
    // gateway brings it again and gets the stored receipt.
    match station.store.receive(dispatch).await? {
        ReceiveOutcome::Stored => {
            metrics::counter!(metric::DISPATCHES_STORED).increment(1);
            station.recent.add(noted.referral_id);
            let certificates = identity.chain().to_header();
            Ok(Receipt { delivered: signed.jws, certificates, new: true })
        }
        ReceiveOutcome::Already(stored) => before(station, noted, stored).await,
        ReceiveOutcome::OtherBytes(_) => Err(other_bytes()),
    }
}

/// What makes one dispatch of a version another than the next: its purpose and, for a transfer, the
/// proposal, because after a decline there may be another one.
fn purpose_key(note: &DispatchNote) -> String {
    match &note.transfer {
        Some(transfer) => format!("{} {}", note.purpose.as_str(), transfer.proposal_sha256),
        None => note.purpose.as_str().into(),
    }
}

/// Our receipt for a dispatch that is stored since `stored_at`.
fn sign(
    station: &Station,
    noted: &Noted,
    identity: &SigningIdentity,
    reference: String,
    stored_at: Timestamp,
) -> Result<Signed, SigningFault> {
    let delivered = Delivered {
        version: noted.note.version,
        note_sha256: noted.note_token.digest(),
        payload_sha256: noted.received.payload_sha256,
        reference,
        stored_at,
    };
    let gateway = noted.note_token.signer().party().clone();
    let readers = [noted.note.sender.clone(), gateway].map(Audience::Party).to_vec();
    identity.state(&*station.entropy, station.now(), readers, Some(noted.referral_id), delivered)
}

/// The receipt of the first time. If its certificate has expired or was revoked since, and no gateway
/// has recorded it, none ever could: then the same facts are signed with the present one. The first
/// receipt stays in the inbox.
async fn before(
    station: &Station,
    noted: &Noted,
    stored: StoredDispatch,
) -> Result<Receipt, Trouble> {
    noted.names_the_rest()?;
    let same = stored.note_sha256 == noted.note_token.digest()
        && stored.payload_sha256 == noted.received.payload_sha256;
    if !same {
        return Err(other_bytes());
    }
    station.recent.add(noted.referral_id);
    let (identity, trust) = (station.signing.load_full(), station.trust.store());
    let stands = |chain: &Chain| {
        station.cache.verify(&trust, chain, Purpose::Signing, station.now()).is_ok()
    };
    let x5t = Unverified::parse(&stored.delivered)?.x5t();
    let lapsed = x5t != identity.x5t() && {
        let chain = station.store.chain(x5t).await?.and_then(Chain::new);
        !chain.is_some_and(|chain| stands(&chain)) && stands(identity.chain())
    };
    let delivered = match lapsed {
        true => sign(station, noted, &identity, stored.reference, stored.received_at)?.jws,
        false => stored.delivered,
    };
    let certificates = chain_of(station, &delivered).await?;
    Ok(Receipt { delivered, certificates, new: false })
}

/// The chain of one of our receipts.
async fn chain_of(station: &Station, token: &str) -> Result<String, Trouble> {
    let identity = station.signing.load_full();
    match Unverified::parse(token).ok().map(|t| t.x5t()) {
        Some(x5t) if x5t != identity.x5t() => {
            let chain = station.store.chain(x5t).await?.and_then(Chain::new);
            Ok(chain.map(|c| c.to_header()).unwrap_or_default())
        }
        _ => Ok(identity.chain().to_header()),
    }
}

fn other_bytes() -> Trouble {
    Trouble::Refused(Refusal::new(Class::Conflict, Violation::whole(OTHER_BYTES)))
}

fn seen_chain(chain: &Chain) -> SeenChain {
    SeenChain { x5t: chain.x5t(), certificates: chain.shared() }
}
