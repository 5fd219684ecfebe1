//! The scheme's directory: who takes part, how they are reached, and whom to ring meanwhile.
//!
//! Values and look-ups only. The signed file is read by `protocol::directory`, which is the only
//! maker of a directory that anybody may act on.

mod settings;

use std::collections::BTreeMap;

pub use settings::{AuthoritySettings, HolidayContact, HolidayRole, SchoolSettings};

use super::calendar::BankHolidays;
use super::hours::{Hours, england_text};
use super::party::{DfeCode, Name, PersonId, SchoolId, TrustDomain};
use super::time::{DAY, Date, Timestamp};

/// What to do where no verified number is known.
/// Source: gov.uk "Report child abuse" and "Report child abuse to a local council".
pub const GENERAL_ADVICE: &str = "If a child is in danger now, ring 999. Otherwise report it to the \
    local council of the place where the child lives: gov.uk/report-child-abuse-to-local-council";

/// How long past its end a directory may still be used, marked as stale: the rule for revocation
/// lists, applied to the directory too.
pub const GRACE_MILLIS: i64 = DAY;

/// One issue of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Grows with every issue.
    pub version: u64,
    /// When the operator made it.
    pub issued_at: Timestamp,
    /// When the next issue should be in use.
    pub expires_at: Timestamp,
    /// The scheme that it describes.
    pub trust_domain: TrustDomain,
    /// Bank holidays of England and Wales as listed, sorted.
    pub bank_holidays: Vec<Date>,
    /// The same with those that are published and computed: for all staffed hours in it.
    pub days_off: BankHolidays,
    /// All children's services authorities, connected or not.
    pub authorities: BTreeMap<DfeCode, AuthorityEntry>,
    /// Enrolled schools and other settings.
    pub schools: BTreeMap<SchoolId, SchoolEntry>,
    /// Gateways of the scheme: receipts of any of them count.
    pub gateways: BTreeMap<Name, GatewayEntry>,
}

/// A children's services authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityEntry {
    /// The code of the Department for Education, which follows the organisation.
    pub code: DfeCode,
    /// Its name in plain English, without "Council".
    pub name: String,
    /// Its ONS area codes over time; the area code changes while the organisation stays.
    pub areas: Vec<AreaCode>,
    /// First day of the organisation, if known.
    pub valid_from: Option<Date>,
    /// Last day of the organisation; none while it exists.
    pub valid_to: Option<Date>,
    /// How a referral reaches it.
    pub connection: Connection,
    /// `https://` base URL of its receiver of events (RFC 8935): events are pushed there, beside whatever it
    /// polls. Also for one that collects its referrals.
    pub events_endpoint: Option<String>,
    /// When somebody reads its inbox; unknown is treated as nobody.
    pub staffed: Option<Hours>,
    /// Where to turn outside of those hours.
    pub out_of_hours: OutOfHours,
    /// Numbers and addresses, most important first within each kind.
    pub contacts: Vec<Contact>,
    /// Its promises, cut-off, designated officers and the terms of its area.
    pub settings: AuthoritySettings,
}

/// An ONS code of an authority's area, with the dates between which it stood for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AreaCode {
    /// Nine characters: `E09000025`.
    pub gss: String,
    /// First day.
    pub valid_from: Date,
    /// Last day; none while in use.
    pub valid_to: Option<Date>,
}

/// How a referral reaches an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// The gateway delivers to an endpoint of the authority.
    Push {
        /// `https://` base URL of the endpoint.
        endpoint: String,
    },
    /// The authority collects from the gateway.
    Pull,
    /// The authority reads on the gateway's pages.
    Page,
    /// Not reachable through the exchange: referrals are refused, with the number to ring.
    NotConnected,
}

impl Connection {
    /// As written in the directory.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Connection::Push { .. } => "push",
            Connection::Pull => "pull",
            Connection::Page => "page",
            Connection::NotConnected => "not_connected",
        }
    }

    /// Whether referrals can be delivered at all.
    pub const fn is_live(&self) -> bool {
        !matches!(self, Connection::NotConnected)
    }
}

