//! A referral as a social worker reads it: what happened first, codes spelled out, nothing left
//! out. Plain text, or one HTML page that needs nothing else.

pub mod copy;
mod layout;
mod words;

use serde_json::Value;

use crate::domain::referral::Urgency;
use crate::protocol::schema::{Shape, label};

pub use layout::{Block, Readable, Section};
use words::{Words, moment};

/// Makes a referral readable. `provenance` is one line of the caller's: where these bytes come from
/// and what proves it. Works on any document that fits the schema, and shows what it can of others.
pub fn readable(document: &Value, provenance: &str) -> Readable {
    let words = Words::new(document);
    let page = Page { document, words: &words, shape: Shape::referral_v1() };
    let urgency = document["urgency"].as_str().unwrap_or_default();
    let title = match document["request_type"].as_str() {
        Some("lado") => "Allegation about an adult who works with children",
        _ => "Safeguarding referral",
    };
    Readable {
        title: format!("{title} · {urgency}: {}", page.code("urgency")),
        provenance: provenance.to_owned(),
        warnings: page.warnings(urgency),
        sections: page.sections(),
    }
}

/// Members that have a place of their own on the page; whatever is not here follows at the end.
const PLACED: [&str; 37] = [
    "schema",
    "referral_id",
    "version",
    "previous_sha256",
    "change",
    "group_id",
    "salt",
    "composed_at",
    "completeness",
    "urgency",
    "request_type",
    "request",
    "referrer",
    "children",
    "people",
    "adults_at_home",
    "relationships",
    "addresses",
    "where_now",
    "safe_now",
    "concerns",
    "voice",
    "parents_informed",
    "agreement",
    "reason_not_sought",
    "confirms_phone_call",
    "danger_to_workers",
    "interpreter",
    "other_children",
    "source_can_reach_child_today",
    "worries",
    "working_well",
    "what_needs_to_change",
    "parents_view",
    "known_plans",
    "history",
    "chronology",
];

struct Page<'d> {
    document: &'d Value,
    words: &'d Words<'d>,
    shape: Option<Shape>,
}

