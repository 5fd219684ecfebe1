//! A whole scheme in a folder of this machine, with throw-away keys: for the demonstration, for
//! tests, and for integrators. The parts are the real ones; only the people and councils' endpoints
//! are not.

mod http;
mod process;
mod world;

pub use http::operator_get;
pub use process::{Process, ProcessFault};
pub use world::{AUTHORITIES, GATEWAY, SCHOOLS, SandboxAuthority, SandboxSchool, World};
