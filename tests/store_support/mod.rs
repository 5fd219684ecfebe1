//! Deterministic referrals for tests of stores: everything about number `n` follows from `n`.
//! Tokens are not real JWS: a store keeps bytes and judges nothing. Digests are real.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use ecaf::domain::ids::{Digest, ReferralId};
use ecaf::domain::party::{DfeCode, Organisation, Party};
use ecaf::domain::retention::Period;
use ecaf::domain::time::{DAY, Timestamp};
use ecaf::effects::{SeededEntropy, SystemEntropy};
use ecaf::protocol::hash::sha256;
use ecaf::store::sealing::{Keks, KeyRing, LocalKek, Vault};
use ecaf::store::*;

pub const NOON: Timestamp = Timestamp::from_millis(1_795_262_400_000);

/// The vault of the tests' stores: a ring in memory that is the same in every process, so that children
/// and their parents open each other's documents.
pub fn vault() -> Arc<Vault> {
    static VAULT: LazyLock<Arc<Vault>> = LazyLock::new(|| {
        let entropy = SeededEntropy::new(20_261_121);
        let text = LocalKek::generate(&entropy).unwrap();
        let kek = LocalKek::parse(&text, Box::new(SeededEntropy::new(1))).unwrap();
        let keks = Keks::new(Arc::new(kek), None);
        let kek = keks.find(&keks.ids()).unwrap();
        let until = Period::of(NOON).plus_months(24);
        let ring = KeyRing::create(kek, NOON.plus(-400 * DAY), until, &entropy).unwrap();
        Arc::new(Vault::of_ring(ring, &keks, Arc::new(SystemEntropy::default())).unwrap())
    });
    Arc::clone(&VAULT)
}

pub fn at(ms: i64) -> Timestamp {
    NOON.plus(ms)
}

pub fn school(n: u64) -> Organisation {
    Organisation::School(format!("{}", 900_001 + n).parse().unwrap())
}

pub fn authority(n: u64) -> DfeCode {
    format!("{:03}", 201 + n).parse().unwrap()
}

pub fn referral_id(n: u64) -> ReferralId {
    let hash = sha256(format!("referral {n}").as_bytes());
    ReferralId::from_bytes(hash.as_bytes()[..16].try_into().unwrap())
}

pub fn party(organisation: &Organisation) -> Party {
    Party::organisation("demo.ecaf.example".parse().unwrap(), organisation.clone())
}

pub fn gateway() -> Organisation {
    Organisation::Gateway("london-1".parse().unwrap())
}

pub fn chain(owner: &Organisation) -> SeenChain {
    let leaf = format!("leaf of {owner}").into_bytes();
    let issuer = b"issuing authority".to_vec();
    SeenChain { x5t: sha256(&leaf), certificates: [leaf.into(), issuer.into()].into() }
}

pub fn crl() -> SeenCrl {
    let der = Bytes::from_static(b"a revocation list");
    SeenCrl { sha256: sha256(&der), der }
}

/// About 700 bytes, as a real token has.
pub fn token(kind: TokenKind, issuer: &Organisation, what: &str) -> Token {
    let jws = format!("{}.{what}.{}", kind.as_str(), "s".repeat(640));
    Token {
        kind,
        sha256: sha256(jws.as_bytes()),
        jws,
        issuer: party(issuer),
        x5t: chain(issuer).x5t,
        crl_digests: vec![crl().sha256],
    }
}

pub fn new_token(
    kind: TokenKind,
    issuer: &Organisation,
    what: &str,
    audience: &[Organisation],
) -> NewToken {
    NewToken { token: token(kind, issuer, what), audience: audience.to_vec() }
}

/// About `size` bytes that are unlike those of any other `n`.
pub fn document(n: u64, size: usize) -> Bytes {
    format!("{{\"n\":{n},\"narrative\":\"")
        .bytes()
        .chain(
            (0..size)
                .map(|i| b'a' + ((n as usize).wrapping_mul(31).wrapping_add(i * 7) % 26) as u8),
        )
        .chain(*b"\"}")
        .collect()
}

