//! `CONFIG`: the settings that Redis's clients ask for, where this server has what they mean.
//!
//! Most follow from the node's own settings, and say so when somebody tries to change them. Those
//! about how Redis lays out values in memory are kept as they are set: values have one layout here,
//! but `OBJECT ENCODING` answers by them.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::Shared;
use super::call::{Answered, Call, Flow};
use super::failure::Refusal;
use super::request::Arguments;
use super::table::{Flags, Spec};
use super::{help, number};
use crate::glob;

pub(super) const COMMANDS: &[Spec] = &[Spec::container("config", SUBCOMMANDS).about(
    "2.0.0",
    "Depends on subcommand.",
    "A container for commands about settings.",
)];

const SUBCOMMANDS: &[Spec] = &[
    Spec::new("get", -3, get).admin().flags(Flags::EARLY).about(
        "2.0.0",
        "O(N) in settings",
        "Returns settings.",
    ),
    Spec::new("help", 2, help::answer).free().about(
        "5.0.0",
        "O(1)",
        "Returns what the subcommands are.",
    ),
    Spec::new("resetstat", 2, resetstat)
        .admin()
        .flags(Flags::EARLY)
        .about("2.0.0", "O(1)", "Lets the figures of INFO begin at zero."),
    Spec::new("rewrite", 2, rewrite)
        .admin()
        .flags(Flags::EARLY)
        .about(
            "2.8.0",
            "O(1)",
            "Would write the settings to a file, of which there is none.",
        ),
    Spec::new("set", -4, set).admin().flags(Flags::EARLY).about(
        "2.0.0",
        "O(N) in settings",
        "Changes settings.",
    ),
];

/// A setting as Redis calls it.
struct Parameter {
    name: &'static str,
    get: fn(&Shared) -> String,
    change: Change,
}

enum Change {
    /// It is fixed while the node runs.
    Never,
    /// It may be set to what it is.
    Only(&'static str),
    /// Checks a value, which [`Settings`] keeps.
    Checked(fn(&str) -> Result<(), &'static str>),
}

/// What was set while the node runs.
#[derive(Debug, Default)]
pub(super) struct Settings {
    kept: parking_lot::Mutex<BTreeMap<&'static str, String>>,
}

const NOT_INTEGER: &str = "argument couldn't be parsed into an integer";

fn seconds(span: Duration) -> String {
    span.as_secs().to_string()
}

fn whole(value: &str) -> Result<(), &'static str> {
    number::integer(value.as_bytes())
        .map(drop)
        .ok_or(NOT_INTEGER)
}

fn positive(value: &str) -> Result<(), &'static str> {
    match number::integer(value.as_bytes()) {
        Some(1..) => Ok(()),
        Some(_) => Err("argument must be between 1 and 9223372036854775807 inclusive"),
        None => Err(NOT_INTEGER),
    }
}

fn natural(value: &str) -> Result<(), &'static str> {
    match number::integer(value.as_bytes()) {
        Some(0..) => Ok(()),
        Some(_) => Err("argument must be between 0 and 9223372036854775807 inclusive"),
        None => Err(NOT_INTEGER),
    }
}

const fn fixed(name: &'static str, get: fn(&Shared) -> String) -> Parameter {
    Parameter {
        name,
        get,
        change: Change::Never,
    }
}

const fn kept(name: &'static str, get: fn(&Shared) -> String) -> Parameter {
    Parameter {
        name,
        get,
        change: Change::Checked(whole),
    }
}

static PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "appendonly",
        get: |_| "no".to_owned(),
        change: Change::Only("no"),
    },
    fixed("bind", |shared| shared.bind().to_string()),
    fixed("client-output-buffer-limit", |shared| {
        let bytes = shared.context.config.pubsub_bytes_max;
        format!("normal 0 0 0 slave 0 0 0 pubsub {bytes} 0 0")
    }),
    fixed("client-query-buffer-limit", |shared| {
        shared.limits.request_bytes_max.to_string()
    }),
    fixed("databases", |_| "1".to_owned()),
    kept("hash-max-listpack-entries", |_| "512".to_owned()),
    kept("hash-max-listpack-value", |_| "64".to_owned()),
    kept("hash-max-ziplist-entries", |_| "512".to_owned()),
    kept("hash-max-ziplist-value", |_| "64".to_owned()),
    kept("list-compress-depth", |_| "0".to_owned()),
    kept("list-max-listpack-size", |_| "-2".to_owned()),
    kept("list-max-ziplist-size", |_| "-2".to_owned()),
    Parameter {
        name: "maxclients",
        get: |shared| shared.context.config.connections_max.to_string(),
        change: Change::Checked(positive),
    },
    fixed("maxmemory", |shared| {
        shared.context.reporter.memory_limit_bytes().to_string()
    }),
    Parameter {
        name: "maxmemory-policy",
        get: |_| "allkeys-lfu".to_owned(),
        change: Change::Only("allkeys-lfu"),
    },
    Parameter {
        name: "notify-keyspace-events",
        get: |_| String::new(),
        change: Change::Only(""),
    },
    fixed("port", |shared| shared.port().to_string()),
    fixed("proto-max-bulk-len", |shared| {
        shared.limits.bulk_bytes_max.to_string()
    }),
    Parameter {
        name: "save",
        get: |_| String::new(),
        change: Change::Only(""),
    },
    kept("set-max-intset-entries", |_| "512".to_owned()),
    // Redis 7.0 has no such sets, 7.2 has: of so many members at most.
    kept("set-max-listpack-entries", |_| "0".to_owned()),
    kept("set-max-listpack-value", |_| "64".to_owned()),
    fixed("tcp-keepalive", |_| seconds(super::listener::KEEPALIVE)),
    Parameter {
        name: "timeout",
        get: |shared| seconds(shared.context.config.resp_idle_timeout),
        change: Change::Checked(natural),
    },
];

