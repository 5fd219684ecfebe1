//! Refusals: what is wrong with something that somebody else sent, told so that they can mend it.
//!
//! A refusal never carries a value that was sent, only the rule, the place and what to do. Our own
//! failures are faults and have no type here: they are told to the log, not to the peer.

use std::fmt;

/// One rule of the exchange. Rules are constants, each beside the check that enforces it; their ids
/// are stable and public, and appear in signed refusals and in the conformance vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// Stable id: `area.name`, lower case, words joined by hyphens (`certificate.expired`).
    pub id: &'static str,
    /// What is wrong, as one plain English sentence without a full stop.
    pub title: &'static str,
    /// What the reader should do about it, as one plain English sentence.
    pub action: &'static str,
}

/// Whose move it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Culprit {
    /// The party that sent the request or document.
    Sender,
    /// The gateway.
    Gateway,
    /// The receiving authority.
    Authority,
    /// The scheme's operator (directory, certificates).
    Operator,
}

impl Culprit {
    /// As written on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Culprit::Sender => "sender",
            Culprit::Gateway => "gateway",
            Culprit::Authority => "authority",
            Culprit::Operator => "operator",
        }
    }
}

/// One rule broken at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// JSON Pointer into the document, empty for the whole of it; a member name that the schema
    /// does not know is written `*`, because a name can be personal too.
    pub pointer: String,
    /// More about this case in plain English, never a value from the document; may be empty.
    pub detail: String,
}

impl Violation {
    /// A violation that concerns the whole message.
    pub fn whole(rule: Rule) -> Self {
        Self { rule, pointer: String::new(), detail: String::new() }
    }

    /// A violation at one place.
    pub fn at(rule: Rule, pointer: impl Into<String>) -> Self {
        Self { rule, pointer: pointer.into(), detail: String::new() }
    }

    /// The same with a word more about it.
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.pointer.is_empty() {
            write!(f, "{}: ", self.pointer)?;
        }
        write!(f, "{}", self.rule.title)?;
        if !self.detail.is_empty() {
            write!(f, " ({})", self.detail)?;
        }
        write!(f, ". {} [{}]", self.rule.action, self.rule.id)
    }
}

/// The class of a refusal; the edge maps it to an HTTP status in one exhaustive match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The request cannot be understood (400).
    Malformed,
    /// The peer or the signer is not who they must be (403).
    Forbidden,
    /// Nothing here that this peer may see (404).
    NotFound,
    /// The same key stands for other bytes already (409).
    Conflict,
    /// It was here and is erased (410).
    Gone,
    /// Too large (413).
    TooLarge,
    /// A media type or coding that is not spoken here (415).
    UnsupportedType,
    /// Understood, and against the rules of the schema or of routing (422).
    Invalid,
    /// Too many at once (429).
    TooMany,
    /// Cannot be done now, try again (503).
    Unavailable,
}

/// A refusal: at least one violation and its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind it is.
    pub class: Class,
    /// Whose move it is.
    pub culprit: Culprit,
    /// Every rule broken, not only the first.
    pub violations: Vec<Violation>,
}

impl Refusal {
    /// A refusal for one rule, on account of the sender.
    pub fn new(class: Class, violation: Violation) -> Self {
        Self { class, culprit: Culprit::Sender, violations: vec![violation] }
    }

    /// The same, on another's account.
    pub fn blame(mut self, culprit: Culprit) -> Self {
        self.culprit = culprit;
        self
    }

    /// The rule named first.
    pub fn rule(&self) -> Option<Rule> {
        self.violations.first().map(|v| v.rule)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, violation) in self.violations.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            violation.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule =
        Rule { id: "area.name", title: "Something is wrong", action: "Put it right." };

    #[test]
    fn a_violation_says_where_what_and_what_to_do() {
        let whole = Violation::whole(RULE);
        assert_eq!(whole.to_string(), "Something is wrong. Put it right. [area.name]");
        let placed = Violation::at(RULE, "/children/0").with_detail("of two");
        assert_eq!(
            placed.to_string(),
            "/children/0: Something is wrong (of two). Put it right. [area.name]"
        );
    }

    #[test]
    fn a_refusal_lists_everything_and_blames_the_sender_unless_told() {
        let mut refusal = Refusal::new(Class::Invalid, Violation::whole(RULE));
        assert_eq!((refusal.class, refusal.culprit), (Class::Invalid, Culprit::Sender));
        refusal.violations.push(Violation::at(RULE, "/x"));
        let lines = refusal.to_string();
        let lines: Vec<&str> = lines.split('\n').collect();
        assert_eq!(
            lines,
            [
                "Something is wrong. Put it right. [area.name]",
                "/x: Something is wrong. Put it right. [area.name]"
            ]
        );
        assert_eq!(refusal.rule(), Some(RULE));
        assert_eq!(refusal.blame(Culprit::Operator).culprit, Culprit::Operator);
    }

    #[test]
    fn whose_move_it_is_on_the_wire() {
        let all = [Culprit::Sender, Culprit::Gateway, Culprit::Authority, Culprit::Operator];
        assert_eq!(all.map(Culprit::as_str), ["sender", "gateway", "authority", "operator"]);
    }
}
