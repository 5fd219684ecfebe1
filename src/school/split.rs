//! One composition about children of several authorities becomes one draft for each authority, with a
//! common `group_id`, each holding only what its recipient needs.
//!
//! What a machine can tell apart by local ids is taken apart: children, people, addresses, places,
//! concerns, plans. Texts that speak of the household as a whole go into every draft and are named, so
//! that a person reads them before anything is signed. Deterministic: the same draft gives the same
//! drafts, so that splitting twice is sending one thing twice.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::domain::ids::ReferralId;
use crate::domain::party::DfeCode;
use crate::domain::referral::RoutingFacts;
use crate::domain::time::Date;
use crate::protocol::hash::sha256;
use crate::protocol::routing_data::RoutingTables;
use crate::protocol::schema::Naming;

/// One of the drafts.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The authority where its children live; `None` where their places do not decide.
    pub authority: Option<DfeCode>,
    /// Local ids of its children.
    pub children: Vec<String>,
    /// The draft.
    pub draft: Value,
    /// JSON Pointers into `draft` of texts that stood beside children of another part, or speak of all
    /// of them: to be read, and cut where they tell more than this recipient needs.
    pub to_read: Vec<String>,
}

/// Why a draft cannot be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSplit {
    /// All children are of one authority.
    OneAuthority,
    /// It is a later version: the group was made when the first was sent.
    LaterVersion,
    /// It belongs to a group already.
    InAGroup,
    /// Its children are not of one form with the rest.
    Unreadable,
}

/// Lists whose entries may be about some of the children only.
const LISTS: [&str; 12] = [
    "relationships",
    "addresses",
    "where_now",
    "concerns",
    "voice",
    "worries",
    "known_plans",
    "agencies",
    "chronology",
    "caf_assessments",
    "attachments",
    "school_links",
];

/// Texts about the household as a whole.
const COMMON_TEXTS: [&str; 9] = [
    "adults_at_home",
    "safe_now",
    "other_children",
    "source_can_reach_child_today",
    "working_well",
    "what_needs_to_change",
    "parents_view",
    "history",
    "request",
];

/// Splits `draft`, whose routing facts are `facts`, by where its children live on `day`.
pub fn split(
    draft: &Value,
    facts: &RoutingFacts,
    tables: &RoutingTables,
    day: Date,
) -> Result<Vec<Part>, NotSplit> {
    if draft["version"] != 1 {
        return Err(NotSplit::LaterVersion);
    }
    if draft.get("group_id").is_some() {
        return Err(NotSplit::InAGroup);
    }
    let whole = draft["referral_id"].as_str().and_then(|id| id.parse::<ReferralId>().ok());
    let salt = draft["salt"].as_str().and_then(|salt| URL_SAFE_NO_PAD.decode(salt).ok());
    let (Some(whole), Some(salt)) = (whole, salt) else { return Err(NotSplit::Unreadable) };
    let groups = by_authority(draft, facts, tables, day).ok_or(NotSplit::Unreadable)?;
    if groups.len() < 2 {
        return Err(NotSplit::OneAuthority);
    }
    let parts = groups.into_iter().map(|(authority, children)| {
        let (mut value, to_read) = only(draft, &children);
        let fresh = Fresh::of(&whole, &salt, &children);
        value.insert("group_id".into(), whole.to_string().into());
        value.insert("referral_id".into(), fresh.id.to_string().into());
        value.insert("salt".into(), URL_SAFE_NO_PAD.encode(fresh.salt).into());
        if authority.is_some() {
            value.remove("routing_choice");
        }
        Part { authority, children, draft: Value::Object(value), to_read }
    });
    Ok(parts.collect())
}

/// The children by the authority where they live, that of the first child first. One whose place does
/// not decide stays with the first.
fn by_authority(
    draft: &Value,
    facts: &RoutingFacts,
    tables: &RoutingTables,
    day: Date,
) -> Option<Vec<(Option<DfeCode>, Vec<String>)>> {
    let ids = draft["children"].as_array()?.iter().map(|child| child["id"].as_str());
    let ids: Vec<&str> = ids.collect::<Option<_>>()?;
    if ids.len() != facts.children.len() {
        return None;
    }
    let mut groups: Vec<(Option<DfeCode>, Vec<String>)> = Vec::new();
    let mut undecided = Vec::new();
    for (id, child) in ids.iter().zip(&facts.children) {
        let alone = RoutingFacts { children: vec![child.clone()], choice: None, ..facts.clone() };
        let decision = tables.decide(&alone, None, day);
        let home = decision.accountable.filter(|_| !decision.is_flagged() && decision.is_routed());
        match groups.iter_mut().find(|(authority, _)| home.is_some() && *authority == home) {
            Some((_, children)) => children.push((*id).to_owned()),
            None if home.is_some() => groups.push((home, vec![(*id).to_owned()])),
            None => undecided.push((*id).to_owned()),
        }
    }
    match groups.first_mut() {
        Some((_, children)) => children.extend(undecided),
        None => groups.push((None, undecided)),
    }
    Some(groups)
}

