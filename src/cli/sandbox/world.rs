//! The folder of a sandbox: a scheme with its certificates, a signed directory, and a configuration
//! for each party.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use crate::cli::pki::scheme::Scheme;
use crate::domain::party::{Organisation, Party, TrustDomain};
use crate::domain::retention::Period;
use crate::domain::time::{DAY, Timestamp};
use crate::effects::files::{self, PRIVATE, PUBLIC};
use crate::effects::{Entropy, Signer, SystemEntropy};
use crate::protocol::directory::{self, Header};
use crate::protocol::trust::issue::LeafKind;
use crate::protocol::trust::pem;
use crate::store::sealing::{KeyRing, LocalKek, RingFile};

/// An authority of the sandbox.
#[derive(Debug, Clone, Copy)]
pub struct SandboxAuthority {
    /// DfE code.
    pub code: &'static str,
    /// What its references begin with.
    pub prefix: &'static str,
    /// Invented numbers, from a range that Ofcom keeps for drama: day, night.
    pub phones: (&'static str, &'static str),
}

/// A school of the sandbox.
#[derive(Debug, Clone, Copy)]
pub struct SandboxSchool {
    /// An invented URN.
    pub id: &'static str,
    /// An invented name.
    pub name: &'static str,
    /// The authority in whose area it stands.
    pub authority: &'static str,
    /// Whether it signs; otherwise the gateway attests.
    pub signs: bool,
    /// The one person whose own certificates these are, by an opaque id; none for the school's.
    pub person: Option<&'static str>,
}

impl SandboxSchool {
    fn folder(&self) -> String {
        match self.person {
            Some(person) => format!("school-{}-{person}", self.id),
            None => format!("school-{}", self.id),
        }
    }

    fn party(&self) -> String {
        match self.person {
            Some(person) => format!("school/{}/person/{person}", self.id),
            None => format!("school/{}", self.id),
        }
    }
}

/// The gateway's name.
pub const GATEWAY: &str = "sandbox";

/// The connected authorities.
pub const AUTHORITIES: [SandboxAuthority; 3] = [
    SandboxAuthority { code: "204", prefix: "HAC", phones: ("020 7946 0204", "020 7946 0904") },
    SandboxAuthority { code: "309", prefix: "HGY", phones: ("020 7946 0309", "020 7946 0909") },
    SandboxAuthority { code: "316", prefix: "NEW", phones: ("020 7946 0316", "020 7946 0916") },
];

/// The enrolled schools, and a person of the first: allegations about staff are sent by a person.
pub const SCHOOLS: [SandboxSchool; 4] = [
    SandboxSchool {
        id: "900001",
        name: "Marsh Lane Primary School",
        authority: "309",
        signs: true,
        person: None,
    },
    SandboxSchool {
        id: "900002",
        name: "Lea Bridge Academy",
        authority: "204",
        signs: true,
        person: None,
    },
    SandboxSchool {
        id: "900003",
        name: "St Brannock's Nursery School",
        authority: "316",
        signs: false,
        person: None,
    },
    SandboxSchool {
        id: "900001",
        name: "Marsh Lane Primary School",
        authority: "309",
        signs: true,
        person: Some("dsl-1"),
    },
];

/// The opaque id of the one worker of each authority who has certificates of their own.
pub const WORKER: &str = "worker-1";

/// The opaque id of the designated officer of each authority, who has certificates too.
pub const OFFICER: &str = "lado-1";

/// Months of keys in a sandbox's key rings.
const KEYS_MONTHS: i32 = 24;

const TRUST_DOMAIN: &str = directory::DEMO_TRUST_DOMAIN;

/// A prepared sandbox.
#[derive(Debug, Clone)]
pub struct World {
    folder: PathBuf,
    gateway: Ports,
    authorities: Vec<Ports>,
    /// The authority that opens no endpoint, by its place in [`AUTHORITIES`], if one does so.
    collects: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    parties: SocketAddr,
    operator: SocketAddr,
}