/// Version 1 of referral `n`, from school `n % 7` to authority `n % 3`.
pub fn acceptance(n: u64) -> Acceptance {
    attempt(n, 0)
}

/// The same submission as [`acceptance`], with the receipt and note of another attempt at it.
pub fn attempt(n: u64, attempt: u64) -> Acceptance {
    let sender = school(n % 7);
    let to = authority(n % 3);
    let reader = Organisation::Authority(to);
    let body = document(n, 5_000);
    let what = format!("{n}.{attempt}");
    Acceptance {
        referral_id: referral_id(n),
        version: 1,
        previous: None,
        after: None,
        request_type: "protection".into(),
        urgency: (n % 4) as u8,
        payload_sha256: sha256(&body),
        document: body,
        submission: new_token(
            TokenKind::Submission,
            &sender,
            &n.to_string(),
            &[sender.clone(), reader.clone()],
        ),
        accepted: new_token(TokenKind::Accepted, &gateway(), &what, std::slice::from_ref(&sender)),
        authority: to,
        deliveries: vec![NewDelivery {
            authority: to,
            purpose: "accountable".into(),
            note: new_token(TokenKind::DispatchNote, &gateway(), &what, &[reader]),
        }],
        chains: vec![chain(&sender), chain(&gateway())],
        crls: vec![crl()],
        recorded_at: at(n as i64),
        wake_at: at(n as i64 + 60_000),
        sender,
    }
}

/// Version `version` of referral `n` on top of `before`.
pub fn next_version(n: u64, version: u32, before: &Acceptance, after: Head) -> Acceptance {
    let body = document(n + 1_000_000 * u64::from(version), 3_000);
    let mut next = attempt(n, 100 + u64::from(version));
    next.version = version;
    next.previous = Some(before.payload_sha256);
    next.after = Some(after);
    next.payload_sha256 = sha256(&body);
    next.document = body;
    next.submission.token =
        token(TokenKind::Submission, &next.sender, &format!("{n} version {version}"));
    next
}

pub fn head_of(accepted: &Acceptance) -> Head {
    let position = accepted.after.map_or(1, |head| head.position + 1);
    Head { position, digest: accepted.accepted.token.sha256 }
}

/// The authority's receipt for a delivery, and our record of it on top of `after`.
pub fn receipt(delivery: &LeasedDelivery, after: Head, now: Timestamp) -> DeliveredTokens {
    let author = Organisation::Authority(delivery.authority);
    let what = format!("{} v{} {}", delivery.referral_id, delivery.version, delivery.purpose);
    let readers = [delivery.sender.clone(), author.clone()];
    DeliveredTokens {
        delivered: new_token(TokenKind::Delivered, &author, &what, &readers[..1]),
        recorded: new_token(
            TokenKind::Recorded,
            &gateway(),
            &format!("{what} at {}", after.position + 1),
            &readers,
        ),
        after,
        chains: vec![chain(&author), chain(&gateway())],
        crls: vec![crl()],
        recorded_at: now,
        wake_at: now.plus(60_000),
    }
}

/// An event of referral `n` on top of `after`, told apart by `what`: of its authority, with a detail.
pub fn event(n: u64, what: &str, after: Head) -> Append {
    let a = acceptance(n);
    let author = Organisation::Authority(a.authority);
    let readers = [a.sender.clone(), author.clone()];
    let detail: Bytes = format!("{{\"event\":\"{what}\",\"of\":{n},\"salt\":\"...\"}}").into();
    Append {
        referral_id: a.referral_id,
        after,
        event: new_token(TokenKind::Event, &author, &format!("{n} {what}"), &readers),
        recorded: recorded(n, what, after),
        detail: Some(Detail { sha256: sha256(&detail), document: detail }),
        holder: None,
        opener: None,
        deliveries: vec![],
        case: None,
        chains: vec![chain(&author), chain(&gateway())],
        crls: vec![crl()],
        recorded_at: at(10_000 + i64::from(after.position)),
        wake_at: None,
    }
}

