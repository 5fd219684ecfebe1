//! `ecaf postcodes`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::domain::ids::Digest;
use crate::domain::routing::decide::age_in_months;
use crate::domain::routing::table::{Counts, NearBasis, PostcodeTable};
use crate::domain::time::Date;
use crate::effects::files;
use crate::effects::{Clock, SystemClock};
use crate::protocol::hash::sha256;
use crate::protocol::routing_data::import::{
    Compiled, Failure, Shape, Source, compare, compile, read,
};
use crate::protocol::routing_data::{RoutingTables, reference};

/// Show, build and import postcode tables
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show a table: source, edition, counts, digest, age, and the statements its licence requires
    #[command(after_help = "Examples:\n  ecaf postcodes show\n  \
        ecaf postcodes show --table postcodes.ecafpct --json")]
    Show {
        /// A table of your own instead of the one inside the program
        #[arg(long, value_name = "FILE")]
        table: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Import ONSPD, NSPL or Code-Point Open (zip, csv or csv.gz) and show what changes
    #[command(after_help = "Examples:\n  ecaf postcodes import ONSPD_FEB_2026.zip\n  \
        ecaf postcodes import codepo_gb.zip --edition 2026-02 -o postcodes.ecafpct\n\n\
        Without -o nothing is written: the summary shows what would change.\n\
        Give the digest that it prints to the gateway's configuration, with the file.")]
    Import {
        /// The directory as published
        file: PathBuf,
        /// Where to write the new table
        #[arg(short, long, value_name = "OUT")]
        out: Option<PathBuf>,
        /// Year and month of the edition, if the file name does not say it
        #[arg(long, value_name = "YYYY-MM")]
        edition: Option<String>,
        /// Compare with this table instead of the one inside the program
        #[arg(long, value_name = "FILE")]
        table: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Build a table from nothing but a directory, verifying every row of it
    #[command(after_help = "Example:\n  \
        ecaf postcodes build gb_postcode_lad_2025-11.csv.gz -o postcodes.ecafpct")]
    Build {
        /// CSV or csv.gz with the columns postcode, lad25cd, status, near_m, near_utla
        file: PathBuf,
        /// Where to write the table
        #[arg(short, long, value_name = "OUT")]
        out: PathBuf,
        /// Year and month of the edition, if the file name does not say it
        #[arg(long, value_name = "YYYY-MM")]
        edition: Option<String>,
    },
}

/// Runs the subcommand.
pub fn run(args: Args) -> ExitCode {
    let done = match args.command {
        Command::Show { table, json } => show(table.as_deref(), json),
        Command::Import { file, out, edition, table, json } => {
            import(&file, out.as_deref(), edition.as_deref(), table.as_deref(), json)
        }
        Command::Build { file, out, edition } => build(&file, &out, edition.as_deref()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("ecaf: {}", failed.text);
            ExitCode::from(failed.code)
        }
    }
}

/// One line for the person at the command line, and the exit code.
pub(super) struct Failed {
    pub(super) code: u8,
    pub(super) text: String,
}

/// The tables inside the program, with the postcode table of `file` if one is given.
pub(super) fn tables(file: Option<&Path>) -> Result<RoutingTables, Failed> {
    let embedded = RoutingTables::embedded()
        .map_err(|error| Failed { code: 3, text: format!("the table in this program: {error}") })?;
    let Some(file) = file else { return Ok(embedded) };
    let bad = |text: String| Failed { code: 2, text: format!("{}: {text}", file.display()) };
    let bytes = fs::read(file).map_err(|error| bad(error.to_string()))?;
    embedded.load_postcodes(&bytes, None).map_err(|error| bad(error.to_string()))
}

/// Today in England.
pub(super) fn today() -> Date {
    SystemClock.now().in_england().0
}

fn show(table: Option<&Path>, as_json: bool) -> Result<(), Failed> {
    let tables = tables(table)?;
    let (postcodes, versions, day) = (tables.postcodes(), tables.versions(), today());
    let (meta, age) = (postcodes.meta(), age_in_months(postcodes, day));
    let (districts, authorities) = tables.districts().counts(day);
    if as_json {
        print(&json!({
            "source": meta.source,
            "edition": format!("{:04}-{:02}", meta.year, meta.month),
            "age_months": age,
            "sha256": versions.postcodes_digest.to_string(),
            "source_sha256": meta.source_digest.to_string(),
            "counts": counts_json(postcodes.counts()),
            "boundary_hints": basis(meta.near),
            "attribution": meta.attribution,
            "memory_bytes": postcodes.memory(),
            "districts": {
                "edition": versions.districts,
                "sha256": versions.districts_digest.to_string(),
                "districts": districts,
                "authorities": authorities,
            },
        }));
        return Ok(());
    }
    println!("Postcode table {}, {age} months old\n", versions.postcodes);
    print_counts(postcodes);
    println!("\n  {:<18}{}", "sha-256", versions.postcodes_digest);
    println!("  {:<18}{}", "source sha-256", meta.source_digest);
    println!("  {:<18}{}", "boundary hints", basis(meta.near));
    println!("  {:<18}{:.2} MB", "memory", postcodes.memory() as f64 / 1e6);
    println!("\nDistricts {}: {districts} in {authorities} authorities today", versions.districts);
    println!("  {:<18}{}", "sha-256", versions.districts_digest);
    print_attribution(postcodes);
    Ok(())
}

fn import(
    file: &Path,
    out: Option<&Path>,
    edition: Option<&str>,
    table: Option<&Path>,
    as_json: bool,
) -> Result<(), Failed> {
    let in_use = tables(table)?;
    let edition = edition_of(file, edition)?;
    let (source, digest) = source(file)?;
    let live = in_use.postcodes().counts().total() - in_use.postcodes().counts().retired;
    source.check_size(live).map_err(|error| bad_input(file, &error))?;
    let (outside, unreadable, shape) = (source.outside, source.unreadable, source.shape);
    let compiled = compile(source, digest, edition, in_use.districts(), Some(in_use.postcodes()))
        .map_err(|error| bad_input(file, &error))?;
    let summary = compare(in_use.postcodes(), &compiled.table, in_use.districts(), today());
    if let Some(out) = out {
        write(out, &compiled.file)?;
    }
    let unknown: u32 = compiled.unknown_codes.values().sum();
    let rows = [
        ("same", summary.same),
        ("added", summary.added),
        ("gone", summary.gone),
        ("other_district", summary.other_district),
        ("other_authority", summary.other_authority),
        ("placed", summary.placed),
        ("lost_place", summary.lost_place),
        ("newly_retired", summary.retired),
        ("in_use_again", summary.revived),
        ("newly_near_a_boundary", summary.near),
        ("no_longer_near_one", summary.not_near),
        ("kept_as_retired", compiled.kept_as_retired),
        ("dropped_ni_and_islands", outside),
        ("dropped_unreadable", unreadable),
        ("unknown_district_code", unknown),
    ];
    if as_json {
        let changes: serde_json::Map<_, _> =
            rows.iter().map(|(name, n)| (name.to_string(), json!(n))).collect();
        print(&json!({
            "shape": shape_name(shape),
            "edition": format!("{:04}-{:02}", edition.0, edition.1),
            "sha256": compiled.digest.to_string(),
            "counts": counts_json(compiled.table.counts()),
            "boundary_hints": basis(compiled.table.meta().near),
            "changes": changes,
            "unknown_codes": compiled.unknown_codes.iter()
                .map(|(code, n)| (code.to_string(), json!(n)))
                .collect::<serde_json::Map<_, _>>(),
            "attribution": compiled.table.meta().attribution,
            "written": out.is_some(),
        }));
        return Ok(());
    }
    println!("Read {} as {}\n", file.display(), shape_name(shape));
    print_counts(&compiled.table);
    println!("\nAgainst {} in use:", in_use.versions().postcodes);
    for (name, n) in rows.iter().filter(|(_, n)| *n > 0) {
        println!("  {:<26}{:>12}", name.replace('_', " "), grouped(*n));
    }
    for (code, n) in &compiled.unknown_codes {
        println!(
            "  warning: district {code} is not known; its {} postcodes ask a person",
            grouped(*n)
        );
    }
    println!("\n  {:<18}{}", "boundary hints", basis(compiled.table.meta().near));
    println!("  {:<18}{}", "sha-256", compiled.digest);
    print_attribution(&compiled.table);
    match out {
        Some(out) => println!("\nWritten to {}", out.display()),
        None => println!("\nNothing written; give -o OUT to keep it."),
    }
    Ok(())
}

fn build(file: &Path, out: &Path, edition: Option<&str>) -> Result<(), Failed> {
    let edition = edition_of(file, edition)?;
    let (source, digest) = source(file)?;
    if source.shape != Shape::Own {
        let text = "not the project's own extract; use: ecaf postcodes import".to_string();
        return Err(Failed { code: 2, text: format!("{}: {text}", file.display()) });
    }
    let rows = source.rows.len();
    let (districts, _) =
        reference::embedded().map_err(|error| Failed { code: 3, text: error.to_string() })?;
    let compiled = compile(source, digest, edition, &districts, None)
        .map_err(|error| bad_input(file, &error))?;
    let Compiled { file: bytes, digest, table, unknown_codes, .. } = compiled;
    write(out, &bytes)?;
    print_counts(&table);
    for (code, n) in &unknown_codes {
        println!(
            "  warning: district {code} is not known; its {} postcodes ask a person",
            grouped(*n)
        );
    }
    println!("\n  {:<18}{digest}", "sha-256");
    println!(
        "  {:<18}{:.2} MB in the file, {:.2} MB in memory",
        "size",
        bytes.len() as f64 / 1e6,
        table.memory() as f64 / 1e6
    );
    println!(
        "  {:<18}all {} rows of the source come back, no other postcode is listed",
        "verified",
        grouped(rows as u32)
    );
    println!("\nWritten to {}", out.display());
    Ok(())
}

fn source(path: &Path) -> Result<(Source, Digest), Failed> {
    let bad = |error: io::Error| Failed { code: 2, text: format!("{}: {error}", path.display()) };
    let bytes = fs::read(path).map_err(bad)?;
    let digest = sha256(&bytes);
    let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:40} {percent}% {eta}") {
        bar.set_style(style);
    }
    bar.set_message("Reading");
    let source = read(io::Cursor::new(bytes), &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    Ok((source.map_err(|error| bad_input(path, &error))?, digest))
}

