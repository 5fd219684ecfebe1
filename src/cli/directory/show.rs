//! The directory as people read it.

use std::fmt::Write as _;

use super::{Failure, Wanted, directory_of, print};
use crate::domain::calendar::Calendars;
use crate::domain::directory::{
    AuthorityEntry, Connection, Contact, ContactKind, Directory, SchoolEntry, Signing,
};
use crate::domain::hours::england_text;
use crate::domain::party::DfeCode;
use crate::domain::time::Timestamp;
use crate::effects::{Clock, SystemClock};
use crate::protocol::directory::{AuthorityDoc, SchoolDoc};

/// One line: issue, dates, counts.
pub(super) fn summary(directory: &Directory) -> String {
    let live = directory.authorities.values().filter(|a| a.connection.is_live()).count();
    format!(
        "issue {} of {}, until {}; {live} of {} authorities connected; schools: {}; gateways: {}",
        directory.version,
        directory.trust_domain,
        directory.expires_at,
        directory.authorities.len(),
        directory.schools.len(),
        directory.gateways.len()
    )
}

/// All of it, connected authorities one a line.
pub(super) fn table(directory: &Directory) -> String {
    let mut out = summary(directory) + "\n";
    for gateway in directory.gateways.values() {
        let _ = writeln!(out, "\ngateway {}  {}", gateway.name, gateway.base_url);
    }
    let _ = writeln!(
        out,
        "\n{:<4} {:<36} {:<14} {:<13} STAFFED",
        "CODE", "AUTHORITY", "CONNECTION", "OUT OF HOURS"
    );
    for entry in directory.authorities.values() {
        let connected = entry.connection.is_live();
        let _ = writeln!(
            out,
            "{:<4} {:<36} {:<14} {:<13} {}",
            entry.code.as_str(),
            entry.name,
            entry.connection.as_str(),
            if connected { entry.out_of_hours.as_str() } else { "-" },
            entry.staffed.as_ref().map_or("-".to_owned(), ToString::to_string),
        );
    }
    if !directory.schools.is_empty() {
        let _ =
            writeln!(out, "\n{:<14} {:<44} {:<4} {:<8} PROVED BY", "SCHOOL", "NAME", "IN", "DAYS");
    }
    let told = |settings: bool| if settings { "told" } else { "assumed" };
    for school in directory.schools.values() {
        let (name, authority) = (&school.name, school.authority.as_str());
        let _ = writeln!(
            out,
            "{:<14} {name:<44} {authority:<4} {:<8} {}",
            school.id.as_str(),
            told(has_days(directory, school)),
            proved_by(school)
        );
    }
    out
}

/// Whether anybody has told a school's terms.
fn has_days(directory: &Directory, school: &SchoolEntry) -> bool {
    let own = school.settings.calendar.as_ref();
    let area = directory.authorities.get(&school.authority);
    let area = area.and_then(|entry| entry.settings.terms.as_ref());
    own.into_iter().chain(area).any(|calendar| !calendar.terms.is_empty())
}

/// `ecaf directory lookup school`.
pub(super) fn school(wanted: &Wanted) -> Result<(), Failure> {
    let at = wanted.at.unwrap_or_else(|| SystemClock.now());
    let directory = directory_of(wanted, at)?;
    let id = wanted.wanted.parse().map_err(|_| {
        Failure::Usage("a school's id is its URN, ukprn-NUMBER or an assigned id".to_owned())
    })?;
    let found = directory.schools.get(&id);
    let Some(school) = found else { return Err(Failure::No("no such school in it".to_owned())) };
    if wanted.json {
        return json(&SchoolDoc::from(school));
    }
    let authority = directory.authorities.get(&school.authority).map_or("", |a| &a.name);
    let may = if directory.school(&id, at).is_some() { "yes" } else { "no, outside of its dates" };
    print(&format!(
        "{}  {}\n  in the area of  {} {authority}\n  proved by       {}\n  may send        {may}\n",
        school.id,
        school.name,
        school.authority,
        proved_by(school),
    ))?;
    if let Some(endpoint) = &school.events_endpoint {
        print(&format!("  events to       {endpoint}\n"))?;
    }
    print(&days(&directory, school, at))
}

/// What a school has told of its days, and whom to reach while it is closed.
fn days(directory: &Directory, school: &SchoolEntry, at: Timestamp) -> String {
    let calendars = Calendars::of(directory);
    let known = calendars.school(&school.id);
    let today = at.in_england().0;
    let guess = |is| if is { " (assumed: it has told nothing for that day)" } else { "" };
    let mut out = String::new();
    for term in &known.calendar.terms {
        let _ = writeln!(out, "  term            {} to {}", term.first, term.last);
    }
    let mut list = |name: &str, days: Vec<String>| {
        if !days.is_empty() {
            let _ = writeln!(out, "  {name:<15} {}", days.join(", "));
        }
    };
    let calendar = known.calendar;
    let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    list("INSET days", calendar.inset.iter().map(ToString::to_string).collect());
    let half = calendar.half_days.iter().map(|(day, ends)| format!("{day} to {}", time(*ends)));
    list("half days", half.collect());
    let closures = calendar.closures.iter().map(|(first, last)| format!("{first} to {last}"));
    list("closed", closures.collect());
    list("opens", calendar.opens.map(time).into_iter().collect());
    let (home, assumed) = calendar.home_time(today);
    list("goes home", vec![format!("{}{}", time(home), if assumed { " (assumed)" } else { "" })]);
    if let Some(contact) = &school.settings.holiday_contact {
        let way = Contact {
            kind: ContactKind::Escalation,
            label: contact.who.words().to_owned(),
            phone: contact.phone.clone(),
            email: contact.email.clone(),
            hours: contact.hours.clone(),
            verified: contact.verified.clone(),
        };
        list("in holidays", vec![line(&way, at)]);
    }
    let kind = known.kind(today).as_str();
    let _ = writeln!(out, "\nOn {today}: {kind}{}", guess(known.assumed(today)));
    out
}

