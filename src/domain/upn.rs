//! Unique pupil numbers: shape and check letter.
//!
//! Source: Department for Education, UPN guide, and the e-Government Data Standards Catalogue
//! (UniquePupilNumber-2-0): a check letter, then twelve characters with weights 2 to 13; the sum
//! modulo 23 picks the letter. The last character of a temporary number is a letter that counts
//! with its own index.

/// Letters by index: the alphabet without I, O and S, which look like digits.
const LETTERS: &[u8; 23] = b"ABCDEFGHJKLMNPQRTUVWXYZ";

/// Why a text is not a unique pupil number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpnFault {
    /// Not a letter, eleven digits, and a digit or (temporary number) a letter.
    Shape,
    /// The first letter does not fit the other twelve characters: something is mistyped.
    CheckLetter,
}

/// Checks shape and check letter. The authority inside the number is not looked up: numbers keep
/// the code of an authority long after its reorganisation.
pub fn check(upn: &str) -> Result<(), UpnFault> {
    let raw = upn.as_bytes();
    if raw.len() != 13 {
        return Err(UpnFault::Shape);
    }
    let letter = letter_index(raw[0]).ok_or(UpnFault::Shape)?;
    let mut sum = 0;
    for (at, &c) in raw.iter().enumerate().skip(1) {
        let value = match c {
            b'0'..=b'9' => usize::from(c - b'0'),
            _ if at == 12 => letter_index(c).ok_or(UpnFault::Shape)?,
            _ => return Err(UpnFault::Shape),
        };
        sum += value * (at + 1);
    }
    if sum % 23 == letter { Ok(()) } else { Err(UpnFault::CheckLetter) }
}

fn letter_index(c: u8) -> Option<usize> {
    LETTERS.iter().position(|&l| l == c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers() {
        // stdnum.gb.upn's own example, and the sum of a much-copied worked example, recomputed.
        for valid in ["B801200005001", "P207000016049"] {
            assert_eq!(check(valid), Ok(()), "{valid}");
        }
        for wrong in ["A801200005001", "Q207000016049", "B801200005010"] {
            assert_eq!(check(wrong), Err(UpnFault::CheckLetter), "{wrong}");
        }
        for shape in [
            "",
            "B80120000500",
            "B80120000A001",
            "b801200005001",
            "I801200005001",
            "B80120000500I",
            "B8012000050é",
        ] {
            assert_eq!(check(shape), Err(UpnFault::Shape), "{shape}");
        }
    }

    #[test]
    fn exactly_one_check_letter_fits_and_every_single_slip_of_a_digit_is_seen() {
        for rest in ["801200005001", "20700001604A", "000000000000", "999999999999"] {
            let fits: Vec<u8> = LETTERS
                .iter()
                .copied()
                .filter(|&l| check(&format!("{}{rest}", l as char)).is_ok())
                .collect();
            assert_eq!(fits.len(), 1, "{rest}");
            let good = format!("{}{rest}", fits[0] as char);
            for at in 1..12 {
                for digit in b'0'..=b'9' {
                    let mut other = good.clone().into_bytes();
                    other[at] = digit;
                    let other = String::from_utf8(other).unwrap();
                    assert_eq!(check(&other).is_ok(), other == good, "{at}");
                }
            }
        }
    }
}