/// What happens outside of staffed hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutOfHours {
    /// The endpoint is read round the clock (an emergency duty team).
    Endpoint,
    /// Only the out-of-hours phone number.
    PhoneOnly,
    /// No route has been verified.
    NoneVerified,
}

impl OutOfHours {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Endpoint, Self::PhoneOnly, Self::NoneVerified];

    /// As written in the directory.
    pub const fn as_str(self) -> &'static str {
        match self {
            OutOfHours::Endpoint => "endpoint",
            OutOfHours::PhoneOnly => "phone_only",
            OutOfHours::NoneVerified => "none_verified",
        }
    }
}

/// What a contact is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContactKind {
    /// The front door in office hours.
    Daytime,
    /// The emergency duty team.
    OutOfHours,
    /// The designated officer for allegations against staff.
    Lado,
    /// Whoever mends the connection.
    Technical,
    /// The next person when nobody answers.
    Escalation,
}

impl ContactKind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Daytime, Self::OutOfHours, Self::Lado, Self::Technical, Self::Escalation];

    /// As written in the directory.
    pub const fn as_str(self) -> &'static str {
        match self {
            ContactKind::Daytime => "daytime",
            ContactKind::OutOfHours => "out_of_hours",
            ContactKind::Lado => "lado",
            ContactKind::Technical => "technical",
            ContactKind::Escalation => "escalation",
        }
    }
}

/// A number or address of an authority. Shown to people only when verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// What it is for.
    pub kind: ContactKind,
    /// What the people there call themselves: "Multi-agency safeguarding hub".
    pub label: String,
    /// As a person would write it: `01632 960123`.
    pub phone: Option<String>,
    /// A secure mailbox.
    pub email: Option<String>,
    /// When it is answered, if that differs from what its kind implies.
    pub hours: Option<Hours>,
    /// Who last tried it, and when; unverified contacts are never given out.
    pub verified: Option<Verified>,
}

/// Somebody tried a contact and reached the right people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The day.
    pub on: Date,
    /// Who: a role or an opaque id of the operator, not a person's name.
    pub by: String,
}

/// A school or other setting that sends referrals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchoolEntry {
    /// URN, `ukprn-...` or an id that this directory assigns.
    pub id: SchoolId,
    /// Its name.
    pub name: String,
    /// The authority in whose area it is; the last resort of routing, never the first.
    pub authority: DfeCode,
    /// How its submissions are proved.
    pub signing: Signing,
    /// `https://` base URL of its receiver of events (RFC 8935), which it or its supplier runs under the school's
    /// own identity: events are pushed there, beside whatever it polls.
    pub events_endpoint: Option<String>,
    /// First day on which it may send.
    pub valid_from: Option<Date>,
    /// Last day on which it may send.
    pub valid_to: Option<Date>,
    /// Its days and its holiday contact.
    pub settings: SchoolSettings,
}

/// How the submissions of a school are proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signing {
    /// By its own signing certificate.
    Signed,
    /// By one of these gateways, on the word of the school's browser certificate.
    AttestedBy(Vec<Name>),
}

/// A gateway of the scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayEntry {
    /// Its name, as in its SPIFFE ID.
    pub name: Name,
    /// `https://` base URL of its interface.
    pub base_url: String,
}

/// Whether a directory may be acted on, by its dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Freshness {
    /// Within its dates.
    Fresh,
    /// Past its end by no more than [`GRACE_MILLIS`]: go on, and say so.
    Stale,
    /// Past that: refuse.
    Expired,
}

impl Freshness {
    /// The word used in readiness answers and receipts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Freshness::Fresh => "fresh",
            Freshness::Stale => "stale",
            Freshness::Expired => "expired",
        }
    }
}

impl Directory {
    /// Whether it may be acted on at `at`.
    pub fn freshness(&self, at: Timestamp) -> Freshness {
        match at.since(self.expires_at) {
            ..0 => Freshness::Fresh,
            0..=GRACE_MILLIS => Freshness::Stale,
            _ => Freshness::Expired,
        }
    }

