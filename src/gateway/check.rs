//! `POST /v1/referrals/check` and `POST /v1/routes`: what would happen, without anything happening.
//! Neither keeps anything.

use serde::{Deserialize, Serialize};

use crate::domain::refusal::{Class, Refusal, Rule, Violation};
use crate::domain::routing::answer::Answer;
use crate::http::Request;
use crate::protocol::json;
use crate::protocol::message::json_body;
use crate::protocol::problem::ProblemViolation;
use crate::protocol::schema;
use crate::protocol::tokens::one_school;

use super::authorise::UNKNOWN_SCHOOL;
use super::exchange::Exchange;
use super::receive::sending_school;
use super::respond::AuthorityName;
use super::route::{plan, readable};
use super::trouble::Trouble;

/// The body of a request for a route is not the expected form.
pub const ROUTE_REQUEST: Rule = Rule {
    id: "routes.request",
    title: "the body must be an object with the one member postcode, a string",
    action: "Send {\"postcode\": \"E8 1EA\"}, optionally with \"at\": \"2026-11-21\".",
};

/// The answer to a check.
#[derive(Debug, Clone, Serialize)]
pub struct CheckAnswer {
    /// Whether it would be accepted if it were signed and sent now.
    pub acceptable: bool,
    /// Every reason why not.
    pub violations: Vec<ProblemViolation>,
    /// What looks mistaken or forgotten, and blocks nothing.
    pub advice: Vec<ProblemViolation>,
    /// Where it would go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteAnswer>,
    /// Whom to ring where it cannot go through the exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<AuthorityName>,
    /// The referral as text, where only a person can carry it. Personal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readable: Option<String>,
}

/// Where something would go.
#[derive(Debug, Clone, Serialize)]
pub struct RouteAnswer {
    /// The accountable authority, and whom to ring there now.
    pub authority: AuthorityName,
    /// Id of the rule.
    pub rule: &'static str,
    /// Whether a person must confirm the authority.
    pub to_confirm: bool,
    /// Which table of postcodes.
    pub postcode_table: String,
}

/// Checks a document as it would be checked on sending.
pub fn check(exchange: &Exchange, request: &Request) -> Result<CheckAnswer, Trouble> {
    let now = exchange.now();
    let school = sending_school(request.peer.chain.party())?;
    json_body(&request.headers)?;
    let document = json::parse(&request.body, request.body.len())
        .map_err(|v| Refusal::new(Class::Malformed, v))?;
    let (directory, _) = exchange.directory.usable(now)?;
    let entry = directory.directory().school(&school, now);
    let entry =
        entry.ok_or_else(|| Refusal::new(Class::Forbidden, Violation::whole(UNKNOWN_SCHOOL)))?;
    let refused = |violations: &[Violation], advice: &[Violation]| CheckAnswer {
        acceptable: false,
        violations: violations.iter().map(Into::into).collect(),
        advice: advice.iter().map(Into::into).collect(),
        route: None,
        help: None,
        readable: None,
    };
    let checked = match schema::check(&document, now.in_england().0) {
        Ok(checked) => checked,
        Err(violations) => return Ok(refused(&violations, &[])),
    };
    if let Err(refusal) = one_school(checked.header(), &school) {
        return Ok(refused(&refusal.violations, checked.advice()));
    }
    let tables = exchange.tables.load();
    match plan(
        directory.directory(),
        &tables,
        checked.facts(),
        (request.peer.chain.party(), entry.authority),
        now,
    ) {
        Ok(route) => Ok(CheckAnswer {
            acceptable: true,
            violations: Vec::new(),
            advice: route.warnings.iter().chain(checked.advice()).map(Into::into).collect(),
            route: Some(RouteAnswer {
                authority: exchange.authority_name(route.accountable),
                rule: route.rule,
                to_confirm: route.to_confirm,
                postcode_table: route.table_version,
            }),
            help: None,
            readable: None,
        }),
        Err(none) => Ok(CheckAnswer {
            help: none.ring.map(|code| exchange.authority_name(code)),
            readable: none.by_phone.then(|| readable(&document, &entry.name)),
            ..refused(&none.refusal.violations, checked.advice())
        }),
    }
}

/// The body of a request for a route. The postcode stands in the body, never in the URL.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteRequest {
    postcode: String,
    #[serde(default)]
    at: Option<String>,
}

/// The answer to a request for a route.
#[derive(Debug, Clone, Serialize)]
pub struct PostcodeAnswer {
    /// Code of the kind of answer: `one`, `near_boundary`, `unknown`, ...
    pub answer: &'static str,
    /// The authority or the candidates, likeliest first.
    pub authorities: Vec<AuthorityName>,
    /// A sentence for a person; it does not repeat the postcode.
    pub words: String,
    /// Which table of postcodes.
    pub postcode_table: String,
    /// The day for which it holds.
    pub as_of: String,
}

/// Answers which authority is responsible for a postcode.
pub fn route(exchange: &Exchange, request: &Request) -> Result<PostcodeAnswer, Trouble> {
    json_body(&request.headers)?;
    let wrong = || Trouble::from(Refusal::new(Class::Invalid, Violation::whole(ROUTE_REQUEST)));
    let asked: RouteRequest = serde_json::from_slice(&request.body).map_err(|_| wrong())?;
    let as_of = match &asked.at {
        None => exchange.now().in_england().0,
        Some(text) => text.parse().map_err(|_| wrong())?,
    };
    let tables = exchange.tables.load();
    let answer = tables.answer(&asked.postcode, as_of);
    let authorities = answer.candidate().into_iter().chain(answer.alternative());
    Ok(PostcodeAnswer {
        answer: answer.code(),
        authorities: authorities.map(|code| exchange.authority_name(code)).collect(),
        words: words(&answer),
        postcode_table: tables.versions().postcodes.clone(),
        as_of: as_of.to_string(),
    })
}

fn words(answer: &Answer) -> String {
    match answer {
        Answer::One(_) => "One authority is responsible for this postcode.".into(),
        Answer::NearBoundary { metres, .. } => format!(
            "Another area begins within about {metres} metres: a person must confirm the address."
        ),
        Answer::KnownUnplaced => "The postcode exists, but where it lies is not known: choose.".into(),
        Answer::Retired { .. } => "The postcode is no longer in use; this is who has the place now.".into(),
        Answer::Reorganised { .. } => {
            "The council of this place was reorganised and its successor is not in the table: choose.".into()
        }
        Answer::NotEngland(_) => "This postcode is outside England: ring the local council there.".into(),
        Answer::Unknown => "This postcode is not in the table: check it, or choose the authority.".into(),
        Answer::NotAPostcode => "This does not have the form of a postcode.".into(),
    }
}
