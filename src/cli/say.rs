//! What a school or a worker of an authority says about a referral: one verb for each kind of event,
//! `ecaf authority decide ...`, `ecaf school read ...`. Made from the table of events and from the
//! schemas of their documents, so that the three cannot disagree.
//!
//! What is personal comes from a file or standard input, never from the command line, which other
//! users of a machine can see.

use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches, Subcommand, value_parser};
use serde_json::{Map, Value, json};

use super::failure::{Failure, end, plain, print_json};
use crate::app;
use crate::config::MemberSettings;
use crate::domain::case::{Detail, EventKind, Scope, codes_of};
use crate::domain::hours::england_text;
use crate::domain::ids::ReferralId;
use crate::domain::party::DfeCode;
use crate::domain::time::Timestamp;
use crate::party::look::{self, NotSeen, State};
use crate::party::member::Member;
use crate::party::say::{NotSaid, Said, Saying, say};
use crate::protocol::json;
use crate::protocol::problem::ProblemDocument;
use crate::protocol::schema::{LARGEST_DETAIL, Shape};

/// Whose verbs they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    School,
    Authority,
}

/// A verb and what it says.
type Verb = (&'static str, EventKind, &'static str);

const OF_AUTHORITIES: &[Verb] = &[
    ("open", EventKind::Opened, "Say that you, a person, have opened a referral"),
    (
        "acknowledge",
        EventKind::Acknowledged,
        "Acknowledge a referral, by name and with your number",
    ),
    ("ask", EventKind::InformationRequested, "Ask the school a question"),
    ("interim", EventKind::Interim, "Ask the school to do something today"),
    ("decide", EventKind::Decided, "Say what will be done for each child, and why"),
    ("allocate", EventKind::Allocated, "Say who works with the children"),
    ("change-worker", EventKind::WorkerChanged, "Say who works with the children from now on"),
    ("progress", EventKind::Progress, "Tell the school of a step on the way"),
    ("transfer", EventKind::TransferProposed, "Ask another authority to take a referral over"),
    ("transfer-withdraw", EventKind::TransferWithdrawn, "Take a proposed transfer back"),
    ("transfer-accept", EventKind::TransferAccepted, "Take a referral over"),
    ("transfer-decline", EventKind::TransferDeclined, "Say why a referral is not for you"),
    (
        "dispute",
        EventKind::ResponsibilityDisputed,
        "Say that authorities do not agree who is responsible",
    ),
    ("settle", EventKind::DisputeResolved, "Say that authorities agree again"),
    (
        "withdrawal-confirm",
        EventKind::WithdrawalConfirmed,
        "Confirm that the school takes a referral back",
    ),
    ("withdrawal-refuse", EventKind::WithdrawalRefused, "Say why the case goes on"),
    ("respond", EventKind::DisagreementResponded, "Respond to a disagreement"),
    ("close", EventKind::Closed, "Close the case of the children, and say why"),
    ("file", EventKind::Filed, "Say that a referral stands in your case system"),
    ("call", EventKind::CallRecorded, "Record a telephone call"),
    ("contacts", EventKind::ContactsChanged, "Tell the school whom to ask for from now on"),
    ("confirm-contacts", EventKind::ContactsConfirmed, "Confirm the school's changed contacts"),
    (
        "misidentified",
        EventKind::Misidentified,
        "Take a referral about the wrong child out of use, at once",
    ),
];

