//! The key ring as a file: one line of JSON, one line that authenticates it (HMAC-SHA-256 under a key
//! that only the KEK opens). Mode 0600; others are refused. Written whole or not at all.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::form::KeyId;
use super::kek::{KekFault, Keks, KeyWrapper};
use super::ring::{DestroyedKey, KeyRing, RingFault, RingKey, Tombstone};
use crate::domain::retention::{Erasure, ErasureReason};
use crate::domain::time::Timestamp;
use crate::effects::files::{self, PRIVATE};

const FORMAT: &str = "ecaf-key-ring-1";
/// A ring of a century with a hundred thousand tombstones is smaller.
const LARGEST: u64 = 64 << 20;

/// Why a key ring cannot be used, for its operator. Names ids, never key bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RingFileFault {
    /// The file cannot be read or written.
    Io(std::io::ErrorKind),
    /// Others than its owner may read the file.
    Readable,
    /// Not a key ring as this program writes it.
    Malformed,
    /// The ring lies under another KEK.
    WrongKek {
        /// Id of the KEK that it lies under.
        wanted: String,
        /// Id of the KEK that was given.
        given: String,
    },
    /// The file was altered, or its parts belong to different rings.
    Altered,
    /// The KEK cannot be used now.
    Kek(KekFault),
    /// An older copy than the one that was read before.
    Older,
    /// Another command is changing the ring.
    Busy,
    /// A change was refused.
    Refused(RingFault),
}

impl fmt::Display for RingFileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RingFileFault::Io(kind) => return write!(f, "{kind}"),
            RingFileFault::Readable => {
                "others than its owner may read this key ring: chmod 600, and ask who did"
            }
            RingFileFault::Malformed => "not a key ring of this program",
            RingFileFault::WrongKek { wanted, given } => {
                return write!(
                    f,
                    "the key ring needs the key-encryption key {wanted}; the one given is {given}"
                );
            }
            RingFileFault::Altered => {
                "the key ring was altered or is damaged: restore it from its backup"
            }
            RingFileFault::Kek(fault) => return fault.fmt(f),
            RingFileFault::Older => {
                "the key ring is older than the one in use: destroyed keys could come back"
            }
            RingFileFault::Busy => "another command is changing the key ring: try again",
            RingFileFault::Refused(fault) => return fault.fmt(f),
        })
    }
}

impl std::error::Error for RingFileFault {}

impl From<std::io::Error> for RingFileFault {
    fn from(fault: std::io::Error) -> Self {
        RingFileFault::Io(fault.kind())
    }
}

impl From<RingFault> for RingFileFault {
    fn from(fault: RingFault) -> Self {
        RingFileFault::Refused(fault)
    }
}

