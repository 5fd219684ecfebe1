-- The gateway's store, version 3: named streams of the feeds.

-- One row per stream: a system of a party that reads its feed. person: the reader if it is not the
-- organisation itself, else empty. done: every position up to here. slot bounds the streams of a party.
CREATE TABLE streams (
    party TEXT NOT NULL,
    person TEXT NOT NULL,
    name TEXT NOT NULL,
    slot INTEGER NOT NULL CHECK (slot BETWEEN 1 AND 16),
    done INTEGER NOT NULL CHECK (done >= 0),
    PRIMARY KEY (party, person, name),
    UNIQUE (party, person, slot)
) STRICT, WITHOUT ROWID;

-- Single positions beyond that are done.
CREATE TABLE stream_acks (
    party TEXT NOT NULL,
    person TEXT NOT NULL,
    name TEXT NOT NULL,
    position INTEGER NOT NULL CHECK (position > 1),
    PRIMARY KEY (party, person, name, position),
    FOREIGN KEY (party, person, name) REFERENCES streams (party, person, name)
) STRICT, WITHOUT ROWID;

-- Tokens that a reader could not take, with its word for why.
CREATE TABLE stream_errors (
    party TEXT NOT NULL,
    person TEXT NOT NULL,
    name TEXT NOT NULL,
    position INTEGER NOT NULL CHECK (position > 0),
    error TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (party, person, name, position),
    FOREIGN KEY (party, person, name) REFERENCES streams (party, person, name)
) STRICT, WITHOUT ROWID;
