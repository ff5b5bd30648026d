//! `smache watch`: what becomes of keys, line by line, until it is told to stop.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use smache::client::{Cache as _, Change, Changes, Event, Request, Watch, What};
use smache::command::show;
use tokio::signal::unix::{SignalKind, signal};

use super::client::{NodeArgs, explain};
use super::{Outcome, deliver, in_colour, pretty};

/// Follow keys: print what becomes of them, a line each.
///
/// Keys that are named one by one are shown first as they are. When the connection breaks the command
/// goes on as soon as a node answers; what may have been missed it says. Ctrl-C ends it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  smache watch bus:                        all keys that begin with bus:
  smache watch --key timetable bus: tram:  one key, and two prefixes
  smache watch ''                          all keys
  smache watch --json bus: | jq .data      for programs, a JSON object a line
  smache watch --key ready --count 2       end after two lines

A line has what happened (snapshot, put, delete, expire, evict), the key, the value and what is left of
its life; or missed, where something was not told. With --json: event, key, data, type, etag, ttl_ms.

Exit code 130 after Ctrl-C.")]
pub(super) struct Args {
    /// What keys begin with; any number of them.
    #[arg(required_unless_present = "key")]
    prefix: Vec<String>,
    /// A single key; can be given several times.
    #[arg(long)]
    key: Vec<String>,
    /// Print JSON objects, for programs.
    #[arg(long)]
    json: bool,
    /// End after so many lines.
    #[arg(long, value_name = "LINES")]
    count: Option<u64>,
    #[command(flatten)]
    node: NodeArgs,
}

impl Args {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let signals = || -> std::io::Result<_> {
            Ok((
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
            ))
        };
        let (mut interrupt, mut terminate) = signals().context("signals cannot be heard")?;
        let cache = self.node.cache()?;
        // Once a node has answered it is waited for however long it is away; before, it may be wrong.
        let probe = cache.call(Request::Lifetime("smache".to_owned()));
        let watch = Watch {
            keys: self.key.clone(),
            prefixes: self.prefix.clone(),
        };
        let told = async {
            probe.await.map_err(explain)?;
            self.tell(cache.watch(watch)).await
        };
        tokio::select! {
            told = told => told,
            _ = interrupt.recv() => Ok(Outcome::Interrupted(2)),
            _ = terminate.recv() => Ok(Outcome::Interrupted(15)),
        }
    }

    async fn tell(&self, mut changes: Changes) -> anyhow::Result<Outcome> {
        let stdout = std::io::stdout();
        let coloured = in_colour(&stdout);
        let is_terminal = stdout.is_terminal();
        let mut left = self.count.unwrap_or(u64::MAX);
        while left > 0 {
            let Some(event) = changes.next().await else {
                break;
            };
            let event = event.map_err(explain)?;
            let mut line = match self.json {
                true => json(&event),
                false => shown(&event, is_terminal, coloured).into_bytes(),
            };
            line.push(b'\n');
            if !deliver(&line)? {
                break;
            }
            left -= 1;
        }
        Ok(Outcome::Done)
    }
}

/// A line for people.
fn shown(event: &Event, is_terminal: bool, coloured: bool) -> String {
    let Change { key, what, value } = match event {
        Event::Changed(change) => change,
        Event::Missed(0) => {
            return "missed    perhaps something: the connection was lost for a while".to_owned();
        }
        Event::Missed(count) => return format!("missed    {count} changes or more"),
    };
    let key = String::from_utf8_lossy(key);
    let key = match is_terminal {
        true => super::harmless(&key),
        false => key.into_owned(),
    };
    let (before, after) = match (coloured, what) {
        (false, _) => ("", ""),
        (true, What::Snapshot | What::Put) => ("\x1b[32m", "\x1b[0m"),
        (true, What::Deleted | What::Expired | What::Evicted) => ("\x1b[33m", "\x1b[0m"),
    };
    let mut line = format!("{before}{:<8}{after}  {key}", what.name());
    if let Some(value) = value {
        line.push_str("  ");
        line.push_str(&pretty::one_line(&value.json, coloured));
        if let Some(ttl) = value.ttl {
            line.push_str(&format!("  for {}", humantime::format_duration(ttl)));
        }
    }
    line
}

/// A line for programs, as the data of the stream over HTTP has it.
fn json(event: &Event) -> Vec<u8> {
    let Change { key, what, value } = match event {
        Event::Changed(change) => change,
        Event::Missed(count) => {
            return format!("{{\"event\":\"missed\",\"missed\":{count}}}").into_bytes();
        }
    };
    let mut out = format!("{{\"event\":\"{}\",\"key\":", what.name()).into_bytes();
    show::write_bytes(key, &mut out);
    out.extend_from_slice(b",\"data\":");
    match value {
        None => out.extend_from_slice(b"null"),
        Some(value) => {
            let (kind, etag) = (show::name(value.kind), value.version);
            out.extend_from_slice(value.json.as_bytes());
            out.extend_from_slice(format!(",\"type\":\"{kind}\",\"etag\":\"{etag}\"").as_bytes());
            if let Some(ttl) = value.ttl {
                out.extend_from_slice(format!(",\"ttl_ms\":{}", ttl.as_millis()).as_bytes());
            }
        }
    }
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use smache::client::{Value, Version};
    use smache::command::Kind;

    use super::*;

    fn put() -> Event {
        let version = Version::parse("00000000000000ab-00000002").unwrap();
        Event::Changed(Change {
            key: "bus:\u{1b}7".into(),
            what: What::Put,
            value: Some(Value {
                json: "{\"line\":4}".to_owned(),
                kind: Kind::Json,
                version,
                ttl: Some(Duration::from_millis(1_500)),
            }),
        })
    }

    fn gone() -> Event {
        Event::Changed(Change {
            key: bytes::Bytes::from_static(b"\xff"),
            what: What::Expired,
            value: None,
        })
    }

    #[test]
    fn lines_for_people() {
        let line = shown(&put(), true, false);
        assert_eq!(line, "put       bus:\u{fffd}7  {\"line\":4}  for 1s 500ms");
        assert_eq!(shown(&gone(), true, false), "expire    \u{fffd}");
        assert!(shown(&put(), true, true).starts_with("\u{1b}[32mput     \u{1b}[0m  bus:"));
        assert!(shown(&Event::Missed(3), true, false).contains("3 changes"));
        assert!(shown(&Event::Missed(0), true, false).contains("perhaps"));
    }

    #[test]
    fn lines_for_programs() {
        let of = |event: &Event| String::from_utf8(json(event)).unwrap();
        let want = "{\"event\":\"put\",\"key\":\"bus:\\u001b7\",\"data\":{\"line\":4},\
                    \"type\":\"json\",\"etag\":\"00000000000000ab-00000002\",\"ttl_ms\":1500}";
        assert_eq!(of(&put()), want);
        let want = "{\"event\":\"expire\",\"key\":{\"base64\":\"/w==\"},\"data\":null}";
        assert_eq!(of(&gone()), want);
        assert_eq!(of(&Event::Missed(3)), "{\"event\":\"missed\",\"missed\":3}");
    }
}
