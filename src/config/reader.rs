//! Reads a TOML file key by key and remembers every mistake with its line, instead of stopping at
//! the first one.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::values::Value;

/// Looks up an environment variable: an argument, so that tests bring their own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// One mistake in a configuration file. Values are never repeated: somebody may have pasted a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Line of the file, from 1; 0 for what is not in the file.
    pub line: usize,
    /// Path of the key: `trust.roots`; empty for the file as a whole.
    pub key: String,
    /// What is wrong and what is expected.
    pub message: String,
}

/// Every mistake of one file, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes {
    /// The file.
    pub file: PathBuf,
    /// At least one.
    pub list: Vec<Mistake>,
}

impl fmt::Display for Mistakes {
    /// One line each: `gateway.toml:12: trust.roots: missing`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mistake) in self.list.iter().enumerate() {
            f.write_str(if i > 0 { "\n" } else { "" })?;
            write!(f, "{}:", self.file.display())?;
            if mistake.line > 0 {
                write!(f, "{}:", mistake.line)?;
            }
            if !mistake.key.is_empty() {
                write!(f, " {}:", mistake.key)?;
            }
            write!(f, " {}", mistake.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// The file being read.
pub(super) struct Reader<'a> {
    text: &'a str,
    folder: &'a Path,
    environment: Environment<'a>,
    mistakes: Vec<Mistake>,
}

/// One table of the file.
pub(super) struct Section<'r, 'a> {
    reader: &'r mut Reader<'a>,
    table: &'r DeTable<'r>,
    /// `trust.` for the keys of `[trust]`.
    prefix: String,
    line: usize,
    used: Vec<&'static str>,
}

/// Reads `text` as the file `file` with `read`, which takes every key that it knows. Any mistake
/// makes the whole file refused.
pub(super) fn read<T>(
    file: &Path,
    text: &str,
    environment: Environment<'_>,
    read: impl FnOnce(&mut Section<'_, '_>) -> Option<T>,
) -> Result<T, Mistakes> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut reader = Reader { text, folder, environment, mistakes: Vec::new() };
    let (table, faults) = DeTable::parse_recoverable(text);
    for fault in faults {
        let line = reader.line(fault.span().unwrap_or_default());
        let message = format!("not TOML: {}", fault.message());
        reader.mistakes.push(Mistake { line, key: String::new(), message });
    }
    let value = if reader.mistakes.is_empty() {
        reader.section(table.get_ref(), String::new(), 1, read)
    } else {
        None
    };
    let mut list = reader.mistakes;
    list.sort();
    match value {
        Some(value) if list.is_empty() => Ok(value),
        _ => Err(Mistakes { file: file.to_owned(), list }),
    }
}

impl<'a> Reader<'a> {
    fn line(&self, span: Range<usize>) -> usize {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        before.iter().filter(|c| **c == b'\n').count() + 1
    }

    fn section<T>(
        &mut self,
        table: &DeTable<'_>,
        prefix: String,
        line: usize,
        read: impl FnOnce(&mut Section<'_, 'a>) -> T,
    ) -> T {
        let mut section = Section { reader: self, table, prefix, line, used: Vec::new() };
        let value = read(&mut section);
        let used = std::mem::take(&mut section.used);
        let prefix = std::mem::take(&mut section.prefix);
        for (key, _) in table {
            if !used.contains(&key.get_ref().as_ref()) {
                let line = self.line(key.span());
                let mut known: Vec<&str> = used.clone();
                known.sort_unstable();
                let message = format!("unknown key; known here: {}", known.join(", "));
                self.mistakes.push(Mistake {
                    line,
                    key: format!("{prefix}{}", key.get_ref()),
                    message,
                });
            }
        }
        value
    }
}

impl<'a> Section<'_, 'a> {
    /// A key that must be there.
    pub fn required<V: Value>(&mut self, key: &'static str) -> Option<V> {
        let value = self.optional(key);
        if value.is_none() && !self.has(key) {
            let message = format!("missing: {}", V::FORM);
            self.mistake(self.line, key, message);
        }
        value
    }

    /// A key that may be absent.
    pub fn optional<V: Value>(&mut self, key: &'static str) -> Option<V> {
        self.used.push(key);
        let (name, value) = find(self.table, key)?;
        match V::from_toml(value, self.reader.folder, self.reader.environment) {
            Ok(value) => Some(value),
            Err(message) => {
                let line = self.reader.line(name);
                self.mistake(line, key, message);
                None
            }
        }
    }

    /// The same, where the environment variable `variable` wins over the file.
    pub fn overridable<V: Value>(&mut self, key: &'static str, variable: &str) -> Option<V> {
        let in_file = self.optional(key);
        let Some(text) = (self.reader.environment)(variable) else { return in_file };
        match V::from_text(&text, self.reader.folder, self.reader.environment) {
            Ok(value) => Some(value),
            Err(message) => {
                self.mistake(0, key, format!("environment variable {variable}: {message}"));
                None
            }
        }
    }

    /// A key with a default and bounds, both inclusive.
    pub fn bounded<V: Value + PartialOrd + fmt::Display>(
        &mut self,
        key: &'static str,
        default: V,
        bounds: (V, V),
    ) -> V {
        let Some(value) = self.optional::<V>(key) else { return default };
        if value < bounds.0 || bounds.1 < value {
            let message = format!("must be between {} and {}", bounds.0, bounds.1);
            let line = self.line_of(key);
            self.mistake(line, key, message);
        }
        value
    }

    /// A table within this one. An absent one reads as empty, so that each key that it must have
    /// is reported.
    pub fn section<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_, 'a>) -> T,
    ) -> T {
        self.used.push(key);
        let empty = DeTable::new();
        let prefix = format!("{}{key}.", self.prefix);
        let found = find(self.table, key);
        let line = found.as_ref().map_or(self.line, |(name, _)| self.reader.line(name.clone()));
        let table = found.map(|(_, value)| value);
        if table.is_some_and(|value| value.as_table().is_none()) {
            self.mistake(line, key, format!("must be a table: [{}{key}]", self.prefix));
        }
        let table = table.and_then(DeValue::as_table).unwrap_or(&empty);
        self.reader.section(table, prefix, line, read)
    }

    /// Whether the file has this key.
    pub fn has(&self, key: &str) -> bool {
        find(self.table, key).is_some()
    }

    /// Reports a mistake at a key of this table.
    pub fn wrong(&mut self, key: &'static str, message: impl Into<String>) {
        let line = self.line_of(key);
        self.mistake(line, key, message.into());
    }

    /// An environment variable.
    pub fn environment(&self, variable: &str) -> Option<String> {
        (self.reader.environment)(variable)
    }

    fn line_of(&self, key: &str) -> usize {
        find(self.table, key).map_or(self.line, |(name, _)| self.reader.line(name))
    }

    fn mistake(&mut self, line: usize, key: &str, message: String) {
        let key = format!("{}{key}", self.prefix);
        self.reader.mistakes.push(Mistake { line, key, message });
    }
}

fn find<'t>(table: &'t DeTable<'t>, key: &str) -> Option<(Range<usize>, &'t DeValue<'t>)> {
    let (name, value) = table.iter().find(|(name, _)| name.get_ref().as_ref() == key)?;
    Some((name.span(), value.get_ref()))
}
