//! The life of a served node: start, announce, wait for a signal, drain, stop.

use std::io::Write;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Error, Meeting, Node, Options};
use crate::clock::Clock;
use crate::config::Config;

/// Runs a node until it is told to stop by SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start, cannot go on, or could not stop in an orderly way.
pub async fn serve(config: Config) -> Result<(), Error> {
    let mut signals = Signals::new()?;
    let drain_delay = config.drain_delay;
    let options = Options {
        config,
        meeting: Meeting::Network,
        doors: true,
        clock: Clock::system(),
    };
    let node = Node::start(options).await?;
    announce(&node);
    tokio::select! {
        error = node.failed() => return Err(error),
        name = signals.next() => tracing::info!("{name}: stopping; once more ends at once"),
        () = report_ready(&node) => {}
    }
    let orderly = async {
        node.drain();
        tokio::time::sleep(drain_delay).await;
        node.stop().await
    };
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
    let line = format!(
        "listening node={}{http}{cluster}\n",
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
