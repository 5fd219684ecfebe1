//! The ways to parties that the gateway itself turns to: HTTP over mutual TLS, to the addressee's SPIFFE ID
//! and nobody else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::domain::party::{Organisation, Party, TrustDomain};
use crate::http::{Client, ClientLimits, Credentials, Endpoint, Line, Trust};

/// How a line to a party at an endpoint is made. Connects to nobody yet.
type Open = Box<dyn Fn(Endpoint, Party) -> Arc<dyn Line> + Send + Sync>;

/// The client of each party, and the endpoint that it was made for.
type Clients = BTreeMap<Organisation, (String, Arc<dyn Line>)>;

/// A line to each party, made when it is first needed.
pub struct Lines {
    scheme: TrustDomain,
    open: Open,
    clients: Mutex<Clients>,
}

impl Lines {
    /// Lines with the gateway's own TLS certificate.
    pub fn new(
        scheme: TrustDomain,
        trust: Arc<Trust>,
        credentials: Arc<Credentials>,
        limits: ClientLimits,
    ) -> Self {
        Self::over(scheme, move |endpoint, expected| {
            let (credentials, trust) = (Arc::clone(&credentials), Arc::clone(&trust));
            let client = Client::new(endpoint, expected, credentials, trust);
            Arc::new(client.with_limits(limits.clone()))
        })
    }

    /// Lines of another making, which must prove the addressee as [`Client`] does.
    pub fn over(
        scheme: TrustDomain,
        open: impl Fn(Endpoint, Party) -> Arc<dyn Line> + Send + Sync + 'static,
    ) -> Self {
        Self { scheme, open: Box::new(open), clients: Mutex::default() }
    }

    /// The line to an organisation, made anew when the directory names another endpoint. `None` for what is
    /// no endpoint.
    pub(super) fn to(&self, organisation: &Organisation, endpoint: &str) -> Option<Arc<dyn Line>> {
        let mut clients = self.clients.lock().unwrap_or_else(|e| e.into_inner());
        if let Some((_, client)) = clients.get(organisation).filter(|(known, _)| known == endpoint)
        {
            return Some(Arc::clone(client));
        }
        let expected = Party::organisation(self.scheme.clone(), organisation.clone());
        let client = (self.open)(endpoint.parse().ok()?, expected);
        clients.insert(organisation.clone(), (endpoint.to_owned(), Arc::clone(&client)));
        Some(client)
    }
}
