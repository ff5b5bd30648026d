//! Writers: whoever reads or changes an entry does it here, and all changes in one order.
//!
//! A node runs a few writers. Each is a [`Table`] behind a lock, and an actor; each partition
//! belongs to one writer, so all mutations of a key are applied one after the other.
//!
//! - **Reads** hold the lock for as long as it takes to look up and copy: no mailbox, no wake-up.
//! - **Writes** are applied by their caller if the lock is free, or comes free within a moment: the
//!   same lock, the same order, and two wake-ups less than by way of a mailbox. Else they wait in a
//!   bounded queue, which the actor works off in batches under one lock.
//! - **What takes long** (a path through a large document) is decided on a copy, beside the lock, and
//!   counts if the value is still the same then.
//!
//! The lock also guards the **role** of every partition ([`Role`]). Whether this node may answer
//! for a key is decided in the critical section that reads or changes it, so that a partition that
//! was granted away takes no further write, however late the request arrives.
//!
//! The actor is supervised by the node. The queue and the table outlive it: a restart loses
//! nothing. A command that panics is caught, answered as [`Error::Internal`], counted and never
//! tried again, so that a poisonous command cannot use up the actor's restarts.

mod actor;
mod aside;
pub mod core;
mod keyspace;
mod pulse;
mod repair;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::{Mutex, MutexGuard};
use ractor::ActorRef;
use tokio::sync::oneshot;

pub use self::actor::WriterActor;
pub use self::core::{
    Discarded, Doubtful, Followed, Kinds, Lost, Merge, Moved, Operation, Outcome, Owned, Role,
    Scanned, Sinks, Sum, Verdict, key_sum,
};
pub use self::keyspace::Deleted;

pub use self::pulse::{Pulse, STANDSTILL_MS};

use self::actor::Message;
use self::aside::Desk;
use self::core::{Core, Setup};
use crate::clock::{Clock, UnixMs};
use crate::command::collection::{Added, Collection};
use crate::command::{self, Command, EntryRef, Kind, OperationId};
use crate::config::policy::Policies;
use crate::key::PartitionId;
use crate::live::Hub;
use crate::replication::{Effect, Finished, Lacking, Lane, Lanes};
use crate::table::{self, Altered, Budget, Cursor, Stats, Table};
use crate::version::NodeId;

/// What a writer is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The node that signs versions.
    pub node: NodeId,
    /// Memory, shared by all writers of the node.
    pub budget: Arc<Budget>,
    /// Bounds of values.
    pub limits: command::Limits,
    /// How many copies a key has, and what a write waits for.
    pub policies: Policies,
    /// How long a delete is remembered.
    pub tombstone_horizon: Duration,
    /// The ways to other nodes.
    pub lanes: Lanes,
    /// Whether this node may answer.
    pub pulse: Pulse,
    /// Most commands waiting at a time.
    pub queue_max: usize,
    /// Most bytes of commands waiting at a time.
    pub queue_bytes_max: usize,
    /// Time.
    pub clock: Clock,
}

/// Why a writer could not carry a command out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The command does not fit the value or the limits.
    #[error(transparent)]
    Command(#[from] command::Error),
    /// The queue is full.
    #[error("too many writes are waiting")]
    Overloaded,
    /// Too much is under way to a node that holds a copy.
    #[error("too much is under way to a backup")]
    Backlog(NodeId),
    /// Nothing more can be evicted for it.
    #[error("no room: {bytes} bytes are wanted and the memory limit is {limit}")]
    Full {
        /// What the entry needs.
        bytes: u64,
        /// What all entries may take.
        limit: u64,
    },
    /// The key is longer than a table can hold.
    #[error("the key is {0} bytes long; it must have 1 to 4096")]
    KeyLength(usize),
    /// While the command was decided beside the lock, others changed the value, each time again.
    #[error("the value was changed each time while the command was worked out")]
    Overtaken,
    /// The command panicked; nothing is known to have changed.
    #[error("the command failed inside the node")]
    Internal,
}

impl From<table::Error> for Error {
    fn from(error: table::Error) -> Error {
        match error {
            table::Error::Full {
                wanted_bytes,
                limit_bytes,
            } => Error::Full {
                bytes: wanted_bytes,
                limit: limit_bytes,
            },
            table::Error::KeyLength { bytes } => Error::KeyLength(bytes),
        }
    }
}

