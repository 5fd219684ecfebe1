-- The gateway's store, version 4: threads that an event begins, at position 1, without a version.

ALTER TABLE events
    DROP CONSTRAINT events_position_check,
    ADD CONSTRAINT events_position_check CHECK (position > 0),
    -- What begins a thread names the authority in it.
    ADD CONSTRAINT events_beginning_check CHECK (position > 1 OR holder IS NOT NULL);
