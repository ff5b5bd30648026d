//! Batches sent, and sent again.
//!
//! Putting the same value twice is putting it once, so whatever goes wrong between this program and
//! the node is answered by sending again what has no final answer, with growing pauses, for a
//! bounded time after the last success. A line's own refusal is final.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::Mutex;
use reqwest::{Method, StatusCode, header};
use serde::Deserialize;
use tokio::time::Instant;

use super::super::client::{Answer, Client};
use super::super::harmless;
use super::batch::{Batch, Line, Order};
use super::{Done, Failure};

const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Sends batches to a node.
pub(super) struct Sender {
    client: Client,
    retry_for: Duration,
    /// Why something had to be sent again, until the display asks.
    trouble: Mutex<Option<String>>,
}

/// One line of a batch's answer.
#[derive(Deserialize)]
struct Reply {
    status: u16,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

/// What one request came to.
struct Attempt {
    /// Lines without a final answer, by index.
    pending: Vec<usize>,
    refused: Vec<Failure>,
    /// Why there are any pending.
    why: String,
}

impl Sender {
    /// Goes on for `retry_for` after the last success.
    pub(super) fn new(client: Client, retry_for: Duration) -> Sender {
        Sender {
            client,
            retry_for,
            trouble: Mutex::new(None),
        }
    }

    /// Why something was sent again since this was last asked.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().take()
    }

    /// Takes the batch's place in the order at once; sends it when its turn has come.
    pub(super) fn send_in_turn(
        &self,
        batch: anyhow::Result<Batch>,
        order: &mut Order,
    ) -> impl Future<Output = anyhow::Result<Done>> + use<'_> {
        let turn = batch.as_ref().ok().map(|batch| order.next(batch));
        async move {
            let batch = batch?;
            if let Some(turn) = &turn {
                turn.come().await;
            }
            self.send(batch).await
        }
    }

    async fn send(&self, batch: Batch) -> anyhow::Result<Done> {
        let mut pending: Vec<usize> = (0..batch.lines.len()).collect();
        let mut refused = Vec::new();
        let mut pause = PAUSE_MIN;
        let mut give_up = Instant::now() + self.retry_for;
        while !pending.is_empty() {
            let mut attempt = self.attempt(&batch, &pending).await?;
            refused.append(&mut attempt.refused);
            if attempt.pending.len() < pending.len() {
                pause = PAUSE_MIN;
                give_up = Instant::now() + self.retry_for;
            }
            pending = attempt.pending;
            if !pending.is_empty() {
                if Instant::now() + pause > give_up {
                    anyhow::bail!(attempt.why);
                }
                *self.trouble.lock() = Some(attempt.why);
                tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
        Ok(batch.done(refused))
    }

    /// Sends the pending lines once. What can be tried again is no error.
    async fn attempt(&self, batch: &Batch, pending: &[usize]) -> anyhow::Result<Attempt> {
        let request = self
            .client
            .request(Method::POST, "/api/batch")
            .header(header::CONTENT_TYPE, "application/x-ndjson")
            .body(body(batch, pending));
        let again = |why: String| Attempt {
            pending: pending.to_vec(),
            refused: Vec::new(),
            why,
        };
        match self.client.send(request).await {
            Err(error) => Ok(again(error.to_string())),
            Ok(answer) => {
                let passing = is_passing(answer.status);
                match answer.success() {
                    Ok(answer) => judge(&answer, batch, pending),
                    Err(error) if passing => Ok(again(error.to_string())),
                    Err(error) => Err(error.context("the node refuses the batch")),
                }
            }
        }
    }
}

/// The request's body: as it was gathered, or the lines of it that are still pending.
fn body(batch: &Batch, pending: &[usize]) -> Vec<u8> {
    if pending.len() == batch.lines.len() {
        return batch.body.clone();
    }
    let start = |line: usize| {
        line.checked_sub(1)
            .map_or(0, |before| batch.lines[before].end)
    };
    pending
        .iter()
        .flat_map(|&line| &batch.body[start(line)..batch.lines[line].end])
        .copied()
        .collect()
}

/// Whether it may be otherwise in a moment: too many requests, or no way through right now.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 502 | 503 | 504)
}

/// Reads the answers, which come in the order of the lines.
fn judge(answer: &Answer, batch: &Batch, pending: &[usize]) -> anyhow::Result<Attempt> {
    let mut attempt = Attempt {
        pending: Vec::new(),
        refused: Vec::new(),
        why: format!(
            "the node broke off its answer to a batch of {}",
            pending.len()
        ),
    };
    let mut replies = answer
        .body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty());
    // When a line is sent again, later ones of its key must follow it again.
    let mut keys_again = HashSet::new();
    for &index in pending {
        let line: &Line = &batch.lines[index];
        let Some(reply) = replies.next() else {
            attempt.pending.push(index);
            continue;
        };
        let reply: Reply = serde_json::from_slice(reply)
            .context("the answer to a batch is not what a node would send")?;
        let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_GATEWAY);
        if is_passing(status) || keys_again.contains(line.key.as_str()) {
            keys_again.insert(line.key.as_str());
            attempt.pending.push(index);
            if is_passing(status) {
                attempt.why = describe(&reply);
            }
        } else if !status.is_success() {
            attempt.refused.push(Failure {
                place: format!("{}, key {:?}", line.place, line.key),
                why: describe(&reply),
            });
        }
    }
    Ok(attempt)
}

fn describe(
    Reply {
        status,
        error,
        message,
    }: &Reply,
) -> String {
    let part = |text: &Option<String>| text.as_deref().map(harmless);
    match (part(error), part(message)) {
        (Some(error), Some(message)) => format!("{status} {error}: {message}"),
        (Some(text), None) | (None, Some(text)) => format!("{status} {text}"),
        (None, None) => status.to_string(),
    }
}
