//! The command line: one file per subcommand.
//!
//! Exit codes, the same everywhere: 0 yes or done; 1 the answer is no (refused, invalid, not
//! verified); 2 the command line or an input file is wrong; 3 a fault (disk, network, time-out).

mod authority;
mod config;
mod demo;
mod directory;
mod export;
mod failure;
mod follow;
mod gateway;
mod keys;
mod pki;
mod postcodes;
mod receipt;
mod referral;
mod report;
mod route;
pub mod sandbox;
mod say;
mod school;
mod status;
mod store;
mod submit;
mod timeline;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Secure electronic exchange of child safeguarding referrals between schools and local authorities.
#[derive(Debug, Parser)]
#[command(name = "ecaf", version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Referral(referral::Args),
    Submit(submit::Args),
    Status(status::Args),
    Follow(follow::Args),
    Export(export::Args),
    Report(Box<report::Args>),
    School(school::Args),
    Receipt(receipt::Args),
    Gateway(gateway::Args),
    Authority(authority::Args),
    Keys(keys::Args),
    Store(store::Args),
    Route(route::Args),
    Postcodes(postcodes::Args),
    Directory(directory::Args),
    Pki(pki::Args),
    Config(config::Args),
}

/// Parses the command line, runs the subcommand and gives its exit code.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Demo(args) => demo::run(args),
        Command::Referral(args) => referral::run(args),
        Command::Submit(args) => submit::run(args),
        Command::Status(args) => status::run(args),
        Command::Follow(args) => follow::run(args),
        Command::Export(args) => export::run(args),
        Command::Report(args) => report::run(&args),
        Command::School(args) => school::run(args),
        Command::Receipt(args) => receipt::run(args),
        Command::Gateway(args) => gateway::run(args),
        Command::Authority(args) => authority::run(args),
        Command::Keys(args) => keys::run(args),
        Command::Store(args) => store::run(args),
        Command::Route(args) => route::run(args),
        Command::Postcodes(args) => postcodes::run(args),
        Command::Directory(args) => directory::run(args),
        Command::Pki(args) => pki::run(args),
        Command::Config(args) => config::run(args),
    }
}
