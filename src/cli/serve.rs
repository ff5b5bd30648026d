//! `smache serve`: settings, log, runtime, node, in this order.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, FromArgMatches};
use tracing_subscriber::EnvFilter;

use smache::config::settings::{Draft, Form, SETTINGS, Setting, Shown, variable};
use smache::config::value::Raw;
use smache::config::{Config, Loaded, LogFormat, load};

use super::{Outcome, Usage, in_colour, print, say};

const AFTER_HELP: &str = "\
Settings come from flags, then SMACHE_ variables, then PORT, UPLINK_NODE, COOKIE and NODE_NAME, then
the file, then the defaults; the first that has a value wins. In a file, the names are those of the
flags. A malformed value stops the start wherever it stands.

Sizes are bytes or have a unit: 100MB is 100,000,000 bytes, 64MiB is 67,108,864. Times have a unit:
300ms, 2s, 5m, 1h.

Examples:
  smache serve --port 4001 --node-name two@localhost --uplinks localhost:4500
  SMACHE_MAX_MEMORY=512MiB smache serve --bind 0.0.0.0
  smache serve --print-config > smache.yaml && smache serve --config smache.yaml";

/// Run a node.
///
/// Listens on this machine only, unless bind and cluster-bind say otherwise. SIGTERM and Ctrl-C
/// let it leave its cluster in order; a second one ends it at once.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// File with settings: YAML (.yaml, .yml) or TOML (.toml) [env: SMACHE_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the settings in effect as a YAML file, with where each came from, and end.
    #[arg(long)]
    print_config: bool,
    #[command(flatten)]
    flags: Flags,
}

/// The flags of all settings, made from the one list of them.
struct Flags(Vec<(String, Raw)>);

impl clap::Args for Flags {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.args(SETTINGS.iter().map(arg))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Flags::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Flags, clap::Error> {
        let mut flags = Vec::new();
        for setting in SETTINGS {
            let Some(values) = matches.get_many::<String>(setting.name) else {
                continue;
            };
            let mut values: Vec<String> = values.cloned().collect();
            let raw = match (setting.form, values.pop()) {
                (Form::One | Form::Switch, Some(value)) => Raw::Text(value),
                (_, last) => Raw::List(values.into_iter().chain(last).collect()),
            };
            flags.push((setting.name.to_owned(), raw));
        }
        Ok(Flags(flags))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Flags::from_arg_matches(matches)?;
        Ok(())
    }
}

fn arg(setting: &'static Setting) -> Arg {
    let arg = Arg::new(setting.name)
        .long(setting.name)
        .aliases(setting.aliases)
        .value_name(setting.placeholder)
        .help(help(setting))
        .help_heading(setting.group)
        // `--port -1` should be told what a port is, not that there is no flag -1.
        .allow_negative_numbers(true);
    match setting.form {
        Form::One => arg.action(ArgAction::Set),
        Form::Many => arg.action(ArgAction::Append),
        Form::Switch => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
    }
}

fn help(setting: &Setting) -> String {
    let own = variable(setting.name);
    let variables = match setting.variable {
        Some(plain) => format!("{own}, {plain}"),
        None => own,
    };
    let default = match (setting.show)(&Draft::default()) {
        Shown::Yaml(value) | Shown::Comment(value) => value.replace('"', ""),
    };
    match default.as_str() {
        "[]" | "{}" => format!("{} [env: {variables}]", setting.help),
        default => format!("{} [env: {variables}] [default: {default}]", setting.help),
    }
}

/// Loads the settings, then prints them or runs a node until it is told to stop.
pub(super) fn run(args: Args) -> anyhow::Result<Outcome> {
    let variables: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let loaded = load(args.flags.0, variables, args.config.as_deref())
        .map_err(|error| Usage(error.to_string()))?;
    if args.print_config {
        for warning in &loaded.warnings {
            say(&format!("warning: {warning}"));
        }
        print(loaded.to_yaml().as_bytes())?;
        return Ok(Outcome::Done);
    }
    start(loaded)
}

fn start(loaded: Loaded) -> anyhow::Result<Outcome> {
    let Loaded {
        config, warnings, ..
    } = loaded;
    init_log(&config)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if config.threads > 0 {
        runtime.worker_threads(config.threads);
    }
    let runtime = runtime
        .thread_name("smache")
        .enable_all()
        .build()
        .context("the runtime cannot start")?;
    let served = runtime.block_on(smache::node::serve(config));
    // What still runs after an orderly stop, or a forced one, is not waited for.
    runtime.shutdown_background();
    match served {
        Err(error @ smache::node::Error::File(_)) => Err(Usage(error.to_string()).into()),
        served => Ok(served.map(|()| Outcome::Done)?),
    }
}

/// Sends the log to standard error, coloured only for a terminal that wants it.
fn init_log(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter(&config.log)).context("the log filter")?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(in_colour(&std::io::stderr()));
    match config.log_format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    }
    .map_err(|error| anyhow::anyhow!("the log cannot start: {error}"))
}

/// The filter with the actor framework kept quiet: it tells of every session at info. A directive
/// that names it still wins, since it comes later.
fn filter(log: &str) -> String {
    let is = |level: &str| {
        log.split(',')
            .any(|word| word.trim().eq_ignore_ascii_case(level))
    };
    let level = match () {
        () if is("off") => "off",
        () => "error",
    };
    format!("ractor={level},ractor_cluster={level},{log}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_framework_is_never_louder_than_the_rest() {
        assert_eq!(filter("info"), "ractor=error,ractor_cluster=error,info");
        assert_eq!(filter("off"), "ractor=off,ractor_cluster=off,off");
        assert_eq!(
            filter("Error,smache=info"),
            "ractor=error,ractor_cluster=error,Error,smache=info"
        );
        let named = EnvFilter::try_new(filter("info,ractor=debug"))
            .unwrap()
            .to_string();
        assert!(
            named.contains("ractor=debug") && !named.contains("ractor=error"),
            "{named}"
        );
    }
}
