//! How values of settings are written for `--print-config` and help: each as the file would have it.
//!
//! Used by the list of settings only.

use std::collections::BTreeMap;

use super::Shown;
use crate::config::value::{Raw, Reject};
use crate::config::{Policy, Port};

/// Empty means none.
pub(super) fn optional<T>(
    raw: &Raw,
    read: impl FnOnce(&Raw) -> Result<T, Reject>,
) -> Result<Option<T>, Reject> {
    if raw.is_empty() {
        return Ok(None);
    }
    read(raw).map(Some)
}

pub(super) fn plain(value: impl ToString) -> Shown {
    Shown::Yaml(value.to_string())
}

pub(super) fn quoted(value: impl ToString) -> Shown {
    Shown::Yaml(quote(&value.to_string()))
}

/// A JSON string is a YAML string too.
pub(super) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

pub(super) fn port(port: Port) -> Shown {
    match port {
        Port::Exactly(number) => plain(number),
        Port::Preferred(number) => Shown::Comment(format!("{number}, or the next free one")),
    }
}

/// In the largest binary unit that leaves no remainder.
pub(super) fn size(bytes: u64) -> Shown {
    let unit = [(30, "GiB"), (20, "MiB"), (10, "KiB")]
        .into_iter()
        .find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    match unit {
        Some((shift, unit)) => plain(format!("{}{unit}", bytes >> shift)),
        None => plain(bytes),
    }
}

pub(super) fn span(span: std::time::Duration) -> Shown {
    quoted(humantime::format_duration(span))
}

/// A table of tables on one line.
pub(super) fn policies(policies: &BTreeMap<String, Policy>) -> Shown {
    let one = |(name, policy): (&String, &Policy)| {
        let backups = policy.backups.map(|count| format!("backups: {count}"));
        let acknowledge = policy.acknowledge.map(|by| format!("acknowledge: {by}"));
        let fields: Vec<String> = backups.into_iter().chain(acknowledge).collect();
        format!("{}: {{{}}}", quote(name), fields.join(", "))
    };
    let all: Vec<String> = policies.iter().map(one).collect();
    Shown::Yaml(format!("{{{}}}", all.join(", ")))
}
