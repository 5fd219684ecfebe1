//! The kinds of values in configuration files: how they are written, how they are read.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

use super::reader::Environment;
use crate::domain::party::{DfeCode, Party, TrustDomain};
use crate::protocol::directory::is_https_base_url;
use crate::telemetry::LogFormat;

/// A kind of value.
pub(super) trait Value: Sized {
    /// How it is written, for messages: `an address and port such as ...`.
    const FORM: &'static str;

    /// From text: a TOML string or an environment variable. The message never repeats the text.
    fn from_text(text: &str, folder: &Path, environment: Environment<'_>) -> Result<Self, String>;

    /// From a TOML value; most kinds are strings.
    fn from_toml(
        value: &DeValue<'_>,
        folder: &Path,
        environment: Environment<'_>,
    ) -> Result<Self, String> {
        let text = value.as_str().ok_or_else(expected::<Self>)?;
        Self::from_text(text, folder, environment)
    }
}

fn expected<V: Value>() -> String {
    format!("must be {}", V::FORM)
}

macro_rules! from_str_values {
    ($($type:ty: $form:literal;)*) => {$(
        impl Value for $type {
            const FORM: &'static str = $form;
            fn from_text(text: &str, _: &Path, _: Environment<'_>) -> Result<Self, String> {
                text.parse().map_err(|_| expected::<Self>())
            }
        }
    )*};
}

from_str_values! {
    SocketAddr: "an address and port such as \"127.0.0.1:8443\" or \"[::]:8443\"";
    TrustDomain: "a trust domain such as \"scheme.example.org\"";
    DfeCode: "the three digits of the Department for Education's code, such as \"316\"";
    Party: "a SPIFFE ID such as \"spiffe://scheme.example.org/gateway/london-1\"";
    LogFormat: "\"json\" or \"text\"";
}

/// A path, relative ones from the folder of the configuration file.
impl Value for PathBuf {
    const FORM: &'static str = "a path, absolute or relative to this file";

    fn from_text(text: &str, folder: &Path, _: Environment<'_>) -> Result<Self, String> {
        if text.is_empty() || text.contains(['\n', '\0']) {
            return Err(expected::<Self>());
        }
        Ok(folder.join(text))
    }
}

/// The path of a file with a secret. The secret itself never stands in a configuration file.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretFile(PathBuf);

impl SecretFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl fmt::Debug for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretFile({})", self.0.display())
    }
}

const CREDENTIAL: &str = "credential:";

impl Value for SecretFile {
    const FORM: &'static str =
        "the path of a file, or \"credential:NAME\" for a systemd credential";

    fn from_text(text: &str, folder: &Path, environment: Environment<'_>) -> Result<Self, String> {
        if text.contains("-----BEGIN") {
            return Err("a secret never stands in this file; put it into a file of its own, \
                        readable by the service only, and treat this one as leaked"
                .to_owned());
        }
        let Some(name) = text.strip_prefix(CREDENTIAL) else {
            return PathBuf::from_text(text, folder, environment)
                .map(Self)
                .map_err(|_| expected::<Self>());
        };
        if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') {
            return Err(expected::<Self>());
        }
        match environment("CREDENTIALS_DIRECTORY") {
            Some(directory) => Ok(Self(Path::new(&directory).join(name))),
            None => Err("systemd gives no credentials here: CREDENTIALS_DIRECTORY is not set \
                         (see LoadCredential in systemd.exec)"
                .to_owned()),
        }
    }
}

/// Where a secret of one line comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file, readable by its owner alone.
    File(PathBuf),
    /// A systemd credential, guarded by the service manager.
    Credential(PathBuf),
    /// A variable of the environment, by its name.
    Environment(String),
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretSource::File(path) | SecretSource::Credential(path) => path.display().fmt(f),
            SecretSource::Environment(name) => write!(f, "environment variable {name}"),
        }
    }
}

const VARIABLE: &str = "env:";

impl Value for SecretSource {
    const FORM: &'static str = "the path of a file, \"credential:NAME\" for a systemd credential, or \
        \"env:NAME\" for a variable of the environment";

    fn from_text(text: &str, folder: &Path, environment: Environment<'_>) -> Result<Self, String> {
        if text.contains("ecaf-kek-") {
            return Err("a secret never stands in this file; put it into a file of its own, \
                        readable by the service only, and treat this one as leaked"
                .to_owned());
        }
        if let Some(name) = text.strip_prefix(VARIABLE) {
            let plain = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_';
            let sound = !name.is_empty() && name.bytes().all(plain);
            return sound.then(|| Self::Environment(name.into())).ok_or_else(expected::<Self>);
        }
        let file = SecretFile::from_text(text, folder, environment)?;
        let credential = text.starts_with(CREDENTIAL);
        Ok(if credential { Self::Credential(file.0) } else { Self::File(file.0) })
    }
}

/// A length of time with its unit: `500ms`, `10s`, `5m`, `2h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

