//! Every limit of a listener, with its default.

use std::time::Duration;

/// Limits of one listener. The defaults suit a gateway with some hundred megabytes of memory; a
/// field's comment says what it protects.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections in all; further ones wait in the kernel's queue.
    pub connections: usize,
    /// Open connections of one address (IPv6: of one /64); further ones are closed at once. Many
    /// schools can share one address of their network provider.
    pub connections_per_address: usize,
    /// From accepting the socket to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the first byte of a request to the end of its head.
    pub head: Duration,
    /// For the whole body, however large.
    pub body: Duration,
    /// Bytes a second that a body must keep up on average, after [`Limits::body_grace`].
    pub body_rate: u32,
    /// Time before [`Limits::body_rate`] is enforced.
    pub body_grace: Duration,
    /// A connection without a request under way is closed after this.
    pub idle: Duration,
    /// For writing one answer.
    pub write: Duration,
    /// A connection is wound down after this age, so that certificates are shown again.
    pub age: Duration,
    /// Requests on one connection before it is wound down.
    pub requests_per_connection: u64,
    /// Bytes of a request's head; for HTTP/2 the size of its header list (RFC 9113 6.5.2). A chain of
    /// three certificates beside a token needs 17 KiB.
    pub head_bytes: usize,
    /// Header fields of a request.
    pub fields: usize,
    /// Characters of a path.
    pub path_bytes: usize,
    /// Bytes of bodies in memory, over all connections.
    pub bytes_in_flight: usize,
    /// HTTP/2 streams of one connection at a time.
    pub streams: u32,
    /// Bytes that an HTTP/2 stream may send ahead; a connection may send four times as much.
    pub stream_window: u32,
    /// Requests a second of one organisation, on average.
    pub party_rate: u32,
    /// Requests that an organisation may send at once before its rate counts.
    pub party_burst: u32,
    /// Requests of one organisation under way at a time.
    pub party_concurrency: usize,
    /// Bytes that a connection may send without completing a request: bounds floods of HTTP/2
    /// frames that never become a request.
    pub bytes_without_request: u64,
    /// After a refusal in the middle of a body: how long to read on and discard, so that the peer
    /// gets to read the answer.
    pub linger: Duration,
    /// At shutdown: how long requests under way may take.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            connections_per_address: 512,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            body: Duration::from_secs(60),
            body_rate: 8 * 1_024,
            body_grace: Duration::from_secs(5),
            idle: Duration::from_secs(75),
            write: Duration::from_secs(30),
            age: Duration::from_secs(3_600),
            requests_per_connection: 100_000,
            head_bytes: 32 * 1_024,
            fields: 64,
            path_bytes: 512,
            bytes_in_flight: 64 * 1_024 * 1_024,
            streams: 64,
            stream_window: 64 * 1_024,
            party_rate: 200,
            party_burst: 2_000,
            party_concurrency: 256,
            bytes_without_request: 4 * 1_024 * 1_024,
            linger: Duration::from_secs(2),
            drain: Duration::from_secs(20),
        }
    }
}
