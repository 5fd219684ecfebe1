//! Values <-> columns, and what both stores write alike: documents, tokens, chains, revocation lists.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rustls::pki_types::CertificateDer;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::faults::Trouble;
use super::session::{DRAW, Session, Value};
use super::together::{self, Part};
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::{DfeCode, Organisation, Party};
use crate::domain::retention::{Erasure, ErasureReason};
use crate::domain::time::Timestamp;
use crate::store::contract::{
    NewToken, SeenChain, SeenCrl, StoreFault, StoredToken, Token, TokenKind,
};
use crate::store::sealing::{DocumentRow, KeyId, Sealed};

/// Bytes of one digest in a `crls` column.
const DIGEST: usize = 32;

/// Documents to be inserted, column by column.
#[derive(Default)]
pub(super) struct DocumentRows<'a> {
    ids: Vec<i64>,
    keys: Vec<&'a [u8]>,
    wrapped: Vec<&'a [u8]>,
    bodies: Vec<&'a [u8]>,
}

impl<'a> DocumentRows<'a> {
    /// Inserts them all.
    pub const INSERT: Part = Part {
        sql: "INSERT INTO documents (id, key_id, wrapped, body) SELECT * FROM unnest(@)",
        types: &["bigint[]", "bytea[]", "bytea[]", "bytea[]"],
    };

    pub fn push(&mut self, id: i64, sealed: &'a Sealed) {
        self.ids.push(id);
        self.keys.push(sealed.key_id.as_bytes());
        self.wrapped.push(&sealed.wrapped);
        self.bodies.push(&sealed.body);
    }

    /// The parameters of [`DocumentRows::INSERT`].
    pub fn values(&self) -> [Value<'_>; 4] {
        [&self.ids, &self.keys, &self.wrapped, &self.bodies]
    }
}

/// Tokens to be inserted, column by column.
#[derive(Default)]
pub(super) struct TokenRows<'a> {
    ids: Vec<i64>,
    owners: Vec<i64>,
    kinds: Vec<&'static str>,
    positions: Vec<Option<i32>>,
    digests: Vec<&'a [u8]>,
    texts: Vec<&'a str>,
    issuers: Vec<String>,
    leaves: Vec<&'a [u8]>,
    lists: Vec<Vec<u8>>,
    times: Vec<i64>,
}

impl<'a> TokenRows<'a> {
    /// Inserts them all.
    pub const INSERT: Part = Part {
        sql: "INSERT INTO tokens
                  (id, owner, kind, position, sha256, jws, issuer, x5t, crls, recorded_at)
              SELECT * FROM unnest(@)",
        types: &[
            "bigint[]",
            "bigint[]",
            "text[]",
            "integer[]",
            "bytea[]",
            "text[]",
            "text[]",
            "bytea[]",
            "bytea[]",
            "bigint[]",
        ],
    };

    pub fn push(
        &mut self,
        id: i64,
        owner: i64,
        token: &'a Token,
        position: Option<i32>,
        recorded_at: Timestamp,
    ) {
        let mut lists = Vec::with_capacity(token.crl_digests.len() * DIGEST);
        for digest in &token.crl_digests {
            lists.extend_from_slice(digest.as_bytes());
        }
        self.ids.push(id);
        self.owners.push(owner);
        self.kinds.push(token.kind.as_str());
        self.positions.push(position);
        self.digests.push(token.sha256.as_bytes());
        self.texts.push(&token.jws);
        self.issuers.push(token.issuer.to_string());
        self.leaves.push(token.x5t.as_bytes());
        self.lists.push(lists);
        self.times.push(recorded_at.millis());
    }

    /// The parameters of [`TokenRows::INSERT`].
    pub fn values(&self) -> [Value<'_>; 10] {
        let Self { ids, owners, kinds, positions, digests, texts, issuers, leaves, lists, times } =
            self;
        [ids, owners, kinds, positions, digests, texts, issuers, leaves, lists, times]
    }
}

/// Tokens that wait for the sequencer, column by column.
#[derive(Default)]
pub(super) struct UnsequencedRows {
    tokens: Vec<i64>,
    audiences: Vec<String>,
}

impl UnsequencedRows {
    /// Inserts them all.
    pub const INSERT: Part = Part {
        sql: "INSERT INTO unsequenced (token, audience) SELECT * FROM unnest(@)",
        types: &["bigint[]", "text[]"],
    };

    pub fn push(&mut self, token: i64, new: &NewToken) {
        let mut audience = String::new();
        for party in &new.audience {
            if !audience.is_empty() {
                audience.push(' ');
            }
            audience.push_str(&party.to_string());
        }
        self.tokens.push(token);
        self.audiences.push(audience);
    }

