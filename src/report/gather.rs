//! Everything that a reader may have of one referral: its evidence, proved or not, and the documents
//! that its tokens name, each checked against its digest.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::Value;

use super::facts;
use super::tokens::{Entry, entries};
use crate::domain::clocks::Thread;
use crate::domain::ids::{Digest, ReferralId};
use crate::domain::party::{Party, TrustDomain};
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;
use crate::party::look::{NotSeen, State, refused};
use crate::party::member::Member;
use crate::protocol::evidence::{Bundle, Proven, Says};
use crate::protocol::hash::sha256;
use crate::protocol::trust::TrustStore;
use crate::school::follow::follow;

/// A document that a token names.
#[derive(Debug, Clone)]
pub enum Text {
    /// Here, and its digest is the one that was signed.
    Kept(Value),
    /// Erased, in the words of whoever kept it.
    Erased(String),
    /// Not for this reader.
    Withheld,
    /// Given, and not what was signed.
    Wrong,
    /// Nobody was asked for it, or it was not given.
    Absent,
}

/// One referral as far as a reader may see it.
pub struct Gathered {
    /// The referral.
    pub id: ReferralId,
    /// Its evidence.
    pub bundle: Bundle,
    /// What that proves, or why it proves nothing.
    pub proven: Result<Proven, Refusal>,
    /// What the gateway says of it; `None` offline.
    pub state: Option<State>,
    /// The documents, by the digests that tokens name.
    pub documents: BTreeMap<Digest, Text>,
    /// The exact bytes of those that are here.
    pub raw: BTreeMap<Digest, Vec<u8>>,
    /// Its statements, oldest first.
    pub entries: Vec<Entry>,
    /// Tokens that could not be read.
    pub unreadable: usize,
    /// When it was gathered.
    pub at: Timestamp,
    /// For whom; `None` offline.
    pub reader: Option<Party>,
}

impl Gathered {
    fn new(id: ReferralId, bundle: Bundle, proven: Result<Proven, Refusal>, at: Timestamp) -> Self {
        let (entries, unreadable) = entries(&bundle.tokens);
        let mut documents = BTreeMap::new();
        for digest in entries.iter().filter_map(named) {
            let erased = bundle.erased.iter().find(|erased| erased.sha256 == digest);
            let text = erased.map_or(Text::Absent, |erased| Text::Erased(erased.words()));
            documents.insert(digest, text);
        }
        Self {
            id,
            bundle,
            proven,
            state: None,
            documents,
            raw: BTreeMap::new(),
            entries,
            unreadable,
            at,
            reader: None,
        }
    }

    /// From files, without asking anybody. `documents` may hold any of those that the tokens name; what
    /// none of them names is the caller's mistake, and is given back.
    pub fn offline(
        bundle: Bundle,
        trust: &TrustStore,
        scheme: &TrustDomain,
        documents: &[Vec<u8>],
        at: Timestamp,
    ) -> Result<Self, usize> {
        let proven = bundle.verify(trust, scheme);
        let mut gathered = Self::new(bundle.referral_id, bundle, proven, at);
        for (index, bytes) in documents.iter().enumerate() {
            let digest = sha256(bytes);
            let text = gathered.documents.get_mut(&digest).ok_or(index)?;
            *text = serde_json::from_slice(bytes).map_or(Text::Wrong, Text::Kept);
            gathered.raw.insert(digest, bytes.clone());
        }
        Ok(gathered)
    }

    /// From the gateway, as `member` may see it.
    pub async fn from_gateway(member: &Member, id: ReferralId) -> Result<Self, NotSeen> {
        let followed = follow(member, id).await?;
        let mut gathered = Self::new(id, followed.bundle, followed.proven, member.clock.now());
        gathered.reader = Some(member.party.clone());
        let hidden = followed.state.misidentified;
        gathered.state = Some(followed.state);
        for (digest, text) in &mut gathered.documents {
            if !matches!(text, Text::Absent) {
                continue;
            }
            if hidden {
                *text = Text::Withheld;
                continue;
            }
            let path = format!("/v1/referrals/{id}/documents/{digest}");
            let response = member.client.get(&path, Vec::new()).await.map_err(NotSeen::NoAnswer)?;
            *text = match response.status {
                StatusCode::OK if sha256(&response.body) == *digest => {
                    gathered.raw.insert(*digest, response.body.to_vec());
                    serde_json::from_slice(&response.body).map_or(Text::Wrong, Text::Kept)
                }
                StatusCode::OK => Text::Wrong,
                StatusCode::GONE => Text::Erased("erased".to_owned()),
                StatusCode::NOT_FOUND => Text::Withheld,
                _ => return Err(refused(&response)),
            };
        }
        Ok(gathered)
    }

    /// Adds what the reader keeps of its own, where the exchange does not show it any more.
    pub fn add_own(&mut self, bytes: &[u8]) {
        if let Some(text) = self.documents.get_mut(&sha256(bytes))
            && matches!(text, Text::Withheld | Text::Erased(_))
            && let Ok(document) = serde_json::from_slice(bytes)
        {
            *text = Text::Kept(document);
        }
    }

    /// Whether everything in it stands: signatures, order, documents.
    pub fn is_proved(&self) -> bool {
        let wrong = |text: &Text| matches!(text, Text::Wrong);
        self.proven.is_ok() && self.unreadable == 0 && !self.documents.values().any(wrong)
    }

    /// The document that a token names, if it can be read.
    pub fn document(&self, digest: Digest) -> Option<&Value> {
        match self.documents.get(&digest) {
            Some(Text::Kept(document)) => Some(document),
            _ => None,
        }
    }

    /// The referral as clocks see it.
    pub fn thread(&self) -> Option<Thread> {
        facts::thread(&self.entries, |digest| self.document(digest))
    }
}

/// The document that a statement is about: the referral's, or its own.
pub fn named(entry: &Entry) -> Option<Digest> {
    match &entry.says {
        Says::Submitted(submission) => Some(submission.payload_sha256),
        Says::Said(event) => event.body().detail_sha256,
        _ => None,
    }
}