fn recorded(n: u64, what: &str, after: Head) -> NewToken {
    let a = acceptance(n);
    let readers = [a.sender, Organisation::Authority(a.authority)];
    let what = format!("{n} {what} at {} after {}", after.position + 1, after.digest);
    new_token(TokenKind::Recorded, &gateway(), &what, &readers)
}

/// The same event, signed again by the gateway on top of another head.
pub fn again_after(event: &Append, n: u64, what: &str, after: Head) -> Append {
    let recorded_at = at(10_000 + i64::from(after.position));
    Append { after, recorded: recorded(n, what, after), recorded_at, ..event.clone() }
}

/// A transfer's proposal to `to`: the document is brought there.
pub fn proposal(n: u64, what: &str, to: DfeCode, after: Head) -> Append {
    let mut proposal = event(n, what, after);
    let reader = [Organisation::Authority(to)];
    proposal.deliveries = vec![NewDelivery {
        authority: to,
        purpose: "proposed".into(),
        note: new_token(TokenKind::DispatchNote, &gateway(), &format!("{n} {what}"), &reader),
    }];
    proposal
}

/// An event that begins thread `n`: of its authority, with a detail.
pub fn opening(n: u64, what: &str) -> Append {
    let mut opening = event(n, what, Head::START);
    let holder = acceptance(n).authority;
    (opening.holder, opening.opener) = (Some(holder), Some(Organisation::Authority(holder)));
    opening.wake_at = Some(at(30_000));
    opening
}

pub fn head_after(append: &Append) -> Head {
    Head { position: append.after.position + 1, digest: append.recorded.token.sha256 }
}

pub fn lease_request(now: Timestamp, limit: u32) -> LeaseRequest {
    LeaseRequest {
        now,
        holder: "london-1".into(),
        lease_ms: 30_000,
        limit,
        excluded: vec![],
        only: None,
    }
}

/// A dispatch as the authority receives it for referral `n`.
/// The clocks were looked at as they are due now, while the thread stood at `head`.
pub async fn looked_at(
    store: &dyn GatewayStore,
    id: ReferralId,
    head: Head,
    wake_at: Option<Timestamp>,
) {
    let due_at = store.thread(id).await.unwrap().and_then(|thread| thread.wake_at);
    store.looked_at(id, (head, due_at), wake_at).await.unwrap();
}

pub fn dispatch(n: u64, reference: &str) -> Dispatch {
    let a = acceptance(n);
    let me = Organisation::Authority(a.authority);
    Dispatch {
        key: DispatchKey { referral_id: a.referral_id, version: 1, purpose: "accountable".into() },
        sender: a.sender.clone(),
        request_type: a.request_type,
        urgency: a.urgency,
        payload_sha256: a.payload_sha256,
        document: a.document,
        submission: a.submission.token,
        accepted: Some(a.accepted.token),
        proposal: None,
        note: a.deliveries[0].note.token.clone(),
        delivered: token(TokenKind::Delivered, &me, &format!("{n} {reference}")),
        reference: reference.into(),
        chains: vec![chain(&a.sender), chain(&gateway()), chain(&me)],
        crls: vec![crl()],
        recorded_at: a.recorded_at,
        received_at: a.recorded_at.plus(50),
    }
}

pub async fn assert_sound_gateway(store: &Arc<dyn GatewayStore>) -> CheckReport {
    let report = store.check().await.unwrap();
    assert!(report.is_sound(), "{:#?}", report.problems);
    report
}

pub async fn assert_sound_authority(store: &Arc<dyn AuthorityStore>) -> CheckReport {
    let report = store.check().await.unwrap();
    assert!(report.is_sound(), "{:#?}", report.problems);
    report
}

pub fn digest(text: &str) -> Digest {
    sha256(text.as_bytes())
}
