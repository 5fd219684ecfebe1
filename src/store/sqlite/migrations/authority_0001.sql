-- The authority's store, version 1. Forms as in the gateway's.

-- One row per referral, version and purpose: the idempotency key and the line of the inbox.
CREATE TABLE dispatches (
    entry INTEGER PRIMARY KEY,
    referral_id BLOB NOT NULL CHECK (length(referral_id) = 16),
    version INTEGER NOT NULL CHECK (version > 0),
    purpose TEXT NOT NULL,
    sender TEXT NOT NULL,
    request_type TEXT NOT NULL,
    urgency INTEGER NOT NULL CHECK (urgency BETWEEN 0 AND 3),
    payload_sha256 BLOB NOT NULL CHECK (length(payload_sha256) = 32),
    document INTEGER REFERENCES documents (id),
    reference TEXT NOT NULL UNIQUE,
    recorded_at INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    erased_at INTEGER,
    erased_why TEXT,
    UNIQUE (referral_id, version, purpose),
    CHECK ((document IS NULL) = (erased_at IS NOT NULL)),
    CHECK ((erased_why IS NULL) = (erased_at IS NULL))
) STRICT;
CREATE UNIQUE INDEX dispatches_by_document ON dispatches (document) WHERE document IS NOT NULL;

CREATE TABLE tokens (
    id INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL REFERENCES dispatches (entry),
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

-- The last number given out per prefix and year.
CREATE TABLE reference_numbers (
    prefix TEXT NOT NULL,
    year INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (prefix, year)
) STRICT, WITHOUT ROWID;