    /// The authority with this code, if it exists at `at`.
    pub fn authority(&self, code: DfeCode, at: Timestamp) -> Option<&AuthorityEntry> {
        let entry = self.authorities.get(&code)?;
        within(at, entry.valid_from, entry.valid_to).then_some(entry)
    }

    /// The authority that an ONS area code stood for at `at`.
    pub fn authority_of_area(&self, gss: &str, at: Timestamp) -> Option<&AuthorityEntry> {
        let stands = |a: &AreaCode| a.gss == gss && within(at, Some(a.valid_from), a.valid_to);
        self.authorities.values().find(|entry| entry.areas.iter().any(stands))
    }

    /// The school with this id, if it may send at `at`.
    pub fn school(&self, id: &SchoolId, at: Timestamp) -> Option<&SchoolEntry> {
        let entry = self.schools.get(id)?;
        within(at, entry.valid_from, entry.valid_to).then_some(entry)
    }

    /// The gateway with this name.
    pub fn gateway(&self, name: &Name) -> Option<&GatewayEntry> {
        self.gateways.get(name)
    }

    /// Whether `gateway` may attest submissions of `school` at `at`.
    pub fn may_attest(&self, gateway: &Name, school: &SchoolId, at: Timestamp) -> bool {
        let entry = self.school(school, at);
        matches!(entry.map(|s| &s.signing), Some(Signing::AttestedBy(by)) if by.contains(gateway))
    }

    /// Whether `school` must sign its own submissions at `at`.
    pub fn must_sign(&self, school: &SchoolId, at: Timestamp) -> bool {
        matches!(self.school(school, at), Some(SchoolEntry { signing: Signing::Signed, .. }))
    }

    /// Whether somebody reads the authority's inbox at `at`.
    pub fn attended(&self, code: DfeCode, at: Timestamp) -> bool {
        self.authority(code, at).is_some_and(|entry| self.entry_attended(entry, at))
    }

    /// When the authority's inbox is next read: `at` itself while attended, `None` if unknown.
    pub fn next_attended(&self, code: DfeCode, at: Timestamp) -> Option<Timestamp> {
        let entry = self.authority(code, at)?;
        if self.entry_attended(entry, at) {
            return Some(at);
        }
        entry.staffed.as_ref()?.next_open(at, self.days_off.days())
    }

    /// The number to ring at `at`: the front door while it is staffed, otherwise the out-of-hours
    /// team. Only verified contacts with a phone whose own hours, if stated, say that it is
    /// answered. `None` means: give [`GENERAL_ADVICE`].
    pub fn phone_to_ring(&self, code: DfeCode, at: Timestamp) -> Option<&Contact> {
        let entry = self.authority(code, at)?;
        let staffed = entry.staffed.as_ref().is_some_and(|h| h.open_at(at, self.days_off.days()));
        let answered = |c: &&Contact| {
            c.phone.is_some()
                && c.is_verified(at)
                && c.hours.as_ref().is_none_or(|h| h.open_at(at, self.days_off.days()))
        };
        let first = |kind| entry.contacts.iter().filter(|c| c.kind == kind).find(answered);
        // A number whose own hours cover this minute is right whatever the inbox's hours say.
        let sure = |kind| first(kind).filter(|c: &&Contact| c.hours.is_some());
        if staffed {
            first(ContactKind::Daytime).or_else(|| sure(ContactKind::OutOfHours))
        } else {
            first(ContactKind::OutOfHours).or_else(|| sure(ContactKind::Daytime))
        }
    }

    /// The contact of a kind that is to be asked at `at`: verified, and answered at this hour rather
    /// than at another one.
    pub fn contact(&self, code: DfeCode, kind: ContactKind, at: Timestamp) -> Option<&Contact> {
        let entry = self.authority(code, at)?;
        let mut known = entry.contacts.iter().filter(|c| c.kind == kind && c.is_verified(at));
        let first = known.clone().next();
        let answered = |c: &&Contact| {
            c.hours.as_ref().is_none_or(|hours| hours.open_at(at, self.days_off.days()))
        };
        known.find(answered).or(first)
    }

