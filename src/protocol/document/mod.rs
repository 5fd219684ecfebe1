//! document
pub mod layout;