/// What is left of a draft for some of its children, and the texts that a person has to read.
fn only(draft: &Value, children: &[String]) -> (Map<String, Value>, Vec<String>) {
    let mut value = draft.as_object().cloned().unwrap_or_default();
    let ours: BTreeSet<&str> = children.iter().map(String::as_str).collect();
    let all: BTreeMap<&str, &Value> = entries(draft, "children").collect();
    let theirs: BTreeSet<&str> = all.keys().copied().filter(|id| !ours.contains(id)).collect();
    let mut to_read = Vec::new();
    for name in LISTS {
        let Some(Value::Array(list)) = value.get(name) else { continue };
        let kept: Vec<(Value, bool)> =
            list.iter().filter_map(|entry| narrowed(entry, &ours, &theirs)).collect();
        let mixed = kept.iter().enumerate().filter(|(_, (_, mixed))| *mixed);
        to_read.extend(mixed.map(|(at, _)| format!("/{name}/{at}")));
        let kept: Vec<Value> = kept.into_iter().map(|(entry, _)| entry).collect();
        match kept.is_empty() {
            true => drop(value.remove(name)),
            false => drop(value.insert(name.into(), kept.into())),
        }
    }
    let kept = entries(draft, "children").filter(|(id, _)| ours.contains(id));
    value.insert("children".into(), kept.map(|(_, child)| child.clone()).collect());
    let people = value.remove("people");
    let named = named_in(&value);
    // A child of another part who is named here is a person here: who it is, and no more.
    let mut kept: Vec<Value> = entries_of(people.as_ref())
        .filter(|(id, _)| named.contains(*id))
        .map(|(_, person)| person.clone())
        .collect();
    for id in theirs.iter().filter(|id| named.contains(**id)) {
        let who = ["id", "name", "birth", "sex"]
            .iter()
            .filter_map(|member| Some(((*member).to_owned(), all[id].get(*member)?.clone())));
        kept.push(Value::Object(who.collect()));
    }
    if !kept.is_empty() {
        value.insert("people".into(), kept.into());
    }
    let common = COMMON_TEXTS.iter().filter(|name| value.contains_key(**name));
    to_read.extend(common.map(|name| format!("/{name}")));
    (value, to_read)
}

/// An entry as far as it is about `ours`, and whether it was about `theirs` too; `None` if it is about
/// `theirs` alone.
fn narrowed(
    entry: &Value,
    ours: &BTreeSet<&str>,
    theirs: &BTreeSet<&str>,
) -> Option<(Value, bool)> {
    let mut entry = entry.clone();
    let members = entry.as_object_mut()?;
    // A relationship is about the child at its end.
    if let Some(to) = members.get("to").and_then(Value::as_str)
        && members.contains_key("from")
    {
        return (!theirs.contains(to)).then_some((entry, false));
    }
    if members.get("child").and_then(Value::as_str).is_some_and(|id| theirs.contains(id)) {
        return None;
    }
    let mut mixed = false;
    for name in ["children", "residents"] {
        let Some(Value::Array(ids)) = members.get_mut(name) else { continue };
        let before = ids.len();
        ids.retain(|id| !id.as_str().is_some_and(|id| theirs.contains(id)));
        let (removed, left) = (before > ids.len(), ids.iter().filter_map(Value::as_str));
        let about_ours = left.clone().any(|id| ours.contains(id));
        if removed && !about_ours {
            return None;
        }
        mixed |= removed && name == "children";
    }
    Some((entry, mixed))
}

/// Every local id that is named anywhere.
fn named_in(value: &Map<String, Value>) -> BTreeSet<String> {
    fn walk(name: &str, value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(n, v)| walk(n, v, found)),
            Value::Array(items) => items.iter().for_each(|item| walk(name, item, found)),
            Value::String(id) if Naming::of(name).is_some() || name == "from" => {
                found.insert(id.clone());
            }
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    value.iter().for_each(|(name, value)| walk(name, value, &mut found));
    found
}

fn entries<'a>(draft: &'a Value, list: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    entries_of(draft.get(list))
}

fn entries_of(list: Option<&Value>) -> impl Iterator<Item = (&str, &Value)> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| Some((item["id"].as_str()?, item)))
}

/// An id and a salt for one part, from those of the whole: nobody who does not know the salt of the
/// whole can tell that they belong together.
struct Fresh {
    id: ReferralId,
    salt: [u8; 16],
}

