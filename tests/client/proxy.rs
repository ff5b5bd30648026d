//! What stands between a client and a node, and fails as it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A proxy; it ends when it goes out of scope.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    /// So many answers are still to be lost, with their connections.
    pub(crate) lose: Arc<AtomicU32>,
    pub(crate) connections: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    pub(crate) async fn before(node: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let lose = Arc::new(AtomicU32::new(0));
        let connections = Arc::new(AtomicUsize::new(0));
        let (losing, count) = (Arc::clone(&lose), Arc::clone(&connections));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, SeqCst);
                let losing = Arc::clone(&losing);
                tokio::spawn(async move {
                    if let Ok(node) = TcpStream::connect(node).await {
                        carry(client, node, &losing).await;
                    }
                });
            }
        });
        Proxy {
            address,
            lose,
            connections,
            accepting,
        }
    }
}

/// Carries bytes both ways until an end, or until an answer is lost.
async fn carry(mut client: TcpStream, mut node: TcpStream, losing: &AtomicU32) {
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => match read {
                Ok(length @ 1..) => node.write_all(&asked[..length]).await.unwrap_or_default(),
                _ => return,
            },
            read = node.read(&mut answered) => match read {
                Ok(length @ 1..) => {
                    if has_answer(&answered[..length])
                        && losing.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok()
                    {
                        // The node has done it, and the client will not know.
                        return;
                    }
                    client.write_all(&answered[..length]).await.unwrap_or_default();
                }
                _ => return,
            },
        }
    }
}

/// Whether there is a frame of HTTP/2 among these that is the head or the body of an answer. Nothing is
/// cut in between: what is written at once on loopback is read at once.
fn has_answer(mut frames: &[u8]) -> bool {
    while let [a, b, c, kind, rest @ ..] = frames {
        if *kind <= 1 {
            return true;
        }
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        frames = rest.get(5 + length..).unwrap_or_default();
    }
    false
}
