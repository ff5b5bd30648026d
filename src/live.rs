//! What happens, for those who want to hear of it at once: messages on channels, and changes of keys.
//!
//! A node has one [`Hub`]. Doors open a [`Subscription`] on it for each client that listens, and
//! [`Hub::publish`] to channels; the writer of a key's owner says what became of the key
//! ([`Hub::stored`], [`Hub::changed`]). Nodes tell each other what their subscribers listen to
//! (`interest`), and send one another what the other listens to (`relay`), over the sessions that
//! they have anyway.
//!
//! ```text
//!  writer ── stored ──► queue ─┐                ┌─► ring ─► Subscription     (a door's client)
//!  other nodes ──────► queue ─┴─ LiveActor ────┼─► ring ─► Subscription
//!  door ──── publish ──────────────────────────┴─► other nodes that listen
//! ```
//!
//! All of it is best effort, within bounds: each subscriber has a ring of its own, the
//! oldest events giving way; the queues before it have bounds as well; and whatever is lost is told
//! as [`Event::Missed`]. Nothing waits for a subscriber: not a writer, not a publisher, not a node.
//!
//! Order: what one subscriber is told of one key comes in the order in which the key's owner changed
//! it. When a key gets another owner, what the former one said last may come after what the new one
//! said first: versions tell. Messages of one publisher on one channel come in the order in which
//! they were published.
//!
//! While nobody anywhere watches keys, a write pays one relaxed load for all this
//! ([`Hub::is_watched`]).

mod actor;
pub mod event;
mod interest;
mod prefixes;
mod registry;
mod relay;
mod ring;
mod subscription;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use ractor::ActorRef;
use tokio::time::Instant;

pub use self::actor::LiveActor;
pub use self::event::{Change, Event, Message, Moment, What};
pub use self::registry::Topic;
pub use self::relay::Outlet;
pub use self::subscription::Subscription;

use self::registry::{Audience, Registry};
use self::relay::Relay;
use self::ring::{Bounds, Memory, Ring, Share};
use self::wire::{Lost, Word};
use crate::command::EntryRef;
use crate::fields::Malformed;
use crate::glob;
use crate::key::KEY_BYTES_MAX;
use crate::version::NodeId;

/// Longest name of a channel, in bytes.
pub const CHANNEL_BYTES_MAX: usize = KEY_BYTES_MAX;
/// Longest pattern, in bytes: every message on any channel is held against it.
pub const PATTERN_BYTES_MAX: usize = 1_024;
/// Longest message that can be allowed.
pub const MESSAGE_BYTES_LIMIT: usize = 16 << 20;

/// Most events that wait to be handed out.
const QUEUE_MAX: usize = 64 * 1024;
/// Most bytes of them.
const QUEUE_BYTES_MAX: usize = 16 << 20;
/// So many are handed out before others get the thread.
const BATCH: usize = 128;
/// What was lost on the way to a peer that has no room is told again after so long.
const LOST_AGAIN: Duration = Duration::from_millis(100);

/// Why somebody cannot listen, or publish.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There are as many who listen as there may be.
    #[error("{max} clients listen to this node already, which is as many as may; try another node")]
    TooMany {
        /// So many.
        max: usize,
    },
    /// One listens to as much as it may.
    #[error("a client may listen to {max} names, patterns, keys and prefixes")]
    TooMuch {
        /// So much.
        max: usize,
    },
    /// All who listen have used up what memory there is for it.
    #[error("the memory for subscriptions is used up; try again later, or another node")]
    Full,
    /// A name, pattern, key or prefix is too long.
    #[error("it is {bytes} bytes long; the limit for a {what} is {max}")]
    TooLong {
        /// What it should be.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
}

