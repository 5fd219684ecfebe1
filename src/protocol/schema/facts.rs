//! From a document that fits the schema to what the exchange needs of it.

use serde_json::Value;

use crate::domain::ids::Digest;
use crate::domain::referral::{
    CaseHolder, CaseKind, ChildFacts, Completeness, Header, RequestType, Residence, RoutingFacts,
    SenderChoice, SettingFacts, Urgency, WhereNow,
};
use crate::domain::time::Timestamp;

/// The header. `None` only if the document does not fit the schema.
pub(super) fn header(document: &Value) -> Option<Header> {
    let text = |name: &str| document[name].as_str();
    let previous = match text("previous_sha256") {
        Some(digest) => Some(digest.parse::<Digest>().ok()?),
        None => None,
    };
    let group_id = match text("group_id") {
        Some(id) => Some(id.parse().ok()?),
        None => None,
    };
    Some(Header {
        referral_id: text("referral_id")?.parse().ok()?,
        version: u32::try_from(document["version"].as_u64()?).ok()?,
        previous,
        group_id,
        school: document["referrer"]["school"]["id"].as_str()?.parse().ok()?,
        urgency: Urgency::from_code(text("urgency")?)?,
        request_type: RequestType::from_code(text("request_type")?)?,
        completeness: Completeness::from_code(text("completeness")?)?,
    })
}

/// What routing needs.
pub(super) fn routing(document: &Value, header: &Header) -> RoutingFacts {
    let children = list(document, "children")
        .enumerate()
        .map(|(at, child)| child_facts(document, header, at, child["id"].as_str().unwrap_or("")))
        .collect();
    let setting = &document["request"]["lado"]["setting"];
    let choice = &document["routing_choice"];
    RoutingFacts {
        urgency: header.urgency,
        request_type: header.request_type,
        children,
        setting: setting.is_object().then(|| SettingFacts {
            authority: setting["authority"].as_str().and_then(|code| code.parse().ok()),
            postcode: owned(&setting["postcode"]),
        }),
        choice: choice["authority"].as_str().and_then(|code| code.parse().ok()).map(|authority| {
            SenderChoice { authority, reason: owned(&choice["reason"]).unwrap_or_default() }
        }),
    }
}

fn child_facts(document: &Value, header: &Header, at: usize, id: &str) -> ChildFacts {
    let now = list(document, "where_now").find(|place| concerns(place, "children", id));
    let home = home_of(document, id);
    let (where_now, now_postcode, goes_home_at) = match now {
        Some(now) => {
            let (place, fallback) = match now["place"].as_str() {
                Some("school") => (WhereNow::AtSchool, &document["referrer"]["school"]["postcode"]),
                Some("home") => (WhereNow::AtHome, &Value::Null),
                Some("hospital") => (WhereNow::Hospital, &Value::Null),
                Some("visiting") => (WhereNow::Visiting, &Value::Null),
                Some("missing") => (WhereNow::Missing, &Value::Null),
                _ => (WhereNow::Elsewhere, &Value::Null),
            };
            let leaves = now["goes_home_at"].as_str().and_then(|t| t.parse::<Timestamp>().ok());
            (
                place,
                owned(&now["postcode"]).or_else(|| owned(fallback)),
                leaves.map(|time| time.in_england().1),
            )
        }
        None => (WhereNow::Unknown, None, None),
    };
    let urgent = header.urgency.is_urgent();
    ChildFacts {
        pointer: format!("/children/{at}"),
        residence: residence(home),
        where_now,
        now_postcode,
        danger_now: header.urgency == Urgency::U0
            || document["safe_now"]["answer"] == Value::Bool(false),
        not_safe_home: urgent
            && document["source_can_reach_child_today"]["answer"] == Value::Bool(true),
        goes_home_at,
        cases: cases(document, id, home),
    }
}

