-- The gateway's store, version 5: when each event first reached a party by its own word.

-- One row per event and party, at the first of its streams that took the event's token. What was
-- acknowledged before this version has none: nobody wrote down when.
CREATE TABLE reached (
    ref bigint NOT NULL,
    position integer NOT NULL CHECK (position > 0),
    party text NOT NULL,
    reached_at bigint NOT NULL,
    PRIMARY KEY (ref, position, party)
);

GRANT SELECT, INSERT ON reached TO ecaf_gateway;
