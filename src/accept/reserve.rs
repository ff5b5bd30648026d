//! What an accept loop does when the process has no file descriptor left for a connection.
//!
//! A connection that cannot be taken stays in the listener's queue, and asks again at once: an
//! accept loop that only waits leaves clients hanging, one that does not wait takes a whole CPU. So
//! it keeps one descriptor in reserve. When there is no other, it gives that up, takes one waiting
//! connection after the other in its place, has each rejected and closed, and takes the reserve
//! again. Every client hears of it, nothing spins, and it ends by itself when descriptors come back.

use std::fs::File;
use std::io;

use futures_util::FutureExt;
use tokio::net::{TcpListener, TcpStream};

/// So many connections are rejected before the loop looks at anything else.
const ROUND_MAX: usize = 64;

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

    fn refill(&mut self) {
        if self.0.is_none() {
            self.0 = File::open("/dev/null").ok();
        }
    }

    /// Takes the connections that wait, in the place of the reserve: `reject` must close each.
    /// Whether that worked; otherwise there is nothing to do but to wait.
    ///
    /// The system looks for a descriptor before it looks for a connection. So this must go on until
    /// none waits: only then does the listener wait for the next one, instead of failing again.
    pub(super) fn reject(&mut self, listener: &TcpListener, reject: impl Fn(TcpStream)) -> bool {
        let Some(reserve) = self.0.take() else {
            self.refill();
            return false;
        };
        drop(reserve);
        let mut works = true;
        for _ in 0..ROUND_MAX {
            match listener.accept().now_or_never() {
                None => break,
                Some(Ok((tcp, _))) => reject(tcp),
                Some(Err(_)) => {
                    works = false;
                    break;
                }
            }
        }
        self.refill();
        works
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
    use std::sync::atomic::{AtomicUsize, Ordering};
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
    async fn all_that_wait_are_rejected() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let mut reserve = Reserve::new();
        let rejected = AtomicUsize::new(0);
        let all = async {
            while rejected.load(Ordering::Relaxed) < 3 {
                let works = reserve.reject(&listener, |tcp| {
                    drop(tcp);
                    rejected.fetch_add(1, Ordering::Relaxed);
                });
                assert!(works);
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), all)
            .await
            .unwrap();
        for mut client in clients {
            let read = client.read(&mut [0; 1]).await;
            assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
        }
        let nobody = |_| panic!("nobody is there");
        assert!(reserve.reject(&listener, nobody));
        assert!(
            !Reserve(None).reject(&listener, nobody),
            "nothing to give up"
        );
    }
}
