-- What gateway and authority keep in the same form, version 1.

-- One row per certificate of a chain, leaf at place 0; the first chain seen for a leaf stays.
CREATE TABLE chains (
    x5t BLOB NOT NULL CHECK (length(x5t) = 32),
    place INTEGER NOT NULL,
    der BLOB NOT NULL,
    UNIQUE (x5t, place)
) STRICT;

CREATE TABLE crls (
    sha256 BLOB NOT NULL UNIQUE CHECK (length(sha256) = 32),
    der BLOB NOT NULL
) STRICT;

-- Ciphertext, alone in its row, so that it can be erased alone. key_id names the period key under which
-- the document's own key is wrapped; see src/store/sealing/form.rs.
CREATE TABLE documents (
    id INTEGER PRIMARY KEY,
    key_id BLOB NOT NULL CHECK (length(key_id) = 8),
    wrapped BLOB NOT NULL CHECK (length(wrapped) = 60),
    body BLOB NOT NULL
) STRICT;
CREATE INDEX documents_by_key ON documents (key_id);

-- What keeps a referral's documents beyond their period, and what lets them go at its end.
CREATE TABLE holds (
    referral_id BLOB NOT NULL CHECK (length(referral_id) = 16),
    code TEXT NOT NULL,
    placed_at INTEGER NOT NULL,
    PRIMARY KEY (referral_id, code)
) STRICT, WITHOUT ROWID;
CREATE TABLE closures (
    referral_id BLOB PRIMARY KEY CHECK (length(referral_id) = 16),
    closed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Written to prove that a commit of the size of a referral is possible.
CREATE TABLE probe (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    at INTEGER NOT NULL,
    room BLOB NOT NULL
) STRICT;
