//! Metric names and the recorder behind them. Labels are codes and rule ids only.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::AlreadyInstalled;

/// Open connections of parties.
pub const HTTP_CONNECTIONS_OPEN: &str = "ecaf_http_connections";
/// Connections that came in.
pub const HTTP_CONNECTIONS: &str = "ecaf_http_connections_total";
/// Connections closed before their handshake, by `rule`.
pub const HTTP_CONNECTIONS_REFUSED: &str = "ecaf_http_connections_refused_total";
/// Connections ended by us, by `rule`: a certificate no longer held, a flood, answers not read.
pub const HTTP_CONNECTIONS_ENDED: &str = "ecaf_http_connections_ended_total";
/// TLS handshakes under way.
pub const HANDSHAKES_OPEN: &str = "ecaf_http_handshakes";
/// TLS handshakes done, by `key_exchange` and `resumed`.
pub const HANDSHAKES: &str = "ecaf_http_handshakes_total";
/// TLS handshakes refused, by `rule`.
pub const HANDSHAKES_REFUSED: &str = "ecaf_http_handshakes_refused_total";
/// Requests answered, by class of `status`.
pub const HTTP_REQUESTS: &str = "ecaf_http_requests_total";
/// Requests refused by the edge itself, by `rule`.
pub const HTTP_REFUSALS: &str = "ecaf_http_refusals_total";
/// Referrals accepted: durable and receipted. Repeats count once.
pub const ACCEPTED: &str = "ecaf_referrals_accepted_total";
/// Submissions answered with a receipt that was stored before.
pub const REPEATED: &str = "ecaf_referrals_repeated_total";
/// Seconds from a whole request to its receipt.
pub const ACCEPT_SECONDS: &str = "ecaf_accept_seconds";
/// Refusals of submissions and dispatches, by `rule`.
pub const REFUSED: &str = "ecaf_refusals_total";
/// Failures of our own, by `fault`.
pub const FAULTS: &str = "ecaf_faults_total";
/// Attempts at delivery, by `authority` and `outcome`.
pub const DELIVERY_ATTEMPTS: &str = "ecaf_delivery_attempts_total";
/// Seconds from acceptance to the authority's stored receipt.
pub const DELIVERY_SECONDS: &str = "ecaf_delivery_seconds";
/// Deliveries that no authority has confirmed yet.
pub const DELIVERIES_WAITING: &str = "ecaf_deliveries_waiting";
/// Age of the oldest of them, in seconds.
pub const OLDEST_WAITING_SECONDS: &str = "ecaf_oldest_delivery_waiting_seconds";
/// Deliveries given up: a person must act.
pub const UNDELIVERABLE: &str = "ecaf_deliveries_undeliverable";
/// Tokens given to parties that poll; those given again count again.
pub const POLLED_TOKENS: &str = "ecaf_polled_tokens_total";
/// Tokens that a polling party could not take, by its own word.
pub const POLL_ERRORS: &str = "ecaf_poll_errors_total";
/// Tokens that parties took when they were pushed; those given again count again.
pub const PUSHED_TOKENS: &str = "ecaf_pushed_tokens_total";
/// Tokens set aside because the party that they were pushed to does not take them.
pub const PUSH_ERRORS: &str = "ecaf_push_errors_total";
/// Limits that came near or passed, by `clock` and `event`.
pub const CLOCKS: &str = "ecaf_clock_events_total";
/// Limits for which somebody on duty is to be paged at once, by `party`.
pub const PAGES: &str = "ecaf_pages_total";
/// Dispatches stored by an authority. Repeats count once.
pub const DISPATCHES_STORED: &str = "ecaf_dispatches_stored_total";
/// Version of the directory in use.
pub const DIRECTORY_VERSION: &str = "ecaf_directory_version";
/// Seconds until the directory in use ends; negative while it is stale.
pub const DIRECTORY_SECONDS_LEFT: &str = "ecaf_directory_seconds_left";

/// Upper bounds in seconds: from a tenth of a millisecond to a minute and a half.
const SECONDS: [f64; 18] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0, 90.0,
];

/// Gives the metrics of this process as text.
#[derive(Clone)]
pub struct MetricsHandle(PrometheusHandle);

impl MetricsHandle {
    /// In the Prometheus text format.
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }
}

impl std::fmt::Debug for MetricsHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MetricsHandle")
    }
}

/// Starts recording, for the whole process. Opens no listener: the operator's listener renders.
pub fn install_metrics() -> Result<MetricsHandle, AlreadyInstalled> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        // Fails on an empty list of buckets only, and both have some.
        .map_err(|_| AlreadyInstalled)?
        .build_recorder();
    let handle = MetricsHandle(recorder.handle());
    metrics::set_global_recorder(recorder).map_err(|_| AlreadyInstalled)?;
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_renders_once_per_process() {
        let handle = install_metrics().unwrap();
        metrics::counter!(REFUSED, "rule" => "directory.expired").increment(2);
        metrics::histogram!(ACCEPT_SECONDS).record(0.003);
        let text = handle.render();
        assert!(text.contains("ecaf_refusals_total{rule=\"directory.expired\"} 2"), "{text}");
        assert!(text.contains("ecaf_accept_seconds_bucket{le=\"0.005\"} 1"), "{text}");
        assert_eq!(install_metrics().unwrap_err(), AlreadyInstalled);
    }
}
