//! From the directory's JSON to its values: strict, and every mistake at once.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::document::{AuthorityDoc, ContactDoc, DirectoryDoc, GatewayDoc, SchoolDoc};
use super::{rules, settings};
use crate::domain::calendar::BankHolidays;
use crate::domain::directory::{
    AreaCode, AuthorityEntry, Connection, Contact, ContactKind, Directory, GatewayEntry,
    OutOfHours, SchoolEntry, Signing, Verified,
};
use crate::domain::hours::Hours;
use crate::domain::refusal::{Rule, Violation};
use crate::domain::time::{DAY, Date, Timestamp};

/// The longest time between issue and end: a directory that is never replaced must stop being
/// believed within a quarter of a year.
pub const LONGEST_LIFE_MILLIS: i64 = 92 * DAY;

/// Reads the directory's JSON.
pub fn read_json(document: &[u8]) -> Result<Directory, Vec<Violation>> {
    let doc: DirectoryDoc = serde_json::from_slice(document).map_err(|fault| {
        // The library's own words can repeat a value; the place says enough.
        let place = format!("line {}, column {}", fault.line(), fault.column());
        vec![Violation::whole(rules::DOCUMENT).with_detail(place)]
    })?;
    read(&doc)
}

/// Reads the values of a document.
pub fn read(doc: &DirectoryDoc) -> Result<Directory, Vec<Violation>> {
    let mut r = Reader(Vec::new());
    let issued_at: Timestamp = r.parse("/issued_at", &doc.issued_at).unwrap_or(EPOCH);
    let expires_at: Timestamp = r.parse("/expires_at", &doc.expires_at).unwrap_or(EPOCH);
    if doc.version == 0 {
        r.say(rules::VALUE, "/version", "versions count from 1");
    }
    if r.0.is_empty() && !(1..=LONGEST_LIFE_MILLIS).contains(&expires_at.since(issued_at)) {
        r.say(rules::VALUE, "/expires_at", "must be after issued_at by no more than 92 days");
    }
    let trust_domain = r.parse("/trust_domain", &doc.trust_domain);
    let mut bank_holidays: Vec<Date> = Vec::new();
    for (i, day) in doc.bank_holidays.iter().enumerate() {
        bank_holidays.extend(r.parse::<Date>(&format!("/bank_holidays/{i}"), day));
    }
    bank_holidays.sort_unstable();
    bank_holidays.dedup();
    let days_off = BankHolidays::new(&bank_holidays);

    let mut gateways = BTreeMap::new();
    for (i, gateway) in doc.gateways.iter().enumerate() {
        let at = format!("/gateways/{i}");
        let entry = r.gateway(&at, gateway);
        r.insert(&mut gateways, &at, entry.map(|g| (g.name.clone(), g)));
    }
    let mut authorities = BTreeMap::new();
    for (i, authority) in doc.authorities.iter().enumerate() {
        let at = format!("/authorities/{i}");
        let entry = r.authority(&at, authority, &days_off);
        r.insert(&mut authorities, &at, entry.map(|a| (a.code, a)));
    }
    let mut schools = BTreeMap::new();
    for (i, school) in doc.schools.iter().enumerate() {
        let at = format!("/schools/{i}");
        let entry = r.school(&at, school, &days_off);
        if let Some(school) = &entry {
            if !authorities.contains_key(&school.authority) {
                r.say(rules::CONTRADICTION, &format!("{at}/authority"), "no such authority here");
            }
            if let Signing::AttestedBy(by) = &school.signing
                && by.iter().any(|name| !gateways.contains_key(name))
            {
                r.say(rules::CONTRADICTION, &format!("{at}/attested_by"), "no such gateway here");
            }
        }
        r.insert(&mut schools, &at, entry.map(|s| (s.id.clone(), s)));
    }
    match (trust_domain, r.0.is_empty()) {
        (Some(trust_domain), true) => Ok(Directory {
            version: doc.version,
            issued_at,
            expires_at,
            trust_domain,
            bank_holidays,
            days_off,
            authorities,
            schools,
            gateways,
        }),
        _ => Err(r.0),
    }
}

/// Whether `text` is an `https://` URL with a host, an optional port and path, and nothing else; no
/// slash at the end.
pub fn is_https_base_url(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://") else { return false };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, "x"));
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    let part = |text: &str, also: &[u8]| {
        !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || also.contains(&c))
    };
    text.len() <= 200
        && part(host, b"-.")
        && !host.starts_with(['-', '.'])
        && part(path, b"-._~/")
        && !path.ends_with('/')
        && !path.contains("//")
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}

const EPOCH: Timestamp = Timestamp::from_millis(0);

/// Collects every mistake.
pub(super) struct Reader(Vec<Violation>);

