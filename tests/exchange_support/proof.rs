//! What must hold of receipts and of what lies in the stores afterwards.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ecaf::cli::sandbox::{AUTHORITIES, SCHOOLS};
use ecaf::config::{KeySettings, SecretSource};
use ecaf::domain::delivery::State;
use ecaf::domain::ids::ReferralId;
use ecaf::domain::party::Organisation;
use ecaf::domain::retention::RetentionPolicy;
use ecaf::domain::time::Timestamp;
use ecaf::effects::SystemEntropy;
use ecaf::http::Trust;
use ecaf::party::member::Member;
use ecaf::protocol::evidence::{Bundle, Proven, Says};
use ecaf::protocol::hash::sha256;
use ecaf::protocol::jws::Unverified;
use ecaf::protocol::tokens::{Accepted, SET_TYPE, SecurityEvent};
use ecaf::protocol::trust::{Chain, Purpose, VerifiedCache};
use ecaf::store::sealing::Vault;
use ecaf::store::sqlite::{Access, Settings, SqliteAuthority, SqliteGateway};
use ecaf::store::*;

use super::{Document, Receipt, Sent};

/// Checks receipts against the scheme's trust data.
pub struct Proof {
    trust: Arc<Trust>,
    scheme: ecaf::domain::party::TrustDomain,
    gateway: ecaf::domain::party::Party,
    cache: VerifiedCache,
}

impl Proof {
    pub fn of(sender: &Member) -> Self {
        Self {
            trust: Arc::clone(&sender.trust),
            scheme: sender.scheme().clone(),
            gateway: sender.gateway.clone(),
            cache: VerifiedCache::new(64),
        }
    }

    /// The receipt is the gateway's, to this school, about exactly this document.
    pub fn receipt(&self, receipt: &Receipt, document: &Document, at: Timestamp) -> Accepted {
        let store = self.trust.store();
        let signer = self.cache.verify(&store, &receipt.chain, Purpose::Signing, at).unwrap();
        assert_eq!(*signer.party(), self.gateway);
        let token = Unverified::parse(&receipt.accepted).unwrap().verify(SET_TYPE, &signer);
        let said = SecurityEvent::<Accepted>::read(&token.unwrap(), None).unwrap();
        assert_eq!(said.sub_id.unwrap().0, document.id, "a receipt of another referral");
        assert_eq!(said.event.payload_sha256, document.sha256, "a receipt of other bytes");
        assert_eq!(said.event.version, 1);
        let school = Organisation::School(SCHOOLS[document.school].id.parse().unwrap());
        assert_eq!(said.event.sender.organisation, school, "a receipt of another school");
        assert_eq!(said.event.authority.to_string(), AUTHORITIES[document.authority].code);
        said.event
    }

    /// The whole evidence of a referral in the gateway's store verifies, and says that the
    /// authorities have exactly this document.
    pub async fn evidence(&self, store: &dyn GatewayStore, sent: &Sent) -> Proven {
        let id = sent.document.id;
        let timeline = store.timeline(id).await.unwrap().expect("the referral is lost");
        let mut bundle = Bundle::new(id);
        for row in &timeline.tokens {
            let token = store.token(id, row.sha256).await.unwrap().unwrap().token;
            let chain = store.chain(token.x5t).await.unwrap().and_then(Chain::new).unwrap();
            bundle.push_chain(&chain);
            for digest in &token.crl_digests {
                let list = STANDARD.encode(store.crl(*digest).await.unwrap().unwrap());
                if !bundle.crls.contains(&list) {
                    bundle.crls.push(list);
                }
            }
            bundle.tokens.push(token.jws);
        }
        assert!(bundle.tokens.contains(&sent.receipt.accepted), "the receipt is not in the store");
        let proven = bundle.verify(&self.trust.store(), &self.scheme).unwrap();
        let stored = proven.statements.iter().filter_map(|s| match &s.says {
            Says::Delivered(delivered) => Some(delivered.payload_sha256),
            _ => None,
        });
        let stored: Vec<_> = stored.collect();
        assert_eq!(stored.len(), sent.document.deliveries().len());
        assert!(stored.iter().all(|digest| *digest == sent.document.sha256));
        proven
    }
}

