//! Files taken apart into records: NDJSON line by line, CSV row by row, GeoJSON feature by feature.
//!
//! Nothing holds more than one record. Values stay the text that they were: no number passes
//! through a machine's. A record that cannot be read is an [`Item`] with its reason, and reading
//! goes on behind it; an error ends the file.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::client::ttl_text;
use super::super::{Usage, pretty};
use super::geojson;
use super::resume::Identity;

/// Longest line of NDJSON: far above any value, far below any memory.
const LINE_BYTES_MAX: u64 = 256 << 20;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// A JSON document on every line.
    Ndjson,
    /// Comma-separated values, with a row of names at the head.
    Csv,
    /// A FeatureCollection.
    Geojson,
}

impl Format {
    /// What the extension tells.
    pub(super) fn of(path: &Path) -> Option<Format> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "ndjson" | "jsonl" => Some(Format::Ndjson),
            "csv" => Some(Format::Csv),
            "geojson" | "json" => Some(Format::Geojson),
            _ => None,
        }
    }
}

/// A file, and how its records are to be understood.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) format: Format,
    pub(super) key: Option<String>,
    pub(super) prefix: String,
    pub(super) ttl: Option<Duration>,
}

/// A record, or why it is none.
pub(super) struct Item {
    /// Such as "line 17".
    pub(super) place: String,
    pub(super) record: Result<Record, String>,
}

/// One line of a batch. Serialized, it is what the node reads.
#[derive(Debug, Serialize)]
pub(super) struct Record {
    op: &'static str,
    pub(super) key: String,
    data: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<Box<RawValue>>,
}

/// Takes an item; says whether to go on.
pub(super) type Sink<'a> = &'a mut dyn FnMut(Item) -> bool;

/// An open file that counts what is read from it.
pub(super) struct Input {
    reader: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
    identity: Option<Identity>,
}

impl Input {
    /// What tells this file from another one; standard input has nothing.
    pub(super) fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// Its length, if it has one.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.identity.map(|identity| identity.bytes)
    }

    /// Counts what has been read so far.
    pub(super) fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.reader.read(buffer)?;
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

/// A line of NDJSON that brings its own key. Other members are refused: a `TTL` that was taken
/// for nothing would be found out too late.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    key: &'a RawValue,
    data: &'a RawValue,
    ttl: Option<&'a RawValue>,
}

impl Source {
    /// Opens the file.
    pub(super) fn open(&self) -> anyhow::Result<Input> {
        let (reader, identity): (Box<dyn Read + Send>, _) = if self.path == Path::new("-") {
            (Box::new(io::stdin()), None)
        } else {
            let shown = self.path.display();
            let file =
                File::open(&self.path).with_context(|| format!("{shown} cannot be opened"))?;
            let about = file.metadata()?;
            anyhow::ensure!(!about.is_dir(), "{shown} is a directory");
            // A pipe has no length, and cannot be read again.
            let identity = about.is_file().then(|| Identity::of(&about));
            (Box::new(file), identity)
        };
        Ok(Input {
            reader,
            read: Arc::default(),
            identity,
        })
    }

    /// How the records are understood, for telling one load from another.
    pub(super) fn describe(&self) -> String {
        let ttl = self.ttl.map(ttl_text);
        format!(
            "{:?} key={:?} prefix={:?} ttl={ttl:?}",
            self.format, self.key, self.prefix
        )
    }

    /// Hands every record to the sink, until it wants no more.
    pub(super) fn read(&self, input: Input, sink: Sink<'_>) -> anyhow::Result<()> {
        let mut reader = BufReader::with_capacity(256 << 10, input);
        match self.format {
            Format::Csv => self.read_csv(reader, sink),
            Format::Ndjson => {
                skip_byte_order_mark(&mut reader)?;
                self.read_lines(reader, sink)
            }
            Format::Geojson => {
                skip_byte_order_mark(&mut reader)?;
                geojson::read(reader, &mut |number, feature| {
                    sink(Item {
                        place: format!("feature {number}"),
                        record: self.keyed(&feature, "id"),
                    })
                })
            }
        }
    }

    fn read_lines(&self, mut reader: impl BufRead, sink: Sink<'_>) -> anyhow::Result<()> {
        let mut line = Vec::new();
        for number in 1u64.. {
            line.clear();
            let bytes = reader
                .by_ref()
                .take(LINE_BYTES_MAX)
                .read_until(b'\n', &mut line)?;
            if bytes == 0 {
                break;
            }
            anyhow::ensure!(
                (bytes as u64) < LINE_BYTES_MAX,
                "line {number} is longer than {LINE_BYTES_MAX} bytes: this is no NDJSON"
            );
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            let item = Item {
                place: format!("line {number}"),
                record: self.line(line),
            };
            if !sink(item) {
                break;
            }
        }
        Ok(())
    }

