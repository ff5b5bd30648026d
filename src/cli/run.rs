//! `smache run`: commands of the Redis protocol, from the command line, from lines, or at a prompt.
//!
//! A command goes to the node as it is: what exists and what it means is the node's to say. What is
//! read here is the quoting of lines, by the rules of the node itself.

use std::ffi::OsString;
use std::io::IsTerminal as _;

use bytes::Bytes;
use smache::client::{Cache as _, Client, Reply, words};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use self::print::Style;
use super::client::{NodeArgs, explain};
use super::{Outcome, Usage, harmless, in_colour, print as write, say};

mod history;
mod print;
mod prompt;

/// The longest line that is read; values that are longer are none for a line.
const LINE_BYTES_MAX: usize = 64 << 20;

/// Carry out a command of the Redis protocol; without one, begin a prompt.
///
/// On a terminal replies are shown with their types, and documents over several lines. Elsewhere they
/// are written as they are, an element a line. Options come before the command.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  smache run HSET user:7 name Ada             carry one command out
  smache run --json HGETALL user:7            its reply as JSON
  smache run 'SET greeting \"hello there\"'     a line with quotes of its own
  smache run                                  a prompt
  smache run < commands.txt                   a command a line

At the prompt, Tab completes names of commands, and exit or Ctrl-D ends. Up to 1,000 lines are
remembered in $XDG_STATE_HOME/smache/history, or ~/.local/state/smache/history, which only its owner
can read; lines that begin with a space and those with AUTH are not. --no-history, or an empty
SMACHE_HISTORY, turns that off; SMACHE_HISTORY may name another file.

Lines are read when standard input is no terminal. Empty ones and those that begin with # are passed
over. The first error ends the run, unless --keep-going is said; then exit code 1 tells that there was
one. With --json there is one line for each command, {\"error\":…} for one that failed.

What lasts, as SUBSCRIBE and MONITOR do, is not for run: smache watch follows keys.

Exit code 1 if a command fails, 2 if quotes do not match or the command line is wrong.")]
pub(super) struct Args {
    /// Print replies as JSON, one line each.
    #[arg(long)]
    json: bool,
    /// Of several lines, carry out those behind an error too.
    #[arg(short, long)]
    keep_going: bool,
    /// Remember nothing of what is typed at the prompt.
    #[arg(long)]
    no_history: bool,
    #[command(flatten)]
    node: NodeArgs,
    /// The command and its arguments; or both in one, with quotes.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    words: Vec<OsString>,
}

/// What carries commands out and shows what they reply.
struct Runner {
    cache: Client,
    style: Style,
}

impl Args {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let runner = Runner {
            cache: self.node.cache()?,
            style: self.style(),
        };
        if !self.words.is_empty() {
            return runner.once(given(self.words)?).await;
        }
        if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
            let history = history::file(self.no_history, |name| std::env::var_os(name));
            return prompt::run(runner, history).await;
        }
        runner.lines(self.keep_going).await
    }

    fn style(&self) -> Style {
        let stdout = std::io::stdout();
        if self.json {
            Style::Json
        } else if stdout.is_terminal() {
            let coloured = in_colour(&stdout);
            Style::Shown { coloured }
        } else {
            Style::Plain
        }
    }
}

/// The words of the command line. One alone that has several words in it is a line.
fn given(words: Vec<OsString>) -> Result<Vec<Bytes>, Usage> {
    let words: Vec<Bytes> = words
        .into_iter()
        .map(|word| word.into_encoded_bytes().into())
        .collect();
    match &words[..] {
        // No command is called so; an option is meant.
        [option, ..] if option.starts_with(b"-") => Err(Usage(format!(
            "{} is no option of run; right: --json, --keep-going, --no-history, and those of the node",
            harmless(&String::from_utf8_lossy(option))
        ))),
        [line] if line.iter().any(u8::is_ascii_whitespace) => split(line),
        _ => Ok(words),
    }
}

fn split(line: &[u8]) -> Result<Vec<Bytes>, Usage> {
    words(line).ok_or_else(|| {
        let wrong = "the quotes do not match; right: each \" or ' closes, and white space follows";
        Usage(wrong.to_owned())
    })
}

