//! The sealed form and the key ring as data, so that an auditor's own tool can open a document with
//! database row, key ring and KEK. The vectors in `conformance/sealing/` are made here, byte for byte the
//! same each time; and they are opened here by a second, independent reading of the written form.
//!
//! `ECAF_WRITE_VECTORS=1 cargo test --test sealing_vectors` writes them anew after a change on purpose.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ecaf::domain::ids::ReferralId;
use ecaf::domain::retention::{Erasure, ErasureReason, Period};
use ecaf::domain::time::Timestamp;
use ecaf::effects::SeededEntropy;
use ecaf::protocol::hash::sha256;
use ecaf::store::Document;
use ecaf::store::sealing::{
    Keks, KeyId, KeyRing, LocalKek, Place, Sealed, Tombstone, Vault, from_bytes, is_published,
    to_bytes,
};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde_json::{Value, json};

fn at() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("conformance/sealing/sealed.json")
}

fn id(n: u8) -> ReferralId {
    ReferralId::from_bytes([n; 16])
}

/// The vectors, from fixed seeds.
fn made() -> Value {
    let text = LocalKek::generate(&SeededEntropy::new(1)).unwrap();
    let kek = LocalKek::parse(&text, Box::new(SeededEntropy::new(2))).unwrap();
    let keks = Keks::new(Arc::new(kek), None);
    let kek = keks.find(&keks.ids()).unwrap();
    let months = Period::of(at()).plus_months(2);
    let entropy = SeededEntropy::new(3);
    let mut ring = KeyRing::create(kek, at(), months, &entropy).unwrap();
    let erased = b"a document about somebody else";
    let buried = Place::gateway(id(3), 1, sha256(erased));
    let vault = vault(ring.clone(), &keks);
    let places = [
        (Place::gateway(id(1), 1, sha256(b"{\"a\":1}")), &b"{\"a\":1}"[..]),
        (Place::gateway(id(1), 2, sha256(b"")), b""),
        (Place::authority(id(2), 1, "accountable", sha256(b"{\"b\":2}")), b"{\"b\":2}"),
        (buried.clone(), erased),
    ];
    let documents = places.map(|(place, clear)| {
        let sealed = vault.seal(&place, at(), clear).unwrap();
        let readable = place != buried;
        json!({
            "store": place.store.as_str(),
            "referral_id": place.referral_id.to_string(),
            "version": place.version,
            "purpose": place.purpose,
            "payload_sha256": place.sha256.to_string(),
            "key_id": sealed.key_id.to_string(),
            "wrapped": B64.encode(&sealed.wrapped),
            "body": B64.encode(&sealed.body),
            "expect": if readable {
                json!({ "document": B64.encode(clear) })
            } else {
                json!({ "erased": "misidentified" })
            },
        })
    });
    let erasure = Erasure { at: at(), why: ErasureReason::Misidentified };
    let (referral_id, sha256) = (buried.referral_id, buried.sha256);
    ring.bury([Tombstone { referral_id, sha256, erasure }]);
    json!({
        "about": "Rows of documents, the key ring that they lie under, and its KEK. Everybody has this \
                  KEK: it is refused outside of the demonstration.",
        "kek": text.trim(),
        "kek_id": kek.id(),
        "ring": String::from_utf8(to_bytes(&ring, kek).unwrap()).unwrap(),
        "documents": documents,
    })
}

fn vault(ring: KeyRing, keks: &Keks) -> Vault {
    Vault::of_ring(ring, keks, Arc::new(SeededEntropy::new(4))).unwrap()
}

fn kept() -> Value {
    serde_json::from_slice(&std::fs::read(path()).unwrap()).unwrap()
}

#[test]
fn vectors_are_what_is_made() {
    let made = made();
    if std::env::var_os("ECAF_WRITE_VECTORS").is_some() {
        std::fs::create_dir_all(path().parent().unwrap()).unwrap();
        let text = serde_json::to_string_pretty(&made).unwrap() + "\n";
        std::fs::write(path(), text).unwrap();
    }
    assert_eq!(kept(), made);
    assert!(is_published(made["kek_id"].as_str().unwrap()), "{}", made["kek_id"]);
}

