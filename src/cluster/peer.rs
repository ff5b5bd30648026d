//! Links to the other nodes.

use tokio::time::Instant;

use crate::command::{Command, Entry, Reply};
use crate::key::Key;
use crate::router;
use crate::version::NodeId;

/// Why another node did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no session with it; nothing was sent.
    #[error("not connected")]
    NotConnected,
    /// Too much is under way to it; nothing was sent.
    #[error("too much is under way to it")]
    Overloaded,
    /// It did not answer in time.
    #[error("no answer in time")]
    Deadline,
    /// The session ended while the request was under way.
    #[error("the session ended")]
    Lost,
    /// It answered with an error.
    #[error(transparent)]
    Refused(router::Error),
}

/// All links; cheap to clone.
#[derive(Clone, Debug)]
pub struct Peers {}

impl Peers {
    /// Asks `node` to carry a command out; `None` if it does not own the key.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn request(
        &self,
        node: NodeId,
        command: &Command,
        deadline: Instant,
    ) -> Result<Option<Reply>, Error> {
        let _ = (node, command, deadline);
        Err(Error::NotConnected)
    }

    /// Asks `node` for the entry that it holds for `key`, owner or not.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn fetch(
        &self,
        node: NodeId,
        key: Key,
        deadline: Instant,
    ) -> Result<Option<Entry>, Error> {
        let _ = (node, key, deadline);
        Err(Error::NotConnected)
    }
}
