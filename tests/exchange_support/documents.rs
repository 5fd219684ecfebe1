//! Referrals that are complete, invented, and unlike each other.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use ecaf::cli::sandbox::{AUTHORITIES, SCHOOLS};
use ecaf::domain::ids::{Digest, ReferralId};
use ecaf::effects::{Entropy, SeededEntropy};
use ecaf::protocol::hash::sha256;
use serde_json::{Value, json};

/// Places of the sandbox's authorities.
pub const HACKNEY: usize = 0;
pub const HARINGEY: usize = 1;
pub const NEWHAM: usize = 2;

/// A postcode well inside each of them.
const POSTCODES: [&str; 3] = ["E8 1BG", "N17 6NP", "E13 0JN"];

/// One of the published examples.
pub fn example(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/examples");
    serde_json::from_slice(&fs::read(path.join(format!("{name}.json"))).unwrap()).unwrap()
}

/// A referral as it is sent.
#[derive(Clone)]
pub struct Document {
    pub id: ReferralId,
    pub bytes: Bytes,
    pub sha256: Digest,
    pub value: Value,
    /// Place of the sending school.
    pub school: usize,
    /// Place of the accountable authority.
    pub authority: usize,
    /// Place of the authority in whose area the child is, where that one gets a linked delivery.
    pub linked: Option<usize>,
}

impl Document {
    /// The document of a value, in one of many possible ways to write it.
    pub fn of(value: Value, school: usize, authority: usize) -> Self {
        let bytes = Bytes::from(serde_json::to_vec(&value).unwrap());
        let id = value["referral_id"].as_str().unwrap().parse().unwrap();
        Self { id, sha256: sha256(&bytes), bytes, value, school, authority, linked: None }
    }

    /// Every delivery that it calls for: place of the authority, and purpose.
    pub fn deliveries(&self) -> Vec<(usize, &'static str)> {
        let linked = self.linked.map(|place| (place, "linked"));
        [(self.authority, "accountable")].into_iter().chain(linked).collect()
    }

    /// The same with members changed.
    pub fn changed(&self, change: impl FnOnce(&mut Value)) -> Self {
        let mut value = self.value.clone();
        change(&mut value);
        Self { linked: self.linked, ..Self::of(value, self.school, self.authority) }
    }
}

/// Makes documents; the same seed makes the same ones.
pub struct Stream {
    entropy: SeededEntropy,
    made: u64,
}

impl Stream {
    pub fn new(seed: u64) -> Self {
        Self { entropy: SeededEntropy::new(seed), made: 0 }
    }

    /// An urgent referral of a school (by its place) about a child who lives in the area of an
    /// authority (by its place). Fresh id and salt, and a word that no other document has.
    pub fn document(&mut self, school: usize, authority: usize) -> Document {
        let document = self.unsafe_at_home(school, authority);
        let safe = json!({ "answer": false });
        let document = document.changed(|v| v["source_can_reach_child_today"] = safe);
        Document { linked: None, ..document }
    }

    /// The same about a child that cannot safely go home from school today: where the school stands in
    /// the area of another authority, that one is told too.
    pub fn unsafe_at_home(&mut self, school: usize, authority: usize) -> Document {
        self.made += 1;
        let mut value = example("a01-disclosure-before-the-bell");
        value["referrer"]["school"] =
            json!({ "id": SCHOOLS[school].id, "name": SCHOOLS[school].name });
        value["addresses"][0]["postcode"] = POSTCODES[authority].into();
        let text = &mut value["concerns"][0]["narrative"]["text"];
        // Of very different lengths, so that bytes of one in another cannot go unseen.
        let more = "He said it again. ".repeat((self.made % 40) as usize);
        *text = format!("{} {more}Word {}.", text.as_str().unwrap(), self.word()).into();
        self.renew(&mut value);
        let found = AUTHORITIES.iter().position(|a| a.code == SCHOOLS[school].authority);
        let linked = found.filter(|place| *place != authority);
        Document { linked, ..Document::of(value, school, authority) }
    }

    /// Gives a document an id and a salt of its own.
    pub fn renew(&mut self, value: &mut Value) {
        value["referral_id"] = self.id().to_string().into();
        value["salt"] = URL_SAFE_NO_PAD.encode(self.bytes()).into();
    }

    /// A random id.
    pub fn id(&mut self) -> ReferralId {
        let entropy: &dyn Entropy = &self.entropy;
        ReferralId::from_bytes(entropy.uuid().unwrap())
    }

    /// A random number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        let bytes = self.bytes();
        (u64::from_le_bytes(bytes[..8].try_into().unwrap()) % end as u64) as usize
    }

    /// Sixteen random letters.
    pub fn word(&mut self) -> String {
        self.bytes().iter().map(|b| char::from(b'a' + b % 26)).collect()
    }

    fn bytes(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes).unwrap();
        bytes
    }
}
