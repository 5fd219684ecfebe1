//! Values found nowhere else, put into everything that a document can say about people.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ecaf::cli::sandbox::{SCHOOLS, SandboxSchool};
use serde_json::Value;

use super::talking::{Turn, conversation};
use super::{Document, HACKNEY, Stream, example};

/// Examples that between them use nearly every member of the schema, with their schools.
pub const PLANTED: [&str; 9] = [
    "a01-disclosure-before-the-bell",
    "a02-address-on-file-is-old",
    "a03a-three-siblings-two-schools",
    "a06-refuge-address",
    "a07-parent-must-not-know",
    "a14-unborn-child-of-a-pupil",
    "a15a-allegation-about-a-teacher",
    "a19-wrong-upn-no-postcode",
    "information-for-an-open-case",
];

/// Values planted, in every form in which they could be printed.
#[derive(Default)]
pub struct Planted {
    pub values: BTreeSet<String>,
    numbers: usize,
}

impl Planted {
    pub fn plant(&mut self, value: &str) {
        self.values.insert(value.to_owned());
    }

    /// Puts a value of its own into every leaf that says something about people, without making the
    /// document invalid.
    fn everywhere(&mut self, value: &mut Value, stream: &mut Stream) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    if let Value::String(text) = value {
                        *text = self.value(name, text, stream);
                    } else {
                        self.everywhere(value, stream);
                    }
                }
            }
            Value::Array(items) => {
                for item in items {
                    if let Value::String(text) = item {
                        *text = self.value("lines", text, stream);
                    } else {
                        self.everywhere(item, stream);
                    }
                }
            }
            _ => {}
        }
    }

    fn value(&mut self, member: &str, old: &str, stream: &mut Stream) -> String {
        let planted = match member {
            // Free text and names. What follows a space is a word of its own: the first word alone
            // must not leak either, so it is the planted one.
            "text" | "detail" | "because" | "done" | "advice" | "summary" | "notes" | "what"
            | "given" | "family" | "job_title" | "address" | "adults_at_home" | "who_collects"
            | "title" | "reason" | "place_name" | "label" | "communication" | "year_group"
            | "also_known_as" | "name" => format!("Zq{}", stream.word()),
            // People who are named in lists; codes and references to people of the document stay.
            "lines" if old.contains(' ') => format!("Zq{}", stream.word()),
            _ if old.contains('@') => format!("zq{}@planted.example", stream.word()),
            // Ofcom's numbers for drama; every one of them once.
            _ if member.ends_with("phone") => {
                self.numbers += 1;
                format!("07700 900{:03}", 500 + self.numbers)
            }
            "upn" | "postcode" | "nhs_number" => {
                self.plant(old);
                return old.to_owned();
            }
            // Dates of birth; no clock of this run shows such a year.
            "date" if old < "2025" => {
                self.plant(old);
                return old.to_owned();
            }
            _ => return old.to_owned(),
        };
        self.plant(&planted);
        match member {
            // Long enough to look like what it is.
            "text" => format!("{planted} was heard. {old}"),
            _ => planted,
        }
    }

    /// Whatever of it stands in `text`.
    pub fn found_in<'a>(&'a self, text: &str) -> Vec<&'a str> {
        let lower = text.to_lowercase();
        self.values
            .iter()
            .map(String::as_str)
            .filter(|v| forms(v).any(|f| lower.contains(&f)))
            .collect()
    }
}

/// A value as it could be printed: as it is, without spaces, percent-encoded, escaped, in base64.
fn forms(value: &str) -> impl Iterator<Item = String> {
    let plain = value.to_lowercase();
    let closed = plain.replace(' ', "");
    let percent = plain.replace(' ', "%20");
    let bytes = format!("{:?}", value.as_bytes());
    // At each of the three places in a group of four where it could begin.
    let encoded = (0..3).map(|skip| {
        let text = format!("{}{value}", "x".repeat(skip));
        let encoded = STANDARD_NO_PAD.encode(text);
        let inner = &encoded[(skip * 8).div_ceil(6)..encoded.len() - 1];
        inner.to_lowercase()
    });
    [plain, closed, percent, bytes].into_iter().chain(encoded.collect::<Vec<_>>())
}

/// The planted documents, ready to be sent, and what was planted.
pub fn planted(stream: &mut Stream) -> (Vec<Document>, Planted) {
    let mut planted = Planted::default();
    let documents = PLANTED.map(|name| {
        let mut value = example(name);
        let school = text(&value["referrer"]["school"]["id"]).to_owned();
        let by_person = value["request_type"] == "lado";
        let is_sender = |s: &SandboxSchool| s.id == school && s.person.is_some() == by_person;
        let school = SCHOOLS.iter().position(is_sender).unwrap();
        planted.everywhere(&mut value, stream);
        stream.renew(&mut value);
        planted.plant(text(&value["salt"]));
        // The accountable authority does not matter here.
        Document::of(value, school, HACKNEY)
    });
    (documents.to_vec(), planted)
}

/// The text of a value.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}

/// A conversation whose every word of a document is planted, each by itself.
pub fn planted_conversation(stream: &mut Stream, values: &mut Planted) -> Vec<Turn> {
    let turns = conversation(stream);
    for turn in &turns {
        for value in turn.saying.detail.iter().flat_map(|detail| detail.values()) {
            let word = value.as_str().and_then(|text| text.strip_prefix("Word "));
            word.into_iter().for_each(|word| values.plant(word.trim_end_matches('.')));
        }
    }
    values.plant("Ben Example");
    turns
}
