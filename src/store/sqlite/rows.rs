//! Values <-> columns, and what both stores write alike: tokens, chains, revocation lists.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};
use rustls::pki_types::CertificateDer;

use super::transaction::{Evidence, Tx};
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::{DfeCode, Organisation, Party};
use crate::domain::retention::{Erasure, ErasureReason};
use crate::domain::time::Timestamp;
use crate::store::contract::{SeenChain, SeenCrl, StoreFault, StoredToken, Token, TokenKind};
use crate::store::sealing::{DocumentRow, KeyId, Sealed};

/// Digests of one `crls` column.
const DIGEST: usize = 32;

/// Inserts a token of `owner` (a referral or a dispatch) and returns its row.
pub(super) fn insert_token(
    tx: &Tx<'_>,
    owner: i64,
    token: &Token,
    position: Option<u32>,
    recorded_at: Timestamp,
) -> Result<i64, StoreFault> {
    let mut crls = Vec::with_capacity(token.crl_digests.len() * DIGEST);
    for digest in &token.crl_digests {
        crls.extend_from_slice(digest.as_bytes());
    }
    tx.insert(
        "INSERT INTO tokens (owner, kind, position, sha256, jws, issuer, x5t, crls, recorded_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            owner,
            token.kind.as_str(),
            position,
            token.sha256.as_bytes(),
            token.jws,
            token.issuer.to_string(),
            token.x5t.as_bytes(),
            crls,
            recorded_at.millis(),
        ],
    )
}

/// The columns that [`token`] reads, of a table or alias.
macro_rules! token_columns {
    ($t:literal) => {
        concat!(
            $t,
            ".kind, ",
            $t,
            ".position, ",
            $t,
            ".sha256, ",
            $t,
            ".jws, ",
            $t,
            ".issuer, ",
            $t,
            ".x5t, ",
            $t,
            ".crls, ",
            $t,
            ".recorded_at"
        )
    };
}
pub(super) use token_columns;

/// Columns of one token.
pub(super) const TOKEN_COLUMNS: usize = 8;

/// Reads [`token_columns`] from column `first` on.
pub(super) fn token(row: &Row<'_>, first: usize) -> Result<StoredToken, StoreFault> {
    let crls: Vec<u8> = row.get(first + 6)?;
    let crl_digests = crls.chunks(DIGEST).map(Digest::from_slice).collect::<Option<_>>();
    Ok(StoredToken {
        token: Token {
            kind: kind(row, first)?,
            sha256: digest(row, first + 2)?,
            jws: row.get(first + 3)?,
            issuer: party(row, first + 4)?,
            x5t: digest(row, first + 5)?,
            crl_digests: crl_digests.ok_or(StoreFault::Corrupt)?,
        },
        position: row.get(first + 1)?,
        recorded_at: time(row, first + 7)?,
    })
}

