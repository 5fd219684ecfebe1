//! The directory as JSON, exactly as written: member names, code words, which members may be absent.
//! The values behind it are read in `read`, which reports every mistake at once.

use serde::{Deserialize, Serialize};

use super::settings::{CalendarDoc, HolidayContactDoc, ProfileDoc, time_of_day};
use crate::domain::directory::{
    AreaCode, AuthorityEntry, Connection, Contact, Directory, GatewayEntry, SchoolEntry, Signing,
};

/// The whole document.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryDoc {
    /// Grows with every issue, from 1.
    pub version: u64,
    /// RFC 3339.
    pub issued_at: String,
    /// RFC 3339.
    pub expires_at: String,
    /// The host part of every SPIFFE ID of the scheme.
    pub trust_domain: String,
    /// Dates of England and Wales.
    pub bank_holidays: Vec<String>,
    /// Every children's services authority.
    pub authorities: Vec<AuthorityDoc>,
    /// Enrolled schools.
    pub schools: Vec<SchoolDoc>,
    /// Gateways of the scheme.
    pub gateways: Vec<GatewayDoc>,
}

/// One authority. In an operator's overlay everything but the code may be absent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorityDoc {
    /// Three digits of the Department for Education.
    pub code: String,
    /// Plain name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// ONS codes over time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub areas: Option<Vec<AreaDoc>>,
    /// First day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<String>,
    /// Last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<String>,
    /// `push`, `pull`, `page` or `not_connected`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// With `push` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Where events are pushed to, if anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_endpoint: Option<String>,
    /// When the inbox is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staffed_hours: Option<String>,
    /// `endpoint`, `phone_only` or `none_verified`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_hours: Option<String>,
    /// Most important first within each kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<ContactDoc>,
    /// `16:30`: what comes later counts as received on the next working day, unless it is urgent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_off: Option<String>,
    /// Ids of the designated officers for allegations (LADO), as in their certificates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub designated_officers: Vec<String>,
    /// What it promises beyond the scheme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileDoc>,
    /// The school days of its area.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<CalendarDoc>,
}

/// An ONS area code with its dates.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AreaDoc {
    /// Nine characters.
    pub gss: String,
    /// First day.
    pub valid_from: String,
    /// Last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<String>,
}

/// A number or address.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContactDoc {
    /// `daytime`, `out_of_hours`, `lado`, `technical` or `escalation`.
    pub kind: String,
    /// What the people there call themselves.
    pub label: String,
    /// As a person would write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// A secure mailbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// When it is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<String>,
    /// The day on which somebody tried it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<String>,
    /// Who did: a role or an opaque id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_by: Option<String>,
}

/// A school. In an operator's overlay name and authority may come from a schools register instead.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchoolDoc {
    /// URN, `ukprn-...` or an assigned id.
    pub id: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The authority in whose area it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// `signed` or `attested`.
    pub signing: String,
    /// With `attested` only: names of gateways.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attested_by: Vec<String>,
    /// Where events are pushed to, if anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_endpoint: Option<String>,
    /// First day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<String>,
    /// Last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<String>,
    /// Its days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<CalendarDoc>,
    /// Whom to reach while it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holiday_contact: Option<HolidayContactDoc>,
}

/// A gateway.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayDoc {
    /// As in its SPIFFE ID.
    pub name: String,
    /// `https://` base URL.
    pub base_url: String,
}

impl From<&Directory> for DirectoryDoc {
    fn from(directory: &Directory) -> Self {
        Self {
            version: directory.version,
            issued_at: directory.issued_at.to_string(),
            expires_at: directory.expires_at.to_string(),
            trust_domain: directory.trust_domain.to_string(),
            bank_holidays: directory.bank_holidays.iter().map(ToString::to_string).collect(),
            authorities: directory.authorities.values().map(AuthorityDoc::from).collect(),
            schools: directory.schools.values().map(SchoolDoc::from).collect(),
            gateways: directory.gateways.values().map(GatewayDoc::from).collect(),
        }
    }
}

impl From<&AuthorityEntry> for AuthorityDoc {
    fn from(entry: &AuthorityEntry) -> Self {
        Self {
            code: entry.code.to_string(),
            name: Some(entry.name.clone()),
            areas: Some(entry.areas.iter().map(AreaDoc::from).collect()),
            valid_from: entry.valid_from.map(|d| d.to_string()),
            valid_to: entry.valid_to.map(|d| d.to_string()),
            connection: Some(entry.connection.as_str().to_owned()),
            endpoint: match &entry.connection {
                Connection::Push { endpoint } => Some(endpoint.clone()),
                Connection::Pull | Connection::Page | Connection::NotConnected => None,
            },
            events_endpoint: entry.events_endpoint.clone(),
            staffed_hours: entry.staffed.as_ref().map(ToString::to_string),
            out_of_hours: Some(entry.out_of_hours.as_str().to_owned()),
            contacts: entry.contacts.iter().map(ContactDoc::from).collect(),
            cut_off: entry.settings.cut_off.map(time_of_day),
            designated_officers: entry.settings.officers.iter().map(ToString::to_string).collect(),
            profile: ProfileDoc::of(&entry.settings.profile),
            calendar: entry.settings.terms.as_ref().map(CalendarDoc::from),
        }
    }
}

impl From<&AreaCode> for AreaDoc {
    fn from(area: &AreaCode) -> Self {
        Self {
            gss: area.gss.clone(),
            valid_from: area.valid_from.to_string(),
            valid_to: area.valid_to.map(|d| d.to_string()),
        }
    }
}

impl From<&Contact> for ContactDoc {
    fn from(contact: &Contact) -> Self {
        Self {
            kind: contact.kind.as_str().to_owned(),
            label: contact.label.clone(),
            phone: contact.phone.clone(),
            email: contact.email.clone(),
            hours: contact.hours.as_ref().map(ToString::to_string),
            verified_at: contact.verified.as_ref().map(|v| v.on.to_string()),
            verified_by: contact.verified.as_ref().map(|v| v.by.clone()),
        }
    }
}

impl From<&SchoolEntry> for SchoolDoc {
    fn from(school: &SchoolEntry) -> Self {
        let (signing, attested_by) = match &school.signing {
            Signing::Signed => ("signed", Vec::new()),
            Signing::AttestedBy(by) => ("attested", by.iter().map(ToString::to_string).collect()),
        };
        Self {
            id: school.id.to_string(),
            name: Some(school.name.clone()),
            authority: Some(school.authority.to_string()),
            signing: signing.to_owned(),
            attested_by,
            events_endpoint: school.events_endpoint.clone(),
            valid_from: school.valid_from.map(|d| d.to_string()),
            valid_to: school.valid_to.map(|d| d.to_string()),
            calendar: school.settings.calendar.as_ref().map(CalendarDoc::from),
            holiday_contact: school.settings.holiday_contact.as_ref().map(HolidayContactDoc::from),
        }
    }
}

impl From<&GatewayEntry> for GatewayDoc {
    fn from(gateway: &GatewayEntry) -> Self {
        Self { name: gateway.name.to_string(), base_url: gateway.base_url.clone() }
    }
}
