//! What a postcode says, told to a person and as JSON. Holds no postcode: whoever asks knows it.

use std::fmt;

use serde_json::{Value, json};

use super::{RoutingTables, Versions};
use crate::domain::party::DfeCode;
use crate::domain::routing::answer::{Answer, Neighbour, answer};
use crate::domain::routing::decide::{Basis, OLD_MONTHS, age_in_months};
use crate::domain::time::Date;

/// An answer with everything that a person needs to judge it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The answer.
    pub answer: Answer,
    /// The day for which it holds.
    pub as_of: Date,
    /// Its authority or best candidate, with name.
    pub authority: Option<(DfeCode, String)>,
    /// Others that it may be, with names.
    pub alternatives: Vec<(Option<DfeCode>, String)>,
    /// Stable id of the rule that it goes by.
    pub rule: Basis,
    /// One sentence.
    pub summary: String,
    /// What to be careful about; empty for most.
    pub warnings: Vec<String>,
    /// Age of the postcode table on that day, in months.
    pub age_months: u32,
    /// Which data it rests on.
    pub versions: Versions,
}

pub(super) fn explain(tables: &RoutingTables, typed: &str, as_of: Date) -> Explanation {
    let districts = tables.districts();
    let (answer, district) = answer(tables.postcodes(), districts, as_of, typed);
    let name = |code: DfeCode| districts.name(code);
    let authority = answer.candidate().map(|code| (code, name(code)));
    let alternatives: Vec<_> = match answer {
        Answer::NearBoundary { b: Neighbour::Authority(code), .. } => {
            vec![(Some(code), name(code))]
        }
        Answer::NearBoundary { b: Neighbour::Nation(nation), .. } => {
            vec![(None, nation.name().to_string())]
        }
        _ => vec![],
    };
    let this = authority.as_ref().map_or("", |(_, name)| name);
    let (summary, mut warnings) = sentence(&answer, this, alternatives.first().map(|a| &*a.1));
    let announced = district.and_then(|code| districts.announced(code));
    if let Some(change) = announced.filter(|change| as_of < change.effective) {
        warnings.push(format!(
            "From {} the place belongs to {}: ask again for that day.",
            change.effective, change.to_name
        ));
    }
    if answer.is_retired() {
        warnings.push(
            "The postcode is no longer in use: check whether the family still lives there."
                .to_string(),
        );
    }
    let age_months = age_in_months(tables.postcodes(), as_of);
    if age_months > OLD_MONTHS {
        warnings.push(format!("The postcode table is {age_months} months old."));
    }
    Explanation {
        answer,
        as_of,
        authority,
        alternatives,
        rule: Basis::Lives,
        summary,
        warnings,
        age_months,
        versions: tables.versions().clone(),
    }
}

fn sentence(answer: &Answer, this: &str, other: Option<&str>) -> (String, Vec<String>) {
    let mut warnings = Vec::new();
    let summary = match answer {
        Answer::One(_) | Answer::Retired { .. } => format!("{this} is responsible."),
        Answer::NearBoundary { metres, .. } => {
            warnings.push(format!(
                "Listed under {this}, and {metres} m from a postcode of {}. About one address in \
                 ninety lies in another authority than its postcode says.",
                other.unwrap_or("an area whose authority is not settled")
            ));
            let other = other.map_or(String::new(), |other| format!(", or {other}"));
            format!("{this}{other}? A person confirms; urgent ones go to {this} at once.")
        }
        Answer::KnownUnplaced => {
            "The postcode exists, but which authority it lies in is not known; a person decides."
                .to_string()
        }
        Answer::Reorganised { .. } => {
            format!("It was {this}, which has been reorganised; this table has no successor.")
        }
        Answer::NotEngland(nation) => {
            format!("Not in England but in {}: ring the council there.", nation.name())
        }
        Answer::Unknown => "No such postcode is listed: check it for a typing mistake.".to_string(),
        Answer::NotAPostcode => {
            "This is not a postcode; expected a form such as N1 1AA or EC1A 1BB.".to_string()
        }
    };
    (summary, warnings)
}