    /// Whom to reach while a school is closed, if somebody has tried it.
    pub fn holiday_contact(&self, school: &SchoolId, at: Timestamp) -> Option<&HolidayContact> {
        let contact = self.schools.get(school)?.settings.holiday_contact.as_ref()?;
        contact.is_verified(at).then_some(contact)
    }

    /// Whether a person is a designated officer of an authority at `at`: the only ones there who see
    /// allegations about staff.
    pub fn is_officer(&self, code: DfeCode, person: &PersonId, at: Timestamp) -> bool {
        self.authority(code, at).is_some_and(|entry| entry.settings.officers.contains(person))
    }

    /// One sentence for a person: whom to ring at `at`, or the general advice.
    pub fn ring_text(&self, code: DfeCode, at: Timestamp) -> String {
        let name = self.authorities.get(&code).map_or("the council", |entry| &entry.name);
        let contact = self.phone_to_ring(code, at);
        match contact.and_then(|c| Some((c, c.phone.as_deref()?))) {
            Some((contact, phone)) => {
                format!(
                    "Ring {name}, {}, on {phone}. If a child is in danger now, ring 999",
                    contact.label
                )
            }
            None => GENERAL_ADVICE.to_owned(),
        }
    }

    /// One sentence for a person: how to reach the designated officer for allegations (LADO), or whom to
    /// ring instead.
    pub fn lado_text(&self, code: DfeCode, at: Timestamp) -> String {
        let officer = self.contact(code, ContactKind::Lado, at);
        match officer.and_then(|c| Some((c, c.phone.as_deref()?))) {
            Some((contact, phone)) => {
                let name = self.authorities.get(&code).map_or("the council", |entry| &entry.name);
                format!(
                    "Ring {name}, {}, on {phone}. If a child is in danger now, ring 999",
                    contact.label
                )
            }
            None => self.ring_text(code, at),
        }
    }

    /// What to say beside a delivery that nobody reads yet: `nobody is reading it before Mon 23 Nov
    /// 09:00`; `None` while attended.
    pub fn unattended_text(&self, code: DfeCode, at: Timestamp) -> Option<String> {
        match self.next_attended(code, at) {
            Some(next) if next <= at => None,
            Some(next) => {
                let year = next.in_england().0.year();
                let provisional = match self.days_off.provisional(year) {
                    true => format!(" (the bank holidays of {year} are provisional)"),
                    false => String::new(),
                };
                Some(format!("nobody is reading it before {}{provisional}", england_text(next)))
            }
            None => Some("it is not known when somebody reads it".to_owned()),
        }
    }

    fn entry_attended(&self, entry: &AuthorityEntry, at: Timestamp) -> bool {
        entry.connection.is_live()
            && (entry.out_of_hours == OutOfHours::Endpoint
                || entry.staffed.as_ref().is_some_and(|h| h.open_at(at, self.days_off.days())))
    }
}

impl Contact {
    /// Whether somebody had tried it by `at`.
    pub fn is_verified(&self, at: Timestamp) -> bool {
        self.verified.as_ref().is_some_and(|v| v.on <= at.in_england().0)
    }
}

