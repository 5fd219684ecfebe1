//! Making one version of a referral durable.

use std::sync::LazyLock;

use super::faults::Trouble;
use super::read::{self, ThreadRow};
use super::rows::{self, DocumentRows, Evidence, TokenRows, UnsequencedRows, small};
use super::session::{Session, Value};
use super::together::{NOTHING, Part, together};
use crate::store::contract::{AcceptOutcome, Acceptance, Head, StoreFault, Token};
use crate::store::sealing::Sealed;

/// An acceptance with its document as it will lie in the database.
pub(super) struct SealedAcceptance {
    pub acceptance: Acceptance,
    pub document: Sealed,
}

/// The whole acceptance, alone in its transaction. Crash before the commit: nothing of it exists, the
/// sender has no receipt and sends again. After it: the same submission gets the stored receipt.
pub(super) async fn accept(
    session: &Session,
    sealed: &SealedAcceptance,
) -> Result<AcceptOutcome, Trouble> {
    let a = &sealed.acceptance;
    check_shape(a)?;
    session.begin().await?;
    let owner = match claim(session, a).await? {
        Claim::Granted(owner) => owner,
        Claim::Answer(outcome) => {
            session.roll_back().await?;
            if matches!(outcome, AcceptOutcome::Already(_) | AcceptOutcome::OtherBytes(_)) {
                session.confirm().await?;
            }
            return Ok(outcome);
        }
    };
    let mut evidence = Evidence::default();
    evidence.add(tokens(a), &a.chains, &a.crls)?;
    evidence.keep(session).await?;
    // Drawn after the referral's row was locked: greater than the numbers of its earlier tokens.
    let mut numbers = rows::draw(session, numbers_for(a)).await?.into_iter();
    let mut rows = VersionRows::default();
    rows.push(sealed, owner, &mut numbers)?;
    session.last(&INSERT, &rows.values()).await?;
    evidence.committed(session);
    Ok(AcceptOutcome::Committed)
}

/// What is wrong with an acceptance by itself, whatever is stored.
pub(super) fn check_shape(a: &Acceptance) -> Result<(), StoreFault> {
    let first = a.version == 1;
    let twice = a.deliveries.iter().enumerate().any(|(i, one)| {
        let same = |other: &crate::store::contract::NewDelivery| {
            other.authority == one.authority && other.purpose == one.purpose
        };
        a.deliveries[..i].iter().any(same)
    });
    let sound = a.version > 0
        && a.urgency <= 3
        && a.previous.is_none() == first
        && a.after.is_none() == first
        && !twice;
    if sound { Ok(()) } else { Err(StoreFault::Misuse) }
}

/// Every token of an acceptance.
pub(super) fn tokens(a: &Acceptance) -> impl Iterator<Item = &Token> {
    let notes = a.deliveries.iter().map(|delivery| &delivery.note);
    [&a.submission, &a.accepted].into_iter().chain(notes).map(|new| &new.token)
}

/// The head of its thread once it is accepted.
pub(super) fn head(a: &Acceptance) -> Result<Head, StoreFault> {
    let position = match a.after {
        Some(head) => head.position.checked_add(1).ok_or(StoreFault::Misuse)?,
        None => 1,
    };
    Ok(Head { position, digest: a.accepted.token.sha256 })
}

/// Row numbers that [`VersionRows::push`] takes.
pub(super) fn numbers_for(a: &Acceptance) -> usize {
    3 + 2 * a.deliveries.len()
}

/// The rows of any number of versions, without those of their referrals, column by column.
#[derive(Default)]
pub(super) struct VersionRows<'a> {
    documents: DocumentRows<'a>,
    tokens: TokenRows<'a>,
    unsequenced: UnsequencedRows,
    versions: Versions<'a>,
    deliveries: Deliveries<'a>,
}

