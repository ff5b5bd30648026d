//! The cluster's actor: a thin shell around the machine.
//!
//! It brings the machine what happens and carries out what it decides. The machine lives outside of
//! the actor, behind a lock that is held only for a decision, so a restart by the supervisor loses
//! no knowledge; pulls that were under way are asked for again by the machine. All its messages are
//! casts, but for [`Message::Leave`], which is answered when this node owns nothing any more.

mod moves;
mod report;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{oneshot, watch};

use self::moves::Pull;
use self::report::{Report, log_members, log_moves, log_takeovers};
use super::discovery;
use super::handoff::Handoff;
use super::machine::{Control, Machine, Output};
use super::ownership::Role;
use super::peer::{News, Peers};
use super::transport::SessionId;
use crate::clock::{Clock, UnixMs};
use crate::config::Uplink;
use crate::key::PartitionId;
use crate::node::status::Reporter;
use crate::replication::Lanes;
use crate::router::{Load, Publish, Router};
use crate::version::NodeId;
use crate::writer::{self, Pulse, STANDSTILL_MS, Sinks};

/// How often the machine is told that time passes.
const TICK: Duration = Duration::from_millis(100);
/// This node's load is summed up every so many ticks: about as often as others are told.
const LOAD_TICKS: u64 = 5;
/// A node that was refused lives so long for what it has said to reach those who should hear why.
const FAREWELL: Duration = Duration::from_millis(100);
/// How often the uplinks are looked up again.
const RESOLVE_EVERY: Duration = Duration::from_secs(5);
/// How often the map is published although nothing happened, for a router that was restarted.
const PUBLISH_TICKS: u64 = 10;

/// A node that stood still and hears nothing from anybody goes on alone after so many ticks.
const UNSURE_TICKS: u64 = 50;

/// Whether this node takes part in a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Joined {
    /// Not yet.
    #[default]
    No,
    /// It does.
    Yes,
    /// It was refused, for this reason, and cannot.
    Refused(String),
}

/// Whom to join through.
#[derive(Clone, Debug)]
pub enum Uplinks {
    /// Just these addresses; maybe none.
    Fixed(BTreeSet<String>),
    /// These names, looked up again and again.
    Names {
        /// The names.
        uplinks: Vec<Uplink>,
        /// This node's cluster port.
        own_port: u16,
    },
}

/// What the actor is made with.
#[derive(Clone)]
pub struct Arguments {
    /// The decisions.
    pub machine: Arc<Mutex<Machine>>,
    /// The links.
    pub peers: Peers,
    /// The writers, and where maps are published.
    pub router: Router,
    /// The actor that publishes them.
    pub router_actor: Arc<arc_swap::ArcSwapOption<ActorRef<Publish>>>,
    /// Where news come in, for the links.
    pub mailbox: Mailbox,
    /// Tells whether this node takes part.
    pub joined: watch::Sender<Joined>,
    /// The effects for each node.
    pub lanes: Lanes,
    /// Whether this node may answer.
    pub pulse: Pulse,
    /// What comes from other nodes.
    pub handoff: Handoff,
    /// How often copies are compared with what their owners have; zero is never.
    pub repair_interval: Duration,
    /// This node's own figures.
    pub reporter: Reporter,
    /// Whom to join through.
    pub uplinks: Uplinks,
    /// Time.
    pub clock: Clock,
}

/// The way to the present incarnation of the actor; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Mailbox(Arc<arc_swap::ArcSwapOption<ActorRef<Message>>>);

impl Mailbox {
    /// Sends a message; while the actor is being restarted it is lost, which the machine survives.
    pub fn cast(&self, message: Message) {
        if let Some(actor) = self.0.load().as_deref() {
            let _ = actor.cast(message);
        }
    }
}

/// What the actor is told.
#[derive(Debug)]
pub enum Message {
    /// From the links.
    News(News),
    /// Time passes.
    Tick,
    /// The uplinks stand for these addresses now.
    Resolved(BTreeSet<String>),
    /// A pull of copies ended: these are here.
    Synced {
        /// From this node.
        from: NodeId,
        /// What was asked for, by which offers.
        asked: Vec<(PartitionId, u32)>,
        /// What is complete.
        complete: Vec<(PartitionId, u32)>,
    },
    /// A merge ended: these are settled.
    Merged {
        /// With this node.
        from: NodeId,
        /// What was asked for.
        asked: Vec<PartitionId>,
        /// What is settled.
        complete: Vec<PartitionId>,
    },
    /// What was written to these frozen partitions is with their copies.
    Drained {
        /// These.
        partitions: Vec<PartitionId>,
        /// The number that came with the order.
        number: u64,
    },
    /// This node is about to leave: hand everything over, and say when that is done.
    Leave(oneshot::Sender<()>),
    /// This node is gone: tell the others.
    Depart,
    /// Panic. For tests: shows that the supervisor restarts the actor.
    Crash,
}

