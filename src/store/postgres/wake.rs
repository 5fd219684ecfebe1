//! When the clocks of a referral are to be looked at next.

use super::faults::Trouble;
use super::read::read_all;
use super::rows::{self, small};
use super::session::Session;
use crate::domain::ids::ReferralId;
use crate::domain::time::Timestamp;
use crate::store::contract::Head;

/// Referrals whose clocks are to be looked at.
pub(super) async fn due(
    session: &Session,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<ReferralId>, Trouble> {
    let (now, limit) = (now.millis(), i64::from(limit));
    read_all(session.query(DUE, &[&now, &limit]).await?, |row| rows::referral_id(row, 0))
}

const DUE: &str = "SELECT referral_id FROM referrals WHERE wake_at <= $1 ORDER BY wake_at LIMIT $2";

/// The next time to look, if the thread still stands there and nothing else made it due. Lost in a crash: it is
/// looked at again.
pub(super) async fn looked_at(
    session: &Session,
    id: ReferralId,
    (head, due_at): (Head, Option<Timestamp>),
    wake_at: Option<Timestamp>,
) -> Result<(), Trouble> {
    const SET: &str = "UPDATE referrals SET wake_at = $4
        WHERE referral_id = $1 AND head_position = $2 AND head_digest = $3
          AND wake_at IS NOT DISTINCT FROM $5";
    let (id, digest) = (&id.as_bytes()[..], &head.digest.as_bytes()[..]);
    let (position, wake_at) = (small(head.position)?, wake_at.map(Timestamp::millis));
    let due_at = due_at.map(Timestamp::millis);
    session.execute(SET, &[&id, &position, &digest, &wake_at, &due_at]).await?;
    Ok(())
}
