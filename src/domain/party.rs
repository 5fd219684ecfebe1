//! Who takes part in the exchange. A party is exactly one SPIFFE ID.

use std::fmt;
use std::str::FromStr;

/// The trust domain of a scheme: the host part of every SPIFFE ID in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(Box<str>);

/// The id of a school or other setting: a URN (six digits), `ukprn-<UKPRN>`, or an id that the
/// directory assigns. Lower case letters, digits and hyphens, at most 40 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchoolId(Box<str>);

/// The three-digit code of the Department for Education for a children's services authority.
/// It follows the council, where ONS area codes follow the boundary.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DfeCode([u8; 3]);

/// The name of a gateway or operator in the scheme: lower case letters, digits, hyphens, at most 40.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

/// An opaque identifier of a person within their organisation. Never a name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonId(Box<str>);

/// An organisation of the scheme, or one of its machines.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Organisation {
    /// A school or other education setting: sends referrals.
    School(SchoolId),
    /// A children's services authority: receives referrals and answers them.
    Authority(DfeCode),
    /// A gateway of the exchange.
    Gateway(Name),
    /// The scheme's operator, who signs the directory.
    Operator(Name),
}

/// The kind of an organisation, without its id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "see Organisation")]
pub enum Role {
    School,
    Authority,
    Gateway,
    Operator,
}

impl Role {
    /// The path segment of the SPIFFE ID.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::School => "school",
            Role::Authority => "authority",
            Role::Gateway => "gateway",
            Role::Operator => "operator",
        }
    }
}

impl Organisation {
    /// Its kind.
    pub const fn role(&self) -> Role {
        match self {
            Organisation::School(_) => Role::School,
            Organisation::Authority(_) => Role::Authority,
            Organisation::Gateway(_) => Role::Gateway,
            Organisation::Operator(_) => Role::Operator,
        }
    }
}

/// A party: an organisation of one trust domain, possibly one person of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Party {
    /// The scheme that it belongs to.
    pub trust_domain: TrustDomain,
    /// The organisation.
    pub organisation: Organisation,
    /// The person, for schools and authorities only.
    pub person: Option<PersonId>,
}

impl Party {
    /// An organisation without a person.
    pub const fn organisation(trust_domain: TrustDomain, organisation: Organisation) -> Self {
        Self { trust_domain, organisation, person: None }
    }
}

/// Why a text is not the identity of a party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAParty {
    /// It does not start with `spiffe://`, or has a port, query, fragment or percent-encoding.
    NotSpiffe,
    /// The trust domain is empty, too long or has other characters than `a-z 0-9 . - _`.
    TrustDomain,
    /// The path is not one of the forms of this scheme.
    Path,
}

impl fmt::Display for NotAParty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotAParty::NotSpiffe => "not a SPIFFE ID (spiffe://trust-domain/role/id)",
            NotAParty::TrustDomain => "the trust domain of the SPIFFE ID is not valid",
            NotAParty::Path => {
                "the path is not /school/ID, /authority/CODE, /gateway/NAME or /operator/NAME \
                 (the first two optionally with /person/ID)"
            }
        })
    }
}

impl std::error::Error for NotAParty {}

