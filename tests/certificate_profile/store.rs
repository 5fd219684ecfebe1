//! What a vector cannot say: reloading, caching, host names, example keys, damage to any byte.

use ecaf::domain::party::Role;
use ecaf::domain::time::{DAY, HOUR};
use ecaf::effects::Signer;
use ecaf::protocol::trust::issue::{CrlContent, LeafKind, Period, PrivateKey, Reason};
use ecaf::protocol::trust::{
    Chain, ChainRefusal, Freshness, Purpose, TrustScope, TrustStore, VerifiedCache, check_role,
    check_server_name, identity, is_example_public_key, pem, rules,
};
use rustls::pki_types::{CertificateDer, ServerName};

use crate::world::{DOMAIN, GATEWAY, SCHOOL, World, client, made, noon, revoked, server};

fn store_of(world: &World, crls: Vec<Vec<u8>>) -> TrustStore {
    TrustStore::new(
        DOMAIN.parse().unwrap(),
        TrustScope::Live,
        vec![world.root.certificate().clone()],
        vec![world.issuing.certificate().clone()],
        crls,
    )
    .unwrap()
}

fn chain_of(leaf: CertificateDer<'static>) -> Chain {
    Chain::presented(vec![leaf]).unwrap()
}

#[test]
fn a_cached_chain_is_refused_as_soon_as_a_reload_revokes_it() {
    let world = World::new(1);
    let leaf = world.leaf(SCHOOL, LeafKind::Signing);
    let chain = chain_of(leaf.clone());
    let before = store_of(&world, vec![world.root_crl(), world.issuing_crl()]);
    let entry = revoked(&leaf, "2026-11-01T00:05:00Z", Reason::KeyCompromise, None);
    let list = CrlContent { number: 2, ..world.content(7, vec![entry]) };
    let after = store_of(&world, vec![world.root_crl(), world.issuing.crl(&list).unwrap()]);
    assert_ne!(before.generation(), after.generation());

    let cache = VerifiedCache::new(8);
    let check = |store| cache.verify(store, &chain, Purpose::Signing, noon());
    assert!(check(&before).is_ok());
    assert_eq!(check(&after), Err(ChainRefusal(rules::REVOKED)));
    assert_eq!(after.revoked_at(&chain), Some(made()));
    assert_eq!(before.revoked_at(&chain), None);
    // And a cached one still expires, and is for one purpose only.
    let late = cache.verify(&before, &chain, Purpose::Signing, made().plus(398 * DAY));
    assert_eq!(late, Err(ChainRefusal(rules::EXPIRED)));
    let other = cache.verify(&before, &chain, Purpose::TlsClient, noon());
    assert_eq!(other, Err(ChainRefusal(rules::WRONG_KEY_USAGE)));
}

#[test]
fn the_cache_stays_within_its_bound() {
    let world = World::new(1);
    let store = store_of(&world, vec![world.root_crl(), world.issuing_crl()]);
    let cache = VerifiedCache::new(3);
    for _ in 0..10 {
        let chain = chain_of(world.leaf(SCHOOL, client()));
        assert!(cache.verify(&store, &chain, Purpose::TlsClient, noon()).is_ok());
        assert!((1..=3).contains(&cache.len()));
    }
}

#[test]
fn a_reload_may_not_go_back_to_an_older_list() {
    let world = World::new(1);
    let newer = CrlContent { number: 2, ..world.content(7, vec![]) };
    let newer = world.issuing.crl(&newer).unwrap();
    let old = store_of(&world, vec![world.root_crl(), world.issuing_crl()]);
    let new = store_of(&world, vec![world.root_crl(), newer]);
    let none = store_of(&world, vec![world.issuing_crl()]);
    assert_eq!(new.check_successor_of(&old), Ok(()));
    assert_eq!(old.check_successor_of(&old), Ok(()));
    let rule = |faults: Vec<ecaf::protocol::trust::TrustFault>| faults[0].rule;
    assert_eq!(old.check_successor_of(&new).map_err(rule), Err(rules::CRL_OLDER));
    assert_eq!(none.check_successor_of(&old).map_err(rule), Err(rules::CRL_OLDER));
}

