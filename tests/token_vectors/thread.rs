//! The statements about one referral, each bound to the one before, with any of them altered before
//! it is signed.

use ecaf::protocol::hash::sha256;
use ecaf::protocol::jws;
use serde_json::{Map, Value, json};

use crate::world::{DOMAIN, REFERRAL, World, document, noon, party};

type Alter = Box<dyn Fn(&mut Value)>;

/// One statement to be.
pub struct Part {
    pub signer: &'static str,
    pub typ: &'static str,
    alter: Vec<Alter>,
}

impl Part {
    fn new(signer: &'static str, typ: &'static str) -> Self {
        Self { signer, typ, alter: Vec::new() }
    }

    /// Signed by another, who says so in `iss`.
    pub fn by(&mut self, signer: &'static str) -> &mut Self {
        self.signer = signer;
        self
    }

    /// Changes a claim.
    pub fn claim(&mut self, name: &'static str, value: Value) -> &mut Self {
        self.with(move |claims| claims[name] = value.clone())
    }

    /// Changes a member of the event.
    pub fn event(&mut self, name: &'static str, value: Value) -> &mut Self {
        self.with(move |claims| event(claims)[name] = value.clone())
    }

    pub fn with(&mut self, alter: impl Fn(&mut Value) + 'static) -> &mut Self {
        self.alter.push(Box::new(alter));
        self
    }

    fn sign(&self, world: &World, mut claims: Value) -> String {
        let signer = world.actor(self.signer);
        claims["iss"] = signer.party.to_string().into();
        self.alter.iter().for_each(|alter| alter(&mut claims));
        jws::sign(&*signer.key, self.typ, signer.chain.x5t(), &claims).unwrap()
    }
}

/// The body of the only event.
pub fn event(claims: &mut Value) -> &mut Value {
    claims["events"].as_object_mut().unwrap().values_mut().next().unwrap()
}

/// Renames the event or adds another.
pub fn events(claims: &mut Value) -> &mut Map<String, Value> {
    claims["events"].as_object_mut().unwrap()
}

/// What is to be signed.
pub struct Plan {
    pub document: Vec<u8>,
    pub submission: Part,
    pub accepted: Part,
    pub note: Part,
    pub delivered: Part,
    pub recorded: Part,
}

/// The signed statements.
pub struct Thread {
    pub document: Vec<u8>,
    pub submission: String,
    pub accepted: String,
    pub note: String,
    pub delivered: String,
    pub recorded: String,
    /// Names of the signers of submission, accepted, note, delivered, recorded.
    pub signers: [&'static str; 5],
}

impl Plan {
    /// A school that signs.
    pub fn new() -> Self {
        Self {
            document: document(),
            submission: Part::new("school", "ecaf-submission+jwt"),
            accepted: Part::new("gateway", "secevent+jwt"),
            note: Part::new("gateway", "secevent+jwt"),
            delivered: Part::new("authority", "secevent+jwt"),
            recorded: Part::new("gateway", "secevent+jwt"),
        }
    }

    /// A school for which a gateway attests.
    pub fn attested(world: &World) -> Self {
        let mut plan = Self::new();
        plan.document = crate::world::altered(|d| d["referrer"]["school"]["id"] = "900003".into());
        plan.submission = Part::new("gateway", "ecaf-attested+jwt");
        let certificate = world.actor("nursery-tls").chain.x5t().to_string();
        let sender = party("school/900003").to_string();
        let attested = json!({
            "sender": sender, "certificate_sha256": certificate, "channel": "api",
        });
        plan.submission.claim("attested", attested);
        plan.accepted.event("sender", json!(sender)).claim("aud", json!([sender]));
        plan.note.event("sender", json!(sender)).event("sender_kind", json!("attested"));
        plan
    }

    pub fn sign(self, world: &World) -> Thread {
        let at = noon();
        let digest = |text: &str| sha256(text.as_bytes()).to_string();
        let payload = sha256(&self.document).to_string();
        let scheme = format!("spiffe://{DOMAIN}");
        let school = party("school/900001").to_string();
        let about = json!({ "format": "uri", "uri": format!("urn:uuid:{REFERRAL}") });
        let submission = json!({
            "aud": scheme,
            "iat": at.seconds() - 30,
            "jti": "00000000-0000-4000-8000-000000000001",
            "sub_id": about,
            "schema": "https://ecaf.example/schemas/referral/1.0/referral.json",
            "version": 1,
            "urgency": "U0",
            "request_type": "protection",
            "payload_sha256": payload,
        });
        let submission = self.submission.sign(world, submission);
        let set = |number: u8, to: Value, event: &str, body: Value| {
            json!({
                "aud": to,
                "iat": at.seconds(),
                "jti": format!("00000000-0000-4000-8000-00000000000{number}"),
                "sub_id": about,
                "events": { format!("https://ecaf.example/events/{event}"): body },
            })
        };
        let accepted = json!({
            "version": 1,
            "position": 1,
            "recorded_at": at.to_string(),
            "submission_sha256": digest(&submission),
            "payload_sha256": payload,
            "sender": school,
            "authority": "309",
            "routing_rule": "routing.sender-chose",
            "directory_version": 7,
            "postcode_table": "vectors-1",
            "revocation": "good",
        });
        let accepted = self.accepted.sign(world, set(2, json!([school]), "accepted", accepted));
        let note = json!({
            "version": 1,
            "purpose": "accountable",
            "routing_rule": "routing.sender-chose",
            "routing_to_confirm": false,
            "accepted_sha256": digest(&accepted),
            "submission_sha256": digest(&submission),
            "payload_sha256": payload,
            "sender": school,
            "sender_kind": "signed",
            "recorded_at": at.to_string(),
            "directory_version": 7,
            "postcode_table": "vectors-1",
        });
        let authority = party("authority/309").to_string();
        let note = self.note.sign(world, set(3, json!([authority]), "dispatch", note));
        let delivered = json!({
            "version": 1,
            "note_sha256": digest(&note),
            "payload_sha256": payload,
            "reference": "HGY-2026-000001",
            "stored_at": at.plus(2_000).to_string(),
        });
        let gateway = party("gateway/london-1").to_string();
        let readers = json!([school, gateway]);
        let delivered = self.delivered.sign(world, set(4, readers, "delivered", delivered));
        let recorded = json!({
            "position": 2,
            "event_sha256": digest(&delivered),
            "previous_sha256": digest(&accepted),
            "recorded_at": at.plus(3_000).to_string(),
        });
        let recorded = self.recorded.sign(world, set(5, json!([scheme]), "recorded", recorded));
        let parts = [&self.submission, &self.accepted, &self.note, &self.delivered, &self.recorded];
        let signers = parts.map(|part| part.signer);
        let document = self.document;
        Thread { document, submission, accepted, note, delivered, recorded, signers }
    }
}