fn within(at: Timestamp, from: Option<Date>, to: Option<Date>) -> bool {
    let today = at.in_england().0;
    from.is_none_or(|from| from <= today) && to.is_none_or(|to| today <= to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn contact(kind: ContactKind, phone: &str, verified: Option<&str>) -> Contact {
        Contact {
            kind,
            label: "the duty desk".to_owned(),
            phone: Some(phone.to_owned()),
            email: None,
            hours: None,
            verified: verified
                .map(|on| Verified { on: on.parse().unwrap(), by: "operator-desk".to_owned() }),
        }
    }

    fn newham() -> DfeCode {
        "316".parse().unwrap()
    }

    fn directory() -> Directory {
        let newham = AuthorityEntry {
            code: newham(),
            name: "Newham".to_owned(),
            areas: vec![
                AreaCode {
                    gss: "E09000025".to_owned(),
                    valid_from: "2009-01-01".parse().unwrap(),
                    valid_to: Some("2027-03-31".parse().unwrap()),
                },
                AreaCode {
                    gss: "E09000099".to_owned(),
                    valid_from: "2027-04-01".parse().unwrap(),
                    valid_to: None,
                },
            ],
            valid_from: None,
            valid_to: None,
            connection: Connection::Pull,
            events_endpoint: None,
            staffed: Some("mon-fri 09:00-17:00".parse().unwrap()),
            out_of_hours: OutOfHours::PhoneOnly,
            contacts: vec![
                contact(ContactKind::Daytime, "01632 960001", None),
                contact(ContactKind::Daytime, "01632 960002", Some("2026-10-01")),
                contact(ContactKind::OutOfHours, "01632 960003", Some("2026-10-01")),
            ],
            settings: AuthoritySettings::default(),
        };
        let school = SchoolEntry {
            id: "900001".parse().unwrap(),
            name: "Example Primary School".to_owned(),
            authority: "317".parse().unwrap(),
            events_endpoint: None,
            signing: Signing::AttestedBy(vec!["london-1".parse().unwrap()]),
            valid_from: None,
            valid_to: Some("2026-12-31".parse().unwrap()),
            settings: SchoolSettings::default(),
        };
        Directory {
            version: 7,
            issued_at: at("2026-11-01T00:00:00Z"),
            expires_at: at("2026-12-01T00:00:00Z"),
            trust_domain: "demo.ecaf.example".parse().unwrap(),
            bank_holidays: vec!["2026-12-25".parse().unwrap()],
            days_off: BankHolidays::default(),
            authorities: [(newham.code, newham)].into(),
            schools: [(school.id.clone(), school)].into(),
            gateways: BTreeMap::new(),
        }
    }

    fn phone(directory: &Directory, when: &str) -> Option<String> {
        directory.phone_to_ring(newham(), at(when)).and_then(|c| c.phone.clone())
    }

    #[test]
    fn freshness_ends_after_a_day_of_grace() {
        let directory = directory();
        assert_eq!(directory.freshness(at("2026-11-30T23:59:59.999Z")), Freshness::Fresh);
        assert_eq!(directory.freshness(at("2026-12-01T00:00:00Z")), Freshness::Stale);
        assert_eq!(directory.freshness(at("2026-12-02T00:00:00Z")), Freshness::Stale);
        assert_eq!(directory.freshness(at("2026-12-02T00:00:00.001Z")), Freshness::Expired);
    }

    #[test]
    fn the_number_follows_the_staffed_hours() {
        let directory = directory();
        assert_eq!(phone(&directory, "2026-11-20T16:59:00Z").unwrap(), "01632 960002");
        assert_eq!(phone(&directory, "2026-11-20T17:00:00Z").unwrap(), "01632 960003");
        assert_eq!(phone(&directory, "2026-12-25T10:00:00Z").unwrap(), "01632 960003");
        // The same 16:30 UTC on either side of the end of summer time.
        assert_eq!(phone(&directory, "2026-10-23T16:30:00Z").unwrap(), "01632 960003");
        assert_eq!(phone(&directory, "2026-10-26T16:30:00Z").unwrap(), "01632 960002");
    }

    #[test]
    fn an_unverified_number_is_never_given() {
        let mut directory = directory();
        directory.authorities.get_mut(&newham()).unwrap().contacts.pop();
        assert_eq!(phone(&directory, "2026-11-20T17:00:00Z"), None);
        assert_eq!(directory.ring_text(newham(), at("2026-11-20T17:00:00Z")), GENERAL_ADVICE);
        assert_eq!(phone(&directory, "2026-09-30T10:00:00Z"), None, "verified only later");
        assert_eq!(
            directory.ring_text("999".parse().unwrap(), at("2026-11-20T17:00:00Z")),
            GENERAL_ADVICE
        );
    }

    #[test]
    fn a_contact_with_its_own_hours_is_used_only_within_them() {
        let mut directory = directory();
        let entry = directory.authorities.get_mut(&newham()).unwrap();
        entry.contacts.pop();
        entry.contacts[1].hours = Some("mon-fri 08:00-20:00".parse().unwrap());
        assert_eq!(phone(&directory, "2026-11-20T19:00:00Z").unwrap(), "01632 960002");
        assert_eq!(phone(&directory, "2026-11-20T20:00:00Z"), None);
    }

    #[test]
    fn stored_is_not_read() {
        let mut directory = directory();
        let friday_evening = at("2026-11-20T18:00:00Z");
        assert_eq!(
            directory.unattended_text(newham(), friday_evening).unwrap(),
            "nobody is reading it before Mon 23 Nov 09:00"
        );
        assert_eq!(directory.unattended_text(newham(), at("2026-11-20T12:00:00Z")), None);
        let entry = directory.authorities.get_mut(&newham()).unwrap();
        entry.out_of_hours = OutOfHours::Endpoint;
        assert!(directory.attended(newham(), friday_evening));
        directory.authorities.get_mut(&newham()).unwrap().connection = Connection::NotConnected;
        assert!(!directory.attended(newham(), at("2026-11-20T12:00:00Z")));
    }

    #[test]
    fn area_codes_and_enrolment_have_dates() {
        let directory = directory();
        let area = |gss, when| directory.authority_of_area(gss, at(when)).is_some();
        assert!(area("E09000025", "2027-03-31T12:00:00Z"));
        assert!(!area("E09000025", "2027-04-01T12:00:00Z"));
        assert!(area("E09000099", "2027-04-01T12:00:00Z"));
        let (school, gateway) = ("900001".parse().unwrap(), "london-1".parse().unwrap());
        assert!(directory.may_attest(&gateway, &school, at("2026-12-31T12:00:00Z")));
        assert!(!directory.may_attest(&gateway, &school, at("2027-01-01T12:00:00Z")));
        assert!(!directory.may_attest(
            &"north-1".parse().unwrap(),
            &school,
            at("2026-12-01T12:00:00Z")
        ));
        assert!(!directory.must_sign(&school, at("2026-12-01T12:00:00Z")));
    }

    #[test]
    fn codes_are_those_of_the_file() {
        assert_eq!(
            OutOfHours::ALL.map(OutOfHours::as_str),
            ["endpoint", "phone_only", "none_verified"]
        );
        assert_eq!(
            ContactKind::ALL.map(ContactKind::as_str),
            ["daytime", "out_of_hours", "lado", "technical", "escalation"]
        );
        let push = Connection::Push { endpoint: "https://one.example".to_owned() };
        let all = [push, Connection::Pull, Connection::Page, Connection::NotConnected];
        assert_eq!(
            all.each_ref().map(Connection::as_str),
            ["push", "pull", "page", "not_connected"]
        );
        assert_eq!(all.each_ref().map(Connection::is_live), [true, true, true, false]);
        let freshness = [Freshness::Fresh, Freshness::Stale, Freshness::Expired];
        assert_eq!(freshness.map(Freshness::as_str), ["fresh", "stale", "expired"]);
    }

    #[test]
    fn everybody_is_found_by_name_while_they_take_part() {
        let mut directory = directory();
        let name: Name = "london-1".parse().unwrap();
        assert_eq!(directory.gateway(&name), None);
        let gateway =
            GatewayEntry { name: name.clone(), base_url: "https://london-1.example".to_owned() };
        directory.gateways.insert(name.clone(), gateway);
        assert_eq!(directory.gateway(&name).map(|g| &g.name), Some(&name));

        let entry = directory.authorities.get_mut(&newham()).unwrap();
        entry.valid_from = Some("2026-11-01".parse().unwrap());
        entry.valid_to = Some("2026-11-30".parse().unwrap());
        for (when, there) in [
            ("2026-10-31T12:00:00Z", false),
            ("2026-11-01T12:00:00Z", true),
            ("2026-11-30T12:00:00Z", true),
            ("2026-12-01T12:00:00Z", false),
        ] {
            assert_eq!(directory.authority(newham(), at(when)).is_some(), there, "{when}");
            assert_eq!(directory.phone_to_ring(newham(), at(when)).is_some(), there, "{when}");
        }

        let school: SchoolId = "900001".parse().unwrap();
        let found = |when| directory.school(&school, at(when)).map(|s| s.name.as_str());
        assert_eq!(found("2026-12-31T12:00:00Z"), Some("Example Primary School"));
        assert_eq!(found("2027-01-01T12:00:00Z"), None);
    }

    #[test]
    fn a_school_that_signs_must_sign_and_is_not_attested() {
        let mut directory = directory();
        let (school, gateway): (SchoolId, Name) =
            ("900001".parse().unwrap(), "london-1".parse().unwrap());
        directory.schools.get_mut(&school).unwrap().signing = Signing::Signed;
        let now = at("2026-12-01T12:00:00Z");
        assert!(directory.must_sign(&school, now) && !directory.may_attest(&gateway, &school, now));
        assert!(!directory.must_sign(&school, at("2027-01-01T12:00:00Z")), "enrolled no more");
        assert!(!directory.must_sign(&"900002".parse().unwrap(), now), "never enrolled");
    }

    #[test]
    fn when_somebody_reads_is_told_as_far_as_it_is_known() {
        let mut directory = directory();
        let (noon, evening) = (at("2026-11-20T12:00:00Z"), at("2026-11-20T18:00:00Z"));
        assert_eq!(directory.next_attended(newham(), noon), Some(noon));
        assert_eq!(directory.next_attended(newham(), evening), Some(at("2026-11-23T09:00:00Z")));
        assert!(directory.attended(newham(), noon) && !directory.attended(newham(), evening));
        let stranger: DfeCode = "999".parse().unwrap();
        assert_eq!(directory.next_attended(stranger, noon), None);
        directory.authorities.get_mut(&newham()).unwrap().staffed = None;
        assert!(!directory.attended(newham(), noon));
        let unknown = Some("it is not known when somebody reads it".to_owned());
        assert_eq!(directory.unattended_text(newham(), noon), unknown);
        assert_eq!(directory.unattended_text(stranger, noon), unknown);
    }

    #[test]
    fn bank_holidays_that_no_list_has_yet_are_days_off_and_said_to_be_provisional() {
        let directory = directory();
        let christmas = |year: i32| at(&format!("{year}-12-24T18:00:00Z"));
        let text = |at| directory.unattended_text(newham(), at).unwrap();
        assert_eq!(text(christmas(2026)), "nobody is reading it before Tue 29 Dec 09:00");
        let mut directory = directory.clone();
        directory.authorities.get_mut(&newham()).unwrap().valid_to = None;
        assert_eq!(
            directory.unattended_text(newham(), christmas(2029)).unwrap(),
            "nobody is reading it before Thu 27 Dec 09:00 (the bank holidays of 2029 are provisional)"
        );
    }

    #[test]
    fn whom_to_ring_is_one_sentence() {
        let directory = directory();
        assert_eq!(
            directory.ring_text(newham(), at("2026-11-20T12:00:00Z")),
            "Ring Newham, the duty desk, on 01632 960002. If a child is in danger now, ring 999"
        );
    }

    #[test]
    fn a_number_must_be_a_phone_and_answered() {
        let mut directory = directory();
        let entry = directory.authorities.get_mut(&newham()).unwrap();
        // Staffed, but the front door has only a mailbox: the team out of hours if it says that it is
        // there at this hour, and nobody otherwise.
        entry.contacts[1].phone = None;
        let noon = "2026-11-20T12:00:00Z";
        assert_eq!(phone(&directory, noon), None);
        let entry = directory.authorities.get_mut(&newham()).unwrap();
        entry.contacts[2].hours = Some(Hours::always());
        assert_eq!(phone(&directory, noon).unwrap(), "01632 960003");
        let entry = directory.authorities.get_mut(&newham()).unwrap();
        entry.contacts[2].hours = Some("sat-sun 09:00-17:00".parse().unwrap());
        assert_eq!(phone(&directory, noon), None, "not now");
        let verified = |on: &str| contact(ContactKind::Daytime, "01632 960001", Some(on));
        assert!(verified("2026-11-20").is_verified(at(noon)), "on the day itself");
        assert!(!verified("2026-11-21").is_verified(at(noon)));
    }

    #[test]
    fn an_allegation_has_its_own_number_and_its_own_officers() {
        let mut directory = directory();
        let (noon, person) = (at("2026-11-20T12:00:00Z"), "o1".parse().unwrap());
        let front_door = directory.ring_text(newham(), noon);
        assert_eq!(
            directory.lado_text(newham(), noon),
            front_door,
            "nobody listed: the front door"
        );
        assert!(!directory.is_officer(newham(), &person, noon));
        let entry = directory.authorities.get_mut(&newham()).unwrap();
        let officer = Contact {
            label: "the designated officer".to_owned(),
            ..contact(ContactKind::Lado, "01632 960009", Some("2026-11-20"))
        };
        entry.contacts.push(officer);
        entry.settings.officers.push(person);
        entry.valid_to = Some("2026-11-30".parse().unwrap());
        let person = "o1".parse().unwrap();
        assert_eq!(
            directory.lado_text(newham(), noon),
            "Ring Newham, the designated officer, on 01632 960009. If a child is in danger now, ring 999"
        );
        assert_eq!(
            directory.lado_text(newham(), at("2026-11-19T12:00:00Z")),
            front_door,
            "not tried yet"
        );
        assert!(directory.is_officer(newham(), &person, noon));
        assert!(!directory.is_officer(newham(), &"o2".parse().unwrap(), noon));
        assert!(
            !directory.is_officer("204".parse().unwrap(), &person, noon),
            "of another authority"
        );
        assert!(
            !directory.is_officer(newham(), &person, at("2026-12-01T12:00:00Z")),
            "left the scheme"
        );
    }

    #[test]
    fn a_holiday_contact_is_given_out_once_somebody_has_tried_it() {
        let mut directory = directory();
        let school: SchoolId = "900001".parse().unwrap();
        let on = |day: &str| at(&format!("2026-11-{day}T12:00:00Z"));
        assert_eq!(directory.holiday_contact(&school, on("20")), None);
        let verified = |day: &str| Verified {
            on: format!("2026-11-{day}").parse().unwrap(),
            by: "operator-desk".to_owned(),
        };
        let untried = HolidayContact {
            who: settings::HolidayRole::Head,
            phone: Some("01632 960010".to_owned()),
            email: None,
            hours: None,
            verified: None,
        };
        directory.schools.get_mut(&school).unwrap().settings.holiday_contact =
            Some(untried.clone());
        assert_eq!(directory.holiday_contact(&school, on("20")), None);
        let tried = HolidayContact { verified: Some(verified("20")), ..untried };
        directory.schools.get_mut(&school).unwrap().settings.holiday_contact = Some(tried.clone());
        assert_eq!(directory.holiday_contact(&school, on("19")), None);
        assert_eq!(directory.holiday_contact(&school, on("20")), Some(&tried), "on the day itself");
        assert_eq!(directory.holiday_contact(&school, on("21")), Some(&tried));
        assert_eq!(directory.holiday_contact(&"900002".parse().unwrap(), on("21")), None);
    }

    #[test]
    fn clocks_know_what_the_directory_says() {
        let mut directory = directory();
        let school: SchoolId = "900001".parse().unwrap();
        let setting = crate::domain::clocks::Setting::of(&directory);
        assert!(setting.profiles.is_empty() && setting.holidays.is_empty());
        let entry = directory.authorities.get_mut(&newham()).unwrap();
        entry.settings.profile.head_of_service = true;
        let stands_in =
            |who| HolidayContact { who, phone: None, email: None, hours: None, verified: None };
        let settings = &mut directory.schools.get_mut(&school).unwrap().settings;
        settings.holiday_contact = Some(stands_in(settings::HolidayRole::Chair));
        let setting = crate::domain::clocks::Setting::of(&directory);
        assert!(setting.profiles[&newham()].head_of_service);
        assert_eq!(setting.holidays[&school], crate::domain::clocks::Role::Chair);
        let settings = &mut directory.schools.get_mut(&school).unwrap().settings;
        settings.holiday_contact = Some(stands_in(settings::HolidayRole::Trust));
        let setting = crate::domain::clocks::Setting::of(&directory);
        assert!(setting.holidays.is_empty(), "who is at no school is on none of its rungs");
    }
}