impl ractor::Message for Message {}

/// The actor.
pub struct ClusterActor;

/// What one incarnation of the actor knows.
pub struct State {
    arguments: Arguments,
    hosts: HashMap<SessionId, String>,
    /// What is on its way here.
    pulls: BTreeSet<Pull>,
    leaving: Vec<oneshot::Sender<()>>,
    load: Load,
    ticks: u64,
    /// The moment of the last tick.
    ticked_at: UnixMs,
    /// Whether this node stood still and does not know what became of its partitions: how often
    /// others had said so before, and the tick.
    unsure: Option<(u64, u64)>,
    /// Copies are compared every so many ticks; 0 is never.
    repair_ticks: u64,
    /// Held while they are.
    repairing: Arc<tokio::sync::Mutex<()>>,
    /// Whether the others were told that this node is gone.
    departed: bool,
    report: Report,
}

impl Actor for ClusterActor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        arguments.mailbox.0.store(Some(Arc::new(myself.clone())));
        // A node that has nobody to wait for need not wait for the first tick either.
        myself.cast(Message::Tick)?;
        myself.send_interval(TICK, || Message::Tick);
        match arguments.uplinks.clone() {
            Uplinks::Fixed(addresses) => myself.cast(Message::Resolved(addresses))?,
            Uplinks::Names { uplinks, own_port } => {
                // Ends with the actor: the cast fails then.
                tokio::spawn(async move {
                    let look_up = || discovery::resolve(&uplinks, own_port);
                    while myself.cast(Message::Resolved(look_up().await)).is_ok() {
                        tokio::time::sleep(RESOLVE_EVERY).await;
                    }
                });
            }
        }
        let router = &arguments.router;
        let owned = |partition| router.writer(partition).role(partition).is_owned();
        let mut report = Report::new(router.node(), owned);
        // What a predecessor has told already.
        let _told = report.members(&router.map());
        let _told = report.takeovers(router.map().figures());
        let repair_ticks = arguments.repair_interval.as_millis() / TICK.as_millis();
        Ok(State {
            repair_ticks: u64::try_from(repair_ticks).unwrap_or(u64::MAX),
            repairing: Arc::default(),
            ticked_at: UnixMs(0),
            unsure: None,
            arguments,
            hosts: HashMap::new(),
            pulls: BTreeSet::new(),
            leaving: Vec::new(),
            load: Load::default(),
            ticks: 0,
            departed: false,
            report,
        })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.on_message(message);
        Ok(())
    }
}

impl State {
    fn on_message(&mut self, message: Message) {
        let now = self.arguments.clock.now();
        let machine = Arc::clone(&self.arguments.machine);
        let mut machine = machine.lock();
        match message {
            Message::News(news) => self.on_news(&mut machine, news),
            Message::Tick => self.on_tick(&mut machine),
            Message::Resolved(addresses) => machine.resolved(addresses, now),
            Message::Synced {
                from,
                asked,
                complete,
            } => {
                for (partition, offer) in asked {
                    self.pulls.remove(&Pull::Sync(from, partition, offer));
                }
                machine.synced(from, &complete);
            }
            Message::Merged {
                from,
                asked,
                complete,
            } => {
                for partition in asked {
                    self.pulls.remove(&Pull::Merge(from, partition));
                }
                machine.merged(from, &complete);
                // What the other side wrote while it was away nobody here was told of.
                self.arguments.router.live().gap();
            }
            Message::Drained { partitions, number } => machine.drained(&partitions, number),
            Message::Leave(done) => {
                machine.leave();
                self.leaving.push(done);
            }
            Message::Depart => {
                machine.depart();
                self.departed = true;
            }
            Message::Crash => panic!("told to"),
        }
        let outputs = machine.take();
        let publish = outputs.contains(&Output::Publish);
        for output in outputs {
            self.carry_out(output);
        }
        if publish {
            self.publish(&machine);
        }
        if !self.leaving.is_empty() && !machine.is_needed() {
            // Whoever asked may have stopped waiting.
            for done in self.leaving.drain(..) {
                let _ = done.send(());
            }
        }
    }

    fn on_news(&mut self, machine: &mut Machine, news: News) {
        let now = self.arguments.clock.now();
        match news {
            // Who dials a node that has said goodbye must not take it for one that came back.
            News::Opened { session, .. } if self.departed => {
                self.arguments.peers.close(session, "this node is gone");
            }
            News::Opened {
                session,
                peer,
                host,
                dialled,
            } => {
                tracing::debug!(peer = %peer.name, %host, %session, "a session is up");
                self.hosts.insert(session, host);
                machine.opened(session, &peer, dialled.as_deref(), now);
            }
            News::Closed(session) => {
                tracing::debug!(%session, "a session is down");
                self.hosts.remove(&session);
                machine.closed(session, now);
            }
            News::DialFailed {
                address,
                error,
                refused,
            } => {
                tracing::debug!(address, error, "cannot reach a node");
                machine.dial_failed(&address, refused, now);
            }
            News::Datagram { from, packet } => machine.datagram(&from, &packet, now),
            News::DialledSelf(address) => machine.dialled_self(&address),
            News::Heard(session) => machine.heard(session, now),
            News::Control(session, control) => self.on_control(machine, session, control),
        }
    }

