-- The gateway's store, version 2: events of a referral's thread, and who holds it after transfers.

-- NULL until a transfer is accepted: then the authority that version 1 was routed to.
ALTER TABLE referrals ADD COLUMN holder text;
-- When to look at its clocks again; NULL if none of them can change any more. What was accepted before
-- this version is looked at once.
ALTER TABLE referrals ADD COLUMN wake_at bigint DEFAULT 0;
CREATE INDEX referrals_due ON referrals (wake_at) WHERE wake_at IS NOT NULL;

-- One row per event. The detail is its personal part, and is erased as a version's document is.
CREATE TABLE events (
    ref bigint NOT NULL,
    position integer NOT NULL CHECK (position > 1),
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    event bigint NOT NULL,
    recorded bigint NOT NULL,
    holder text,
    detail_sha256 bytea CHECK (length(detail_sha256) = 32),
    document bigint,
    erased_at bigint,
    erased_why text,
    PRIMARY KEY (ref, position),
    CONSTRAINT events_by_token UNIQUE (ref, sha256),
    CHECK (document IS NULL OR erased_at IS NULL),
    CHECK ((detail_sha256 IS NOT NULL) = (document IS NOT NULL OR erased_at IS NOT NULL)),
    CHECK ((erased_why IS NULL) = (erased_at IS NULL))
);
-- From a document to its event: what is found under a key has a place.
CREATE UNIQUE INDEX events_by_document ON events (document) WHERE document IS NOT NULL;

-- Deliveries of one version to one authority for one purpose can be called for again, by another event.
-- called_by: its position; 0 for the acceptance of the version.
ALTER TABLE deliveries
    ADD COLUMN called_by integer NOT NULL DEFAULT 0 CHECK (called_by >= 0),
    DROP CONSTRAINT deliveries_ref_version_authority_purpose_key,
    ADD CONSTRAINT deliveries_by_cause UNIQUE (ref, version, authority, purpose, called_by);

GRANT SELECT, INSERT ON events TO ecaf_gateway;
GRANT UPDATE (document, erased_at, erased_why) ON events TO ecaf_gateway;
-- A case that is opened again has no closure any more.
GRANT DELETE ON closures TO ecaf_gateway;
