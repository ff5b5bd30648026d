//! A client of a whole cluster: connections to all its nodes, kept alive, made anew when they break.
#![allow(dead_code, reason = "each of the tests uses a part of it")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::client::{Client, Response};
use super::expected::Span;

const JSON: (&str, &str) = ("content-type", "application/json");

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    Answered(Response),
    /// Nobody accepted the connection.
    NotSent,
    /// Broken off, or not answered in time: it may have been carried out, or will be.
    Unknown(String),
}

/// See the module.
pub(crate) struct Caller {
    clients: HashMap<SocketAddr, Client>,
    patience: Duration,
}

impl Caller {
    /// A caller that waits so long for an answer.
    pub(crate) fn new(patience: Duration) -> Caller {
        Caller {
            clients: HashMap::new(),
            patience,
        }
    }

    /// Sends a request to this node.
    pub(crate) async fn ask(
        &mut self,
        node: SocketAddr,
        method: &str,
        target: &str,
        body: &str,
    ) -> (Outcome, Span) {
        let from = Instant::now();
        let outcome = self.outcome(node, method, target, body).await;
        let to = Instant::now();
        (outcome, Span { from, to })
    }

    async fn outcome(
        &mut self,
        node: SocketAddr,
        method: &str,
        target: &str,
        body: &str,
    ) -> Outcome {
        // Taken out, so that it is closed unless it is known to be good.
        let kept = self.clients.remove(&node);
        let mut client = match kept.filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => match timeout(self.patience, Client::try_connect(node)).await {
                Ok(Ok(client)) => client,
                _ => return Outcome::NotSent,
            },
        };
        let headers: &[_] = if body.is_empty() { &[] } else { &[JSON] };
        let answer = client.try_ask(method, target, headers, body);
        match timeout(self.patience, answer).await {
            Ok(Ok(response)) => {
                if response.header("connection") != Some("close") {
                    self.clients.insert(node, client);
                }
                Outcome::Answered(response)
            }
            Ok(Err(error)) => Outcome::Unknown(error.to_string()),
            Err(_) => Outcome::Unknown("no answer".to_owned()),
        }
    }
}
