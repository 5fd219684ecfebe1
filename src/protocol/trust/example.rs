//! The keys of `certs-example/`: published, so never to be trusted outside the demonstration.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::profile::parse;
use crate::domain::ids::Digest;
use crate::protocol::hash::sha256;

/// One digest per line (base64url SHA-256 of the public key bits), then the name of its file.
const KEYS: &str = include_str!("../../../certs-example/keys.txt");

static DIGESTS: LazyLock<HashSet<Digest>> = LazyLock::new(|| {
    KEYS.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
});

/// Whether a certificate holds one of the example keys.
pub fn is_example_key(der: &[u8]) -> bool {
    parse(der).is_ok_and(|certificate| {
        is_example_public_key(&certificate.public_key().subject_public_key.data)
    })
}

/// The same for the public half of one's own key, as
/// [`SigningKey::public_key`](crate::effects::SigningKey::public_key) gives it.
pub fn is_example_public_key(bits: &[u8]) -> bool {
    DIGESTS.contains(&sha256(bits))
}
