//! A scheme with its gateway inside of the test, schools and workers who speak to it over real
//! sockets, and a clock that the test moves.

use std::sync::Arc;

use ecaf::domain::time::Timestamp;
use ecaf::effects::{Clock, FixedClock, SystemClock};
use ecaf::http::{ClientResponse, Line};
use ecaf::party::member::Member;
use ecaf::protocol::directory::Overlay;
use ecaf::protocol::hash::sha256;
use ecaf::protocol::jws::Unverified;
use ecaf::protocol::problem::ProblemDocument;
use ecaf::protocol::tokens::{Refused, SET_TYPE, SecurityEvent};
use ecaf::protocol::trust::Purpose;
use serde_json::Value;

use super::inside::{self, Authority, Gateway, eager};
use super::{Document, Proof, QUICK, Scene, Sent, Stream, eventually, post, receipt_of};

/// Signs; its authority is Haringey.
pub const MARSH_LANE: usize = 0;
/// Signs; its authority is Hackney.
pub const LEA_BRIDGE: usize = 1;
/// Is attested by the gateway; its authority is Newham.
pub const ST_BRANNOCKS: usize = 2;
/// A person of Marsh Lane, with certificates of her own.
pub const A_PERSON: usize = 3;

/// A scheme with its gateway, and no authority yet.
pub struct Stage {
    pub scene: Scene,
    pub hand: FixedClock,
    pub clock: Arc<dyn Clock>,
    pub gateway: Gateway,
    pub schools: Vec<Member>,
    pub stream: Stream,
}

impl Stage {
    pub async fn at(now: Timestamp) -> Self {
        Self::with_directory(now, "").await
    }

    pub async fn now() -> Self {
        Self::at(SystemClock.now()).await
    }

    pub async fn with_directory(now: Timestamp, more: &str) -> Self {
        let scene = Scene::at(now, QUICK);
        if !more.is_empty() {
            scene.sign_directory(2, more, now);
        }
        Self::of(scene, now).await
    }

    /// With a directory that says more, or something else, than the sandbox's.
    pub async fn with_overlay(now: Timestamp, change: impl FnOnce(&mut Overlay)) -> Self {
        let scene = Scene::at(now, QUICK);
        scene.sign_changed(2, "", now, change);
        Self::of(scene, now).await
    }

    async fn of(scene: Scene, now: Timestamp) -> Self {
        let hand = FixedClock::at(now);
        let clock: Arc<dyn Clock> = Arc::new(hand.clone());
        let gateway = Gateway::open(&scene, &clock, eager()).await;
        let mut schools = Vec::new();
        for index in 0..4 {
            schools.push(inside::school(&scene, index, &clock).await);
        }
        Self { scene, hand, clock, gateway, schools, stream: Stream::new(9) }
    }

    /// A worker of an authority, with certificates of their own.
    pub async fn worker(&self, index: usize) -> Member {
        inside::worker(&self.scene, index, &self.clock).await
    }

    pub async fn authority(&self, index: usize) -> Authority {
        Authority::open(&self.scene, index, &self.clock, |api| Arc::new(api)).await
    }

    /// Accepted, and the receipt is right.
    pub async fn accepted(&self, document: Document) -> Sent {
        let sender = &self.schools[document.school];
        let receipt = receipt_of(&post(sender, &document).await.unwrap());
        assert!(receipt.new);
        Proof::of(sender).receipt(&receipt, &document, self.clock.now());
        Sent { document, receipt }
    }

    pub async fn state(&self, sent: &Sent) -> Value {
        let path = format!("/v1/referrals/{}", sent.document.id);
        good(&*self.schools[sent.document.school].client, &path).await
    }

    /// Waits until the first delivery is in this state.
    pub async fn until(&self, sent: &Sent, state: &str) -> Value {
        eventually(state, async || {
            let answer = self.state(sent).await;
            (answer["deliveries"][0]["state"] == state).then_some(answer)
        })
        .await
    }

    /// Waits until so many attempts to deliver were made.
    pub async fn attempts(&self, sent: &Sent, least: u64) {
        eventually("an attempt", async || {
            let answer = self.state(sent).await;
            (answer["deliveries"][0]["attempts"].as_u64()? >= least).then_some(())
        })
        .await
    }

    /// The signed refusal beside a problem, for this request, says the same as the problem.
    pub fn signed_refusal(
        &self,
        problem: &ProblemDocument,
        sender: &Member,
        body: &[u8],
    ) -> Refused {
        let token = Unverified::parse(problem.refusal.as_ref().expect("not signed")).unwrap();
        let chain = self.gateway.exchange.signing.load().chain().clone();
        let signer = sender.trust.check(&chain, Purpose::Signing).unwrap();
        let token = token.verify(SET_TYPE, &signer).unwrap();
        let said = SecurityEvent::<Refused>::read(&token, Some(&sender.party)).unwrap().event;
        assert_eq!(said.request_sha256, sha256(body));
        let rules: Vec<_> = said.rules.iter().map(|r| &r.rule).collect();
        assert_eq!(rules, problem.violations.iter().map(|v| &v.rule).collect::<Vec<_>>());
        assert_eq!(said.culprit, problem.culprit);
        said
    }
}

pub async fn get(client: &dyn Line, path: &str) -> ClientResponse {
    client.get(path, Vec::new()).await.unwrap()
}

pub async fn good(client: &dyn Line, path: &str) -> Value {
    let answer = get(client, path).await;
    assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
    serde_json::from_slice(&answer.body).unwrap()
}

pub fn rules(problem: &ProblemDocument) -> Vec<&str> {
    problem.violations.iter().map(|v| v.rule.as_str()).collect()
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}