#[derive(Default)]
struct Versions<'a> {
    refs: Vec<i64>,
    versions: Vec<i32>,
    payloads: Vec<&'a [u8]>,
    documents: Vec<i64>,
    request_types: Vec<&'a str>,
    urgencies: Vec<i16>,
    authorities: Vec<&'a str>,
    submissions: Vec<i64>,
    accepted: Vec<i64>,
    times: Vec<i64>,
}

#[derive(Default)]
struct Deliveries<'a> {
    ids: Vec<i64>,
    refs: Vec<i64>,
    versions: Vec<i32>,
    authorities: Vec<&'a str>,
    purposes: Vec<&'a str>,
    urgencies: Vec<i16>,
    times: Vec<i64>,
    notes: Vec<i64>,
}

const INSERT_VERSIONS: Part = Part {
    sql: "INSERT INTO versions (ref, version, payload_sha256, document, request_type, urgency,
              authority, submission, accepted, recorded_at)
          SELECT * FROM unnest(@)",
    types: &[
        "bigint[]",
        "integer[]",
        "bytea[]",
        "bigint[]",
        "text[]",
        "smallint[]",
        "text[]",
        "bigint[]",
        "bigint[]",
        "bigint[]",
    ],
};

const INSERT_DELIVERIES: Part = Part {
    sql: "INSERT INTO deliveries
              (id, ref, version, authority, purpose, urgency, state, due_at, recorded_at, note)
          SELECT id, ref, version, authority, purpose, urgency, 'held', at, at, note
          FROM unnest(@) AS d (id, ref, version, authority, purpose, urgency, at, note)",
    types: &[
        "bigint[]",
        "bigint[]",
        "integer[]",
        "text[]",
        "text[]",
        "smallint[]",
        "bigint[]",
        "bigint[]",
    ],
};

/// Inserts the rows of any number of versions.
static INSERT: LazyLock<String> = LazyLock::new(|| together(&VersionRows::INSERTS, &NOTHING));

impl<'a> VersionRows<'a> {
    /// Adds the rows of one version of the referral in row `owner`.
    pub fn push(
        &mut self,
        sealed: &'a SealedAcceptance,
        owner: i64,
        numbers: &mut impl Iterator<Item = i64>,
    ) -> Result<(), StoreFault> {
        let a = &sealed.acceptance;
        let mut next = || numbers.next().ok_or(StoreFault::Misuse);
        let (version, position) = (small(a.version)?, small(head(a)?.position)?);
        let (at, urgency) = (a.recorded_at.millis(), i16::from(a.urgency));
        let document = next()?;
        self.documents.push(document, &sealed.document);
        // In this order: the sequencer follows the numbers.
        let submission = next()?;
        self.tokens.push(submission, owner, &a.submission.token, None, a.recorded_at);
        self.unsequenced.push(submission, &a.submission);
        let accepted = next()?;
        self.tokens.push(accepted, owner, &a.accepted.token, Some(position), a.recorded_at);
        self.unsequenced.push(accepted, &a.accepted);
        let v = &mut self.versions;
        v.refs.push(owner);
        v.versions.push(version);
        v.payloads.push(a.payload_sha256.as_bytes());
        v.documents.push(document);
        v.request_types.push(&a.request_type);
        v.urgencies.push(urgency);
        v.authorities.push(a.authority.as_str());
        v.submissions.push(submission);
        v.accepted.push(accepted);
        v.times.push(at);
        for delivery in &a.deliveries {
            let note = next()?;
            self.tokens.push(note, owner, &delivery.note.token, None, a.recorded_at);
            self.unsequenced.push(note, &delivery.note);
            let d = &mut self.deliveries;
            d.ids.push(next()?);
            d.refs.push(owner);
            d.versions.push(version);
            d.authorities.push(delivery.authority.as_str());
            d.purposes.push(&delivery.purpose);
            d.urgencies.push(urgency);
            d.times.push(at);
            d.notes.push(note);
        }
        Ok(())
    }

    /// What inserts them all, table by table.
    pub const INSERTS: [&'static Part; 5] = [
        &DocumentRows::INSERT,
        &TokenRows::INSERT,
        &UnsequencedRows::INSERT,
        &INSERT_VERSIONS,
        &INSERT_DELIVERIES,
    ];

