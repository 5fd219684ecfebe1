//! A later version of a referral: a supplement or a correction. It goes the way of a first one, up to
//! where it would be routed: it follows the referral to whoever holds it now.

use super::accept::{Claim, Committed, Known as Seen, Receipt, VERSION, commit, invalid};
use super::authenticate::Authentic;
use super::authorise::Authorised;
use super::exchange::Exchange;
use super::known::Known;
use super::note::Noted;
use super::receive::Received;
use super::route::Routed;
use super::trouble::Trouble;
use super::validate::Validated;
use crate::domain::ids::ReferralId;
use crate::domain::party::DfeCode;
use crate::domain::refusal::{Class, Refusal, Rule, Violation};
use crate::domain::visibility::Part;
use crate::http::Request;
use crate::protocol::json;
use crate::protocol::tokens::{self, Purpose};
use crate::store::{Document, StoreFault};

/// The children of the version before do not stand first, in their order.
pub const CHILDREN: Rule = Rule {
    id: "version.children",
    title: "a later version keeps the children of the one before, in their places",
    action: "Leave children where they are and add new ones behind them; what is said names them by place.",
};
/// The referral was taken out of use, or its documents are gone.
pub const OVER: Rule = Rule {
    id: "version.over",
    title: "nothing can be added to this referral any more",
    action: "Start a new referral, and name this one under history.",
};

/// There are as many versions as there may be.
pub const TOO_MANY: Rule = Rule {
    id: "version.too-many",
    title: "this referral has as many versions as it may have",
    action: "Ring the authority; look for a program that repeats itself; start a new referral, and name this one under history.",
};

/// Versions of one referral. A supplement a week for two years stays below it.
const MOST_VERSIONS: usize = 120;
/// How often it is signed anew because the thread has moved.
const MOST_TURNS: usize = 16;

/// Takes a later version of the referral `id` all the way, or says why not.
pub async fn add(
    exchange: &Exchange,
    request: &Request,
    id: ReferralId,
) -> Result<Receipt, Trouble> {
    let added = add_to(exchange, request, id).await;
    added.map_err(|trouble| trouble.about(id))
}

async fn add_to(
    exchange: &Exchange,
    request: &Request,
    id: ReferralId,
) -> Result<Receipt, Trouble> {
    let now = exchange.now();
    let trust = exchange.trust.store();
    let received = Received::take(request, &exchange.cache)?;
    let authentic = Authentic::verify(received, &trust, &exchange.cache, now)?;
    if authentic.referral_id != id {
        return Err(tokens::mismatch("sub_id and the path").into());
    }
    let (directory, _) = exchange.directory.usable(now)?;
    let directory = directory.directory();
    let authorised = Authorised::check(authentic, directory.clone(), &exchange.name, now)?;
    let claim = Claim::of(&authorised.authentic);
    match claim.seen(exchange).await? {
        Seen::Receipt(receipt) => return Ok(receipt),
        Seen::Nothing => return Err(invalid(VERSION)),
        Seen::Older if claim.version == 1 => return Err(invalid(VERSION)),
        Seen::Older => {}
    }
    let validated = Validated::check(authorised, &*exchange.entropy, now)?;
    for _ in 0..MOST_TURNS {
        let known = exchange.known(id).await?.ok_or_else(|| invalid(VERSION))?;
        follows(exchange, &validated, &known).await?;
        let head = known.thread.head;
        let tables = exchange.tables.load();
        let routed = Routed::to_holders(validated.clone(), &tables, addressees(&known));
        let desk = exchange.desk(trust.clone(), now)?;
        let noted = Noted::sign(routed, exchange, &desk, Some(head))?;
        match commit(exchange, noted, id).await? {
            Committed::Receipt(receipt) => return Ok(receipt),
            // Something was said meanwhile; each turn is another's progress.
            Committed::HeadMoved => {}
        }
    }
    Err(StoreFault::Unavailable.into())
}

/// The present holder, and everybody else with a delivery and why.
fn addressees(known: &Known) -> (DfeCode, Vec<(DfeCode, Purpose)>) {
    let holder = known.case.holder();
    let mut others: Vec<(DfeCode, Purpose)> = Vec::new();
    for delivery in &known.thread.deliveries {
        let (authority, purpose) = (delivery.authority, Purpose::from_name(&delivery.purpose));
        let purpose = purpose.filter(|p| matches!(p, Purpose::Linked | Purpose::CaseHolding));
        let has_part = authority != holder && known.case.desk(authority).is_some();
        if let (true, Some(purpose)) = (has_part, purpose)
            && !others.contains(&(authority, purpose))
        {
            others.push((authority, purpose));
        }
    }
    (holder, others)
}

/// It is the next version of this referral, about the same children and perhaps more.
async fn follows(exchange: &Exchange, validated: &Validated, known: &Known) -> Result<(), Trouble> {
    // As if there were none: an allegation about staff is added to by whoever sent it.
    if !known.allows(validated.authorised.authentic.sender(), Part::Timeline) {
        return Err(invalid(VERSION));
    }
    if known.case.is_misidentified() {
        return Err(Refusal::new(Class::Gone, Violation::whole(OVER)).into());
    }
    let newest = known.thread.versions.last().ok_or(StoreFault::Corrupt)?;
    let header = validated.checked.header();
    if header.version != newest.version + 1 || header.previous != Some(newest.payload_sha256) {
        return Err(invalid(VERSION));
    }
    if known.thread.versions.len() >= MOST_VERSIONS {
        return Err(Refusal::new(Class::Conflict, Violation::whole(TOO_MANY)).into());
    }
    let before = exchange.store.document(known.thread.referral_id, newest.payload_sha256).await?;
    let Some(Document::Kept(before)) = before else {
        return Err(Refusal::new(Class::Gone, Violation::whole(OVER)).into());
    };
    let children = |bytes: &[u8]| -> Result<Vec<String>, StoreFault> {
        let read = json::read(bytes, bytes.len()).map_err(|_| StoreFault::Corrupt)?;
        let ids = read.root().at("children").items().map(|child| child.at("id"));
        Ok(ids.map(|id| id.as_str().unwrap_or_default().to_owned()).collect())
    };
    let after = &validated.authorised.authentic.received.document;
    match children(after)?.starts_with(&children(&before)?) {
        true => Ok(()),
        false => Err(Refusal::new(Class::Invalid, Violation::at(CHILDREN, "/children")).into()),
    }
}
