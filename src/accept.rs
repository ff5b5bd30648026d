//! What an accept loop does about errors, whatever it takes connections for.
//!
//! Errors about one connection are passed over. Without a file descriptor connections are rejected
//! ([`Reserve`]); after anything else that may last the loop pauses. Either way it never spins, goes
//! on by itself when the trouble is over, and tells of it now and then ([`Seldom`]).
//!
//! Used by the listeners of the doors and of the cluster.

use std::io;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

mod reserve;
mod seldom;

use reserve::{Reserve, is_exhaustion};
pub(crate) use seldom::Seldom;

/// The pause after an error that may last, and nothing else can be done about.
const PAUSE: Duration = Duration::from_millis(100);

/// See the module. One for each listener.
#[derive(Debug)]
pub(crate) struct Trouble {
    /// For the log: what cannot be taken.
    what: &'static str,
    reserve: Reserve,
    seldom: Seldom,
}

impl Trouble {
    /// Takes a descriptor in reserve.
    pub(crate) fn new(what: &'static str) -> Trouble {
        Trouble {
            what,
            reserve: Reserve::new(),
            seldom: Seldom::default(),
        }
    }

    /// To be called with each error of `accept`. `reject` gets the connections for which there is
    /// no descriptor; it may write a few bytes without waiting, and must close them.
    pub(crate) async fn meet(
        &mut self,
        listener: &TcpListener,
        error: &io::Error,
        reject: impl Fn(TcpStream),
    ) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
        let passing = [
            ConnectionAborted,
            ConnectionRefused,
            ConnectionReset,
            Interrupted,
        ];
        if passing.contains(&error.kind()) {
            return;
        }
        if let Some(times) = self.seldom.happened() {
            let what = self.what;
            tracing::warn!(%error, times, "cannot take {what} at the moment");
        }
        if !is_exhaustion(error) || !self.reserve.reject(listener, reject) {
            tokio::time::sleep(PAUSE).await;
        }
    }
}
