//! The layers, enforced by reading the source: a module imports only from those before it. And the
//! small rules of tidiness that no lint knows.

use std::fs;
use std::path::{Path, PathBuf};

/// From the lowest to the highest; see `src/lib.rs`.
const LAYERS: [&str; 14] = [
    "domain",
    "effects",
    "telemetry",
    "protocol",
    "store",
    "http",
    "party",
    "gateway",
    "authority",
    "school",
    "report",
    "config",
    "app",
    "cli",
];
/// What the lowest layer may name besides itself.
const IN_DOMAIN: [&str; 3] = ["std", "core", "crate"];
/// Lines of a file without its tests.
const LONGEST_FILE: usize = 500;
/// Files above it that existed before the limit was checked. The list may only shrink.
const LONG_FILES: [&str; 1] = ["src/store/contract/gateway.rs"];
/// The only fields and placeholders of log lines: ids, codes, counts, times, and words of our own.
/// Nothing that a peer wrote in free text may hide behind one of them.
const LOG_FIELDS: [&str; 26] = [
    "attempt",
    "authority",
    "connections",
    "detail",
    "digest",
    "fault",
    "faults",
    "gateway",
    "kind",
    "left_out",
    "level",
    "peer",
    "purged",
    "purpose",
    "reason",
    "referral",
    "request_id",
    "rewrapped",
    "rule",
    "school",
    "settled",
    "status",
    "version",
    "waiting",
    "what",
    "x5t",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// The code of a file: without comments, without what stands behind `#[cfg(test)]` at its end.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().enumerate().take_while(|(_, line)| *line != "#[cfg(test)]");
    lines.map(|(i, line)| (i + 1, line.split("//").next().unwrap_or_default().to_owned())).collect()
}

/// Test modules that live in files of their own.
fn is_test_file(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    stem == "tests" || stem.starts_with("test_") || name(path).contains("/tests/")
}

fn layer(path: &Path) -> Option<&'static str> {
    let name = name(path);
    let first = name.strip_prefix("src/")?.split(['/', '.']).next()?.to_owned();
    LAYERS.into_iter().find(|layer| *layer == first)
}

/// The layers that a line of code names behind `crate::`, in a group of imports too.
fn named(line: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    for part in line.split("crate::").skip(1) {
        let word = |text: &str| {
            let end = text.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(text.len());
            LAYERS.into_iter().find(|layer| *layer == &text[..end])
        };
        match part.strip_prefix('{') {
            Some(group) => found.extend(group.split(',').filter_map(|text| word(text.trim()))),
            None => found.extend(word(part)),
        }
    }
    found
}