    /// The parameters of [`VersionRows::INSERTS`].
    pub fn values(&self) -> Vec<Value<'_>> {
        let Versions { refs, versions, payloads, documents, .. } = &self.versions;
        let Versions { request_types, urgencies, authorities, .. } = &self.versions;
        let Versions { submissions, accepted, times, .. } = &self.versions;
        let of_versions: [Value<'_>; 10] = [
            refs,
            versions,
            payloads,
            documents,
            request_types,
            urgencies,
            authorities,
            submissions,
            accepted,
            times,
        ];
        let d = &self.deliveries;
        let of_deliveries: [Value<'_>; 8] = [
            &d.ids,
            &d.refs,
            &d.versions,
            &d.authorities,
            &d.purposes,
            &d.urgencies,
            &d.times,
            &d.notes,
        ];
        let mut all = Vec::with_capacity(40);
        all.extend(self.documents.values());
        all.extend(self.tokens.values());
        all.extend(self.unsequenced.values());
        all.extend(of_versions);
        all.extend(of_deliveries);
        all
    }
}

enum Claim {
    /// The key is free and the referral's row stands, locked, at the new head.
    Granted(i64),
    /// Nothing may be stored; this is the answer.
    Answer(AcceptOutcome),
}

/// Takes the idempotency key, or says who has it. Whoever comes second waits for the first one's
/// commit, and then finds its row.
async fn claim(session: &Session, a: &Acceptance) -> Result<Claim, Trouble> {
    let (head, wake_at) = (head(a)?, a.wake_at.millis());
    if a.version == 1 {
        const INSERT: &str = "INSERT INTO referrals
                (ref, referral_id, sender, head_position, head_digest, wake_at)
            VALUES (nextval('row_numbers'), $1, $2, $3, $4, $5)
            ON CONFLICT (referral_id) DO NOTHING RETURNING ref";
        let (sender, position) = (a.sender.to_string(), small(head.position)?);
        let (id, digest) = (&a.referral_id.as_bytes()[..], &head.digest.as_bytes()[..]);
        let values: [Value<'_>; 5] = [&id, &sender, &position, &digest, &wake_at];
        if let Some(row) = session.first(INSERT, &values).await? {
            return Ok(Claim::Granted(rows::get(&row, 0)?));
        }
    }
    let Some(ThreadRow { owner, sender, head: standing }) =
        read::locked_thread(session, a.referral_id).await?
    else {
        return Ok(Claim::Answer(AcceptOutcome::PreviousMismatch));
    };
    if sender != a.sender {
        return Ok(Claim::Answer(AcceptOutcome::Foreign));
    }
    if let Some(stored) = read::acceptance(session, owner, a.version).await? {
        return Ok(Claim::Answer(if stored.payload_sha256 == a.payload_sha256 {
            AcceptOutcome::Already(stored)
        } else {
            AcceptOutcome::OtherBytes(stored)
        }));
    }
    let Some((latest, digest)) = read::latest_version(session, owner).await? else {
        return Ok(Claim::Answer(AcceptOutcome::Foreign));
    };
    if latest.checked_add(1) != Some(a.version) || a.previous != Some(digest) {
        return Ok(Claim::Answer(AcceptOutcome::PreviousMismatch));
    }
    if a.after != Some(standing) {
        return Ok(Claim::Answer(AcceptOutcome::HeadMoved(standing)));
    }
    const MOVE: &str = "UPDATE referrals SET head_position = $2, head_digest = $3,
             wake_at = least(wake_at, $4)
         WHERE ref = $1";
    let (position, digest) = (small(head.position)?, &head.digest.as_bytes()[..]);
    match session.execute(MOVE, &[&owner, &position, &digest, &wake_at]).await? {
        1 => Ok(Claim::Granted(owner)),
        _ => Err(StoreFault::Corrupt.into()),
    }
}
