//! Bundles of threads that an event began, whole and with everything wrong that can be about their beginning.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ecaf::protocol::evidence::Bundle;
use ecaf::protocol::hash::sha256;
use ecaf::protocol::jws;
use serde_json::{Value, json};

use crate::world::{DOMAIN, REFERRAL, World, noon, party};

/// A signed token and who signed it.
type Signed = (String, &'static str);

/// `by` says the event `name` on top of `seen`.
fn event(world: &World, by: &'static str, name: &str, seen: u64, members: Value) -> Signed {
    let mut body = members;
    body["seen"] = seen.into();
    let uri = format!("https://ecaf.example/events/{name}");
    sign(world, by, json!(format!("spiffe://{DOMAIN}")), json!({ uri: body }))
}

/// The gateway's record of a token.
fn recorded(world: &World, of: &Signed, position: u64, previous: Option<&Signed>) -> Signed {
    let digest = |token: &Signed| sha256(token.0.as_bytes()).to_string();
    let mut body = json!({
        "position": position, "event_sha256": digest(of), "recorded_at": noon().to_string(),
    });
    if let Some(previous) = previous {
        body["previous_sha256"] = digest(previous).into();
    }
    let uri = "https://ecaf.example/events/recorded";
    sign(world, "gateway", json!([format!("spiffe://{DOMAIN}")]), json!({ uri: body }))
}

fn sign(world: &World, by: &'static str, audience: Value, events: Value) -> Signed {
    let signer = world.actor(by);
    let claims = json!({
        "iss": signer.party.to_string(), "aud": audience, "iat": noon().seconds(),
        "jti": "AAAAAAAAAAAAAAAAAAAAAA", "events": events,
        "sub_id": { "format": "uri", "uri": format!("urn:uuid:{REFERRAL}") },
    });
    let token = jws::sign(&*signer.key, "secevent+jwt", signer.chain.x5t(), &claims).unwrap();
    (token, by)
}

fn bundle(world: &World, tokens: &[&Signed]) -> Value {
    let mut bundle = Bundle::new(REFERRAL.parse().unwrap());
    for (token, by) in tokens {
        bundle.tokens.push(token.clone());
        bundle.push_chain(&world.actor(by).chain);
    }
    let lists = world.crls(noon(), Vec::new());
    bundle.crls = lists.iter().map(|list| STANDARD.encode(list)).collect();
    serde_json::to_value(&bundle).unwrap()
}

/// Each with its id, what it shows, and whether it proves (so many statements) or is refused, and why.
pub fn cases(world: &World) -> Vec<(String, String, Value, Result<usize, &'static str>)> {
    let detail = sha256(b"what is personal").to_string();
    let school = party("school/900001").organisation.to_string().replace("school/", "");
    let notice = || json!({ "school": school, "code": "plan", "detail_sha256": detail });
    let asked = || json!({ "to": "309", "code": "not_sure", "detail_sha256": detail });
    let mut cases = Vec::new();
    let mut add = |id: &str, shows: &str, tokens: &[&Signed], expect| {
        cases.push((id.to_owned(), shows.to_owned(), bundle(world, tokens), expect));
    };
    let (role, incomplete) = ("evidence.wrong-role", "evidence.incomplete");
    let previous = "token.mismatch: event and previous_sha256";

    let first = event(world, "authority", "pupil_notice", 0, notice());
    let record = recorded(world, &first, 1, None);
    add("opening-notice", "a notice begins its thread", &[&first, &record], Ok(2));
    let read = json!({ "answers": sha256(first.0.as_bytes()).to_string() });
    let read = event(world, "school", "read", 1, read);
    let second = recorded(world, &read, 2, Some(&record));
    add(
        "opening-notice-read",
        "and the school has read it",
        &[&first, &record, &read, &second],
        Ok(4),
    );
    for (name, id) in [("consultation", "opening-consultation"), ("handed_over", "opening-by-hand")]
    {
        let asks = event(world, "school", name, 0, asked());
        let record = recorded(world, &asks, 1, None);
        add(id, "a school begins a thread", &[&asks, &record], Ok(2));
        let other = event(world, "authority", name, 0, asked());
        let record = recorded(world, &other, 1, None);
        add(
            &format!("{id}-by-an-authority"),
            "only a school begins such a thread",
            &[&other, &record],
            Err(role),
        );
        let none =
            event(world, "school", name, 0, json!({"code": "lado", "detail_sha256": detail}));
        let record = recorded(world, &none, 1, None);
        add(&format!("{id}-to-nobody"), "it names no authority", &[&none, &record], Err(role));
    }

    let theirs = event(world, "school", "pupil_notice", 0, notice());
    let by_school = recorded(world, &theirs, 1, None);
    add(
        "opening-notice-by-a-school",
        "only an authority gives notice",
        &[&theirs, &by_school],
        Err(role),
    );
    let mut spoilt = Vec::new();
    for (member, value) in
        [("school", None), ("code", Some("perhaps")), ("detail_sha256", None), ("to", Some("204"))]
    {
        let mut body = notice();
        body.as_object_mut().unwrap().remove(member);
        if let Some(value) = value {
            body[member] = value.into();
        }
        let event = event(world, "authority", "pupil_notice", 0, body);
        let record = recorded(world, &event, 1, None);
        spoilt.push((member, event, record));
    }
    for (member, event, record) in &spoilt {
        let id = format!("opening-notice-{}", member.replace('_', "-"));
        add(&id, "a member is missing, unknown or one too many", &[event, record], Err(role));
    }
    let invented = event(world, "authority", "read", 9, json!({}));
    let claims = recorded(world, &first, 1, Some(&invented));
    add(
        "opening-with-previous",
        "the first record names one before it",
        &[&first, &claims],
        Err(previous),
    );
    let call = json!({ "code": "school" });
    let call = event(world, "authority", "call_recorded", 0, call);
    let called = recorded(world, &call, 1, None);
    add("opening-none", "an event that begins nothing", &[&call, &called], Err(incomplete));
    add("opening-not-recorded", "no gateway has recorded it", &[&first], Err(incomplete));
    let late = recorded(world, &first, 2, None);
    add(
        "opening-late",
        "it is recorded behind something that its author had not seen",
        &[&first, &late],
        Err("token.mismatch: seen and position"),
    );
    let detached = recorded(world, &read, 2, None);
    add(
        "opening-second-without-previous",
        "a later record names nothing before it",
        &[&first, &record, &read, &detached],
        Err(previous),
    );
    cases
}
