//! The little DER that revocation lists need: the issuing library cannot write
//! `expiredCertsOnCRL`, without which a list says nothing about the past.

use crate::domain::time::{Date, Timestamp};

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const SEQUENCE: u8 = 0x30;
const BOOLEAN_TRUE: [u8; 3] = [0x01, 0x01, 0xff];
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// One value: tag, length, content.
pub(super) fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        short @ 0..=0x7f => out.push(short as u8),
        long => {
            let bytes = long.to_be_bytes();
            let significant = &bytes[(long.leading_zeros() / 8) as usize..];
            out.push(0x80 | significant.len() as u8);
            out.extend_from_slice(significant);
        }
    }
    out.extend_from_slice(content);
    out
}

/// A constructed value.
pub(super) fn nested(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    value(tag, &parts.concat())
}

/// A non-negative integer from its big-endian bytes.
pub(super) fn unsigned(big_endian: &[u8]) -> Vec<u8> {
    let zeros = big_endian.iter().take_while(|b| **b == 0).count();
    let mut content = big_endian[zeros..].to_vec();
    if content.first().is_none_or(|b| b & 0x80 != 0) {
        content.insert(0, 0);
    }
    value(INTEGER, &content)
}

/// An extension by the content of its OID.
pub fn extension(oid: &[u8], critical: bool, inner: &[u8]) -> Vec<u8> {
    let critical = if critical { BOOLEAN_TRUE.to_vec() } else { Vec::new() };
    nested(SEQUENCE, &[value(OID, oid), critical, value(OCTET_STRING, inner)])
}

/// `UTCTime` until 2049 and `GeneralizedTime` from 2050 (RFC 5280 section 4.1.2.5).
pub(super) fn time(at: Timestamp) -> Vec<u8> {
    if (1950..2050).contains(&at.utc_date().year()) {
        value(UTC_TIME, &clock(at).as_bytes()[2..])
    } else {
        generalized_time(at)
    }
}

/// `GeneralizedTime`, in whole seconds.
pub(super) fn generalized_time(at: Timestamp) -> Vec<u8> {
    value(GENERALIZED_TIME, clock(at).as_bytes())
}

fn clock(at: Timestamp) -> String {
    let date: Date = at.utc_date();
    let second = at.seconds().rem_euclid(86_400);
    let (h, m, s) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{:04}{:02}{:02}{h:02}{m:02}{s:02}Z", date.year(), date.month(), date.day())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_integers_and_times() {
        assert_eq!(value(4, &[7; 2]), [4, 2, 7, 7]);
        assert_eq!(value(4, &[0; 200])[..3], [4, 0x81, 200]);
        assert_eq!(value(4, &[0; 300])[..4], [4, 0x82, 1, 44]);
        assert_eq!(unsigned(&[0, 0]), [2, 1, 0]);
        assert_eq!(unsigned(&[0, 0x80]), [2, 2, 0, 0x80]);
        let at = "2026-11-01T02:03:04Z".parse().unwrap();
        assert_eq!(time(at)[2..], *b"261101020304Z");
        let later = "2050-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(time(later)[2..], *b"20500101000000Z");
    }
}
