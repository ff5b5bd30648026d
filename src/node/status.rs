//! What a node says of itself: readiness for probes, and the status that operators read.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use serde::Serialize;
use tokio::sync::Notify;
use utoipa::ToSchema;

use super::security::Security;
use super::supervisor::Supervisor;
use crate::clock::Stopwatch;
use crate::cluster::handoff::{Handoff, Progress};
use crate::cluster::membership;
use crate::cluster::transport::datagram;
use crate::replication::Lanes;
use crate::router::{MemberState, Router};
use crate::table;

/// Where a node is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum State {
    /// It has not joined yet: doors answer 503.
    Joining = 0,
    /// It serves.
    Ready = 1,
    /// It was told to stop: it says that it is not ready, and still serves.
    Draining = 2,
    /// It no longer takes requests.
    Stopped = 3,
}

/// The present [`State`], shared by all rooms; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: AtomicU8,
    advanced: Arc<Notify>,
}

impl Readiness {
    /// The present state.
    #[must_use]
    pub fn state(&self) -> State {
        match self.0.state.load(Ordering::Acquire) {
            0 => State::Joining,
            1 => State::Ready,
            2 => State::Draining,
            _ => State::Stopped,
        }
    }

    /// Moves on to `state`; never back.
    pub fn advance(&self, state: State) {
        self.0.state.fetch_max(state as u8, Ordering::AcqRel);
        self.0.advanced.notify_waiters();
    }

    /// Ends when the state has advanced since this was called.
    pub fn changed(&self) -> impl Future<Output = ()> + Send + use<> {
        Arc::clone(&self.0.advanced).notified_owned()
    }

    /// Whether requests for keys are answered.
    #[must_use]
    pub fn serves(&self) -> bool {
        matches!(self.state(), State::Ready | State::Draining)
    }
}

/// What `GET /status` answers.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Status {
    /// This node's name.
    pub node: String,
    /// The program's version.
    pub version: &'static str,
    /// Where it is in its life.
    pub state: State,
    /// Where it listens.
    pub listens: ListenStatus,
    /// Milliseconds since its start.
    pub uptime_ms: u64,
    /// All nodes that it knows, itself among them, by name.
    pub members: Vec<MemberStatus>,
    /// What it learnt of other members, and how.
    pub gossip: GossipStatus,
    /// Partitions as it sees them.
    pub partitions: PartitionStatus,
    /// Copies of partitions, and what is on its way.
    pub replication: ReplicationStatus,
    /// Values of the partitions that it owns.
    pub keys: u64,
    /// Values that it holds, copies for others among them.
    pub entries: u64,
    /// Its memory.
    pub memory: MemoryStatus,
    /// Reads that it answered from its own table.
    pub reads: ReadStatus,
    /// Entries removed to make room.
    pub evictions: u64,
    /// Entries removed because their time had come.
    pub expirations: u64,
}

/// Where a node listens, in [`Status`], each as `address:port`; none of what is not open.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct ListenStatus {
    /// For HTTP.
    pub http: Option<String>,
    /// For the Redis protocol.
    pub resp: Option<String>,
    /// For other nodes.
    pub cluster: Option<String>,
}

/// A member in [`Status`].
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MemberStatus {
    /// `name@host`.
    pub name: String,
    /// `up`, `leaving` or `down`.
    #[schema(value_type = String)]
    pub state: MemberState,
    /// Changes at each start of the node.
    pub boot_epoch: u64,
    /// `host:port` of its cluster listener.
    pub cluster_address: String,
    /// Partitions that it owns.
    pub partitions: usize,
    /// Values of the partitions that it owns, by its last word.
    pub keys: u64,
    /// Its resident memory in bytes, by its last word.
    pub memory_bytes: u64,
}

/// Gossip in [`Status`]: counted since the node's start.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct GossipStatus {
    /// Members that this node began to suspect.
    pub suspicions: u64,
    /// Suspicions of this node itself that it refuted.
    pub refutations: u64,
    /// Members that went down.
    pub downs: u64,
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// Datagrams received and opened.
    pub datagrams_in: u64,
    /// Datagrams and packets dropped: foreign, broken, seen before, or too many.
    pub datagrams_refused: u64,
    /// Datagrams that the system or a full queue kept from being sent or received.
    pub datagrams_failed: u64,
}

/// Partitions in [`Status`].
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PartitionStatus {
    /// All of them.
    pub total: usize,
    /// Owned by this node.
    pub owned: usize,
    /// Copies that are being made here.
    pub arriving: usize,
    /// Owned by nobody that it knows.
    pub unowned: usize,
}

