//! Tokens that gateways push to an authority.

use super::faults::Trouble;
use super::read::read_all;
use super::rows::{self, Evidence};
use super::session::{Session, Value};
use crate::domain::ids::ReferralId;
use crate::store::contract::{Pushed, StoredToken};

/// Keeps one; whether it is new. Crash before the commit: the gateway got no answer and pushes it again.
/// After it: pushed again, it is not new.
pub(super) async fn keep(session: &Session, pushed: &Pushed) -> Result<bool, Trouble> {
    const INSERT: &str = "
        INSERT INTO pushed (sha256, referral_id, kind, jws, issuer, x5t, crls, recorded_at,
                            received_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
    let token = &pushed.token;
    let mut evidence = Evidence::default();
    evidence.add([token], std::slice::from_ref(&pushed.chain), &pushed.crls)?;
    let crls: Vec<u8> = token.crl_digests.iter().flat_map(|crl| *crl.as_bytes()).collect();
    let (sha256, x5t) = (&token.sha256.as_bytes()[..], &token.x5t.as_bytes()[..]);
    let (id, issuer) = (&pushed.referral_id.as_bytes()[..], token.issuer.to_string());
    let (recorded, received) = (pushed.recorded_at.millis(), pushed.received_at.millis());
    let values: [Value<'_>; 9] = [
        &sha256,
        &id,
        &token.kind.as_str(),
        &token.jws,
        &issuer,
        &x5t,
        &crls,
        &recorded,
        &received,
    ];
    session.begin().await?;
    if !evidence.is_known(session) {
        evidence.keep(session).await?;
    }
    let new = session.execute(INSERT, &values).await?;
    session.commit().await?;
    evidence.committed(session);
    Ok(new == 1)
}

/// Those about one referral.
pub(super) async fn about(session: &Session, id: ReferralId) -> Result<Vec<StoredToken>, Trouble> {
    const FIND: &str = "
        SELECT kind, NULL::integer, sha256, jws, issuer, x5t, crls, recorded_at FROM pushed
        WHERE referral_id = $1 ORDER BY received_at, recorded_at, sha256";
    let id = &id.as_bytes()[..];
    read_all(session.query(FIND, &[&id]).await?, |row| rows::token(row, 0))
}