/// How much may listen, and wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most subscriptions of a node.
    pub subscribers_max: usize,
    /// Most topics of a subscription.
    pub topics_max: usize,
    /// Most events that wait for a subscriber.
    pub events_max: usize,
    /// Most bytes of them.
    pub event_bytes_max: usize,
    /// Most bytes of all that waits, and of all topics, of a node.
    pub bytes_max: usize,
    /// Longest message.
    pub message_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            subscribers_max: 10_000,
            topics_max: 10_000,
            events_max: 1_024,
            event_bytes_max: 1 << 20,
            bytes_max: 64 << 20,
            message_bytes_max: 1 << 20,
        }
    }
}

/// What a hub has counted since it was made, and what there is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Who listens now.
    pub subscribers: u64,
    /// What they listen to, each for itself.
    pub topics: u64,
    /// Bytes of events that wait, and of topics.
    pub bytes: u64,
    /// Messages published through this node.
    pub published: u64,
    /// Events given to subscribers.
    pub delivered: u64,
    /// Events that subscribers lost because they, or this node, did not keep up.
    pub lost: u64,
    /// Events sent to other nodes.
    pub relayed: u64,
    /// Events that other nodes lost because there was no room on the way to them.
    pub relay_lost: u64,
}

/// See the module; cheap to clone. The default is one to which nobody listens yet.
#[derive(Clone, Debug)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Whether anybody, anywhere, watches keys.
    watched: Arc<AtomicBool>,
    /// Held while that is found out anew.
    watching: Mutex<()>,
    registry: RwLock<Registry>,
    rings: Mutex<BTreeMap<u64, Arc<Ring>>>,
    /// Grows with what is listened to here; written under the registry's lock.
    version: AtomicU64,
    relay: Relay,
    queue: Mutex<Queue>,
    memory: Arc<Memory>,
    limits: ArcSwap<Limits>,
    next: AtomicU64,
    closed: AtomicBool,
    actor: ArcSwapOption<ActorRef<actor::Message>>,
    /// Whether the actor has been told of work, or is to tell others, and has not begun yet.
    work_told: AtomicBool,
    tell_told: AtomicBool,
    tell_timed: AtomicBool,
    published: AtomicU64,
    delivered: AtomicU64,
    lost: AtomicU64,
    relayed: AtomicU64,
    relay_lost: AtomicU64,
}

/// What waits to be handed out.
#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    bytes: usize,
    /// What had no room, of this node's own and of others.
    lost: Lost,
    own_changes_lost: u64,
}

#[derive(Debug)]
struct Job {
    event: Event,
    /// Whether it happened here, so that other nodes have to hear of it.
    own: bool,
}

impl Default for Hub {
    fn default() -> Hub {
        Hub::new(Limits::default())
    }
}

impl Hub {
    /// A hub to which nobody listens yet. Its [`LiveActor`] is spawned by the node's supervisor;
    /// without it nothing is handed out but messages to subscribers of this node.
    #[must_use]
    pub fn new(limits: Limits) -> Hub {
        Hub(Arc::new(Inner {
            watched: Arc::default(),
            watching: Mutex::default(),
            registry: RwLock::default(),
            rings: Mutex::default(),
            version: AtomicU64::new(1),
            relay: Relay::default(),
            queue: Mutex::default(),
            memory: Arc::new(Memory::new(limits.bytes_max)),
            limits: ArcSwap::from_pointee(limits),
            next: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            actor: ArcSwapOption::empty(),
            work_told: AtomicBool::new(false),
            tell_told: AtomicBool::new(false),
            tell_timed: AtomicBool::new(false),
            published: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            relayed: AtomicU64::new(0),
            relay_lost: AtomicU64::new(0),
        }))
    }

    /// Other limits from now on. What there is beyond them stays.
    pub fn limit(&self, limits: Limits) {
        self.0.memory.limit(limits.bytes_max);
        self.0.limits.store(Arc::new(limits));
    }

    // ---- for those who listen, and publish ----

    /// Somebody more who listens: to nothing yet.
    ///
    /// # Errors
    /// [`Error::TooMany`].
    pub fn subscribe(&self) -> Result<Subscription, Error> {
        let limits = self.0.limits.load();
        self.subscribe_within(limits.events_max, limits.event_bytes_max)
    }

