//! Step 5: [`Validated`] becomes [`Routed`]: which authorities get it, why, and that this gateway can
//! reach them.

use serde_json::Value;

use crate::domain::directory::{Connection, Directory};
use crate::domain::party::{DfeCode, Party};
use crate::domain::referral::{RequestType, RoutingFacts};
use crate::domain::refusal::{Class, Culprit, Refusal, Rule, Violation};
use crate::domain::routing::decide::Decision;
use crate::domain::time::Timestamp;
use crate::protocol::document;
use crate::protocol::json;
use crate::protocol::routing_data::RoutingTables;
use crate::protocol::tokens::Purpose;

use super::trouble::{Refused, Trouble};
use super::validate::Validated;

/// The accountable authority takes no referrals through the exchange.
pub const NOT_CONNECTED: Rule = Rule {
    id: "routing.not-connected",
    title: "the responsible authority is not connected to the exchange",
    action: "Ring the authority now; the readable text beside this can be read out or sent by secure e-mail. Then \
             record that you have handed it over: ecaf school handed-over.",
};
/// It does, but not by a way that this gateway can serve.
pub const NO_WAY_FROM_HERE: Rule = Rule {
    id: "routing.no-way-from-here",
    title: "the responsible authority collects its referrals in a way that this gateway does not serve",
    action: "Ring the authority now; the readable text beside this can be read out or sent by secure e-mail. Then \
             record that you have handed it over: ecaf school handed-over.",
};
/// An allegation about staff, sent in the name of an organisation.
pub const PERSON_NEEDED: Rule = Rule {
    id: "lado.person-needed",
    title: "an allegation about staff is sent by one named person, not by a school",
    action: "Connect and sign with your own certificate, or ring the designated officer (LADO).",
};
/// Nobody at the authority may open an allegation.
pub const NO_OFFICER: Rule = Rule {
    id: "lado.no-officer",
    title: "the authority has named no designated officer (LADO) who could open this here",
    action: "Ring the designated officer now; the readable text beside this can be read out or sent by secure e-mail.",
};
/// Another authority that should be told cannot be reached.
pub const ALSO_RING: Rule = Rule {
    id: "routing.also-ring",
    title: "another authority that should know of this cannot be reached through the exchange",
    action: "Ring that authority too.",
};

/// Id of the rule for later versions: the authority that holds the referral.
const SAME_HOLDER: &str = "holder";

/// Addressees and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The one accountable authority.
    pub accountable: DfeCode,
    /// Every authority that gets it, the accountable one first.
    pub deliveries: Vec<(DfeCode, Purpose)>,
    /// Id of the rule that named the accountable authority.
    pub rule: &'static str,
    /// Whether a person must confirm it.
    pub to_confirm: bool,
    /// Which table of postcodes was used.
    pub table_version: String,
    /// Authorities that should know of it and cannot be reached from here.
    pub also_ring: Vec<DfeCode>,
    /// What the sender should know.
    pub warnings: Vec<Violation>,
}

/// Why there is no route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoRoute {
    /// What is wrong.
    pub refusal: Refusal,
    /// Whom to ring.
    pub ring: Option<DfeCode>,
    /// Whether the referral itself is good and only the exchange cannot carry it.
    pub by_phone: bool,
}

/// Plans the way of a referral as of the day of `now` in England.
pub fn plan(
    directory: &Directory,
    tables: &RoutingTables,
    facts: &RoutingFacts,
    (sender, school_authority): (&Party, DfeCode),
    now: Timestamp,
) -> Result<Route, NoRoute> {
    let decision = tables.decide(facts, Some(school_authority), now.in_england().0);
    let routed = decision.is_routed();
    let (accountable, basis) = match decision.accountable.zip(decision.basis) {
        Some(named) if routed => named,
        _ => return Err(unrouted(decision)),
    };
    // Only the person who sent it may ever see it again: without one, nobody could be told.
    if facts.request_type == RequestType::Lado && sender.person.is_none() {
        let refusal = Refusal::new(Class::Forbidden, Violation::whole(PERSON_NEEDED));
        return Err(NoRoute { refusal, ring: Some(accountable), by_phone: false });
    }
    // Nobody there could open it: the school rings instead of waiting.
    let officers = directory.authority(accountable, now).map(|entry| &entry.settings.officers);
    if facts.request_type == RequestType::Lado && officers.is_none_or(Vec::is_empty) {
        let violation =
            Violation::whole(NO_OFFICER).with_detail(directory.lado_text(accountable, now));
        let refusal = Refusal::new(Class::Invalid, violation).blame(Culprit::Operator);
        return Err(NoRoute { refusal, ring: Some(accountable), by_phone: true });
    }
    if let Err(rule) = reachable(directory, accountable, now) {
        // The record of a hand-over names the authority by its code.
        let name = directory.authorities.get(&accountable).map_or("authority", |a| &a.name);
        let violation = Violation::whole(rule).with_detail(format!("{name}, {accountable}"));
        let refusal = Refusal::new(Class::Invalid, violation).blame(Culprit::Operator);
        return Err(NoRoute { refusal, ring: Some(accountable), by_phone: true });
    }
    let to_confirm = decision.is_flagged();
    let (mut warnings, mut also_ring) = (decision.warnings, Vec::new());
    let mut deliveries = Vec::with_capacity(decision.deliveries.len());
    for delivery in &decision.deliveries {
        match reachable(directory, delivery.authority, now) {
            Ok(()) => deliveries.push((delivery.authority, delivery.purpose.into())),
            Err(_) => {
                also_ring.push(delivery.authority);
                warnings.push(also_ring_advice(directory, delivery.authority, now));
            }
        }
    }
    let (rule, table_version) = (basis.id(), tables.versions().postcodes.clone());
    Ok(Route { accountable, deliveries, rule, to_confirm, table_version, also_ring, warnings })
}