const OF_SCHOOLS: &[Verb] = &[
    ("read", EventKind::Read, "Say that you have read what the authority said"),
    ("answer", EventKind::InformationSupplied, "Answer the authority's question"),
    ("reply", EventKind::InterimAnswered, "Say whether the school can do what it is asked today"),
    ("call", EventKind::CallRecorded, "Record a telephone call"),
    ("challenge", EventKind::DisagreementRaised, "Disagree: with a decision, or with silence"),
    ("step-up", EventKind::DisagreementStepped, "Take a disagreement to a higher stage"),
    ("end-disagreement", EventKind::DisagreementResolved, "Say that a disagreement is over"),
    (
        "withdraw",
        EventKind::WithdrawalRequested,
        "Take a referral back; the authority has to confirm",
    ),
    ("contacts", EventKind::ContactsChanged, "Tell the authority whom to ask for from now on"),
    ("confirm-contacts", EventKind::ContactsConfirmed, "Confirm the authority's changed contacts"),
    (
        "misidentified",
        EventKind::Misidentified,
        "Take a referral about the wrong child out of use, at once",
    ),
];

impl Side {
    const fn verbs(self) -> &'static [Verb] {
        match self {
            Side::School => OF_SCHOOLS,
            Side::Authority => OF_AUTHORITIES,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Side::School => "school",
            Side::Authority => "authority",
        }
    }
}

/// A verb with its arguments. `AUTHORITY` says whose.
#[derive(Debug)]
pub(super) struct Say<const AUTHORITY: bool> {
    kind: EventKind,
    referral: Option<ReferralId>,
    code: Option<String>,
    document: Option<PathBuf>,
    draft: bool,
    children: Vec<u32>,
    answers: Option<u64>,
    to: Option<DfeCode>,
    stage: Option<u8>,
    happened_at: Option<Timestamp>,
    json: bool,
}

const fn side(authority: bool) -> Side {
    if authority { Side::Authority } else { Side::School }
}

impl<const AUTHORITY: bool> Subcommand for Say<AUTHORITY> {
    fn augment_subcommands(mut command: Command) -> Command {
        for verb in side(AUTHORITY).verbs() {
            command = command.subcommand(subcommand(side(AUTHORITY), verb));
        }
        command
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        side(AUTHORITY).verbs().iter().any(|(verb, ..)| *verb == name)
    }
}

