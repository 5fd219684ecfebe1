//! Building a directory: the table of authorities, an operator's overlay in TOML on top, schools
//! completed from a register.

use serde::Deserialize;

use super::document::{AuthorityDoc, DirectoryDoc, GatewayDoc, SchoolDoc};
use super::{Register, read::read, table};
use crate::domain::directory::Directory;
use crate::domain::party::{DfeCode, TrustDomain};
use crate::domain::refusal::Violation;
use crate::domain::time::Timestamp;

/// What an operator adds to the table: everything by code, id or name.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Overlay {
    /// Connections, hours and contacts; also names and areas of authorities that the table lacks.
    pub authorities: Vec<AuthorityDoc>,
    /// Enrolled schools.
    pub schools: Vec<SchoolDoc>,
    /// The gateways.
    pub gateways: Vec<GatewayDoc>,
    /// More bank holidays than the table has.
    pub bank_holidays: Vec<String>,
}

/// What differs from issue to issue.
#[derive(Debug, Clone)]
pub struct Header {
    /// Grows with every issue, from 1.
    pub version: u64,
    /// Now.
    pub issued_at: Timestamp,
    /// When the next issue should be in use.
    pub expires_at: Timestamp,
    /// The scheme.
    pub trust_domain: TrustDomain,
}

/// Why no directory was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildFault(pub Vec<Violation>);

