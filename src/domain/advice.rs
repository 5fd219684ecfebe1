//! Advice: what looks mistaken or forgotten in a referral. It never blocks: a mistyped pupil number
//! must not stop a child from being helped.

use crate::domain::refusal::Rule;
use crate::domain::time::Date;
use crate::domain::{nhs_number, upn};

macro_rules! advice {
    ($($name:ident $id:literal $title:literal $action:literal)*) => {
        $(#[doc = $title] pub const $name: Rule =
            Rule { id: concat!("advice.", $id), title: $title, action: $action };)*
        /// Every rule that advises.
        pub const RULES: &[Rule] = &[$($name),*];
    };
}

advice! {
    CALL_999 "call-999" "This says that a child is in danger now"
        "Ring 999 first; this form summons nobody."
    SUPPLEMENT "supplement" "This is the short form for urgent referrals"
        "Send what is missing as a supplement within 24 hours."
    UPN_SHAPE "upn-shape" "This does not look like a unique pupil number"
        "Compare it with the pupil record: a letter, eleven digits, and a digit or letter."
    UPN_CHECK_LETTER "upn-check-letter" "The check letter of this pupil number does not fit its digits"
        "Compare it with the pupil record; a digit is probably mistyped."
    NHS_NUMBER "nhs-number" "This NHS number fails its check"
        "Correct it or leave it out; schools are never asked for it."
    BORN_IN_FUTURE "born-in-future" "This date of birth lies in the future"
        "Correct it; for an unborn child give the expected date instead."
    ADULT "adult" "By this date of birth the person is 18 or older"
        "Check the date; for an adult at risk ring adult social care of the council."
    EXPECTED_FAR "expected-date-far" "This expected date is more than 40 weeks away"
        "Check the date."
    EXPECTED_PAST "expected-date-past" "This expected date is more than four weeks past"
        "If the child has been born, give the date of birth."
    POSTCODE_SHAPE "postcode-shape" "This does not look like a postcode"
        "Correct it; the referral is routed by it."
    POSTCODE_MISSING "postcode-missing" "No postcode is given for where this child lives"
        "Find it if you can; otherwise the responsible authority is a guess."
    SIBLINGS_MISSING "siblings-missing" "Other children are said to be affected, and none is listed"
        "Add them as children or people, or say in the narrative what is known."
    NO_RESPONSIBILITY "no-parental-responsibility" "Nobody is named as having parental responsibility for this child"
        "Name them, absent parents too, or say that it is not known."
    NO_AGREEMENT "no-agreement" "The family has not agreed, which is normal for this kind of request"
        "Seek agreement if that is safe, or say why it was not sought."
    UNKNOWN_CODE "unknown-code" "This code is not in the list that this gateway knows"
        "Check it; it is passed on as it is."
    REFUGE_SHOWN "refuge-not-withheld" "This refuge is not withheld from anybody"
        "Say from whom it must be kept, or withhold it from everyone."
    DISABILITY_NONE "disability-none" "This says no disability, and a disability"
        "Keep one of the two."
    NO_CONCERN "no-concern" "No concern names this child"
        "Say which of the concerns are about this child."
    NO_VOICE "no-voice" "Nothing says what the child thinks or said"
        "Add the child's own words, or why they could not be asked."
}

/// A pregnancy is counted as 40 weeks (children in need census, rule 8606).
const PREGNANCY_DAYS: i64 = 40 * 7;
/// An expected date further back than this is surely a birth.
const OVERDUE_DAYS: i64 = 4 * 7;

/// About a unique pupil number.
pub fn on_upn(text: &str) -> Option<Rule> {
    match upn::check(text) {
        Ok(()) => None,
        Err(upn::UpnFault::Shape) => Some(UPN_SHAPE),
        Err(upn::UpnFault::CheckLetter) => Some(UPN_CHECK_LETTER),
    }
}

/// About an NHS number.
pub fn on_nhs_number(text: &str) -> Option<Rule> {
    (!nhs_number::is_valid(text)).then_some(NHS_NUMBER)
}

/// About a child's date of birth.
pub fn on_birth(birth: Date, today: Date) -> Option<Rule> {
    if birth > today {
        Some(BORN_IN_FUTURE)
    } else {
        (today.years_since(birth) >= 18).then_some(ADULT)
    }
}

/// About the expected date of an unborn child.
pub fn on_expected(expected: Date, today: Date) -> Option<Rule> {
    match expected.days() - today.days() {
        days if days > PREGNANCY_DAYS => Some(EXPECTED_FAR),
        days if days < -OVERDUE_DAYS => Some(EXPECTED_PAST),
        _ => None,
    }
}

/// About a postcode, by the shapes of BS 7666: an outward code of two to four characters that
/// begins with a letter, and an inward code of a digit and two letters.
pub fn on_postcode(text: &str) -> Option<Rule> {
    let raw: Vec<u8> =
        text.bytes().filter(|c| *c != b' ').map(|c| c.to_ascii_uppercase()).collect();
    let shape: String = raw
        .iter()
        .map(|c| match c {
            b'A'..=b'Z' => 'A',
            b'0'..=b'9' => '9',
            _ => '?',
        })
        .collect();
    const SHAPES: [&str; 6] = ["A99AA", "A999AA", "AA99AA", "AA999AA", "A9A9AA", "AA9A9AA"];
    (!SHAPES.contains(&shape.as_str())).then_some(POSTCODE_SHAPE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn birth_dates() {
        let today = date("2026-11-21");
        assert_eq!(on_birth(date("2026-11-22"), today), Some(BORN_IN_FUTURE));
        assert_eq!(on_birth(today, today), None);
        assert_eq!(on_birth(date("2008-11-22"), today), None);
        assert_eq!(on_birth(date("2008-11-21"), today), Some(ADULT));
    }

    #[test]
    fn expected_dates() {
        let today = date("2026-11-21");
        assert_eq!(on_expected(today.plus_days(280), today), None);
        assert_eq!(on_expected(today.plus_days(281), today), Some(EXPECTED_FAR));
        assert_eq!(on_expected(today.plus_days(-28), today), None);
        assert_eq!(on_expected(today.plus_days(-29), today), Some(EXPECTED_PAST));
    }

    #[test]
    fn postcodes() {
        for good in ["E8 1EA", "e81ea", "SW1A 1AA", "M1 1AE", "CR2 6XH", "DN55 1PT", "W1A 0AX"] {
            assert_eq!(on_postcode(good), None, "{good}");
        }
        for bad in ["", "E8", "E8 1E", "E8 11A", "8E 1EA", "E8 1EA?", "next to the park"] {
            assert_eq!(on_postcode(bad), Some(POSTCODE_SHAPE), "{bad}");
        }
    }

    #[test]
    fn ids_are_unique() {
        let mut ids: Vec<_> = RULES.iter().map(|rule| rule.id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), RULES.len());
    }

    #[test]
    fn numbers_of_pupils_and_patients() {
        assert_eq!(on_upn("B801200005001"), None);
        assert_eq!(on_upn("A801200005001"), Some(UPN_CHECK_LETTER));
        assert_eq!(on_upn("801200005001"), Some(UPN_SHAPE));
        assert_eq!(on_nhs_number("999 000 0018"), None);
        assert_eq!(on_nhs_number("999 000 0019"), Some(NHS_NUMBER));
    }
}
