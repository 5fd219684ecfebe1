//! `ecaf gateway`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::failure::{Failure, end, print_json, print_table};
use crate::app;
use crate::config;
use crate::domain::delivery::State;
use crate::domain::ids::ReferralId;
use crate::domain::party::DfeCode;
use crate::domain::referral::Urgency;
use crate::effects::{Clock, SystemClock};
use crate::store::{DeliveryFilter, DeliveryId, DeliveryRow, DeliverySelector, GatewayStore};
use crate::telemetry::{self, LogLevel};

/// Run a gateway of the exchange
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ecaf gateway --config gateway.toml                     run it; SIGTERM stops, SIGHUP reloads
  ecaf gateway deliveries --config gateway.toml          what is on its way, and what is stuck
  ecaf gateway replay --config gateway.toml --authority 316
  curl http://127.0.0.1:9443/readyz                      is it ready, and why not")]
pub struct Args {
    /// Configuration; see deploy/gateway.toml
    #[arg(long, global = true, value_name = "FILE", default_value = "/etc/ecaf/gateway.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List deliveries: those not stored at their authority, or by state
    Deliveries {
        /// held, leased, delivered, undeliverable or by_hand
        #[arg(long)]
        state: Option<String>,
        /// Only to this authority (DfE code)
        #[arg(long, value_name = "CODE")]
        authority: Option<DfeCode>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Try undeliverable deliveries again, now
    #[command(group = clap::ArgGroup::new("which").required(true))]
    Replay {
        /// One delivery, by its number
        #[arg(long, group = "which", value_name = "NUMBER")]
        delivery: Option<i64>,
        /// All of one referral
        #[arg(long, group = "which", value_name = "ID")]
        referral: Option<ReferralId>,
        /// All to one authority (DfE code)
        #[arg(long, group = "which", value_name = "CODE")]
        authority: Option<DfeCode>,
        /// All of them
        #[arg(long, group = "which")]
        all: bool,
    },
    /// Record that a delivery was handed over by phone or secure e-mail; it is not tried again
    ByHand {
        /// The delivery, by its number
        delivery: i64,
    },
}

/// Runs the subcommand.
pub fn run(args: Args) -> ExitCode {
    end(match args.command {
        None => serve(args.config),
        Some(command) => operate(args.config, command),
    })
}

fn serve(file: PathBuf) -> Result<ExitCode, Failure> {
    let settings = config::load_gateway(&file).map_err(Failure::usage)?;
    telemetry::init(settings.log.format, LogLevel::default()).map_err(Failure::fault)?;
    let served = app::block_on(app::run_gateway(settings)).map_err(Failure::fault)?;
    served.map_err(Failure::fault)?;
    Ok(ExitCode::SUCCESS)
}

fn operate(file: PathBuf, command: Command) -> Result<ExitCode, Failure> {
    let settings = config::load_gateway(&file).map_err(Failure::usage)?;
    let asked = async {
        let store = app::open_gateway(&settings).await.map_err(Failure::fault)?;
        ask(store.as_ref(), command).await
    };
    app::block_on(asked).map_err(Failure::fault)?
}

async fn ask(store: &dyn GatewayStore, command: Command) -> Result<ExitCode, Failure> {
    let now = SystemClock.now();
    match command {
        Command::Deliveries { state, authority, json } => {
            let state = match state {
                None => None,
                Some(name) => Some(State::from_name(&name).ok_or_else(|| {
                    Failure::usage("--state is held, leased, delivered, undeliverable or by_hand")
                })?),
            };
            let filter = DeliveryFilter { state, authority, ..DeliveryFilter::default() };
            let rows = store.deliveries(filter).await.map_err(Failure::fault)?;
            let open = |d: &&DeliveryRow| state.is_some() || d.state != State::Delivered;
            let rows: Vec<_> = rows.iter().filter(open).collect();
            if json {
                print_json(&rows.iter().map(|d| as_json(d)).collect::<Vec<_>>())
            } else {
                table(&rows)
            }
        }
        Command::Replay { delivery, referral, authority, .. } => {
            let selector = match (delivery, referral, authority) {
                (Some(id), ..) => DeliverySelector::One(DeliveryId(id)),
                (_, Some(id), _) => DeliverySelector::Referral(id),
                (.., Some(code)) => DeliverySelector::Authority(code),
                _ => DeliverySelector::All,
            };
            let count = store.replay(selector, now).await.map_err(Failure::fault)?;
            println!("{count} to be tried again now");
            if count == 0 {
                return Err(Failure::no("no such delivery is undeliverable"));
            }
        }
        Command::ByHand { delivery } => {
            let done = store.by_hand(DeliveryId(delivery), now).await.map_err(Failure::fault)?;
            if !done {
                return Err(Failure::no("there is no such delivery that is held or undeliverable"));
            }
            println!("delivery {delivery} is recorded as handed over by hand");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn urgency(rank: u8) -> &'static str {
    Urgency::ALL.get(usize::from(rank)).map_or("?", |u| u.as_str())
}

fn table(rows: &[&DeliveryRow]) {
    if rows.is_empty() {
        println!("Nothing is on its way and nothing is stuck.");
        return;
    }
    let cells = rows.iter().map(|d| {
        vec![
            d.id.0.to_string(),
            urgency(d.urgency).into(),
            d.authority.to_string(),
            d.state.as_str().into(),
            d.attempts.to_string(),
            d.reason.clone().unwrap_or_default(),
            d.recorded_at.to_string(),
            d.referral_id.to_string(),
        ]
    });
    let heads = ["NO", "URG", "TO", "STATE", "TRIES", "REASON", "RECORDED", "REFERRAL"];
    print_table(&heads, &cells.collect::<Vec<_>>());
}

fn as_json(d: &DeliveryRow) -> serde_json::Value {
    json!({
        "delivery": d.id.0,
        "referral_id": d.referral_id.to_string(),
        "version": d.version,
        "authority": d.authority.to_string(),
        "purpose": d.purpose,
        "urgency": urgency(d.urgency),
        "state": d.state.as_str(),
        "attempts": d.attempts,
        "reason": d.reason,
        "due_at": d.due_at.map(|t| t.to_string()),
        "recorded_at": d.recorded_at.to_string(),
        "settled_at": d.settled_at.map(|t| t.to_string()),
    })
}
