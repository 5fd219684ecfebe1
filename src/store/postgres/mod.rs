//! The store in a PostgreSQL database, shared by any number of gateways.
//!
//! | file | owns |
//! |---|---|
//! | `settings` | which servers, which login, TLS, what counts as durable |
//! | `connect` | one connection made and judged: primary, schema, promotion epoch, replica |
//! | `session` | one connection in use: statements, transactions, what a commit said |
//! | `engine` | the pool, and an operation from its first try to its answer |
//! | `batch` | what waits is gathered into one transaction |
//! | `epoch` | promotions: the highest epoch seen, and how one is advanced |
//! | `schema` | migrations in order under a lock |
//! | `faults` | PostgreSQL's errors as troubles and [`StoreFault`](crate::store::StoreFault)s |
//! | `rows` | values <-> columns, and what both stores write alike |
//! | `together` | several tables changed by one statement |
//! | `accept`, `accept_batch`, `thread`, `deliveries`, `delivered`, `sequence`, `read` | the gateway's operations |
//! | `inbox`, `pushed` | the authority's operations |
//! | `retention` | both kinds' keys, holds and erasure |
//! | `gateway`, `authority` | the contracts' traits over them |
//! | `check`, `check_gateway` | re-hashing and cross-checking of everything |

mod accept;
mod accept_batch;
mod authority;
mod batch;
mod check;
mod check_gateway;
mod connect;
mod copy;
mod delivered;
mod deliveries;
mod engine;
mod epoch;
mod faults;
mod gateway;
mod inbox;
mod pushed;
mod read;
mod retention;
mod rows;
mod schema;
mod sequence;
mod session;
mod settings;
mod streams;
mod thread;
mod together;
mod wake;

pub use authority::PostgresAuthority;
pub use copy::PostgresCopy;
pub use epoch::promote;
pub use gateway::PostgresGateway;
pub use schema::{Kind, Migrated, migrate};
pub use settings::{ClientCertificate, Durability, Host, Login, Server, Settings, Tls};
