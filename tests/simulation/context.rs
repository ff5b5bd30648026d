//! What all nodes of a simulated world share: virtual time, chance, the network, the clients'
//! operations, and the checker.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use smache::cluster::transport::{Identity, SessionId};
use smache::key::PartitionId;
use smache::version::NodeId;

use crate::checker::Checker;
use crate::client::Client;
use crate::net::{Network, Packet, Place};
use crate::requests::Op;
use crate::sabotage::Sabotage;

/// Partitions of a simulated cluster: few, since each tick looks at all of them.
pub const PARTITIONS: u16 = 32;
/// So many events of a failing world are shown.
const LOG_MAX: usize = 120;
/// Most hosts.
pub const PLACES: usize = 7;

/// Something that happens to one life of a node.
#[derive(Clone, Debug)]
pub enum Event {
    Tick,
    Tidy,
    DialFailed(String, bool),
    Datagram(String, Vec<u8>),
    DialledSelf(String),
    Deliver(SessionId),
    CloseNow(SessionId),
    FlushAnswers(SessionId),
    /// The router tries an operation; the number tells an attempt from those before.
    Attempt(u64, u64),
    /// The deadline of an operation has passed.
    Deadline(u64),
    Pull(u64),
    Drain(u64),
    Drop(u64),
    /// A node that has left is gone.
    Gone,
}

/// Something that happens.
#[derive(Clone, Debug)]
pub enum Happening {
    Node(Place, u64, Event),
    /// A client does its next thing.
    Client(usize),
    /// A client does not wait any longer.
    GiveUp(u64),
}

/// What a world is made with, from its seed.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub backups: usize,
    pub cores: usize,
    pub lane_bytes: usize,
    pub chunk_bytes: usize,
    pub budget_bytes: u64,
    pub tombstone_ms: u64,
    /// How far clocks are off at most, steps among it.
    pub skew_ms: i64,
    /// Whether memory is so small that entries are evicted.
    pub evicts: bool,
    /// Where large values are written, bytes of them.
    pub large_bytes: usize,
}

/// See the module.
pub struct Context {
    pub rng: SmallRng,
    /// True time in milliseconds; the nodes' clocks may be off.
    pub now: u64,
    order: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    pub settings: Settings,
    pub net: Network,
    pub ops: BTreeMap<u64, Op>,
    pub last_op: u64,
    pub clients: Vec<Client>,
    pub clients_stopped: bool,
    pub checker: Checker,
    pub sabotage: Option<Sabotage>,
    /// Who runs where.
    pub up: BTreeMap<Place, (Identity, u64)>,
    pub paused: BTreeSet<Place>,
    /// Places whose nodes take clients.
    pub open: BTreeSet<Place>,
    pub places: BTreeMap<NodeId, Place>,
    /// Whether anybody reads the log.
    pub logging: bool,
}

thread_local! {
    /// What happened last. Outlives a world that fails.
    static LOG: RefCell<VecDeque<String>> = const { RefCell::new(VecDeque::new()) };
}

/// What happened last in the world that ran on this thread.
pub fn take_log() -> Vec<String> {
    LOG.with_borrow_mut(|log| log.drain(..).collect())
}

/// Notes what happens, if anybody reads it.
macro_rules! note {
    ($context:expr, $($what:tt)*) => {
        if $context.logging {
            let what = format!($($what)*);
            $context.write_log(what);
        }
    };
}
pub(crate) use note;

impl Context {
    pub fn new(seed: u64, settings: Settings, delay_max: u64, logging: bool) -> Context {
        let places = (0..PLACES).map(|place| (NodeId::of(&name(place)), place));
        Context {
            rng: SmallRng::seed_from_u64(seed),
            now: 1_000_000_000,
            order: 0,
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            net: Network::new(delay_max),
            ops: BTreeMap::new(),
            last_op: 0,
            clients: Vec::new(),
            clients_stopped: false,
            checker: Checker::new(settings),
            settings,
            sabotage: None,
            up: BTreeMap::new(),
            paused: BTreeSet::new(),
            open: BTreeSet::new(),
            places: places.collect(),
            logging,
        }
    }

    /// All partitions that there are.
    pub fn partitions(&self) -> impl Iterator<Item = PartitionId> + use<> {
        PartitionId::all().take(usize::from(PARTITIONS))
    }

    pub fn schedule(&mut self, at: u64, happening: Happening) {
        self.order += 1;
        self.happenings.insert(self.order, happening);
        self.queue.push(Reverse((at.max(self.now), self.order)));
    }

    /// The next thing that happens up to `end`; time goes on to it.
    pub fn next(&mut self, end: u64) -> Option<Happening> {
        let Reverse((at, order)) = *self.queue.peek()?;
        if at > end {
            return None;
        }
        self.queue.pop();
        self.now = at;
        self.happenings.remove(&order)
    }

    /// Something for the present life of the node at a place.
    pub fn schedule_at(&mut self, at: u64, place: Place, event: Event) {
        if let Some((_, boot)) = self.up.get(&place) {
            let boot = *boot;
            self.schedule(at, Happening::Node(place, boot, event));
        }
    }

    pub fn send(&mut self, from: SessionId, packet: Packet, long: bool) {
        let now = self.now;
        let sent = self.net.send(from, packet, long, now, &mut self.rng);
        self.will_come(sent);
    }

    pub fn close(&mut self, end: SessionId) {
        let sent = self.net.close(end, self.now, &mut self.rng);
        self.will_come(sent);
    }

    pub fn break_session(&mut self, one: SessionId, other: SessionId) {
        let now = self.now;
        let news = self.net.break_session([one, other], now, &mut self.rng);
        for (to, place, at) in news {
            self.schedule_at(at, place, Event::Deliver(to));
        }
    }

    fn will_come(&mut self, sent: Option<(SessionId, Place, u64)>) {
        if let Some((to, place, at)) = sent {
            self.schedule_at(at, place, Event::Deliver(to));
        }
    }

    pub fn write_log(&self, what: String) {
        let now = self.now - 1_000_000_000;
        LOG.with_borrow_mut(|log| {
            if log.len() >= LOG_MAX && std::env::var_os("SIM_LOG").is_none() {
                log.pop_front();
            }
            log.push_back(format!("{now:>6} {what}"));
        });
    }
}

/// The name of the node at a place.
pub fn name(place: Place) -> String {
    format!("n{place}@sim")
}

/// Where the node at a place is dialled.
pub fn address(place: Place) -> String {
    format!("n{place}")
}

/// Whose address it is.
pub fn place(address: &str) -> Option<Place> {
    address.strip_prefix('n')?.parse().ok()
}