/// Opens a gateway's file as an operator does.
pub fn gateway_store(path: &Path) -> SqliteGateway {
    let settings = Settings { access: Access::Operator, ..Settings::owner(path) };
    SqliteGateway::open(&settings, vault(path), Arc::new(SystemEntropy::default())).unwrap()
}

/// Opens an authority's file as an operator does.
pub fn inbox_store(path: &Path) -> SqliteAuthority {
    let settings = Settings { access: Access::Operator, ..Settings::owner(path) };
    SqliteAuthority::open(&settings, vault(path)).unwrap()
}

/// The vault of a party of the sandbox, whose keys lie beside the folder of its store.
pub fn vault(store: &Path) -> Arc<Vault> {
    let folder = store.parent().unwrap();
    let keys = KeySettings {
        ring: folder.join("keys/ring"),
        kek: SecretSource::File(folder.join("kek/kek")),
        next_kek: None,
        retention: RetentionPolicy::default(),
    };
    ecaf::app::open_vault(&keys, true).unwrap()
}

/// Every line of an inbox.
pub async fn inbox(store: &dyn AuthorityStore) -> Vec<InboxEntry> {
    let mut entries = Vec::new();
    let mut filter = InboxFilter::default();
    loop {
        let page = store.inbox(filter.clone()).await.unwrap();
        let Some(last) = page.last() else { return entries };
        filter.after = Some(last.entry);
        entries.extend(page);
    }
}

/// What lies at the authorities, by referral.
pub struct Arrived(HashMap<ReferralId, Vec<(usize, InboxItem)>>);

impl Arrived {
    /// Reads the inboxes at `paths` whole, and checks their files.
    pub async fn read(paths: &[std::path::PathBuf]) -> Self {
        Self::of(paths.iter().map(|path| Arc::new(inbox_store(path)) as _).collect()).await
    }

    /// Reads these inboxes whole, and checks them.
    pub async fn of(stores: Vec<Arc<dyn AuthorityStore>>) -> Self {
        Self::of_places(stores.into_iter().enumerate().collect()).await
    }

    /// Reads the inboxes of the authorities at these places whole, and checks them.
    pub async fn of_places(stores: Vec<(usize, Arc<dyn AuthorityStore>)>) -> Self {
        let mut found: HashMap<ReferralId, Vec<(usize, InboxItem)>> = HashMap::new();
        for (index, store) in &stores {
            let index = *index;
            let report = store.check().await.unwrap();
            assert!(report.is_sound(), "inbox {index}: {:?}", report.problems);
            for entry in inbox(&**store).await {
                let item = store.item(entry.entry).await.unwrap().unwrap();
                found.entry(entry.key.referral_id).or_default().push((index, item));
            }
        }
        Self(found)
    }

    /// How many referrals arrived, and how many entries in all.
    pub fn counts(&self) -> (usize, usize) {
        (self.0.len(), self.0.values().map(Vec::len).sum())
    }

    /// This document lies where it belongs, once for each delivery, and nowhere else, byte for byte.
    pub fn once(&self, document: &Document) {
        let items = self.0.get(&document.id).map(Vec::as_slice).unwrap_or_default();
        let mut places: Vec<_> =
            items.iter().map(|(index, i)| (*index, i.entry.key.purpose.as_str())).collect();
        let mut expected = document.deliveries();
        places.sort_unstable();
        expected.sort_unstable();
        assert_eq!(places, expected, "delivered elsewhere, or not once");
        for (_, item) in items {
            let body = item.document.kept().unwrap();
            assert_eq!(sha256(body), document.sha256, "delivered with other bytes");
            assert_eq!(*body, document.bytes, "delivered with other bytes");
            assert_eq!(item.entry.payload_sha256, document.sha256);
        }
    }
}

/// Everything in the gateway's store is sound and delivered: how many deliveries each referral had.
pub async fn all_settled(store: &dyn GatewayStore) -> BTreeMap<ReferralId, usize> {
    let report = store.check().await.unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    let mut delivered = BTreeMap::new();
    let mut filter = DeliveryFilter::default();
    loop {
        let page = store.deliveries(filter).await.unwrap();
        let Some(last) = page.last() else { return delivered };
        filter.after = Some(last.id);
        for row in &page {
            assert_eq!(row.state, State::Delivered, "{row:?}");
            *delivered.entry(row.referral_id).or_default() += 1;
        }
    }
}
