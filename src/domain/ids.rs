//! Identifiers and digests: opaque, fixed-size, safe to log.

use std::fmt;
use std::str::FromStr;

/// The identifier of one referral: a UUID chosen by the sender, the same for every version of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReferralId([u8; 16]);

impl ReferralId {
    /// From the sixteen bytes of a UUID.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The sixteen bytes of the UUID.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// As a URN (`urn:uuid:...`), the form used in tokens.
    pub fn urn(&self) -> String {
        format!("urn:uuid:{self}")
    }

    /// From the URN form; `None` if it is anything else.
    pub fn from_urn(urn: &str) -> Option<Self> {
        urn.strip_prefix("urn:uuid:")?.parse().ok()
    }
}

/// The text is not a lower-case hyphenated UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAReferralId;

impl fmt::Display for NotAReferralId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a lower-case UUID such as 018f3d5e-7c1a-4b7e-9a55-0c2f4d6e8a10")
    }
}

impl std::error::Error for NotAReferralId {}

impl FromStr for ReferralId {
    type Err = NotAReferralId;

    /// Accepts exactly the canonical form: 36 characters, lower case, hyphens at 8, 13, 18, 23.
    /// One spelling per identifier, so that two spellings can never be two referrals.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let raw = text.as_bytes();
        if raw.len() != 36 {
            return Err(NotAReferralId);
        }
        let mut bytes = [0u8; 16];
        let mut filled = 0;
        for (at, &c) in raw.iter().enumerate() {
            if matches!(at, 8 | 13 | 18 | 23) {
                if c != b'-' {
                    return Err(NotAReferralId);
                }
                continue;
            }
            let nibble = match c {
                b'0'..=b'9' => c - b'0',
                b'a'..=b'f' => c - b'a' + 10,
                _ => return Err(NotAReferralId),
            };
            bytes[filled / 2] = bytes[filled / 2] << 4 | nibble;
            filled += 1;
        }
        Ok(Self(bytes))
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl fmt::Display for ReferralId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'-'; 36];
        let mut at = 0;
        for (i, byte) in self.0.iter().enumerate() {
            at += usize::from(matches!(i, 4 | 6 | 8 | 10));
            text[at] = HEX[usize::from(byte >> 4)];
            text[at + 1] = HEX[usize::from(byte & 15)];
            at += 2;
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for ReferralId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A SHA-256 digest. Written as base64url without padding (43 characters), as in `x5t#S256`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Digest {
    /// From the 32 bytes of the hash.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// From a slice; `None` unless it has exactly 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes of the hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The text is not the base64url form of a SHA-256 digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotADigest;

impl fmt::Display for NotADigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a SHA-256 digest in base64url without padding (43 characters)")
    }
}

impl std::error::Error for NotADigest {}

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 43 {
            return Err(NotADigest);
        }
        let mut bytes = [0u8; 32];
        let (mut bits, mut held, mut filled) = (0u32, 0u32, 0usize);
        for c in text.bytes() {
            let value = match c {
                b'A'..=b'Z' => c - b'A',
                b'a'..=b'z' => c - b'a' + 26,
                b'0'..=b'9' => c - b'0' + 52,
                b'-' => 62,
                b'_' => 63,
                _ => return Err(NotADigest),
            };
            bits = bits << 6 | u32::from(value);
            held += 6;
            if held >= 8 {
                held -= 8;
                bytes[filled] = (bits >> held) as u8;
                filled += 1;
                bits &= (1 << held) - 1;
            }
        }
        // 43 characters carry two bits too many; anything but zero there is a second spelling.
        if bits != 0 { Err(NotADigest) } else { Ok(Self(bytes)) }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; 43];
        let (mut bits, mut held, mut filled) = (0u32, 0u32, 0usize);
        for byte in self.0 {
            bits = bits << 8 | u32::from(byte);
            held += 8;
            while held >= 6 {
                held -= 6;
                text[filled] = BASE64URL[(bits >> held & 63) as usize];
                filled += 1;
            }
        }
        text[filled] = BASE64URL[(bits << (6 - held) & 63) as usize];
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn referral_id_has_one_spelling() {
        let text = "018f3d5e-7c1a-4b7e-9a55-0c2f4d6e8a10";
        let id: ReferralId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(ReferralId::from_urn(&id.urn()), Some(id));
        for bad in [
            "018F3D5E-7C1A-4B7E-9A55-0C2F4D6E8A10",
            "018f3d5e7c1a4b7e9a550c2f4d6e8a10",
            "{018f3d5e-7c1a-4b7e-9a55-0c2f4d6e8a10}",
            "018f3d5e-7c1a-4b7e-9a550-c2f4d6e8a10",
            "",
        ] {
            assert_eq!(bad.parse::<ReferralId>(), Err(NotAReferralId), "{bad}");
        }
    }

    #[test]
    fn digest_round_trips_and_refuses_a_second_spelling() {
        let mut bytes = [0u8; 32];
        for (i, b) in bytes.iter_mut().enumerate() {
            *b = (i * 37 + 11) as u8;
        }
        let digest = Digest::from_bytes(bytes);
        let text = digest.to_string();
        assert_eq!(text.len(), 43);
        assert_eq!(text.parse(), Ok(digest));
        // SHA-256 of the empty string, base64url.
        let empty = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        assert_eq!(empty.parse::<Digest>().unwrap().to_string(), empty);
        let last = empty.len() - 1;
        let other = format!("{}V", &empty[..last]);
        assert_eq!(other.parse::<Digest>(), Err(NotADigest));
    }

    #[test]
    fn bytes_and_texts_belong_together() {
        let bytes: [u8; 16] = std::array::from_fn(|i| (i as u8) << 4 | (15 - i as u8));
        let id = ReferralId::from_bytes(bytes);
        assert_eq!(id.as_bytes(), &bytes);
        assert_eq!(id.to_string(), "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(format!("{id:?}"), id.to_string());
        assert_eq!(id.urn(), "urn:uuid:0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0");
        assert_eq!(ReferralId::from_urn(&id.to_string()), None);
        assert_eq!(ReferralId::from_urn("urn:uuid:"), None);
        for misplaced in
            ["0f1e2d3c04b5a-6978-8796-a5b4c3d2e1f0", "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1fg"]
        {
            assert_eq!(misplaced.parse::<ReferralId>(), Err(NotAReferralId));
        }
    }

    #[test]
    fn a_digest_is_thirty_two_bytes() {
        let bytes: [u8; 32] = std::array::from_fn(|i| 255 - i as u8);
        let digest = Digest::from_bytes(bytes);
        assert_eq!(Digest::from_slice(&bytes), Some(digest));
        assert_eq!(Digest::from_slice(&bytes[1..]), None);
        assert_eq!(digest.as_bytes(), &bytes);
        assert_eq!(format!("{digest:?}"), digest.to_string());
        let text = digest.to_string();
        for bad in [&text[1..], &format!("{text}A"), &text.replacen('_', "/", 1), ""] {
            assert_eq!(bad.parse::<Digest>(), Err(NotADigest), "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(NotAReferralId.to_string().starts_with("not a lower-case UUID"));
        assert!(NotADigest.to_string().starts_with("not a SHA-256 digest"));
    }
}
