//! A client of server-sent events, which understands just what the server sends.

use std::collections::VecDeque;

use serde_json::Value;
use smache::Smache;

use crate::client::{Client, patient, request};

/// An event as a client sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) event: String,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

impl Told {
    pub(crate) fn key(&self) -> &str {
        self.data["key"].as_str().unwrap_or_default()
    }
}

/// A stream of events.
pub(crate) struct Events {
    client: Client,
    text: String,
    told: VecDeque<Told>,
    /// How many comments came.
    pub(crate) comments: usize,
}

impl Events {
    /// Watches what the query says.
    pub(crate) async fn open(node: &Smache, query: &str) -> Events {
        Events::open_with(node, query, &[]).await
    }

    pub(crate) async fn open_with(node: &Smache, query: &str, headers: &[(&str, &str)]) -> Events {
        let mut client = Client::connect(node.http_address().unwrap()).await;
        let target = format!("/api/watch?{query}");
        client.send(request("GET", &target, headers, "")).await;
        let head = client.head().await;
        assert_eq!(head.status, 200, "{head:?}");
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        assert_eq!(head.header("cache-control"), Some("no-store"));
        let mut events = Events {
            client,
            text: String::new(),
            told: VecDeque::new(),
            comments: 0,
        };
        // The first words come at once: from then on nothing is missed.
        while events.comments == 0 {
            assert!(events.more().await, "the end");
        }
        events
    }

    /// The next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        patient("an event", async {
            while self.told.is_empty() {
                if !self.more().await {
                    return None;
                }
            }
            self.told.pop_front()
        })
        .await
    }

    /// The next event about keys: not that something may have been missed.
    pub(crate) async fn next_change(&mut self) -> Told {
        loop {
            let told = self.next().await.expect("an event");
            if told.event != "missed" {
                return told;
            }
        }
    }

    /// Waits for more; false at the end.
    pub(crate) async fn more(&mut self) -> bool {
        let Some(chunk) = self.client.chunk().await else {
            return false;
        };
        self.text += std::str::from_utf8(&chunk).unwrap();
        while let Some(end) = self.text.find("\n\n") {
            let block: String = self.text.drain(..end + 2).collect();
            self.read(block.trim_end());
        }
        true
    }

    fn read(&mut self, block: &str) {
        let field = |name: &str| {
            let start = format!("{name}: ");
            let line = block.lines().find(|line| line.starts_with(&start))?;
            Some(line[start.len()..].to_owned())
        };
        self.comments += usize::from(block.starts_with(':'));
        let Some(event) = field("event") else { return };
        self.told.push_back(Told {
            event,
            id: field("id"),
            data: serde_json::from_str(&field("data").unwrap()).unwrap(),
        });
    }
}
