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

-- Written to prove that a commit of the size of a referral is possible.
CREATE TABLE probe (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    at INTEGER NOT NULL,
    room BLOB NOT NULL
) STRICT;
