-- The gateway's store, version 5: when each event first reached a party by its own word.

-- One row per event and party, at the first of its streams that took the event's token. What was
-- acknowledged before this version has none: nobody wrote down when.
CREATE TABLE reached (
    ref INTEGER NOT NULL,
    position INTEGER NOT NULL,
    party TEXT NOT NULL,
    reached_at INTEGER NOT NULL,
    PRIMARY KEY (ref, position, party),
    FOREIGN KEY (ref, position) REFERENCES events (ref, position)
) STRICT, WITHOUT ROWID;