/// Keeps chains and lists that were not seen before. Every token must have its own among them or
/// among those kept already: a token that cannot be judged later must not get in.
pub(super) fn insert_evidence<'a>(
    tx: &Tx<'_>,
    tokens: impl IntoIterator<Item = &'a Token>,
    chains: &[SeenChain],
    crls: &[SeenCrl],
) -> Result<(), StoreFault> {
    for token in tokens {
        let given = chains.iter().any(|chain| chain.x5t == token.x5t);
        if !given && !tx.keeps(Evidence::Chain(token.x5t)) && chain(tx, token.x5t)?.is_none() {
            return Err(StoreFault::Misuse);
        }
        for digest in &token.crl_digests {
            let given = crls.iter().any(|crl| crl.sha256 == *digest);
            if !given && !tx.keeps(Evidence::Crl(*digest)) && crl(tx, *digest)?.is_none() {
                return Err(StoreFault::Misuse);
            }
        }
    }
    for chain in chains {
        if chain.certificates.is_empty() {
            return Err(StoreFault::Misuse);
        }
        let evidence = Evidence::Chain(chain.x5t);
        if tx.keeps(evidence) {
            continue;
        }
        tx.has_kept(evidence);
        let mut seen = tx.prepare_cached("SELECT 1 FROM chains WHERE x5t = ?1 AND place = 0")?;
        if seen.exists([chain.x5t.as_bytes()])? {
            continue;
        }
        let mut insert =
            tx.prepare_cached("INSERT INTO chains (x5t, place, der) VALUES (?1, ?2, ?3)")?;
        for (place, der) in chain.certificates.iter().enumerate() {
            insert.execute(params![chain.x5t.as_bytes(), place as i64, der.as_ref()])?;
        }
    }
    for crl in crls {
        let evidence = Evidence::Crl(crl.sha256);
        if tx.keeps(evidence) {
            continue;
        }
        tx.has_kept(evidence);
        let mut seen = tx.prepare_cached("SELECT 1 FROM crls WHERE sha256 = ?1")?;
        if !seen.exists([crl.sha256.as_bytes()])? {
            tx.prepare_cached("INSERT INTO crls (sha256, der) VALUES (?1, ?2)")?
                .execute(params![crl.sha256.as_bytes(), crl.der.as_ref()])?;
        }
    }
    Ok(())
}

/// Stores a sealed document and returns its row.
pub(super) fn insert_document(tx: &Tx<'_>, sealed: &Sealed) -> Result<i64, StoreFault> {
    tx.insert(
        "INSERT INTO documents (key_id, wrapped, body) VALUES (?1, ?2, ?3)",
        params![sealed.key_id.as_bytes(), sealed.wrapped, sealed.body],
    )
}

/// Reads `erased_at, erased_why, key_id, wrapped, body` from column `first` on, the last three NULL
/// where there is no row in `documents`.
pub(super) fn document(row: &Row<'_>, first: usize) -> Result<DocumentRow, StoreFault> {
    if let Some(erasure) = erasure(row, first)? {
        return Ok(DocumentRow::Erased(erasure));
    }
    let key_id = key_id(row, first + 2)?.ok_or(StoreFault::Corrupt)?;
    let (wrapped, body) = (row.get(first + 3)?, row.get(first + 4)?);
    Ok(DocumentRow::Sealed(Sealed { key_id, wrapped, body }))
}

/// Reads `erased_at, erased_why`.
pub(super) fn erasure(row: &Row<'_>, first: usize) -> Result<Option<Erasure>, StoreFault> {
    let Some(at) = time_or_none(row, first)? else { return Ok(None) };
    let why = row.get_ref(first + 1)?.as_str().map_err(|_| StoreFault::Corrupt)?;
    let why = ErasureReason::from_name(why).ok_or(StoreFault::Corrupt)?;
    Ok(Some(Erasure { at, why }))
}

/// Reads the name of a period key that may be missing.
pub(super) fn key_id(row: &Row<'_>, column: usize) -> Result<Option<KeyId>, StoreFault> {
    Ok(row.get::<_, Option<[u8; 8]>>(column)?.map(KeyId::from_bytes))
}

/// A chain, leaf first; `None` if that leaf was never seen.
pub(super) fn chain(
    conn: &Connection,
    x5t: Digest,
) -> Result<Option<Vec<CertificateDer<'static>>>, StoreFault> {
    let mut find = conn.prepare_cached("SELECT der FROM chains WHERE x5t = ?1 ORDER BY place")?;
    let found = find.query_map([x5t.as_bytes()], |row| row.get(0).map(der))?;
    let chain = found.collect::<Result<Vec<_>, _>>()?;
    Ok(if chain.is_empty() { None } else { Some(chain) })
}

fn der(bytes: Vec<u8>) -> CertificateDer<'static> {
    CertificateDer::from(bytes)
}