impl World {
    /// Prepares everything in `folder`, which must be empty or missing. `delivery` is put into the
    /// gateway's configuration as its `[delivery]` section.
    pub fn prepare(
        folder: &Path,
        now: Timestamp,
        entropy: &dyn Entropy,
        delivery: &str,
    ) -> Result<Self, String> {
        Self::prepare_with(folder, now, entropy, delivery, None)
    }

    /// The same; the authority at this place in [`AUTHORITIES`] collects from its mailbox.
    pub fn prepare_with(
        folder: &Path,
        now: Timestamp,
        entropy: &dyn Entropy,
        delivery: &str,
        collects: Option<usize>,
    ) -> Result<Self, String> {
        let here = |e: std::io::Error| format!("{}: {e}", folder.display());
        fs::create_dir_all(folder).map_err(here)?;
        // The configurations name absolute paths, so that they work from anywhere.
        let folder = fs::canonicalize(folder).map_err(here)?;
        let mut ports = free_ports(2 * (AUTHORITIES.len() + 1)).map_err(here)?.into_iter();
        let mut pair = || -> Result<Ports, String> {
            let next = ports.next().zip(ports.next());
            let (parties, operator) = next.ok_or("no free ports")?;
            Ok(Ports { parties, operator })
        };
        let gateway = pair()?;
        let authorities = AUTHORITIES.iter().map(|_| pair()).collect::<Result<Vec<_>, _>>()?;
        let world = Self { folder, gateway, authorities, collects };
        world.make(now, entropy, delivery)?;
        Ok(world)
    }

    /// Where everything is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The scheme's root certificate.
    pub fn root(&self) -> PathBuf {
        self.folder.join("scheme/root.crt")
    }

    /// The configuration of the gateway.
    pub fn gateway_config(&self) -> PathBuf {
        self.folder.join("gateway/gateway.toml")
    }

    /// The gateway's address for parties.
    pub fn gateway_address(&self) -> SocketAddr {
        self.gateway.parties
    }

    /// The gateway's operator listener.
    pub fn gateway_operator(&self) -> SocketAddr {
        self.gateway.operator
    }

    /// The configuration of an authority, by its place in [`AUTHORITIES`].
    pub fn authority_config(&self, index: usize) -> PathBuf {
        self.folder.join(format!("authority-{0}/authority.toml", AUTHORITIES[index].code))
    }

    /// An authority's operator listener.
    pub fn authority_operator(&self, index: usize) -> SocketAddr {
        self.authorities[index].operator
    }

    /// An authority's address for gateways.
    pub fn authority_address(&self, index: usize) -> SocketAddr {
        self.authorities[index].parties
    }

    /// The configuration of the worker of an authority, by its place in [`AUTHORITIES`].
    pub fn worker_config(&self, index: usize) -> PathBuf {
        self.person_config(index, &PERSONS[0])
    }

    /// The configuration of the designated officer of an authority.
    pub fn officer_config(&self, index: usize) -> PathBuf {
        self.person_config(index, &PERSONS[1])
    }

    fn person_config(&self, index: usize, person: &Person) -> PathBuf {
        self.folder.join(person.folder(AUTHORITIES[index].code)).join("worker.toml")
    }

    /// The configuration of a school, by its place in [`SCHOOLS`].
    pub fn school_config(&self, index: usize) -> PathBuf {
        self.folder.join(SCHOOLS[index].folder()).join("school.toml")
    }