#[test]
fn a_module_imports_only_from_lower_layers() {
    let rank = |layer| LAYERS.iter().position(|l| *l == layer).unwrap();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for path in files("src", "rs").iter().filter(|path| !is_test_file(path)) {
        let Some(own) = layer(path) else { continue };
        for (number, line) in code(path) {
            for used in named(&line) {
                seen += 1;
                if rank(used) > rank(own) {
                    wrong.push(format!("{}:{number}: {own} names {used}", name(path)));
                }
            }
        }
    }
    assert!(seen > 100, "the scan finds imports");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_scan_sees_groups_and_paths() {
    assert_eq!(named("use crate::{domain::ids, store};"), ["domain", "store"]);
    assert_eq!(named("let x = crate::http::client();"), ["http"]);
    assert_eq!(named("use crate::cli;"), ["cli"]);
    assert!(named("use crate::apple::x;").is_empty());
}

#[test]
fn the_domain_needs_nothing_but_std() {
    let mut wrong = Vec::new();
    for path in files("src/domain", "rs").iter().filter(|path| !is_test_file(path)) {
        for (number, line) in code(path) {
            let line =
                line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            let Some(used) = line.strip_prefix("use ") else { continue };
            let first = used.split([':', ';', ' ', '{']).next().unwrap_or_default();
            let local =
                matches!(first, "super" | "self") || root().join("src/domain").join(first).exists();
            let sibling = path.parent().is_some_and(|folder| {
                folder.join(first).exists() || folder.join(format!("{first}.rs")).exists()
            }) || path.with_extension("").join(format!("{first}.rs")).exists();
            let own_type = first.starts_with(|c: char| c.is_ascii_uppercase());
            if !(IN_DOMAIN.contains(&first) || local || sibling || own_type) {
                wrong.push(format!("{}:{number}: {used}", name(path)));
            }
        }
        let text: String = code(path).into_iter().map(|(_, line)| line + "\n").collect();
        for banned in ["serde", "tokio::", "std::fs", "std::net::", "SystemTime", "std::env"] {
            if text.contains(banned) {
                wrong.push(format!("{}: {banned}", name(path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_owns_and_stays_short() {
    let mut wrong = Vec::new();
    for path in files("src", "rs").into_iter().chain(files("tests", "rs")) {
        let text = fs::read_to_string(&path).unwrap();
        let name = name(&path);
        let says = text.starts_with("//! ") || text.starts_with("#![doc");
        if !says && !is_test_file(&path) {
            wrong.push(format!("{name}: does not start with //!"));
        }
        let own_lines = code(&path).len();
        let checked = name.starts_with("src/") && !is_test_file(&path);
        if checked && own_lines > LONGEST_FILE && !LONG_FILES.contains(&name.as_str()) {
            wrong.push(format!("{name}: {own_lines} lines, at most {LONGEST_FILE}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_unfinished_and_no_way_around() {
    // Written in two parts, so that this file does not find itself.
    let everywhere =
        [["TO", "DO"], ["FIX", "ME"], ["todo", "!("], ["unimplemented", "!("], ["dbg", "!("]];
    let in_source = [["println", "!("], ["eprintln", "!("], ["process::", "exit("]];
    let mut wrong = Vec::new();
    for path in files("src", "rs").into_iter().chain(files("tests", "rs")) {
        let name = name(&path);
        let text = fs::read_to_string(&path).unwrap();
        for word in everywhere.map(|parts| parts.concat()) {
            if text.contains(&word) {
                wrong.push(format!("{name}: {word}"));
            }
        }
        if !name.starts_with("src/") || is_test_file(&path) {
            continue;
        }
        let code: String = code(&path).into_iter().map(|(_, line)| line + "\n").collect();
        for word in in_source.map(|parts| parts.concat()) {
            if layer(&path) != Some("cli") && code.contains(&word) {
                wrong.push(format!("{name}: {word} outside of cli"));
            }
        }
        let unsafe_word = ["unsafe", " {"].concat();
        if code.contains(&unsafe_word) {
            wrong.push(format!("{name}: unsafe"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Names of the fields and of the placeholders in the message of each log line in some code.
fn logged(code: &str) -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    for level in ["error", "warn", "info", "debug", "trace"] {
        for rest in code.split(&format!("tracing::{level}!(")).skip(1) {
            let (fields, rest) = rest.split_once('"').unwrap_or((rest, ""));
            let message = rest.split('"').next().unwrap_or_default();
            // A comma inside of brackets belongs to an expression, not between fields.
            let mut depth = 0;
            let outside = fields.chars().map(|c| {
                depth += i32::from("([{".contains(c)) - i32::from(")]}".contains(c));
                if c == ',' && depth > 0 { ' ' } else { c }
            });
            let outside: String = outside.collect();
            let name = |field: &str| {
                let name = field.split('=').next().unwrap_or_default();
                name.trim().trim_start_matches(['%', '?']).to_owned()
            };
            let fields = outside.split(',').map(name).filter(|name| !name.is_empty());
            let placeholders = message
                .split('{')
                .skip(1)
                .map(|text| text.split(['}', ':']).next().unwrap_or_default().to_owned());
            lines.push(fields.chain(placeholders).collect());
        }
    }
    lines
}

#[test]
fn log_lines_have_known_fields_only() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for path in files("src", "rs").iter().filter(|path| layer(path) != Some("telemetry")) {
        let code: String = code(path).into_iter().map(|(_, line)| line + "\n").collect();
        for name_of_field in logged(&code).into_iter().inspect(|_| seen += 1).flatten() {
            if !LOG_FIELDS.contains(&name_of_field.as_str()) {
                wrong.push(format!("{}: {name_of_field}", name(path)));
            }
        }
    }
    assert!(seen > 10, "the scan finds log lines");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_scan_sees_fields_and_placeholders() {
    let found = logged("tracing::info!(rule, x5t = %f(a, b), ?child, \"said {name:?} {}\")");
    assert_eq!(found, [["rule", "x5t", "child", "name", ""]]);
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let reasons = fs::read_to_string(root().join(".docs/decisions.md")).unwrap();
    let mut section = "";
    let mut checked = 0;
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if matches!(section, "[dependencies]" | "[dev-dependencies]")
            && let Some((dependency, _)) = line.split_once(" = ")
            && !dependency.starts_with('#')
        {
            checked += 1;
            assert!(reasons.contains(&format!("`{dependency}`")), "{dependency} has no reason");
        }
    }
    assert!(checked > 30);
}
