//! A postcode of the United Kingdom or the Crown dependencies, packed into four bytes.
//!
//! Form only: whether it exists is for the table to say. A postcode is personal data (about fifteen
//! households share one), so `Debug` does not show it and there is no `Display`.

use std::fmt;
use std::str::FromStr;

/// A well-formed postcode. Packing is exact: one spelling, one value, and back.
///
/// The value counts area letters (702), district (370: `1`, `10`, `1A`), sector digit (10) and
/// unit letters (676); the two retired shapes with three letters, GIR and NPT, come after.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Postcode(u32);

/// The text does not have the shape of a postcode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAPostcode;

/// How many area letter combinations there are: A to Z and AA to ZZ.
pub const AREAS: u32 = 26 + 26 * 26;
/// How many district parts there are: 0 to 9, 00 to 99, 0A to 9Z.
pub const DISTRICTS: u32 = 10 + 100 + 260;
/// Sector digits.
pub const SECTORS: u32 = 10;
/// Unit letter pairs.
const UNITS: u32 = 26 * 26;
/// The postcodes that a sector can really have: units use 20 letters (not C I K M O V).
pub const SLOTS: u16 = 400;

/// First packed value of the three-letter shapes.
const ODD: u32 = AREAS * DISTRICTS * SECTORS * UNITS;
/// Retired shapes: Girobank, and Newport before it became NP.
const ODD_AREAS: [&[u8; 3]; 2] = [b"GIR", b"NPT"];
const END: u32 = ODD + ODD_AREAS.len() as u32 * SECTORS * UNITS;

const UNIT_LETTERS: &[u8; 20] = b"ABDEFGHJLNPQRSTUWXYZ";
const NO_SLOT: u8 = 255;
const SLOT_OF_LETTER: [u8; 26] = {
    let mut of = [NO_SLOT; 26];
    let mut i = 0;
    while i < UNIT_LETTERS.len() {
        of[(UNIT_LETTERS[i] - b'A') as usize] = i as u8;
        i += 1;
    }
    of
};

impl Postcode {
    /// The packed value.
    pub const fn packed(self) -> u32 {
        self.0
    }

    /// From a packed value; `None` if no postcode packs to it.
    pub fn from_packed(packed: u32) -> Option<Self> {
        let district = packed / UNITS / SECTORS % DISTRICTS;
        // `01` is not a district: it would be a second spelling of `1`.
        let leading_zero = packed < ODD && (10..20).contains(&district);
        (packed < END && !leading_zero).then_some(Self(packed))
    }

    /// Where the table keeps it: the number of its sector and its place among the 400 units of the
    /// sector. `None` for the three-letter shapes and for unit letters that are not in use.
    #[inline]
    pub const fn sector_and_slot(self) -> Option<(u32, u16)> {
        if self.0 >= ODD {
            return None;
        }
        let unit = self.0 % UNITS;
        let (a, b) = (SLOT_OF_LETTER[(unit / 26) as usize], SLOT_OF_LETTER[(unit % 26) as usize]);
        if a == NO_SLOT || b == NO_SLOT {
            return None;
        }
        Some((self.0 / UNITS, a as u16 * 20 + b as u16))
    }

    /// The reverse of [`Self::sector_and_slot`].
    pub fn at_slot(sector: u32, slot: u16) -> Option<Self> {
        let letter = |i: u16| u32::from(UNIT_LETTERS[usize::from(i)] - b'A');
        if sector >= AREAS * DISTRICTS * SECTORS || slot >= SLOTS {
            return None;
        }
        Self::from_packed(sector * UNITS + letter(slot / 20) * 26 + letter(slot % 20))
    }

    /// The letters that it starts with (`SW`, `W`, `BT`, `GIR`).
    pub fn area(self) -> String {
        self.outward().chars().take_while(char::is_ascii_alphabetic).collect()
    }

