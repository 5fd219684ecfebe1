-- The gateway's store, version 1. Times are milliseconds since 1970 in UTC, digests are SHA-256 in
-- 32 bytes, organisations are SPIFFE paths ('school/900001'). DATA_MODEL.md walks through it.

-- One row per referral: the sender's claim to the id, and where its thread stands.
CREATE TABLE referrals (
    ref INTEGER PRIMARY KEY,
    referral_id BLOB NOT NULL UNIQUE CHECK (length(referral_id) = 16),
    sender TEXT NOT NULL,
    head_position INTEGER NOT NULL CHECK (head_position > 0),
    head_digest BLOB NOT NULL CHECK (length(head_digest) = 32)
) STRICT;

-- Tokens are kept for ever. A position is given to 'accepted' and 'recorded' alone.
CREATE TABLE tokens (
    id INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL REFERENCES referrals (ref),
    kind TEXT NOT NULL,
    position INTEGER,
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
    jws TEXT NOT NULL,
    issuer TEXT NOT NULL,
    x5t BLOB NOT NULL CHECK (length(x5t) = 32),
    crls BLOB NOT NULL CHECK (length(crls) % 32 = 0),
    recorded_at INTEGER NOT NULL
) STRICT;
CREATE INDEX tokens_by_owner ON tokens (owner);

-- (ref, version) together with referrals.sender is the idempotency key; it outlives the document.
CREATE TABLE versions (
    ref INTEGER NOT NULL REFERENCES referrals (ref),
    version INTEGER NOT NULL CHECK (version > 0),
    payload_sha256 BLOB NOT NULL CHECK (length(payload_sha256) = 32),
    document INTEGER REFERENCES documents (id),
    request_type TEXT NOT NULL,
    urgency INTEGER NOT NULL CHECK (urgency BETWEEN 0 AND 3),
    authority TEXT NOT NULL,
    submission INTEGER NOT NULL REFERENCES tokens (id),
    accepted INTEGER NOT NULL REFERENCES tokens (id),
    recorded_at INTEGER NOT NULL,
    erased_at INTEGER,
    erased_why TEXT,
    PRIMARY KEY (ref, version),
    CHECK ((document IS NULL) = (erased_at IS NOT NULL)),
    CHECK ((erased_why IS NULL) = (erased_at IS NULL))
) STRICT, WITHOUT ROWID;
-- From a document to its version: what is found under a key has a place.
CREATE UNIQUE INDEX versions_by_document ON versions (document) WHERE document IS NOT NULL;

-- due_at: of a held delivery its next attempt, of a leased one the end of the lease; NULL once
-- nothing more is to be done. So one index finds new, postponed and abandoned work alike.
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    ref INTEGER NOT NULL,
    version INTEGER NOT NULL,
    authority TEXT NOT NULL,
    purpose TEXT NOT NULL,
    urgency INTEGER NOT NULL CHECK (urgency BETWEEN 0 AND 3),
    state TEXT NOT NULL
        CHECK (state IN ('held', 'leased', 'delivered', 'undeliverable', 'by_hand')),
    due_at INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    lease_token BLOB CHECK (length(lease_token) = 16),
    lease_holder TEXT,
    first_tried_at INTEGER,
    reason TEXT,
    recorded_at INTEGER NOT NULL,
    settled_at INTEGER,
    note INTEGER NOT NULL REFERENCES tokens (id),
    delivered INTEGER REFERENCES tokens (id),
    recorded INTEGER REFERENCES tokens (id),
    UNIQUE (ref, version, authority, purpose),
    FOREIGN KEY (ref, version) REFERENCES versions (ref, version),
    CHECK ((due_at IS NOT NULL) = (state IN ('held', 'leased'))),
    CHECK ((lease_token IS NOT NULL) = (state = 'leased')),
    CHECK ((delivered IS NOT NULL) = (state = 'delivered')),
    CHECK ((recorded IS NOT NULL) = (state = 'delivered'))
) STRICT;
-- The first three columns find what to lease, stepping over authorities that are left alone however
-- much is held for them; the others let counts stay in the index.
CREATE INDEX deliveries_due ON deliveries (urgency, authority, due_at, state, recorded_at)
    WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_undeliverable ON deliveries (id) WHERE state = 'undeliverable';

-- Tokens that the sequencer has not seen, with the parties whose feeds will have them (space between).
CREATE TABLE unsequenced (
    token INTEGER PRIMARY KEY REFERENCES tokens (id),
    audience TEXT NOT NULL
) STRICT;

CREATE TABLE log (
    idx INTEGER PRIMARY KEY CHECK (idx >= 0),
    token INTEGER NOT NULL REFERENCES tokens (id),
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32)
) STRICT;

CREATE TABLE feeds (
    party TEXT NOT NULL,
    position INTEGER NOT NULL CHECK (position > 0),
    token INTEGER NOT NULL REFERENCES tokens (id),
    PRIMARY KEY (party, position)
) STRICT, WITHOUT ROWID;

-- Named rights with fencing epochs. A row is never deleted: its epoch must not start again.
CREATE TABLE rights (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
