//! A node: everything that one process runs, in the order in which it starts and stops.
//!
//! ```text
//! Supervisor (one-for-one)
//! ├── WriterActor × n     apply what waits, keep the tables tidy
//! ├── RouterActor         publishes partition maps
//! ├── ClusterActor        carries out what the cluster's machine decides
//! └── LiveActor           hands out what has happened to those who listen
//! ```
//!
//! The writers' tables, the router's map and the machine outlive their actors. Doors are tasks: they
//! hold nothing that a restart would have to bring back.
//!
//! **Start**: writers, links, actors, doors (which answer 503), join, ready. **Stop**: not ready, go
//! on serving for the drain delay, hand all partitions over, finish what is in flight, tell the
//! others, end.

mod connect;
pub mod memory;
mod ports;
pub mod security;
mod serve;
pub mod status;
pub mod supervisor;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

pub use self::serve::serve;

use self::connect::{connect, machine, uplinks};
use self::security::Doors;
use self::status::{ListenStatus, Readiness, Reporter, State, Status};
use self::supervisor::{ChildSpec, Supervisor};
use crate::access::Access;
use crate::clock::{Clock, UnixMs};
use crate::cluster::actor::{self as cluster_actor, ClusterActor, Joined, Mailbox};
use crate::cluster::handoff::Handoff;
use crate::cluster::peer::Peers;
use crate::cluster::transport::memory::Network;
use crate::cluster::transport::{Identity, Transport, wire};
use crate::command;
use crate::config::policy::Policies;
use crate::config::{self, Config};
use crate::door;
use crate::files;
use crate::live::LiveActor;
use crate::replication::Lanes;
use crate::router::{self, Router, RouterActor};
use crate::table::Budget;
use crate::version::NodeId;
use crate::writer::{self, Pulse, Writer, WriterActor};

