-- The authority's store, version 2: tokens that gateways push (RFC 8935).

-- One row per token, beside the inbox by its referral. recorded_at: by the gateway's word.
CREATE TABLE pushed (
    sha256 BLOB NOT NULL PRIMARY KEY CHECK (length(sha256) = 32),
    referral_id BLOB NOT NULL CHECK (length(referral_id) = 16),
    kind TEXT NOT NULL,
    jws TEXT NOT NULL,
    issuer TEXT NOT NULL,
    x5t BLOB NOT NULL CHECK (length(x5t) = 32),
    crls BLOB NOT NULL CHECK (length(crls) % 32 = 0),
    recorded_at INTEGER NOT NULL,
    received_at INTEGER NOT NULL
) STRICT;
CREATE INDEX pushed_by_referral ON pushed (referral_id, received_at);