/// A revocation list.
pub(super) fn crl(conn: &Connection, sha256: Digest) -> Result<Option<Bytes>, StoreFault> {
    let mut find = conn.prepare_cached("SELECT der FROM crls WHERE sha256 = ?1")?;
    let found = find.query_row([sha256.as_bytes()], |row| row.get::<_, Vec<u8>>(0)).optional()?;
    Ok(found.map(Bytes::from))
}

/// What a probe writes, in bytes: a little more than a referral with its tokens and index pages. A
/// few bytes would still find room in the log on a disk that has none for a referral.
const PROBE_BYTES: i64 = 128 * 1_024;

/// Commits a row that says nothing but "at this time, writing worked". Random, because SQLite does
/// not write pages again whose bytes stay the same.
pub(super) fn probe(conn: &Connection, now: Timestamp) -> Result<(), StoreFault> {
    conn.prepare_cached(
        "INSERT INTO probe (only, at, room) VALUES (1, ?1, randomblob(?2))
         ON CONFLICT DO UPDATE SET at = excluded.at, room = excluded.room",
    )?
    .execute([now.millis(), PROBE_BYTES])?;
    Ok(())
}

/// Reads a number that is never negative.
pub(super) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// A number as a column takes it; what no column can hold stands behind everything.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reads a digest.
pub(super) fn digest(row: &Row<'_>, column: usize) -> Result<Digest, StoreFault> {
    Ok(Digest::from_bytes(row.get(column)?))
}

/// Reads a digest that may be missing.
pub(super) fn digest_or_none(row: &Row<'_>, column: usize) -> Result<Option<Digest>, StoreFault> {
    Ok(row.get::<_, Option<[u8; 32]>>(column)?.map(Digest::from_bytes))
}

/// Reads a time.
pub(super) fn time(row: &Row<'_>, column: usize) -> Result<Timestamp, StoreFault> {
    Ok(Timestamp::from_millis(row.get(column)?))
}

/// Reads a time that may be missing.
pub(super) fn time_or_none(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>, StoreFault> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis))
}

/// Reads the id of a referral.
pub(super) fn referral_id(row: &Row<'_>, column: usize) -> Result<ReferralId, StoreFault> {
    Ok(ReferralId::from_bytes(row.get(column)?))
}

/// Reads the code of an authority.
pub(super) fn dfe_code(row: &Row<'_>, column: usize) -> Result<DfeCode, StoreFault> {
    row.get_ref(column)?
        .as_str()
        .map_err(|_| StoreFault::Corrupt)?
        .parse()
        .map_err(|_| StoreFault::Corrupt)
}

/// Reads the code of an authority that may be missing.
pub(super) fn dfe_code_or_none(
    row: &Row<'_>,
    column: usize,
) -> Result<Option<DfeCode>, StoreFault> {
    let code: Option<String> = row.get(column)?;
    code.map(|code| code.parse().map_err(|_| StoreFault::Corrupt)).transpose()
}

/// Reads the kind of a token.
pub(super) fn kind(row: &Row<'_>, column: usize) -> Result<TokenKind, StoreFault> {
    let name = row.get_ref(column)?.as_str().map_err(|_| StoreFault::Corrupt)?;
    TokenKind::from_name(name).ok_or(StoreFault::Corrupt)
}

/// Reads a party.
pub(super) fn party(row: &Row<'_>, column: usize) -> Result<Party, StoreFault> {
    row.get_ref(column)?
        .as_str()
        .map_err(|_| StoreFault::Corrupt)?
        .parse()
        .map_err(|_| StoreFault::Corrupt)
}

/// Reads an organisation from its SPIFFE path.
pub(super) fn organisation(row: &Row<'_>, column: usize) -> Result<Organisation, StoreFault> {
    let path = row.get_ref(column)?.as_str().map_err(|_| StoreFault::Corrupt)?;
    // Any trust domain does: the store belongs to one scheme, and only the path is kept.
    let party: Party = format!("spiffe://store/{path}").parse().map_err(|_| StoreFault::Corrupt)?;
    Ok(party.organisation)
}