    /// As [`Hub::subscribe`], where so many events, of so many bytes, may wait.
    ///
    /// # Errors
    /// [`Error::TooMany`].
    pub fn subscribe_within(
        &self,
        events_max: usize,
        bytes_max: usize,
    ) -> Result<Subscription, Error> {
        let limits = self.0.limits.load();
        let ring = Arc::new(Ring::new(Bounds {
            events_max,
            bytes_max,
        }));
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let mut rings = self.0.rings.lock();
        let max = limits.subscribers_max;
        if rings.len() >= max {
            return Err(Error::TooMany { max });
        }
        rings.insert(number, Arc::clone(&ring));
        drop(rings);
        if self.0.closed.load(Ordering::Acquire) {
            ring.close();
        }
        Ok(Subscription::new(self.clone(), number, ring))
    }

    /// Publishes a message to all who listen to the channel, or to a pattern that matches it, on any
    /// node. Returns how many of them are this node's, each counted as often as it gets the message.
    ///
    /// # Errors
    /// [`Error::TooLong`]; then nothing was published.
    pub fn publish(&self, channel: &Bytes, payload: &Bytes) -> Result<usize, Error> {
        let message_bytes_max = self.0.limits.load().message_bytes_max;
        check_length("channel's name", channel.len(), CHANNEL_BYTES_MAX)?;
        check_length("message", payload.len(), message_bytes_max)?;
        self.0.published.fetch_add(1, Ordering::Relaxed);
        let count = self.hand_out_message(channel, payload);
        let (sent, lost) = self.0.relay.send(
            false,
            |interest| interest.has_channel(channel),
            || wire::message(channel, payload),
        );
        self.count_relayed(sent, lost);
        Ok(count)
    }

    /// Channels that clients of this node listen to by name, as far as they match.
    #[must_use]
    pub fn channels(&self, pattern: Option<&[u8]>) -> Vec<Bytes> {
        let registry = self.0.registry.read();
        let names = registry.channels().map(|(name, _)| name);
        let matches = |name: &&Bytes| pattern.is_none_or(|pattern| glob::matches(pattern, name));
        names.filter(matches).cloned().collect()
    }

    /// How many channels clients of this node listen to by name.
    #[must_use]
    pub fn channel_count(&self) -> usize {
        self.0.registry.read().channels().count()
    }

    /// How many clients of this node listen to a channel by its name.
    #[must_use]
    pub fn listeners(&self, channel: &[u8]) -> usize {
        self.0.registry.read().listeners(channel)
    }

    /// How many patterns clients of this node listen to.
    #[must_use]
    pub fn patterns(&self) -> usize {
        self.0.registry.read().patterns()
    }

