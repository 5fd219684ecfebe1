//! The folder of a scheme CA.
//!
//! | path | what | may be taken offline |
//! |---|---|---|
//! | `root.crt`, `root.key` | the root | the key: yes, it is needed once a quarter |
//! | `issuing.crt`, `issuing.key` | the issuing CA | no |
//! | `issued/<serial>.crt`, `issued/index.jsonl` | every leaf, and what happened to it | no |
//! | `crl/root.crl`, `crl/issuing.crl` | the current revocation lists | no |

use std::fs;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;

use super::Failure;
use super::index::{Index, Issued, hex};
use crate::domain::party::{Party, TrustDomain};
use crate::domain::time::{DAY, Timestamp};
use crate::effects::Entropy;
use crate::effects::files::{self, PRIVATE, PUBLIC};
use crate::protocol::trust::issue::{
    Ca, CrlContent, LeafKind, LeafRequest, Period, PrivateKey, Reason, Revoked,
};
use crate::protocol::trust::{
    Chain, ISSUING_CRL_DAYS, ROOT_CRL_DAYS, TrustScope, TrustStore, pem, serial,
};

/// An existing scheme folder, locked while in use.
pub(crate) struct Scheme {
    folder: PathBuf,
    index: Index,
    trust_domain: TrustDomain,
    issuing: Ca,
}

/// A new leaf with its key.
pub(crate) struct NewLeaf {
    pub chain: Chain,
    pub key: PrivateKey,
    pub serial: String,
}

impl Scheme {
    /// Makes a folder with a new root, issuing CA and empty lists. Fails if there is one.
    pub fn init(
        folder: &Path,
        trust_domain: &TrustDomain,
        name: &str,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Self, Failure> {
        for part in ["issued", "crl"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).map_err(|e| Failure::fault(&part, &e))?;
        }
        // First of all, so that of two at the same time one fails before it has made anything.
        let mut index = Index::open(&index_path(folder), true)?;
        let (root_key, issuing_key) = (PrivateKey::generate()?, PrivateKey::generate()?);
        create(&folder.join("root.key"), root_key.to_pem().as_bytes(), PRIVATE)?;
        create(&folder.join("issuing.key"), issuing_key.to_pem().as_bytes(), PRIVATE)?;
        let root = Ca::new_root(&format!("{name} root"), root_key, Period::of_root(now), entropy)?;
        let issuing_name = format!("{name} issuing CA");
        let issuing =
            root.new_issuing(&issuing_name, issuing_key, Period::of_issuing(now), entropy)?;
        for (file, ca) in [("root.crt", &root), ("issuing.crt", &issuing)] {
            create(&folder.join(file), pem::to_pem([ca.certificate()]).as_bytes(), PUBLIC)?;
        }
        index.made(trust_domain, now)?;
        drop(index);
        let mut scheme = Self::open(folder)?;
        scheme.renew_lists(now)?;
        Ok(scheme)
    }

    /// Opens a folder and waits for its lock.
    pub fn open(folder: &Path) -> Result<Self, Failure> {
        let index = Index::open(&index_path(folder), false)?;
        let trust_domain = index.record.trust_domain.clone().ok_or_else(|| {
            Failure::input(folder, "this scheme was not made to the end; begin in another folder")
        })?;
        let issuing = load_ca(folder, "issuing")?;
        Ok(Self { folder: folder.to_owned(), index, trust_domain, issuing })
    }