impl Fresh {
    fn of(whole: &ReferralId, salt: &[u8], children: &[String]) -> Self {
        let derived = |what: &str| {
            let mut input =
                format!("ecaf split {what} {whole} {}\n", children.join(" ")).into_bytes();
            input.extend(salt);
            let digest = sha256(&input);
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&digest.as_bytes()[..16]);
            bytes
        };
        let mut id = derived("id");
        // RFC 9562, version 8: a UUID of an application's own making.
        id[6] = id[6] & 0x0f | 0x80;
        id[8] = id[8] & 0x3f | 0x80;
        Self { id: ReferralId::from_bytes(id), salt: derived("salt") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::schema;
    use serde_json::json;

    const DAY: &str = "2026-11-23";

    /// Both drafts of the published example, composed as one: the brother lives with his father in
    /// Newham, the sister in Hackney.
    fn whole() -> Value {
        let bytes = include_bytes!("../../conformance/examples/a04a-harmed-by-a-sibling.json");
        let mut value: Value = serde_json::from_slice(bytes).unwrap();
        value.as_object_mut().unwrap().remove("group_id");
        let father = json!({"id": "a2", "kind": "usual", "lines": ["9 Mercers Wharf"],
            "postcode": "E12 6BX", "residents": ["c2", "p2"]});
        value["addresses"].as_array_mut().unwrap().push(father);
        value
    }

    fn parts(value: &Value) -> Result<Vec<Part>, NotSplit> {
        let day: Date = DAY.parse().unwrap();
        let tables = RoutingTables::embedded().unwrap();
        let checked = schema::check(value, day).unwrap();
        split(value, checked.facts(), &tables, day)
    }

    #[test]
    fn each_authority_gets_its_own_child_and_what_is_about_it() {
        let whole = whole();
        let parts = parts(&whole).unwrap();
        let codes: Vec<_> = parts.iter().map(|p| p.authority.unwrap().to_string()).collect();
        assert_eq!(codes, ["204", "316"]);
        let (hackney, newham) = (&parts[0].draft, &parts[1].draft);
        assert_eq!(hackney["children"].as_array().unwrap().len(), 1);
        assert_eq!(hackney["group_id"], whole["referral_id"]);
        assert_eq!(newham["group_id"], whole["referral_id"]);
        assert_ne!(hackney["referral_id"], newham["referral_id"]);
        assert_ne!(hackney["salt"], newham["salt"]);
        // The brother is said to have harmed her: a person there, by name, without his own concerns.
        let brother =
            hackney["people"].as_array().unwrap().iter().find(|p| p["id"] == "c2").unwrap();
        assert_eq!(brother["name"]["given"], "Emeka");
        assert!(brother.get("upn").is_none() && brother.get("ethnicity").is_none());
        assert_eq!(hackney["concerns"].as_array().unwrap().len(), 1);
        let theirs = newham["concerns"].as_array().unwrap();
        assert_eq!((theirs.len(), &theirs[0]["children"]), (1, &json!(["c2"])));
        let text = newham.to_string();
        for hers in ["pyjamas", "Larkspur", "X001900220033"] {
            assert!(!text.contains(hers), "{hers}");
        }
        assert!(!hackney.to_string().contains("Mercers"));
        for part in &parts {
            let found = schema::check(&part.draft, DAY.parse().unwrap());
            assert!(found.is_ok(), "{:?}", found.err());
            assert!(part.to_read.contains(&"/history".to_owned()), "{:?}", part.to_read);
        }
    }

    #[test]
    fn the_same_draft_gives_the_same_drafts_and_each_goes_to_one_authority() {
        let value = whole();
        assert_eq!(parts(&value).unwrap(), parts(&value).unwrap());
        for part in parts(&value).unwrap() {
            assert_eq!(parts(&part.draft), Err(NotSplit::InAGroup));
        }
    }

    #[test]
    fn what_need_not_be_split_is_not() {
        let mut one = whole();
        one["addresses"].as_array_mut().unwrap().pop();
        assert_eq!(parts(&one), Err(NotSplit::OneAuthority));
        let mut later = whole();
        later["version"] = 2.into();
        later["previous_sha256"] = "0".repeat(43).into();
        later["change"] = json!({"kind": "supplement", "summary": "More."});
        assert_eq!(parts(&later), Err(NotSplit::LaterVersion));
    }

    #[test]
    fn an_entry_about_children_of_both_is_kept_for_each_and_has_to_be_read() {
        let mut value = whole();
        value["worries"][0]["children"] = json!(["c1", "c2"]);
        for part in parts(&value).unwrap() {
            assert_eq!(part.draft["worries"][0]["children"], json!(part.children));
            assert!(part.to_read.contains(&"/worries/0".to_owned()));
        }
    }
}