#[test]
fn the_program_opens_them() {
    let vectors = kept();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let kek = LocalKek::parse(&text(&vectors["kek"]), Box::new(SeededEntropy::new(9))).unwrap();
    let keks = Keks::new(Arc::new(kek), None);
    let ring = from_bytes(text(&vectors["ring"]).as_bytes(), &keks).unwrap();
    let vault = vault(ring, &keks);
    let decode = |value: &Value| B64.decode(value.as_str().unwrap()).unwrap();
    for row in vectors["documents"].as_array().unwrap() {
        let (id, version) = (text(&row["referral_id"]), row["version"].as_u64().unwrap() as u32);
        let digest = text(&row["payload_sha256"]).parse().unwrap();
        let place = match text(&row["store"]).as_str() {
            "gateway" => Place::gateway(id.parse().unwrap(), version, digest),
            _ => Place::authority(id.parse().unwrap(), version, text(&row["purpose"]), digest),
        };
        let key_id = KeyId::from_hex(&text(&row["key_id"])).unwrap();
        let sealed =
            Sealed { key_id, wrapped: decode(&row["wrapped"]), body: decode(&row["body"]) };
        match vault.unseal(&place, sealed).unwrap() {
            Document::Kept(bytes) => assert_eq!(bytes, decode(&row["expect"]["document"])),
            Document::Erased(erasure) => {
                assert_eq!(erasure.why.as_str(), text(&row["expect"]["erased"]));
            }
        }
    }
}

/// By the written form alone (`conformance/sealing/README.md`), as somebody else's tool would.
#[test]
fn an_auditors_own_tool_opens_them() {
    let vectors = kept();
    let ring: Value = {
        let text = vectors["ring"].as_str().unwrap();
        serde_json::from_str(text.lines().next().unwrap()).unwrap()
    };
    let decode = |text: &str| B64.decode(text).unwrap();
    let kek = decode(vectors["kek"].as_str().unwrap().strip_prefix("ecaf-kek-1:").unwrap());
    let mut opened = 0;
    for row in vectors["documents"].as_array().unwrap() {
        let Some(expected) = row["expect"]["document"].as_str() else { continue };
        let key_id = row["key_id"].as_str().unwrap();
        let keys = ring["keys"].as_array().unwrap();
        let key = keys.iter().find(|key| key["id"] == key_id).unwrap();
        let (name, month) = (ring["ring"].as_str().unwrap(), key["period"].as_str().unwrap());
        let data = format!("ecaf-ring-1 key {name} {key_id} {month}");
        let period = unwrap(&kek, &decode(key["wrapped"].as_str().unwrap()), data.as_bytes());
        let wrapped = decode(row["wrapped"].as_str().unwrap());
        let own = unwrap(&period, &wrapped, &place(row, "wrapped", &hex(key_id)));
        let body = decode(row["body"].as_str().unwrap());
        let clear = decrypt(&own, [0; 12], &body, &place(row, "body", &[]));
        assert_eq!(clear, decode(expected));
        opened += 1;
    }
    assert_eq!(opened, 3);
}

fn place(row: &Value, column: &str, key: &[u8]) -> Vec<u8> {
    let id: Vec<u8> = hex(&row["referral_id"].as_str().unwrap().replace('-', ""));
    let version = (row["version"].as_u64().unwrap() as u32).to_be_bytes();
    let digest = B64.decode(row["payload_sha256"].as_str().unwrap()).unwrap();
    let text = |name: &str| row[name].as_str().unwrap().as_bytes().to_vec();
    let mut out = Vec::new();
    for part in [
        b"ecaf-sealed-1".to_vec(),
        text("store"),
        b"documents".to_vec(),
        column.into(),
        id,
        version.to_vec(),
        text("purpose"),
        digest,
        key.to_vec(),
    ] {
        out.extend((part.len() as u16).to_be_bytes());
        out.extend(part);
    }
    out
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn unwrap(key: &[u8], wrapped: &[u8], associated: &[u8]) -> Vec<u8> {
    let (nonce, rest) = wrapped.split_first_chunk::<12>().unwrap();
    decrypt(key, *nonce, rest, associated)
}

fn decrypt(key: &[u8], nonce: [u8; 12], sealed: &[u8], associated: &[u8]) -> Vec<u8> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    let mut bytes = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    key.open_in_place(nonce, Aad::from(associated), &mut bytes).unwrap().to_vec()
}