#[test]
fn freshness_is_that_of_the_worst_list() {
    let world = World::new(1);
    let store = store_of(&world, vec![world.root_crl(), world.issuing_crl()]);
    let next = made().plus(7 * DAY);
    assert_eq!(store.next_update(), Some(next));
    assert_eq!(store.freshness(next.plus(-1)), Freshness::Fresh);
    assert_eq!(store.freshness(next), Freshness::Stale);
    assert_eq!(store.freshness(next.plus(24 * HOUR + 1)), Freshness::TooOld);
    assert_eq!(store_of(&world, vec![world.root_crl()]).freshness(made()), Freshness::Missing);
    let digest = store.crl_digests()[1];
    assert_eq!(store.loaded_crl(&digest).as_deref(), Some(&world.issuing_crl()[..]));
}

#[test]
fn a_server_is_checked_by_name_and_a_party_by_role() {
    let world = World::new(1);
    let store = store_of(&world, vec![world.root_crl(), world.issuing_crl()]);
    let chain = chain_of(world.leaf(GATEWAY, server("gw.demo.ecaf.example")));
    let name = |text: &'static str| ServerName::try_from(text).unwrap();
    assert_eq!(check_server_name(&chain, &name("gw.demo.ecaf.example")), Ok(()));
    for other in ["demo.ecaf.example", "x.gw.demo.ecaf.example", "127.0.0.1"] {
        let refused = Err(ChainRefusal(rules::WRONG_NAME));
        assert_eq!(check_server_name(&chain, &name(other)), refused, "{other}");
    }
    let verified = store.verify(&chain, Purpose::TlsServer, noon()).unwrap();
    assert_eq!(check_role(&verified, &[Role::School, Role::Gateway]), Ok(()));
    assert_eq!(check_role(&verified, &[Role::School]), Err(ChainRefusal(rules::WRONG_ROLE)));
}

#[test]
fn what_is_issued_never_outlives_its_issuer() {
    let world = World::new(1);
    let late = made().plus(4 * 365 * DAY + 300 * DAY);
    let mut request = world.request(SCHOOL, client());
    request.period = Period::of_days(late, 397);
    let key = PrivateKey::generate().unwrap();
    let leaf = world.issuing.leaf(&request, &key, &world.entropy).unwrap();
    let described = ecaf::protocol::trust::describe(&leaf).unwrap();
    assert_eq!(described.not_after, world.issuing.period().not_after);
    request.period = Period::of_days(made().plus(6 * 365 * DAY), 397);
    assert!(world.issuing.leaf(&request, &key, &world.entropy).is_err());
    // A single common second is not a period.
    let end = world.issuing.period().not_after;
    request.period = Period { not_before: end, not_after: end.plus(DAY) };
    assert!(world.issuing.leaf(&request, &key, &world.entropy).is_err());
}

#[test]
fn damage_to_any_byte_of_a_certificate_or_list_is_noticed() {
    let (example, chain) = example(TrustScope::Demo, "school-900001-signing");
    let leaf = chain.leaf().to_vec();
    assert!(example.verify(&chain, Purpose::Signing, noon()).is_ok());
    for at in 0..leaf.len() {
        for flip in [0x01, 0x80] {
            let mut damaged = leaf.clone();
            damaged[at] ^= flip;
            let _ = identity(&damaged);
            let damaged = chain_of(damaged.into());
            assert!(example.verify(&damaged, Purpose::Signing, noon()).is_err(), "byte {at}");
        }
    }
    let world = World::new(1);
    let list = world.issuing_crl();
    for at in 0..list.len() {
        for flip in [0x01, 0x80] {
            let mut damaged = list.clone();
            damaged[at] ^= flip;
            let (root, issuing) = (world.root.certificate(), world.issuing.certificate());
            let store = TrustStore::new(
                DOMAIN.parse().unwrap(),
                TrustScope::Live,
                vec![root.clone()],
                vec![issuing.clone()],
                vec![damaged],
            );
            assert!(store.is_err(), "byte {at}");
        }
    }
}

