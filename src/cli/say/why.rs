//! Why something was not said, for a person.

use std::fmt::Write as _;

use crate::cli::failure::{Failure, plain};
use crate::party::look::NotSeen;
use crate::party::say::NotSaid;
use crate::protocol::problem::ProblemDocument;

pub(in crate::cli) fn not_seen(not: NotSeen) -> Failure {
    match not {
        NotSeen::Refused(problem) => refused(&problem),
        NotSeen::NoAnswer(fault) => Failure::fault(fault),
        NotSeen::Unreadable => Failure::fault("the gateway's answer cannot be read"),
        NotSeen::StaleTrust(refusal) => Failure::fault(format_args!(
            "{refusal}\nAre the scheme's certificates and revocation lists here the present ones?"
        )),
        NotSeen::Here(fault) => Failure::fault(fault),
    }
}

pub(super) fn not_said(not: NotSaid) -> Failure {
    match not {
        NotSaid::NotSeen(not) => not_seen(not),
        NotSaid::NoKey => Failure::usage("this machine has no signing certificate"),
        NotSaid::NothingToAnswer => Failure::usage("there is no event at that position"),
        NotSaid::Malformed(refusal) => Failure::usage(refusal),
        NotSaid::Refused(problem) => refused(&problem),
        NotSaid::Overtaken(events) => {
            let mut text = String::from("not recorded, because others said something meanwhile:");
            for event in events {
                let _ = write!(
                    text,
                    "\n  {} {}",
                    event.position,
                    plain(&event.event).replace('_', " ")
                );
            }
            Failure::no(format_args!(
                "{text}\nRead it (ecaf status), then say it again if it is still right."
            ))
        }
        NotSaid::BadRecord(refusal) => Failure::fault(refusal),
        NotSaid::NotKnown => {
            Failure::fault("no answer: it may be recorded or not. Say it again; that is safe")
        }
        NotSaid::NoAnswer(fault) => Failure::fault(format_args!("not recorded: {fault}")),
        NotSaid::Here(fault) => Failure::fault(fault),
        NotSaid::Signing(fault) => Failure::fault(fault),
    }
}

fn refused(problem: &ProblemDocument) -> Failure {
    let mut lines = Vec::new();
    for v in &problem.violations {
        let place = if v.pointer.is_empty() { String::new() } else { format!("{}: ", v.pointer) };
        let detail = if v.detail.is_empty() { String::new() } else { format!(" ({})", v.detail) };
        lines.push(plain(&format!("{place}{}{detail}. {} [{}]", v.title, v.action, v.rule)));
    }
    lines.extend(problem.help.as_deref().map(plain));
    Failure::no(lines.join("\n"))
}