    fn on_control(&mut self, machine: &mut Machine, session: SessionId, control: Control) {
        let host = self.hosts.get(&session).map_or("", String::as_str);
        machine.receive(session, host, control, self.arguments.clock.now());
    }

    fn on_tick(&mut self, machine: &mut Machine) {
        self.ticks += 1;
        self.keep_pulse(machine);
        if self.ticks % LOAD_TICKS == 1 {
            self.load = Load {
                keys: self.arguments.router.owned_entries(),
                expiring: self.arguments.router.owned_expiring(),
                memory_bytes: self.arguments.reporter.rss_bytes(),
            };
        }
        machine.tick(self.load, self.arguments.clock.now());
        log_moves(self.report.tick());
        if self.repair_ticks > 0 && self.ticks.is_multiple_of(self.repair_ticks) {
            self.start_repair(machine);
        }
        if self.ticks.is_multiple_of(PUBLISH_TICKS) {
            self.publish(machine);
        }
    }

    /// Renews the pulse, unless this node stood still: then others must first say what is so, or
    /// turn out to be out of reach.
    fn keep_pulse(&mut self, machine: &mut Machine) {
        let now = self.arguments.clock.now();
        let stood_still = self.ticked_at.ms_until(now) > STANDSTILL_MS;
        let has_company = machine.membership().alive().len() > 1;
        if stood_still && has_company && self.ticked_at > UnixMs(0) {
            tracing::warn!("this node stood still; it waits to hear what became of its partitions");
            self.unsure = Some((machine.ownership().confirmations(), self.ticks));
            machine.ask();
        }
        self.ticked_at = now;
        let is_answered = |(confirmations, since): (u64, u64)| {
            machine.ownership().confirmations() > confirmations
                || self.ticks - since >= UNSURE_TICKS
        };
        if !has_company || self.unsure.is_some_and(is_answered) {
            self.unsure = None;
        }
        match self.unsure {
            Some(_) => {}
            None if has_company => self.arguments.pulse.renew(now),
            None => self.arguments.pulse.alone(),
        }
    }

    fn publish(&mut self, machine: &Machine) {
        let map = machine.map();
        log_members(self.report.members(&map));
        log_takeovers(self.report.takeovers(map.figures()));
        if let Some(actor) = self.arguments.router_actor.load().as_deref() {
            // A router that is being restarted gets the next one.
            let _ = actor.cast(Publish::Map(map));
        }
    }

    fn carry_out(&mut self, output: Output) {
        let peers = &self.arguments.peers;
        let router = &self.arguments.router;
        match output {
            Output::Dial(address) => peers.dial(&address),
            Output::Datagram(to, packet) => peers.datagram(&to, packet),
            Output::Send(session, control) => peers.control(session, &control),
            Output::Close(session, reason) => peers.close(session, &reason),
            Output::Link(node, session) => peers.link(node, session),
            Output::Unlink(node) => peers.unlink(node),
            Output::Reset(partitions) => router.reset(&partitions),
            Output::Role(partitions, role) => {
                let role = self.writers_role(&role);
                self.report.roles(&partitions, role.is_owned());
                router.set_roles(&partitions, &role);
            }
            Output::Release(node) => peers.release(node),
            Output::Sync(from, partitions) => self.start_sync(from, partitions),
            Output::Merge(from, parts) => self.start_merge(from, parts),
            Output::Drain(partitions, number) => self.start_drain(partitions, number),
            Output::Drop(partitions) => self.start_drop(partitions),
            Output::Publish => {}
            Output::Serving { joined } => {
                tracing::info!(joined, "this node takes part");
                self.arguments.joined.send_replace(Joined::Yes);
            }
            Output::Refused(why) => {
                let joined = self.arguments.joined.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(FAREWELL).await;
                    joined.send_replace(Joined::Refused(why));
                });
            }
        }
    }

    /// A role as the writers know it: with lanes for nodes.
    fn writers_role(&self, role: &Role) -> writer::Role {
        let lanes = |nodes: &[NodeId]| {
            let lanes = nodes.iter().map(|node| self.arguments.lanes.lane(*node));
            lanes.collect()
        };
        match role {
            Role::Elsewhere => writer::Role::Elsewhere,
            Role::Backup { owner } => writer::Role::Backup(*owner),
            Role::Owned {
                in_sync,
                syncing,
                frozen,
            } => writer::Role::Owned {
                sinks: Arc::new(Sinks {
                    in_sync: lanes(in_sync),
                    syncing: lanes(syncing),
                }),
                frozen: *frozen,
            },
        }
    }
}