/// Copies in [`Status`].
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReplicationStatus {
    /// Partitions of others of which this node holds a copy in sync.
    pub backed_up: usize,
    /// Copies that this node's partitions lack of what is asked for.
    pub missing_copies: usize,
    /// Copies of this node's partitions that are being made elsewhere.
    pub departing: usize,
    /// Partitions whose entries of the other side of a cut are being taken over.
    pub merging: usize,
    /// Partitions given up after a cut, whose owner has not yet taken over what it lacks.
    pub conceded: usize,
    /// Partitions taken over from dead owners, since the start.
    pub promotions: u64,
    /// Partitions of which no copy was left, since the start: what they held was lost.
    pub taken_empty: u64,
    /// Bytes of changes that copies have not acknowledged.
    pub backlog_bytes: u64,
    /// Handoffs to this node.
    pub handoff: Progress,
}

/// Memory in [`Status`], in bytes.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MemoryStatus {
    /// Resident in the process.
    pub rss_bytes: u64,
    /// The limit for it.
    pub max_bytes: u64,
    /// Keys and values.
    pub data_bytes: u64,
    /// Everything that the tables hold, keys and values included.
    pub committed_bytes: u64,
}

/// Reads in [`Status`].
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReadStatus {
    /// Found.
    pub hits: u64,
    /// Not found.
    pub misses: u64,
    /// Found among all, 0 to 1; 0 while there was none.
    pub hit_ratio: f64,
}

/// What the doors ask a node about itself; cheap to clone.
#[derive(Clone, Debug)]
pub struct Reporter {
    router: Router,
    readiness: Readiness,
    started: Stopwatch,
    max_memory: u64,
    supervisor: Arc<OnceLock<Supervisor>>,
    gossip: Arc<OnceLock<(Arc<membership::Counters>, Arc<datagram::Counters>)>>,
    security: Arc<OnceLock<Security>>,
    copying: Arc<OnceLock<(Lanes, Handoff)>>,
    listens: Arc<OnceLock<ListenStatus>>,
}

impl Reporter {
    /// A reporter for the node with this router.
    #[must_use]
    pub fn new(router: Router, readiness: Readiness, max_memory: u64) -> Reporter {
        Reporter {
            router,
            readiness,
            started: Stopwatch::start(),
            max_memory,
            supervisor: Arc::default(),
            security: Arc::default(),
            copying: Arc::default(),
            gossip: Arc::default(),
            listens: Arc::default(),
        }
    }

    /// Lets it tell where the node listens. Only the first one counts.
    pub fn listen(&self, listens: ListenStatus) {
        // A second one would be a mistake without consequence.
        let _ = self.listens.set(listens);
    }

    /// Lets it tell of gossip, which starts later. Only the first one counts.
    pub fn watch_gossip(&self, swim: Arc<membership::Counters>, net: Arc<datagram::Counters>) {
        // A second one would be a mistake without consequence.
        let _ = self.gossip.set((swim, net));
    }

    /// What gossip has counted since the start.
    #[must_use]
    pub fn gossip(&self) -> GossipStatus {
        let Some((swim, net)) = self.gossip.get() else {
            return GossipStatus::default();
        };
        let (swim, net) = (swim.get(), net.get());
        GossipStatus {
            suspicions: swim.suspicions,
            refutations: swim.refutations,
            downs: swim.downs,
            datagrams_out: net.sent,
            datagrams_in: net.received,
            datagrams_refused: net.refused + swim.malformed,
            datagrams_failed: net.failed,
        }
    }

    /// Lets it tell of what goes to other nodes and comes from them. Only the first ones count.
    pub fn follow(&self, lanes: Lanes, handoff: Handoff) {
        // Second ones would be a mistake without consequence.
        let _ = self.copying.set((lanes, handoff));
    }

    /// Copies of partitions, and what is on its way.
    #[must_use]
    pub fn replication(&self) -> ReplicationStatus {
        let map = self.router.map();
        let figures = map.figures();
        let copying = self.copying.get();
        let mut handoff = copying.map_or_else(Progress::default, |(_, handoff)| handoff.progress());
        let writers = self.router.writers().iter();
        let flushed: u64 = writers.map(|writer| writer.counters().discarded).sum();
        handoff.discarded_writes += self.router.peer_counters().outdone + flushed;
        ReplicationStatus {
            backed_up: figures.backed_up,
            missing_copies: figures.missing_copies,
            departing: figures.departing,
            merging: figures.merging,
            conceded: figures.conceded,
            promotions: figures.promotions,
            taken_empty: figures.taken_empty,
            backlog_bytes: copying.map_or(0, |(lanes, _)| lanes.counters().bytes),
            handoff,
        }
    }

