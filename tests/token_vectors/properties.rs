//! What holds for every token, not only for those of the vectors.

use ecaf::domain::ids::{Digest, ReferralId};
use ecaf::domain::party::{DfeCode, Party};
use ecaf::domain::time::Timestamp;
use ecaf::protocol::jws::Unverified;
use ecaf::protocol::tokens::{
    Accepted, Audience, BrokenRule, Delivered, DispatchNote, Event, Purpose, Recorded, Refused,
    SET_TYPE, SecurityEvent, SenderKind, Subject, Transfer,
};
use ecaf::protocol::trust::VerifiedChain;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::thread::Plan;
use crate::world::{World, noon, party};

fn signer(world: &World, name: &str) -> VerifiedChain {
    let chain = &world.actor(name).chain;
    world.trust().verify(chain, ecaf::protocol::trust::Purpose::Signing, noon()).unwrap()
}

/// A token with any one bit of it changed, with any byte left out or twice, and any beginning of it,
/// does not verify: for a signature that is deterministic and for one that is not.
pub fn no_changed_token_verifies(world: &World) {
    for name in ["school", "school-es256"] {
        let mut plan = Plan::new();
        plan.submission.signer = name;
        let token = plan.sign(world).submission;
        let signer = signer(world, name);
        let verifies = |bytes: &[u8]| {
            let Ok(text) = std::str::from_utf8(bytes) else { return false };
            Unverified::parse(text).is_ok_and(|t| t.verify("ecaf-submission+jwt", &signer).is_ok())
        };
        assert!(verifies(token.as_bytes()));
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            for bit in 0..8 {
                changed[at] ^= 1 << bit;
                assert!(!verifies(&changed), "{name} byte {at} bit {bit}");
                changed[at] ^= 1 << bit;
            }
            let byte = changed.remove(at);
            // Of two equal neighbours it does not matter which is left out.
            assert!(!verifies(&changed), "{name} without byte {at}");
            changed.insert(at, byte);
            changed.insert(at, byte);
            assert!(!verifies(&changed), "{name} byte {at} twice");
            assert!(!verifies(&token.as_bytes()[..at]), "{name} cut at {at}");
        }
    }
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest::from_bytes)
}

/// From 1970 to 9999.
fn time() -> impl Strategy<Value = Timestamp> {
    (0..253_402_300_800_000_i64).prop_map(Timestamp::from_millis)
}

fn somebody() -> impl Strategy<Value = Party> {
    prop_oneof![
        "[a-z0-9][a-z0-9-]{0,20}[a-z0-9]".prop_map(|id| party(&format!("school/{id}"))),
        "[a-z0-9]{1,12}".prop_map(|id| party(&format!("school/900001/person/{id}"))),
        "[0-9]{3}".prop_map(|code| party(&format!("authority/{code}"))),
        "[a-z][a-z0-9]{0,20}".prop_map(|name| party(&format!("gateway/{name}"))),
    ]
}

fn code() -> impl Strategy<Value = DfeCode> {
    "[0-9]{3}".prop_map(|code| code.parse().unwrap())
}

/// Signs a statement and reads it again: the same, and for nobody else.
fn round_trips<E: Event + PartialEq + std::fmt::Debug + Clone>(
    world: &World,
    signer: &VerifiedChain,
    event: E,
    (id, reader, now): (Option<[u8; 16]>, Party, Timestamp),
) -> Result<(), TestCaseError> {
    let said = SecurityEvent {
        iss: signer.party().clone(),
        aud: vec![Audience::Party(reader.clone())],
        iat: now.seconds(),
        jti: "00000000-0000-4000-8000-000000000001".into(),
        sub_id: id.map(|id| Subject(ReferralId::from_bytes(id))),
        event,
    };
    let jws = said.sign(&*world.actor("gateway").key, signer.x5t()).unwrap();
    let token = Unverified::parse(&jws).unwrap().verify(SET_TYPE, signer).unwrap();
    prop_assert_eq!(&SecurityEvent::<E>::read(&token, Some(&reader)).unwrap(), &said);
    prop_assert_eq!(&SecurityEvent::<E>::read(&token, None).unwrap(), &said);
    let stranger = party("school/nobody-else");
    if reader != stranger {
        prop_assert!(SecurityEvent::<E>::read(&token, Some(&stranger)).is_err());
    }
    // One event is never read as another.
    let read_as = [
        SecurityEvent::<Accepted>::read(&token, None).is_ok(),
        SecurityEvent::<DispatchNote>::read(&token, None).is_ok(),
        SecurityEvent::<Delivered>::read(&token, None).is_ok(),
        SecurityEvent::<Recorded>::read(&token, None).is_ok(),
        SecurityEvent::<Refused>::read(&token, None).is_ok(),
    ];
    prop_assert_eq!(read_as.into_iter().filter(|ok| *ok).count(), 1);
    Ok(())
}

