//! `smache handoff`: how far handoffs to a node are, and whether they wait.

use bytesize::ByteSize;
use reqwest::{Method, header};
use serde::Deserialize;

use super::client::{Answer, Client, NodeArgs};
use super::{Outcome, grouped, print};

/// Show handoffs to a node, pause them, or let them go on.
///
/// A handoff brings entries from other nodes to this one: copies that it is to hold, what the other
/// side of a healed cut wrote, repairs. While they are paused keys go on being read and written; but
/// copies that are missing stay missing, no partition comes that has no copy here, and a node that leaves
/// waits for it. Each node is paused by itself, until it is resumed or ends.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  smache handoff                                  how far they are
  smache handoff pause --node http://host:4000    have them wait on that node
  smache handoff resume --node http://host:4000   and go on

How fast they go is the setting handoff-rate of the node.")]
pub(super) struct Args {
    /// What to do.
    #[arg(value_enum, default_value = "status")]
    action: Action,
    /// Print the answer as JSON, for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Action {
    /// Say how far they are.
    Status,
    /// Have them wait.
    Pause,
    /// Have them go on.
    Resume,
}

/// Every field may be missing, so that this binary can ask older and newer nodes too.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Progress {
    pub(super) paused: Option<bool>,
    pub(super) under_way: Option<u64>,
    entries: Option<u64>,
    bytes: Option<u64>,
    pub(super) discarded_writes: Option<u64>,
    pub(super) repaired: Option<u64>,
}

impl Args {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let client = self.node.client()?;
        let answer = match self.action {
            Action::Status => client.send(client.request(Method::GET, "/handoff")).await,
            Action::Pause => set(&client, true).await,
            Action::Resume => set(&client, false).await,
        };
        let answer = answer?.success()?;
        if self.json {
            print(&answer.body)?;
            print(b"\n")?;
        } else {
            print(render(&answer.json::<Progress>()?).as_bytes())?;
        }
        Ok(Outcome::Done)
    }
}

async fn set(client: &Client, paused: bool) -> anyhow::Result<Answer> {
    let request = client
        .request(Method::PUT, "/handoff")
        .header(header::CONTENT_TYPE, "application/json")
        .body(format!("{{\"paused\":{paused}}}"));
    client.send(request).await
}

fn render(progress: &Progress) -> String {
    let count = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), grouped);
    let bytes = |bytes| ByteSize::b(bytes).display().iec().to_string();
    format!(
        "handoffs    {}, {} under way to this node\n\
         arrived     {} entries, {} since its start\n\
         repaired    {} copies of partitions\n\
         discarded   {} writes, which lost against the other side of a cut\n",
        match progress.paused {
            Some(true) => "PAUSED",
            Some(false) => "not paused",
            None => "-",
        },
        count(progress.under_way),
        count(progress.entries),
        progress.bytes.map_or_else(|| "-".to_owned(), bytes),
        count(progress.repaired),
        count(progress.discarded_writes),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_shown_as_it_is_told() {
        let shown = |text| render(&serde_json::from_str(text).unwrap());
        let some = shown(
            r#"{"paused":true,"under_way":2,"entries":12345,"bytes":2048,"repaired":0,
                "discarded_writes":7,"later":1}"#,
        );
        for part in [
            "PAUSED, 2 under way",
            "12,345 entries, 2.0 KiB",
            "0 copies",
            "7 writes",
        ] {
            assert!(some.contains(part), "{part} in {some}");
        }
        let none = shown("{}");
        assert!(none.contains("-, - under way"), "{none}");
    }
}