    /// The part before the space (`SW1A`).
    pub fn outward(self) -> String {
        let mut text = String::with_capacity(4);
        if self.0 >= ODD {
            let shape = ((self.0 - ODD) / UNITS / SECTORS) as usize;
            text.extend(
                ODD_AREAS.get(shape).into_iter().flat_map(|a| a.iter().map(|&c| c as char)),
            );
            return text;
        }
        let letter = |n: u32| char::from(b'A' + n as u8);
        let digit = |n: u32| char::from(b'0' + n as u8);
        let area = self.0 / UNITS / SECTORS / DISTRICTS;
        if area >= 26 {
            text.push(letter((area - 26) / 26));
            text.push(letter((area - 26) % 26));
        } else {
            text.push(letter(area));
        }
        match self.0 / UNITS / SECTORS % DISTRICTS {
            d @ 0..10 => text.push(digit(d)),
            d @ 10..110 => text.extend([digit((d - 10) / 10), digit((d - 10) % 10)]),
            d => text.extend([digit((d - 110) / 26), letter((d - 110) % 26)]),
        }
        text
    }

    /// As people write it: `SW1A 1AA`. For the person who asked; never for a log.
    pub fn spelled(self) -> String {
        let sector = if self.0 >= ODD { self.0 - ODD } else { self.0 } / UNITS % SECTORS;
        let unit = self.0 % UNITS;
        let mut text = self.outward();
        text.push(' ');
        text.push(char::from(b'0' + sector as u8));
        text.push(char::from(b'A' + (unit / 26) as u8));
        text.push(char::from(b'A' + (unit % 26) as u8));
        text
    }
}

impl FromStr for Postcode {
    type Err = NotAPostcode;

    /// Any case, white space anywhere. Letters and digits that are easily confused (O and 0) are
    /// not exchanged: a guess could be another family's postcode.
    fn from_str(text: &str) -> Result<Self, NotAPostcode> {
        let mut held = [0u8; 7];
        let mut length = 0;
        for c in text.chars().filter(|c| !c.is_whitespace()) {
            let place = held.get_mut(length).ok_or(NotAPostcode)?;
            *place = u8::try_from(c).map_err(|_| NotAPostcode)?.to_ascii_uppercase();
            length += 1;
        }
        pack(&held[..length]).map(Self).ok_or(NotAPostcode)
    }
}

fn pack(text: &[u8]) -> Option<u32> {
    let (outward, inward) = text.split_at_checked(text.len().checked_sub(3)?)?;
    let &[sector, a, b] = inward else { return None };
    let inward = digit(sector)? * UNITS + letter(a)? * 26 + letter(b)?;
    if let Some(shape) = ODD_AREAS.iter().position(|area| area.as_slice() == outward) {
        return Some(ODD + shape as u32 * SECTORS * UNITS + inward);
    }
    let (area, district) = match *outward {
        [a, ref district @ ..] if district.first().is_some_and(u8::is_ascii_digit) => {
            (letter(a)?, district)
        }
        [a, b, ref district @ ..] => (26 + letter(a)? * 26 + letter(b)?, district),
        _ => return None,
    };
    let district = match *district {
        [d] => digit(d)?,
        [b'0', second] if second.is_ascii_digit() => return None,
        [d, second] if second.is_ascii_digit() => 10 + digit(d)? * 10 + digit(second)?,
        [d, second] => 110 + digit(d)? * 26 + letter(second)?,
        _ => return None,
    };
    Some((area * DISTRICTS + district) * SECTORS * UNITS + inward)
}

fn letter(c: u8) -> Option<u32> {
    c.is_ascii_uppercase().then(|| u32::from(c - b'A'))
}

fn digit(c: u8) -> Option<u32> {
    c.is_ascii_digit().then(|| u32::from(c - b'0'))
}

impl fmt::Debug for Postcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Postcode(..)")
    }
}

impl fmt::Display for NotAPostcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a postcode: expected a form such as N1 1AA, N17 0AA or EC1A 1BB")
    }
}

impl std::error::Error for NotAPostcode {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spelled(text: &str) -> Option<String> {
        text.parse::<Postcode>().ok().map(Postcode::spelled)
    }

    #[test]
    fn every_shape_round_trips_whatever_the_case_and_spaces() {
        for text in [
            "M1 1AE", "B33 8TH", "W1A 1HQ", "CR2 6XH", "DN55 1PT", "EC1A 1BB", "GIR 0AA", "NPT 1AA",
        ] {
            let loose = format!(" {}\t", text.to_lowercase().replace(' ', "  "));
            for variant in [text.to_string(), text.replace(' ', ""), loose] {
                assert_eq!(spelled(&variant).as_deref(), Some(text), "{variant}");
            }
        }
        assert_eq!("BT1 1AA".parse::<Postcode>().unwrap().area(), "BT");
    }

