//! Requests to one party as an argument: what carries them can be another than mutual TLS in tests.

use std::future::Future;
use std::pin::Pin;

use ::http::Method;
use bytes::Bytes;

use super::{Client, ClientFault, ClientResponse, Fields};

/// An answer to come.
pub type Reply<'a> = Pin<Box<dyn Future<Output = Result<ClientResponse, ClientFault>> + Send + 'a>>;

/// The way to one party. The one real implementation is [`Client`].
pub trait Line: Send + Sync + 'static {
    /// Sends a request and waits for its answer, whatever its status. Bounded in time; what was
    /// perhaps received is never sent twice from here.
    fn send<'a>(&'a self, method: Method, path: &'a str, fields: Fields, body: Bytes) -> Reply<'a>;
}

impl dyn Line {
    /// Asks for a path.
    pub fn get<'a>(&'a self, path: &'a str, fields: Fields) -> Reply<'a> {
        self.send(Method::GET, path, fields, Bytes::new())
    }

    /// Posts a body to a path.
    pub fn post<'a>(&'a self, path: &'a str, fields: Fields, body: Bytes) -> Reply<'a> {
        self.send(Method::POST, path, fields, body)
    }
}

impl Line for Client {
    fn send<'a>(&'a self, method: Method, path: &'a str, fields: Fields, body: Bytes) -> Reply<'a> {
        Box::pin(Client::send(self, method, path, fields, body))
    }
}