fn is_label(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

macro_rules! label {
    ($type:ident, $longest:expr, $error:expr) => {
        impl $type {
            /// The text of it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $type {
            type Err = NotAParty;
            fn from_str(text: &str) -> Result<Self, NotAParty> {
                if is_label(text, $longest) { Ok(Self(text.into())) } else { Err($error) }
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

label!(SchoolId, 40, NotAParty::Path);
label!(Name, 40, NotAParty::Path);
label!(PersonId, 64, NotAParty::Path);

impl TrustDomain {
    /// The text of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustDomain {
    type Err = NotAParty;

    /// SPIFFE-ID 2.1: lower case letters, digits, dots, dashes and underscores, at most 255 bytes.
    fn from_str(text: &str) -> Result<Self, NotAParty> {
        let valid = (1..=255).contains(&text.len())
            && text.bytes().all(|c| {
                c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'-' | b'_')
            });
        if valid { Ok(Self(text.into())) } else { Err(NotAParty::TrustDomain) }
    }
}

impl DfeCode {
    /// The three digits.
    pub fn as_str(&self) -> &str {
        // Only ASCII digits are ever stored.
        std::str::from_utf8(&self.0).unwrap_or("000")
    }
}

impl FromStr for DfeCode {
    type Err = NotAParty;

    fn from_str(text: &str) -> Result<Self, NotAParty> {
        match text.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_digit) => Ok(Self([a, b, c])),
            _ => Err(NotAParty::Path),
        }
    }
}

impl FromStr for Party {
    type Err = NotAParty;

    fn from_str(text: &str) -> Result<Self, NotAParty> {
        let rest = text.strip_prefix("spiffe://").ok_or(NotAParty::NotSpiffe)?;
        if rest.bytes().any(|c| matches!(c, b'?' | b'#' | b'%' | b':' | b'@')) {
            return Err(NotAParty::NotSpiffe);
        }
        let (domain, path) = rest.split_once('/').ok_or(NotAParty::Path)?;
        let trust_domain = domain.parse()?;
        let parts: Vec<&str> = path.split('/').collect();
        let (role, id, person) = match parts[..] {
            [role, id] => (role, id, None),
            [role @ ("school" | "authority"), id, "person", person] => {
                (role, id, Some(person.parse()?))
            }
            _ => return Err(NotAParty::Path),
        };
        let organisation = match role {
            "school" => Organisation::School(id.parse()?),
            "authority" => Organisation::Authority(id.parse()?),
            "gateway" => Organisation::Gateway(id.parse()?),
            "operator" => Organisation::Operator(id.parse()?),
            _ => return Err(NotAParty::Path),
        };
        Ok(Self { trust_domain, organisation, person })
    }
}

impl fmt::Display for Organisation {
    /// The path of the SPIFFE ID without the leading slash: `school/900001`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = self.role().as_str();
        match self {
            Organisation::School(id) => write!(f, "{role}/{id}"),
            Organisation::Authority(code) => write!(f, "{role}/{code}"),
            Organisation::Gateway(name) | Organisation::Operator(name) => {
                write!(f, "{role}/{name}")
            }
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/{}", self.trust_domain, self.organisation)?;
        match &self.person {
            Some(person) => write!(f, "/person/{person}"),
            None => Ok(()),
        }
    }
}

macro_rules! display {
    ($type:ty) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
display!(TrustDomain);
display!(DfeCode);

macro_rules! debug_as_display {
    ($($type:ty),*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}
debug_as_display!(TrustDomain, DfeCode, Organisation, Party);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_round_trip() {
        for text in [
            "spiffe://ecaf.example/school/900001",
            "spiffe://ecaf.example/school/ukprn-10000001",
            "spiffe://ecaf.example/school/900001/person/p-7f3a",
            "spiffe://ecaf.example/authority/204",
            "spiffe://ecaf.example/authority/204/person/w12",
            "spiffe://ecaf.example/gateway/london-1",
            "spiffe://ecaf.example/operator/scheme",
        ] {
            assert_eq!(text.parse::<Party>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "https://ecaf.example/school/900001",
            "SPIFFE://ecaf.example/school/900001",
            "spiffe://ecaf.example",
            "spiffe://ecaf.example/",
            "spiffe:///school/900001",
            "spiffe://Ecaf.example/school/900001",
            "spiffe://ecaf.example:443/school/900001",
            "spiffe://user@ecaf.example/school/900001",
            "spiffe://ecaf.example/school/900001/",
            "spiffe://ecaf.example/school//900001",
            "spiffe://ecaf.example/school/90%30001",
            "spiffe://ecaf.example/school/900001?x",
            "spiffe://ecaf.example/school/900001#x",
            "spiffe://ecaf.example/school/../authority/204",
            "spiffe://ecaf.example/authority/20",
            "spiffe://ecaf.example/authority/2o4",
            "spiffe://ecaf.example/gateway/g/person/p",
            "spiffe://ecaf.example/pupil/1",
            "spiffe://ecaf.example/school/900001/person/",
            "spiffe://ecaf.example/school/9000é1",
        ] {
            assert!(text.parse::<Party>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_label_has_a_length_and_no_hyphen_at_its_ends() {
        for (text, good) in [
            ("a", true),
            ("a-1", true),
            ("", false),
            ("-a", false),
            ("a-", false),
            ("A", false),
            ("a_b", false),
            ("a.b", false),
            ("é", false),
        ] {
            assert_eq!(text.parse::<SchoolId>().is_ok(), good, "{text}");
            assert_eq!(text.parse::<Name>().is_ok(), good, "{text}");
            assert_eq!(text.parse::<PersonId>().is_ok(), good, "{text}");
        }
        assert!(
            "a".repeat(40).parse::<SchoolId>().is_ok()
                && "a".repeat(41).parse::<SchoolId>().is_err()
        );
        assert!("a".repeat(40).parse::<Name>().is_ok() && "a".repeat(41).parse::<Name>().is_err());
        assert!(
            "a".repeat(64).parse::<PersonId>().is_ok()
                && "a".repeat(65).parse::<PersonId>().is_err()
        );
    }

    #[test]
    fn a_trust_domain_has_at_most_255_bytes_of_few_characters() {
        let domain = |text: &str| text.parse::<TrustDomain>().map(|d| d.as_str().to_owned());
        assert_eq!(domain("a-b_c.9"), Ok("a-b_c.9".to_owned()));
        assert_eq!(domain(&"a".repeat(255)), Ok("a".repeat(255)));
        for bad in ["", &"a".repeat(256), "A", "a b", "a/b"] {
            assert_eq!(domain(bad), Err(NotAParty::TrustDomain), "{bad}");
        }
    }

    #[test]
    fn why_a_text_is_no_party_is_told_apart() {
        let why = |text: &str| text.parse::<Party>().unwrap_err();
        assert_eq!(why("https://ecaf.example/school/900001"), NotAParty::NotSpiffe);
        for outside in ["?", "#", "%", ":", "@"] {
            let text = format!("spiffe://ecaf.example/school/900001{outside}");
            assert_eq!(why(&text), NotAParty::NotSpiffe, "{text}");
        }
        assert_eq!(why("spiffe://Ecaf.example/school/900001"), NotAParty::TrustDomain);
        assert_eq!(why("spiffe://ecaf.example/pupil/1"), NotAParty::Path);
        let told =
            [NotAParty::NotSpiffe, NotAParty::TrustDomain, NotAParty::Path].map(|e| e.to_string());
        assert!(told[0].contains("spiffe://trust-domain/role/id"));
        assert!(told[1].contains("trust domain") && told[2].contains("/school/ID"));
    }

    #[test]
    fn a_party_is_shown_as_it_is_written() {
        let text = "spiffe://ecaf.example/authority/204/person/w12";
        let party: Party = text.parse().unwrap();
        assert_eq!(format!("{party:?}"), text);
        assert_eq!(format!("{:?}", party.organisation), "authority/204");
        assert_eq!(party.organisation.role(), Role::Authority);
        assert_eq!(
            format!("{:?} {:?}", party.trust_domain, party.person.as_ref().unwrap()),
            "ecaf.example w12"
        );
        assert_eq!(party.person.unwrap().as_str(), "w12");
        let alone = Party::organisation(party.trust_domain, party.organisation);
        assert_eq!(alone.to_string(), "spiffe://ecaf.example/authority/204");
        for (id, role) in [
            ("school/900001", Role::School),
            ("gateway/one", Role::Gateway),
            ("operator/one", Role::Operator),
        ] {
            let party: Party = format!("spiffe://ecaf.example/{id}").parse().unwrap();
            assert_eq!(
                (party.organisation.role(), party.organisation.to_string()),
                (role, id.to_owned())
            );
            assert_eq!(id.split('/').next(), Some(role.as_str()));
        }
        let (school, code): (SchoolId, DfeCode) =
            ("900001".parse().unwrap(), "204".parse().unwrap());
        assert_eq!(format!("{school} {school:?} {code} {code:?}"), "900001 900001 204 204");
        assert_eq!((school.as_str(), code.as_str()), ("900001", "204"));
        let name: Name = "one".parse().unwrap();
        assert_eq!(format!("{name} {name:?} {}", name.as_str()), "one one one");
    }
}