/// Refuses what lasts, or is about a connection: what would be right instead.
fn check(words: &[Bytes]) -> Result<(), Usage> {
    let Some(name) = words.first() else {
        return Err(Usage("no command is given".to_owned()));
    };
    let name = String::from_utf8_lossy(name).to_ascii_uppercase();
    match &name[..] {
        "SUBSCRIBE" | "PSUBSCRIBE" | "SSUBSCRIBE" | "UNSUBSCRIBE" | "PUNSUBSCRIBE"
        | "SUNSUBSCRIBE" | "MONITOR" => Err(Usage(format!(
            "{name} lasts, and run carries out one command at a time; right: smache watch PREFIX \
             follows keys, and redis-cli subscribes to channels"
        ))),
        "AUTH" => Err(Usage(
            "AUTH is about a connection; right: --token or SMACHE_TOKEN shows a token".to_owned(),
        )),
        _ => Ok(()),
    }
}

impl Runner {
    async fn ask(&self, words: Vec<Bytes>) -> anyhow::Result<Reply> {
        check(&words)?;
        let ran = self.cache.run(words).await;
        ran.map_err(explain)
    }

    fn show(&self, reply: &Reply) -> anyhow::Result<()> {
        Ok(write(&self.style.write(reply))?)
    }

    async fn once(&self, words: Vec<Bytes>) -> anyhow::Result<Outcome> {
        let reply = self.ask(words).await?;
        self.show(&reply)?;
        Ok(Outcome::Done)
    }

    /// Carries out the lines of standard input, one after the other.
    async fn lines(&self, keep_going: bool) -> anyhow::Result<Outcome> {
        let mut input = BufReader::new(tokio::io::stdin());
        let mut outcome = Outcome::Done;
        for number in 1_u64.. {
            let mut line = Vec::new();
            let limit = LINE_BYTES_MAX as u64 + 1;
            let mut limited = (&mut input).take(limit);
            if limited.read_until(b'\n', &mut line).await? == 0 {
                break;
            }
            if line.len() > LINE_BYTES_MAX {
                let message = format!("line {number} is longer than {LINE_BYTES_MAX} bytes");
                return Err(Usage(message).into());
            }
            let text = line.trim_ascii();
            if text.is_empty() || text.starts_with(b"#") {
                continue;
            }
            let ran = match split(text) {
                Ok(words) => self.ask(words).await,
                Err(usage) => Err(usage.into()),
            };
            match ran {
                Ok(reply) => self.show(&reply)?,
                Err(error) => {
                    if let Some(line) = self.style.write_error(&error.to_string()) {
                        write(&line)?;
                    }
                    if !keep_going {
                        return Err(error.context(format!("line {number}")));
                    }
                    say(&format!("error: line {number}: {error:#}"));
                    outcome = Outcome::Negative;
                }
            }
        }
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_may_be_a_line() {
        let of = |words: &[&str]| given(words.iter().map(OsString::from).collect());
        let set = [&b"SET"[..], b"k", b"a b"];
        assert_eq!(of(&["SET", "k", "a b"]).unwrap(), set);
        assert_eq!(of(&["SET k 'a b'"]).unwrap(), set);
        assert_eq!(of(&["PING"]).unwrap(), [&b"PING"[..]]);
        for words in [&["SET k 'a"][..], &["--jsonn", "PING"]] {
            let wrong = of(words).unwrap_err();
            assert!(wrong.to_string().contains("right:"), "{wrong}");
        }
    }

    #[test]
    fn what_lasts_is_pointed_elsewhere() {
        let of = |name: &'static str| check(&[name.into(), "x".into()]);
        for name in ["subscribe", "PSUBSCRIBE", "Monitor"] {
            let told = of(name).unwrap_err().to_string();
            assert!(told.contains("smache watch"), "{told}");
        }
        assert!(of("auth").unwrap_err().to_string().contains("--token"));
        assert!(of("publish").is_ok());
        assert!(check(&[]).is_err());
    }
}
