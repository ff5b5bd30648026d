//! `smache status`: what a node knows of its cluster, as a table for people.
//!
//! Every field may be missing, so that this binary can ask older and newer nodes too.

use std::time::Duration;

use bytesize::ByteSize;
use reqwest::Method;
use serde::Deserialize;

use super::client::NodeArgs;
use super::handoff::Progress;
use super::{Outcome, grouped, harmless, in_colour, print, say};

/// Bold yellow, and back.
const WARNING: (&str, &str) = ("\x1b[1;33m", "\x1b[0m");

/// Show a node's cluster: members, partitions, copies, keys, memory, hit ratio.
///
/// What is said of copies is about the partitions that this node owns; ask every node for all.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Print the answer as JSON, for programs.
    #[arg(long)]
    json: bool,
    /// Print nothing; exit with 0 if the node answers and is ready, else with 1. For health checks: it
    /// takes no token.
    #[arg(long, conflicts_with = "json")]
    quiet: bool,
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    node: Option<String>,
    version: Option<String>,
    state: Option<String>,
    uptime_ms: Option<u64>,
    members: Vec<Member>,
    partitions: Partitions,
    replication: Replication,
    keys: Option<u64>,
    memory: Memory,
    reads: Reads,
    evictions: Option<u64>,
    expirations: Option<u64>,
    connections: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Member {
    name: Option<String>,
    state: Option<String>,
    cluster_address: Option<String>,
    partitions: Option<u64>,
    keys: Option<u64>,
    memory_bytes: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Partitions {
    total: Option<u64>,
    owned: Option<u64>,
    arriving: Option<u64>,
    unowned: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Replication {
    backed_up: Option<u64>,
    missing_copies: Option<u64>,
    departing: Option<u64>,
    merging: Option<u64>,
    conceded: Option<u64>,
    promotions: Option<u64>,
    taken_empty: Option<u64>,
    backlog_bytes: Option<u64>,
    handoff: Progress,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Memory {
    rss_bytes: Option<u64>,
    max_bytes: Option<u64>,
    data_bytes: Option<u64>,
    committed_bytes: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reads {
    hits: Option<u64>,
    misses: Option<u64>,
    hit_ratio: Option<f64>,
}

impl Args {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let client = self.node.client()?;
        if self.quiet {
            let answer = client.send(client.request(Method::GET, "/ready")).await?;
            // A node that is not ready says so with a status that is no success.
            return match answer.json::<Ready>() {
                Ok(Ready { state: Some(state) }) => Ok(readiness(&state)),
                _ => Err(answer.success().err().unwrap_or_else(unknown)),
            };
        }
        let answer = client
            .send(client.request(Method::GET, "/status"))
            .await?
            .success()?;
        if self.json {
            print(&answer.body)?;
            print(b"\n")?;
        } else {
            let coloured = in_colour(&std::io::stdout());
            print(render(&answer.json::<Status>()?, coloured).as_bytes())?;
        }
        Ok(Outcome::Done)
    }
}

/// What a node says of itself to whoever asks.
#[derive(Debug, Deserialize)]
struct Ready {
    state: Option<String>,
}

/// Whether a node is ready; if not, says so.
fn readiness(state: &str) -> Outcome {
    if state == "ready" {
        return Outcome::Done;
    }
    let state = harmless(state);
    say(&format!("the node is not ready: its state is {state}"));
    Outcome::Negative
}

fn unknown() -> anyhow::Error {
    anyhow::anyhow!("the answer is not what a node would send")
}

fn render(status: &Status, coloured: bool) -> String {
    let mut out = String::new();
    let mut row = |name: &str, value: String| out.push_str(&format!("{name:<12}{value}\n"));
    row(
        "node",
        format!(
            "{}  {}  {}, up {}",
            text(&status.node),
            text(&status.version),
            text(&status.state),
            status.uptime_ms.map_or_else(dash, uptime),
        ),
    );
    let Partitions {
        total,
        owned,
        arriving,
        unowned,
    } = status.partitions;
    row(
        "partitions",
        format!(
            "{} owned here of {}; {} arriving, {} without an owner",
            count(owned),
            count(total),
            count(arriving),
            count(unowned)
        ),
    );
    for (name, value) in replication(&status.replication, coloured) {
        row(name, value);
    }
    row("keys", count(status.keys));
    let Memory {
        rss_bytes,
        max_bytes,
        data_bytes,
        committed_bytes,
    } = status.memory;
    row(
        "memory",
        format!(
            "{} resident of at most {}; {} of data in {}",
            size(rss_bytes),
            size(max_bytes),
            size(data_bytes),
            size(committed_bytes)
        ),
    );
    row("reads", reads(&status.reads));
    row(
        "gone",
        format!(
            "{} evicted, {} expired",
            count(status.evictions),
            count(status.expirations)
        ),
    );
    if status.connections.is_some() {
        row("connections", count(status.connections));
    }
    if !status.members.is_empty() {
        out.push('\n');
        out.push_str(&table(&status.members));
    }
    out
}

/// The lines on copies; none of a node that says nothing of them. What is only so after a cut is
/// shown only then.
fn replication(status: &Replication, coloured: bool) -> Vec<(&'static str, String)> {
    let Some(missing) = status.missing_copies else {
        return Vec::new();
    };
    let (before, after) = match missing > 0 && coloured {
        true => WARNING,
        false => ("", ""),
    };
    let copies = format!(
        "{} held for others; {before}{} missing{after}, {} on their way to others; {} not acknowledged",
        count(status.backed_up),
        grouped(missing),
        count(status.departing),
        size(status.backlog_bytes),
    );
    let failures = format!(
        "{} partitions taken over from dead nodes, {} of them with nothing left",
        count(
            status
                .promotions
                .map(|some| some + status.taken_empty.unwrap_or(0))
        ),
        count(status.taken_empty),
    );
    let mut rows = vec![("copies", copies), ("failures", failures)];
    let handoff = &status.handoff;
    let is_some = |value: Option<u64>| value.unwrap_or(0) > 0;
    if handoff.paused == Some(true) || is_some(handoff.under_way) {
        let paused = if handoff.paused == Some(true) {
            "PAUSED, "
        } else {
            ""
        };
        rows.push((
            "handoffs",
            format!(
                "{paused}{} under way to this node",
                count(handoff.under_way)
            ),
        ));
    }
    let is_healing = is_some(status.merging) || is_some(status.conceded);
    if is_healing || is_some(handoff.discarded_writes) || is_some(handoff.repaired) {
        let healing = format!(
            "{} merging, {} given up and not merged yet; {} writes discarded, {} copies repaired",
            count(status.merging),
            count(status.conceded),
            count(handoff.discarded_writes),
            count(handoff.repaired),
        );
        rows.push(("healing", healing));
    }
    rows
}

fn table(members: &[Member]) -> String {
    let head = ["MEMBER", "STATE", "ADDRESS", "PARTITIONS", "KEYS", "MEMORY"].map(str::to_owned);
    let mut rows = vec![head];
    rows.extend(members.iter().map(|member| {
        [
            text(&member.name),
            text(&member.state),
            text(&member.cluster_address),
            count(member.partitions),
            count(member.keys),
            size(member.memory_bytes),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; 6] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let mut out = String::new();
    for row in &rows {
        let cells = row
            .iter()
            .zip(widths)
            .enumerate()
            .map(|(column, (cell, width))| {
                // Text to the left, numbers to the right.
                if column < 3 {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            });
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

fn reads(reads: &Reads) -> String {
    // Two integers far below 2^53: the ratio is for reading only.
    let counted = match (reads.hits, reads.misses) {
        (Some(hits), Some(misses)) if hits + misses > 0 => {
            Some(hits as f64 / (hits + misses) as f64)
        }
        _ => None,
    };
    let ratio = match reads.hit_ratio.or(counted) {
        Some(ratio) => format!("{:.1}%", ratio * 100.0),
        None => dash(),
    };
    format!(
        "{} hits, {} misses; hit ratio {ratio}",
        count(reads.hits),
        count(reads.misses)
    )
}

fn dash() -> String {
    "-".to_owned()
}

fn text(value: &Option<String>) -> String {
    value.as_deref().map_or_else(dash, harmless)
}

fn count(value: Option<u64>) -> String {
    value.map_or_else(dash, grouped)
}

fn size(value: Option<u64>) -> String {
    value.map_or_else(dash, |bytes| ByteSize::b(bytes).display().iec().to_string())
}

fn uptime(ms: u64) -> String {
    humantime::format_duration(Duration::from_secs(ms / 1000)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_fields_are_dashes() {
        let status: Status = serde_json::from_str("{}").unwrap();
        let shown = render(&status, false);
        assert!(shown.contains("hit ratio -"), "{shown}");
        assert!(!shown.contains("connections"), "{shown}");
        let status: Status = serde_json::from_str(
            r#"{"members":[{"name":"a@b","later":1}],"reads":{"hits":3,"misses":1}}"#,
        )
        .unwrap();
        let shown = render(&status, false);
        assert!(shown.contains("hit ratio 75.0%"), "{shown}");
        assert!(shown.contains("a@b     -      -"), "{shown}");
    }

    #[test]
    fn connections_and_addresses_are_shown_as_they_are_told() {
        let status: Status = serde_json::from_str(
            r#"{"connections":1200,"members":[{"name":"a@b","cluster_address":":4500"}]}"#,
        )
        .unwrap();
        let shown = render(&status, false);
        assert!(shown.contains("connections 1,200"), "{shown}");
        assert!(shown.contains("a@b     -      :4500"), "{shown}");
    }

    #[test]
    fn copies_that_are_missing_stand_out() {
        let status = |missing: u64| -> Status {
            let text = format!(
                r#"{{"replication":{{"backed_up":2048,"missing_copies":{missing},"departing":3,
                    "promotions":10,"taken_empty":2,"backlog_bytes":2048,
                    "handoff":{{"paused":false,"under_way":0}}}}}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        let (plain, coloured) = (render(&status(1_000), false), render(&status(1_000), true));
        let line = "copies      2,048 held for others; 1,000 missing, 3 on their way to others; \
                    2.0 KiB not acknowledged\n";
        assert!(plain.contains(line), "{plain}");
        assert!(plain.contains("12 partitions taken over"), "{plain}");
        assert!(plain.contains("2 of them with nothing left"), "{plain}");
        assert!(
            !plain.contains('\u{1b}') && !plain.contains("PAUSED"),
            "{plain}"
        );
        let warned = "\u{1b}[1;33m1,000 missing\u{1b}[0m";
        assert!(coloured.contains(warned), "{coloured}");
        assert!(!render(&status(0), true).contains('\u{1b}'));
    }

    #[test]
    fn a_pause_and_a_cut_are_shown_while_they_matter() {
        let status: Status = serde_json::from_str(
            r#"{"replication":{"missing_copies":0,"merging":5,"conceded":0,
                "handoff":{"paused":true,"under_way":1,"discarded_writes":4,"repaired":0}}}"#,
        )
        .unwrap();
        let shown = render(&status, false);
        assert!(shown.contains("handoffs    PAUSED, 1 under way"), "{shown}");
        assert!(shown.contains("healing     5 merging"), "{shown}");
        assert!(shown.contains("4 writes discarded"), "{shown}");
        let older = render(&Status::default(), false);
        assert!(
            !older.contains("copies") && !older.contains("healing"),
            "{older}"
        );
    }

    #[test]
    fn only_ready_is_ready() {
        assert_eq!(readiness("ready"), Outcome::Done);
        for state in ["", "joining", "draining"] {
            assert_eq!(readiness(state), Outcome::Negative, "{state}");
        }
    }
}
