//! The log: lines on standard error, as JSON for machines or as text for people.

use std::fmt;
use std::str::FromStr;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For a terminal.
    Text,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogLevel {
    /// What a person must look at.
    Warn,
    /// And what happened, one line or two for a referral.
    #[default]
    Info,
    /// And every step.
    Debug,
}

/// The text names no log format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotALogFormat;

impl fmt::Display for NotALogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not \"json\" or \"text\"")
    }
}

impl std::error::Error for NotALogFormat {}

impl FromStr for LogFormat {
    type Err = NotALogFormat;

    fn from_str(text: &str) -> Result<Self, NotALogFormat> {
        match text {
            "json" => Ok(LogFormat::Json),
            "text" => Ok(LogFormat::Text),
            _ => Err(NotALogFormat),
        }
    }
}

/// A log or a metrics recorder is installed in this process already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlreadyInstalled;

impl fmt::Display for AlreadyInstalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("telemetry is installed in this process already")
    }
}

impl std::error::Error for AlreadyInstalled {}

/// Starts logging to standard error, for the whole process.
pub fn init(format: LogFormat, level: LogLevel) -> Result<(), AlreadyInstalled> {
    let log = writing_to(format, level, std::io::stderr);
    let installed = tracing::subscriber::set_global_default(log);
    installed.map_err(|_| AlreadyInstalled)
}

/// A log that writes elsewhere: for tests that read every line.
pub fn writing_to<W>(format: LogFormat, level: LogLevel, to: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let level = match level {
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    // Only our own lines: what other crates write at any level may repeat what a peer sent.
    let ours = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    let layer = tracing_subscriber::fmt::layer().with_writer(to).with_ansi(false);
    let registry = tracing_subscriber::registry().with(ours);
    match format {
        LogFormat::Json => Box::new(registry.with(layer.json().flatten_event(true))),
        LogFormat::Text => Box::new(registry.with(layer)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::domain::ids::ReferralId;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, level: LogLevel, act: impl FnOnce()) -> String {
        let lines = Lines::default();
        let to = lines.clone();
        tracing::subscriber::with_default(writing_to(format, level, move || to.clone()), act);
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn json_lines_hold_the_safe_fields() {
        let referral = ReferralId::from_bytes([7; 16]);
        let text = logged(LogFormat::Json, LogLevel::Info, || {
            crate::log!(info, "accepted", referral = referral, attempts = 2_u32);
            crate::log!(debug, "not shown");
        });
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["message"], "accepted");
        assert_eq!(line["referral"], referral.to_string());
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn lines_of_other_crates_are_not_shown() {
        let text = logged(LogFormat::Text, LogLevel::Debug, || {
            tracing::error!(target: "hyper::proto", "a header value");
            crate::log!(debug, "own line");
        });
        assert!(text.contains("own line") && !text.contains("header value"), "{text}");
    }
}
