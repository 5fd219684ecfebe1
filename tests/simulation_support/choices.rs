//! What a person says next, as the referral stands. Mostly what fits; whether it does is for the gateway to
//! judge, because others speak meanwhile.

use ecaf::cli::sandbox::AUTHORITIES;
use ecaf::domain::case::EventKind as K;
use ecaf::party::look::{Event, State};
use ecaf::party::say::Saying;
use serde_json::{Value, json};

use super::scheduler::Random;

/// Words that nobody else says.
fn words(r: &mut Random) -> String {
    format!("Word {:016x}.", r.number())
}

fn named() -> Value {
    json!({"name": "Ada Example", "role": "Social worker", "phone": "01632 960123"})
}

fn last(state: &State, kind: K) -> Option<&Event> {
    state.events.iter().rev().find(|event| event.event == kind.name())
}

/// An event of this kind that nothing answers yet.
fn unanswered(state: &State, kind: K, answers: &[K]) -> Option<u64> {
    let answered = |event: &Event| {
        state.events.iter().any(|other| {
            other.answers == Some(event.position) && answers.iter().any(|a| a.name() == other.event)
        })
    };
    let open = state.events.iter().rev().find(|e| e.event == kind.name() && !answered(e));
    open.map(|event| event.position)
}

/// A worker of the authority with this code.
pub fn worker(r: &mut Random, state: &State, code: &str) -> Option<Saying> {
    let by_us = |event: &&Event| event.by.contains(&format!("/authority/{code}"));
    let done = |kind: K| state.events.iter().filter(by_us).any(|e| e.event == kind.name());
    let holds = state.authority.code == code;
    let (opened, acknowledged) = (done(K::Opened), done(K::Acknowledged));
    let asked = state.transfer_proposed_to.as_ref().is_some_and(|to| to.code == code);
    let text = words(r);
    let mut options = Vec::new();
    let mut offer = |kind: K, times: u32| options.extend((0..times).map(|_| kind));
    if !opened && !acknowledged {
        offer(K::Opened, 6);
    }
    if !acknowledged {
        offer(K::Acknowledged, 6);
    }
    if asked {
        offer(K::TransferAccepted, 5);
        offer(K::TransferDeclined, 3);
    }
    if holds {
        let is = |child: &str| state.children.iter().any(|state| state == child);
        offer(K::CallRecorded, 1);
        if acknowledged {
            offer(K::InformationRequested, 2);
            offer(K::Interim, 2);
            offer(K::Decided, 3);
            offer(K::Filed, 1);
        }
        if is("decided") {
            offer(K::Allocated, 3);
            offer(K::Progress, 1);
            offer(K::Closed, 2);
        }
        if is("allocated") {
            offer(K::WorkerChanged, 1);
            offer(K::Closed, 1);
        }
        match &state.transfer_proposed_to {
            None => offer(K::TransferProposed, 3),
            Some(_) => offer(K::TransferWithdrawn, 4),
        }
        if unanswered(state, K::WithdrawalRequested, WITHDRAWN).is_some() {
            offer(K::WithdrawalConfirmed, 2);
            offer(K::WithdrawalRefused, 3);
        }
        if state.disputed {
            offer(K::DisputeResolved, 3);
        }
        if state.events.iter().any(|e| e.event == K::DisagreementRaised.name()) {
            offer(K::DisagreementResponded, 3);
        }
    }
    if options.is_empty() {
        return None;
    }
    let kind = r.pick(&options);
    let children: Vec<u32> = (1..=state.children.len() as u32).collect();
    let proposal = last(state, K::TransferProposed).map(|event| event.position);
    let to = AUTHORITIES.iter().map(|a| a.code).filter(|other| *other != code);
    let to: Vec<_> = to.collect();
    let to = r.pick(&to).parse().ok();
    let said = |document: Value| Saying::with(kind, document);
    Some(match kind {
        K::Opened | K::Filed => Saying::of(kind),
        K::Acknowledged => said(json!({"worker": named(), "words": text})),
        K::CallRecorded => Saying {
            code: Some("school".into()),
            ..said(json!({"at": "2026-11-30T10:00:00Z", "words": text}))
        },
        K::InformationRequested => said(json!({"worker": named(), "question": text})),
        K::Interim => Saying {
            code: Some("keep_at_school".into()),
            ..said(json!({"worker": named(), "request": text}))
        },
        K::Decided => Saying {
            code: Some(r.pick(&["assessment", "strategy_discussion", "advice"]).into()),
            children,
            ..said(json!({
                "disclosure": "outcome", "reason": text, "school_should": "Keep a chronology.",
                "how_to_challenge": "Ring the team manager.", "referrer_spoken_to": true,
                "child_seen": false, "what_would_change": "A new account.",
                "other_support": "The family centre.",
            }))
        },
        K::Allocated => Saying {
            children,
            ..said(json!({"worker": named(), "from": "2026-12-01", "manager": named()}))
        },
        K::WorkerChanged => Saying {
            children,
            ..said(json!({"worker": named(), "previous": "Bo Example", "from": "2026-12-01"}))
        },
        K::Progress => {
            Saying { code: Some("child_seen".into()), children, ..said(json!({"words": text})) }
        }
        K::Closed => Saying { code: Some("RC8".into()), children, ..said(json!({"reason": text})) },
        K::TransferProposed => Saying { to, ..said(json!({"worker": named(), "reason": text})) },
        K::TransferWithdrawn => Saying { answers: proposal, ..said(json!({"reason": text})) },
        K::TransferAccepted => {
            Saying { answers: proposal, ..said(json!({"worker": named(), "words": text})) }
        }
        K::TransferDeclined => {
            Saying { answers: proposal, ..said(json!({"worker": named(), "reason": text})) }
        }
        K::DisputeResolved => said(json!({"reason": text})),
        K::WithdrawalConfirmed => Saying {
            answers: unanswered(state, K::WithdrawalRequested, WITHDRAWN),
            ..said(json!({"words": text}))
        },
        K::WithdrawalRefused => Saying {
            answers: unanswered(state, K::WithdrawalRequested, WITHDRAWN),
            ..said(json!({"worker": named(), "reason": text}))
        },
        K::DisagreementResponded => Saying {
            answers: unanswered(state, K::DisagreementRaised, &[K::DisagreementResponded]),
            ..said(json!({"worker": named(), "response": text}))
        },
        other => unreachable!("{other:?} is not offered"),
    })
}