    fn line(&self, line: &[u8]) -> Result<Record, String> {
        if let Some(key) = &self.key {
            return self.keyed(serde_json::from_slice(line).map_err(brief)?, key);
        }
        let line: Line<'_> = serde_json::from_slice(line).map_err(brief)?;
        let ttl = line.ttl.map(ToOwned::to_owned);
        self.record(&key_text(line.key)?, line.data, ttl)
    }

    fn keyed(&self, value: &RawValue, default: &str) -> Result<Record, String> {
        let path = self.key.as_deref().unwrap_or(default);
        let found = member(value, path)?.ok_or_else(|| format!("there is no member {path}"))?;
        self.record(&key_text(&found)?, value, None)
    }

    fn record(
        &self,
        key: &str,
        data: &RawValue,
        ttl: Option<Box<RawValue>>,
    ) -> Result<Record, String> {
        let raw = |json| RawValue::from_string(json).map_err(brief);
        let ttl = match (ttl, self.ttl) {
            (Some(ttl), _) => Some(ttl),
            (None, Some(ttl)) => Some(raw(format!("\"{}\"", ttl_text(ttl)))?),
            (None, None) => None,
        };
        Ok(Record {
            op: "put",
            key: format!("{}{key}", self.prefix),
            // A value may come on several lines, but a line of a batch is one.
            data: raw(pretty::compact(data.get()))?,
            ttl,
        })
    }

    fn read_csv(&self, reader: impl Read, sink: Sink<'_>) -> anyhow::Result<()> {
        let mut csv = csv::ReaderBuilder::new().from_reader(reader);
        let names: Vec<String> = csv
            .headers()
            .context("the row of names at the head")?
            .iter()
            .map(str::to_owned)
            .collect();
        let column = self.column(&names)?;
        for row in csv.records() {
            let (place, record) = match row {
                Ok(row) => (place_of(row.position()), self.row(&names, &row, column)),
                Err(error) => {
                    let place = place_of(error.position());
                    match error.into_kind() {
                        csv::ErrorKind::UnequalLengths {
                            expected_len, len, ..
                        } => (
                            place,
                            Err(format!("it has {len} fields, not {expected_len}")),
                        ),
                        csv::ErrorKind::Utf8 { .. } => (place, Err("it is not UTF-8".to_owned())),
                        csv::ErrorKind::Io(error) => return Err(error.into()),
                        other => anyhow::bail!("the file is no CSV: {other:?}"),
                    }
                }
            };
            if !sink(Item { place, record }) {
                break;
            }
        }
        Ok(())
    }

    fn column(&self, names: &[String]) -> anyhow::Result<usize> {
        let mut seen = BTreeMap::new();
        if let Some(twice) = names.iter().find(|name| seen.insert(*name, ()).is_some()) {
            anyhow::bail!("two columns are called {twice}: one would hide the other");
        }
        let key = self.key.as_deref().unwrap_or_default();
        names.iter().position(|name| name == key).ok_or_else(|| {
            Usage(format!(
                "--key: there is no column {key}; there are: {}",
                names.join(", ")
            ))
            .into()
        })
    }

    fn row(
        &self,
        names: &[String],
        row: &csv::StringRecord,
        column: usize,
    ) -> Result<Record, String> {
        let mut json = String::from("{");
        for (name, text) in names.iter().zip(row) {
            if json.len() > 1 {
                json.push(',');
            }
            let quoted = |text: &str| serde_json::to_string(text).map_err(brief);
            json.push_str(&quoted(name)?);
            json.push(':');
            json.push_str(&quoted(text)?);
        }
        json.push('}');
        let data = RawValue::from_string(json).map_err(brief)?;
        self.record(&row[column], &data, None)
    }
}

fn place_of(position: Option<&csv::Position>) -> String {
    match position {
        Some(position) => format!("line {}", position.line()),
        None => "a row".to_owned(),
    }
}

/// The parser adds "at line 1 column n", where a record is always on its own line 1.
fn brief(error: serde_json::Error) -> String {
    error.to_string().replace("line 1 column", "column")
}

fn skip_byte_order_mark(reader: &mut impl BufRead) -> io::Result<()> {
    if reader.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
        reader.consume(3);
    }
    Ok(())
}

/// The member that a dotted path leads to. A name with dots of its own is found first.
fn member(value: &RawValue, path: &str) -> Result<Option<Box<RawValue>>, String> {
    let Ok(members) = serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(value.get()) else {
        return Err("it is not an object".to_owned());
    };
    if let Some(found) = members.get(path) {
        return Ok(Some((*found).to_owned()));
    }
    match path.split_once('.') {
        Some((first, rest)) => match members.get(first) {
            Some(inner) => member(inner, rest),
            None => Ok(None),
        },
        None => Ok(None),
    }
}

/// A key is text or an integer, and an integer is its digits.
fn key_text(key: &RawValue) -> Result<String, String> {
    let text = key.get();
    if text.starts_with('"') {
        return serde_json::from_str(text).map_err(brief);
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    let shown: String = text.chars().take(40).collect();
    Err(format!(
        "the key is {shown}, which is neither text nor an integer"
    ))
}

#[cfg(test)]
mod tests;
