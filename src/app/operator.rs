//! The operator's local listener: `/livez`, `/readyz`, `/metrics`.

use std::future::Future;
use std::pin::Pin;

use http::{Method, StatusCode};

use crate::http::plain::{OperatorHandler, OperatorRequest, text};
use crate::http::{Answer, Response};
use crate::telemetry::MetricsHandle;

/// What readiness found, one line each; ready if no line starts with "not".
pub(super) struct Readiness {
    pub ready: bool,
    pub lines: Vec<String>,
}

impl Readiness {
    pub fn new() -> Self {
        Self { ready: true, lines: Vec::new() }
    }

    pub fn say(&mut self, ready: bool, line: impl Into<String>) {
        self.ready &= ready;
        let word = if ready { "ok" } else { "NOT READY" };
        self.lines.push(format!("{word}: {}", line.into()));
    }
}

/// Asks the process whether it is ready.
pub(super) type Ask =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = Readiness> + Send>> + Send + Sync + 'static>;

/// Answers the operator.
pub(super) struct Operator {
    pub metrics: Option<MetricsHandle>,
    pub ask: Ask,
}

impl OperatorHandler for Operator {
    fn handle(&self, request: OperatorRequest) -> Answer<'_> {
        Box::pin(async move {
            if request.method != Method::GET {
                return text(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
            }
            match request.path.as_str() {
                "/livez" => text(StatusCode::OK, "alive\n"),
                "/readyz" => self.readiness().await,
                "/metrics" => match &self.metrics {
                    Some(handle) => text(StatusCode::OK, handle.render()),
                    None => text(StatusCode::NOT_FOUND, "no metrics in this process\n"),
                },
                _ => text(StatusCode::NOT_FOUND, "/livez, /readyz or /metrics\n"),
            }
        })
    }
}

impl Operator {
    async fn readiness(&self) -> Response {
        let found = (self.ask)().await;
        let status = if found.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        text(status, found.lines.join("\n") + "\n")
    }
}