impl Reader {
    pub(super) fn say(&mut self, rule: Rule, pointer: &str, detail: &str) {
        self.0.push(Violation::at(rule, pointer).with_detail(detail));
    }

    pub(super) fn parse<T: FromStr<Err: std::fmt::Display>>(
        &mut self,
        at: &str,
        text: &str,
    ) -> Option<T> {
        text.parse().map_err(|e: T::Err| self.say(rules::VALUE, at, &e.to_string())).ok()
    }

    pub(super) fn optional<T: FromStr<Err: std::fmt::Display>>(
        &mut self,
        at: String,
        text: &Option<String>,
    ) -> Option<T> {
        text.as_ref().and_then(|text| self.parse(&at, text))
    }

    pub(super) fn check(&mut self, holds: bool, at: String, detail: &str) {
        if !holds {
            self.say(rules::VALUE, &at, detail);
        }
    }

    fn insert<K: Ord, V>(&mut self, map: &mut BTreeMap<K, V>, at: &str, entry: Option<(K, V)>) {
        if let Some((key, value)) = entry
            && map.insert(key, value).is_some()
        {
            self.0.push(Violation::at(rules::DUPLICATE, at));
        }
    }

    fn dates(
        &mut self,
        at: &str,
        from: &Option<String>,
        to: &Option<String>,
    ) -> (Option<Date>, Option<Date>) {
        let from = self.optional(format!("{at}/valid_from"), from);
        let to = self.optional(format!("{at}/valid_to"), to);
        if let (Some(from), Some(to)) = (from, to)
            && to < from
        {
            self.say(rules::CONTRADICTION, &format!("{at}/valid_to"), "ends before it begins");
        }
        (from, to)
    }

    fn label(&mut self, at: String, text: Option<&str>) -> String {
        let text = text.unwrap_or_default();
        let fits = (1..=150).contains(&text.chars().count())
            && text.trim() == text
            && !text.chars().any(char::is_control);
        self.check(fits, at, "1 to 150 characters on one line, without spaces around");
        text.to_owned()
    }

    fn gateway(&mut self, at: &str, doc: &GatewayDoc) -> Option<GatewayEntry> {
        self.check(
            is_https_base_url(&doc.base_url),
            format!("{at}/base_url"),
            "an https:// URL without query and without a slash at the end",
        );
        let name = self.parse(&format!("{at}/name"), &doc.name)?;
        Some(GatewayEntry { name, base_url: doc.base_url.clone() })
    }

    fn authority(
        &mut self,
        at: &str,
        doc: &AuthorityDoc,
        days_off: &BankHolidays,
    ) -> Option<AuthorityEntry> {
        let code = self.parse(&format!("{at}/code"), &doc.code);
        let name = self.label(format!("{at}/name"), doc.name.as_deref());
        let mut areas = Vec::new();
        for (i, area) in doc.areas.iter().flatten().enumerate() {
            let at = format!("{at}/areas/{i}");
            let gss = area.gss.as_bytes();
            let valid = gss.len() == 9 && gss[0] == b'E' && gss[1..].iter().all(u8::is_ascii_digit);
            self.check(valid, format!("{at}/gss"), "E and eight digits");
            let from = Some(area.valid_from.clone());
            if let (Some(valid_from), valid_to) = self.dates(&at, &from, &area.valid_to) {
                areas.push(AreaCode { gss: area.gss.clone(), valid_from, valid_to });
            }
        }
        let (valid_from, valid_to) = self.dates(at, &doc.valid_from, &doc.valid_to);
        let connection = self.connection(at, doc);
        let events_endpoint = self.events_endpoint(at, &doc.events_endpoint);
        let staffed = self.optional(format!("{at}/staffed_hours"), &doc.staffed_hours);
        let out_of_hours = OutOfHours::ALL
            .into_iter()
            .find(|o| doc.out_of_hours.as_deref().unwrap_or("none_verified") == o.as_str());
        self.check(
            out_of_hours.is_some(),
            format!("{at}/out_of_hours"),
            "endpoint, phone_only or none_verified",
        );
        let mut contacts = Vec::new();
        for (i, contact) in doc.contacts.iter().enumerate() {
            contacts.extend(self.contact(&format!("{at}/contacts/{i}"), contact));
        }
        let settings = settings::authority(self, at, doc, days_off);
        Some(AuthorityEntry {
            settings,
            code: code?,
            name,
            areas,
            valid_from,
            valid_to,
            connection: connection?,
            events_endpoint,
            staffed,
            out_of_hours: out_of_hours?,
            contacts,
        })
    }

