//! What a school or a worker of an authority says about a referral: one verb for each kind of event,
//! `ecaf authority decide ...`, `ecaf school read ...`. Made from the table of events and from the
//! schemas of their documents, so that the three cannot disagree.
//!
//! What is personal comes from a file or standard input, never from the command line, which other
//! users of a machine can see.

mod draft;
mod line;
mod verbs;
mod why;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgMatches, Command, FromArgMatches, Subcommand};
use serde_json::{Map, Value, json};

use super::failure::{Failure, end, print_json};
use crate::app;
use crate::config::MemberSettings;
use crate::domain::case::{Detail, EventKind, Scope};
use crate::domain::hours::england_text;
use crate::domain::ids::ReferralId;
use crate::domain::party::{DfeCode, SchoolId};
use crate::domain::time::Timestamp;
use crate::party::begin::begin;
use crate::party::look::{self, State};
use crate::party::member::Member;
use crate::party::say::{Said, Saying, say};
use crate::protocol::hash::sha256;
use crate::protocol::schema::Shape;

use draft::{draft, read};
use line::{needs, subcommand};
use verbs::Side;
use why::not_said;
pub(super) use why::not_seen;

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
    school: Option<SchoolId>,
    sent: Option<PathBuf>,
    need: Option<String>,
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
            school: one(given, "school"),
            sent: one(given, "sent"),
            need: one(given, "need"),
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
        let detail = self.detail(settings)?;
        if self.kind.opens().is_some() {
            return self.begin(settings, detail);
        }
        let id = self.referral.ok_or_else(|| Failure::usage("which referral?"))?;
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

    /// Begins a thread of its own, and tells under which id.
    fn begin(
        &self,
        settings: &MemberSettings,
        detail: Option<Map<String, Value>>,
    ) -> Result<ExitCode, Failure> {
        let saying = Saying { detail, ..self.bare() };
        let begun = app::block_on(async {
            let member = app::open_member(settings).await.map_err(Failure::usage)?;
            begin(&member, &saying).await.map_err(not_said)
        });
        let (id, said) = begun.map_err(Failure::fault)??;
        if self.json {
            print_json(&json!({
                "referral_id": id.to_string(),
                "position": said.position,
                "recorded_at": said.recorded_at.to_string(),
                "sha256": said.sha256.to_string(),
            }));
            return Ok(ExitCode::SUCCESS);
        }
        let (what, at) = (self.kind.name().replace('_', " "), england_text(said.recorded_at));
        println!("Recorded {at}: {what}, as {id}");
        println!("What comes of it: ecaf status {id}");
        Ok(ExitCode::SUCCESS)
    }

    /// What the command line says by itself.
    fn bare(&self) -> Saying {
        Saying {
            code: self.code.clone(),
            to: self.to,
            school: self.school.clone(),
            happened_at: self.happened_at,
            ..Saying::of(self.kind)
        }
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
            children: children.clone(),
            answers,
            stage: staged.then(|| self.stage.unwrap_or(lowest)),
            detail: detail.clone(),
            ..self.bare()
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
        if let (Some(members), Some(file)) = (&mut members, &self.sent) {
            let here = |e| Failure::usage(format_args!("{}: {e}", file.display()));
            let sent = sha256(&std::fs::read(file).map_err(here)?);
            members.insert("document_sha256".into(), sent.to_string().into());
        }
        if let (Some(members), Some(code), Some(list)) =
            (&mut members, &self.need, needs(self.kind))
        {
            let need =
                json!({"code": code, "code_system": list.system, "code_version": list.version});
            let told = members.entry("primary_need").or_insert_with(|| need.clone());
            if *told != need {
                return Err(Failure::usage("--need and the document say two primary needs"));
            }
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
