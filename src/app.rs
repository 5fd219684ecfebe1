//! Wires concrete parts together: the only file that knows them all.
