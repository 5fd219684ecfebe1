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
    PHONE_SHAPE "phone-shape" "This does not look like a telephone number"
        "Correct it; a social worker will ring it."
    SIBLINGS_MISSING "siblings-missing" "Other children are said to be affected, and none is listed"
        "Add them as children or people, or say in the narrative what is known."
    NO_RESPONSIBILITY "no-parental-responsibility" "Nobody is named as having parental responsibility for this child"
        "Name them, absent parents too, or say that it is not known."
    NO_AGREEMENT "no-agreement" "The family has not agreed, which is normal for this kind of request"
        "Seek agreement if that is safe, or say why it was not sought."
    UNKNOWN_CODE "unknown-code" "This code is not in the list that this gateway knows"
        "Check it; it is passed on as it is."
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

/// About a telephone number: 7 to 15 digits (ITU-T E.164), with `+`, blanks, brackets, hyphens, and
/// an extension.
pub fn on_phone(text: &str) -> Option<Rule> {
    let number = text.split(['x', 'e', '#']).next().unwrap_or_default();
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    let known = number.chars().all(|c| c.is_ascii_digit() || "+ ()-.".contains(c));
    (!known || !(7..=15).contains(&digits)).then_some(PHONE_SHAPE)
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
    fn phones() {
        for good in ["020 7946 0123", "+44 20 7946 0123", "(01632) 960123", "07700900123 ext 4"] {
            assert_eq!(on_phone(good), None, "{good}");
        }
        for bad in ["", "ask the office", "12345", "0207 946 0123 4567 8901"] {
            assert_eq!(on_phone(bad), Some(PHONE_SHAPE), "{bad}");
        }
    }

    #[test]
    fn ids_are_unique() {
        let mut ids: Vec<_> = RULES.iter().map(|rule| rule.id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), RULES.len());
    }
}