pub fn every_statement_round_trips(world: &World) {
    let signer = &signer(world, "gateway");
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    let run = || TestRunner::new(config.clone());
    let head = || (proptest::option::of(any::<[u8; 16]>()), somebody(), time());
    let text = "\\PC{0,40}";
    let three = || (digest(), digest(), digest());

    let accepted = (any::<(u32, u64, u64)>(), time(), three(), somebody(), code(), text);
    let also = proptest::collection::vec(code(), 0..4);
    run()
        .run(
            &(accepted, also, head()),
            |((numbers, at, digests, sender, code, text), also, head)| {
                let event = Accepted {
                    version: numbers.0,
                    position: numbers.1,
                    recorded_at: at,
                    previous_sha256: (numbers.1 > 1).then_some(digests.1),
                    submission_sha256: digests.0,
                    payload_sha256: digests.1,
                    sender,
                    authority: code,
                    routing_rule: text.clone(),
                    directory_version: numbers.2,
                    postcode_table: text.clone(),
                    revocation: text,
                    also_ring: also,
                };
                round_trips(world, signer, event, head)
            },
        )
        .unwrap();

    let purposes = [Purpose::Accountable, Purpose::Linked, Purpose::CaseHolding, Purpose::Transfer];
    let kinds = [SenderKind::Signed, SenderKind::Attested];
    let note =
        (any::<(u32, u64, bool)>(), 0..4_usize, 0..2_usize, time(), three(), somebody(), text);
    run()
        .run(&(note, head()), |((numbers, purpose, kind, at, digests, sender, text), head)| {
            let event = DispatchNote {
                version: numbers.0,
                purpose: purposes[purpose],
                routing_rule: text.clone(),
                routing_to_confirm: numbers.2,
                accepted_sha256: digests.0,
                submission_sha256: digests.1,
                payload_sha256: digests.2,
                sender,
                sender_kind: kinds[kind],
                recorded_at: at,
                directory_version: numbers.1,
                postcode_table: text,
                transfer: (purposes[purpose] == Purpose::Transfer)
                    .then_some(Transfer { proposal_sha256: digests.0, proposed_at: at }),
            };
            round_trips(world, signer, event, head)
        })
        .unwrap();

    run()
        .run(&(any::<u32>(), three(), "[ -~]{1,64}", time(), head()), |case| {
            let (version, digests, reference, stored_at, head) = case;
            let (note_sha256, payload_sha256) = (digests.0, digests.1);
            let event = Delivered { version, note_sha256, payload_sha256, reference, stored_at };
            round_trips(world, signer, event, head)
        })
        .unwrap();

    run()
        .run(&(any::<u64>(), three(), time(), head()), |(position, digests, recorded_at, head)| {
            let (event_sha256, previous_sha256) = (digests.0, (position > 1).then_some(digests.1));
            let event = Recorded { position, event_sha256, previous_sha256, recorded_at };
            round_trips(world, signer, event, head)
        })
        .unwrap();

    let rule = (text, text).prop_map(|(rule, pointer)| BrokenRule { rule, pointer });
    let rules = proptest::collection::vec(rule, 0..Refused::MOST_RULES);
    run()
        .run(&(digest(), text, rules, any::<u64>(), head()), |case| {
            let (request_sha256, culprit, rules, unlisted, head) = case;
            let event = Refused { request_sha256, culprit, rules, unlisted };
            round_trips(world, signer, event, head)
        })
        .unwrap();
}