    /// Where events are pushed to, for an authority or a school.
    fn events_endpoint(&mut self, at: &str, url: &Option<String>) -> Option<String> {
        let valid = url.as_deref().is_none_or(is_https_base_url);
        self.check(valid, format!("{at}/events_endpoint"), "an https:// base URL");
        url.clone()
    }

    fn connection(&mut self, at: &str, doc: &AuthorityDoc) -> Option<Connection> {
        let endpoint = doc.endpoint.as_deref();
        let connection = match (doc.connection.as_deref().unwrap_or("not_connected"), endpoint) {
            ("push", Some(url)) if is_https_base_url(url) => {
                Some(Connection::Push { endpoint: url.to_owned() })
            }
            ("pull", None) => Some(Connection::Pull),
            ("page", None) => Some(Connection::Page),
            ("not_connected", None) => Some(Connection::NotConnected),
            _ => None,
        };
        self.check(
            connection.is_some(),
            format!("{at}/connection"),
            "push with an https:// endpoint, or pull, page, not_connected without one",
        );
        connection
    }

    fn contact(&mut self, at: &str, doc: &ContactDoc) -> Option<Contact> {
        let kind = ContactKind::ALL.into_iter().find(|k| k.as_str() == doc.kind);
        self.check(
            kind.is_some(),
            format!("{at}/kind"),
            "daytime, out_of_hours, lado, technical or escalation",
        );
        let label = self.label(format!("{at}/label"), Some(&doc.label));
        let (hours, verified) = self.way(
            at,
            (&doc.phone, &doc.email),
            &doc.hours,
            (&doc.verified_at, &doc.verified_by),
        );
        let (phone, email) = (doc.phone.clone(), doc.email.clone());
        Some(Contact { kind: kind?, label, phone, email, hours, verified })
    }

    /// How somebody is reached: number, mailbox, hours, and who tried it.
    pub(super) fn way(
        &mut self,
        at: &str,
        (phone, email): (&Option<String>, &Option<String>),
        hours: &Option<String>,
        (verified_at, verified_by): (&Option<String>, &Option<String>),
    ) -> (Option<Hours>, Option<Verified>) {
        if let Some(phone) = phone {
            let valid = (3..=20).contains(&phone.len())
                && phone.bytes().all(|c| c.is_ascii_digit() || matches!(c, b' ' | b'+'));
            self.check(valid, format!("{at}/phone"), "digits and spaces, at most 20");
        }
        if let Some(email) = email {
            let valid = email.len() <= 254
                && email.bytes().all(|c| c.is_ascii_graphic())
                && email
                    .split_once('@')
                    .is_some_and(|(a, b)| !a.is_empty() && b.contains('.') && !b.contains('@'));
            self.check(valid, format!("{at}/email"), "a mailbox such as desk@example.org");
        }
        self.check(
            phone.is_some() || email.is_some(),
            at.to_owned(),
            "a contact has a phone number or an e-mail address",
        );
        let hours = self.optional(format!("{at}/hours"), hours);
        let on: Option<Date> = self.optional(format!("{at}/verified_at"), verified_at);
        if verified_at.is_some() != verified_by.is_some() {
            self.say(rules::CONTRADICTION, at, "verified_at and verified_by come together");
        }
        let by = verified_by.as_ref().map(|by| self.label(format!("{at}/verified_by"), Some(by)));
        let verified = on.zip(by).map(|(on, by)| Verified { on, by });
        (hours, verified)
    }

    fn school(
        &mut self,
        at: &str,
        doc: &SchoolDoc,
        days_off: &BankHolidays,
    ) -> Option<SchoolEntry> {
        let id = self.parse(&format!("{at}/id"), &doc.id);
        let name = self.label(format!("{at}/name"), doc.name.as_deref());
        let authority =
            self.parse(&format!("{at}/authority"), doc.authority.as_deref().unwrap_or_default());
        let mut by = Vec::new();
        for (i, name) in doc.attested_by.iter().enumerate() {
            by.extend(self.parse(&format!("{at}/attested_by/{i}"), name));
        }
        let signing = match (doc.signing.as_str(), by.is_empty()) {
            ("signed", true) => Some(Signing::Signed),
            ("attested", false) => Some(Signing::AttestedBy(by)),
            _ => None,
        };
        self.check(
            signing.is_some(),
            format!("{at}/signing"),
            "signed, or attested with at least one gateway in attested_by",
        );
        let (valid_from, valid_to) = self.dates(at, &doc.valid_from, &doc.valid_to);
        let settings = settings::school(self, at, doc, days_off);
        let events_endpoint = self.events_endpoint(at, &doc.events_endpoint);
        Some(SchoolEntry {
            settings,
            events_endpoint,
            id: id?,
            name,
            authority: authority?,
            signing: signing?,
            valid_from,
            valid_to,
        })
    }
}
