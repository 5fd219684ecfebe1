//! Who is to be asked, with the number that the newest directory has for them: never one from a receipt.

use serde::Serialize;

use super::exchange::Exchange;
use super::known::{Event, Known};
use crate::domain::case::EventKind;
use crate::domain::clocks::{Role, Rung, Tell};
use crate::domain::directory::{Contact, ContactKind, Directory};
use crate::domain::hours::Hours;
use crate::domain::party::{DfeCode, Organisation, Party, SchoolId};
use crate::domain::time::Timestamp;

/// A contact of the ladder: a role, with the verified way to reach it where the directory has one.
#[derive(Debug, Clone, Serialize)]
pub struct ContactAnswer {
    /// What the person does.
    pub role: &'static str,
    /// Where.
    pub of: String,
    /// From when on it is their turn.
    pub from: String,
    /// `page` for what cannot wait and only while they are on duty; `digest` of a duty shift; `listed`
    /// for schools. Nothing where it is nobody's turn yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tell: Option<&'static str>,
    /// When that shift begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest_at: Option<String>,
    /// How to reach them now; nothing where nobody has verified a way.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub way: Option<WayAnswer>,
}

/// A verified way to reach somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WayAnswer {
    /// `daytime`, `out_of_hours`, `lado`, `technical`, `escalation` or `holiday`.
    pub kind: &'static str,
    /// What the people there call themselves, or who stands in.
    pub label: String,
    /// As a person would write it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// A secure mailbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// When it is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<String>,
    /// The day on which somebody last tried it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<String>,
}

/// The names and numbers that one side told last. They stand in the event's document.
#[derive(Debug, Clone, Serialize)]
pub struct ChangedContacts {
    /// Who told them.
    pub by: String,
    /// The place of the event.
    pub position: u32,
    /// Its document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail_sha256: Option<String>,
    /// Whether the other side has said that it knows.
    pub confirmed: bool,
}

impl Known {
    /// For each side, as far as `viewer` may see it, the last change of its contacts that is confirmed
    /// and the one after that, if there is one.
    pub(super) fn changed_contacts(&self, viewer: &Party) -> Vec<ChangedContacts> {
        let open: Vec<_> = self.case.unanswered().map(|(digest, _)| digest).collect();
        let of = |event: &Event| ChangedContacts {
            by: event.said.author().organisation.to_string(),
            position: event.stored.position,
            detail_sha256: event.said.body().detail_sha256.map(|d| d.to_string()),
            confirmed: !open.contains(&event.digest()),
        };
        let changes = self.shown_to(viewer);
        let mut last: Vec<ChangedContacts> = Vec::new();
        for change in changes.filter(|e| e.said.kind() == EventKind::ContactsChanged).map(of) {
            last.retain(|held| held.by != change.by || (held.confirmed && !change.confirmed));
            last.push(change);
        }
        last
    }
}

impl Exchange {
    /// What to do about an inbox that nobody reads at `now`; `None` while somebody does.
    pub(super) fn unattended(&self, code: DfeCode, now: Timestamp) -> Option<String> {
        let directory = self.directory.last_good()?;
        let nobody = directory.directory().unattended_text(code, now)?;
        let authority = self.authority_name(code);
        let (name, help) = (authority.name, authority.help);
        Some(format!("At {name} {nobody}: ring now, and record the call. {help}"))
    }
}

impl ContactAnswer {
    /// A rung of a ladder as of the directory in use at `now`.
    pub(super) fn of(rung: &Rung, directory: Option<&Directory>, now: Timestamp) -> Self {
        let way = directory.and_then(|directory| match &rung.of {
            Organisation::School(school) => {
                let holiday = rung.role == Role::HolidayContact;
                holiday.then(|| at_school(directory, school, now)).flatten()
            }
            Organisation::Authority(code) => at_authority(directory, *code, rung.role, now),
            Organisation::Gateway(_) | Organisation::Operator(_) => None,
        });
        Self {
            role: rung.role.as_str(),
            of: rung.of.to_string(),
            from: rung.at.to_string(),
            tell: None,
            digest_at: None,
            way,
        }
    }

    /// The same with how they are told.
    pub(super) fn told(self, tell: Tell) -> Self {
        let (word, at) = match tell {
            Tell::Page => ("page", None),
            Tell::Digest(at) => ("digest", at),
            Tell::Listed => ("listed", None),
        };
        Self { tell: Some(word), digest_at: at.map(|at| at.to_string()), ..self }
    }
}

/// Every verified contact of an authority as of the directory in use.
pub(super) fn of_authority(directory: &Directory, code: DfeCode, now: Timestamp) -> Vec<WayAnswer> {
    let entry = directory.authority(code, now);
    let contacts = entry.into_iter().flat_map(|entry| &entry.contacts);
    contacts.filter(|contact| contact.is_verified(now)).map(way).collect()
}

/// Whom to reach while the school is closed.
pub(super) fn at_school(
    directory: &Directory,
    school: &SchoolId,
    now: Timestamp,
) -> Option<WayAnswer> {
    let contact = directory.holiday_contact(school, now)?;
    Some(WayAnswer {
        kind: "holiday",
        label: contact.who.words().to_owned(),
        phone: contact.phone.clone(),
        email: contact.email.clone(),
        hours: contact.hours.as_ref().map(Hours::to_string),
        verified_at: contact.verified.as_ref().map(|v| v.on.to_string()),
    })
}

fn at_authority(
    directory: &Directory,
    code: DfeCode,
    role: Role,
    now: Timestamp,
) -> Option<WayAnswer> {
    let found = match role {
        Role::DutyWorker => directory.phone_to_ring(code, now),
        Role::Technical => directory.contact(code, ContactKind::Technical, now),
        Role::LadoManager => directory.contact(code, ContactKind::Lado, now),
        Role::DutyManager
        | Role::HubManager
        | Role::TeamManager
        | Role::ServiceManager
        | Role::HeadOfService => directory.contact(code, ContactKind::Escalation, now),
        Role::Scrutineer
        | Role::Sender
        | Role::Deputy
        | Role::Head
        | Role::Chair
        | Role::HolidayContact => None,
    };
    found.map(way)
}

fn way(contact: &Contact) -> WayAnswer {
    WayAnswer {
        kind: contact.kind.as_str(),
        label: contact.label.clone(),
        phone: contact.phone.clone(),
        email: contact.email.clone(),
        hours: contact.hours.as_ref().map(Hours::to_string),
        verified_at: contact.verified.as_ref().map(|v| v.on.to_string()),
    }
}