const WITHDRAWN: &[K] = &[K::WithdrawalConfirmed, K::WithdrawalRefused];

/// A clerk of the school that sent it.
pub fn clerk(r: &mut Random, state: &State) -> Option<Saying> {
    let text = words(r);
    let question = unanswered(state, K::InformationRequested, &[K::InformationSupplied]);
    let request = unanswered(state, K::Interim, &[K::InterimAnswered]);
    let unread: Vec<u64> = state.events.iter().filter(|e| e.unread).map(|e| e.position).collect();
    let mut options = vec![(K::CallRecorded, None), (K::CallRecorded, None)];
    options.extend(question.map(|at| (K::InformationSupplied, Some(at))));
    options.extend(request.map(|at| (K::InterimAnswered, Some(at))));
    options.extend(unread.into_iter().map(|at| (K::Read, Some(at))));
    if r.chance(150) {
        options.push((K::WithdrawalRequested, None));
        options.push((K::DisagreementRaised, None));
        options.push((K::DisagreementResolved, None));
    }
    let (kind, answers) = r.pick(&options);
    let said = |document: Value| Saying { answers, ..Saying::with(kind, document) };
    Some(match kind {
        K::Read => Saying { answers, ..Saying::of(kind) },
        K::InformationSupplied => said(json!({"answer": text})),
        K::InterimAnswered => {
            Saying { code: Some("understood".into()), ..said(json!({"words": text})) }
        }
        K::WithdrawalRequested => {
            Saying { code: Some("circumstances_changed".into()), ..said(json!({"reason": text})) }
        }
        K::DisagreementRaised => Saying {
            code: Some("below_threshold".into()),
            stage: Some(1),
            ..said(json!({"reason": text, "wanted": "Another look."}))
        },
        K::DisagreementResolved => {
            Saying { code: Some("agreed".into()), ..said(json!({"words": text})) }
        }
        _ => Saying {
            code: Some("front_door".into()),
            ..said(json!({"at": "2026-11-30T10:00:00Z", "words": text}))
        },
    })
}