/// A handle on a writer; cheap to clone.
#[derive(Clone, Debug)]
pub struct Writer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    core: Mutex<Core>,
    queue: Mutex<Queue>,
    /// Commands that were queued and are not yet applied. Written under the queue's lock, read
    /// without it.
    waiting: AtomicUsize,
    actor: ArcSwapOption<ActorRef<Message>>,
    panics: AtomicU64,
    queued: AtomicU64,
    discarded: AtomicU64,
    desk: Desk,
    options: Options,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    bytes: usize,
}

#[derive(Debug)]
struct Job {
    partition: PartitionId,
    command: Command,
    operation: Option<OperationId>,
    bytes: usize,
    reply: oneshot::Sender<Result<Option<Outcome>, Error>>,
}

/// What a writer has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Reads in place.
    pub reads: u64,
    /// Writes applied by their caller.
    pub inline: u64,
    /// Writes applied from the queue.
    pub queued: u64,
    /// Commands that panicked.
    pub panics: u64,
    /// Commands waiting now.
    pub waiting: usize,
    /// Acknowledged writes that the other side of a cut has deleted with all others.
    pub discarded: u64,
}

impl Writer {
    /// A writer without its actor: [`WriterActor`] is spawned by the supervisor.
    #[must_use]
    pub fn new(options: Options) -> Writer {
        let table = Table::new(Arc::clone(&options.budget));
        let setup = Setup {
            node: options.node,
            limits: options.limits,
            policies: options.policies.clone(),
            tombstone_ms: u64::try_from(options.tombstone_horizon.as_millis()).unwrap_or(u64::MAX),
            lanes: options.lanes.clone(),
        };
        Writer(Arc::new(Shared {
            core: Mutex::new(Core::new(table, setup)),
            queue: Mutex::default(),
            waiting: AtomicUsize::new(0),
            actor: ArcSwapOption::empty(),
            panics: AtomicU64::new(0),
            queued: AtomicU64::new(0),
            discarded: AtomicU64::new(0),
            desk: Desk::new(options.queue_max, options.queue_bytes_max),
            options,
        }))
    }

    /// Tells `hub` from now on what changes here.
    pub fn watched_by(&self, hub: &Hub) {
        self.0.core.lock().watched_by(hub.clone());
    }

    /// Reads a key in place: `read` sees the entry, or that there is none, under the lock, so it
    /// should copy and go. `None` if this node cannot answer for the key now.
    ///
    /// `now` was the present when the reader had been asked: it sees no less than what was true then.
    #[inline]
    pub fn read<R>(
        &self,
        partition: PartitionId,
        key: &[u8],
        now: UnixMs,
        read: impl FnOnce(Option<EntryRef<'_>>) -> R,
    ) -> Option<R> {
        if !self.0.options.pulse.is_fresh(now) {
            return None;
        }
        self.0.core.lock().read(partition, key, now, read)
    }

    /// Puts a string that does not expire, if nobody else has to hear of it; `None`, and nothing is
    /// done, if somebody has, and it must go as a command.
    pub fn put_here(
        &self,
        partition: PartitionId,
        key: &[u8],
        data: &[u8],
        now: UnixMs,
    ) -> Option<Result<(), Error>> {
        self.write_here(|core| core.put_here(partition, key, data, now))
    }

    /// Adds to a number, if nobody else has to hear of it; what it is then. `None`, and nothing is
    /// done, if somebody has, and it must go as a command.
    pub fn add_here(
        &self,
        partition: PartitionId,
        key: &[u8],
        by: i64,
        now: UnixMs,
    ) -> Option<Result<i64, Error>> {
        self.write_here(|core| core.add_here(partition, key, by, now))
    }

    /// Has a large collection altered, if nobody else has to hear of it and `alter` can do it; what that
    /// came to. `None`, and nothing is done, if it must go as a command. What is `added` is a bound.
    pub fn alter_here<R>(
        &self,
        partition: PartitionId,
        key: &[u8],
        what: (Kind, Added),
        now: UnixMs,
        alter: impl FnOnce(&mut Collection) -> Option<Altered<R>>,
    ) -> Option<R> {
        self.write_here(|core| core.alter_here(partition, key, what, now, alter))
    }

    #[inline]
    fn write_here<R>(&self, write: impl FnOnce(&mut Core) -> Option<R>) -> Option<R> {
        let Options { pulse, clock, .. } = &self.0.options;
        // This node may have stood still since `now`, and others have taken over.
        if !pulse.is_alone() && !pulse.is_fresh(clock.now()) {
            return None;
        }
        let mut core = self.lock_soon()?;
        let written = write(&mut core)?;
        core.served.writes += 1;
        Some(written)
    }

    /// Carries a command out, inline if nobody waits, else through the queue.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn apply(
        &self,
        partition: PartitionId,
        command: &Command,
        operation: Option<OperationId>,
    ) -> Result<Outcome, Error> {
        if let Some(outcome) = self.apply_inline(partition, command, operation) {
            return outcome;
        }
        self.apply_queued(partition, command.clone(), operation)
            .await
    }

