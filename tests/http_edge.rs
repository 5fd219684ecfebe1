//! What the edge takes and what it refuses, byte by byte over real TLS connections: framing, limits,
//! slow clients, fairness, and winding down.

mod http_support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::http::StatusCode;
use bytes::Bytes;
use ecaf::effects::SystemClock;
use ecaf::http::plain::{OperatorHandler, OperatorListener, OperatorRequest, text};
use ecaf::http::{Answer, Limits};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use http_support::*;

const HOST: &str = "Host: gateway.demo.ecaf.example\r\n";

async fn world(limits: Limits) -> (Scheme, Running, Held) {
    keep_log();
    let scheme = Scheme::new(21);
    let server = serve(&scheme, limits).await;
    let school = scheme.issue(SCHOOL, no_dns());
    (scheme, server, school)
}

fn post(path: &str, fields: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\n{HOST}{fields}\r\n{body}")
}

#[tokio::test]
async fn requests_follow_each_other_on_one_connection() {
    let (_scheme, server, school) = world(Limits::default()).await;
    let mut wire = Wire::new(&server, &school).await;
    // Sent together, answered in order.
    let first = post("/echo", "Content-Length: 5\r\n", "first");
    let chunked =
        post("/echo", "Transfer-Encoding: chunked\r\n", "3\r\nsec\r\n3\r\nond\r\n0\r\n\r\n");
    wire.send(first).await;
    assert_eq!(wire.answer().await.unwrap().text(), "first");
    wire.send(chunked).await;
    let second = wire.answer().await.unwrap();
    assert_eq!(second.text(), "second");
    for field in [
        "date: ",
        "content-length: 6",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        "ecaf-request-id: ",
    ] {
        assert_eq!(second.head.matches(&format!("\r\n{field}")).count(), 1, "{}", second.head);
    }
    wire.send(format!("GET /query?a=1&b HTTP/1.1\r\n{HOST}\r\n")).await;
    assert_eq!(wire.answer().await.unwrap().text(), "a=1&b");
    wire.send(format!("GET /who HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n")).await;
    let last = wire.answer().await.unwrap();
    assert!(last.head.contains("connection: close"));
    assert_eq!(wire.closed().await, b"");
}

#[tokio::test]
async fn a_body_that_arrives_byte_by_byte_is_whole() {
    let (_scheme, server, school) = world(Limits::default()).await;
    let mut wire = Wire::new(&server, &school).await;
    for byte in post("/echo", "Content-Length: 5\r\n", "bytes").as_bytes() {
        wire.send([*byte]).await;
    }
    assert_eq!(wire.answer().await.unwrap().text(), "bytes");
}

