//! Logs and metrics. Personal data never reaches either: only ids, codes, counts and times.