    /// Carries a command out through the queue, or, if it takes long, beside the lock. It stays there
    /// when this future is dropped: only the answer is lost then.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn apply_queued(
        &self,
        partition: PartitionId,
        command: Command,
        operation: Option<OperationId>,
    ) -> Result<Outcome, Error> {
        // Whatever reads and cannot be done at once takes long.
        let may_be_long = command.is_read() || command.may_take_long();
        let kept = may_be_long.then(|| command.clone());
        if !command.is_read() {
            let (reply, answer) = oneshot::channel();
            self.enqueue(partition, command, operation, reply)?;
            let outcome = answer.await.unwrap_or(Err(Error::Internal));
            if let Some(outcome) = outcome.transpose() {
                return outcome;
            }
        }
        match kept {
            Some(command) => self.apply_aside(partition, command, operation).await,
            None => Err(Error::Internal),
        }
    }

    /// Carries a command out if that is possible without waiting.
    pub fn apply_inline(
        &self,
        partition: PartitionId,
        command: &Command,
        operation: Option<OperationId>,
    ) -> Option<Result<Outcome, Error>> {
        let shared = &*self.0;
        if command.is_read() {
            let now = shared.options.clock.now();
            let mut core = shared.core.lock();
            let outcome = self.guarded(&mut core, (partition, command, None), now);
            core.served.reads += u64::from(was_served(&outcome));
            return outcome.transpose();
        }
        let mut core = self.lock_soon()?;
        let now = shared.options.clock.now();
        let outcome = self.guarded(&mut core, (partition, command, operation), now);
        core.served.writes += u64::from(was_served(&outcome));
        let outcome = outcome.transpose()?;
        Some(outcome)
    }

    /// The lock, if it comes free within about a microsecond: what others do under it takes less, and
    /// the way through the queue takes many times as long. Commands that wait there may be overtaken:
    /// nobody has heard of them yet.
    fn lock_soon(&self) -> Option<MutexGuard<'_, Core>> {
        const LOOKS: usize = 32;
        for _ in 0..LOOKS {
            if let Some(core) = self.0.core.try_lock() {
                return Some(core);
            }
            std::hint::spin_loop();
        }
        None
    }

    fn enqueue(
        &self,
        partition: PartitionId,
        command: Command,
        operation: Option<OperationId>,
        reply: oneshot::Sender<Result<Option<Outcome>, Error>>,
    ) -> Result<(), Error> {
        let shared = &*self.0;
        let bytes = command.bytes();
        let mut queue = shared.queue.lock();
        let full = queue.jobs.len() >= shared.options.queue_max
            || queue.bytes.saturating_add(bytes) > shared.options.queue_bytes_max;
        // A single command larger than the whole bound must still be possible.
        if full && !queue.jobs.is_empty() {
            return Err(Error::Overloaded);
        }
        queue.bytes += bytes;
        queue.jobs.push_back(Job {
            partition,
            command,
            operation,
            bytes,
            reply,
        });
        let first = shared.waiting.fetch_add(1, Ordering::Release) == 0;
        drop(queue);
        if first {
            self.wake();
        }
        Ok(())
    }

    /// Tells the actor that the queue is not empty. Without an actor (it is being restarted) the
    /// new one looks by itself.
    fn wake(&self) {
        if let Some(actor) = self.0.actor.load().as_deref() {
            // An actor that is just dying does not take the message; its successor looks anyway.
            let _ = actor.cast(Message::Work);
        }
    }

    /// Applies everything that waits, a batch at a time, and lets readers in between.
    fn work_off(&self) {
        const BATCH: usize = 128;
        let shared = &*self.0;
        loop {
            let batch: Vec<Job> = {
                let mut queue = shared.queue.lock();
                let count = queue.jobs.len().min(BATCH);
                let batch: Vec<Job> = queue.jobs.drain(..count).collect();
                queue.bytes -= batch.iter().map(|job| job.bytes).sum::<usize>();
                batch
            };
            if batch.is_empty() {
                return;
            }
            let count = batch.len();
            let now = shared.options.clock.now();
            let mut core = shared.core.lock();
            let answers: Vec<_> = batch
                .into_iter()
                .map(|job| {
                    let what = (job.partition, &job.command, job.operation);
                    let outcome = self.guarded(&mut core, what, now);
                    (job.reply, outcome)
                })
                .collect();
            drop(core);
            shared.waiting.fetch_sub(count, Ordering::AcqRel);
            let served = answers.iter().filter(|(_, o)| was_served(o)).count();
            shared.queued.fetch_add(served as u64, Ordering::Relaxed);
            for (reply, outcome) in answers {
                // The caller may have given up at its deadline.
                let _ = reply.send(outcome);
            }
        }
    }

    /// As [`Core::apply`], with what may go wrong there.
    fn guarded(
        &self,
        core: &mut Core,
        (partition, command, operation): (PartitionId, &Command, Option<OperationId>),
        now: UnixMs,
    ) -> Result<Option<Outcome>, Error> {
        if !self.0.options.pulse.is_fresh(now) {
            return Ok(Some(Outcome::Elsewhere));
        }
        self.caught(command, || core.apply(partition, command, operation, now))
    }

    /// Does something for a command that may panic.
    fn caught<T>(
        &self,
        command: &Command,
        act: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let attempt = std::panic::AssertUnwindSafe(act);
        std::panic::catch_unwind(attempt).unwrap_or_else(|_| {
            self.0.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!(key = %command.key(), "a command panicked; it was not applied");
            Err(Error::Internal)
        })
    }

    /// Expires, compacts and evicts for a bounded while; whether more is due.
    pub fn maintain(&self) -> bool {
        const WORK_MAX: usize = 2_000;
        let now = self.0.options.clock.now();
        let mut core = self.0.core.lock();
        let more = core.maintain(now, WORK_MAX);
        let lost = core.take_lost();
        drop(core);
        if lost.count > 0 {
            self.tell_lost(&lost);
        }
        more
    }

    /// Counts and tells writes that the other side of a cut has deleted with all others.
    fn tell_lost(&self, lost: &Lost) {
        self.0.discarded.fetch_add(lost.count, Ordering::Relaxed);
        for discarded in &lost.first {
            tracing::warn!(
                key = %discarded.key.escape_ascii(),
                version = %discarded.version,
                by = discarded.by.map(tracing::field::display),
                "an acknowledged write was deleted with all others by the other side of a cut"
            );
        }
        if lost.count > lost.first.len() as u64 {
            tracing::warn!(
                count = lost.count,
                "acknowledged writes were deleted with all others by the other side of a cut"
            );
        }
    }

    /// Sets the role of partitions, which are at these epochs; see [`Role`].
    pub fn set_roles(&self, partitions: &[(PartitionId, u32)], role: &Role) {
        let now = self.0.options.clock.now();
        self.0.core.lock().set_roles(partitions, role, now);
    }

    /// Forgets what is here of partitions whose copy is begun anew.
    pub fn reset(&self, partitions: &[PartitionId]) {
        self.0.core.lock().reset(partitions);
    }

    /// The role of a partition.
    #[must_use]
    pub fn role(&self, partition: PartitionId) -> Role {
        self.0.core.lock().role(partition).clone()
    }

    /// A number that changes whenever the role of a partition is set.
    #[must_use]
    pub fn turn(&self, partition: PartitionId) -> u32 {
        self.0.core.lock().turn(partition)
    }

    /// Copies entries of the `wanted` partitions, about `bytes_max` bytes of them (at least one
    /// entry if there is one), whatever this node's role is.
    pub fn scan(
        &self,
        cursor: Cursor,
        wanted: impl Fn(PartitionId) -> bool,
        bytes_max: usize,
    ) -> Scanned {
        let now = self.0.options.clock.now();
        self.0.core.lock().scan(cursor, now, wanted, bytes_max)
    }

    /// Takes entries over from `from`, the owner of a copy: each is put unless a newer one is here.
    /// Returns how many were put.
    pub fn absorb(&self, from: NodeId, entries: &[Moved]) -> usize {
        let now = self.0.options.clock.now();
        let mut core = self.0.core.lock();
        entries
            .iter()
            .filter(|moved| core.absorb(from, moved, now))
            .count()
    }

    /// All that the owner had of a copy has come since this turn; false if it has had another one.
    pub fn complete(&self, partition: PartitionId, turn: u32) -> bool {
        self.0.core.lock().complete(partition, turn)
    }

    /// Takes an entry over from a node that owned its partition as well.
    pub fn merge(&self, moved: &Moved, since: u64) -> Merge {
        let now = self.0.options.clock.now();
        self.0.core.lock().merge(moved, since, now)
    }

    /// Takes an effect of another node.
    pub fn take_effect(&self, from: NodeId, effect: &Effect) -> Verdict {
        let now = self.0.options.clock.now();
        self.0.core.lock().take_effect(from, effect, now)
    }

    /// Sends what a copy could not take once more, behind the entry that it lacks.
    pub fn resend(&self, lane: &Lane, lacking: Lacking, finished: &mut Vec<Finished>) {
        let now = self.0.options.clock.now();
        self.0.core.lock().resend(lane, lacking, now, finished);
    }

    /// Operations of some partitions that somebody may still ask for.
    #[must_use]
    pub fn operations_of(&self, wanted: impl Fn(PartitionId) -> bool) -> Vec<Operation> {
        self.0.core.lock().operations_of(wanted)
    }

    /// Takes over what another holder remembers.
    pub fn learn(&self, operation: Operation) {
        let now = self.0.options.clock.now();
        self.0.core.lock().learn(operation, now);
    }

    /// The present moment, as versions are made by it.
    #[must_use]
    pub fn now(&self) -> UnixMs {
        self.0.options.clock.now()
    }

    /// Values of the partitions that this node owns.
    #[must_use]
    pub fn owned_entries(&self) -> u64 {
        self.0.core.lock().owned_entries()
    }

    /// Those of them that expire.
    #[must_use]
    pub fn owned_expiring(&self) -> u64 {
        self.0.core.lock().owned_expiring()
    }

    /// Effects that found a copy without the entry that they followed on.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.0.core.lock().missed()
    }

    /// Drops all entries of the `wanted` partitions that live elsewhere, letting others have the
    /// lock in between.
    pub async fn drop_partitions(&self, wanted: impl Fn(PartitionId) -> bool) {
        const WORK_MAX: usize = 2_000;
        let mut at = Some(Cursor::default());
        while let Some(cursor) = at {
            at = self
                .0
                .core
                .lock()
                .drop_partitions(&wanted, cursor, WORK_MAX);
            tokio::task::yield_now().await;
        }
    }

    /// Values held for a partition.
    #[must_use]
    pub fn partition_entries(&self, partition: PartitionId) -> u64 {
        self.0.core.lock().table.partition_entries(partition)
    }

    /// The table's counters and sizes.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.core.lock().table.stats()
    }

    /// The writer's counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let shared = &*self.0;
        let served = shared.core.lock().served;
        Counters {
            inline: served.writes,
            reads: served.reads,
            queued: shared.queued.load(Ordering::Relaxed),
            panics: shared.panics.load(Ordering::Relaxed),
            waiting: shared.waiting.load(Ordering::Relaxed),
            discarded: shared.discarded.load(Ordering::Relaxed),
        }
    }

    /// Has the lock held as long as `work` takes.
    #[cfg(test)]
    pub(crate) fn while_held(&self, work: impl FnOnce()) {
        let _held = self.0.core.lock();
        work();
    }

    /// Commands that were carried out here.
    #[must_use]
    pub fn carried_out(&self) -> u64 {
        let counters = self.counters();
        counters.reads + counters.inline + counters.queued
    }

    /// Makes the actor panic, to show that its supervisor restarts it. For tests.
    #[doc(hidden)]
    pub fn crash_actor(&self) {
        if let Some(actor) = self.0.actor.load().as_deref() {
            let _ = actor.cast(Message::Crash);
        }
    }
}

/// Whether a command was carried out here, well or badly.
fn was_served(outcome: &Result<Option<Outcome>, Error>) -> bool {
    !matches!(outcome, Ok(None | Some(Outcome::Elsewhere)))
}

#[cfg(test)]
mod tests;
