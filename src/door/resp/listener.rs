//! Taking connections: the accept loop, and who is turned away.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Shared;
use super::connection::Connection;
use crate::accept::Trouble;
use crate::door::tls::Refusal;

/// After so long without a word the system asks whether a client is still there.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(300);
/// How much the system keeps for a client that does not read, besides what is under way to it.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 256 << 10;

const NOT_TLS: &[u8] = b"-ERR this port takes TLS only: use rediss:// or --tls\r\n";
const FULL: &[u8] = b"-ERR max number of clients reached\r\n";

/// Takes connections until `shutdown`, then waits until all are closed.
pub(super) async fn serve(
    shared: &Arc<Shared>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) {
    let mut trouble = Trouble::new("connections of Redis clients");
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(ended) = connections.join_next() => report(ended),
            accepted = listener.accept() => match accepted {
                Ok((tcp, address)) => admit(shared, tcp, address, &mut connections),
                Err(error) => trouble.meet(&listener, &error, |tcp| reject(shared, &tcp)).await,
            },
        }
    }
    drop(listener);
    shared.clients.stop();
    while let Some(ended) = connections.join_next().await {
        report(ended);
    }
}

/// A connection ends in silence, whatever its client did; only a panic is ours.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked; the connection is closed");
    }
}

/// Turns a connection away: there are too many, or no descriptor is left for it.
fn reject(shared: &Shared, tcp: &TcpStream) {
    shared.turned_away.fetch_add(1, Relaxed);
    // What the socket does not take at once is not worth waiting for.
    let _ = tcp.try_write(FULL);
}

fn admit(shared: &Arc<Shared>, tcp: TcpStream, address: SocketAddr, connections: &mut JoinSet<()>) {
    if shared.clients.count() >= shared.connections_max.load(Relaxed) {
        reject(shared, &tcp);
        return;
    }
    // Replies are written whole; waiting for more would only delay them.
    let _ = tcp.set_nodelay(true);
    let socket = SockRef::from(&tcp);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
    // A client that stops reading is noticed sooner, and costs the system less.
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
    let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let local = tcp.local_addr().unwrap_or(nowhere);
    let now = shared.context.clock.now();
    let descriptor = tcp.as_raw_fd();
    let registered = shared.clients.register((address, local), descriptor, now);
    let shared = Arc::clone(shared);
    connections.spawn(async move {
        match shared.acceptor.accept(tcp).await {
            Ok(socket) => Connection::new(socket, &shared, registered).serve().await,
            // What the socket does not take at once is not worth waiting for.
            Err(Refusal::Plaintext(tcp)) => drop(tcp.try_write(NOT_TLS)),
            Err(Refusal::Slow | Refusal::Failed) => {}
        }
    });
}
