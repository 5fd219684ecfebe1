//! routing_data
