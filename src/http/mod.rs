//! Listeners, mutual TLS, limits and the outbound client. Knows nothing of referrals: what is asked
//! and what is answered is the business of a [`Handler`].
//!
//! | file | owns |
//! |---|---|
//! | [`message`](Request) | request, response, peer, handler |
//! | [`refusal`](EdgeRefusal) | what the edge itself refuses, and with which status |
//! | [`limits`](Limits) | every limit and its default |
//! | [`trust`](Trust) | the trust data in use, published as snapshots |
//! | `tls/` | TLS 1.3 with certificates on both sides, for both sides |
//! | `reload` | trust data and certificates from files, without a restart |
//! | `doors` | who may shake hands now, by address |
//! | `admission`, `turns` | what each party may have, and whose request is next |
//! | `allowance` | rates |
//! | `listener`, `connection`, `exchange` | sockets, one connection, one request |
//! | `h1/` | HTTP/1.1, our own parser: it answers what it refuses, see there |
//! | `h2` | HTTP/2 over hyper |
//! | `plain` | the operator's listener on the loopback |
//! | `client/` | requests to one addressee |

mod admission;
mod allowance;
pub mod client;
mod connection;
mod doors;
mod exchange;
#[cfg(fuzzing)]
pub mod fuzzing;
mod h1;
mod h2;
mod head;
mod limits;
mod listener;
mod message;
pub mod plain;
mod refusal;
pub mod reload;
pub mod tls;
mod trust;
mod turns;

pub use client::{
    Client, ClientFault, ClientLimits, ClientResponse, Endpoint, Fields, Line, Reply,
};
pub use exchange::Service;
pub use limits::Limits;
pub use listener::Server;
pub use message::{
    Alpn, Answer, Handler, Peer, RepeatedOrUnreadable, Request, RequestId, Response, TraceParent,
};
pub use refusal::{EdgeRefusal, Problem, default_problem, rules};
pub use tls::Credentials;
pub use trust::Trust;
