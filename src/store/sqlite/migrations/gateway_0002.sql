-- The gateway's store, version 2: events of a referral's thread, and who holds it after transfers.

-- NULL until a transfer is accepted: then the authority that version 1 was routed to.
ALTER TABLE referrals ADD COLUMN holder TEXT;
-- When to look at its clocks again; NULL if none of them can change any more. What was accepted before
-- this version is looked at once.
ALTER TABLE referrals ADD COLUMN wake_at INTEGER DEFAULT 0;
CREATE INDEX referrals_due ON referrals (wake_at) WHERE wake_at IS NOT NULL;

-- One row per event. The detail is its personal part, and is erased as a version's document is.
CREATE TABLE events (
    ref INTEGER NOT NULL REFERENCES referrals (ref),
    position INTEGER NOT NULL CHECK (position > 1),
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
    event INTEGER NOT NULL REFERENCES tokens (id),
    recorded INTEGER NOT NULL REFERENCES tokens (id),
    holder TEXT,
    detail_sha256 BLOB CHECK (length(detail_sha256) = 32),
    document INTEGER REFERENCES documents (id),
    erased_at INTEGER,
    erased_why TEXT,
    PRIMARY KEY (ref, position),
    UNIQUE (ref, sha256),
    CHECK (document IS NULL OR erased_at IS NULL),
    CHECK ((detail_sha256 IS NOT NULL) = (document IS NOT NULL OR erased_at IS NOT NULL)),
    CHECK ((erased_why IS NULL) = (erased_at IS NULL))
) STRICT, WITHOUT ROWID;
-- From a document to its event: what is found under a key has a place.
CREATE UNIQUE INDEX events_by_document ON events (document) WHERE document IS NOT NULL;

-- Deliveries of one version to one authority for one purpose can be called for again, by another event.
-- called_by: its position; 0 for the acceptance of the version. SQLite changes no constraint of a table
-- that stands, so the rows move to a new one.
CREATE TABLE deliveries_2 (
    id INTEGER PRIMARY KEY,
    ref INTEGER NOT NULL,
    version INTEGER NOT NULL,
    authority TEXT NOT NULL,
    purpose TEXT NOT NULL,
    called_by INTEGER NOT NULL DEFAULT 0 CHECK (called_by >= 0),
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
    UNIQUE (ref, version, authority, purpose, called_by),
    FOREIGN KEY (ref, version) REFERENCES versions (ref, version),
    CHECK ((due_at IS NOT NULL) = (state IN ('held', 'leased'))),
    CHECK ((lease_token IS NOT NULL) = (state = 'leased')),
    CHECK ((delivered IS NOT NULL) = (state = 'delivered')),
    CHECK ((recorded IS NOT NULL) = (state = 'delivered'))
) STRICT;
INSERT INTO deliveries_2 (id, ref, version, authority, purpose, urgency, state, due_at, attempts,
                          lease_token, lease_holder, first_tried_at, reason, recorded_at, settled_at,
                          note, delivered, recorded)
SELECT id, ref, version, authority, purpose, urgency, state, due_at, attempts, lease_token,
       lease_holder, first_tried_at, reason, recorded_at, settled_at, note, delivered, recorded
FROM deliveries;
DROP TABLE deliveries;
ALTER TABLE deliveries_2 RENAME TO deliveries;
-- As in version 1.
CREATE INDEX deliveries_due ON deliveries (urgency, authority, due_at, state, recorded_at)
    WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_undeliverable ON deliveries (id) WHERE state = 'undeliverable';
