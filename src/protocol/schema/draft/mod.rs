//! Drafts of a referral for a text editor: JSON with notes, made from one template.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::codes;
use crate::domain::ids::ReferralId;
use crate::domain::party::SchoolId;
use crate::domain::referral::{Completeness, RequestType, Urgency};
use crate::domain::time::{HOUR, Timestamp};

/// What a draft is made of.
pub struct Draft<'a> {
    /// The short form or the whole one.
    pub completeness: Completeness,
    /// What is asked for.
    pub request_type: RequestType,
    /// The sending school, if it is known already.
    pub school: Option<&'a SchoolId>,
    /// A fresh id.
    pub referral_id: ReferralId,
    /// Fresh random bytes.
    pub salt: [u8; 16],
    /// The present.
    pub now: Timestamp,
}

impl Draft<'_> {
    /// The draft as text. Without its notes it is JSON; with every `""` filled in, and with a
    /// sensible choice where a list is offered, it fits the schema.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut wanted = true;
        for line in include_str!("template.jsonc").lines() {
            if let Some(condition) = line.strip_prefix('@') {
                wanted = self.meets(condition);
            } else if wanted {
                self.line(line, &mut out);
            }
        }
        out
    }

    /// `only A B`: one of these types; `not A`: another type; `full` and `minimal`, with a type:
    /// not that type; `all`: always.
    fn meets(&self, condition: &str) -> bool {
        let kind = self.request_type.as_str();
        let mut words = condition.split(' ');
        let first = words.next();
        let named = words.any(|word| word == kind);
        match first {
            Some("only") => named,
            Some("not") => !named,
            Some("full") => !named && self.completeness == Completeness::Standard,
            Some("minimal") => !named && self.completeness == Completeness::UrgentMinimal,
            _ => true,
        }
    }

    fn line(&self, line: &str, out: &mut String) {
        if let Some(list) = line.trim().strip_prefix("{{codes:").and_then(|l| l.strip_suffix("}}"))
        {
            for (code, label) in codes::list(list).into_iter().flat_map(|list| &list.codes) {
                out.push_str(&format!("  //   {code:<18} {label}\n"));
            }
            return;
        }
        let mut line = line.to_owned();
        if let Some((before, rest)) = line.clone().split_once("{{inline:")
            && let Some((list, after)) = rest.split_once("}}")
        {
            let codes: Vec<&str> = codes::list(list)
                .into_iter()
                .flat_map(|list| &list.codes)
                .map(|(code, _)| code.as_str())
                .collect();
            line = format!("{before}{}{after}", codes.join(", "));
        }
        let urgency = match (self.completeness, self.request_type) {
            (Completeness::UrgentMinimal, _) => Urgency::U1,
            (_, RequestType::FamilyHelp | RequestType::InformationOnly) => Urgency::U3,
            _ => Urgency::U2,
        };
        let form = match self.completeness {
            Completeness::UrgentMinimal => ": the short one for urgent referrals",
            Completeness::Standard => "",
        };
        let values = [
            ("{{form}}", form.to_owned()),
            ("{{referral_id}}", self.referral_id.to_string()),
            ("{{salt}}", URL_SAFE_NO_PAD.encode(self.salt)),
            ("{{now}}", self.now.to_string()),
            ("{{until}}", self.now.plus(4 * HOUR).to_string()),
            ("{{home_time}}", self.now.plus(HOUR).to_string()),
            ("{{completeness}}", self.completeness.as_str().to_owned()),
            ("{{urgency}}", urgency.as_str().to_owned()),
            ("{{type}}", self.request_type.as_str().to_owned()),
            ("{{school}}", self.school.map_or_else(String::new, SchoolId::to_string)),
        ];
        for (mark, value) in values {
            line = line.replace(mark, &value);
        }
        out.push_str(&line);
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json;
    use crate::protocol::schema::{check, findings};
    use serde_json::Value;

    fn fill(value: &mut Value, name: &str) {
        match value {
            Value::String(text) if text.is_empty() => {
                *text = match name {
                    "call_back_phone" => "07700 900123",
                    "email" => "dsl@school.example",
                    "date" => "2019-02-03",
                    "id" => "900001",
                    "postcode" => "E8 1EA",
                    _ => "filled in",
                }
                .to_owned();
            }
            Value::Array(items) => items.iter_mut().for_each(|item| fill(item, name)),
            Value::Object(members) => {
                members.iter_mut().for_each(|(name, value)| fill(value, name));
            }
            _ => {}
        }
    }

    #[test]
    fn a_draft_of_every_kind_is_incomplete_as_made_and_valid_once_filled_in() {
        let now: Timestamp = "2026-11-21T14:20:00Z".parse().unwrap();
        for completeness in [Completeness::UrgentMinimal, Completeness::Standard] {
            for request_type in RequestType::ALL {
                let draft = Draft {
                    completeness,
                    request_type,
                    school: None,
                    referral_id: ReferralId::from_bytes([0x4b; 16]),
                    salt: [9; 16],
                    now,
                };
                let text = draft.text();
                assert!(
                    !text.contains("{{") && text.lines().all(|line| line.len() < 160),
                    "{text}"
                );
                let kind = request_type.as_str();
                let mut value =
                    json::parse(json::strip_comments(&text).as_bytes(), json::DEFAULT_LIMIT)
                        .unwrap_or_else(|e| panic!("{kind}: {e}\n{text}"));
                let (broken, _) = findings(&value, now.utc_date());
                assert!(!broken.is_empty(), "{kind}");
                let lines = text.as_bytes();
                for finding in &broken {
                    assert!(json::position_of(lines, &finding.place).is_some());
                }
                fill(&mut value, "");
                if let Err(broken) = check(&value, now.utc_date()) {
                    panic!("{kind} {}: {broken:#?}", completeness.as_str());
                }
            }
        }
    }
}
