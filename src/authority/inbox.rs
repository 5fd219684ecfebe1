//! The inbox as people read it.