    /// The trust domain of the scheme.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// A new key and a leaf for it. Noted before it is returned.
    pub fn issue(
        &mut self,
        party: Party,
        kind: LeafKind,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<NewLeaf, Failure> {
        let key = PrivateKey::generate()?;
        let request = LeafRequest::new(party, kind, now);
        let leaf = self.issuing.leaf(&request, &key, entropy)?;
        let serial = hex(&serial(&leaf)?);
        let issued = Issued { serial: serial.clone(), party: request.party, kind: request.kind };
        self.index.issued(&issued, now)?;
        let certificates = vec![leaf, self.issuing.certificate().clone()];
        let path = self.folder.join("issued").join(format!("{serial}.crt"));
        create(&path, pem::to_pem(&certificates).as_bytes(), PUBLIC)?;
        Ok(NewLeaf { chain: Chain::presented(certificates)?, key, serial })
    }

    /// What the record says about a leaf of this scheme.
    pub fn find(&self, serial: &str) -> Option<&Issued> {
        self.index.record.issued.iter().find(|issued| issued.serial == serial)
    }

    /// Revokes a certificate of this scheme from now on, and makes the lists that say so.
    pub fn revoke(
        &mut self,
        serial_number: &[u8],
        reason: Reason,
        invalid_from: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let name = hex(serial_number);
        let is_issuing = serial(self.issuing.certificate())? == serial_number;
        if !is_issuing && self.find(&name).is_none() {
            return Err(Failure::No(format!("{name} was not issued by this scheme")));
        }
        if self.index.record.revoked.iter().any(|r| r.serial == serial_number) {
            return Err(Failure::No(format!("{name} is revoked already, and stays so")));
        }
        let at = Timestamp::from_seconds(now.seconds());
        if invalid_from.is_some_and(|from| from > at) {
            return Err(Failure::Usage("the invalidity date lies in the future".to_owned()));
        }
        if is_issuing && !self.folder.join("root.key").exists() {
            return Err(Failure::Usage(
                "the root's key is needed to revoke the issuing CA: put root.key back".to_owned(),
            ));
        }
        let serial = serial_number.to_vec();
        self.index.revoked(&Revoked { serial, at, reason, invalid_from })?;
        self.renew_lists(now).map(drop)
    }

    /// Makes new lists: the issuing CA's always, the root's when its key is in the folder. Gives
    /// the paths of those made.
    pub fn renew_lists(&mut self, now: Timestamp) -> Result<Vec<PathBuf>, Failure> {
        let now = Timestamp::from_seconds(now.seconds());
        let number = self.index.next_crl_number(now)?;
        let issuing_serial = serial(self.issuing.certificate())?;
        let (of_root, of_issuing): (Vec<_>, Vec<_>) =
            self.index.record.revoked.iter().cloned().partition(|r| r.serial == issuing_serial);
        let content = |days: i64, revoked| CrlContent {
            number,
            this_update: now,
            next_update: now.plus(days * DAY),
            revoked,
        };
        let mut lists =
            vec![("issuing", self.issuing.crl(&content(ISSUING_CRL_DAYS, of_issuing))?)];
        if self.folder.join("root.key").exists() {
            let root = load_ca(&self.folder, "root")?;
            lists.push(("root", root.crl(&content(ROOT_CRL_DAYS, of_root))?));
        }
        let mut paths = Vec::new();
        for (name, der) in lists {
            let path = crl_path(&self.folder, name);
            files::replace(&path, pem::crl_to_pem(&der).as_bytes(), PUBLIC)
                .map_err(|e| Failure::fault(&path, &e))?;
            paths.push(path);
        }
        Ok(paths)
    }
}

/// What verifiers trust according to a folder: `root.crt`, `issuing.crt`, the lists in `crl/`. Keys
/// and record need not be there. `Demo` accepts example keys.
pub(crate) fn trust_store(
    folder: &Path,
    trust_domain: &TrustDomain,
    scope: TrustScope,
) -> Result<TrustStore, Failure> {
    let root = one_certificate(&folder.join("root.crt"))?;
    let issuing = one_certificate(&folder.join("issuing.crt"))?;
    let mut crls = Vec::new();
    for name in ["root", "issuing"] {
        let path = crl_path(folder, name);
        let text = fs::read(&path).map_err(|e| Failure::file(&path, &e))?;
        crls.extend(pem::crls(&text).map_err(|e| Failure::input(&path, &e.to_string()))?);
    }
    TrustStore::new(trust_domain.clone(), scope, vec![root], vec![issuing], crls).map_err(
        |faults| {
            let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
            Failure::input(folder, &lines.join("\n"))
        },
    )
}

fn crl_path(folder: &Path, name: &str) -> PathBuf {
    folder.join("crl").join(format!("{name}.crl"))
}

fn index_path(folder: &Path) -> PathBuf {
    folder.join("issued").join("index.jsonl")
}

fn create(path: &Path, content: &[u8], mode: u32) -> Result<(), Failure> {
    files::create(path, content, mode).map_err(|e| Failure::file(path, &e))
}

fn one_certificate(path: &Path) -> Result<CertificateDer<'static>, Failure> {
    let text = fs::read(path).map_err(|e| Failure::file(path, &e))?;
    let all = pem::certificates(&text).map_err(|e| Failure::input(path, &e.to_string()))?;
    all.into_iter().next().ok_or_else(|| Failure::input(path, "holds no certificate"))
}