/// Most commands that wait for one writer.
const WRITER_QUEUE_MAX: usize = 16 * 1024;
/// How long the last message to the others may take to leave.
const FAREWELL: Duration = Duration::from_millis(100);
/// Most bytes of commands that wait for one writer.
const WRITER_QUEUE_BYTES_MAX: usize = 64 << 20;
/// Why a node could not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting cannot stand; nothing was started.
    #[error(transparent)]
    Config(#[from] config::Invalid),
    /// A port that was asked for, or all near a preferred one, are taken.
    #[error("cannot listen on {address} for {what}: {error}")]
    Listen {
        /// The door.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: std::io::Error,
    },
    /// A file that a setting names, of certificates or tokens; nothing was started.
    #[error(transparent)]
    File(#[from] files::Error),
    /// The transport between nodes.
    #[error(transparent)]
    Transport(#[from] wire::Error),
    /// An actor.
    #[error("cannot start an actor: {0}")]
    Spawn(#[from] ractor::SpawnErr),
    /// The other nodes do not want this one.
    #[error("the cluster refused this node: {0}")]
    Refused(String),
    /// An actor failed again and again.
    #[error("the node cannot go on: {0}")]
    Failed(String),
    /// The system's signals cannot be listened to.
    #[error("cannot listen to signals: {0}")]
    Signals(std::io::Error),
    /// A second signal came.
    #[error("ended at once by a second signal")]
    Forced,
    /// Stopping took too long.
    #[error("stopping took longer than {0:?}; what was left was cut off")]
    Slow(Duration),
}

/// How a node meets others.
#[derive(Clone, Debug, Default)]
pub enum Meeting {
    /// Not at all.
    #[default]
    Alone,
    /// Nodes of this process, over an in-memory network, at this address.
    Memory {
        /// The switchboard.
        network: Network,
        /// This node's place on it.
        address: String,
    },
    /// Nodes anywhere, by the settings of the configuration. One such node per process.
    Network,
}

/// What a node is started with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The settings.
    pub config: Config,
    /// How it meets others.
    pub meeting: Meeting,
    /// Whether it opens its doors.
    pub doors: bool,
    /// Who may do what at the doors, instead of the file that the settings name.
    pub access: Option<Access>,
    /// Time.
    pub clock: Clock,
}

/// A running node; cheap to clone. It runs until [`Node::stop`], or the end of the runtime.
#[derive(Clone, Debug)]
pub struct Node(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Arc<Config>,
    router: Router,
    readiness: Readiness,
    reporter: Reporter,
    peers: Peers,
    mailbox: Mailbox,
    joined: watch::Receiver<Joined>,
    supervisor: Supervisor,
    handoff: Handoff,
    doors: Doors,
    clock: Clock,
    /// Carries raw commands out for the program that has the node, whether the door is open or not.
    #[cfg(feature = "client")]
    commands: door::resp::Door,
    http: Option<OpenDoor>,
    resp: Option<OpenDoor>,
    cluster_address: Option<SocketAddr>,
    governor: tokio::task::JoinHandle<()>,
    /// What looks at the doors' files.
    watching: Vec<tokio::task::JoinHandle<()>>,
    // Ends with the node: its thread stops when it is dropped.
    _transport: Option<Arc<dyn Transport>>,
}

/// A door that is served by a task.
struct OpenDoor {
    address: SocketAddr,
    close: watch::Sender<bool>,
    served: Mutex<Option<tokio::task::JoinHandle<()>>>,
    cut_off: tokio::task::AbortHandle,
}

impl std::fmt::Debug for OpenDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenDoor")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Starts a node. It may still be joining when this returns: see [`Node::ready`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn start(options: Options) -> Result<Node, Error> {
        options.config.validate()?;
        let config = Arc::new(options.config);
        let doors = Doors::load(&config, options.access)?;
        let limit = config.max_memory.unwrap_or_else(memory::default_limit);
        let budget = Budget::new(limit);
        let identity = Identity::new(&config.node_name, boot_epoch(&options.clock));
        let lanes = Lanes::new(config.peer_bytes_max);
        let pulse = Pulse::default();
        let router = Router::new(router::Options {
            name: Arc::clone(&identity.name),
            writers: writers(
                &config,
                identity.id,
                &budget,
                &lanes,
                &pulse,
                &options.clock,
            ),
            boot_epoch: identity.boot_epoch,
            members_min: config.min_members,
        });
        router.live().limit(config.live_limits());
        let readiness = Readiness::default();
        let reporter = Reporter::new(router.clone(), readiness.clone(), limit);
        // The port is taken before anybody hears of this node.
        let http = match options.doors {
            true => Some(ports::listen("HTTP", config.bind, config.http_port).await?),
            false => None,
        };
        let resp = match config.wanted_resp_port() {
            Some(port) if options.doors && config.resp => {
                let ip = config.resp_bind.unwrap_or(config.bind);
                Some(ports::listen("the Redis protocol", ip, port).await?)
            }
            _ => None,
        };
        let mailbox = Mailbox::default();
        let connected = connect(
            &config,
            &options.meeting,
            &identity,
            &router,
            &lanes,
            mailbox.clone(),
        )
        .await?;
        router.connect(connected.peers.clone());
        if let Some(security) = connected.security.clone() {
            reporter.secure(security);
        }
        let rate = config.handoff_rate;
        let handoff = Handoff::new(router.clone(), connected.peers.clone(), rate);
        reporter.follow(lanes.clone(), handoff.clone());
        let machine = machine(&config, &identity, &connected, &options.clock);
        let counters = machine.lock().membership().counters();
        reporter.watch_gossip(counters, Arc::clone(&connected.datagrams));
        let (joined_tell, joined) = watch::channel(Joined::No);
        let router_actor = Arc::new(ArcSwapOption::empty());
        let cluster = cluster_actor::Arguments {
            machine,
            peers: connected.peers.clone(),
            router: router.clone(),
            router_actor: Arc::clone(&router_actor),
            mailbox: mailbox.clone(),
            lanes,
            pulse,
            handoff: handoff.clone(),
            repair_interval: config.repair_interval,
            joined: joined_tell,
            reporter: reporter.clone(),
            uplinks: uplinks(&config, connected.address),
            clock: options.clock.clone(),
        };
        let mut children: Vec<ChildSpec> = router
            .writers()
            .iter()
            .enumerate()
            .map(|(index, writer)| {
                ChildSpec::new(
                    format!("writer {index}"),
                    || WriterActor,
                    writer.clone(),
                    |_| (),
                )
            })
            .collect();
        children.push(ChildSpec::new(
            "router",
            || RouterActor,
            router.clone(),
            move |actor| router_actor.store(Some(Arc::new(actor))),
        ));
        children.push(ChildSpec::new("cluster", || ClusterActor, cluster, |_| ()));
        let live = router.live().clone();
        children.push(ChildSpec::new("live", || LiveActor, live, |_| ()));
        let supervisor = Supervisor::start(children, supervisor::Limits::default()).await?;
        reporter.watch(supervisor.clone());
        let governor = tokio::spawn(memory::govern(budget, limit));
        let context = door::http::Context {
            router: router.clone(),
            reporter: reporter.clone(),
            readiness: readiness.clone(),
            config: Arc::clone(&config),
            access: doors.access.clone(),
            tls: doors.tls.clone(),
        };
        // By the writers' clock: what is left of a time to live is theirs to say.
        let clock = options.clock.clone();
        let (http_door, resp_door) = door::doors(context, clock);
        #[cfg(feature = "client")]
        let commands = resp_door.clone();
        let http = http.map(|listener| open("HTTP", listener, |l, s| http_door.serve(l, s)));
        let resp =
            resp.map(|listener| open("the Redis protocol", listener, |l, s| resp_door.serve(l, s)));
        let (http, resp) = (http.transpose()?, resp.transpose()?);
        for (what, door) in [("HTTP", &http), ("the Redis protocol", &resp)] {
            if let Some(door) = door {
                doors.warn(what, door.address);
            }
        }
        let address = |door: &Option<OpenDoor>| door.as_ref().map(|door| door.address.to_string());
        reporter.listen(ListenStatus {
            http: address(&http),
            resp: address(&resp),
            cluster: connected.address.map(|address| address.to_string()),
        });
        let watching = match options.doors {
            true => doors.watch(),
            false => Vec::new(),
        };
        let node = Node(Arc::new(Inner {
            config,
            router,
            readiness,
            reporter,
            peers: connected.peers,
            mailbox,
            joined,
            supervisor,
            handoff,
            doors,
            clock: options.clock,
            #[cfg(feature = "client")]
            commands,
            http,
            resp,
            cluster_address: connected.address,
            governor,
            watching,
            _transport: connected.transport,
        }));
        tokio::spawn(become_ready(
            node.0.joined.clone(),
            node.0.router.clone(),
            node.0.readiness.clone(),
        ));
        Ok(node)
    }

    /// Waits until the node has joined, or started a cluster alone, and serves.
    ///
    /// # Errors
    /// When it was refused, or has failed.
    pub async fn ready(&self) -> Result<(), Error> {
        let mut joined = self.0.joined.clone();
        let mut failure = self.0.supervisor.failure();
        loop {
            if self.0.readiness.serves() {
                return Ok(());
            }
            if let Joined::Refused(why) = joined.borrow().clone() {
                return Err(Error::Refused(why));
            }
            if let Some(why) = failure.borrow().clone() {
                return Err(Error::Failed(why));
            }
            tokio::select! {
                _ = joined.changed() => {}
                _ = failure.changed() => {}
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
        }
    }

    /// Ends only when the node cannot go on, with the reason.
    pub async fn failed(&self) -> Error {
        let mut failure = self.0.supervisor.failure();
        let mut joined = self.0.joined.clone();
        loop {
            if let Some(why) = failure.borrow().clone() {
                return Error::Failed(why);
            }
            if let Joined::Refused(why) = joined.borrow().clone() {
                return Error::Refused(why);
            }
            tokio::select! {
                changed = failure.changed() => if changed.is_err() { std::future::pending::<()>().await },
                changed = joined.changed() => if changed.is_err() { std::future::pending::<()>().await },
            }
        }
    }

    /// Says that the node is about to stop: probes see it, requests are still answered.
    pub fn drain(&self) {
        self.0.readiness.advance(State::Draining);
    }

    /// Hands everything over, finishes what is in flight, tells the others and ends.
    ///
    /// # Errors
    /// [`Error::Slow`] when that takes longer than the configured time; then it ends all the same.
    pub async fn stop(&self) -> Result<(), Error> {
        self.stop_by(Instant::now() + self.0.config.shutdown_timeout)
            .await
    }

    /// As [`Node::stop`], for a caller whose time to stop began before: a served node counts from
    /// the signal, its drain delay included.
    ///
    /// # Errors
    /// [`Error::Slow`] when it is not done at `deadline`; then it ends all the same.
    pub async fn stop_by(&self, deadline: Instant) -> Result<(), Error> {
        self.drain();
        // The farewell takes its time as well.
        let deadline = deadline.checked_sub(FAREWELL).unwrap_or(deadline);
        let left = tokio::time::timeout_at(deadline, async {
            self.leave().await;
            self.close_doors().await;
        });
        let left = left.await;
        for door in self.open_doors() {
            door.cut_off.abort();
        }
        self.0.readiness.advance(State::Stopped);
        self.0.mailbox.cast(cluster_actor::Message::Depart);
        // It must leave before the session does.
        tokio::time::sleep(FAREWELL).await;
        self.0.peers.shutdown();
        self.0.supervisor.stop().await;
        self.0.governor.abort();
        for watching in &self.0.watching {
            watching.abort();
        }
        left.map_err(|_| Error::Slow(self.0.config.shutdown_timeout))
    }

    async fn leave(&self) {
        let (done, is_done) = tokio::sync::oneshot::channel();
        self.0.mailbox.cast(cluster_actor::Message::Leave(done));
        // The actor drops the sender if it is restarted meanwhile: then there is no waiting.
        let _ = is_done.await;
    }

    fn open_doors(&self) -> impl Iterator<Item = &OpenDoor> {
        self.0.http.iter().chain(&self.0.resp)
    }

    /// Lets all doors finish what they have in work, beside each other.
    async fn close_doors(&self) {
        // Those who listen would hold the doors open for ever.
        self.0.router.live().close();
        let mut served = Vec::new();
        for door in self.open_doors() {
            door.close.send_replace(true);
            served.extend(door.served.lock().take());
        }
        for served in served {
            // It fails only if the door panicked, and then it is closed as well.
            let _ = served.await;
        }
    }

    /// The router, for commands.
    #[must_use]
    pub fn router(&self) -> &Router {
        &self.0.router
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Where the HTTP door listens.
    #[must_use]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.0.http.as_ref().map(|http| http.address)
    }

    /// Where the Redis protocol's door listens.
    #[must_use]
    pub fn resp_address(&self) -> Option<SocketAddr> {
        self.0.resp.as_ref().map(|resp| resp.address)
    }

    /// Where other nodes connect to.
    #[must_use]
    pub fn cluster_address(&self) -> Option<SocketAddr> {
        self.0.cluster_address
    }

    /// What the node says of itself.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.reporter.status()
    }

    /// What comes from other nodes, to look at and to pause.
    #[must_use]
    pub fn handoff(&self) -> &Handoff {
        &self.0.handoff
    }

    /// What all doors ask of their clients.
    #[must_use]
    pub fn doors(&self) -> &Doors {
        &self.0.doors
    }

    /// The present moment, as the node's writers have it.
    #[must_use]
    pub fn now(&self) -> UnixMs {
        self.0.clock.now()
    }

    /// What carries raw commands out.
    #[cfg(feature = "client")]
    pub(crate) fn commands(&self) -> &door::resp::Door {
        &self.0.commands
    }

    /// The supervisor, to look at.
    #[must_use]
    pub fn supervisor(&self) -> &Supervisor {
        &self.0.supervisor
    }

    /// The way to the cluster's actor, for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn mailbox(&self) -> &Mailbox {
        &self.0.mailbox
    }
}

