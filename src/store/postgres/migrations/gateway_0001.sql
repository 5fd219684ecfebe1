-- The gateway's store, version 1. Forms and tables are those of the SQLite store.

-- One row per referral: the sender's claim to the id, and where its thread stands. Every operation
-- that appends to a thread locks this row first. Room is left in its page for the moves of the head.
CREATE TABLE referrals (
    ref bigint PRIMARY KEY,
    referral_id bytea NOT NULL CHECK (length(referral_id) = 16),
    sender text NOT NULL,
    head_position integer NOT NULL CHECK (head_position > 0),
    head_digest bytea NOT NULL CHECK (length(head_digest) = 32),
    CONSTRAINT referrals_by_id UNIQUE (referral_id)
) WITH (fillfactor = 70);

-- (ref, version) together with referrals.sender is the idempotency key; it outlives the document.
CREATE TABLE versions (
    ref bigint NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    payload_sha256 bytea NOT NULL CHECK (length(payload_sha256) = 32),
    document bigint,
    request_type text NOT NULL,
    urgency smallint NOT NULL CHECK (urgency BETWEEN 0 AND 3),
    authority text NOT NULL,
    submission bigint NOT NULL,
    accepted bigint NOT NULL,
    recorded_at bigint NOT NULL,
    erased_at bigint,
    erased_why text,
    PRIMARY KEY (ref, version),
    CHECK ((document IS NULL) = (erased_at IS NOT NULL)),
    CHECK ((erased_why IS NULL) = (erased_at IS NULL))
);
-- From a document to its version: what is found under a key has a place.
CREATE UNIQUE INDEX versions_by_document ON versions (document) WHERE document IS NOT NULL;

-- due_at: of a held delivery its next attempt, of a leased one the end of the lease; NULL once
-- nothing more is to be done. So one index finds new, postponed and abandoned work alike.
CREATE TABLE deliveries (
    id bigint PRIMARY KEY,
    ref bigint NOT NULL,
    version integer NOT NULL,
    authority text NOT NULL,
    purpose text NOT NULL,
    urgency smallint NOT NULL CHECK (urgency BETWEEN 0 AND 3),
    state text NOT NULL
        CHECK (state IN ('held', 'leased', 'delivered', 'undeliverable', 'by_hand')),
    due_at bigint,
    attempts integer NOT NULL DEFAULT 0,
    lease_token bytea CHECK (length(lease_token) = 16),
    lease_holder text,
    first_tried_at bigint,
    reason text,
    recorded_at bigint NOT NULL,
    settled_at bigint,
    note bigint NOT NULL,
    delivered bigint,
    recorded bigint,
    UNIQUE (ref, version, authority, purpose),
    CHECK ((due_at IS NOT NULL) = (state IN ('held', 'leased'))),
    CHECK ((lease_token IS NOT NULL) = (state = 'leased')),
    CHECK ((delivered IS NOT NULL) = (state = 'delivered')),
    CHECK ((recorded IS NOT NULL) = (state = 'delivered'))
);
-- The first three columns find what to lease, stepping over authorities that are left alone however
-- much is held for them; the others let counts stay in the index.
CREATE INDEX deliveries_due ON deliveries (urgency, authority, due_at)
    INCLUDE (id, state, recorded_at) WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_undeliverable ON deliveries (id) WHERE state = 'undeliverable';

-- Tokens that the sequencer has not seen, with the parties whose feeds will have them (space between).
CREATE TABLE unsequenced (
    token bigint PRIMARY KEY,
    audience text NOT NULL
);

CREATE TABLE log (
    idx bigint PRIMARY KEY CHECK (idx >= 0),
    token bigint NOT NULL,
    sha256 bytea NOT NULL CHECK (length(sha256) = 32)
);

CREATE TABLE feeds (
    party text NOT NULL,
    position bigint NOT NULL CHECK (position > 0),
    token bigint NOT NULL,
    PRIMARY KEY (party, position)
);

-- Named rights with fencing epochs. A row is never deleted: its epoch must not start again.
CREATE TABLE rights (
    name text PRIMARY KEY,
    holder text NOT NULL,
    epoch bigint NOT NULL,
    expires_at bigint NOT NULL
);

-- These come and go with every referral: their dead rows are cleared away long before the usual fifth
-- of the table.
ALTER TABLE unsequenced SET (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 20000);
ALTER TABLE deliveries SET (autovacuum_vacuum_scale_factor = 0.02);

-- Least privilege: nothing is deleted but what was sequenced or erased, nothing is changed but what
-- moves. Tokens, chains, lists, log and feeds are only added to.
GRANT SELECT ON ALL TABLES IN SCHEMA ecaf TO ecaf_gateway;
GRANT INSERT ON chains, crls, documents, tokens, referrals, versions, deliveries, unsequenced, log,
    feeds, rights, probe, holds, closures TO ecaf_gateway;
GRANT UPDATE ON referrals, deliveries, rights, probe, barriers, closures TO ecaf_gateway;
GRANT UPDATE (key_id, wrapped) ON documents TO ecaf_gateway;
GRANT UPDATE (document, erased_at, erased_why) ON versions TO ecaf_gateway;
GRANT DELETE ON unsequenced, documents, holds TO ecaf_gateway;
GRANT USAGE, SELECT ON SEQUENCE row_numbers TO ecaf_gateway;
GRANT EXECUTE ON FUNCTION synchronous_standbys() TO ecaf_gateway;
