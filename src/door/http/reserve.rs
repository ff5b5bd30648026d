//! What a door does when the process has no file descriptor left for a connection.
//!
//! A connection that cannot be taken stays in the listener's queue, and asks again at once: an
//! accept loop that only waits leaves clients hanging, one that does not wait takes a whole CPU. So
//! the door keeps one descriptor in reserve. When there is no other, it gives that up, takes the
//! connection with it, tells its client to come back, closes it, and takes the reserve again. Every
//! client gets an answer, nothing spins, and it ends by itself when descriptors come back.

use std::fs::File;
use std::io;

use futures_util::FutureExt;
use tokio::net::{TcpListener, TcpStream};

/// See the module.
#[derive(Debug)]
pub(super) struct Reserve(Option<File>);

impl Reserve {
    /// Takes a descriptor, if there is one.
    pub(super) fn new() -> Reserve {
        let mut reserve = Reserve(None);
        reserve.refill();
        reserve
    }

    /// Takes a descriptor unless there is one already. Whether there is one now.
    pub(super) fn refill(&mut self) -> bool {
        if self.0.is_none() {
            self.0 = File::open("/dev/null").ok();
        }
        self.0.is_some()
    }

    /// The connection at the head of the queue, in the place of the reserve. Refill when it is
    /// closed.
    pub(super) fn accept(&mut self, listener: &TcpListener) -> Option<TcpStream> {
        drop(self.0.take()?);
        let (tcp, _) = listener.accept().now_or_never()?.ok()?;
        Some(tcp)
    }
}

/// Whether an error says that there are no descriptors left, in the process or in the system.
pub(super) fn is_exhaustion(error: &io::Error) -> bool {
    /// `ENFILE` and `EMFILE`, which are the same on every Unix.
    const NONE_LEFT: [i32; 2] = [23, 24];
    error
        .raw_os_error()
        .is_some_and(|code| NONE_LEFT.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::AsyncReadExt;

    #[test]
    fn which_errors_it_is_about() {
        for (code, is) in [(23, true), (24, true), (11, false), (103, false)] {
            assert_eq!(is_exhaustion(&io::Error::from_raw_os_error(code)), is);
        }
        assert!(!is_exhaustion(&io::Error::other("too many open files")));
    }

    #[tokio::test]
    async fn the_reserve_takes_one_connection_at_a_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut reserve = Reserve::new();
        assert!(reserve.accept(&listener).is_none(), "nobody is there");
        assert!(reserve.accept(&listener).is_none(), "it is given up");
        assert!(reserve.refill());
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        let taken = async {
            loop {
                reserve.refill();
                if let Some(tcp) = reserve.accept(&listener) {
                    return tcp;
                }
                tokio::task::yield_now().await;
            }
        };
        let patience = Duration::from_secs(20);
        drop(tokio::time::timeout(patience, taken).await.unwrap());
        let read = client.read(&mut [0; 1]).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
}
