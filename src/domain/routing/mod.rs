//! Which authority is responsible for a child, and why.