    fn make(&self, now: Timestamp, entropy: &dyn Entropy, delivery: &str) -> Result<(), String> {
        // Certificates begin a minute ago, as an operator's would who issued them before today.
        let issued = now.plus(-60_000);
        let domain: TrustDomain = TRUST_DOMAIN.parse().map_err(|_| "trust domain")?;
        let folder = self.folder.join("scheme");
        let mut scheme = Scheme::init(&folder, &domain, "Sandbox", issued, entropy)
            .map_err(|f| f.to_string())?;
        let mut leaf = |place: &str, name: &str, party: &str, kind: LeafKind| {
            let folder = self.folder.join(place);
            fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
            let party: Party =
                format!("spiffe://{TRUST_DOMAIN}/{party}").parse().map_err(|_| "party")?;
            let leaf = scheme.issue(party, kind, issued, entropy).map_err(|f| f.to_string())?;
            let certificate = pem::to_pem(leaf.chain.certificates());
            let write = |name: String, bytes: &[u8], mode| {
                files::create(&folder.join(name), bytes, mode).map_err(|e| e.to_string())
            };
            write(format!("{name}.key"), leaf.key.to_pem().as_bytes(), PRIVATE)?;
            write(format!("{name}.crt"), certificate.as_bytes(), PUBLIC)?;
            Ok::<_, String>(leaf)
        };
        let server = || LeafKind::Tls { dns: vec!["localhost".into()] };
        let client = || LeafKind::Tls { dns: Vec::new() };
        leaf("gateway", "tls", &format!("gateway/{GATEWAY}"), server())?;
        leaf("gateway", "signing", &format!("gateway/{GATEWAY}"), LeafKind::Signing)?;
        for authority in AUTHORITIES {
            let place = format!("authority-{}", authority.code);
            let party = format!("authority/{}", authority.code);
            leaf(&place, "tls", &party, server())?;
            leaf(&place, "signing", &party, LeafKind::Signing)?;
            for person in PERSONS {
                let (place, party) =
                    (person.folder(authority.code), format!("{party}/person/{}", person.id));
                leaf(&place, "tls", &party, client())?;
                leaf(&place, "signing", &party, LeafKind::Signing)?;
            }
        }
        for school in SCHOOLS {
            let (place, party) = (school.folder(), school.party());
            leaf(&place, "tls", &party, client())?;
            if school.signs {
                leaf(&place, "signing", &party, LeafKind::Signing)?;
            }
        }
        let operator = leaf("operator", "signing", "operator/sandbox", LeafKind::Signing)?;
        let key = operator.key.to_signing_key().map_err(|f| f.to_string())?;
        self.sign_directory(1, now, &key, &operator.chain)?;
        self.create_keys("gateway", issued, entropy)?;
        for authority in AUTHORITIES {
            self.create_keys(&format!("authority-{}", authority.code), issued, entropy)?;
        }
        self.write_configs(delivery).map_err(|e| e.to_string())
    }