/// Different at each start, and greater than the ones before while the clock does not step back.
fn boot_epoch(clock: &Clock) -> u64 {
    let UnixMs(now) = clock.now();
    now << 12 | u64::from(rand::random::<u16>() & 0xfff)
}

fn writers(
    config: &Config,
    node: NodeId,
    budget: &Arc<Budget>,
    lanes: &Lanes,
    pulse: &Pulse,
    clock: &Clock,
) -> Vec<Writer> {
    let cpus = std::thread::available_parallelism().map_or(2, usize::from);
    let count = if config.writers == 0 {
        // So many that two threads seldom meet at one.
        4 * cpus.next_power_of_two()
    } else {
        config.writers
    };
    let options = writer::Options {
        node,
        budget: Arc::clone(budget),
        limits: command::Limits {
            value_bytes_max: config.value_bytes_max,
            collection_bytes_max: config.collection_bytes_max,
            json_depth_max: config.json_depth_max,
            work_max: usize::MAX,
        },
        policies: Policies::new(config),
        tombstone_horizon: config.tombstone_horizon,
        lanes: lanes.clone(),
        pulse: pulse.clone(),
        queue_max: WRITER_QUEUE_MAX,
        queue_bytes_max: WRITER_QUEUE_BYTES_MAX,
        clock: clock.clone(),
    };
    (0..count).map(|_| Writer::new(options.clone())).collect()
}