impl std::fmt::Display for BuildFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, violation) in self.0.iter().enumerate() {
            write!(f, "{}{violation}", if i > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for BuildFault {}

/// Reads an overlay; the error has line and column.
pub fn read_overlay(toml: &str) -> Result<Overlay, toml::de::Error> {
    toml::from_str(toml)
}

/// Builds a directory. Beside it come warnings in plain English: where overlay and register
/// disagree, or a school of the overlay is closed. The overlay wins.
pub fn build(
    header: Header,
    overlay: Overlay,
    register: Option<&Register>,
) -> Result<(Directory, Vec<String>), BuildFault> {
    let mut authorities = table::authorities();
    for entry in overlay.authorities {
        match authorities.iter_mut().find(|a| a.code == entry.code) {
            Some(held) => lay_over(held, entry),
            None => authorities.push(entry),
        }
    }
    let mut warnings = Vec::new();
    let mut schools = overlay.schools;
    if let Some(register) = register {
        for school in &mut schools {
            complete(school, register, &mut warnings);
        }
    }
    let mut bank_holidays = table::bank_holidays();
    bank_holidays.extend(overlay.bank_holidays);
    let doc = DirectoryDoc {
        version: header.version,
        issued_at: header.issued_at.to_string(),
        expires_at: header.expires_at.to_string(),
        trust_domain: header.trust_domain.to_string(),
        bank_holidays,
        authorities,
        schools,
        gateways: overlay.gateways,
    };
    let built = read(&doc).map_err(|found| {
        BuildFault(found.into_iter().map(|violation| with_code(violation, &doc)).collect())
    });
    built.map(|directory| (directory, warnings))
}

/// Says which authority is meant: its place in the built document tells the overlay's author
/// nothing.
fn with_code(violation: Violation, doc: &DirectoryDoc) -> Violation {
    let place = violation.pointer.strip_prefix("/authorities/");
    let index = place.and_then(|rest| rest.split('/').next()?.parse::<usize>().ok());
    let code = index.and_then(|i| doc.authorities.get(i)?.code.parse::<DfeCode>().ok());
    match code {
        Some(code) => {
            let detail = format!("authority {code}: {}", violation.detail);
            violation.with_detail(detail)
        }
        None => violation,
    }
}

fn lay_over(held: &mut AuthorityDoc, entry: AuthorityDoc) {
    let AuthorityDoc { name, areas, valid_from, valid_to, .. } = std::mem::take(held);
    *held = AuthorityDoc {
        name: entry.name.or(name),
        areas: entry.areas.or(areas),
        valid_from: entry.valid_from.or(valid_from),
        valid_to: entry.valid_to.or(valid_to),
        ..entry
    };
}

fn complete(school: &mut SchoolDoc, register: &Register, warnings: &mut Vec<String>) {
    let Some(found) = school.id.parse().ok().and_then(|id| register.get(&id)) else {
        warnings.push(format!("school {}: not in the register", school.id));
        return;
    };
    if !found.open {
        warnings.push(format!("school {}: not open according to the register", school.id));
    }
    let name = school.name.get_or_insert_with(|| found.name.clone());
    if *name != found.name {
        warnings.push(format!("school {}: the register has another name", school.id));
    }
    let listed = found.authority.map(|code| code.to_string());
    if school.authority.is_none() {
        school.authority = listed;
    } else if listed.is_some() && school.authority != listed {
        warnings.push(format!("school {}: the register has another authority", school.id));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{read_json, read_register, rules, write_json};
    use super::*;
    use crate::domain::directory::{Connection, Signing};
    use crate::domain::time::DAY;

    fn header() -> Header {
        let issued_at: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        Header {
            version: 1,
            issued_at,
            expires_at: issued_at.plus(30 * DAY),
            trust_domain: "demo.ecaf.example".parse().unwrap(),
        }
    }

    const OVERLAY: &str = r#"
        [[gateways]]
        name = "london-1"
        base_url = "https://gateway.example:8443"

        [[authorities]]
        code = "316"
        connection = "push"
        endpoint = "https://newham.example/ecaf"
        staffed_hours = "mon-fri 09:00-17:00"
        out_of_hours = "phone_only"

        [[authorities.contacts]]
        kind = "daytime"
        label = "Multi-agency safeguarding hub"
        phone = "01632 960316"
        verified_at = "2026-11-01"
        verified_by = "operator-desk"

        [[schools]]
        id = "900001"
        signing = "attested"
        attested_by = ["london-1"]
    "#;

    #[test]
    fn without_an_overlay_nobody_is_connected() {
        let (directory, warnings) = build(header(), Overlay::default(), None).unwrap();
        assert_eq!(directory.authorities.len(), table::AUTHORITY_COUNT);
        assert!(directory.authorities.values().all(|a| a.connection == Connection::NotConnected));
        assert!(warnings.is_empty());
    }

    #[test]
    fn overlay_and_register_complete_each_other() {
        let register =
            read_register(&b"urn,name,la_dfe_code,status\n900001,Example School,317,Open\n"[..]);
        let overlay = read_overlay(OVERLAY).unwrap();
        let (directory, warnings) = build(header(), overlay, Some(&register.unwrap())).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let code: DfeCode = "316".parse().unwrap();
        let newham = directory.authority(code, header().issued_at).unwrap();
        assert_eq!(newham.name, "Newham");
        assert_eq!(newham.areas.len(), 1);
        let school = &directory.schools[&"900001".parse().unwrap()];
        assert_eq!(school.name, "Example School");
        assert_eq!(school.authority.as_str(), "317");
        assert_eq!(school.signing, Signing::AttestedBy(vec!["london-1".parse().unwrap()]));
        assert_eq!(read_json(&write_json(&directory)), Ok(directory));
    }

    #[test]
    fn every_mistake_at_once_and_no_value_in_any() {
        let overlay = read_overlay(
            r#"
            bank_holidays = ["XVALUE"]
            [[gateways]]
            name = "XVALUE"
            base_url = "http://xvalue.example"
            [[authorities]]
            code = "316"
            connection = "push"
            endpoint = "https://user:xvalue@newham.example"
            staffed_hours = "xvalue"
            out_of_hours = "xvalue"
            contacts = [
                { kind = "xvalue", label = "", phone = "xvalue", verified_at = "2026-02-30" },
                { kind = "daytime", label = "Desk" },
            ]
            [[schools]]
            id = "900001"
            name = "Example School"
            authority = "999"
            signing = "attested"
            "#,
        );
        let BuildFault(violations) = build(header(), overlay.unwrap(), None).unwrap_err();
        let text = BuildFault(violations.clone()).to_string();
        assert!(!text.to_lowercase().contains("xvalue"), "{text}");
        assert!(text.contains("authority 316: push with an https"), "{text}");
        let mut pointers: Vec<_> = violations.iter().map(|v| v.pointer.as_str()).collect();
        pointers.sort_unstable();
        // Newham is entry 71 of the table.
        let index = table::authorities().iter().position(|a| a.code == "316").unwrap();
        let of = |rest: &str| format!("/authorities/{index}{rest}");
        let mut wanted = vec![
            "/bank_holidays/140".to_owned(),
            "/gateways/0/base_url".to_owned(),
            "/gateways/0/name".to_owned(),
            "/schools/0/signing".to_owned(),
            of("/connection"),
            of("/contacts/0"),
            of("/contacts/0/kind"),
            of("/contacts/0/label"),
            of("/contacts/0/phone"),
            of("/contacts/0/verified_at"),
            of("/contacts/1"),
            of("/out_of_hours"),
            of("/staffed_hours"),
        ];
        wanted.sort_unstable();
        assert_eq!(pointers, wanted);
    }

    #[test]
    fn every_mistake_in_what_is_told_of_days_and_promises_at_once() {
        let overlay = read_overlay(
            r#"
            [[authorities]]
            code = "316"
            cut_off = "09:00"
            designated_officers = ["X VALUE"]
            profile = { limits = { C5 = "2 working days", C4 = "1 h", C9 = "xvalue", xvalue = "1 h" } }
            calendar = { terms = [{ first = "2026-09-03", last = "2026-09-01" }] }
            [[schools]]
            id = "900001"
            name = "Example School"
            authority = "316"
            signing = "signed"
            [schools.holiday_contact]
            role = "xvalue"
            [schools.calendar]
            opens = "16:00"
            home_time = "15:15"
            terms = [
                { first = "2026-09-03", last = "2026-12-18" },
                { first = "2026-12-01", last = "2027-02-12" },
                { first = "2027-02-20", last = "2027-02-21" },
                { first = "2027-03-01", last = "2028-03-01" },
            ]
            inset_days = ["2026-08-31", "2026-11-27", "2026-11-27"]
            half_days = [{ day = "2026-12-18", ends = "25:00" }]
            closures = [{ first = "xvalue", last = "2026-12-01" }]
            "#,
        );
        let BuildFault(violations) = build(header(), overlay.unwrap(), None).unwrap_err();
        let text = BuildFault(violations.clone()).to_string().to_lowercase();
        assert!(!text.contains("xvalue") && !text.contains("x value"), "{text}");
        let index = table::authorities().iter().position(|a| a.code == "316").unwrap();
        let place = format!("/authorities/{index}");
        let found: Vec<_> = violations
            .iter()
            .map(|v| {
                let pointer = v.pointer.replace(&place, "/316").replace("/schools/0", "/school");
                format!("{pointer} {}", v.rule.id.trim_start_matches("directory."))
            })
            .collect();
        assert_eq!(
            found,
            [
                "/316/cut_off profile.cut-off",
                "/316/designated_officers/0 value",
                "/316/calendar/terms/0/last contradiction",
                "/316/profile/limits/*0 value",
                "/316/profile/limits/C5 profile.slower",
                "/316/profile/limits/C9 value",
                "/316/profile/limits/*3 value",
                "/school/calendar/home_time contradiction",
                "/school/calendar/terms/1 calendar.terms-overlap",
                "/school/calendar/terms/3 value",
                "/school/calendar/closures/0/first value",
                "/school/calendar/inset_days/0 calendar.day-outside-term",
                "/school/calendar/inset_days/2 contradiction",
                "/school/calendar/half_days/0/ends value",
                "/school/calendar/terms/2 calendar.term-without-days",
                "/school/holiday_contact/role value",
                "/school/holiday_contact value",
            ]
        );
    }

    #[test]
    fn the_sample_is_a_directory_that_lacks_nothing_but_real_numbers() {
        let sample =
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/directory.overlay.toml"));
        let (directory, warnings) = build(header(), read_overlay(sample).unwrap(), None).unwrap();
        assert!(warnings.is_empty());
        assert_eq!(
            read_json(&write_json(&directory)),
            Ok(directory.clone()),
            "and is written whole"
        );
        let found = super::super::check_production(&directory, header().issued_at);
        let mut rules: Vec<_> = found.iter().map(|v| v.rule.id).collect();
        rules.dedup();
        assert_eq!(rules, [rules::DEMO_DOMAIN.id, rules::DRAMA_NUMBER.id]);
    }

    #[test]
    fn contradictions_and_duplicates() {
        let school = r#"
            [[schools]]
            id = "900001"
            name = "Example School"
            authority = "316"
            signing = "signed"
        "#;
        let rules_of = |toml: &str| {
            let overlay = read_overlay(toml).unwrap();
            let BuildFault(violations) = build(header(), overlay, None).unwrap_err();
            violations.iter().map(|v| v.rule).collect::<Vec<_>>()
        };
        assert_eq!(rules_of(&format!("{school}{school}")), [rules::DUPLICATE]);
        let elsewhere = school.replace("316", "999");
        assert_eq!(rules_of(&elsewhere), [rules::CONTRADICTION]);
        let attested = school.replace("\"signed\"", "\"attested\"\nattested_by = [\"nowhere\"]");
        assert_eq!(rules_of(&attested), [rules::CONTRADICTION]);
        assert!(read_overlay("surprise = 1").is_err());
    }
}