impl Explanation {
    /// As JSON, `snake_case`.
    pub fn json(&self) -> Value {
        let named = |code: Option<DfeCode>, name: &str| json!({ "dfe_code": code.map(|c| c.to_string()), "name": name });
        let versions = &self.versions;
        json!({
            "answer": self.answer.code(),
            "as_of": self.as_of.to_string(),
            "authority": self.authority.as_ref().map(|(code, name)| named(Some(*code), name)),
            "needs_a_person": self.answer.certain().is_none(),
            "near_boundary_metres": match self.answer {
                Answer::NearBoundary { metres, .. } => Some(metres),
                _ => None,
            },
            "alternatives":
                self.alternatives.iter().map(|(code, name)| named(*code, name)).collect::<Vec<_>>(),
            "rule": self.rule.id(),
            "summary": self.summary,
            "warnings": self.warnings,
            "table": {
                "edition": versions.postcodes,
                "sha256": versions.postcodes_digest.to_string(),
                "age_months": self.age_months,
            },
            "districts": {
                "edition": versions.districts,
                "sha256": versions.districts_digest.to_string(),
            },
        })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.summary)?;
        let mut line = |label: &str, text: &str| writeln!(f, "  {label:<13}{text}");
        if let Some((code, name)) = &self.authority {
            let label = if self.answer.certain().is_some() { "authority" } else { "candidate" };
            line(label, &format!("{name} ({code})"))?;
            line("rule", &format!("{}: {}", self.rule.id(), self.rule.title()))?;
        }
        for (code, name) in &self.alternatives {
            let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
            line("or", &format!("{name}{code}"))?;
        }
        line("as of", &self.as_of.to_string())?;
        let age = match self.age_months {
            0 => "less than a month old".to_string(),
            1 => "1 month old".to_string(),
            n => format!("{n} months old"),
        };
        line("table", &format!("{}, {age}", self.versions.postcodes))?;
        line("districts", &self.versions.districts)?;
        for warning in &self.warnings {
            line("warning", warning)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Digest;
    use crate::domain::routing::gss::Nation;

    #[test]
    fn each_kind_of_answer_has_its_sentence() {
        let (a, b): (DfeCode, DfeCode) = ("991".parse().unwrap(), "992".parse().unwrap());
        let near = |b| Answer::NearBoundary { a, b, metres: 40, retired: false };
        let other = near(Neighbour::Authority(b));
        for (answer, other, words, warned) in [
            (Answer::One(a), None, "Ayton is responsible.", None),
            (Answer::Retired { was: a }, None, "Ayton is responsible.", None),
            (other, Some("Beeton"), "Ayton, or Beeton? A person confirms", Some("of Beeton.")),
            (near(Neighbour::Unsettled), None, "Ayton? A person", Some("is not settled.")),
            (Answer::KnownUnplaced, None, "The postcode exists", None),
            (Answer::Reorganised { was: a }, None, "It was Ayton", None),
            (Answer::NotEngland(Nation::Wales), None, "Not in England but in Wales", None),
            (Answer::Unknown, None, "No such postcode is listed", None),
            (Answer::NotAPostcode, None, "This is not a postcode", None),
        ] {
            let (summary, warnings) = sentence(&answer, "Ayton", other);
            assert!(summary.starts_with(words), "{summary}");
            assert_eq!(warnings.len(), usize::from(warned.is_some()), "{warnings:?}");
            let warning = warned.map_or("", |end| &warnings[0][..warnings[0].find(end).unwrap()]);
            assert!(warning.is_empty() || warning.starts_with("Listed under Ayton, and 40 m"));
        }
    }

    #[test]
    fn a_person_reads_everything_that_an_answer_rests_on() {
        let digest = Digest::from_bytes([0; 32]);
        let explanation = Explanation {
            answer: Answer::One("991".parse().unwrap()),
            as_of: Date::new(2026, 11, 21).unwrap(),
            authority: Some(("991".parse().unwrap(), "Ayton".to_string())),
            alternatives: vec![(Some("992".parse().unwrap()), "Beeton".to_string())],
            rule: Basis::Lives,
            summary: "Ayton is responsible.".to_string(),
            warnings: vec!["Look twice.".to_string()],
            age_months: 1,
            versions: Versions {
                postcodes: "Made up 2026-10".to_string(),
                postcodes_digest: digest,
                districts: "2026-04".to_string(),
                districts_digest: digest,
            },
        };
        let rule = format!("{}: {}", Basis::Lives.id(), Basis::Lives.title());
        let expected = format!(
            "Ayton is responsible.\n\n  authority    Ayton (991)\n  rule         {rule}\n  \
             or           Beeton (992)\n  as of        2026-11-21\n  \
             table        Made up 2026-10, 1 month old\n  districts    2026-04\n  \
             warning      Look twice.\n"
        );
        assert_eq!(explanation.to_string(), expected);
    }
}
