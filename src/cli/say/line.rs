//! The command line of each verb, made from the table of events.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, value_parser};

use super::verbs::{Side, Verb};
use crate::domain::case::{Detail, EventKind, Opening, Scope, codes_of};
use crate::domain::ids::ReferralId;
use crate::domain::party::{DfeCode, SchoolId};
use crate::domain::time::Timestamp;
use crate::protocol::schema::{CodeList, Shape};

/// The command line of one verb.
pub(super) fn subcommand(side: Side, (verb, kind, about): &Verb) -> Command {
    let (verb, kind) = (*verb, *kind);
    let mut command = Command::new(verb).about(*about);
    let codes = codes_of(kind);
    let has_document = kind.detail() != Detail::None;
    let first = match kind.opens() {
        None => Arg::new("referral")
            .value_name("REFERRAL")
            .help("The referral, or the thread of a notice, a consultation or a hand-over")
            .value_parser(value_parser!(ReferralId)),
        Some(Opening::Notice) => Arg::new("school")
            .long("school")
            .value_name("URN")
            .help("The school that is told")
            .value_parser(value_parser!(SchoolId)),
        Some(_) => Arg::new("to")
            .value_name("AUTHORITY")
            .help("DfE code of the authority")
            .value_parser(value_parser!(DfeCode)),
    };
    command = command.arg(if has_document {
        first.required_unless_present("draft")
    } else {
        first.required(true)
    });
    if !codes.is_empty() {
        let words: Vec<_> = codes.iter().map(|(code, _)| *code).collect();
        let list = codes.iter().fold(String::from("One of:"), |mut list, (code, words)| {
            let _ = write!(list, "\n  {code:<24}{words}");
            list
        });
        let code = Arg::new("code").value_name("CODE").help(list).hide_possible_values(true);
        let code = code.value_parser(PossibleValuesParser::new(words));
        command = command.arg(if has_document {
            code.required_unless_present("draft")
        } else {
            code.required(true)
        });
    }
    if has_document {
        command = command
            .arg(
                Arg::new("document")
                    .short('d')
                    .long("document")
                    .value_name("FILE")
                    .value_parser(value_parser!(PathBuf))
                    .help("What is personal: a draft that is filled in; - for standard input"),
            )
            .arg(
                Arg::new("draft")
                    .long("draft")
                    .action(ArgAction::SetTrue)
                    .help("Print a draft of the document with notes, for a text editor"),
            );
    }
    if kind.scope() == Scope::Children {
        let child = Arg::new("child").long("child").value_name("N").action(ArgAction::Append);
        let child = child.value_parser(value_parser!(u32).range(1..));
        command = command.arg(child.help(
            "A child that it is about, by its place in the referral (repeat for more); all of them \
             unless given",
        ));
    }
    if let Some(list) = needs(kind) {
        let words = list.codes.iter().fold(
            String::from("Primary need of those children, for the census return:"),
            |mut text, (code, label)| {
                let _ = write!(text, "\n  {code:<4}{label}");
                text
            },
        );
        let codes: Vec<&str> = list.codes.iter().map(|(code, _)| code.as_str()).collect();
        let need = Arg::new("need").long("need").value_name("CODE").help(words);
        let need = need.value_parser(PossibleValuesParser::new(codes)).hide_possible_values(true);
        command = command.arg(need);
    }
    if !kind.answers().is_empty() {
        let answers = Arg::new("answers").long("answers").value_name("POSITION");
        let newest = if kind == EventKind::Read { "everything unread" } else { "the newest one" };
        command =
            command.arg(answers.value_parser(value_parser!(u64)).help(format!(
                "The event that it answers, by its position; {newest} unless given"
            )));
    }
    if kind == EventKind::HandedOver {
        let sent = Arg::new("sent").long("sent").value_name("FILE");
        command = command.arg(sent.value_parser(value_parser!(PathBuf)).help(
            "The readable document that was read out or sent: its SHA-256 goes into the record",
        ));
    }
    if kind == EventKind::TransferProposed {
        let to = Arg::new("to").long("to").value_name("DFE-CODE").required_unless_present("draft");
        command = command
            .arg(to.value_parser(value_parser!(DfeCode)).help("The authority that is asked"));
    }
    if matches!(kind, EventKind::DisagreementRaised | EventKind::DisagreementStepped) {
        let stage = Arg::new("stage").long("stage").value_name("1-5");
        let stage = stage.value_parser(value_parser!(u8).range(1..=5));
        command = command.arg(stage.help("Stage; the lowest that is possible unless given"));
    }
    command = command
        .arg(
            Arg::new("happened-at")
                .long("happened-at")
                .value_name("TIME")
                .value_parser(value_parser!(Timestamp))
                .help("When it happened, if not now: 2026-11-23T14:50:00Z"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"));
    command.after_help(examples(side, verb, kind))
}

/// The codes of primary need, for the kinds of event whose document has one.
pub(super) fn needs(kind: EventKind) -> Option<&'static CodeList> {
    Shape::event(kind.name())?.member("primary_need")?.open_list()
}

fn examples(side: Side, verb: &str, kind: EventKind) -> String {
    let (word, id) = (side.word(), "018f3d5e-7c1a-4b7e-9a55-0c2f4d6e8a10");
    let code = codes_of(kind).first().map(|(code, _)| format!(" {code}")).unwrap_or_default();
    let to = if kind == EventKind::TransferProposed { " --to 316" } else { "" };
    let id = match kind.opens() {
        None => id,
        Some(Opening::Notice) => "--school 900001",
        Some(_) => "309",
    };
    let mut text = String::from("Examples:");
    if kind.detail() == Detail::None {
        let _ = write!(text, "\n  ecaf {word} {verb} {id}{code}");
    } else {
        let _ = write!(text, "\n  ecaf {word} {verb} --draft > {verb}.jsonc   (then fill it in)");
        let _ = write!(text, "\n  ecaf {word} {verb} {id}{code}{to} -d {verb}.jsonc");
    }
    if needs(kind).is_some() {
        let _ =
            write!(text, "\n  ecaf {word} {verb} {id}{code} --child 2 --need N1 -d {verb}.jsonc");
    }
    if kind.by_a_person() {
        text.push_str("\n\nOnly a person's own certificate may say this.");
    }
    text.push_str(match kind.opens() {
        None => "\n\nSafe to repeat.",
        Some(_) => {
            "\n\nSafe to repeat until there is an answer: it begins one thread. Said again after its\n\
             answer it begins another."
        }
    });
    text.push_str(
        " Exit codes: 0 recorded; 1 refused, or something has to be read first;\n\
         2 wrong input; 3 no answer: say it again.",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_lines_are_sound() {
        for side in [Side::School, Side::Authority] {
            for verb in side.verbs() {
                subcommand(side, verb).debug_assert();
            }
        }
    }
}
