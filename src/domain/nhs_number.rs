//! NHS numbers: the modulus 11 check digit (NHS Data Dictionary, "NHS NUMBER"). Never asked of
//! schools; checked where a sender gives one anyway.

/// Whether `text` is ten digits, optionally grouped 3-3-4 by spaces, with the right check digit.
pub fn is_valid(text: &str) -> bool {
    let mut digits = [0u32; 10];
    let mut count = 0;
    for (at, c) in text.bytes().enumerate() {
        match c {
            b'0'..=b'9' if count < 10 => {
                digits[count] = u32::from(c - b'0');
                count += 1;
            }
            b' ' if text.len() == 12 && matches!(at, 3 | 7) => {}
            _ => return false,
        }
    }
    if count != 10 {
        return false;
    }
    let sum: u32 = digits[..9].iter().zip((2..=10).rev()).map(|(d, weight)| d * weight).sum();
    // 11 stands for 0; a remainder that would need 10 is never issued.
    match 11 - sum % 11 {
        11 => digits[9] == 0,
        check => digits[9] == check,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers() {
        for valid in ["9434765919", "943 476 5919", "9990000018"] {
            assert!(is_valid(valid), "{valid}");
        }
        for wrong in [
            "9434765918",
            "943476591",
            "94347659190",
            "943476591X",
            "94 3476 5919",
            "",
            "９４３４７６５９１９",
        ] {
            assert!(!is_valid(wrong), "{wrong}");
        }
    }

    #[test]
    fn one_number_in_eleven_has_no_check_digit_and_the_others_one() {
        let mut none = 0;
        for nine in 999_000_000u32..999_001_100 {
            let fits = (0..10).filter(|d| is_valid(&format!("{nine}{d}"))).count();
            assert!(fits <= 1);
            none += usize::from(fits == 0);
        }
        assert!((95..=105).contains(&none), "{none}");
    }
}
