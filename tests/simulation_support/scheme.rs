//! The scheme: keys, certificates, lists and directory follow from constants, and Ed25519 signatures
//! are deterministic. So whole runs repeat byte for byte, in another process too.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};

use ecaf::cli::sandbox::{AUTHORITIES, SCHOOLS};
use ecaf::domain::ids::Digest;
use ecaf::domain::party::{Organisation, Party};
use ecaf::domain::retention::Period as Retention;
use ecaf::domain::time::{DAY, Timestamp};
use ecaf::effects::{Clock, SeededEntropy, Signer};
use ecaf::http::Trust;
use ecaf::protocol::directory::{self, DirectoryHolder};
use ecaf::protocol::routing_data::RoutingTables;
use ecaf::protocol::signing::SigningIdentity;
use ecaf::protocol::trust::issue::{Ca, CrlContent, LeafKind, LeafRequest, Period, PrivateKey};
use ecaf::protocol::trust::{Chain, Purpose, TrustScope, TrustStore};
use serde_json::{Value, json};

pub const DOMAIN: &str = "demo.ecaf.example";
/// When runs begin: a minute before a month ends, so that a retention period ends in the middle of them.
pub const BEGINNING: Timestamp = Timestamp::from_millis(1_796_083_140_000);
/// The retention period in which runs begin.
pub const FIRST_PERIOD: Retention = Retention::of(BEGINNING);
/// The gateways that processes are: the first, the second, the first again.
pub const GATEWAYS: [&str; 2] = ["sandbox", "other"];

/// Schools that take part: the last one has no signing key, gateways attest for it.
pub const SCHOOL_COUNT: usize = 3;

pub fn party(path: &str) -> Party {
    format!("spiffe://{DOMAIN}/{path}").parse().unwrap()
}

pub fn school_party(school: usize) -> Party {
    party(&format!("school/{}", SCHOOLS[school].id))
}

pub fn gateway_name(process: usize) -> &'static str {
    GATEWAYS[process % GATEWAYS.len()]
}

pub fn gateway_party(process: usize) -> Party {
    party(&format!("gateway/{}", gateway_name(process)))
}

pub fn authority_party(authority: usize) -> Party {
    party(&format!("authority/{}", AUTHORITIES[authority].code))
}

/// A worker of an authority, by number: the first of each authority, the second of each, and so on.
pub fn worker_party(worker: usize) -> Party {
    let authority = authority_party(worker % AUTHORITIES.len());
    format!("{authority}/person/w{}", worker / AUTHORITIES.len()).parse().unwrap()
}

/// Workers that there are certificates for.
pub const WORKERS: usize = 2 * AUTHORITIES.len();

/// How authorities receive, by their places.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ways {
    /// Whether it collects, and opens no endpoint.
    pub pull: [bool; AUTHORITIES.len()],
    /// Whether events are pushed to it.
    pub events: [bool; AUTHORITIES.len()],
}

/// The directory as everybody can fetch it at the moment.
pub struct Posted(Mutex<(u64, Ways, Vec<u8>)>);

impl Posted {
    pub fn new(ways: Ways) -> Arc<Self> {
        Arc::new(Self(Mutex::new((2, ways, scheme().issue(2, ways)))))
    }

    /// A new issue, in which something is otherwise.
    pub fn change(&self, change: impl FnOnce(&mut Ways)) {
        let mut posted = self.0.lock().unwrap();
        let (version, mut ways) = (posted.0 + 1, posted.1);
        change(&mut ways);
        *posted = (version, ways, scheme().issue(version, ways));
    }

    pub fn ways(&self) -> Ways {
        self.0.lock().unwrap().1
    }

    fn version(&self) -> u64 {
        self.0.lock().unwrap().0
    }

    /// Gives a machine the present issue, if it has another.
    pub fn give(&self, holder: &DirectoryHolder, trust: &Trust, at: Timestamp) {
        let held = holder.last_good().map_or(0, |held| held.directory().version);
        if held == self.version() {
            return;
        }
        let bytes = self.0.lock().unwrap().2.clone();
        let verify = |chain: &Chain| trust.store().verify(chain, Purpose::Signing, at);
        // Refused while a machine's clock is wrong: it is offered again.
        let _ = holder.offer(|in_use| directory::accept(&bytes, verify, at, in_use));
    }
}