/// `ecaf directory lookup authority`.
pub(super) fn authority(wanted: &Wanted) -> Result<(), Failure> {
    let at = wanted.at.unwrap_or_else(|| SystemClock.now());
    let directory = directory_of(wanted, at)?;
    let found = find(&directory, &wanted.wanted, at);
    match found[..] {
        [] => Err(Failure::No("no such authority in it".to_owned())),
        [entry] if wanted.json => json(&AuthorityDoc::from(entry)),
        [entry] => print(&describe(&directory, entry, at)),
        _ => {
            let names: Vec<_> = found.iter().map(|a| format!("{} {}", a.code, a.name)).collect();
            Err(Failure::No(format!("several match: {}", names.join(", "))))
        }
    }
}

/// By code, area code, exact name, or part of a name, in this order.
fn find<'d>(directory: &'d Directory, wanted: &str, at: Timestamp) -> Vec<&'d AuthorityEntry> {
    if let Some(entry) = wanted.parse::<DfeCode>().ok().and_then(|c| directory.authorities.get(&c))
    {
        return vec![entry];
    }
    if let Some(entry) = directory.authority_of_area(wanted, at) {
        return vec![entry];
    }
    let wanted = wanted.to_lowercase();
    let all = || directory.authorities.values();
    let exact: Vec<_> = all().filter(|a| a.name.to_lowercase() == wanted).collect();
    if exact.is_empty() {
        all().filter(|a| a.name.to_lowercase().contains(&wanted)).collect()
    } else {
        exact
    }
}

fn describe(directory: &Directory, entry: &AuthorityEntry, at: Timestamp) -> String {
    let mut out = format!("{}  {}\n", entry.code, entry.name);
    for area in &entry.areas {
        let until = area.valid_to.map_or(String::new(), |to| format!(" to {to}"));
        let _ = writeln!(out, "  area code     {} from {}{until}", area.gss, area.valid_from);
    }
    let endpoint = match &entry.connection {
        Connection::Push { endpoint } => format!(" to {endpoint}"),
        Connection::Pull | Connection::Page | Connection::NotConnected => String::new(),
    };
    let _ = writeln!(out, "  connection    {}{endpoint}", entry.connection.as_str());
    if let Some(endpoint) = &entry.events_endpoint {
        let _ = writeln!(out, "  events to     {endpoint}");
    }
    if let Some(hours) = &entry.staffed {
        let _ = writeln!(out, "  staffed       {hours}");
    }
    if entry.connection.is_live() {
        let _ = writeln!(out, "  out of hours  {}", entry.out_of_hours.as_str());
    }
    let settings = &entry.settings;
    if let Some(minute) = settings.cut_off {
        let _ = writeln!(out, "  cut-off       {:02}:{:02}", minute / 60, minute % 60);
    }
    for (clock, limit) in &settings.profile.faster {
        let _ = writeln!(out, "  promises      {} {limit}: {}", clock.as_str(), clock.name());
    }
    if settings.profile.head_of_service {
        let _ = writeln!(out, "  ladders       with its head of service");
    }
    if !settings.officers.is_empty() {
        let officers: Vec<_> = settings.officers.iter().map(ToString::to_string).collect();
        let _ = writeln!(out, "  LADO          {}", officers.join(", "));
    }
    for term in settings.terms.iter().flat_map(|terms| &terms.terms) {
        let _ = writeln!(out, "  term          {} to {}", term.first, term.last);
    }
    for contact in &entry.contacts {
        let _ = writeln!(out, "  {:<13} {}", contact.kind.as_str(), line(contact, at));
    }
    let _ = writeln!(out, "\nAt {}:", england_text(at));
    if entry.connection.is_live() {
        let read = directory.unattended_text(entry.code, at);
        let _ = writeln!(out, "  inbox: {}", read.as_deref().unwrap_or("somebody is reading it"));
    }
    let _ = writeln!(out, "  {}.", directory.ring_text(entry.code, at));
    out
}

fn line(contact: &Contact, at: Timestamp) -> String {
    let mut parts = vec![contact.label.clone()];
    parts.extend(contact.phone.clone());
    parts.extend(contact.email.clone());
    parts.extend(contact.hours.as_ref().map(ToString::to_string));
    parts.push(match &contact.verified {
        Some(verified) if contact.is_verified(at) => {
            format!("verified {} by {}", verified.on, verified.by)
        }
        _ => "NOT VERIFIED: never given out".to_owned(),
    });
    parts.join(", ")
}

fn proved_by(school: &SchoolEntry) -> String {
    match &school.signing {
        Signing::Signed => "its own signature".to_owned(),
        Signing::AttestedBy(by) => {
            let names: Vec<_> = by.iter().map(ToString::to_string).collect();
            format!("attestation of {}", names.join(", "))
        }
    }
}

fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Failure::Fault(e.to_string()))?;
    print(&(text + "\n"))
}