#[tokio::test]
async fn whatever_could_be_read_in_two_ways_is_refused_and_the_connection_closed() {
    let (_scheme, server, school) = world(Limits::default()).await;
    let who = |fields: &str| format!("GET /who HTTP/1.1\r\n{fields}\r\n");
    let smuggled = "GET /who HTTP/1.1\r\nHost: h\r\n\r\n";
    let cases = [
        ("two hosts", who(&format!("{HOST}Host: other\r\n")), "http.host"),
        ("the same host twice", who(&format!("{HOST}{HOST}")), "http.host"),
        ("no host", who(""), "http.host"),
        (
            "length and chunked",
            post(
                "/echo",
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                &format!("0\r\n\r\n{smuggled}"),
            ),
            "http.framing",
        ),
        (
            "chunked and length",
            post(
                "/echo",
                "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
                &format!("0\r\n\r\n{smuggled}"),
            ),
            "http.framing",
        ),
        (
            "length twice",
            post("/echo", "Content-Length: 1\r\nContent-Length: 1\r\n", "x"),
            "http.framing",
        ),
        ("length with sign", post("/echo", "Content-Length: +1\r\n", "x"), "http.framing"),
        (
            "hidden chunked",
            post("/echo", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
            "http.framing",
        ),
        ("folded line", who(&format!("{HOST}A: b\r\n c\r\n")), "http.syntax"),
        ("space before colon", who(&format!("{HOST}A : b\r\n")), "http.syntax"),
        ("bare line feed", "GET /who HTTP/1.1\nHost: h\r\n\r\n".into(), "http.syntax"),
        ("nul", who(&format!("{HOST}A: \0\r\n")), "http.syntax"),
        ("old version", format!("GET /who HTTP/1.0\r\n{HOST}\r\n"), "http.version"),
        ("h2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), "http.version"),
        (
            "h2c upgrade",
            who(&format!("{HOST}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n")),
            "http.upgrade",
        ),
        ("absolute form", format!("GET https://h/who HTTP/1.1\r\n{HOST}\r\n"), "http.target"),
        ("authority form", format!("CONNECT h:443 HTTP/1.1\r\n{HOST}\r\n"), "http.target"),
        ("encoded path", format!("GET /%77ho HTTP/1.1\r\n{HOST}\r\n"), "http.target"),
        ("dot segments", format!("GET /a/../who HTTP/1.1\r\n{HOST}\r\n"), "http.target"),
        (
            "chunk extension",
            post("/echo", "Transfer-Encoding: chunked\r\n", "1;a=b\r\nx\r\n0\r\n\r\n"),
            "http.framing",
        ),
        (
            "bad chunk size",
            post("/echo", "Transfer-Encoding: chunked\r\n", "zz\r\nx\r\n0\r\n\r\n"),
            "http.framing",
        ),
        (
            "trailers",
            post("/echo", "Transfer-Encoding: chunked\r\n", "1\r\nx\r\n0\r\nA: b\r\n\r\n"),
            "http.trailers",
        ),
        ("announced trailers", post("/echo", "Trailer: A\r\n", ""), "http.trailers"),
    ];
    for (name, raw, rule) in cases {
        let mut wire = Wire::new(&server, &school).await;
        wire.send(raw).await;
        let refused = wire.answer().await.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((refused.status, refused.rule().as_str()), (400, rule), "{name}");
        assert!(refused.head.contains("content-type: application/problem+json"), "{name}");
        assert!(refused.head.contains("connection: close"), "{name}");
        assert_eq!(wire.closed().await, b"", "{name}: something behind it was answered");
    }
    assert_eq!(*server.routes.entered.borrow(), 0, "a refused request reached the handler");
}

#[tokio::test]
async fn what_no_route_takes_is_refused_before_the_body_and_the_connection_kept() {
    let (_scheme, server, school) = world(Limits::default()).await;
    let mut wire = Wire::new(&server, &school).await;
    let cases = [
        (post("/nothing", "Content-Length: 1\r\n", "x"), 404, "http.no-such-path"),
        (post("/who", "", ""), 405, "http.method"),
        (format!("GET /who?name=x HTTP/1.1\r\n{HOST}\r\n"), 400, "http.query"),
        (
            post("/echo", "Content-Encoding: gzip\r\nContent-Length: 2\r\n", "\x1f\x1b"),
            415,
            "http.compressed",
        ),
        (
            post("/echo", "Expect: 100-continue\r\nContent-Length: 1\r\n", "x"),
            417,
            "http.expectation",
        ),
        (post("/hold", "Content-Length: 1001\r\n", &"x".repeat(1_001)), 413, "http.body-too-large"),
    ];
    for (raw, status, rule) in cases {
        wire.send(raw).await;
        let refused = wire.answer().await.unwrap();
        assert_eq!((refused.status, refused.rule().as_str()), (status, rule));
        assert_eq!(refused.head.contains("\r\nallow: get"), status == 405, "{}", refused.head);
        assert!(!refused.head.contains("connection: close"), "{rule}");
    }
    wire.send(post("/echo", "Content-Length: 2\r\n", "ok")).await;
    assert_eq!(wire.answer().await.unwrap().text(), "ok");
}

#[tokio::test]
async fn what_is_too_large_is_refused_without_taking_it() {
    let (_scheme, server, school) = world(Limits::default()).await;
    // Ten megabytes, announced and not: the answer arrives although the client writes on.
    let ten_megabytes = "x".repeat(10_000_000);
    let announced = post("/echo", "Content-Length: 10000000\r\n", &ten_megabytes);
    let chunked =
        post("/echo", "Transfer-Encoding: chunked\r\n", &format!("989680\r\n{ten_megabytes}"));
    for raw in [announced, chunked] {
        let mut wire = Wire::new(&server, &school).await;
        wire.send(raw).await;
        let refused = wire.answer().await.unwrap();
        assert_eq!((refused.status, refused.rule().as_str()), (413, "http.body-too-large"));
    }
    for (raw, status) in [
        (format!("GET /who HTTP/1.1\r\n{HOST}A: {}\r\n\r\n", "x".repeat(40_000)), 431),
        (format!("GET /who HTTP/1.1\r\n{HOST}{}\r\n", "A: b\r\n".repeat(64)), 431),
        (format!("GET /{} HTTP/1.1\r\n{HOST}\r\n", "x".repeat(600)), 414),
    ] {
        let mut wire = Wire::new(&server, &school).await;
        wire.send(raw).await;
        assert_eq!(wire.answer().await.unwrap().status, status);
        assert_eq!(wire.closed().await, b"");
    }
}

#[tokio::test]
async fn slow_clients_are_cut_off_in_every_phase() {
    let tiny = Duration::from_millis(30);
    let limits = Limits { head: tiny, body: tiny, ..Limits::default() };
    let (_scheme, server, school) = world(limits).await;
    for raw in [
        "GET /who HTT".to_owned(),
        format!("GET /who HTTP/1.1\r\n{HOST}"),
        post("/echo", "Content-Length: 10\r\n", "half"),
        post("/echo", "Transfer-Encoding: chunked\r\n", "5\r\nhal"),
        post("/nothing", "Content-Length: 10\r\n", "half"),
    ] {
        let mut wire = Wire::new(&server, &school).await;
        wire.send(&raw).await;
        let refused = wire.answer().await.unwrap();
        assert_eq!((refused.status, refused.rule().as_str()), (408, "http.too-slow"), "{raw}");
        assert_eq!(wire.closed().await, b"");
    }
    let (_scheme, server, school) = world(Limits { idle: tiny, ..Limits::default() }).await;
    let mut idle = Wire::new(&server, &school).await;
    assert_eq!(idle.closed().await, b"");

    // Fast enough for the whole time, yet below the least rate.
    let limits =
        Limits { body: PATIENCE * 10, body_grace: tiny, body_rate: 1_000_000, ..Limits::default() };
    let (_scheme, server, school) = world(limits).await;
    let mut wire = Wire::new(&server, &school).await;
    wire.send(post("/echo", "Content-Length: 1000\r\n", "drip")).await;
    assert_eq!(wire.answer().await.unwrap().status, 408);
}

#[tokio::test]
async fn a_panic_in_a_handler_costs_one_request() {
    let (_scheme, server, school) = world(Limits::default()).await;
    let mut wire = Wire::new(&server, &school).await;
    wire.send(format!("GET /panic HTTP/1.1\r\n{HOST}\r\n")).await;
    let failed = wire.answer().await.unwrap();
    assert_eq!((failed.status, failed.rule().as_str()), (500, "http.fault"));
    wire.send(post("/echo", "Content-Length: 2\r\n", "ok")).await;
    assert_eq!(wire.answer().await.unwrap().text(), "ok");
}

#[tokio::test]
async fn connections_are_counted_by_address_and_given_back() {
    let limits = Limits { connections_per_address: 2, ..Limits::default() };
    let (_scheme, server, school) = world(limits).await;
    let first = Wire::new(&server, &school).await;
    let mut second = Wire::new(&server, &school).await;
    let config = Raw::default().config(Some(&school));
    assert!(Wire::open(&server, config).await.is_err(), "a third connection was taken");
    drop(first);
    // The place is free once the server has seen the close; until then refusals are right.
    within(async {
        while Wire::open(&server, Raw::default().config(Some(&school))).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    second.send(post("/echo", "Content-Length: 2\r\n", "ok")).await;
    assert_eq!(second.answer().await.unwrap().text(), "ok");
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_so_and_ended() {
    for (limits, status, rule) in [
        (Limits { connections: 1, ..Limits::default() }, 503, "http.busy"),
        (
            Limits { connections_per_party: 1, ..Limits::default() },
            429,
            "http.too-many-connections",
        ),
    ] {
        let (_scheme, server, school) =
            world(Limits { linger: Duration::from_millis(50), ..limits }).await;
        let mut first = Wire::new(&server, &school).await;
        first.send(post("/echo", "Content-Length: 2\r\n", "ok")).await;
        assert_eq!(first.answer().await.unwrap().text(), "ok");
        let mut second = Wire::new(&server, &school).await;
        second.send(post("/echo", "Content-Length: 2\r\n", "no")).await;
        let refused = second.answer().await.unwrap();
        assert_eq!((refused.status, refused.rule().as_str()), (status, rule));
        assert!(refused.head.contains("\r\nretry-after: "), "{}", refused.head);
        assert_eq!(second.closed().await, b"");
        // Those who are in stay, and the place of one who leaves is free again.
        first.send(post("/echo", "Content-Length: 2\r\n", "ok")).await;
        assert_eq!(first.answer().await.unwrap().text(), "ok");
        drop(first);
        within(async {
            loop {
                let mut next = Wire::new(&server, &school).await;
                next.send(post("/echo", "Content-Length: 2\r\n", "ok")).await;
                if next.answer().await.unwrap().status == 200 {
                    return;
                }
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_party_that_asks_too_often_is_told_when_to_ask_again_and_others_are_served() {
    let limits = Limits { party_rate: 1, party_burst: 3, ..Limits::default() };
    let (scheme, server, school) = world(limits).await;
    let mut wire = Wire::new(&server, &school).await;
    let who = format!("GET /who HTTP/1.1\r\n{HOST}\r\n");
    for _ in 0..3 {
        wire.send(&who).await;
        assert_eq!(wire.answer().await.unwrap().status, 200);
    }
    // What is refused counts too.
    wire.send(format!("GET /nothing HTTP/1.1\r\n{HOST}\r\n")).await;
    assert_eq!(wire.answer().await.unwrap().status, 429);
    // The same organisation on another connection, and through another certificate of it.
    let mut again = Wire::new(&server, &scheme.issue(SCHOOL, no_dns())).await;
    again.send(&who).await;
    let refused = again.answer().await.unwrap();
    assert_eq!((refused.status, refused.rule().as_str()), (429, "http.too-often"));
    assert!(refused.head.contains("\r\nretry-after: 1"), "{}", refused.head);
    let mut other = Wire::new(&server, &scheme.issue("school/900002", no_dns())).await;
    other.send(&who).await;
    assert_eq!(other.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn one_party_cannot_take_all_places_or_all_memory() {
    let limits = Limits {
        party_concurrency: 2,
        party_waiting: 0,
        bytes_in_flight: 4_000,
        ..Limits::default()
    };
    let (scheme, server, school) = world(limits).await;
    let hold = post("/hold", "Content-Length: 1\r\n", "x");
    let (mut a, mut b) = (Wire::new(&server, &school).await, Wire::new(&server, &school).await);
    a.send(&hold).await;
    b.send(&hold).await;
    server.entered(2).await;
    let mut third = Wire::new(&server, &school).await;
    third.send(&hold).await;
    let refused = third.answer().await.unwrap();
    assert_eq!((refused.status, refused.rule().as_str()), (429, "http.too-many-at-once"));
    let mut other = Wire::new(&server, &scheme.issue("school/900002", no_dns())).await;
    other.send(post("/echo", "Content-Length: 500\r\n", &"x".repeat(500))).await;
    assert_eq!(other.answer().await.unwrap().status, 200);
    other.send(post("/echo", "Content-Length: 5000\r\n", &"x".repeat(5_000))).await;
    let refused = other.answer().await.unwrap();
    assert_eq!((refused.status, refused.rule().as_str()), (503, "http.busy"));
    server.release();
    assert_eq!(a.answer().await.unwrap().status, 201);
    assert_eq!(b.answer().await.unwrap().status, 201);
    a.send(post("/echo", "Content-Length: 2\r\n", "ok")).await;
    assert_eq!(a.answer().await.unwrap().text(), "ok");
}

#[tokio::test]
async fn a_connection_is_wound_down_after_its_requests() {
    let limits = Limits { requests_per_connection: 2, ..Limits::default() };
    let (_scheme, server, school) = world(limits).await;
    let mut wire = Wire::new(&server, &school).await;
    let who = format!("GET /who HTTP/1.1\r\n{HOST}\r\n");
    wire.send(&who).await;
    assert!(!wire.answer().await.unwrap().head.contains("connection: close"));
    wire.send(&who).await;
    assert!(wire.answer().await.unwrap().head.contains("connection: close"));
    assert_eq!(wire.closed().await, b"");
}

#[tokio::test]
async fn idle_and_old_http2_connections_are_wound_down() {
    let tiny = Duration::from_millis(30);
    for limits in
        [Limits { idle: tiny, ..Limits::default() }, Limits { age: tiny, ..Limits::default() }]
    {
        let (_scheme, server, school) = world(limits).await;
        let raw = Raw { alpn: vec![b"h2".to_vec()], ..Raw::default() };
        let wire = Wire::open(&server, raw.config(Some(&school))).await.unwrap();
        let io = TokioIo::new(wire.0);
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
        let (sender, connection) = handshake.await.unwrap();
        let _ = within(connection).await;
        drop::<hyper::client::conn::http2::SendRequest<Full<Bytes>>>(sender);
    }
}

#[tokio::test]
async fn shutting_down_finishes_what_was_taken() {
    let (scheme, mut server, school) = world(Limits::default()).await;
    let mut asking = Wire::new(&server, &school).await;
    asking.send(post("/hold", "Content-Length: 1\r\n", "x")).await;
    let over_h2 = client(&scheme, &server, &school);
    let over_h2 =
        tokio::spawn(async move { over_h2.post("/hold", vec![], Bytes::from_static(b"x")).await });
    let mut idle = Wire::new(&server, &school).await;
    server.entered(2).await;

    let stopped = server.stop();
    assert_eq!(idle.closed().await, b"");
    assert!(TcpStream::connect(server.address).await.is_err(), "still listening");
    assert!(!stopped.is_finished());
    server.release();
    let answer = asking.answer().await.unwrap();
    assert_eq!((answer.status, answer.text()), (201, "held"));
    assert!(answer.head.contains("connection: close"));
    let answer = within(over_h2).await.unwrap().unwrap();
    assert_eq!(answer.status, StatusCode::CREATED);
    within(stopped).await.unwrap();
}

#[tokio::test]
async fn shutting_down_does_not_wait_for_ever() {
    let limits = Limits { drain: Duration::from_millis(20), ..Limits::default() };
    let (_scheme, mut server, school) = world(limits).await;
    let mut asking = Wire::new(&server, &school).await;
    asking.send(post("/hold", "Content-Length: 1\r\n", "x")).await;
    server.entered(1).await;
    let stopped = server.stop();
    assert_eq!(asking.closed().await, b"");
    within(stopped).await.unwrap();
}

/// HTTP/2 as another client speaks it.
async fn h2(server: &Running, held: &Held) -> hyper::client::conn::http2::SendRequest<Full<Bytes>> {
    let raw = Raw { alpn: vec![b"h2".to_vec()], ..Raw::default() };
    let wire = Wire::open(server, raw.config(Some(held))).await.unwrap();
    let io = TokioIo::new(wire.0);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
    let (sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn http2_is_held_to_the_same_rules() {
    let (_scheme, server, school) = world(Limits::default()).await;
    let mut sender = h2(&server, &school).await;
    let mut ask = async |request: ::http::request::Builder, body: &str| {
        let request = request.body(Full::from(body.to_owned())).unwrap();
        let response = within(sender.send_request(request)).await.unwrap();
        let status = response.status().as_u16();
        let body = within(response.into_body().collect()).await.unwrap().to_bytes();
        let problem = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
        (status, problem["violations"][0]["rule"].as_str().unwrap_or_default().to_owned(), body)
    };
    let to = |method: &str, path: &str| {
        ::http::Request::builder().method(method).uri(format!("https://g.example{path}"))
    };
    let (status, _, body) = ask(to("POST", "/echo"), "hello").await;
    assert_eq!((status, &body[..]), (200, &b"hello"[..]));
    let (status, _, body) = ask(to("GET", "/query?a=1"), "").await;
    assert_eq!((status, &body[..]), (200, &b"a=1"[..]));
    for (request, body, status, rule) in [
        (to("GET", "/who").header("host", "other.example"), "", 400, "http.host"),
        (to("GET", "/who?x"), "", 400, "http.query"),
        (to("GET", "/%77ho"), "", 400, "http.target"),
        (to("GET", "/nothing"), "", 404, "http.no-such-path"),
        (to("POST", "/who"), "", 405, "http.method"),
        (to("POST", "/echo").header("content-encoding", "gzip"), "x", 415, "http.compressed"),
        (to("POST", "/echo").header("expect", "100-continue"), "x", 417, "http.expectation"),
        (to("POST", "/hold"), &"x".repeat(1_001), 413, "http.body-too-large"),
    ] {
        let outcome = ask(request, body).await;
        assert_eq!((outcome.0, outcome.1.as_str()), (status, rule));
    }
    let (status, ..) = ask(to("POST", "/echo"), &"x".repeat(ECHO_LIMIT)).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn http2_bodies_without_a_length_are_bounded_and_timed() {
    let data =
        |n: usize| Ok::<_, std::io::Error>(hyper::body::Frame::data(Bytes::from(vec![0; n])));
    let endless = futures_util::stream::iter((0..).map(move |_| data(10_000)));
    let stalled = futures_util::StreamExt::chain(
        futures_util::stream::iter([data(10)]),
        futures_util::stream::pending(),
    );
    let tiny = Limits { body: Duration::from_millis(30), ..Limits::default() };
    for (limits, body, status) in [
        (Limits::default(), StreamBody::new(endless).boxed_unsync(), 413),
        (tiny, StreamBody::new(stalled).boxed_unsync(), 408),
    ] {
        let (_scheme, server, school) = world(limits).await;
        let raw = Raw { alpn: vec![b"h2".to_vec()], ..Raw::default() };
        let wire = Wire::open(&server, raw.config(Some(&school))).await.unwrap();
        let io = TokioIo::new(wire.0);
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
        let (mut sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        let request = ::http::Request::builder().method("POST").uri("https://g.example/echo");
        let refused = within(sender.send_request(request.body(body).unwrap())).await.unwrap();
        assert_eq!(refused.status().as_u16(), status);
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut raw = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    raw.extend_from_slice(&[kind, flags]);
    raw.extend_from_slice(&stream.to_be_bytes());
    raw.extend_from_slice(payload);
    raw
}

#[tokio::test]
async fn floods_of_http2_frames_cost_the_sender_its_connection() {
    let limits = Limits { bytes_without_request: 200_000, ..Limits::default() };
    let (_scheme, server, school) = world(limits).await;
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[])].concat();
    let open_and_reset = |n: u32| {
        // A static-table GET / to https, then RST_STREAM (CANCEL).
        let headers = frame(1, 0x5, n * 2 + 1, &[0x82, 0x84, 0x87, 0x41, 1, b'h']);
        [headers, frame(3, 0, n * 2 + 1, &8u32.to_be_bytes())].concat()
    };
    type Frames = Box<dyn Fn(u32) -> Vec<u8>>;
    let floods: [(&str, Frames); 4] = [
        ("ping", Box::new(|_| frame(6, 0, 0, &[0; 8]))),
        ("settings", Box::new(|_| frame(4, 0, 0, &[]))),
        ("rapid reset", Box::new(open_and_reset)),
        // Never ends its header block.
        (
            "continuation",
            Box::new(|n| if n == 0 { frame(1, 0x1, 1, &[0x82]) } else { frame(9, 0, 1, &[0; 64]) }),
        ),
    ];
    for (name, next) in floods {
        let raw = Raw { alpn: vec![b"h2".to_vec()], ..Raw::default() };
        let wire = Wire::open(&server, raw.config(Some(&school))).await.unwrap();
        let (mut from, mut to) = tokio::io::split(wire.0);
        to.write_all(&preface).await.unwrap();
        let reading = tokio::spawn(async move {
            let mut sink = Vec::new();
            let _ = from.read_to_end(&mut sink).await;
        });
        let sending = async {
            for n in 0..200_000 {
                if to.write_all(&next(n)).await.is_err() || to.flush().await.is_err() {
                    return;
                }
            }
            panic!("{name}: all of the flood was taken");
        };
        within(sending).await;
        within(reading).await.unwrap();
    }
    // Others are served meanwhile and after.
    let mut wire = Wire::new(&server, &school).await;
    wire.send(post("/echo", "Content-Length: 2\r\n", "ok")).await;
    assert_eq!(wire.answer().await.unwrap().text(), "ok");
}

struct Operator;

impl OperatorHandler for Operator {
    fn handle(&self, request: OperatorRequest) -> Answer<'_> {
        Box::pin(async move {
            match request.path.as_str() {
                "/livez" => text(StatusCode::OK, "alive"),
                "/echo" => text(StatusCode::OK, request.body),
                _ => text(StatusCode::NOT_FOUND, ""),
            }
        })
    }
}

#[tokio::test]
async fn the_operator_listens_on_the_loopback_and_serves_no_browser() {
    let bind = |address: &str| {
        let address: SocketAddr = address.parse().unwrap();
        OperatorListener::bind(address, Arc::new(Operator), Arc::new(SystemClock))
    };
    for outside in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let fault = bind(outside).await.unwrap_err();
        assert_eq!(fault.kind(), std::io::ErrorKind::InvalidInput, "{outside}");
    }
    let listener = bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(listener.run(async {
        let _ = stopped.await;
    }));
    let ask = async |raw: String| {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(raw.as_bytes()).await.unwrap();
        let mut answer = String::new();
        within(socket.read_to_string(&mut answer)).await.unwrap();
        answer
    };
    let get = |fields: &str| format!("GET /livez HTTP/1.1\r\n{fields}Connection: close\r\n\r\n");
    let alive = ask(get("Host: localhost\r\n")).await;
    assert!(
        alive.starts_with("HTTP/1.1 200 OK\r\n") && alive.ends_with("\r\n\r\nalive"),
        "{alive}"
    );
    for fields in [
        "Host: evil.example\r\n",
        "Host: localhost\r\nOrigin: https://evil.example\r\n",
        "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n",
    ] {
        let refused = ask(get(fields)).await;
        assert!(refused.starts_with("HTTP/1.1 400 "), "{fields}: {refused}");
    }
    let body = "x".repeat(OperatorListener::BODY + 1);
    let length = body.len();
    let large = ask(format!(
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
    .await;
    assert!(large.starts_with("HTTP/1.1 413 "));
    stop.send(()).unwrap();
    within(running).await.unwrap();
}