    /// Ends all subscriptions, once they have taken what waits for them, and begins no more: the node
    /// is about to stop.
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.rings.lock().values().for_each(|ring| ring.close());
    }

    // ---- for writers ----

    /// Whether anybody, on any node, watches keys. One relaxed load.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.0.watched.load(Ordering::Relaxed)
    }

    /// What [`Hub::is_watched`] reads, for rooms that know nothing of hubs.
    #[must_use]
    pub fn watched(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0.watched)
    }

    /// The owner of a key has stored this entry, or, if it is a tombstone, deleted the key. Called
    /// under the writer's lock, so that changes are told in their order.
    pub fn stored(&self, key: &[u8], entry: EntryRef<'_>) {
        if self.is_watched() {
            self.changed(key, || What::of(entry));
        }
    }

    /// As [`Hub::stored`], for whatever else became of a key.
    pub fn changed(&self, key: &[u8], what: impl FnOnce() -> What) {
        // One lock after the other: whoever tells others takes them the other way round.
        let here = self.0.registry.read().has_key(key);
        if here || self.0.relay.has_key(key) {
            let change = Change {
                key: Bytes::copy_from_slice(key),
                what: what(),
            };
            self.queue(Job {
                event: Event::Change(change),
                own: true,
            });
        }
    }

    /// Changes may have passed that nobody was told of: whoever watches keys, on any node, should
    /// look for itself.
    pub fn gap(&self) {
        self.miss_changes(0);
        self.0.relay.lose_changes(0);
        self.ask_to_tell();
    }

    // ---- for the links to other nodes ----

    /// Words for `node` go over this session from now on.
    pub fn linked(&self, node: NodeId, session: u64, outlet: Arc<dyn Outlet>) {
        if self.0.relay.linked(node, session, outlet) {
            self.ask_to_tell();
        }
    }

    /// There is no session with `node`, which `owns` keys or not: what it sent last may be lost.
    pub fn unlinked(&self, node: NodeId, owns: bool) {
        if self.0.relay.unlinked(node) && owns {
            self.miss_changes(0);
        }
    }

    /// `node` is held for dead.
    pub fn forget(&self, node: NodeId) {
        self.0.relay.forget(node);
        self.look();
    }

    /// Takes a word of another node. `reply` is the way back to it, and `owns` says whether it owns
    /// keys.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn receive(
        &self,
        from: NodeId,
        word: Bytes,
        reply: &dyn Outlet,
        owns: impl FnOnce() -> bool,
    ) -> Result<(), Malformed> {
        match wire::read(word)? {
            Word::Interest(version, interest) => {
                self.0.relay.wants(from, interest);
                self.look();
                reply.word(&wire::known(version), true);
            }
            Word::Known(version) => {
                // It may have changed keys before it knew who listens.
                if self.0.relay.knows(from, version) && owns() {
                    self.miss_changes(0);
                }
                if version < self.0.version.load(Ordering::Acquire) {
                    self.ask_to_tell();
                }
            }
            Word::Change(change) => self.queue(Job {
                event: Event::Change(change.detach()),
                own: false,
            }),
            Word::Message(message) => self.queue(Job {
                event: Event::Message(message.detach()),
                own: false,
            }),
            Word::Lost(lost) => {
                // It is told in its place: behind what came before.
                self.0.queue.lock().lost.add(lost);
                self.ask_to_work();
            }
        }
        Ok(())
    }

    // ---- for metrics ----

    /// What there is, and what was counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let inner = &*self.0;
        Counters {
            subscribers: inner.rings.lock().len() as u64,
            topics: inner.registry.read().pairs() as u64,
            bytes: inner.memory.used() as u64,
            published: inner.published.load(Ordering::Relaxed),
            delivered: inner.delivered.load(Ordering::Relaxed),
            lost: inner.lost.load(Ordering::Relaxed),
            relayed: inner.relayed.load(Ordering::Relaxed),
            relay_lost: inner.relay_lost.load(Ordering::Relaxed),
        }
    }
}

fn check_length(what: &'static str, bytes: usize, max: usize) -> Result<(), Error> {
    if bytes <= max {
        return Ok(());
    }
    Err(Error::TooLong { what, bytes, max })
}

/// For subscriptions.
impl Hub {
    fn check(&self, topic: &Topic, present: usize) -> Result<(), Error> {
        let max = self.0.limits.load().topics_max;
        if present >= max {
            return Err(Error::TooMuch { max });
        }
        let (what, max) = match topic {
            Topic::Channel(_) => ("channel's name", CHANNEL_BYTES_MAX),
            Topic::Pattern(_) => ("pattern", PATTERN_BYTES_MAX),
            Topic::Key(_) => ("key", KEY_BYTES_MAX),
            Topic::Prefix(_) => ("prefix", KEY_BYTES_MAX),
        };
        check_length(what, topic.text().len(), max)
    }

    fn listen(&self, topic: &Topic, number: u64, ring: &Arc<Ring>) {
        let mut registry = self.0.registry.write();
        let news = registry.add(topic, number, ring);
        self.after_change(registry, news);
    }

