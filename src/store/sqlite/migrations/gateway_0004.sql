-- The gateway's store, version 4: threads that an event begins, at position 1, without a version.

-- SQLite changes no constraint of a table that stands, so the rows move to a new one. Nothing refers to
-- it; its columns are those of version 2.
CREATE TABLE events_2 (
    ref INTEGER NOT NULL REFERENCES referrals (ref),
    position INTEGER NOT NULL CHECK (position > 0),
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
    -- What begins a thread names the authority in it.
    CHECK (position > 1 OR holder IS NOT NULL),
    CHECK (document IS NULL OR erased_at IS NULL),
    CHECK ((detail_sha256 IS NOT NULL) = (document IS NOT NULL OR erased_at IS NOT NULL)),
    CHECK ((erased_why IS NULL) = (erased_at IS NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO events_2 (ref, position, sha256, event, recorded, holder, detail_sha256, document,
                      erased_at, erased_why)
SELECT ref, position, sha256, event, recorded, holder, detail_sha256, document, erased_at, erased_why
FROM events;
DROP TABLE events;
ALTER TABLE events_2 RENAME TO events;
-- As in version 2.
CREATE UNIQUE INDEX events_by_document ON events (document) WHERE document IS NOT NULL;
