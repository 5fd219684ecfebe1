-- The authority's store, version 2: tokens that gateways push (RFC 8935).

-- One row per token, beside the inbox by its referral. recorded_at: by the gateway's word.
CREATE TABLE pushed (
    sha256 bytea PRIMARY KEY CHECK (length(sha256) = 32),
    referral_id bytea NOT NULL CHECK (length(referral_id) = 16),
    kind text NOT NULL,
    jws text NOT NULL,
    issuer text NOT NULL,
    x5t bytea NOT NULL CHECK (length(x5t) = 32),
    crls bytea NOT NULL CHECK (length(crls) % 32 = 0),
    recorded_at bigint NOT NULL,
    received_at bigint NOT NULL
);
CREATE INDEX pushed_by_referral ON pushed (referral_id, received_at);

GRANT SELECT, INSERT ON pushed TO ecaf_authority;
