//! Questions about the keys of many partitions, to other nodes and from them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::incoming::TASKS_MAX;
use super::{Error, Peers};
use crate::cluster::codec::keyspace::{Request, Response};
use crate::cluster::codec::{self, Response as Answer};
use crate::cluster::link::Link;
use crate::router;
use crate::version::NodeId;

impl Peers {
    /// Asks `node` about the keys of partitions that it is thought to own.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn keyspace(
        &self,
        node: NodeId,
        request: &Request,
        deadline: Instant,
    ) -> Result<Response, Error> {
        let request = codec::Request::Keyspace(request.clone());
        match self.ask_request(node, &request, deadline).await? {
            Answer::Keyspace(response) => Ok(response),
            Answer::Error(error) => Err(Error::Refused(error)),
            _ => Err(Error::Lost),
        }
    }

    /// Answers from a task: tables are walked over.
    pub(super) fn on_keyspace(
        &self,
        link: &Arc<Link>,
        id: u64,
        deadline_ms: u32,
        request: Request,
    ) {
        if self.0.tasks.fetch_add(1, Ordering::AcqRel) >= TASKS_MAX {
            self.0.tasks.fetch_sub(1, Ordering::AcqRel);
            let error = router::Error::Overloaded { peer: None };
            return link.respond(id, &Answer::Error(error));
        }
        let deadline = Instant::now() + Duration::from_millis(deadline_ms.into());
        let (peers, link) = (self.clone(), Arc::clone(link));
        self.0.options.requests_runtime.spawn(async move {
            let keyspace = peers.0.options.router.keyspace();
            let response = match keyspace.answer(&request, deadline).await {
                Ok(response) => Answer::Keyspace(response),
                Err(error) => Answer::Error(error),
            };
            peers.0.tasks.fetch_sub(1, Ordering::AcqRel);
            link.respond(id, &response);
            link.wake();
        });
    }
}