impl<const AUTHORITY: bool> FromArgMatches for Say<AUTHORITY> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let chosen = matches.subcommand().and_then(|(name, given)| {
            let (_, kind, _) = side(AUTHORITY).verbs().iter().find(|(verb, ..)| *verb == name)?;
            Some((*kind, given))
        });
        let (kind, given) =
            chosen.ok_or_else(|| clap::Error::new(clap::error::ErrorKind::MissingSubcommand))?;
        // Asked only for what this kind of event has; the others are not arguments of its verb.
        fn one<T: Clone + Send + Sync + 'static>(given: &ArgMatches, name: &str) -> Option<T> {
            given.try_get_one::<T>(name).ok().flatten().cloned()
        }
        Ok(Self {
            kind,
            referral: one(given, "referral"),
            code: one(given, "code"),
            document: one(given, "document"),
            draft: given.try_get_one::<bool>("draft").ok().flatten() == Some(&true),
            children: given
                .try_get_many::<u32>("child")
                .ok()
                .flatten()
                .map(|all| all.copied().collect())
                .unwrap_or_default(),
            answers: one(given, "answers"),
            to: one(given, "to"),
            stage: one(given, "stage"),
            happened_at: one(given, "happened-at"),
            json: given.get_flag("json"),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The command line of one verb.
fn subcommand(side: Side, (verb, kind, about): &Verb) -> Command {
    let (verb, kind) = (*verb, *kind);
    let mut command = Command::new(verb).about(*about);
    let referral = Arg::new("referral").value_name("REFERRAL").help("The referral");
    let referral = referral.value_parser(value_parser!(ReferralId)).required(true);
    let codes = codes_of(kind);
    let has_document = kind.detail() != Detail::None;
    command = command.arg(if has_document {
        referral.required(false).required_unless_present("draft")
    } else {
        referral
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
    if !kind.answers().is_empty() {
        let answers = Arg::new("answers").long("answers").value_name("POSITION");
        let newest = if kind == EventKind::Read { "everything unread" } else { "the newest one" };
        command =
            command.arg(answers.value_parser(value_parser!(u64)).help(format!(
                "The event that it answers, by its position; {newest} unless given"
            )));
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

fn examples(side: Side, verb: &str, kind: EventKind) -> String {
    let (word, id) = (side.word(), "018f3d5e-7c1a-4b7e-9a55-0c2f4d6e8a10");
    let code = codes_of(kind).first().map(|(code, _)| format!(" {code}")).unwrap_or_default();
    let to = if kind == EventKind::TransferProposed { " --to 316" } else { "" };
    let mut text = String::from("Examples:");
    if kind.detail() == Detail::None {
        let _ = write!(text, "\n  ecaf {word} {verb} {id}{code}");
    } else {
        let _ = write!(text, "\n  ecaf {word} {verb} --draft > {verb}.jsonc   (then fill it in)");
        let _ = write!(text, "\n  ecaf {word} {verb} {id}{code}{to} -d {verb}.jsonc");
    }
    if kind.by_a_person() {
        text.push_str("\n\nOnly a person's own certificate may say this.");
    }
    text.push_str(
        "\n\nSafe to repeat. Exit codes: 0 recorded; 1 refused, or something has to be read first;\n\
         2 wrong input; 3 no answer: say it again.",
    );
    text
}

impl<const AUTHORITY: bool> Say<AUTHORITY> {
    /// Whether it only prints a draft, which needs no configuration.
    pub fn is_draft(&self) -> bool {
        self.draft
    }

    /// Prints the draft of the document.
    pub fn print_draft(&self) -> ExitCode {
        print!("{}", draft(self.kind));
        ExitCode::SUCCESS
    }

    /// Says it.
    pub fn run(&self, settings: &MemberSettings) -> ExitCode {
        end(self.attempt(settings))
    }

    fn attempt(&self, settings: &MemberSettings) -> Result<ExitCode, Failure> {
        let id = self.referral.ok_or_else(|| Failure::usage("which referral?"))?;
        let detail = self.detail(settings)?;
        let recorded = app::block_on(async {
            let member = app::open_member(settings).await.map_err(Failure::usage)?;
            let state = look::look(&member, id).await.map_err(not_seen)?;
            let mut recorded = Vec::new();
            for saying in self.sayings(&state, detail)? {
                recorded.push(self.say_one(&member, id, &saying).await?);
            }
            Ok(recorded)
        });
        let recorded = recorded.map_err(Failure::fault)??;
        if self.json {
            let all = recorded.iter().map(|said| {
                json!({
                    "position": said.position,
                    "recorded_at": said.recorded_at.to_string(),
                    "sha256": said.sha256.to_string(),
                })
            });
            print_json(&all.collect::<Vec<_>>());
            return Ok(ExitCode::SUCCESS);
        }
        if recorded.is_empty() {
            println!("There is nothing unread.");
        }
        for said in &recorded {
            let (what, at) = (self.kind.name().replace('_', " "), england_text(said.recorded_at));
            println!("Recorded {at} at position {}: {what}", said.position);
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn say_one(
        &self,
        member: &Member,
        id: ReferralId,
        saying: &Saying,
    ) -> Result<Said, Failure> {
        say(member, id, saying).await.map_err(not_said)
    }

    /// What is to be said, with what was not given found in the state of the referral.
    fn sayings(
        &self,
        state: &State,
        detail: Option<Map<String, Value>>,
    ) -> Result<Vec<Saying>, Failure> {
        let kind = self.kind;
        let mut children = self.children.clone();
        if kind.scope() == Scope::Children && children.is_empty() && !state.about_no_child {
            children = (1..=u32::try_from(state.children.len()).unwrap_or(u32::MAX)).collect();
        }
        let staged = matches!(kind, EventKind::DisagreementRaised | EventKind::DisagreementStepped);
        let last_stage = state.events.iter().rev().find_map(|event| event.stage);
        let lowest = match kind {
            EventKind::DisagreementStepped => last_stage.map_or(1, |stage| stage + 1),
            _ => 1,
        };
        let saying = |answers| Saying {
            kind,
            code: self.code.clone(),
            children: children.clone(),
            answers,
            to: self.to,
            stage: staged.then(|| self.stage.unwrap_or(lowest)),
            happened_at: self.happened_at,
            detail: detail.clone(),
        };
        if kind.answers().is_empty() {
            return Ok(vec![saying(None)]);
        }
        if self.answers.is_some() {
            return Ok(vec![saying(self.answers)]);
        }
        if kind == EventKind::Read {
            let unread = state.events.iter().filter(|event| event.unread);
            return Ok(unread.map(|event| saying(Some(event.position))).collect());
        }
        let answerable = |name: &str| {
            EventKind::from_name(name).is_some_and(|kind_of| kind.answers().contains(&kind_of))
        };
        let newest = state.events.iter().rev().find(|event| answerable(&event.event));
        let newest = newest.ok_or_else(|| {
            let kinds: Vec<_> = kind.answers().iter().map(|k| k.name().replace('_', " ")).collect();
            Failure::no(format_args!("there is nothing to answer here: no {}", kinds.join(", no ")))
        })?;
        Ok(vec![saying(Some(newest.position))])
    }

    /// The personal part: the file, with the worker of the configuration where it names none.
    fn detail(&self, settings: &MemberSettings) -> Result<Option<Map<String, Value>>, Failure> {
        let mut members = match &self.document {
            Some(file) => Some(read(file)?),
            None if self.kind.detail() == Detail::Required => Some(Map::new()),
            None => None,
        };
        let wants_worker =
            Shape::event(self.kind.name()).and_then(|shape| shape.member("worker")).is_some();
        if let (Some(members), true, Some(person)) = (&mut members, wants_worker, &settings.person)
        {
            let worker = json!({ "name": person.name, "role": person.role, "phone": person.phone });
            members.entry("worker").or_insert(worker);
        }
        if let (Some(members), true) = (&members, self.document.is_none())
            && !members.contains_key("worker")
        {
            let verb = side(AUTHORITY).verbs().iter().find(|(_, kind, _)| *kind == self.kind);
            let verb = verb.map_or("", |(verb, ..)| verb);
            return Err(Failure::usage(format_args!(
                "this needs a document: ecaf {} {verb} --draft",
                side(AUTHORITY).word(),
            )));
        }
        Ok(members)
    }
}

/// A draft that is filled in: JSON with `//` comments.
fn read(file: &Path) -> Result<Map<String, Value>, Failure> {
    let mut bytes = Vec::new();
    let here = |e: std::io::Error| Failure::usage(format_args!("{}: {e}", file.display()));
    if file == Path::new("-") {
        std::io::stdin().take(LARGEST_DETAIL as u64 + 1).read_to_end(&mut bytes).map_err(here)?;
    } else {
        bytes = std::fs::read(file).map_err(here)?;
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::usage(format_args!("{}: is not UTF-8", file.display())))?;
    let value = json::parse(json::strip_comments(&text).as_bytes(), LARGEST_DETAIL);
    match value.map_err(Failure::usage)? {
        Value::Object(members) => Ok(members),
        _ => Err(Failure::usage(format_args!("{}: is not an object", file.display()))),
    }
}

/// What every document has; written by the program.
const COMMON: [&str; 4] = ["event", "referral_id", "salt", "code"];

/// The document of an event as a draft with notes.
fn draft(kind: EventKind) -> String {
    let Some(shape) = Shape::event(kind.name()) else { return String::new() };
    let required = shape.keyword("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut text =
        format!("// {}: {}\n{{\n", shape.title(), shape.text("description").unwrap_or_default());
    let members: Vec<_> = shape.members().into_iter().filter(|m| !COMMON.contains(m)).collect();
    let needed: Vec<_> = members.iter().filter(|m| required.contains(&json!(m))).collect();
    for name in &members {
        let Some(member) = shape.member(name) else { continue };
        let (is_needed, when) =
            (needed.contains(&name), member.text("x-required").unwrap_or_default());
        let _ = writeln!(
            text,
            "  // {}. {} {when}",
            member.title(),
            member.text("description").unwrap_or_default()
        );
        if let Some(codes) = member.target().and_then(|t| t.keyword("enum")) {
            let _ = writeln!(text, "  // One of {codes}");
        }
        let comma = if needed.last() == Some(&name) { "" } else { "," };
        let mark = if is_needed { "" } else { "// " };
        let _ = writeln!(text, "  {mark}\"{name}\": {}{comma}", blank(&member));
    }
    text.push_str("}\n");
    text
}

/// What stands where an answer goes.
fn blank(member: &Shape) -> String {
    let worker = r#"{"name": "", "role": "", "phone": ""}"#;
    let target = member.target();
    let is_worker = |shape: &Shape| shape.path().ends_with("/worker.json");
    if target.as_ref().is_some_and(|t| t.path().starts_with("schemas/event") && is_worker(t)) {
        return worker.to_owned();
    }
    match member.text("type") {
        Some("array") => format!("[{worker}]"),
        Some("boolean") => "false".to_owned(),
        _ => "\"\"".to_owned(),
    }
}

pub(super) fn not_seen(not: NotSeen) -> Failure {
    match not {
        NotSeen::Refused(problem) => refused(&problem),
        NotSeen::NoAnswer(fault) => Failure::fault(fault),
        NotSeen::Unreadable => Failure::fault("the gateway's answer cannot be read"),
        NotSeen::Here(fault) => Failure::fault(fault),
    }
}

fn not_said(not: NotSaid) -> Failure {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::case::Author;
    use crate::protocol::schema::check_detail;

    #[test]
    fn every_event_has_its_verb_on_the_side_that_may_say_it() {
        let said = |side: Side, kind| side.verbs().iter().any(|(_, k, _)| *k == kind);
        for kind in EventKind::all() {
            let (school, authority) = match kind.author() {
                Author::Sender => (true, false),
                Author::SenderOrHolder => (true, true),
                Author::Gateway => (false, false),
                _ => (false, true),
            };
            assert_eq!(said(Side::School, kind), school, "{}", kind.name());
            assert_eq!(said(Side::Authority, kind), authority, "{}", kind.name());
        }
    }

    #[test]
    fn the_command_lines_are_sound() {
        for side in [Side::School, Side::Authority] {
            for verb in side.verbs() {
                subcommand(side, verb).debug_assert();
            }
        }
    }

    #[test]
    fn a_draft_is_json_with_every_answer_that_is_needed_and_is_refused_until_filled_in() {
        for kind in EventKind::all().filter(|k| k.detail() != Detail::None) {
            let text = draft(kind);
            let value = json::parse(json::strip_comments(&text).as_bytes(), LARGEST_DETAIL);
            let Value::Object(mut members) = value.unwrap_or_else(|v| panic!("{v}\n{text}")) else {
                panic!("{text}")
            };
            let id = ReferralId::from_bytes([7; 16]);
            members.insert("event".into(), kind.name().into());
            members.insert("referral_id".into(), id.to_string().into());
            members.insert("salt".into(), "AAAAAAAAAAAAAAAAAAAAAA".into());
            let code = codes_of(kind).first().map(|(code, _)| *code);
            members.extend(code.map(|code| ("code".to_owned(), json!(code))));
            let refusal =
                check_detail(Value::Object(members).to_string().as_bytes(), kind, code, id);
            let missing = refusal.err().map(|r| r.violations).unwrap_or_default();
            let absent = missing.iter().filter(|v| v.rule.id == "schema.required").count();
            let conditional = matches!(kind, EventKind::Decided);
            assert!(absent == 0 || conditional, "{}: {missing:?}", kind.name());
            assert!(missing.len() > absent || kind.detail() == Detail::Optional, "{}", kind.name());
        }
    }
}