/// A referral with its addressees.
pub struct Routed {
    pub(super) validated: Validated,
    pub(super) route: Route,
}

impl Routed {
    /// Plans the way of a validated referral.
    pub fn decide(
        validated: Validated,
        tables: &RoutingTables,
        now: Timestamp,
    ) -> Result<Self, Trouble> {
        let authorised = &validated.authorised;
        let facts = validated.checked.facts();
        match plan(
            &authorised.directory,
            tables,
            facts,
            (authorised.authentic.sender(), authorised.school_authority),
            now,
        ) {
            Ok(route) => Ok(Self { route, validated }),
            Err(none) => {
                // Carried by hand: the text to read out or to send by secure e-mail.
                let school = &authorised.school_name;
                // Read once more: of a good referral nothing but what routing needs was kept.
                let bytes = &authorised.authentic.received.document;
                let document = none.by_phone.then(|| json::parse(bytes, bytes.len()).ok());
                let readable = document.flatten().map(|document| readable(&document, school));
                let (ring, refused) = (none.ring, Refused::of(none.refusal));
                Err(Trouble::Refused(Box::new(Refused { ring, readable, ..refused })))
            }
        }
    }

    /// A later version goes where the referral is: to its present holder, and to everybody else who has
    /// a delivery of it. Where that is no longer right, the holder passes it on; nothing is routed anew.
    pub fn to_holders(
        validated: Validated,
        tables: &RoutingTables,
        (holder, others): (DfeCode, Vec<(DfeCode, Purpose)>),
    ) -> Self {
        let mut deliveries = vec![(holder, Purpose::Accountable)];
        deliveries.extend(others);
        let route = Route {
            accountable: holder,
            deliveries,
            rule: SAME_HOLDER,
            to_confirm: false,
            table_version: tables.versions().postcodes.clone(),
            also_ring: Vec::new(),
            warnings: Vec::new(),
        };
        Self { validated, route }
    }

    /// What the sender should know beside the receipt.
    pub fn advice(&self) -> Vec<Violation> {
        self.route.warnings.iter().chain(self.validated.checked.advice()).cloned().collect()
    }
}

/// "Ring that one too", with the number.
pub(super) fn also_ring_advice(directory: &Directory, code: DfeCode, now: Timestamp) -> Violation {
    let name = directory.authorities.get(&code).map_or("an authority", |entry| &entry.name);
    let ring = directory.ring_text(code, now);
    Violation::whole(ALSO_RING).with_detail(format!("{name} must be told by phone. {ring}"))
}

pub(super) fn reachable(
    directory: &Directory,
    authority: DfeCode,
    now: Timestamp,
) -> Result<(), Rule> {
    match directory.authority(authority, now).map(|entry| &entry.connection) {
        Some(Connection::Push { .. } | Connection::Pull) => Ok(()),
        Some(Connection::Page) => Err(NO_WAY_FROM_HERE),
        Some(Connection::NotConnected) | None => Err(NOT_CONNECTED),
    }
}

fn unrouted(decision: Decision) -> NoRoute {
    let ring = decision.accountable.or(decision.alternatives.first().copied());
    let refusal = Refusal {
        class: Class::Invalid,
        culprit: Culprit::Sender,
        violations: decision.violations,
    };
    NoRoute { refusal, ring, by_phone: false }
}

/// The referral as text to read out or to send by secure e-mail.
pub(super) fn readable(document: &Value, school: &str) -> String {
    let from = format!("Not sent through the exchange. From {school}.");
    document::readable(document, &from).to_text()
}