    /// The parameters of [`UnsequencedRows::INSERT`].
    pub fn values(&self) -> [Value<'_>; 2] {
        [&self.tokens, &self.audiences]
    }
}

/// Row numbers drawn now: greater than all that were drawn before, by whomever.
pub(super) async fn draw(session: &Session, count: usize) -> Result<Vec<i64>, Trouble> {
    together::numbers(&session.one(DRAW, &[&(count as i64)]).await?, 0)
}

/// Chains and lists beside tokens that are to be stored.
#[derive(Default)]
pub(super) struct Evidence<'a> {
    chains: BTreeMap<Digest, &'a SeenChain>,
    crls: BTreeMap<Digest, &'a SeenCrl>,
    needed_chains: BTreeSet<Digest>,
    needed_crls: BTreeSet<Digest>,
}

impl<'a> Evidence<'a> {
    /// Of tokens with what came along. [`StoreFault::Misuse`] for a chain without certificates.
    pub fn add(
        &mut self,
        tokens: impl IntoIterator<Item = &'a Token>,
        chains: &'a [SeenChain],
        crls: &'a [SeenCrl],
    ) -> Result<(), StoreFault> {
        for chain in chains {
            if chain.certificates.is_empty() {
                return Err(StoreFault::Misuse);
            }
            self.chains.entry(chain.x5t).or_insert(chain);
        }
        for crl in crls {
            self.crls.entry(crl.sha256).or_insert(crl);
        }
        for token in tokens {
            self.needed_chains.insert(token.x5t);
            self.needed_crls.extend(&token.crl_digests);
        }
        Ok(())
    }

    /// Whether the session knows all of it as stored: then there is nothing to do.
    pub fn is_known(&self, session: &Session) -> bool {
        let given = self.chains.keys().chain(self.crls.keys());
        given
            .chain(&self.needed_chains)
            .chain(&self.needed_crls)
            .all(|digest| session.knows(digest))
    }

    /// Keeps what was not seen before, in the open transaction. Every token must have its own among
    /// what is given or kept already: a token that cannot be judged later must not get in. After the
    /// commit, tell [`Evidence::committed`].
    pub async fn keep(&self, session: &Session) -> Result<(), Trouble> {
        let missing = |needed: &BTreeSet<Digest>, given: &dyn Fn(&Digest) -> bool| {
            let missing = needed.iter().filter(|digest| !given(digest) && !session.knows(digest));
            missing.map(|digest| digest.as_bytes().to_vec()).collect::<Vec<_>>()
        };
        let chains = missing(&self.needed_chains, &|digest| self.chains.contains_key(digest));
        let crls = missing(&self.needed_crls, &|digest| self.crls.contains_key(digest));
        if !chains.is_empty() || !crls.is_empty() {
            const COUNT: &str = "SELECT
                (SELECT count(*) FROM chains WHERE place = 0 AND x5t = ANY ($1::bytea[])),
                (SELECT count(*) FROM crls WHERE sha256 = ANY ($2::bytea[]))";
            let row = session.one(COUNT, &[&chains, &crls]).await?;
            if count(&row, 0)? != chains.len() as u64 || count(&row, 1)? != crls.len() as u64 {
                return Err(StoreFault::Misuse.into());
            }
        }
        self.insert_chains(session).await?;
        self.insert_crls(session).await
    }

    /// A chain goes in whole or not at all: the first one seen for a leaf stays. In the order of
    /// digests, so that two transactions do not wait for each other crosswise.
    async fn insert_chains(&self, session: &Session) -> Result<(), Trouble> {
        let (mut leaves, mut places, mut ders) = (Vec::new(), Vec::new(), Vec::new());
        for (x5t, chain) in self.chains.iter().filter(|(x5t, _)| !session.knows(x5t)) {
            for (place, der) in (0i32..).zip(chain.certificates.iter()) {
                leaves.push(&x5t.as_bytes()[..]);
                places.push(place);
                ders.push(der.as_ref());
            }
        }
        if leaves.is_empty() {
            return Ok(());
        }
        const INSERT: &str = "
            WITH given AS (
                SELECT * FROM unnest($1::bytea[], $2::integer[], $3::bytea[]) AS g (x5t, place, der)
            ), leaf AS (
                INSERT INTO chains (x5t, place, der)
                SELECT * FROM given WHERE place = 0 ORDER BY x5t
                ON CONFLICT DO NOTHING RETURNING x5t
            )
            INSERT INTO chains (x5t, place, der)
            SELECT given.* FROM given JOIN leaf USING (x5t) WHERE given.place > 0";
        session.execute(INSERT, &[&leaves, &places, &ders]).await?;
        Ok(())
    }