    fn unlisten<'a>(&self, topics: impl IntoIterator<Item = &'a Topic>, number: u64) {
        let mut registry = self.0.registry.write();
        let mut news = false;
        for topic in topics {
            news |= registry.remove(topic, number);
        }
        self.after_change(registry, news);
    }

    fn after_change(&self, registry: parking_lot::RwLockWriteGuard<'_, Registry>, news: bool) {
        if news {
            self.0.version.fetch_add(1, Ordering::AcqRel);
        }
        drop(registry);
        if news {
            self.look();
            self.ask_to_tell();
        }
    }

    fn leave(&self, number: u64) {
        self.0.rings.lock().remove(&number);
    }

    /// Grows with what is listened to here.
    fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }

    async fn known(&self, version: u64, deadline: Instant) -> bool {
        self.0.relay.known(version, deadline).await
    }

    /// Finds out whether anybody watches keys.
    fn look(&self) {
        let _watching = self.0.watching.lock();
        let here = self.0.registry.read().has_keys();
        let watched = here || self.0.relay.has_keys();
        self.0.watched.store(watched, Ordering::Relaxed);
    }
}

/// For the actor.
impl Hub {
    fn queue(&self, job: Job) {
        let bytes = job.event.bytes();
        let mut queue = self.0.queue.lock();
        let full = queue.jobs.len() >= QUEUE_MAX || queue.bytes + bytes > QUEUE_BYTES_MAX;
        if full && !queue.jobs.is_empty() {
            let is_change = matches!(job.event, Event::Change(_));
            queue.lost.count(is_change);
            queue.own_changes_lost += u64::from(job.own && is_change);
        } else {
            queue.bytes += bytes;
            queue.jobs.push_back(job);
        }
        drop(queue);
        self.ask_to_work();
    }

    fn ask_to_work(&self) {
        if !self.0.work_told.swap(true, Ordering::AcqRel) {
            self.cast(actor::Message::Work);
        }
    }

    fn ask_to_tell(&self) {
        if !self.0.tell_told.swap(true, Ordering::AcqRel) {
            self.cast(actor::Message::Tell);
        }
    }

    /// An actor that is being restarted looks by itself.
    fn cast(&self, message: actor::Message) {
        if let Some(actor) = self.0.actor.load().as_deref() {
            let _ = actor.cast(message);
        }
    }

    /// A new actor has heard nothing.
    fn begin(&self) {
        for told in [&self.0.work_told, &self.0.tell_told, &self.0.tell_timed] {
            told.store(false, Ordering::Release);
        }
    }

    /// Hands out all that waits, as the actor would.
    #[cfg(test)]
    pub(crate) fn hand_out_all(&self) {
        self.begin_work();
        while self.hand_out() {}
    }

    /// Whatever is queued from now on, the actor is told of.
    fn begin_work(&self) {
        self.0.work_told.store(false, Ordering::Release);
    }

    /// Hands out some of what waits; whether there may be more.
    fn hand_out(&self) -> bool {
        let mut queue = self.0.queue.lock();
        let count = queue.jobs.len().min(BATCH);
        let jobs: Vec<Job> = queue.jobs.drain(..count).collect();
        queue.bytes -= jobs.iter().map(|job| job.event.bytes()).sum::<usize>();
        // What had no room came after all that had some.
        let lost = if queue.jobs.is_empty() {
            let own = std::mem::take(&mut queue.own_changes_lost);
            (std::mem::take(&mut queue.lost), own)
        } else {
            Default::default()
        };
        drop(queue);
        for job in jobs {
            match job.event {
                Event::Change(change) => self.hand_out_change(change, job.own),
                Event::Message(message) => {
                    self.hand_out_message(&message.channel, &message.payload);
                }
                Event::Missed(_) => {}
            }
        }
        self.hand_out_lost(lost);
        count == BATCH
    }

