//! The command line: `smache serve`, and client commands against any node.
//!
//! Results go to standard output, everything else to standard error. A command ends in an
//! [`Outcome`] or an error; this is where both become exit codes. Progress and colours are for
//! terminals only, and `NO_COLOR` is honoured.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

mod certs;
mod client;
mod handoff;
mod keys;
mod load;
mod pretty;
mod run;
mod scan;
mod serve;
mod status;
mod watch;

const AFTER_HELP: &str = "\
Examples:
  smache serve                                        a node on port 4000
  smache serve --port 4001 --node-name two@localhost --uplinks localhost
                                                      a second one, which joins the first
  smache put greeting '{\"text\":\"hello\"}' --ttl 30s    keep a document for thirty seconds
  smache get greeting                                 and have it back
  smache run HSET user:7 name Ada                     a command of the Redis protocol
  smache run                                          a prompt for such commands
  smache keys 'user:*'                                keys that match a pattern
  smache watch user:                                  what becomes of keys that begin so
  smache load airports.csv --key iata                 one document for every row
  smache status                                       members, partitions, copies, keys, memory
  smache handoff pause                                have entries from other nodes wait
  smache certs certs --name one@localhost             certificates for TLS between nodes

Exit codes:
  0    done
  1    failed, or there is no such key
  2    the command line or the settings are wrong
  130  interrupted";

/// A self-sharding JSON cache: every node started beside the others becomes a shard.
#[derive(Parser)]
#[command(name = "smache", version, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a node.
    Serve(serve::Args),
    /// Print the value of a key.
    Get(keys::Get),
    /// Store a value under a key.
    Put(keys::Put),
    /// Remove a key.
    Del(keys::Del),
    /// Carry out a command of the Redis protocol; without one, begin a prompt.
    Run(run::Args),
    /// List keys that match a pattern.
    Keys(scan::Args),
    /// Follow keys: print what becomes of them.
    Watch(watch::Args),
    /// Show a node's cluster: members, partitions, copies, keys, memory, hit ratio.
    Status(status::Args),
    /// Show handoffs to a node, pause them, or let them go on.
    Handoff(handoff::Args),
    /// Load a file: NDJSON, CSV or GeoJSON.
    Load(load::Args),
    /// Make a development CA, and certificates for nodes.
    Certs(certs::Args),
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  smache completions bash > \
                            ~/.local/share/bash-completion/completions/smache")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// How a command ended that did not break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// The answer is no: a miss, a condition that did not hold, records that were refused. What it
    /// was has been said.
    Negative,
    /// By a signal of this number.
    Interrupted(u8),
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> ExitCode {
        match outcome {
            Outcome::Done => ExitCode::SUCCESS,
            Outcome::Negative => ExitCode::from(1),
            Outcome::Interrupted(signal) => ExitCode::from(128 + signal),
        }
    }
}

/// The command line or a setting is wrong: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Reads the command line and does what it says.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    run(cli.command).map_or_else(|error| report(&error), ExitCode::from)
}

fn run(command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Serve(args) => serve::run(args),
        Command::Get(args) => client::block_on(args.run()),
        Command::Put(args) => client::block_on(args.run()),
        Command::Del(args) => client::block_on(args.run()),
        Command::Run(args) => client::block_on(args.run()),
        Command::Keys(args) => client::block_on(args.run()),
        Command::Watch(args) => client::block_on(args.run()),
        Command::Status(args) => client::block_on(args.run()),
        Command::Handoff(args) => client::block_on(args.run()),
        Command::Load(args) => client::block_on(args.run()),
        Command::Certs(args) => args.run(),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "smache", &mut script);
            print(&script)?;
            Ok(Outcome::Done)
        }
    }
}

fn report(error: &anyhow::Error) -> ExitCode {
    say(&format!("error: {error:#}"));
    ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
}

/// Writes a result. A reader that has gone, as in `smache get k | head -1`, is no failure.
fn print(bytes: &[u8]) -> io::Result<()> {
    deliver(bytes).map(|_| ())
}

/// Writes a part of a result. False if its reader has gone, so that no more need be made.
fn deliver(bytes: &[u8]) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        result => result.map(|()| true),
    }
}

/// Writes a message. If even standard error is closed there is nobody left to tell.
fn say(message: &str) {
    let _ = writeln!(io::stderr().lock(), "{message}");
}

/// Whether colours are wanted on a stream: it is a terminal, and nobody has said no.
fn in_colour(stream: &impl io::IsTerminal) -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !no_color
}

/// Text of unknown origin made harmless for a terminal.
fn harmless(text: &str) -> String {
    text.replace(|c: char| c.is_control() || pretty::steers(c), "\u{fffd}")
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, want) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), want);
        }
    }
}