impl Page<'_> {
    fn member(&self, name: &str) -> Option<(&Value, Shape)> {
        Some((self.document.get(name)?, self.shape.as_ref()?.member(name)?))
    }

    fn code(&self, name: &str) -> String {
        let code = self.document[name].as_str().unwrap_or_default();
        label(name, code).unwrap_or(code).to_owned()
    }

    fn warnings(&self, urgency: &str) -> Vec<String> {
        let mut warnings = Vec::new();
        let danger = &self.document["danger_to_workers"];
        match danger["answer"].as_bool() {
            Some(true) => {
                let about = self.member("danger_to_workers").map(|(value, shape)| {
                    let fields = self.words.fields(value, &shape, &["answer"]);
                    fields.into_iter().map(|(_, said)| said).collect::<Vec<_>>().join(". ")
                });
                warnings.push(format!("DANGER TO WORKERS. {}", about.unwrap_or_default()));
            }
            Some(false) => {}
            None => warnings.push("Danger to workers: not known to the school.".to_owned()),
        }
        if urgency == Urgency::U0.as_str() {
            warnings.push("DANGER NOW: the school was told to ring 999 first.".to_owned());
        }
        let withheld =
            self.document["addresses"].as_array().into_iter().flatten().filter(|a| is_withheld(a));
        if withheld.count() > 0 {
            warnings.push(
                "WITHHELD ADDRESS. An address below must be kept from persons named beside it. Do not \
                 read it out, print it or show it to the family."
                    .to_owned(),
            );
        }
        if self.document["parents_informed"]["answer"] == Value::Bool(false) {
            let reason = &self.document["reason_not_sought"];
            let why = reason["code"].as_str().and_then(|code| label("reason_not_sought", code));
            let mut warning = "The parents do NOT know of this referral.".to_owned();
            for part in [why, reason["detail"].as_str()].into_iter().flatten() {
                warning.push(' ');
                warning.push_str(part.trim_end_matches('.'));
                warning.push('.');
            }
            warnings.push(warning);
        }
        if let Some(excluded) = self.document["exclude_persons"].as_array() {
            let who: Vec<String> = excluded
                .iter()
                .filter_map(|e| e["person"].as_str())
                .map(|id| self.words.who(id))
                .collect();
            warnings.push(format!("Must not be shown to or discussed with: {}.", who.join(", ")));
        }
        warnings
    }

    fn sections(&self) -> Vec<Section> {
        let mut out = Vec::new();
        let mut add = |heading: &str, blocks: Vec<Block>| {
            if !blocks.is_empty() {
                out.push(Section { heading: heading.to_owned(), blocks });
            }
        };
        add("In short", vec![Block::Fields(filled(self.summary()))]);
        if let Some((change, shape)) = self.member("change") {
            add(
                "What this version changes",
                vec![Block::Fields(self.words.fields(change, &shape, &[]))],
            );
        }
        add("What happened", self.concerns());
        add("What is asked for", self.request());
        add("Where the children are, and what was done", self.now());
        add("What the children say", self.voice());
        add(
            "Parents and agreement",
            self.answers(&["parents_informed", "reason_not_sought", "agreement", "parents_view"]),
        );
        add("Children", self.entries("children", "name", &["id", "mother", "father"]));
        let mut adults = self.answers(&["adults_at_home", "interpreter", "other_children"]);
        adults.extend(self.entries("people", "name", &["id"]));
        add("Family and other people", adults);
        add("Who is what to whom", self.relationships());
        add("Addresses", self.addresses());
        add(
            "Worries and strengths",
            self.answers(&["worries", "working_well", "what_needs_to_change"]),
        );
        add("Plans, history and chronology", self.past());
        add("Danger to workers", self.answers(&["danger_to_workers"]));
        let rest: Vec<&str> = self
            .shape
            .iter()
            .flat_map(Shape::members)
            .filter(|name| !PLACED.contains(name))
            .collect();
        for name in rest {
            if let Some((value, shape)) = self.member(name) {
                add(shape.title(), self.any(value, &shape));
            }
        }
        add("Sent by", self.sender());
        out
    }

    fn summary(&self) -> Vec<(String, String)> {
        let d = self.document;
        let children: Vec<String> = d["children"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|child| {
                let birth = self.words.birth(&child["birth"]);
                let name = self.words.who(child["id"].as_str().unwrap_or_default());
                if birth.is_empty() { name } else { format!("{name}, {}", birth) }
            })
            .collect();
        let referrer = &d["referrer"];
        let sender: Vec<&str> = [&referrer["name"], &referrer["school"]["name"]]
            .iter()
            .filter_map(|part| part.as_str())
            .collect();
        let mut call = referrer["call_back_phone"].as_str().unwrap_or_default().to_owned();
        if let Some(until) = referrer["call_back_until"].as_str() {
            call.push_str(&format!(" until {}", moment(until)));
        }
        let mut id = d["referral_id"].as_str().unwrap_or_default().to_owned();
        if let Some(version) = d["version"].as_u64() {
            id.push_str(&format!(", version {version}"));
        }
        [
            ("Children", children.join("\n")),
            ("Asked for", self.code("request_type")),
            ("Sent by", sender.join(", ")),
            ("Ring back", call),
            (
                "Out of hours",
                referrer["out_of_hours_phone"].as_str().unwrap_or_default().to_owned(),
            ),
            ("Written", moment(d["composed_at"].as_str().unwrap_or_default())),
            ("Form", self.code("completeness")),
            ("Referral", id),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    fn concerns(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        if let Some((request, shape)) = self.member("request")
            && let (Some(lado), Some(shape)) = (request.get("lado"), shape.member("lado"))
        {
            blocks.push(self.quote(&lado["what"], ""));
            blocks.push(Block::Fields(self.words.fields(lado, &shape, &["what"])));
        }
        if let Some((concerns, shape)) = self.member("concerns")
            && let Some(shape) = shape.item()
        {
            for concern in concerns.as_array().into_iter().flatten() {
                let about = self.words.whom(&concern["children"], "all children of this referral");
                blocks.push(self.quote(&concern["narrative"], &format!("About {about}")));
                let fields = self.words.fields(concern, &shape, &["narrative", "children"]);
                if !fields.is_empty() {
                    blocks.push(Block::Fields(fields));
                }
            }
        }
        blocks
    }

    fn quote(&self, text: &Value, about: &str) -> Block {
        let basis = self.words.basis(text);
        let by: Vec<&str> =
            [about, basis.as_str()].into_iter().filter(|part| !part.is_empty()).collect();
        let said = text["text"].as_str().map(str::to_owned);
        Block::Quote {
            by: by.join(" · "),
            text: said.or_else(|| self.words.unknown(text)).unwrap_or_default(),
        }
    }

    fn request(&self) -> Vec<Block> {
        match self.member("request") {
            Some((request, shape)) => {
                let fields = self.words.fields(request, &shape, &["lado"]);
                if fields.is_empty() { Vec::new() } else { vec![Block::Fields(fields)] }
            }
            None => Vec::new(),
        }
    }

    fn now(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        if let Some((places, shape)) = self.member("where_now")
            && let Some(shape) = shape.item()
        {
            for place in places.as_array().into_iter().flatten() {
                let who = self.words.whom(&place["children"], "All children");
                let mut fields = vec![("Children".to_owned(), who)];
                fields.extend(self.words.fields(place, &shape, &["children"]));
                blocks.push(Block::Fields(fields));
            }
        }
        blocks.extend(self.answers(&[
            "safe_now",
            "source_can_reach_child_today",
            "confirms_phone_call",
        ]));
        blocks
    }

    fn voice(&self) -> Vec<Block> {
        let Some((voices, shape)) = self.member("voice") else { return Vec::new() };
        let Some(shape) = shape.item() else { return Vec::new() };
        let mut blocks = Vec::new();
        for voice in voices.as_array().into_iter().flatten() {
            let who = self.words.who(voice["child"].as_str().unwrap_or_default());
            blocks.push(self.quote(&voice["words"], &who));
            let fields = self.words.fields(voice, &shape, &["child", "words"]);
            if !fields.is_empty() {
                blocks.push(Block::Fields(fields));
            }
        }
        blocks
    }

    /// One field for each member that is there; an object of several fields becomes several.
    fn answers(&self, names: &[&str]) -> Vec<Block> {
        let mut fields = Vec::new();
        for name in names {
            let Some((value, shape)) = self.member(name) else { continue };
            fields.push((shape.title().to_owned(), self.words.say(value, &shape)));
        }
        if fields.is_empty() { Vec::new() } else { vec![Block::Fields(fields)] }
    }

    /// The entries of a list, each under its name.
    fn entries(&self, list: &str, title: &str, without: &[&str]) -> Vec<Block> {
        let Some((entries, shape)) = self.member(list) else { return Vec::new() };
        let Some(shape) = shape.item() else { return Vec::new() };
        let mut without = without.to_vec();
        without.push(title);
        entries
            .as_array()
            .into_iter()
            .flatten()
            .map(|entry| {
                let mut name = self.words.name(&entry["name"]);
                if name.is_empty() {
                    name = self.words.who(entry["id"].as_str().unwrap_or_default());
                }
                let mut fields = vec![("Name".to_owned(), name)];
                fields.extend(self.words.fields(entry, &shape, &without));
                for parent in ["mother", "father"] {
                    if let (Some(value), Some(shape)) = (entry.get(parent), shape.member(parent)) {
                        fields.push((shape.title().to_owned(), self.words.say(value, &shape)));
                    }
                }
                Block::Fields(fields)
            })
            .collect()
    }

    fn relationships(&self) -> Vec<Block> {
        let Some((edges, shape)) = self.member("relationships") else { return Vec::new() };
        let Some(shape) = shape.item() else { return Vec::new() };
        const COLUMNS: [&str; 5] = [
            "parental_responsibility",
            "lives_with",
            "main_carer",
            "collects",
            "alleged_source_of_harm",
        ];
        let title =
            |name: &str| shape.member(name).map(|s| s.title()).unwrap_or_default().to_owned();
        let mut head = vec!["Who".to_owned(), "Is to".to_owned(), "What".to_owned()];
        head.extend(COLUMNS.map(title));
        head.push("Remarks".to_owned());
        let rows: Vec<Vec<String>> = edges
            .as_array()
            .into_iter()
            .flatten()
            .map(|edge| {
                let say = |name: &str| {
                    shape.member(name).map(|s| self.words.say(&edge[name], &s)).unwrap_or_default()
                };
                let mut row = vec![say("from"), say("to"), say("type")];
                row.extend(COLUMNS.map(say));
                let remarks = [say("contact_restriction"), say("detail")];
                row.push(
                    remarks
                        .iter()
                        .filter(|r| !r.is_empty())
                        .cloned()
                        .collect::<Vec<_>>()
                        .join("\n"),
                );
                row
            })
            .collect();
        if rows.is_empty() { Vec::new() } else { vec![Block::Table { head, rows }] }
    }

    fn addresses(&self) -> Vec<Block> {
        let Some((addresses, shape)) = self.member("addresses") else { return Vec::new() };
        let Some(shape) = shape.item() else { return Vec::new() };
        addresses
            .as_array()
            .into_iter()
            .flatten()
            .map(|address| {
                let mut fields = Vec::new();
                if is_withheld(address) {
                    let from = match address["withhold_from_everyone"].as_bool() {
                        Some(true) => "everyone in the family".to_owned(),
                        _ => self.words.whom(&address["withhold_from"], "the family"),
                    };
                    fields.push(("WITHHELD".to_owned(), format!("Must be kept from {from}")));
                }
                let who = self.words.whom(&address["residents"], "All children");
                fields.push(("Who lives or lived here".to_owned(), who));
                let without = ["id", "residents", "withhold_from", "withhold_from_everyone"];
                fields.extend(self.words.fields(address, &shape, &without));
                Block::Fields(fields)
            })
            .collect()
    }

    fn past(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        for name in ["known_plans", "history", "chronology"] {
            if let Some((value, shape)) = self.member(name) {
                blocks.extend(self.any(value, &shape));
            }
        }
        blocks
    }

    fn any(&self, value: &Value, shape: &Shape) -> Vec<Block> {
        match value {
            Value::Array(items) => match shape.item() {
                Some(item) if items.iter().all(Value::is_object) => items
                    .iter()
                    .map(|value| Block::Fields(self.words.fields(value, &item, &["id"])))
                    .collect(),
                _ => vec![Block::Text(self.words.say(value, shape))],
            },
            Value::Object(_)
                if self.words.unknown(value).is_none() && !value["text"].is_string() =>
            {
                vec![Block::Fields(self.words.fields(value, shape, &[]))]
            }
            other => {
                vec![Block::Fields(vec![(shape.title().to_owned(), self.words.say(other, shape))])]
            }
        }
    }

    fn sender(&self) -> Vec<Block> {
        match self.member("referrer") {
            Some((referrer, shape)) => {
                vec![Block::Fields(self.words.fields(referrer, &shape, &[]))]
            }
            None => Vec::new(),
        }
    }
}

fn is_withheld(address: &Value) -> bool {
    address["withhold_from_everyone"] == Value::Bool(true)
        || address["withhold_from"].is_array()
        || address["kind"] == "refuge"
}

fn filled(fields: Vec<(String, String)>) -> Vec<(String, String)> {
    fields.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}