/// Up to what size Redis would keep a collection in a compact form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thresholds {
    pub(super) hash_entries: u64,
    pub(super) hash_bytes: u64,
    pub(super) intset_entries: u64,
    pub(super) set_entries: u64,
    pub(super) set_bytes: u64,
}

impl Thresholds {
    /// Of how many items it makes a difference what they are.
    pub(super) fn items_max(&self) -> u64 {
        /// All of them are looked at under the lock of their table.
        const LOOKED_AT_MAX: u64 = 65_536;
        let sets = self.intset_entries.max(self.set_entries);
        self.hash_entries.max(sets).min(LOOKED_AT_MAX)
    }
}

impl Settings {
    fn get(&self, shared: &Shared, parameter: &Parameter) -> String {
        let kept = self.kept.lock().get(one_name(parameter.name)).cloned();
        kept.unwrap_or_else(|| (parameter.get)(shared))
    }

    pub(super) fn thresholds(&self, shared: &Shared) -> Thresholds {
        let number = |name: &str| {
            let found = find(name.as_bytes()).map(|parameter| self.get(shared, parameter));
            // Negative ones hold of nothing.
            found.and_then(|text| text.parse().ok()).unwrap_or(0)
        };
        Thresholds {
            hash_entries: number("hash-max-listpack-entries"),
            hash_bytes: number("hash-max-listpack-value"),
            intset_entries: number("set-max-intset-entries"),
            set_entries: number("set-max-listpack-entries"),
            set_bytes: number("set-max-listpack-value"),
        }
    }
}

/// Some settings have an older name as well.
fn one_name(name: &'static str) -> &'static str {
    match name {
        "hash-max-ziplist-entries" => "hash-max-listpack-entries",
        "hash-max-ziplist-value" => "hash-max-listpack-value",
        "list-max-ziplist-size" => "list-max-listpack-size",
        name => name,
    }
}

fn find(name: &[u8]) -> Option<&'static Parameter> {
    PARAMETERS
        .iter()
        .find(|parameter| parameter.name.as_bytes().eq_ignore_ascii_case(name))
}

fn get(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let patterns: Vec<Vec<u8>> = arguments.from(2).map(<[u8]>::to_ascii_lowercase).collect();
    let wanted = |parameter: &&Parameter| {
        let name = parameter.name.as_bytes();
        patterns.iter().any(|pattern| glob::matches(pattern, name))
    };
    let found: Vec<&Parameter> = PARAMETERS.iter().filter(wanted).collect();
    call.out.map(found.len());
    for parameter in found {
        let value = call.shared.settings.get(call.shared, parameter);
        call.out.text(parameter.name);
        call.out.text(&value);
    }
    Ok(Flow::Done)
}

fn set(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    if !arguments.len().is_multiple_of(2) {
        return Err(Refusal::SYNTAX);
    }
    let mut changes: Vec<(&'static Parameter, String)> = Vec::new();
    // Nothing is changed unless all can be.
    for at in (2..arguments.len()).step_by(2) {
        let Some(parameter) = find(&arguments[at]) else {
            let mut text = b"ERR Unknown option or number of arguments for CONFIG SET - '".to_vec();
            text.extend_from_slice(&arguments[at]);
            text.push(b'\'');
            return Err(Refusal::bytes(text));
        };
        let failed = |why: &str| {
            let name = parameter.name;
            Refusal::text(format!(
                "ERR CONFIG SET failed (possibly related to argument '{name}') - {why}"
            ))
        };
        if changes
            .iter()
            .any(|(other, _)| other.name == parameter.name)
        {
            return Err(failed("duplicate parameter"));
        }
        let value = String::from_utf8_lossy(&arguments[at + 1]).into_owned();
        match parameter.change {
            Change::Never => return Err(failed("can't set immutable config")),
            Change::Only(only) if value == only => {}
            Change::Only(only) => {
                return Err(failed(&format!("this server only has '{only}'")));
            }
            Change::Checked(check) => check(&value).map_err(failed)?,
        }
        changes.push((parameter, value));
    }
    for (parameter, value) in changes {
        apply(call.shared, parameter.name, &value);
        let mut kept = call.shared.settings.kept.lock();
        kept.insert(one_name(parameter.name), value);
    }
    call.out.ok();
    Ok(Flow::Done)
}

/// Puts a setting to use that has a use.
fn apply(shared: &Shared, name: &str, value: &str) {
    let number = number::integer(value.as_bytes()).unwrap_or_default();
    match name {
        "timeout" => {
            let ms = u64::try_from(number)
                .unwrap_or_default()
                .saturating_mul(1_000);
            shared.idle_ms.store(ms, Relaxed);
        }
        "maxclients" => {
            let most = usize::try_from(number).unwrap_or(usize::MAX);
            shared.connections_max.store(most, Relaxed);
        }
        _ => {}
    }
}

fn resetstat(call: Call<'_>, _arguments: Arguments<'_>) -> Answered {
    super::info::reset(call.shared);
    call.out.ok();
    Ok(Flow::Done)
}

fn rewrite(_call: Call<'_>, _arguments: Arguments<'_>) -> Answered {
    Err(Refusal::of(
        "ERR The server is running without a config file",
    ))
}
