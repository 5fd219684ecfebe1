//! From a document that fits the schema to what the exchange needs of it.

use crate::domain::ids::Digest;
use crate::domain::referral::{
    CaseHolder, CaseKind, ChildFacts, Completeness, Header, RequestType, Residence, RoutingFacts,
    SenderChoice, SettingFacts, Urgency, WhereNow,
};
use crate::domain::time::Timestamp;
use crate::protocol::json::{Json, Kind};

/// The header. `None` only if the document does not fit the schema.
pub(super) fn header(document: Json<'_>) -> Option<Header> {
    let text = |name: &str| document.at(name).as_str();
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
        version: u32::try_from(document.at("version").as_i64()?).ok()?,
        previous,
        group_id,
        school: document.at("referrer").at("school").at("id").as_str()?.parse().ok()?,
        urgency: Urgency::from_code(text("urgency")?)?,
        request_type: RequestType::from_code(text("request_type")?)?,
        completeness: Completeness::from_code(text("completeness")?)?,
    })
}

/// What routing needs.
pub(super) fn routing(document: Json<'_>, header: &Header) -> RoutingFacts {
    let children = list(document, "children")
        .enumerate()
        .map(|(at, child)| child_facts(document, header, at, child.at("id").as_str().unwrap_or("")))
        .collect();
    let setting = document.at("request").at("lado").at("setting");
    let choice = document.at("routing_choice");
    RoutingFacts {
        urgency: header.urgency,
        request_type: header.request_type,
        children,
        setting: (setting.kind() == Kind::Object).then(|| SettingFacts {
            authority: setting.at("authority").as_str().and_then(|code| code.parse().ok()),
            postcode: owned(setting.at("postcode")),
        }),
        choice: choice.at("authority").as_str().and_then(|code| code.parse().ok()).map(
            |authority| SenderChoice {
                authority,
                reason: owned(choice.at("reason")).unwrap_or_default(),
            },
        ),
    }
}

fn child_facts(document: Json<'_>, header: &Header, at: usize, id: &str) -> ChildFacts {
    let now = list(document, "where_now").find(|place| concerns(*place, "children", id));
    let home = home_of(document, id);
    let (where_now, now_postcode, goes_home_at) = match now {
        Some(now) => {
            let (place, fallback) = match now.at("place").as_str() {
                Some("school") => {
                    (WhereNow::AtSchool, document.at("referrer").at("school").at("postcode"))
                }
                Some("home") => (WhereNow::AtHome, Json::NOTHING),
                Some("hospital") => (WhereNow::Hospital, Json::NOTHING),
                Some("visiting") => (WhereNow::Visiting, Json::NOTHING),
                Some("missing") => (WhereNow::Missing, Json::NOTHING),
                _ => (WhereNow::Elsewhere, Json::NOTHING),
            };
            let leaves = now.at("goes_home_at").as_str().and_then(|t| t.parse::<Timestamp>().ok());
            (
                place,
                owned(now.at("postcode")).or_else(|| owned(fallback)),
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
            || document.at("safe_now").at("answer").as_bool() == Some(false),
        not_safe_home: urgent
            && document.at("source_can_reach_child_today").at("answer").as_bool() == Some(true),
        goes_home_at,
        cases: cases(document, id, home),
    }
}

/// Where a child lives now. A place to which an authority or need has moved the child counts
/// before the usual home, and that before a stay with somebody.
pub(super) fn home_of<'d>(document: Json<'d>, child: &str) -> Option<Json<'d>> {
    const ORDER: [&str; 6] = [
        "placement",
        "refuge",
        "temporary_accommodation",
        "usual",
        "staying_with",
        "no_fixed_abode",
    ];
    list(document, "addresses")
        .filter(|address| address.at("to").is_null() && concerns(*address, "residents", child))
        .filter_map(|address| {
            let kind = address.at("kind").as_str()?;
            Some((ORDER.iter().position(|k| *k == kind)?, address))
        })
        .min_by_key(|(order, _)| *order)
        .map(|(_, address)| address)
}

fn residence(home: Option<Json<'_>>) -> Residence {
    match home {
        Some(home) => match home.at("postcode").as_str() {
            Some(postcode) => Residence::Postcode(postcode.to_owned()),
            None if home.at("kind") == "no_fixed_abode" => Residence::NoFixedAbode,
            None => Residence::Unknown,
        },
        None => Residence::Unknown,
    }
}

fn cases(document: Json<'_>, child: &str, home: Option<Json<'_>>) -> Vec<CaseHolder> {
    let code = |value: Json<'_>| value.as_str().and_then(|code| code.parse().ok());
    let mut cases: Vec<CaseHolder> = list(document, "known_plans")
        .filter(|plan| concerns(*plan, "children", child))
        .filter_map(|plan| {
            let kind = match plan.at("kind").as_str()? {
                "looked_after" => CaseKind::LookedAfter,
                "child_protection_plan" => CaseKind::ProtectionPlan,
                "child_in_need" => CaseKind::InNeedPlan,
                "open_case" => CaseKind::OpenCase,
                _ => return None,
            };
            Some(CaseHolder { authority: code(plan.at("authority")), kind })
        })
        .collect();
    if let Some(home) = home
        && let Some(authority) = code(home.at("placed_by"))
    {
        // A child in a foster or residential placement is looked after by whoever placed them.
        let kind = match home.at("kind").as_str() {
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
pub(super) fn list<'d>(document: Json<'d>, name: &str) -> impl Iterator<Item = Json<'d>> {
    document.at(name).items()
}

/// Whether an entry is about somebody: it names them, or names nobody and so means all.
pub(super) fn concerns(entry: Json<'_>, member: &str, id: &str) -> bool {
    let ids = entry.at(member);
    ids.kind() != Kind::List || ids.items().any(|i| i == id)
}

fn owned(value: Json<'_>) -> Option<String> {
    value.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json::Tree;
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
        let tree = Tree::from(&document);
        let document = tree.root();
        assert_eq!(home_of(document, "c1").unwrap().at("postcode"), "E15 4QY");
        assert_eq!(home_of(document, "c2").unwrap().at("postcode"), "E8 3QQ");
        assert!(home_of(document, "c3").is_none());
        let cases = cases(document, "c1", home_of(document, "c1"));
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
        let tree = Tree::from(&document);
        let document = tree.root();
        assert!(residence(home_of(document, "c1")) == Residence::Unknown);
    }
}