/// Which certificates a machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Papers {
    /// Those that are good for as long as a run takes.
    #[default]
    Lasting,
    /// Those that expire in the middle of a run.
    Expiring,
    /// Those that a machine with expiring ones gets when they are renewed, over other keys.
    Renewed,
}

/// When [`Papers::Expiring`] expire, in milliseconds after the beginning.
const EXPIRE_AFTER: i64 = 75_000;

/// Certificates with their keys.
struct Bundle {
    tls: Chain,
    signing: Arc<SigningIdentity>,
}

/// Everything that does not change from run to run.
pub struct Scheme {
    papers: BTreeMap<(String, usize), Bundle>,
    root: Ca,
    issuing: Ca,
    crls: Vec<Vec<u8>>,
    directory: Vec<u8>,
    operator: (Arc<dyn Signer>, Chain),
    pub tables: Arc<RoutingTables>,
}

static SCHEME: LazyLock<Scheme> = LazyLock::new(Scheme::make);

/// The scheme.
pub fn scheme() -> &'static Scheme {
    &SCHEME
}

impl Scheme {
    fn make() -> Self {
        let made = BEGINNING.plus(-3 * DAY);
        let entropy = SeededEntropy::new(7);
        let mut seed = 0;
        let mut key = || {
            seed += 1;
            PrivateKey::ed25519(&[seed; 32]).unwrap()
        };
        let root = Ca::new_root("Root", key(), Period::of_root(made), &entropy).unwrap();
        let issuing = root.new_issuing("CA", key(), Period::of_issuing(made), &entropy).unwrap();
        let list = |days: i64| CrlContent {
            number: 1,
            this_update: made,
            next_update: made.plus(days * DAY),
            revoked: Vec::new(),
        };
        let crls = vec![root.crl(&list(90)).unwrap(), issuing.crl(&list(7)).unwrap()];
        let trust = trust_store(&root, &issuing, &crls);
        let mut leaf = |party: &Party, kind, papers| {
            let key = key();
            let mut request = LeafRequest::new(party.clone(), kind, made);
            if papers == Papers::Expiring {
                request.period.not_after = BEGINNING.plus(EXPIRE_AFTER);
            }
            let leaf = issuing.leaf(&request, &key, &entropy).unwrap();
            (Chain::new(vec![leaf, issuing.certificate().clone()]).unwrap(), key)
        };
        let parties = (0..SCHOOL_COUNT).map(school_party);
        let parties = parties.chain((0..AUTHORITIES.len()).map(authority_party));
        let operator = party("operator/sandbox");
        let mut papers = BTreeMap::new();
        let mut operator_key = None;
        let gateways = (0..GATEWAYS.len()).map(gateway_party);
        let parties: Vec<_> = parties.chain(gateways).chain([operator.clone()]).collect();
        let all = [Papers::Lasting, Papers::Expiring, Papers::Renewed];
        // Workers came later, and come last: what is made before them stays what it was.
        let workers: Vec<_> = (0..WORKERS).map(worker_party).collect();
        let all = [parties, workers].into_iter().flat_map(|group| {
            let of = move |which| group.clone().into_iter().map(move |party| (party, which));
            all.into_iter().flat_map(of)
        });
        for (party, which) in all {
            let serves =
                matches!(party.organisation, Organisation::Gateway(_) | Organisation::Authority(_))
                    && party.person.is_none();
            let dns = if serves { vec![format!("host.{DOMAIN}")] } else { Vec::new() };
            let (tls, _) = leaf(&party, LeafKind::Tls { dns }, which);
            let (chain, key) = leaf(&party, LeafKind::Signing, which);
            let verified = trust.verify(&chain, Purpose::Signing, BEGINNING).unwrap();
            let key: Arc<dyn Signer> = Arc::new(key.to_signing_key().unwrap());
            let signing = SigningIdentity::new(Arc::clone(&key), chain.clone(), &verified).unwrap();
            if party == operator && which == Papers::Lasting {
                operator_key = Some((key, chain));
            }
            let bundle = Bundle { tls, signing: Arc::new(signing) };
            papers.insert((party.to_string(), which as usize), bundle);
        }
        let operator = operator_key.unwrap();
        let directory = signed_directory(&operator, 1, Ways::default());
        let tables = Arc::new(RoutingTables::embedded().unwrap());
        Self { papers, root, issuing, crls, directory, operator, tables }
    }

