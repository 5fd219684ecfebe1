//! Every limit of a listener, with its default.

use std::time::Duration;

/// Limits of one listener. The defaults suit a gateway with some hundred megabytes of memory; a
/// field's comment says what it protects, and where a figure comes from.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections in their handshake, which nobody has been proved for yet. When all places are
    /// taken, the oldest handshake of the address that holds the most gives way. A handshake holds at
    /// most some 100 KiB (two messages of 64 KiB at worst), so 512 of them 50 MiB.
    pub handshakes: usize,
    /// Handshakes a second that one address (IPv6: one /64) may begin on average. A full one costs a
    /// third of a millisecond of one core: 100 are a thirtieth of it.
    pub handshake_rate: u32,
    /// Handshakes that an address may begin at once before its rate counts: all schools behind one
    /// network provider come back together when a gateway was restarted.
    pub handshake_burst: u32,
    /// Open connections of authenticated parties in all.
    pub connections: usize,
    /// Open connections of one address, in their handshake or not; further ones are closed at once.
    /// Many schools can share one address of their network provider.
    pub connections_per_address: usize,
    /// Open connections of one organisation. A school has some machines, an authority's system a pool;
    /// each idle connection costs 36 KB.
    pub connections_per_party: usize,
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
    /// Bytes of bodies and of large answers in memory, over all connections.
    pub bytes_in_flight: usize,
    /// HTTP/2 streams of one connection at a time.
    pub streams: u32,
    /// Bytes that an HTTP/2 stream may send ahead; a connection may send four times as much.
    pub stream_window: u32,
    /// Requests a second of one organisation, on average. The busiest authority of England gets some
    /// 20,000 referrals a year, a school 25; a client that asks for news every second asks once. 200
    /// leave room for a district that catches up after an outage, and cost less than a tenth of a core.
    pub party_rate: u32,
    /// Requests that an organisation may send at once before its rate counts: ten seconds' worth, so
    /// that a day's work kept back by an outage goes out in one go.
    pub party_burst: u32,
    /// Requests of one organisation being answered at a time; more wait for their turn.
    pub party_concurrency: usize,
    /// Further requests of one organisation that may be on their way in or wait for their turn; more
    /// are refused (429).
    pub party_waiting: usize,
    /// Requests being answered at a time, over all organisations. Most of that time a request waits
    /// for the disk, and one sync serves all that wait: four slow disks' worth of them.
    pub concurrency: usize,
    /// Further requests that may be on their way in or wait, over all organisations; more are refused
    /// (503).
    pub waiting: usize,
    /// The longest that a request waits for its turn before it is refused (503).
    pub turn: Duration,
    /// Bytes that an HTTP/2 connection may send beyond what its requests explain: bounds floods of
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
            handshakes: 512,
            handshake_rate: 100,
            handshake_burst: 1_000,
            connections: 4_096,
            connections_per_address: 512,
            connections_per_party: 256,
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
            party_concurrency: 128,
            party_waiting: 256,
            concurrency: 512,
            waiting: 2_048,
            turn: Duration::from_secs(10),
            bytes_without_request: 1_024 * 1_024,
            linger: Duration::from_secs(2),
            drain: Duration::from_secs(20),
        }
    }
}