const SPAN_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl Value for Span {
    const FORM: &'static str = "a length of time with its unit, such as \"500ms\", \"10s\", \
        \"5m\", \"2h\" or \"7d\"";

    fn from_text(text: &str, _: &Path, _: Environment<'_>) -> Result<Self, String> {
        let (number, unit) = number_and_unit(text).ok_or_else(expected::<Self>)?;
        let scale = SPAN_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale);
        let millis = scale.and_then(|scale| number.checked_mul(scale));
        millis.map(Duration::from_millis).map(Self).ok_or_else(expected::<Self>)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let fits = |(_, scale): &&(&str, u64)| millis.is_multiple_of(*scale);
        let (unit, scale) = SPAN_UNITS.iter().rev().find(fits).unwrap_or(&SPAN_UNITS[0]);
        if millis == 0 { f.write_str("0s") } else { write!(f, "{}{unit}", millis / scale) }
    }
}

/// An amount of memory or bytes with its unit: `512 KiB`, `64 MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

const SIZE_UNITS: [(&str, u64); 4] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

impl Value for Size {
    const FORM: &'static str = "a size with its unit, such as \"512 KiB\", \"64 MiB\" or \"1 GiB\"";

    fn from_text(text: &str, _: &Path, _: Environment<'_>) -> Result<Self, String> {
        let (number, unit) = number_and_unit(text).ok_or_else(expected::<Self>)?;
        let scale = SIZE_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale);
        scale.and_then(|scale| number.checked_mul(scale)).map(Self).ok_or_else(expected::<Self>)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, scale): &&(&str, u64)| self.0.is_multiple_of(*scale);
        let (unit, scale) = SIZE_UNITS.iter().rev().find(fits).unwrap_or(&SIZE_UNITS[0]);
        write!(f, "{} {unit}", self.0 / scale)
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.strip_prefix(' ').unwrap_or(unit)))
}

/// A number of things, without a unit.
impl Value for u64 {
    const FORM: &'static str = "a whole number";

    fn from_text(text: &str, _: &Path, _: Environment<'_>) -> Result<Self, String> {
        text.parse().map_err(|_| expected::<Self>())
    }

    fn from_toml(
        value: &DeValue<'_>,
        folder: &Path,
        environment: Environment<'_>,
    ) -> Result<Self, String> {
        match value.as_integer() {
            Some(number) if number.radix() == 10 => {
                Self::from_text(&number.as_str().replace('_', ""), folder, environment)
            }
            _ => Err(expected::<Self>()),
        }
    }
}

impl Value for bool {
    const FORM: &'static str = "true or false, without quotation marks";

    fn from_text(text: &str, _: &Path, _: Environment<'_>) -> Result<Self, String> {
        text.parse().map_err(|_| expected::<Self>())
    }

    fn from_toml(value: &DeValue<'_>, _: &Path, _: Environment<'_>) -> Result<Self, String> {
        value.as_bool().ok_or_else(expected::<Self>)
    }
}

/// An `https://` base URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// The URL, without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its host, without the port.
    pub fn host(&self) -> &str {
        let rest = self.0.strip_prefix("https://").unwrap_or_default();
        rest.split([':', '/']).next().unwrap_or_default()
    }
}

impl Value for BaseUrl {
    const FORM: &'static str = "an https:// URL without a slash at the end";

    fn from_text(text: &str, _: &Path, _: Environment<'_>) -> Result<Self, String> {
        if is_https_base_url(text) { Ok(Self(text.to_owned())) } else { Err(expected::<Self>()) }
    }
}

/// A line of text for people, such as a phone number with its hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line(pub String);

impl Value for Line {
    const FORM: &'static str = "one line of text of at most 200 characters";

    fn from_text(text: &str, _: &Path, _: Environment<'_>) -> Result<Self, String> {
        let fits = (1..=200).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.to_owned())) } else { Err(expected::<Self>()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<V: Value>(text: &str) -> Result<V, String> {
        V::from_text(text, Path::new("/etc/ecaf"), &|name| {
            (name == "CREDENTIALS_DIRECTORY").then(|| "/run/credentials/ecaf".to_owned())
        })
    }

    #[test]
    fn amounts_need_units() {
        assert_eq!(parse::<Span>("500ms").unwrap().0, Duration::from_millis(500));
        assert_eq!(parse::<Span>("2h").unwrap().to_string(), "2h");
        assert_eq!(parse::<Span>("90s").unwrap().to_string(), "90s");
        assert_eq!(parse::<Size>("2 MiB").unwrap(), Size(2 << 20));
        assert_eq!(parse::<Size>("1536KiB").unwrap().to_string(), "1536 KiB");
        for bad in [
            "10",
            "s",
            "10 S",
            "-1s",
            "1.5h",
            "10  s",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(parse::<Span>(bad).is_err(), "{bad}");
        }
        for bad in ["1024", "1 MB", "1 mib", ""] {
            assert!(parse::<Size>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_are_files() {
        let path = |text| parse::<SecretFile>(text).map(|s| s.path().display().to_string());
        assert_eq!(path("keys/tls.pem").unwrap(), "/etc/ecaf/keys/tls.pem");
        assert_eq!(path("/srv/tls.pem").unwrap(), "/srv/tls.pem");
        assert_eq!(path("credential:tls-key").unwrap(), "/run/credentials/ecaf/tls-key");
        for bad in [
            "credential:",
            "credential:../x",
            "credential:a/b",
            "",
            "-----BEGIN PRIVATE KEY-----\nMC4C",
        ] {
            let message = path(bad).unwrap_err();
            assert!(!message.contains("MC4C"), "{message}");
        }
    }
}