    fn hand_out_change(&self, change: Change, own: bool) {
        if own {
            let (sent, lost) = self.0.relay.send(
                true,
                |interest| interest.has_key(&change.key),
                || wire::change(&change),
            );
            self.count_relayed(sent, lost);
        }
        let audience = self.0.registry.read().of_key(&change.key);
        if audience.is_empty() {
            return;
        }
        let event = Event::Change(change);
        let share = self.share(&event, &[&audience]);
        self.fill(&audience, &event, share.as_ref());
    }

    fn hand_out_message(&self, channel: &Bytes, payload: &Bytes) -> usize {
        let found = self.0.registry.read().of_channel(channel);
        let message = |pattern| {
            Event::Message(Message {
                channel: channel.clone(),
                pattern,
                payload: payload.clone(),
            })
        };
        let audiences: Vec<&Audience> = found.iter().map(|(_, audience)| audience).collect();
        let share = match audiences.is_empty() {
            true => None,
            false => self.share(&message(None), &audiences),
        };
        let mut count = 0;
        for (pattern, audience) in &found {
            count += audience.len();
            self.fill(audience, &message(pattern.clone()), share.as_ref());
        }
        count
    }

    /// The memory for an event's texts, which all who get it share. If there is none, what waits for
    /// these gives way.
    fn share(&self, event: &Event, audiences: &[&Audience]) -> Option<Arc<Share>> {
        let bytes = event.text_bytes();
        let memory = &self.0.memory;
        memory.share(bytes).or_else(|| {
            let rings = audiences.iter().flat_map(|audience| audience.values());
            let lost: u64 = rings.map(|ring| ring.shed_all(memory)).sum();
            self.0.lost.fetch_add(lost, Ordering::Relaxed);
            memory.share(bytes)
        })
    }

    fn fill(&self, audience: &Audience, event: &Event, share: Option<&Arc<Share>>) {
        let mut lost = 0;
        for ring in audience.values() {
            lost += match share {
                Some(share) => ring.push(event.clone(), share, &self.0.memory),
                None => ring.overflow(),
            };
        }
        let count = audience.len() as u64;
        self.0.delivered.fetch_add(count, Ordering::Relaxed);
        self.0.lost.fetch_add(lost, Ordering::Relaxed);
    }

    fn hand_out_lost(&self, (lost, own_changes): (Lost, u64)) {
        if let Some(count) = lost.changes {
            self.miss_changes(count);
        }
        if let Some(count) = lost.messages {
            self.miss(false, count);
        }
        if own_changes > 0 {
            self.0.relay.lose_changes(own_changes);
            self.ask_to_tell();
        }
    }

    fn miss_changes(&self, count: u64) {
        self.miss(true, count);
    }

    /// All who listen to keys, or to channels, have lost so many events at least.
    fn miss(&self, of_keys: bool, count: u64) {
        self.0.lost.fetch_add(count, Ordering::Relaxed);
        let everybody = self.0.registry.read().everybody(of_keys);
        everybody.values().for_each(|ring| ring.miss(count));
    }

    fn count_relayed(&self, sent: u64, lost: u64) {
        self.0.relayed.fetch_add(sent, Ordering::Relaxed);
        if lost > 0 {
            self.0.relay_lost.fetch_add(lost, Ordering::Relaxed);
            self.ask_to_tell();
        }
    }

    /// Tells other nodes what is listened to here, and what they have lost; when to come again.
    fn tell(&self, later: bool) -> Option<Duration> {
        let told = if later {
            &self.0.tell_timed
        } else {
            &self.0.tell_told
        };
        told.store(false, Ordering::Release);
        // Taken first: what is summed up then may be newer, but never older.
        let version = self.0.version.load(Ordering::Acquire);
        let interest = || self.0.registry.read().interest();
        let wait = self.0.relay.tell(version, interest, Instant::now());
        let lost = self.0.relay.tell_lost().then_some(LOST_AGAIN);
        let wait = match (wait, lost) {
            (Some(wait), Some(lost)) => wait.min(lost),
            (wait, lost) => wait.or(lost)?,
        };
        // One timer at a time.
        (!self.0.tell_timed.swap(true, Ordering::AcqRel)).then_some(wait)
    }
}