/// Where a child lives now. A place to which an authority or need has moved the child counts
/// before the usual home, and that before a stay with somebody.
pub(super) fn home_of<'d>(document: &'d Value, child: &str) -> Option<&'d Value> {
    const ORDER: [&str; 6] = [
        "placement",
        "refuge",
        "temporary_accommodation",
        "usual",
        "staying_with",
        "no_fixed_abode",
    ];
    list(document, "addresses")
        .filter(|address| address["to"].is_null() && concerns(address, "residents", child))
        .filter_map(|address| {
            let kind = address["kind"].as_str()?;
            Some((ORDER.iter().position(|k| *k == kind)?, address))
        })
        .min_by_key(|(order, _)| *order)
        .map(|(_, address)| address)
}

fn residence(home: Option<&Value>) -> Residence {
    match home {
        Some(home) => match home["postcode"].as_str() {
            Some(postcode) => Residence::Postcode(postcode.to_owned()),
            None if home["kind"] == "no_fixed_abode" => Residence::NoFixedAbode,
            None => Residence::Unknown,
        },
        None => Residence::Unknown,
    }
}

fn cases(document: &Value, child: &str, home: Option<&Value>) -> Vec<CaseHolder> {
    let code = |value: &Value| value.as_str().and_then(|code| code.parse().ok());
    let mut cases: Vec<CaseHolder> = list(document, "known_plans")
        .filter(|plan| concerns(plan, "children", child))
        .filter_map(|plan| {
            let kind = match plan["kind"].as_str()? {
                "looked_after" => CaseKind::LookedAfter,
                "child_protection_plan" => CaseKind::ProtectionPlan,
                "child_in_need" => CaseKind::InNeedPlan,
                "open_case" => CaseKind::OpenCase,
                _ => return None,
            };
            Some(CaseHolder { authority: code(&plan["authority"]), kind })
        })
        .collect();
    if let Some(home) = home
        && let Some(authority) = code(&home["placed_by"])
    {
        // A child in a foster or residential placement is looked after by whoever placed them.
        let kind = match home["kind"].as_str() {
            Some("placement") => CaseKind::LookedAfter,
            _ => CaseKind::HousingOnly,
        };
        cases.push(CaseHolder { authority: Some(authority), kind });
    }
    cases.sort();
    cases.dedup();
    cases
}

/// The entries of a list; none if it is missing or unknown.
pub(super) fn list<'d>(document: &'d Value, name: &str) -> impl Iterator<Item = &'d Value> {
    document[name].as_array().into_iter().flatten()
}

/// Whether an entry is about somebody: it names them, or names nobody and so means all.
pub(super) fn concerns(entry: &Value, member: &str, id: &str) -> bool {
    entry[member].as_array().is_none_or(|ids| ids.iter().any(|i| i == id))
}

fn owned(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_current_home_decides_and_a_former_one_does_not() {
        let document = json!({"addresses": [
            {"kind": "usual", "postcode": "E8 1EA", "to": "2026-11"},
            {"kind": "usual", "postcode": "E8 3QQ", "residents": ["c2"]},
            {"kind": "temporary_accommodation", "postcode": "E15 4QY", "placed_by": "204",
             "residents": ["c1"]},
            {"kind": "previous", "postcode": "N1 1AA"}
        ]});
        assert_eq!(home_of(&document, "c1").unwrap()["postcode"], "E15 4QY");
        assert_eq!(home_of(&document, "c2").unwrap()["postcode"], "E8 3QQ");
        assert!(home_of(&document, "c3").is_none());
        let cases = cases(&document, "c1", home_of(&document, "c1"));
        assert_eq!(cases.len(), 1);
        assert_eq!(cases[0].kind, CaseKind::HousingOnly);
        assert!(!cases[0].kind.is_delivered());
    }

    #[test]
    fn an_unknown_postcode_is_not_replaced_by_an_old_one() {
        let document = json!({"addresses": [
            {"kind": "refuge", "postcode": {"unknown": "not_asked_unsafe"}},
            {"kind": "usual", "postcode": "E8 1EA"}
        ]});
        assert!(residence(home_of(&document, "c1")) == Residence::Unknown);
    }
}
