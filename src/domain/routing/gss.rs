//! Area codes of the Office for National Statistics ("GSS codes"): a letter and eight digits.

use std::fmt;
use std::str::FromStr;

/// A nine-character area code. It changes when the boundary does, so nothing is keyed by it alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gss([u8; 9]);

/// The text is not a capital letter and eight digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnAreaCode;

/// Where outside England a postcode can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Nation {
    Scotland,
    Wales,
    NorthernIreland,
    Jersey,
    Guernsey,
    IsleOfMan,
}

impl Nation {
    /// As a person writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Nation::Scotland => "Scotland",
            Nation::Wales => "Wales",
            Nation::NorthernIreland => "Northern Ireland",
            Nation::Jersey => "Jersey",
            Nation::Guernsey => "Guernsey",
            Nation::IsleOfMan => "the Isle of Man",
        }
    }

    /// By the letters of a postcode area, for the places that the table does not list: the licence
    /// of Northern Ireland's postcodes is not open, and the islands have no districts.
    pub fn of_area(letters: &str) -> Option<Self> {
        match letters {
            "BT" => Some(Nation::NorthernIreland),
            "JE" => Some(Nation::Jersey),
            "GY" => Some(Nation::Guernsey),
            "IM" => Some(Nation::IsleOfMan),
            _ => None,
        }
    }
}

impl Gss {
    /// The nine characters.
    pub const fn as_bytes(&self) -> &[u8; 9] {
        &self.0
    }

    /// From nine characters.
    pub fn from_bytes(bytes: [u8; 9]) -> Result<Self, NotAnAreaCode> {
        let valid = bytes[0].is_ascii_uppercase() && bytes[1..].iter().all(u8::is_ascii_digit);
        if valid { Ok(Self(bytes)) } else { Err(NotAnAreaCode) }
    }

    /// The text of it.
    pub fn as_str(&self) -> &str {
        // Only ASCII letters and digits are ever stored.
        std::str::from_utf8(&self.0).unwrap_or("E00000000")
    }

    /// The nation outside England that its first letter names.
    pub const fn nation(&self) -> Option<Nation> {
        match self.0[0] {
            b'S' => Some(Nation::Scotland),
            b'W' => Some(Nation::Wales),
            b'N' => Some(Nation::NorthernIreland),
            _ => None,
        }
    }
}

impl FromStr for Gss {
    type Err = NotAnAreaCode;

    fn from_str(text: &str) -> Result<Self, NotAnAreaCode> {
        Self::from_bytes(text.as_bytes().try_into().map_err(|_| NotAnAreaCode)?)
    }
}

impl fmt::Display for Gss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Gss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for NotAnAreaCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an area code such as E09000012")
    }
}

impl std::error::Error for NotAnAreaCode {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capital_letter_and_eight_digits() {
        let code: Gss = "E09000012".parse().unwrap();
        assert_eq!((code.as_str(), code.as_bytes()), ("E09000012", b"E09000012"));
        assert_eq!(
            (code.to_string(), format!("{code:?}")),
            ("E09000012".into(), "E09000012".into())
        );
        for text in
            ["", "E0900001", "E090000123", "e09000012", "009000012", "E0900001x", "E0900001é"]
        {
            assert_eq!(text.parse::<Gss>(), Err(NotAnAreaCode), "{text}");
        }
        assert_eq!(NotAnAreaCode.to_string(), "not an area code such as E09000012");
    }

    #[test]
    fn the_first_letter_names_the_nation() {
        let nation = |text: &str| text.parse::<Gss>().unwrap().nation();
        assert_eq!(nation("E09000012"), None);
        assert_eq!(nation("S12000036"), Some(Nation::Scotland));
        assert_eq!(nation("W06000015"), Some(Nation::Wales));
        assert_eq!(nation("N09000003"), Some(Nation::NorthernIreland));
    }

    #[test]
    fn places_without_a_table_are_known_by_their_letters() {
        let name = |letters| Nation::of_area(letters).map(Nation::name);
        assert_eq!(name("BT"), Some("Northern Ireland"));
        assert_eq!(name("JE"), Some("Jersey"));
        assert_eq!(name("GY"), Some("Guernsey"));
        assert_eq!(name("IM"), Some("the Isle of Man"));
        assert_eq!(name("E"), None);
        assert_eq!((Nation::Scotland.name(), Nation::Wales.name()), ("Scotland", "Wales"));
    }
}