fn load_ca(folder: &Path, name: &str) -> Result<Ca, Failure> {
    let certificate = one_certificate(&folder.join(format!("{name}.crt")))?;
    let path = folder.join(format!("{name}.key"));
    let text = files::read_private(&path).map_err(|e| Failure::file(&path, &e))?;
    let key = PrivateKey::from_pem(&text)?;
    Ok(Ca::load(certificate, key)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::SystemEntropy;
    use crate::protocol::trust::{ChainRefusal, Purpose, rules};

    #[test]
    fn a_scheme_issues_renews_and_revokes() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("scheme");
        let now: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        let domain: TrustDomain = "demo.ecaf.example".parse().unwrap();
        let entropy = SystemEntropy::default();
        drop(Scheme::init(&folder, &domain, "Test", now, &entropy).unwrap());
        let again = Scheme::init(&folder, &domain, "Test", now, &entropy).map(drop);
        assert!(matches!(again, Err(Failure::Usage(_))), "a scheme is never made over another");

        let party: Party = "spiffe://demo.ecaf.example/school/900001".parse().unwrap();
        let mut scheme = Scheme::open(&folder).unwrap();
        let old = scheme.issue(party.clone(), LeafKind::Signing, now, &entropy).unwrap();
        let later = now.plus(5 * DAY);
        let new = scheme.issue(party, LeafKind::Signing, later, &entropy).unwrap();
        assert!(scheme.find(&old.serial).is_some());
        let check = |chain: &Chain, at| {
            let store = trust_store(&folder, &domain, TrustScope::Live).unwrap();
            store.verify(chain, Purpose::Signing, at).map(drop)
        };
        assert_eq!(check(&old.chain, later), Ok(()));
        assert_eq!(check(&new.chain, later), Ok(()), "both are good at once");

        let number = serial(old.chain.leaf()).unwrap();
        scheme.revoke(&number, Reason::KeyCompromise, None, later).unwrap();
        assert_eq!(check(&old.chain, later), Err(ChainRefusal(rules::REVOKED)));
        assert_eq!(check(&old.chain, later.plus(-1)), Ok(()));
        assert_eq!(check(&new.chain, later), Ok(()));
        let again = scheme.revoke(&number, Reason::Superseded, None, later);
        assert!(matches!(again, Err(Failure::No(_))));
        let foreign = scheme.revoke(&[1; 16], Reason::Superseded, None, later);
        assert!(matches!(foreign, Err(Failure::No(_))));
        drop(scheme);

        // Without the root's key the issuing CA's list is still made, with the revocation in it.
        fs::rename(folder.join("root.key"), folder.join("elsewhere.key")).unwrap();
        let next = later.plus(5 * DAY);
        let mut scheme = Scheme::open(&folder).unwrap();
        assert_eq!(scheme.renew_lists(next).unwrap().len(), 1);
        assert_eq!(check(&old.chain, next), Err(ChainRefusal(rules::REVOKED)));
        assert_eq!(check(&new.chain, next), Ok(()));
        let issuing = serial(scheme.issuing.certificate()).unwrap();
        assert!(scheme.revoke(&issuing, Reason::CaCompromise, None, next).is_err());
        fs::rename(folder.join("elsewhere.key"), folder.join("root.key")).unwrap();
        scheme.revoke(&issuing, Reason::CaCompromise, None, next).unwrap();
        assert_eq!(check(&new.chain, next), Err(ChainRefusal(rules::REVOKED)));
    }

    #[test]
    fn a_damaged_record_is_told_and_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let now: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        let domain: TrustDomain = "demo.ecaf.example".parse().unwrap();
        let scheme =
            Scheme::init(folder.path(), &domain, "Test", now, &SystemEntropy::default()).unwrap();
        drop(scheme);
        let path = index_path(folder.path());
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 5]).unwrap();
        assert!(matches!(Scheme::open(folder.path()).map(drop), Err(Failure::Usage(_))));
    }
}
