//! One who listens.

use std::collections::HashSet;
use std::sync::Arc;

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

    /// What it listens to.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = &Topic> {
        self.topics.iter()
    }

    /// Waits until all nodes that are connected to this one know what it listens to now, so that
    /// whatever happens on them from then on will come; false if they do not at the deadline.
    pub async fn known(&self, deadline: Instant) -> bool {
        self.hub.known(deadline).await
    }

    /// The next event; `None` once the node stops. Nothing is lost if it is not waited for to the
    /// end.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.try_next() {
                return Some(event);
            }
            if self.ring.is_closed() {
                return None;
            }
            self.ring.filled().await;
        }
    }

    /// The next event, if one waits.
    pub fn try_next(&mut self) -> Option<Event> {
        self.ring.pop(&self.hub.0.memory)
    }

    /// Whether the node stops, and nothing waits that happened before.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ring.is_closed() && self.ring.is_empty()
    }

    /// How many events it lost because it did not keep up.
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
