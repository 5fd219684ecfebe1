-- The authority's store, version 1. Forms as in the gateway's.

-- One row per referral, version and purpose: the idempotency key and the line of the inbox.
CREATE TABLE dispatches (
    entry bigint PRIMARY KEY,
    referral_id bytea NOT NULL CHECK (length(referral_id) = 16),
    version integer NOT NULL CHECK (version > 0),
    purpose text NOT NULL,
    sender text NOT NULL,
    request_type text NOT NULL,
    urgency smallint NOT NULL CHECK (urgency BETWEEN 0 AND 3),
    payload_sha256 bytea NOT NULL CHECK (length(payload_sha256) = 32),
    document bigint,
    reference text NOT NULL CONSTRAINT dispatches_by_reference UNIQUE,
    recorded_at bigint NOT NULL,
    received_at bigint NOT NULL,
    erased_at bigint,
    erased_why text,
    CONSTRAINT dispatches_by_key UNIQUE (referral_id, version, purpose),
    CHECK ((document IS NULL) = (erased_at IS NOT NULL)),
    CHECK ((erased_why IS NULL) = (erased_at IS NULL))
);
CREATE UNIQUE INDEX dispatches_by_document ON dispatches (document) WHERE document IS NOT NULL;

-- Those of a dispatch.
CREATE INDEX tokens_by_owner ON tokens (owner);

-- The last number given out per prefix and year.
CREATE TABLE reference_numbers (
    prefix text NOT NULL,
    year integer NOT NULL,
    last bigint NOT NULL,
    PRIMARY KEY (prefix, year)
);

GRANT SELECT ON ALL TABLES IN SCHEMA ecaf TO ecaf_authority;
GRANT INSERT ON chains, crls, documents, tokens, dispatches, reference_numbers, probe, holds,
    closures TO ecaf_authority;
GRANT UPDATE ON reference_numbers, probe, barriers, closures TO ecaf_authority;
GRANT UPDATE (key_id, wrapped) ON documents TO ecaf_authority;
GRANT UPDATE (document, erased_at, erased_why) ON dispatches TO ecaf_authority;
GRANT DELETE ON documents, holds TO ecaf_authority;
GRANT USAGE, SELECT ON SEQUENCE row_numbers TO ecaf_authority;
GRANT EXECUTE ON FUNCTION synchronous_standbys() TO ecaf_authority;
