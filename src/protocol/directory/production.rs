//! What a directory must have before children depend on it.

use super::rules;
use crate::domain::directory::{AuthorityEntry, ContactKind, Directory};
use crate::domain::refusal::Violation;
use crate::domain::time::Timestamp;

/// The trust domain of the demonstration.
pub const DEMO_TRUST_DOMAIN: &str = "demo.ecaf.example";

/// Everything that keeps a directory from production use: numbers from the drama ranges, connected
/// authorities without verified phone numbers for day and night or without staffed hours.
pub fn check_production(directory: &Directory, at: Timestamp) -> Vec<Violation> {
    let mut found = Vec::new();
    if directory.trust_domain.as_str() == DEMO_TRUST_DOMAIN {
        found.push(Violation::at(rules::DEMO_DOMAIN, "/trust_domain"));
    }
    for (i, authority) in directory.authorities.values().enumerate() {
        let place = format!("/authorities/{i}");
        for (j, contact) in authority.contacts.iter().enumerate() {
            if contact.phone.as_deref().is_some_and(is_drama_number) {
                let pointer = format!("{place}/contacts/{j}/phone");
                found
                    .push(Violation::at(rules::DRAMA_NUMBER, pointer).with_detail(&authority.name));
            }
        }
        if !authority.connection.is_live() {
            continue;
        }
        let mut need = |holds: bool, rule, member: &str| {
            if !holds {
                let pointer = format!("{place}/{member}");
                found.push(Violation::at(rule, pointer).with_detail(&authority.name));
            }
        };
        need(has_phone(authority, ContactKind::Daytime, at), rules::NO_DAYTIME, "contacts");
        need(has_phone(authority, ContactKind::OutOfHours, at), rules::NO_OUT_OF_HOURS, "contacts");
        need(authority.staffed.is_some(), rules::NO_HOURS, "staffed_hours");
        let officers = &authority.settings.officers;
        need(!officers.is_empty(), rules::NO_OFFICER, "designated_officers");
    }
    for (i, school) in directory.schools.values().enumerate() {
        let contact = school.settings.holiday_contact.as_ref();
        if contact.is_some_and(|c| c.phone.as_deref().is_some_and(is_drama_number)) {
            let pointer = format!("/schools/{i}/holiday_contact/phone");
            found.push(Violation::at(rules::DRAMA_NUMBER, pointer).with_detail(&school.name));
        }
    }
    found
}

fn has_phone(authority: &AuthorityEntry, kind: ContactKind, at: Timestamp) -> bool {
    authority.contacts.iter().any(|c| c.kind == kind && c.phone.is_some() && c.is_verified(at))
}

/// Whether a number lies in a range that Ofcom keeps for drama.
/// Source: Ofcom, "Telephone numbers for drama purposes (TV, Radio etc)".
pub fn is_drama_number(phone: &str) -> bool {
    const FIRST_EIGHT: [&str; 20] = [
        "01134960", "01144960", "01154960", "01164960", "01174960", "01184960", "01214960",
        "01314960", "01414960", "01514960", "01614960", "01914980", "02079460", "02896496",
        "02920180", "01632960", "07700900", "08081570", "09098790", "03069990",
    ];
    let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
    let national = match digits.strip_prefix("0044").or_else(|| digits.strip_prefix("44")) {
        Some(rest) => format!("0{}", rest.trim_start_matches('0')),
        None => digits,
    };
    national.len() == 11 && FIRST_EIGHT.contains(&&national[..8])
}

#[cfg(test)]
mod tests {
    use super::super::{Header, build, read_overlay};
    use super::*;
    use crate::domain::time::DAY;

    #[test]
    fn drama_numbers_in_any_spelling() {
        for phone in [
            "01632 960123",
            "020 7946 0999",
            "07700 900 000",
            "+44 7700 900000",
            "0044 1632 960123",
            "+44 (0)1632 960123",
            "0113 496 0001",
            "0161 496 0999",
            "03069 990123",
        ] {
            assert!(is_drama_number(phone), "{phone}");
        }
        for phone in ["020 8430 2000", "01632 961123", "07700 901000", "999", "01632 9601234"] {
            assert!(!is_drama_number(phone), "{phone}");
        }
    }

    #[test]
    fn a_live_authority_needs_numbers_for_day_and_night() {
        let at: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let found = |contacts: &str| {
            let overlay = format!(
                "[[authorities]]\ncode = \"316\"\nconnection = \"pull\"\n\
                 staffed_hours = \"mon-fri 09:00-17:00\"\n\
                 designated_officers = [\"lado-1\"]\n{contacts}"
            );
            let header = Header {
                version: 1,
                issued_at: at,
                expires_at: at.plus(DAY),
                trust_domain: "scheme.example.org".parse().unwrap(),
            };
            let overlay = read_overlay(&overlay).unwrap();
            let (directory, _) = build(header, overlay, None).unwrap();
            check_production(&directory, at).iter().map(|v| v.rule.id).collect::<Vec<_>>()
        };
        let contact = |kind: &str, phone: &str, verified: &str| {
            format!(
                "[[authorities.contacts]]\nkind = \"{kind}\"\nlabel = \"Desk\"\n\
                 phone = \"{phone}\"\n{verified}"
            )
        };
        let verified = "verified_at = \"2026-11-02\"\nverified_by = \"operator-desk\"\n";
        // The first lies beside the drama range, the second in it.
        let (number, drama) = ("01632 961000", "01632 960001");
        let [day, night] = [rules::NO_DAYTIME.id, rules::NO_OUT_OF_HOURS.id];
        assert_eq!(found(""), [day, night]);
        assert_eq!(found(&contact("daytime", number, "")), [day, night]);
        assert_eq!(found(&contact("daytime", number, verified)), [night]);
        let both =
            contact("daytime", number, verified) + &contact("out_of_hours", number, verified);
        assert!(found(&both).is_empty());
        let invented = both.replacen(number, drama, 1);
        assert_eq!(found(&invented), [rules::DRAMA_NUMBER.id]);
    }
}