/// The edition from `--edition`, or from a file name with `2025-11`, `2025_11` or `NOV_2025`.
fn edition_of(file: &Path, given: Option<&str>) -> Result<(u16, u8), Failed> {
    // A file that is not there is the first thing to say.
    fs::metadata(file)
        .map_err(|error| Failed { code: 2, text: format!("{}: {error}", file.display()) })?;
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
    let text = given.map(str::to_string).or(name).unwrap_or_default();
    edition_in(&text).ok_or_else(|| Failed {
        code: 2,
        text: "the edition is not known: give it as --edition 2025-11".to_string(),
    })
}

fn edition_in(text: &str) -> Option<(u16, u8)> {
    const MONTHS: [&str; 12] =
        ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
    let upper = text.to_ascii_uppercase();
    let words: Vec<&str> = upper.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let year = |word: &str| word.parse().ok().filter(|y| (2000..2100).contains(y));
    words.windows(2).find_map(|pair| {
        let named = MONTHS.iter().position(|month| pair[0].starts_with(month));
        if let (Some(month), Some(year)) = (named, year(pair[1])) {
            return Some((year, month as u8 + 1));
        }
        let month = pair[1].parse().ok().filter(|m| (1..=12).contains(m))?;
        Some((year(pair[0])?, month))
    })
}