/// Has a door served by a task, until it is told to close.
fn open<F: Future<Output = ()> + Send + 'static>(
    what: &'static str,
    listener: tokio::net::TcpListener,
    serve: impl FnOnce(tokio::net::TcpListener, BoxFuture<'static, ()>) -> F,
) -> Result<OpenDoor, Error> {
    let address = listener.local_addr().map_err(|error| Error::Listen {
        what,
        address: SocketAddr::from(([0, 0, 0, 0], 0)),
        error,
    })?;
    let (close, mut closing) = watch::channel(false);
    let closed = Box::pin(async move {
        // An error means that the node itself is gone.
        let _ = closing.wait_for(|closing| *closing).await;
    });
    let served = tokio::spawn(serve(listener, closed));
    Ok(OpenDoor {
        address,
        close,
        cut_off: served.abort_handle(),
        served: Mutex::new(Some(served)),
    })
}

/// The node is ready once it takes part and knows an owner for every partition.
async fn become_ready(mut joined: watch::Receiver<Joined>, router: Router, readiness: Readiness) {
    if joined
        .wait_for(|joined| *joined == Joined::Yes)
        .await
        .is_err()
    {
        return;
    }
    while router.map().unowned() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    readiness.advance(State::Ready);
}

#[cfg(test)]
mod tests;
