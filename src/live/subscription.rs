//! One who listens.

use std::collections::HashSet;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;

use super::event::Event;
use super::registry::Topic;
use super::ring::Ring;
use super::{Error, Hub};

/// One who listens, to any number of things: what happens comes out of [`Subscription::next`], in
/// order. Dropped, it listens to nothing any more.
#[derive(Debug)]
pub struct Subscription {
    hub: Hub,
    number: u64,
    ring: Arc<Ring>,
    topics: HashSet<Topic>,
    /// What its topics take of the hub's memory.
    bytes: usize,
}

/// What a topic takes beside its text.
const TOPIC_BYTES: usize = 192;

impl Subscription {
    pub(super) fn new(hub: Hub, number: u64, ring: Arc<Ring>) -> Subscription {
        Subscription {
            hub,
            number,
            ring,
            topics: HashSet::new(),
            bytes: 0,
        }
    }

    /// Listens to something as well; false if it did so before.
    ///
    /// Events of this node come from now on, those of other nodes once these know of it: see
    /// [`Subscription::known`].
    ///
    /// # Errors
    /// When it is too much, or too long; then nothing has changed.
    pub fn add(&mut self, topic: Topic) -> Result<bool, Error> {
        if self.topics.contains(&topic) {
            return Ok(false);
        }
        self.hub.check(&topic, self.topics.len())?;
        let bytes = topic.text().len() + TOPIC_BYTES;
        if !self.hub.0.memory.take(bytes) {
            return Err(Error::Full);
        }
        self.bytes += bytes;
        self.hub.listen(&topic, self.number, &self.ring);
        self.topics.insert(topic);
        Ok(true)
    }

    /// Listens to something no more; false if it did not. What has happened before still comes.
    pub fn remove(&mut self, topic: &Topic) -> bool {
        if !self.topics.remove(topic) {
            return false;
        }
        self.hub.unlisten([topic], self.number);
        let bytes = topic.text().len() + TOPIC_BYTES;
        self.bytes -= bytes;
        self.hub.0.memory.give_back(bytes);
        true
    }

    /// Whether it listens to this.
    #[must_use]
    pub fn has(&self, topic: &Topic) -> bool {
        self.topics.contains(topic)
    }

    /// What it listens to.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = &Topic> {
        self.topics.iter()
    }

    /// Waits until all nodes that are connected to this one know what it listens to now, so that
    /// whatever happens on them from then on will come; false if they do not at the deadline.
    pub async fn known(&self, deadline: Instant) -> bool {
        self.knowing(deadline).await
    }

    /// As [`Subscription::known`], for whoever has to go on meanwhile.
    pub fn knowing(&self, deadline: Instant) -> impl Future<Output = bool> + Send + use<> {
        let hub = self.hub.clone();
        let version = hub.version();
        async move { hub.known(version, deadline).await }
    }

    /// The next event; `None` once the node stops. Nothing is lost if it is not waited for to the
    /// end.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`Subscription::next`], for tasks that wait for other things as well.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if let Some(event) = self.try_next() {
            return Poll::Ready(Some(event));
        }
        self.ring.wait(cx.waker());
        // It may have come just before.
        match self.try_next() {
            None if !self.ring.is_closed() => Poll::Pending,
            event => Poll::Ready(event),
        }
    }

    /// Lets the task be woken, once, if events are lost: for one that has no room for more now.
    pub fn wake_if_overrun(&self, cx: &Context<'_>) {
        self.ring.wait(cx.waker());
    }

    /// The next event, if one waits.
    pub fn try_next(&mut self) -> Option<Event> {
        self.ring.pop(&self.hub.0.memory)
    }

    /// How many events wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.ring.len()
    }

    /// Whether the node stops, and nothing waits that happened before.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ring.is_closed() && self.ring.is_empty()
    }

    /// Whether it lost events because they were not taken in time, and not on their way here.
    #[must_use]
    pub fn is_overrun(&self) -> bool {
        self.ring.is_overrun()
    }

    /// How many events it lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.ring.lost()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.unlisten(&self.topics, self.number);
        self.ring.clear(&self.hub.0.memory);
        self.hub.0.memory.give_back(self.bytes);
        self.hub.leave(self.number);
    }
}