/// Held by the one command that changes a ring, or a store by what the ring says.
#[derive(Debug)]
pub struct RingLock(#[allow(dead_code, reason = "held, not used")] File);

/// Tells one state of the file from another without reading it.
pub(super) type Stamp = (u64, i64, i64, u64);

/// Where a key ring lies.
#[derive(Debug, Clone)]
pub struct RingFile {
    path: PathBuf,
}

impl RingFile {
    /// The ring at `path`, which need not exist yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a new ring; never over one that exists.
    pub fn create(&self, ring: &KeyRing, kek: &dyn KeyWrapper) -> Result<(), RingFileFault> {
        // Crash before the file has its name: there is no ring, and create runs again.
        Ok(files::create(&self.path, &to_bytes(ring, kek)?, PRIVATE)?)
    }

    /// Reads and authenticates the ring.
    pub fn load(&self, keks: &Keks) -> Result<KeyRing, RingFileFault> {
        let found = std::fs::metadata(&self.path)?;
        // Its owner alone, root's group not either: no service manager hands out a ring, it is written here.
        if found.mode() & 0o077 != 0 {
            return Err(RingFileFault::Readable);
        }
        if found.len() > LARGEST {
            return Err(RingFileFault::Malformed);
        }
        from_bytes(&std::fs::read(&self.path)?, keks)
    }

    /// Changes the ring, under [`RingFile::lock`]: one command at a time, whole or not at all.
    ///
    /// Crash before the new file has its name: the change did not happen. After: it did, durably.
    /// `change` sees the ring as it lies on disk now.
    pub fn change<T>(
        &self,
        _lock: &RingLock,
        keks: &Keks,
        now: Timestamp,
        change: impl FnOnce(&mut KeyRing, &dyn KeyWrapper) -> Result<T, RingFault>,
    ) -> Result<T, RingFileFault> {
        let mut ring = self.load(keks)?;
        let find = |id: &str| {
            let unknown = || RingFileFault::WrongKek { wanted: id.to_owned(), given: keks.ids() };
            keks.find(id).ok_or_else(unknown)
        };
        let kek = find(&ring.kek)?;
        let answer = change(&mut ring, kek)?;
        ring.revision += 1;
        ring.written_at = now;
        // It may lie under another KEK than before.
        files::replace(&self.path, &to_bytes(&ring, find(&ring.kek)?)?, PRIVATE)?;
        Ok(answer)
    }

    /// Keeps other commands from changing the ring, or what it decides about, until dropped. The kernel
    /// releases it however the process ends.
    pub fn lock(&self) -> Result<RingLock, RingFileFault> {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".lock");
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(PRIVATE).open(name)?;
        file.try_lock().map_err(|_| RingFileFault::Busy)?;
        self.sweep()?;
        Ok(RingLock(file))
    }

    /// Removes what a change that was cut short has left beside the ring: it holds keys, and nobody would
    /// ever destroy them there.
    fn sweep(&self) -> std::io::Result<()> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty());
        for entry in std::fs::read_dir(folder.unwrap_or(Path::new(".")))? {
            let entry = entry?;
            let found = entry.file_name();
            let rest = found.to_str().and_then(|found| found.strip_prefix(&format!(".{name}.")));
            if rest.is_some_and(|rest| rest.ends_with(".part")) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Changes whenever the file does.
    pub(super) fn stamp(&self) -> Result<Stamp, RingFileFault> {
        let found = std::fs::metadata(&self.path)?;
        Ok((found.ino(), found.mtime(), found.mtime_nsec(), found.len()))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    format: String,
    ring: String,
    revision: u64,
    kek: String,
    written_at: String,
    authentication: String,
    keys: Vec<KeyText>,
    destroyed: Vec<DestroyedText>,
    tombstones: Vec<StoneText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyText {
    id: String,
    period: String,
    created_at: String,
    wrapped: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DestroyedText {
    id: String,
    period: String,
    at: String,
    why: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoneText {
    referral_id: String,
    sha256: String,
    at: String,
    why: String,
}

/// The bytes of the file.
pub fn to_bytes(ring: &KeyRing, kek: &dyn KeyWrapper) -> Result<Vec<u8>, RingFileFault> {
    let text = Text {
        format: FORMAT.into(),
        ring: ring.id.to_string(),
        revision: ring.revision,
        kek: ring.kek.clone(),
        written_at: ring.written_at.to_string(),
        authentication: B64.encode(&ring.authentication),
        keys: ring.keys.iter().map(key_text).collect(),
        destroyed: ring.destroyed.iter().map(destroyed_text).collect(),
        tombstones: ring.tombstones.iter().map(stone_text).collect(),
    };
    let mut bytes = serde_json::to_vec(&text).map_err(|_| RingFileFault::Malformed)?;
    let key = ring.unwrap_authentication(kek).map_err(RingFileFault::Kek)?;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()), &bytes);
    bytes.push(b'\n');
    bytes.extend_from_slice(B64.encode(tag.as_ref()).as_bytes());
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads and authenticates the bytes of a file.
pub fn from_bytes(bytes: &[u8], keks: &Keks) -> Result<KeyRing, RingFileFault> {
    let malformed = RingFileFault::Malformed;
    let text = std::str::from_utf8(bytes).map_err(|_| malformed.clone())?;
    let (body, tag) = text.split_once('\n').ok_or(malformed.clone())?;
    let read: Text = serde_json::from_str(body).map_err(|_| malformed.clone())?;
    if read.format != FORMAT {
        return Err(malformed);
    }
    let Some(kek) = keks.find(&read.kek) else {
        return Err(RingFileFault::WrongKek { wanted: read.kek, given: keks.ids() });
    };
    let ring = ring(read).ok_or(malformed)?;
    let key = match ring.unwrap_authentication(kek) {
        Err(KekFault::DoesNotOpen) => return Err(RingFileFault::Altered),
        other => other.map_err(RingFileFault::Kek)?,
    };
    let tag = tag.strip_suffix('\n').and_then(|tag| B64.decode(tag).ok());
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_slice());
    let genuine = tag.is_some_and(|tag| hmac::verify(&key, body.as_bytes(), &tag).is_ok());
    if genuine { Ok(ring) } else { Err(RingFileFault::Altered) }
}

fn key_text(key: &RingKey) -> KeyText {
    KeyText {
        id: key.id.to_string(),
        period: key.period.to_string(),
        created_at: key.created_at.to_string(),
        wrapped: B64.encode(&key.wrapped),
    }
}

fn destroyed_text(key: &DestroyedKey) -> DestroyedText {
    DestroyedText {
        id: key.id.to_string(),
        period: key.period.to_string(),
        at: key.erasure.at.to_string(),
        why: key.erasure.why.as_str().into(),
    }
}

fn stone_text(stone: &Tombstone) -> StoneText {
    StoneText {
        referral_id: stone.referral_id.to_string(),
        sha256: stone.sha256.to_string(),
        at: stone.erasure.at.to_string(),
        why: stone.erasure.why.as_str().into(),
    }
}

fn ring(text: Text) -> Option<KeyRing> {
    Some(KeyRing {
        id: KeyId::from_hex(&text.ring)?,
        revision: text.revision,
        kek: text.kek,
        written_at: text.written_at.parse().ok()?,
        authentication: B64.decode(text.authentication).ok()?,
        keys: text.keys.into_iter().map(key).collect::<Option<_>>()?,
        destroyed: text.destroyed.iter().map(destroyed).collect::<Option<_>>()?,
        tombstones: text.tombstones.iter().map(stone).collect::<Option<_>>()?,
    })
}

fn key(text: KeyText) -> Option<RingKey> {
    Some(RingKey {
        id: KeyId::from_hex(&text.id)?,
        period: text.period.parse().ok()?,
        created_at: text.created_at.parse().ok()?,
        wrapped: B64.decode(text.wrapped).ok()?,
    })
}

fn destroyed(text: &DestroyedText) -> Option<DestroyedKey> {
    Some(DestroyedKey {
        id: KeyId::from_hex(&text.id)?,
        period: text.period.parse().ok()?,
        erasure: erasure(&text.at, &text.why)?,
    })
}

fn stone(text: &StoneText) -> Option<Tombstone> {
    Some(Tombstone {
        referral_id: text.referral_id.parse().ok()?,
        sha256: text.sha256.parse().ok()?,
        erasure: erasure(&text.at, &text.why)?,
    })
}

fn erasure(at: &str, why: &str) -> Option<Erasure> {
    Some(Erasure { at: at.parse().ok()?, why: ErasureReason::from_name(why)? })
}
