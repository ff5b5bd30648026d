//! Records gathered into requests, in a thread of their own.
//!
//! The thread reads ahead by as many batches as may be in flight, and then waits: a slow node makes
//! a slow reader, not a full memory. It ends when the file does, or when nobody takes batches any
//! more.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::Stream;
use tokio::sync::{mpsc, watch};

use super::Failure;
use super::read::{Input, Item, Source};

/// A request is sent when it has this many bytes, if not earlier for its number of records.
const BODY_BYTES: usize = 1 << 20;

/// What comes out of the reading thread.
pub(super) type Receiver = mpsc::Receiver<anyhow::Result<Batch>>;

/// How to gather.
pub(super) struct Options {
    /// Most records in a batch.
    pub(super) records_max: usize,
    /// Batches to read ahead.
    pub(super) ahead: usize,
    /// Records to pass over, because an earlier run had them acknowledged.
    pub(super) skip: u64,
}

/// Records that go in one request.
#[derive(Default)]
pub(super) struct Batch {
    /// How many of the file's records it covers, readable or not.
    pub(super) records: u64,
    /// The body of the request: one line for each readable record.
    pub(super) body: Vec<u8>,
    /// Its lines.
    pub(super) lines: Vec<Line>,
    /// Records that could not be read.
    pub(super) unreadable: Vec<Failure>,
    /// How far the file had been read behind it, in bytes.
    pub(super) bytes_read: u64,
}

/// A line of the body.
pub(super) struct Line {
    pub(super) place: String,
    pub(super) key: String,
    /// Where it ends in the body, line feed included.
    pub(super) end: usize,
}

/// Starts the reading thread.
pub(super) fn start(source: Source, input: Input, options: Options) -> anyhow::Result<Receiver> {
    let (sender, receiver) = mpsc::channel(options.ahead);
    // Not one of the runtime's threads: it would wait for a read from a terminal before ending.
    std::thread::Builder::new()
        .name("read".to_owned())
        .spawn(move || gather(&source, input, &options, &sender))?;
    Ok(receiver)
}

/// The batches as a stream.
pub(super) fn stream(mut batches: Receiver) -> impl Stream<Item = anyhow::Result<Batch>> {
    futures_util::stream::poll_fn(move |context| batches.poll_recv(context))
}

fn gather(
    source: &Source,
    input: Input,
    options: &Options,
    sender: &mpsc::Sender<anyhow::Result<Batch>>,
) {
    let read = input.counter();
    let mut batch = Batch::default();
    let mut skip = options.skip;
    let result = source.read(input, &mut |item| {
        if skip > 0 {
            skip -= 1;
            return true;
        }
        batch.push(item);
        if batch.records < options.records_max as u64 && batch.body.len() < BODY_BYTES {
            return true;
        }
        sender.blocking_send(Ok(batch.take(&read))).is_ok()
    });
    // What was read before an error counts; if the receiver has gone, nobody minds.
    if batch.records > 0 {
        let _ = sender.blocking_send(Ok(batch.take(&read)));
    }
    if let Err(error) = result {
        let _ = sender.blocking_send(Err(error));
    }
}

impl Batch {
    fn push(&mut self, Item { place, record }: Item) {
        self.records += 1;
        let before = self.body.len();
        let written = record.and_then(|record| {
            serde_json::to_writer(&mut self.body, &record)
                .map(|()| record.key)
                .map_err(|error| error.to_string())
        });
        match written {
            Ok(key) => {
                self.body.push(b'\n');
                let end = self.body.len();
                self.lines.push(Line { place, key, end });
            }
            Err(why) => {
                self.body.truncate(before);
                self.unreadable.push(Failure { place, why });
            }
        }
    }

    fn take(&mut self, read: &AtomicU64) -> Batch {
        self.bytes_read = read.load(Ordering::Relaxed);
        std::mem::take(self)
    }
}

/// Keeps batches with a key in common in the order of the file. See the module above.
pub(super) struct Order {
    hasher: RandomState,
    recent: VecDeque<(HashSet<u64>, Arc<watch::Receiver<()>>)>,
    in_flight_max: usize,
}

/// A batch's place in the order: what it waits for, and what others wait for.
pub(super) struct Turn {
    wait_for: Vec<Arc<watch::Receiver<()>>>,
    /// Dropped when the batch is done.
    _done: watch::Sender<()>,
}

impl Order {
    /// For at most this many batches in flight.
    pub(super) fn new(in_flight_max: usize) -> Order {
        Order {
            hasher: RandomState::new(),
            recent: VecDeque::new(),
            in_flight_max,
        }
    }

    /// The place of the next batch. Two keys of one hash only cost a wait.
    pub(super) fn next(&mut self, batch: &Batch) -> Turn {
        let hash = |line: &Line| self.hasher.hash_one(&line.key);
        let keys: HashSet<u64> = batch.lines.iter().map(hash).collect();
        let wait_for = self
            .recent
            .iter()
            .filter(|(others, _)| !others.is_disjoint(&keys))
            .map(|(_, done)| Arc::clone(done))
            .collect();
        if self.recent.len() == self.in_flight_max {
            self.recent.pop_front();
        }
        let (done, ended) = watch::channel(());
        self.recent.push_back((keys, Arc::new(ended)));
        Turn {
            wait_for,
            _done: done,
        }
    }
}

impl Turn {
    /// Waits until no earlier batch with one of this one's keys is in flight.
    pub(super) async fn come(&self) {
        for earlier in &self.wait_for {
            // Nothing is ever sent: it changes when the other side is dropped.
            let mut earlier = watch::Receiver::clone(earlier);
            while earlier.changed().await.is_ok() {}
        }
    }
}
