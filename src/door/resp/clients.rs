//! The connections that are open, as they can be told of, and ended, from another one.
//!
//! A connection belongs to its task. What others may know of it, and the two things that they may
//! do (wake it, and tell it to end), are in its [`Client`]; all of them are in [`Clients`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::table::TABLE;
use crate::clock::UnixMs;

/// What a connection says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct About {
    /// `CLIENT SETNAME`.
    pub(super) name: String,
    /// `CLIENT SETINFO`.
    pub(super) library: String,
    pub(super) library_version: String,
    /// What it is not evicted, or does not touch.
    pub(super) no_evict: bool,
    pub(super) no_touch: bool,
}

/// A connection, as others see it.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: u64,
    pub(super) address: SocketAddr,
    pub(super) local: SocketAddr,
    /// Its number with the system; only to be shown.
    descriptor: i32,
    since: UnixMs,
    about: Mutex<About>,
    ended: AtomicBool,
    waker: AtomicWaker,
    /// When it asked for something last.
    pub(super) active: AtomicU64,
    /// What it asked for last.
    pub(super) entry: AtomicUsize,
    pub(super) protocol: AtomicU64,
    /// Channels and patterns that it listens to.
    pub(super) channels: AtomicUsize,
    pub(super) patterns: AtomicUsize,
    /// Bytes read and not yet carried out, and room for more.
    pub(super) input_bytes: AtomicUsize,
    pub(super) input_free: AtomicUsize,
    /// Bytes not yet written.
    pub(super) output_bytes: AtomicUsize,
}

impl Client {
    fn new(
        id: u64,
        (address, local): (SocketAddr, SocketAddr),
        descriptor: i32,
        now: UnixMs,
    ) -> Arc<Client> {
        Arc::new(Client {
            id,
            address,
            local,
            descriptor,
            since: now,
            about: Mutex::default(),
            ended: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            active: AtomicU64::new(now.0),
            entry: AtomicUsize::new(usize::MAX),
            protocol: AtomicU64::new(2),
            channels: AtomicUsize::new(0),
            patterns: AtomicUsize::new(0),
            input_bytes: AtomicUsize::new(0),
            input_free: AtomicUsize::new(0),
            output_bytes: AtomicUsize::new(0),
        })
    }

    /// In whose name another door asks: a connection that there is not.
    pub(super) fn nobody(now: UnixMs) -> Arc<Client> {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Client::new(0, (nowhere, nowhere), -1, now)
    }

    /// Tells it to end, as soon as it looks.
    pub(super) fn end(&self) {
        self.ended.store(true, Release);
        self.wake();
    }

    /// Whether it was told to end.
    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(Acquire)
    }

    /// Lets it look whether something has come.
    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    /// Its task is woken by this from now on.
    pub(super) fn listen(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }

    /// Whether it waits for messages.
    pub(super) fn listens(&self) -> bool {
        self.channels.load(Relaxed) + self.patterns.load(Relaxed) > 0
    }

    pub(super) fn about(&self) -> About {
        self.about.lock().clone()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut About)) {
        change(&mut self.about.lock());
    }

    fn flags(&self, about: &About) -> String {
        let flags = [
            (self.listens(), 'P'),
            (about.no_evict, 'e'),
            (about.no_touch, 'T'),
        ];
        let set: String = flags
            .into_iter()
            .filter_map(|(set, flag)| set.then_some(flag))
            .collect();
        if set.is_empty() { "N".to_owned() } else { set }
    }

    /// Its line in `CLIENT LIST`, with the fields of Redis.
    pub(super) fn describe(&self, now: UnixMs, out: &mut String) {
        let about = self.about();
        let seconds = |since: UnixMs| since.ms_until(now) / 1_000;
        let command = TABLE.entries().get(self.entry.load(Relaxed));
        let (used, free) = (
            self.input_bytes.load(Relaxed),
            self.input_free.load(Relaxed),
        );
        let waiting = self.output_bytes.load(Relaxed);
        let memory = size_of::<Client>() + used + free + waiting;
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db=0 sub={} psub={} ssub=0 \
             multi=-1 qbuf={used} qbuf-free={free} argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl={waiting} \
             oll=0 omem={waiting} tot-mem={memory} events=r cmd={} user=default redir=-1 resp={} \
             lib-name={} lib-ver={}",
            self.id,
            self.address,
            self.local,
            self.descriptor,
            about.name,
            seconds(self.since),
            seconds(UnixMs(self.active.load(Relaxed))),
            self.flags(&about),
            self.channels.load(Relaxed),
            self.patterns.load(Relaxed),
            command.map_or("NULL", |entry| entry.name.as_str()),
            self.protocol.load(Relaxed),
            about.library,
            about.library_version,
        );
    }
}

/// All open connections.
#[derive(Debug, Default)]
pub(super) struct Clients {
    taken: AtomicU64,
    open: Mutex<BTreeMap<u64, Arc<Client>>>,
    stopping: AtomicBool,
}

impl Clients {
    /// A connection was taken. It is forgotten when the [`Registered`] is dropped.
    pub(super) fn register(
        self: &Arc<Clients>,
        addresses: (SocketAddr, SocketAddr),
        descriptor: i32,
        now: UnixMs,
    ) -> Registered {
        let id = self.taken.fetch_add(1, Relaxed) + 1;
        let client = Client::new(id, addresses, descriptor, now);
        self.open.lock().insert(id, Arc::clone(&client));
        Registered {
            client,
            clients: Arc::clone(self),
        }
    }

    /// How many connections were taken since the start.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Relaxed)
    }

    /// Those that are open, by their ids.
    pub(super) fn open(&self) -> Vec<Arc<Client>> {
        self.open.lock().values().map(Arc::clone).collect()
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.open.lock().len()
    }

    /// Tells all connections to end when they have answered what they were asked.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Release);
        for client in self.open() {
            client.wake();
        }
    }

    /// Whether all connections are to end.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Acquire)
    }
}

/// A connection among the open ones, while it lives.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) client: Arc<Client>,
    clients: Arc<Clients>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.clients.open.lock().remove(&self.client.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_open_and_who_is_told_to_end() {
        let clients = Arc::new(Clients::default());
        let addresses = ([127, 0, 0, 1].into(), [127, 0, 0, 1].into());
        let addresses = (
            SocketAddr::new(addresses.0, 5),
            SocketAddr::new(addresses.1, 6),
        );
        let one = clients.register(addresses, 7, UnixMs(1_000));
        let two = clients.register(addresses, 8, UnixMs(2_000));
        assert_eq!((one.client.id, two.client.id, clients.count()), (1, 2, 2));
        one.client.end();
        assert!(one.client.is_ended() && !two.client.is_ended());
        drop(one);
        assert_eq!((clients.count(), clients.taken()), (1, 2));
        two.client.change(|about| about.name = "me".to_owned());
        let mut line = String::new();
        two.client.describe(UnixMs(5_000), &mut line);
        let begin =
            "id=2 addr=127.0.0.1:5 laddr=127.0.0.1:6 fd=8 name=me age=3 idle=3 flags=N db=0";
        assert!(line.starts_with(begin), "{line}");
        assert!(line.ends_with("resp=2 lib-name= lib-ver=\n"), "{line}");
        clients.stop();
        assert!(clients.is_stopping());
    }
}
