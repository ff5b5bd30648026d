//! The life of a served node: start, announce, wait for a signal, drain, stop.

use std::io::Write;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::{Error, Meeting, Node, Options};
use crate::clock::Clock;
use crate::config::Config;

/// Runs a node until it is told to stop by SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start, cannot go on, or could not stop in an orderly way.
pub async fn serve(config: Config) -> Result<(), Error> {
    let mut signals = Signals::new()?;
    let options = Options {
        config,
        meeting: Meeting::Network,
        doors: true,
        access: None,
        clock: Clock::system(),
    };
    let node = Node::start(options).await?;
    announce(&node);
    tokio::select! {
        error = node.failed() => return Err(error),
        name = signals.next() => tracing::info!("{name}: stopping; once more ends at once"),
        () = report_ready(&node) => {}
    }
    let orderly = stop(&node);
    tokio::select! {
        stopped = orderly => {
            tracing::info!("stopped");
            stopped
        }
        name = signals.next() => {
            tracing::warn!("{name} again: ended at once");
            Err(Error::Forced)
        }
    }
}

/// Drains and stops, within the configured time from now on.
async fn stop(node: &Node) -> Result<(), Error> {
    let config = node.config();
    let deadline = Instant::now() + config.shutdown_timeout;
    node.drain();
    tokio::time::sleep(config.drain_delay).await;
    node.stop_by(deadline).await
}

/// One line on standard output that scripts can read.
fn announce(node: &Node) {
    let http = node
        .http_address()
        .map(|a| format!(" http={a}"))
        .unwrap_or_default();
    let cluster = node
        .cluster_address()
        .map(|a| format!(" cluster={a}"))
        .unwrap_or_default();
    let resp = node
        .resp_address()
        .map(|a| format!(" resp={a}"))
        .unwrap_or_default();
    let line = format!(
        "listening node={}{http}{resp}{cluster}\n",
        node.config().node_name
    );
    // A closed standard output is no reason not to serve.
    let _ = std::io::stdout().write_all(line.as_bytes());
    let _ = std::io::stdout().flush();
}

/// Logs when the node is ready, then never ends.
async fn report_ready(node: &Node) {
    if node.ready().await.is_ok() {
        let status = node.status();
        tracing::info!(
            members = status.members.len(),
            partitions = status.partitions.owned,
            max_memory_bytes = status.memory.max_bytes,
            "ready"
        );
    }
    std::future::pending().await
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Signals, Error> {
        let listen = |kind| signal(kind).map_err(Error::Signals);
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::config::Port;

    #[tokio::test(start_paused = true)]
    async fn the_time_to_stop_counts_from_the_signal() {
        let hour = Duration::from_secs(3_600);
        let config = Config {
            http_port: Port::Exactly(0),
            drain_delay: Duration::from_secs(3),
            shutdown_timeout: Duration::from_secs(10),
            header_timeout: hour,
            idle_timeout: hour,
            ..Config::default()
        };
        let limit = config.shutdown_timeout;
        let options = Options {
            config,
            doors: true,
            ..Options::default()
        };
        let node = Node::start(options).await.unwrap();
        node.ready().await.unwrap();
        // A client that never sends the rest of its body holds the stop up.
        let mut client = TcpStream::connect(node.http_address().unwrap())
            .await
            .unwrap();
        let head = "POST /api HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\
                    content-length: 100\r\nexpect: 100-continue\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 64];
        let read = client.read(&mut answer).await.unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 100"));

        let before = Instant::now();
        let stopped = stop(&node).await;
        assert!(matches!(stopped, Err(Error::Slow(slow)) if slow == limit));
        assert!(before.elapsed() <= limit, "{:?}", before.elapsed());
        // What was left is cut off.
        let rest = client.read(&mut answer).await;
        assert!(matches!(rest, Ok(0) | Err(_)), "{rest:?}");
    }
}
