//! `smache keys`: the keys that match a pattern, as a scan finds them.

use std::io::IsTerminal as _;
use std::time::Duration;

use futures_util::StreamExt as _;
use indicatif::ProgressBar;
use smache::client::Cache as _;
use smache::command::show;

use super::client::{NodeArgs, explain};
use super::{Outcome, deliver, grouped, harmless, print};

/// So many bytes are gathered before they are written.
const WRITE_BYTES: usize = 64 * 1024;

/// List keys that match a pattern.
///
/// The pattern is a glob: * is any text, ? one byte, [abc] and [a-z] one of these, and \ takes the
/// meaning from what follows. Keys come as they are found, in no order; one that has a value all the
/// while comes once. Nothing is blocked meanwhile.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  smache keys                                 all keys
  smache keys 'bus:*'                         those that begin with bus:
  smache keys --count 'session:*'             how many there are
  smache keys -0 'tmp:*' | xargs -0 -n 100 smache run DEL

On a terminal, progress goes to standard error. That nothing matches is no failure.")]
pub(super) struct Args {
    /// What keys must match.
    #[arg(default_value = "*")]
    pattern: String,
    /// Print how many there are, and nothing else.
    #[arg(long, conflicts_with = "null")]
    count: bool,
    /// Print JSON: a string a line, or {"base64":…} for a key that is no text; with --count a number.
    #[arg(long, conflicts_with = "null")]
    json: bool,
    /// End each key with a zero byte instead of a new line, for xargs -0.
    #[arg(short = '0', long)]
    null: bool,
    #[command(flatten)]
    node: NodeArgs,
}

impl Args {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let cache = self.node.cache()?;
        let is_terminal = std::io::stdout().is_terminal();
        // Where keys run over the terminal they are progress enough.
        let progress = (std::io::stderr().is_terminal() && (self.count || !is_terminal))
            .then(ProgressBar::new_spinner);
        if let Some(progress) = &progress {
            progress.enable_steady_tick(Duration::from_millis(100));
        }
        let mut keys = cache.keys(&self.pattern).ready_chunks(1_000);
        let (mut count, mut out) = (0_u64, Vec::new());
        while let Some(found) = keys.next().await {
            for key in found {
                let key = match key {
                    Ok(key) => key,
                    Err(error) => {
                        // What was found is written all the same.
                        print(&out)?;
                        return Err(explain(error));
                    }
                };
                count += 1;
                if !self.count {
                    self.write(&key, is_terminal, &mut out);
                }
            }
            if let Some(progress) = &progress {
                progress.set_message(format!("{} keys", grouped(count)));
            }
            if out.len() >= WRITE_BYTES || is_terminal {
                if !deliver(&out)? {
                    return Ok(Outcome::Done);
                }
                out.clear();
            }
        }
        if let Some(progress) = &progress {
            progress.finish_and_clear();
        }
        if self.count {
            out.extend_from_slice(format!("{count}\n").as_bytes());
        }
        print(&out)?;
        Ok(Outcome::Done)
    }

    fn write(&self, key: &[u8], is_terminal: bool, out: &mut Vec<u8>) {
        if self.json {
            show::write_bytes(key, out);
        } else if is_terminal && !self.null {
            out.extend_from_slice(harmless(&String::from_utf8_lossy(key)).as_bytes());
        } else {
            out.extend_from_slice(key);
        }
        out.push(if self.null { 0 } else { b'\n' });
    }
}