    /// What goes to other nodes.
    #[must_use]
    pub fn lanes(&self) -> Option<&Lanes> {
        self.copying.get().map(|(lanes, _)| lanes)
    }

    /// What comes from other nodes, to be paused.
    #[must_use]
    pub fn handoff(&self) -> Option<&Handoff> {
        self.copying.get().map(|(_, handoff)| handoff)
    }

    /// Lets it tell of the node's supervisor, which starts later. Only the first one counts.
    pub fn watch(&self, supervisor: Supervisor) {
        // A second one would be a mistake without consequence.
        let _ = self.supervisor.set(supervisor);
    }

    /// Lets it tell of the transport's certificates and handshakes. Only the first one counts.
    pub fn secure(&self, security: Security) {
        let _ = self.security.set(security);
    }

    /// Certificates and handshakes, of a node that meets others over the network.
    #[must_use]
    pub fn security(&self) -> Option<&Security> {
        self.security.get()
    }

    /// Restarts of actors since the start.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.supervisor.get().map_or(0, Supervisor::restarts)
    }

    /// Bytes that the process may hold resident.
    #[must_use]
    pub fn memory_limit_bytes(&self) -> u64 {
        self.max_memory
    }

    /// The tables' figures, summed over the writers.
    #[must_use]
    pub fn table(&self) -> table::Stats {
        self.router
            .writers()
            .iter()
            .map(|writer| writer.stats())
            .fold(table::Stats::default(), |mut sum, one| {
                sum.add(&one);
                sum
            })
    }

    /// Resident memory of the process in bytes.
    #[must_use]
    pub fn rss_bytes(&self) -> u64 {
        rss_bytes()
    }

    /// Milliseconds since the start.
    #[must_use]
    pub fn uptime_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Everything at once.
    #[must_use]
    pub fn status(&self) -> Status {
        let map = self.router.map();
        let me = self.router.node();
        let table = self.table();
        let reads = table.hits + table.misses;
        let members = map.members().into_iter().map(|member| MemberStatus {
            name: member.name.to_string(),
            state: member.state,
            boot_epoch: member.boot_epoch,
            cluster_address: member.cluster_address.clone(),
            partitions: map.owned_by(member.id),
            keys: member.load.keys,
            memory_bytes: member.load.memory_bytes,
        });
        Status {
            node: self.router.name().to_string(),
            version: env!("CARGO_PKG_VERSION"),
            state: self.readiness.state(),
            listens: self.listens.get().cloned().unwrap_or_default(),
            uptime_ms: self.uptime_ms(),
            members: members.collect(),
            gossip: self.gossip(),
            partitions: PartitionStatus {
                total: usize::from(crate::key::PARTITION_COUNT),
                owned: map.owned_by(me),
                arriving: map.figures().arriving,
                unowned: map.unowned(),
            },
            replication: self.replication(),
            keys: self.router.owned_entries(),
            entries: table.entries,
            memory: MemoryStatus {
                rss_bytes: rss_bytes(),
                max_bytes: self.max_memory,
                data_bytes: table.data_bytes,
                committed_bytes: table.committed_bytes,
            },
            reads: ReadStatus {
                hits: table.hits,
                misses: table.misses,
                hit_ratio: if reads == 0 {
                    0.0
                } else {
                    table.hits as f64 / reads as f64
                },
            },
            evictions: table.evictions,
            expirations: table.expirations,
        }
    }
}

/// Resident memory of this process in bytes; 0 where the system does not tell.
///
/// The file stays open: without a file descriptor to spare a node would take itself for empty, and
/// fill up.
#[must_use]
pub fn rss_bytes() -> u64 {
    static STATM: LazyLock<Option<File>> = LazyLock::new(|| File::open("/proc/self/statm").ok());
    let pages = STATM.as_ref().and_then(|file| {
        let mut text = [0; 128];
        let length = file.read_at(&mut text, 0).ok()?;
        let text = std::str::from_utf8(&text[..length]).ok()?;
        text.split(' ').nth(1)?.parse::<u64>().ok()
    });
    pages.unwrap_or_default() * 4096
}
