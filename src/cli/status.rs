//! `smache status`: what a node knows of its cluster, as a table for people.
//!
//! Every field may be missing, so that this binary can ask older and newer nodes too.

use std::time::Duration;

use bytesize::ByteSize;
use reqwest::Method;
use serde::Deserialize;

use super::client::NodeArgs;
use super::{Outcome, grouped, harmless, print, say};

/// Show a node's cluster: members, partitions, keys, memory, hit ratio.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Print the answer as JSON, for programs.
    #[arg(long)]
    json: bool,
    /// Print nothing; exit with 0 if the node answers and is ready, else with 1. For health checks.
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
        let answer = client
            .send(client.request(Method::GET, "/status"))
            .await?
            .success()?;
        if self.quiet {
            return Ok(readiness(&answer.json::<Status>()?));
        }
        if self.json {
            print(&answer.body)?;
            print(b"\n")?;
        } else {
            print(render(&answer.json::<Status>()?).as_bytes())?;
        }
        Ok(Outcome::Done)
    }
}

/// Whether a node is ready; if not, says so.
fn readiness(status: &Status) -> Outcome {
    if status.state.as_deref() == Some("ready") {
        return Outcome::Done;
    }
    let (node, state) = (text(&status.node), text(&status.state));
    say(&format!("{node} is not ready: its state is {state}"));
    Outcome::Negative
}

fn render(status: &Status) -> String {
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
        let shown = render(&status);
        assert!(shown.contains("hit ratio -"), "{shown}");
        assert!(!shown.contains("connections"), "{shown}");
        let status: Status = serde_json::from_str(
            r#"{"members":[{"name":"a@b","later":1}],"reads":{"hits":3,"misses":1}}"#,
        )
        .unwrap();
        let shown = render(&status);
        assert!(shown.contains("hit ratio 75.0%"), "{shown}");
        assert!(shown.contains("a@b     -      -"), "{shown}");
    }

    #[test]
    fn connections_and_addresses_are_shown_as_they_are_told() {
        let status: Status = serde_json::from_str(
            r#"{"connections":1200,"members":[{"name":"a@b","cluster_address":":4500"}]}"#,
        )
        .unwrap();
        let shown = render(&status);
        assert!(shown.contains("connections 1,200"), "{shown}");
        assert!(shown.contains("a@b     -      :4500"), "{shown}");
    }

    #[test]
    fn only_ready_is_ready() {
        let outcome = |text| readiness(&serde_json::from_str(text).unwrap());
        assert_eq!(outcome(r#"{"state":"ready"}"#), Outcome::Done);
        for text in [
            "{}",
            r#"{"state":"joining"}"#,
            r#"{"node":"a@b","state":"draining"}"#,
        ] {
            assert_eq!(outcome(text), Outcome::Negative, "{text}");
        }
    }
}