    #[test]
    fn anything_else_is_not_a_postcode() {
        for text in [
            "",
            " ",
            "E1",
            "E1 AAA",
            "E1 11A",
            "1E1 1AA",
            "ABC1 1AA",
            "E111 1AA",
            "E01 1AA",
            "E1AA 1AA",
            "EC1A 1BBB",
            "E1 1A",
            "É1 1AA",
            "E1\u{0661} 1AA",
            "E1-1AA",
            "GIR 1",
            "XYZ 1AA",
        ] {
            assert_eq!(spelled(text), None, "{text}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", "E1 1AA".parse::<Postcode>()), "Ok(Postcode(..))");
    }

    proptest! {
        #[test]
        fn packing_is_exact(packed in 0..END + 1000) {
            let Some(postcode) = Postcode::from_packed(packed) else { return Ok(()) };
            prop_assert_eq!(postcode.spelled().parse(), Ok(postcode));
            if let Some((sector, slot)) = postcode.sector_and_slot() {
                prop_assert_eq!(Postcode::at_slot(sector, slot), Some(postcode));
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,12}") {
            if let Ok(postcode) = text.parse::<Postcode>() {
                prop_assert_eq!(Postcode::from_packed(postcode.packed()), Some(postcode));
            }
        }
    }

    #[test]
    fn values_count_areas_districts_sectors_and_units() {
        let packed = |text: &str| text.parse::<Postcode>().unwrap().packed();
        assert_eq!(packed("A0 0AA"), 0);
        assert_eq!(packed("A0 0AB"), 1);
        assert_eq!(packed("A0 0BA"), 26);
        assert_eq!(packed("A0 1AA"), 676);
        assert_eq!(packed("A1 0AA"), 6_760);
        assert_eq!(packed("A10 0AA"), 20 * 6_760);
        assert_eq!(packed("A0A 0AA"), 110 * 6_760);
        assert_eq!(packed("B0 0AA"), 370 * 6_760);
        assert_eq!(packed("AA0 0AA"), 26 * 370 * 6_760);
        assert_eq!(packed("GIR 0AA"), 702 * 370 * 6_760);
        assert_eq!(packed("NPT 9ZZ"), 702 * 370 * 6_760 + 2 * 6_760 - 1);
        assert_eq!(Postcode::from_packed(702 * 370 * 6_760 + 2 * 6_760), None);
        assert_eq!(Postcode::from_packed(10 * 6_760), None, "A00");
        assert_eq!(Postcode::from_packed(20 * 6_760 - 1), None, "A09");
        assert!(Postcode::from_packed(10 * 6_760 - 1).is_some(), "A9");
    }

    #[test]
    fn a_sector_has_four_hundred_slots() {
        let place = |text: &str| text.parse::<Postcode>().unwrap().sector_and_slot();
        assert_eq!(place("A0 0AA"), Some((0, 0)));
        assert_eq!(place("A0 1ZZ"), Some((1, 399)));
        assert_eq!(place("A0 1BA"), Some((1, 20)));
        for unused in ["A0 0AC", "A0 0CA", "A0 0VV", "GIR 0AA"] {
            assert_eq!(place(unused), None, "{unused}");
        }
        assert_eq!(Postcode::at_slot(1, 399), "A0 1ZZ".parse().ok());
        assert_eq!(Postcode::at_slot(1, 400), None);
        assert_eq!(Postcode::at_slot(702 * 370 * 10, 0), None);
        assert!(Postcode::at_slot(702 * 370 * 10 - 1, 399).is_some());
    }

    #[test]
    fn parts_of_a_postcode() {
        for (text, area, outward) in [
            ("W1A 1HQ", "W", "W1A"),
            ("EC1A 1BB", "EC", "EC1A"),
            ("DN55 1PT", "DN", "DN55"),
            ("GIR 0AA", "GIR", "GIR"),
            ("GIR 9AZ", "GIR", "GIR"),
            ("NPT 0ZA", "NPT", "NPT"),
        ] {
            let postcode: Postcode = text.parse().unwrap();
            assert_eq!(
                (postcode.area(), postcode.outward()),
                (area.to_owned(), outward.to_owned())
            );
        }
        assert!(NotAPostcode.to_string().starts_with("not a postcode"));
    }
}