    async fn insert_crls(&self, session: &Session) -> Result<(), Trouble> {
        let new = self.crls.iter().filter(|(sha256, _)| !session.knows(sha256));
        let (digests, ders): (Vec<&[u8]>, Vec<&[u8]>) =
            new.map(|(sha256, crl)| (&sha256.as_bytes()[..], crl.der.as_ref())).unzip();
        if digests.is_empty() {
            return Ok(());
        }
        const INSERT: &str = "INSERT INTO crls (sha256, der)
            SELECT * FROM unnest($1::bytea[], $2::bytea[]) ON CONFLICT DO NOTHING";
        session.execute(INSERT, &[&digests, &ders]).await?;
        Ok(())
    }

    /// The transaction has committed: the session need not look at these again.
    pub fn committed(&self, session: &Session) {
        let given = self.chains.keys().chain(self.crls.keys());
        session.remember(given.chain(&self.needed_chains).chain(&self.needed_crls).copied());
    }
}

/// A chain, leaf first; `None` if that leaf was never seen.
pub(super) async fn chain(
    session: &Session,
    x5t: Digest,
) -> Result<Option<Vec<CertificateDer<'static>>>, Trouble> {
    const FIND: &str = "SELECT der FROM chains WHERE x5t = $1 ORDER BY place";
    let rows = session.query(FIND, &[&&x5t.as_bytes()[..]]).await?;
    let chain: Vec<_> = rows.iter().map(|row| der(row, 0)).collect::<Result<_, _>>()?;
    Ok(if chain.is_empty() { None } else { Some(chain) })
}

/// A revocation list.
pub(super) async fn crl(session: &Session, sha256: Digest) -> Result<Option<Bytes>, Trouble> {
    const FIND: &str = "SELECT der FROM crls WHERE sha256 = $1";
    let row = session.first(FIND, &[&&sha256.as_bytes()[..]]).await?;
    Ok(row.map(|row| bytes(&row, 0)).transpose()?)
}

/// What a probe writes, in bytes: a little more than a referral with its tokens and index pages. A
/// few bytes would still find room in the log on a disk that has none for a referral.
const PROBE_BYTES: i32 = 128 * 1_024;

/// Commits a row that says nothing but "at this time, writing worked". Crash: nothing depends on it.
pub(super) async fn probe(session: &Session, now: Timestamp) -> Result<(), Trouble> {
    session.begin().await?;
    const WRITE: &str = "INSERT INTO probe (sole, at, room)
        VALUES (1, $1::bigint, convert_to(repeat(md5($1::bigint::text), $2::integer / 32), 'SQL_ASCII'))
        ON CONFLICT (sole) DO UPDATE SET at = excluded.at, room = excluded.room";
    session.execute(WRITE, &[&now.millis(), &PROBE_BYTES]).await?;
    session.commit().await
}

/// Reads a column that holds what the schema says.
pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, StoreFault> {
    row.try_get(column).map_err(|_| StoreFault::Corrupt)
}

/// A small number of ours as its column takes it.
pub(super) fn small(number: u32) -> Result<i32, StoreFault> {
    i32::try_from(number).map_err(|_| StoreFault::Misuse)
}

/// Reads a small number that is never negative.
pub(super) fn small_count(row: &Row, column: usize) -> Result<u32, StoreFault> {
    u32::try_from(get::<i32>(row, column)?).map_err(|_| StoreFault::Corrupt)
}

/// Reads an urgency.
pub(super) fn urgency(row: &Row, column: usize) -> Result<u8, StoreFault> {
    u8::try_from(get::<i16>(row, column)?).map_err(|_| StoreFault::Corrupt)
}

/// Reads a number that is never negative.
pub(super) fn count(row: &Row, column: usize) -> Result<u64, StoreFault> {
    u64::try_from(get::<i64>(row, column)?).map_err(|_| StoreFault::Corrupt)
}

/// A number as a column takes it; what no column can hold stands behind everything.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reads bytes.
pub(super) fn bytes(row: &Row, column: usize) -> Result<Bytes, StoreFault> {
    Ok(Bytes::from(get::<Vec<u8>>(row, column)?))
}

/// Reads a certificate.
pub(super) fn der(row: &Row, column: usize) -> Result<CertificateDer<'static>, StoreFault> {
    Ok(CertificateDer::from(get::<Vec<u8>>(row, column)?))
}

/// Reads a digest.
pub(super) fn digest(row: &Row, column: usize) -> Result<Digest, StoreFault> {
    Digest::from_slice(get(row, column)?).ok_or(StoreFault::Corrupt)
}

/// Reads a digest that may be missing.
pub(super) fn digest_or_none(row: &Row, column: usize) -> Result<Option<Digest>, StoreFault> {
    let bytes: Option<&[u8]> = get(row, column)?;
    bytes.map(|bytes| Digest::from_slice(bytes).ok_or(StoreFault::Corrupt)).transpose()
}

