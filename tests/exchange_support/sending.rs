//! A school's request without the school's own care: no check, no state folder, no repetition.

use ecaf::http::{ClientFault, ClientResponse, Fields};
use ecaf::party::member::Member;
use ecaf::protocol::message::{CERTIFICATES, TOKEN};
use ecaf::protocol::problem::ProblemDocument;
use ecaf::protocol::schema::Schema;
use ecaf::protocol::signing::{SigningIdentity, token_id};
use ecaf::protocol::tokens::{Audience, Subject, Submission};
use ecaf::protocol::trust::Chain;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};

use super::Document;

/// A receipt as it came.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The `accepted` token.
    pub accepted: String,
    /// The chain of its signer.
    pub chain: Chain,
    /// Whether it was accepted by this request.
    pub new: bool,
    /// The whole answer.
    pub answer: serde_json::Value,
}

/// What was sent, and the receipt that came for it.
pub struct Sent {
    pub document: Document,
    pub receipt: Receipt,
}

pub fn json_fields() -> Fields {
    vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))]
}

/// A submission of `document`, signed now; every call makes another token.
pub fn sign(sender: &Member, identity: &SigningIdentity, document: &Document) -> String {
    let text = |name: &str| document.value[name].as_str().unwrap_or_default().to_owned();
    let claims = Submission {
        iss: identity.party().clone(),
        aud: Audience::Scheme(sender.scheme().clone()),
        iat: sender.clock.now().seconds(),
        jti: token_id(&*sender.entropy).unwrap(),
        sub_id: Subject(document.id),
        schema: Schema::referral_v1_id().into(),
        version: document.value["version"].as_u64().unwrap() as u32,
        urgency: text("urgency"),
        request_type: text("request_type"),
        payload_sha256: document.sha256,
        previous_sha256: document.value["previous_sha256"].as_str().map(|d| d.parse().unwrap()),
        attested: None,
    };
    claims.sign(identity.signer(), identity.x5t()).unwrap()
}

/// The header fields of a submission: signed where the school signs.
pub fn signed_fields(sender: &Member, document: &Document) -> Fields {
    let mut fields = json_fields();
    if let Some(identity) = &sender.signing {
        let value = |text: String| HeaderValue::from_str(&text).unwrap();
        fields.push((TOKEN, value(sign(sender, identity, document))));
        fields.push((CERTIFICATES, value(identity.chain().to_header())));
    }
    fields
}

/// Sends a document once.
pub async fn post(sender: &Member, document: &Document) -> Result<ClientResponse, ClientFault> {
    let fields = signed_fields(sender, document);
    sender.client.post("/v1/referrals", fields, document.bytes.clone()).await
}

/// The receipt in an answer; anything else fails the test with what it was.
pub fn receipt_of(response: &ClientResponse) -> Receipt {
    let body = String::from_utf8_lossy(&response.body);
    assert!(
        matches!(response.status, StatusCode::OK | StatusCode::CREATED),
        "{}: {body}",
        response.status
    );
    let answer: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    Receipt {
        accepted: answer["accepted"].as_str().unwrap().to_owned(),
        chain: Chain::from_header(answer["certificates"].as_str().unwrap()).unwrap(),
        new: response.status == StatusCode::CREATED,
        answer,
    }
}

/// The problem document of an answer with this status.
pub fn problem(response: &ClientResponse, status: u16) -> ProblemDocument {
    let body = String::from_utf8_lossy(&response.body);
    assert_eq!(response.status.as_u16(), status, "{body}");
    serde_json::from_slice(&response.body).unwrap()
}
