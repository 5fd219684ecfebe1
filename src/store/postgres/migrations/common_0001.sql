-- What gateway and authority keep in the same form, version 1. The forms of values are those of the
-- SQLite store: milliseconds since 1970 in UTC, digests in 32 bytes. DATA_MODEL.md walks through it.
--
-- There are no foreign keys: they would look up every row of every referral once more, and the roles
-- that serve cannot delete what others refer to. `ecaf store check` looks for rows without their like.

-- Row numbers of all tables. Never cached by a session: a later token of a referral must have a
-- greater number than an earlier one, whichever gateway stores it.
CREATE SEQUENCE row_numbers AS bigint CACHE 1;

-- Counts promotions of a replica to primary. A primary with a lower number than one that was seen
-- before is an old one that came back, and is refused.
CREATE TABLE epoch (
    sole smallint PRIMARY KEY CHECK (sole = 1),
    epoch bigint NOT NULL
);
INSERT INTO epoch (sole, epoch) VALUES (1, 1);

-- Written so that a commit of our own says that everything found before it is as durable.
CREATE TABLE barriers (
    slot smallint PRIMARY KEY,
    passed bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO barriers (slot, passed) SELECT slot, 0 FROM generate_series(0, 15) slot;

-- One row per certificate of a chain, leaf at place 0; the first chain seen for a leaf stays.
CREATE TABLE chains (
    x5t bytea NOT NULL CHECK (length(x5t) = 32),
    place integer NOT NULL,
    der bytea NOT NULL,
    PRIMARY KEY (x5t, place)
);

CREATE TABLE crls (
    sha256 bytea PRIMARY KEY CHECK (length(sha256) = 32),
    der bytea NOT NULL
);

-- Written to prove that a commit of the size of a referral is possible.
CREATE TABLE probe (
    sole smallint PRIMARY KEY CHECK (sole = 1),
    at bigint NOT NULL,
    room bytea NOT NULL
);
ALTER TABLE probe ALTER COLUMN room SET STORAGE EXTERNAL;

-- Ciphertext, alone in its row, so that it can be erased alone. key_id names the period key under which
-- the document's own key is wrapped; see src/store/sealing/form.rs. EXTERNAL: ciphertext does not
-- compress, and trying costs a tenth of an insert.
CREATE TABLE documents (
    id bigint PRIMARY KEY,
    key_id bytea NOT NULL CHECK (length(key_id) = 8),
    wrapped bytea NOT NULL CHECK (length(wrapped) = 60),
    body bytea NOT NULL
);
ALTER TABLE documents ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX documents_by_key ON documents (key_id, id);

-- What keeps a referral's documents beyond their period, and what lets them go at its end.
CREATE TABLE holds (
    referral_id bytea NOT NULL CHECK (length(referral_id) = 16),
    code text NOT NULL,
    placed_at bigint NOT NULL,
    PRIMARY KEY (referral_id, code)
);
CREATE TABLE closures (
    referral_id bytea PRIMARY KEY CHECK (length(referral_id) = 16),
    closed_at bigint NOT NULL
);

-- Tokens are kept for ever. A position is given to 'accepted' and 'recorded' alone.
CREATE TABLE tokens (
    id bigint PRIMARY KEY,
    owner bigint NOT NULL,
    kind text NOT NULL,
    position integer,
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    jws text NOT NULL,
    issuer text NOT NULL,
    x5t bytea NOT NULL CHECK (length(x5t) = 32),
    crls bytea NOT NULL CHECK (length(crls) % 32 = 0),
    recorded_at bigint NOT NULL
);

-- The replicas whose confirmation a commit waits for, now. The owner may look into
-- pg_stat_replication (roles.sql); the roles that serve learn no more than this number.
CREATE FUNCTION synchronous_standbys() RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN (SELECT count(*) FROM pg_stat_replication
            WHERE state = 'streaming' AND sync_state IN ('sync', 'quorum'));
REVOKE ALL ON FUNCTION synchronous_standbys() FROM PUBLIC;