/// All or nothing: a new file beside the old one takes its place only when it is whole and on disk.
fn write(out: &Path, bytes: &[u8]) -> Result<(), Failed> {
    let fault = |error: io::Error| Failed { code: 3, text: format!("{}: {error}", out.display()) };
    files::replace(out, bytes, files::PUBLIC).map_err(fault)
}

fn bad_input(file: &Path, failure: &Failure) -> Failed {
    let code = match failure {
        Failure::Verify | Failure::Data(_) => 3,
        Failure::Shrinks { .. } => 1,
        _ => 2,
    };
    Failed { code, text: format!("{}: {failure}", file.display()) }
}

const fn shape_name(shape: Shape) -> &'static str {
    match shape {
        Shape::Own => "the project's own extract",
        shape => shape.name(),
    }
}

const fn basis(near: NearBasis) -> &'static str {
    match near {
        NearBasis::None => "none",
        NearBasis::Source => "from the source",
        NearBasis::CarriedOver => "carried over from the table in use",
        NearBasis::Measured => "measured from the source's grid references",
    }
}

fn print_counts(table: &PostcodeTable) {
    let counts = table.counts();
    for (label, n) in [
        ("postcodes", counts.total()),
        ("  England", counts.england),
        ("  Scotland", counts.scotland),
        ("  Wales", counts.wales),
        ("  without a place", counts.unplaced),
        ("of these retired", counts.retired),
        ("near a boundary", counts.near),
    ] {
        println!("  {label:<18}{:>12}", grouped(n));
    }
}

fn counts_json(counts: &Counts) -> serde_json::Value {
    json!({
        "total": counts.total(),
        "england": counts.england,
        "scotland": counts.scotland,
        "wales": counts.wales,
        "unplaced": counts.unplaced,
        "retired": counts.retired,
        "near_boundary": counts.near,
    })
}

fn print_attribution(table: &PostcodeTable) {
    println!("\nWherever this data is used, these statements go with it:");
    table.meta().attribution.iter().for_each(|line| println!("  {line}"));
}

pub(super) fn print(value: &serde_json::Value) {
    println!("{value:#}");
}

/// `2,644,272`.
fn grouped(n: u32) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn editions_are_read_from_published_file_names() {
        assert_eq!(edition_in("ONSPD_NOV_2025.zip"), Some((2025, 11)));
        assert_eq!(edition_in("NSPL21_FEB_2025_UK.csv"), Some((2025, 2)));
        assert_eq!(edition_in("gb_postcode_lad_2025-11.csv.gz"), Some((2025, 11)));
        assert_eq!(edition_in("ONSPD_November_2025.zip"), Some((2025, 11)));
        assert_eq!(edition_in("codepo_gb.zip"), None);
        assert_eq!(edition_in("2025-13"), None);
    }

    #[test]
    fn a_table_is_written_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("table");
        assert!(write(&out, b"first").is_ok() && write(&out, b"second").is_ok());
        assert_eq!(fs::read(&out).unwrap(), b"second");
        assert!(write(&folder.path().join("no/such/folder"), b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