    /// A key-encryption key and a key ring of a party, each in a folder of its own.
    fn create_keys(
        &self,
        place: &str,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<(), String> {
        let folder = self.folder.join(place);
        for name in ["kek", "keys"] {
            fs::create_dir_all(folder.join(name)).map_err(|e| e.to_string())?;
        }
        let text = LocalKek::generate(entropy).map_err(|e| e.to_string())?;
        files::create(&folder.join("kek/kek"), text.as_bytes(), PRIVATE)
            .map_err(|e| e.to_string())?;
        let kek = LocalKek::parse(&text, Box::new(SystemEntropy::default()));
        let kek = kek.map_err(|e| e.to_string())?;
        let until = Period::of(now).plus_months(KEYS_MONTHS);
        let ring = KeyRing::create(&kek, now, until, entropy).map_err(|e| e.to_string())?;
        RingFile::at(folder.join("keys/ring")).create(&ring, &kek).map_err(|e| e.to_string())
    }

    /// Builds and signs issue `version` of the directory.
    fn sign_directory(
        &self,
        version: u64,
        now: Timestamp,
        key: &dyn Signer,
        chain: &crate::protocol::trust::Chain,
    ) -> Result<(), String> {
        let domain: TrustDomain = TRUST_DOMAIN.parse().map_err(|_| "trust domain")?;
        let overlay = self.overlay(now).map_err(|e| e.to_string())?;
        let path = self.folder.join("directory.overlay.toml");
        files::replace(&path, overlay.as_bytes(), PUBLIC).map_err(|e| e.to_string())?;
        let overlay = directory::read_overlay(&overlay).map_err(|e| e.to_string())?;
        let header = Header {
            version,
            issued_at: now.plus(-60_000),
            expires_at: now.plus(30 * DAY),
            trust_domain: domain.clone(),
        };
        let (built, _) = directory::build(header, overlay, None).map_err(|f| format!("{f:?}"))?;
        let operator = "sandbox".parse().map_err(|_| "operator")?;
        let party = Party::organisation(domain, Organisation::Operator(operator));
        let document = directory::write_json(&built);
        let signed = directory::sign(&document, &party, key, chain).map_err(|f| f.to_string())?;
        let path = self.folder.join("directory.signed.json");
        files::replace(&path, &signed, PUBLIC).map_err(|e| e.to_string())
    }

    fn overlay(&self, now: Timestamp) -> Result<String, std::fmt::Error> {
        let mut toml = String::new();
        let port = self.gateway.parties.port();
        writeln!(
            toml,
            "[[gateways]]\nname = \"{GATEWAY}\"\nbase_url = \"https://localhost:{port}\""
        )?;
        let (verified, _) = now.plus(-DAY).in_england();
        for (index, (authority, ports)) in AUTHORITIES.iter().zip(&self.authorities).enumerate() {
            let (code, (day, night)) = (authority.code, authority.phones);
            let port = ports.parties.port();
            let way = match self.collects {
                Some(collects) if collects == index => "connection = \"pull\"".to_owned(),
                _ => format!("connection = \"push\"\nendpoint = \"https://localhost:{port}\""),
            };
            writeln!(
                toml,
                "[[authorities]]\ncode = \"{code}\"\n{way}\nstaffed_hours = \"mon-fri 09:00-17:00\"\n\
                 out_of_hours = \"phone_only\"\ndesignated_officers = [\"{OFFICER}\"]"
            )?;
            for (kind, label, phone) in [
                ("daytime", "Multi-agency safeguarding hub", day),
                ("out_of_hours", "Emergency duty team", night),
            ] {
                writeln!(
                    toml,
                    "[[authorities.contacts]]\nkind = \"{kind}\"\nlabel = \"{label}\"\n\
                     phone = \"{phone}\"\nverified_at = \"{verified}\"\nverified_by = \"sandbox\""
                )?;
            }
        }
        for school in SCHOOLS.iter().filter(|s| s.person.is_none()) {
            let (id, name, authority) = (school.id, school.name, school.authority);
            writeln!(
                toml,
                "[[schools]]\nid = \"{id}\"\nname = \"{name}\"\nauthority = \"{authority}\""
            )?;
            match school.signs {
                true => writeln!(toml, "signing = \"signed\"")?,
                false => writeln!(toml, "signing = \"attested\"\nattested_by = [\"{GATEWAY}\"]")?,
            }
        }
        Ok(toml)
    }

    fn write_configs(&self, delivery: &str) -> std::io::Result<()> {
        let common = format!(
            "[trust]\ndomain = \"{TRUST_DOMAIN}\"\nroots = \"../scheme/root.crt\"\n\
             issuing = \"../scheme/issuing.crt\"\ncrls = \"../scheme/crl\"\nreload_every = \"1s\"\n"
        );
        let tls = "[identity]\ntls_certificate = \"tls.crt\"\ntls_key = \"tls.key\"\n";
        let signing = "signing_certificate = \"signing.crt\"\nsigning_key = \"signing.key\"\n";
        let keys = "[keys]\nring = \"keys/ring\"\nkek = \"kek/kek\"\n";
        let directory = "[directory]\nfile = \"../directory.signed.json\"\n";
        let listen = |kind: &str, ports: &Ports| {
            let (parties, operator) = (ports.parties, ports.operator);
            format!(
                "kind = \"{kind}\"\ndemo = true\nlisten = \"{parties}\"\n\
                 operator_listen = \"{operator}\"\n"
            )
        };
        // One machine plays all parties here, so the limits per address and party are off the way.
        let limits = "[limits]\nhandshakes = 4096\nconnections_per_address = 4096\n\
                      connections_per_party = 4096\n\
                      handshake_rate = 100000\nhandshake_burst = 100000\nparty_rate = 100000\n\
                      party_burst = 100000\nconcurrency = 1024\nparty_concurrency = 1024\n";
        let gateway = listen("gateway", &self.gateway);
        let text = format!(
            "{gateway}{common}{tls}{signing}{directory}[store]\npath = \"gateway.db\"\n\
             {keys}[delivery]\n{delivery}\n{limits}"
        );
        files::create(&self.gateway_config(), text.as_bytes(), PUBLIC)?;
        for (index, (authority, ports)) in AUTHORITIES.iter().zip(&self.authorities).enumerate() {
            let (top, code, prefix) =
                (listen("authority", ports), authority.code, authority.prefix);
            let mailbox = match self.collects {
                Some(collects) if collects == index => self.mailbox(),
                _ => String::new(),
            };
            let text = format!(
                "{top}code = \"{code}\"\nreference_prefix = \"{prefix}\"\n{common}{tls}{signing}\
                 {directory}[store]\npath = \"inbox.db\"\n{keys}{limits}{mailbox}"
            );
            let text = match mailbox.is_empty() {
                true => text,
                // Nobody connects to it.
                false => text
                    .lines()
                    .filter(|line| !line.starts_with("listen = "))
                    .fold(String::new(), |text, line| text + line + "\n"),
            };
            files::create(&self.authority_config(index), text.as_bytes(), PUBLIC)?;
        }
        let mailbox = self.mailbox();
        let member = |kind: &str, signing: &str| {
            format!(
                "kind = \"{kind}\"\ndemo = true\nstate_dir = \"state\"\n{mailbox}{common}{tls}{signing}"
            )
        };
        for (index, school) in SCHOOLS.iter().enumerate() {
            let text = member("school", if school.signs { signing } else { "" });
            files::create(&self.school_config(index), text.as_bytes(), PUBLIC)?;
        }
        for index in 0..AUTHORITIES.len() {
            for (person, file) in
                PERSONS.iter().zip([self.worker_config(index), self.officer_config(index)])
            {
                let text = format!("{}{}", member("worker", signing), person.speaks);
                files::create(&file, text.as_bytes(), PUBLIC)?;
            }
        }
        Ok(())
    }
}

impl World {
    /// Where to ask for what is for oneself.
    fn mailbox(&self) -> String {
        let port = self.gateway.parties.port();
        format!(
            "[gateway]\nurl = \"https://localhost:{port}\"\n\
             identity = \"spiffe://{TRUST_DOMAIN}/gateway/{GATEWAY}\"\n"
        )
    }
}

/// Somebody at an authority with certificates of their own.
struct Person {
    id: &'static str,
    /// Who speaks there: invented.
    speaks: &'static str,
}

const PERSONS: [Person; 2] = [
    Person {
        id: WORKER,
        speaks: "[person]\nname = \"Ada Example\"\nrole = \"Social worker\"\nphone = \"020 7946 0123\"\n",
    },
    Person {
        id: OFFICER,
        speaks: "[person]\nname = \"Di Example\"\nrole = \"Designated officer (LADO)\"\n\
                 phone = \"020 7946 0124\"\n",
    },
];

impl Person {
    fn folder(&self, authority: &str) -> String {
        format!("authority-{authority}-{}", self.id)
    }
}

/// Free ports of the loopback. Held together while they are chosen, so that they differ; another
/// program could take one before ours does, and the start then says so.
fn free_ports(count: usize) -> std::io::Result<Vec<SocketAddr>> {
    let listeners: Vec<_> = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<_, _>>()?;
    listeners.iter().map(TcpListener::local_addr).collect()
}
