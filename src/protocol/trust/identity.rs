//! Who a certificate names: exactly one SPIFFE ID (SPIFFE X509-SVID section 2), and nothing else
//! but the DNS names of servers.

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::ChainRefusal;
use super::profile::parse;
use super::rules::{MALFORMED, NO_IDENTITY, SEVERAL_IDENTITIES, profile};
use crate::domain::party::Party;

/// The one party that a certificate names, in any trust domain. Reads only: who signed the
/// certificate is not looked at. Never panics, whatever the bytes.
pub fn identity(der: &[u8]) -> Result<Party, ChainRefusal> {
    Ok(names(&parse(der)?)?.party)
}

/// The names in a leaf.
pub(super) struct Names {
    pub party: Party,
    pub dns: Vec<String>,
}

/// Reads the subject alternative name.
pub(super) fn names(certificate: &X509Certificate<'_>) -> Result<Names, ChainRefusal> {
    let extension = certificate.subject_alternative_name().map_err(|_| ChainRefusal(MALFORMED))?;
    let Some(extension) = extension else { return Err(ChainRefusal(NO_IDENTITY)) };
    let (mut uris, mut dns, mut other) = (Vec::new(), Vec::new(), false);
    for name in &extension.value.general_names {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            GeneralName::DNSName(name) => dns.push((*name).to_owned()),
            _ => other = true,
        }
    }
    let [uri] = uris[..] else {
        let rule = if uris.is_empty() { NO_IDENTITY } else { SEVERAL_IDENTITIES };
        return Err(ChainRefusal(rule));
    };
    let party = uri.parse().map_err(|_| ChainRefusal(NO_IDENTITY))?;
    if other {
        return Err(profile("The certificate has a name that is neither its SPIFFE ID nor DNS"));
    }
    if !dns.iter().all(|name| is_host_name(name)) {
        return Err(profile("The certificate has a DNS name that is not one plain host name"));
    }
    Ok(Names { party, dns })
}

/// A host name in lower case without wildcards or a trailing dot (RFC 1123 section 2.1).
pub(super) fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253
        && name.split('.').all(label)
        // Four numbers would be read as an address by others.
        && !last.bytes().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn host_names() {
        for good in ["localhost", "gateway.demo.ecaf.example", "a-1.example"] {
            assert!(is_host_name(good), "{good}");
        }
        for bad in ["", "*.example", "a..b", "A.example", "a.example.", "-a.b", "127.0.0.1", "a_b"]
        {
            assert!(!is_host_name(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn reading_an_identity_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert!(identity(&bytes).is_err());
        }
    }
}
