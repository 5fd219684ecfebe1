-- The gateway's store, version 3: named streams of the feeds.

-- One row per stream: a system of a party that reads its feed. person: the reader if it is not the
-- organisation itself, else empty. done: every position up to here. slot bounds the streams of a party.
CREATE TABLE streams (
    party text NOT NULL,
    person text NOT NULL,
    name text NOT NULL,
    slot smallint NOT NULL CHECK (slot BETWEEN 1 AND 16),
    done bigint NOT NULL CHECK (done >= 0),
    PRIMARY KEY (party, person, name),
    CONSTRAINT streams_by_slot UNIQUE (party, person, slot)
);

-- Single positions beyond that are done.
CREATE TABLE stream_acks (
    party text NOT NULL,
    person text NOT NULL,
    name text NOT NULL,
    position bigint NOT NULL CHECK (position > 1),
    PRIMARY KEY (party, person, name, position)
);

-- Tokens that a reader could not take, with its word for why.
CREATE TABLE stream_errors (
    party text NOT NULL,
    person text NOT NULL,
    name text NOT NULL,
    position bigint NOT NULL CHECK (position > 0),
    error text NOT NULL,
    recorded_at bigint NOT NULL,
    PRIMARY KEY (party, person, name, position)
);

-- Both are written with every poll that acknowledges.
ALTER TABLE streams SET (autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE stream_acks SET (autovacuum_vacuum_scale_factor = 0.02);

GRANT SELECT, INSERT ON streams, stream_acks, stream_errors TO ecaf_gateway;
GRANT UPDATE (done) ON streams TO ecaf_gateway;
GRANT DELETE ON stream_acks TO ecaf_gateway;