#[test]
fn the_header_form_is_bounded_and_exact() {
    let world = World::new(1);
    let leaf = world.leaf(SCHOOL, client());
    let chain = Chain::presented(vec![leaf, world.issuing.certificate().clone()]).unwrap();
    let header = chain.to_header();
    assert_eq!(Chain::from_header(&header), Ok(chain));
    assert!(Chain::from_header(&header.replace(',', " , ")).is_ok());
    let one = header.split(',').next().unwrap();
    for (value, rule) in [
        (String::new(), rules::NONE),
        (" ".to_owned(), rules::NONE),
        ([one; 4].join(","), rules::TOO_LONG_CHAIN),
        (",".repeat(100_000), rules::TOO_LONG_CHAIN),
        (format!("{one},"), rules::MALFORMED),
        (one.replace('+', "-").replace('/', "_") + "-", rules::MALFORMED),
        (format!(":{one}:"), rules::MALFORMED),
        ("A".repeat(8_000), rules::MALFORMED),
    ] {
        assert_eq!(Chain::from_header(&value), Err(ChainRefusal(rule)));
    }
}

#[test]
fn no_private_key_is_ever_shown() {
    let key = PrivateKey::generate().unwrap();
    assert_eq!(format!("{key:?}"), "PrivateKey(..)");
    assert!(!format!("{:?}", World::new(1).root).contains("key"));
    let both = [key.to_pem().as_bytes(), key.to_pem().as_bytes()].concat();
    assert!(PrivateKey::from_pem(&both).is_err(), "two keys in one file");
}

fn example_file(path: &str) -> Vec<u8> {
    std::fs::read(std::path::Path::new("certs-example").join(path)).unwrap()
}

fn example(scope: TrustScope, name: &str) -> (TrustStore, Chain) {
    let certificates = |path: &str| pem::certificates(&example_file(path)).unwrap();
    let list = |path: &str| pem::crls(&example_file(path)).unwrap().remove(0);
    let store = TrustStore::new(
        DOMAIN.parse().unwrap(),
        scope,
        certificates("scheme/root.crt"),
        certificates("scheme/issuing.crt"),
        vec![list("scheme/crl/root.crl"), list("scheme/crl/issuing.crl")],
    );
    let chain = Chain::presented(certificates(&format!("parties/{name}.crt"))).unwrap();
    (store.unwrap(), chain)
}

#[test]
fn the_example_set_keeps_the_profile_and_is_for_the_demonstration_only() {
    let files = std::fs::read_dir("certs-example/parties").unwrap();
    let names = files.map(|f| f.unwrap().file_name().into_string().unwrap());
    let names: Vec<_> = names.filter_map(|n| n.strip_suffix(".crt").map(str::to_owned)).collect();
    assert_eq!(names.len(), 16);
    let foreign = World::new(1);
    let live = store_of(&foreign, vec![]);
    for name in names {
        let (store, chain) = example(TrustScope::Demo, &name);
        let only_connects = name.starts_with("school") || name.starts_with("operator");
        let purpose = match (name.ends_with("-tls"), only_connects) {
            (false, _) => Purpose::Signing,
            (true, true) => Purpose::TlsClient,
            (true, false) => Purpose::TlsServer,
        };
        assert!(store.verify(&chain, purpose, noon()).is_ok(), "{name}");
        let refused = live.verify(&chain, purpose, noon());
        assert_eq!(refused, Err(ChainRefusal(rules::EXAMPLE_KEY)), "{name}");
        // The private half fits, signs, and is known for what it is.
        let key = PrivateKey::from_pem(&example_file(&format!("parties/{name}.key"))).unwrap();
        assert!(is_example_public_key(key.public_key()), "{name}");
        assert!(key.to_signing_key().unwrap().sign(b"x").is_ok());
    }
    let roots = pem::certificates(&example_file("scheme/root.crt")).unwrap();
    let live = TrustStore::new(DOMAIN.parse().unwrap(), TrustScope::Live, roots, vec![], vec![]);
    assert_eq!(live.unwrap_err()[0].rule, rules::EXAMPLE_KEY);
}