    /// An issue of the directory.
    pub fn issue(&self, version: u64, ways: Ways) -> Vec<u8> {
        signed_directory(&self.operator, version, ways)
    }

    /// A party's chain for connections.
    pub fn tls(&self, party: &Party, which: Papers) -> &Chain {
        &self.papers[&(party.to_string(), which as usize)].tls
    }

    /// A party's means of signing.
    pub fn signing(&self, party: &Party, which: Papers) -> Arc<SigningIdentity> {
        Arc::clone(&self.papers[&(party.to_string(), which as usize)].signing)
    }

    /// Whether a signing certificate is one that expires in the middle of a run.
    pub fn expires(&self, x5t: Digest) -> bool {
        let expiring = Papers::Expiring as usize;
        self.papers.iter().any(|((_, w), b)| *w == expiring && b.signing.x5t() == x5t)
    }

    /// Trust data of a machine with this clock.
    pub fn trust(&self, clock: Arc<dyn Clock>) -> Arc<Trust> {
        Trust::new(trust_store(&self.root, &self.issuing, &self.crls), clock)
    }

    /// The directory as a machine takes it at `at`.
    pub fn directory(&self, trust: &Trust, at: Timestamp) -> Arc<DirectoryHolder> {
        let holder = Arc::new(DirectoryHolder::new(None));
        let verify = |chain: &Chain| trust.store().verify(chain, Purpose::Signing, at);
        let accept = |in_use| directory::accept(&self.directory, verify, at, in_use);
        holder.offer(accept).unwrap();
        holder
    }
}

fn trust_store(root: &Ca, issuing: &Ca, crls: &[Vec<u8>]) -> TrustStore {
    let (root, issuing) = (root.certificate().clone(), issuing.certificate().clone());
    let domain = DOMAIN.parse().unwrap();
    TrustStore::new(domain, TrustScope::Live, vec![root], vec![issuing], crls.to_vec()).unwrap()
}

fn signed_directory((key, chain): &(Arc<dyn Signer>, Chain), version: u64, ways: Ways) -> Vec<u8> {
    let document = serde_json::to_vec(&directory_document(version, ways)).unwrap();
    directory::sign(&document, &party("operator/sandbox"), &**key, chain).unwrap()
}

fn directory_document(version: u64, ways: Ways) -> Value {
    let areas = ["E09000012", "E09000014", "E09000025"];
    let names = ["Hackney", "Haringey", "Newham"];
    let authority = |place: usize| {
        let (code, phone) = (AUTHORITIES[place].code, AUTHORITIES[place].phones.0);
        let mut entry = json!({
            "code": code,
            "name": names[place],
            "areas": [{ "gss": areas[place], "valid_from": "2009-01-01" }],
            "connection": "push",
            "endpoint": format!("https://authority-{code}.{DOMAIN}:8443"),
            "staffed_hours": "mon-fri 09:00-17:00",
            "out_of_hours": "phone_only",
            "contacts": [{
                "kind": "daytime",
                "label": "Multi-agency safeguarding hub",
                "phone": phone,
                "verified_at": "2026-11-02",
                "verified_by": "operator-desk",
            }],
        });
        if ways.events[place] {
            entry["events_endpoint"] = entry["endpoint"].clone();
        }
        if ways.pull[place] {
            entry["connection"] = "pull".into();
            entry.as_object_mut().unwrap().remove("endpoint");
        }
        entry
    };
    let school = |place: usize| {
        let school = &SCHOOLS[place];
        let mut entry =
            json!({ "id": school.id, "name": school.name, "authority": school.authority });
        match school.signs {
            true => entry["signing"] = "signed".into(),
            false => {
                entry["signing"] = "attested".into();
                entry["attested_by"] = json!(GATEWAYS);
            }
        }
        entry
    };
    json!({
        "version": version,
        "issued_at": BEGINNING.plus(-2 * DAY).to_string(),
        "expires_at": BEGINNING.plus(30 * DAY).to_string(),
        "trust_domain": DOMAIN,
        "bank_holidays": ["2026-12-25"],
        "authorities": (0..AUTHORITIES.len()).map(authority).collect::<Vec<_>>(),
        "schools": (0..SCHOOL_COUNT).map(school).collect::<Vec<_>>(),
        "gateways": GATEWAYS.map(|name| {
            json!({ "name": name, "base_url": format!("https://{name}.{DOMAIN}:8443") })
        }),
    })
}
