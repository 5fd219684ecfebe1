//! Tokens that gateways push to an authority.

use rusqlite::{Connection, params};

use super::read::collect;
use super::rows;
use super::transaction::Tx;
use crate::domain::ids::ReferralId;
use crate::store::contract::{Pushed, StoreFault, StoredToken};

/// Keeps one; whether it is new. Crash before the commit: the gateway got no answer and pushes it again.
/// After it: pushed again, it is not new.
pub(super) fn keep(tx: &Tx<'_>, pushed: &Pushed) -> Result<bool, StoreFault> {
    let token = &pushed.token;
    rows::insert_evidence(tx, [token], std::slice::from_ref(&pushed.chain), &pushed.crls)?;
    let crls: Vec<u8> = token.crl_digests.iter().flat_map(|crl| *crl.as_bytes()).collect();
    let new = tx
        .prepare_cached(
            "INSERT INTO pushed (sha256, referral_id, kind, jws, issuer, x5t, crls, recorded_at,
                                 received_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            token.sha256.as_bytes(),
            pushed.referral_id.as_bytes(),
            token.kind.as_str(),
            token.jws,
            token.issuer.to_string(),
            token.x5t.as_bytes(),
            crls,
            pushed.recorded_at.millis(),
            pushed.received_at.millis(),
        ])?;
    Ok(new == 1)
}

/// Those about one referral.
pub(super) fn about(conn: &Connection, id: ReferralId) -> Result<Vec<StoredToken>, StoreFault> {
    let mut find = conn.prepare_cached(
        "SELECT kind, NULL, sha256, jws, issuer, x5t, crls, recorded_at FROM pushed
         WHERE referral_id = ?1 ORDER BY received_at, recorded_at, sha256",
    )?;
    collect(find.query([id.as_bytes()])?, |row| rows::token(row, 0))
}