/// Reads a time.
pub(super) fn time(row: &Row, column: usize) -> Result<Timestamp, StoreFault> {
    Ok(Timestamp::from_millis(get(row, column)?))
}

/// Reads a time that may be missing.
pub(super) fn time_or_none(row: &Row, column: usize) -> Result<Option<Timestamp>, StoreFault> {
    Ok(get::<Option<i64>>(row, column)?.map(Timestamp::from_millis))
}

/// Reads `erased_at, erased_why, key_id, wrapped, body` from column `first` on, the last three NULL
/// where there is no row in `documents`.
pub(super) fn document(row: &Row, first: usize) -> Result<DocumentRow, StoreFault> {
    if let Some(erasure) = erasure(row, first)? {
        return Ok(DocumentRow::Erased(erasure));
    }
    let key_id = key_id(row, first + 2)?.ok_or(StoreFault::Corrupt)?;
    let (wrapped, body) = (get(row, first + 3)?, get(row, first + 4)?);
    Ok(DocumentRow::Sealed(Sealed { key_id, wrapped, body }))
}

/// Reads `erased_at, erased_why`.
pub(super) fn erasure(row: &Row, first: usize) -> Result<Option<Erasure>, StoreFault> {
    let Some(at) = time_or_none(row, first)? else { return Ok(None) };
    let why = ErasureReason::from_name(get(row, first + 1)?).ok_or(StoreFault::Corrupt)?;
    Ok(Some(Erasure { at, why }))
}

/// Reads the name of a period key that may be missing.
pub(super) fn key_id(row: &Row, column: usize) -> Result<Option<KeyId>, StoreFault> {
    let bytes: Option<&[u8]> = get(row, column)?;
    let bytes = bytes.map(|bytes| bytes.try_into().map_err(|_| StoreFault::Corrupt));
    Ok(bytes.transpose()?.map(KeyId::from_bytes))
}

/// Reads the id of a referral.
pub(super) fn referral_id(row: &Row, column: usize) -> Result<ReferralId, StoreFault> {
    let bytes: &[u8] = get(row, column)?;
    Ok(ReferralId::from_bytes(bytes.try_into().map_err(|_| StoreFault::Corrupt)?))
}

/// Reads the code of an authority that may be missing.
pub(super) fn dfe_code_or_none(row: &Row, column: usize) -> Result<Option<DfeCode>, StoreFault> {
    let code: Option<&str> = get(row, column)?;
    code.map(|code| code.parse().map_err(|_| StoreFault::Corrupt)).transpose()
}

/// Reads the code of an authority.
pub(super) fn dfe_code(row: &Row, column: usize) -> Result<DfeCode, StoreFault> {
    get::<&str>(row, column)?.parse().map_err(|_| StoreFault::Corrupt)
}

/// Reads the kind of a token.
pub(super) fn kind(row: &Row, column: usize) -> Result<TokenKind, StoreFault> {
    TokenKind::from_name(get(row, column)?).ok_or(StoreFault::Corrupt)
}

/// Reads a party.
pub(super) fn party(row: &Row, column: usize) -> Result<Party, StoreFault> {
    get::<&str>(row, column)?.parse().map_err(|_| StoreFault::Corrupt)
}

/// Reads an organisation from its SPIFFE path.
pub(super) fn organisation(row: &Row, column: usize) -> Result<Organisation, StoreFault> {
    let path: &str = get(row, column)?;
    // Any trust domain does: the store belongs to one scheme, and only the path is kept.
    let party: Party = format!("spiffe://store/{path}").parse().map_err(|_| StoreFault::Corrupt)?;
    Ok(party.organisation)
}

/// The columns that [`token`] reads, of a table or alias `t`.
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
pub(super) fn token(row: &Row, first: usize) -> Result<StoredToken, StoreFault> {
    let crls: &[u8] = get(row, first + 6)?;
    let crl_digests = crls.chunks(DIGEST).map(Digest::from_slice).collect::<Option<_>>();
    let position: Option<i32> = get(row, first + 1)?;
    let position = position.map(|p| u32::try_from(p).map_err(|_| StoreFault::Corrupt));
    Ok(StoredToken {
        token: Token {
            kind: kind(row, first)?,
            sha256: digest(row, first + 2)?,
            jws: get(row, first + 3)?,
            issuer: party(row, first + 4)?,
            x5t: digest(row, first + 5)?,
            crl_digests: crl_digests.ok_or(StoreFault::Corrupt)?,
        },
        position: position.transpose()?,
        recorded_at: time(row, first + 7)?,
    })
}
