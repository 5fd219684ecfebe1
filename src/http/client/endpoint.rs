//! Where an addressee listens.

use std::fmt;
use std::str::FromStr;

use ::http::Uri;
use rustls::pki_types::{DnsName, ServerName};

/// `https://host[:port][/base]`: a DNS name, no user, no query, no fragment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    host: String,
    port: u16,
    authority: String,
    base: String,
}

/// The text is not an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnEndpoint;

impl fmt::Display for NotAnEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an endpoint such as https://gateway.example:8443")
    }
}

impl std::error::Error for NotAnEndpoint {}

impl Endpoint {
    /// The host name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 443 if none is named.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as named.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What stands before every path; empty, or without a slash at the end.
    pub fn base(&self) -> &str {
        &self.base
    }

    pub(super) fn server_name(&self) -> Option<ServerName<'static>> {
        DnsName::try_from(self.host.clone()).ok().map(ServerName::DnsName)
    }
}

impl FromStr for Endpoint {
    type Err = NotAnEndpoint;

    fn from_str(text: &str) -> Result<Self, NotAnEndpoint> {
        let uri: Uri = text.parse().map_err(|_| NotAnEndpoint)?;
        let authority = uri.authority().ok_or(NotAnEndpoint)?;
        let host = authority.host().to_ascii_lowercase();
        let plain = uri.scheme_str() == Some("https")
            && !text.contains(['@', '?', '#'])
            && DnsName::try_from(host.as_str()).is_ok();
        // A port that does not fit is no port to the library: look at the text.
        let port = match authority.as_str().get(host.len()..) {
            Some("") => 443,
            Some(port) if port.starts_with(':') => authority.port_u16().ok_or(NotAnEndpoint)?,
            _ => return Err(NotAnEndpoint),
        };
        let base = uri.path().trim_end_matches('/');
        if !plain || super::super::head::target(&format!("{base}/x"), 512).is_err() {
            return Err(NotAnEndpoint);
        }
        Ok(Self { host, port, authority: authority.to_string(), base: base.to_owned() })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.authority, self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_https_with_a_host_name() {
        let plain: Endpoint = "https://Gateway.example".parse().unwrap();
        assert_eq!((plain.host(), plain.port(), plain.base()), ("gateway.example", 443, ""));
        let full: Endpoint = "https://a.example:8443/ecaf/in/".parse().unwrap();
        assert_eq!((full.port(), full.base()), (8443, "/ecaf/in"));
        assert_eq!(full.to_string(), "https://a.example:8443/ecaf/in");
        for bad in [
            "http://a.example",
            "a.example",
            "https://",
            "https://user@a.example",
            "/path",
            "https://a.example/?q",
            "https://a.example/#f",
            "https://a.example/%2e",
            "https://127.0.0.1:1",
            "https://[::1]:1",
            "https://a.example:99999",
            "https://a.example:",
        ] {
            assert_eq!(bad.parse::<Endpoint>(), Err(NotAnEndpoint), "{bad}");
        }
    }
}
