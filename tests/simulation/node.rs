//! A simulated node: the machine, the cores and the lanes of a real one, in a shell that carries out
//! what the machine decides as the real one does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rand::RngExt;
use smache::clock::UnixMs;
use smache::cluster::codec::{Answers, Taken};
use smache::cluster::machine::{Machine, Output};
use smache::cluster::membership::{Options, Timing};
use smache::cluster::ownership::Role;
use smache::cluster::transport::{Identity, SessionId};
use smache::command::{Entry, Kind, Limits};
use smache::config::Config;
use smache::config::policy::Policies;
use smache::key::{PARTITION_COUNT, PartitionId};
use smache::replication::{Change, Effect, Lane, Lanes, Outlet};
use smache::router::Load;
use smache::table::{Budget, Cursor, Table};
use smache::version::NodeId;
use smache::writer::core::{Core, Setup};
use smache::writer::{self, Moved, Sinks, Verdict};

use crate::context::{Context, Event, PARTITIONS, address, name, note, place};
use crate::net::{Packet, Place};
use crate::pull::{Drain, Drop, Pull, Purpose};
use crate::requests::{Asker, Sent, Waiter};
use crate::sabotage::Sabotage;

const TICK_MS: u64 = 100;
const TIDY_MS: u64 = 200;
/// A session is closed so long after it was decided: what was queued before may go out.
const CLOSE_AFTER_MS: u64 = 50;

/// A session of a node.
struct Link {
    node: NodeId,
    lane: Option<Arc<Lane>>,
    answers: Answers,
}

/// See the module.
pub struct Node {
    pub place: Place,
    pub identity: Identity,
    pub machine: Machine,
    pub cores: Vec<Core>,
    pub lanes: Lanes,
    /// How far its clock is ahead of true time, in milliseconds.
    pub offset: i64,
    pub serving: bool,
    pub leaving: bool,
    pub departed: bool,
    /// It was not let in, and ends.
    pub refused: bool,
    /// The owners by the published map.
    pub owners: Vec<Option<NodeId>>,
    pub links: BTreeMap<NodeId, SessionId>,
    sessions: BTreeMap<SessionId, Link>,
    pub asked: BTreeMap<u64, (SessionId, Asker)>,
    pub next_request: u64,
    pub next_operation: u64,
    pub finished: Arc<Mutex<Vec<(Waiter, bool)>>>,
    sent: Arc<Mutex<Vec<Sent>>>,
    /// What is being pulled, so that it is not pulled twice.
    pub busy: BTreeSet<(Purpose, NodeId, PartitionId, u32)>,
    pub pulls: BTreeMap<u64, Pull>,
    pub drains: BTreeMap<u64, Drain>,
    pub drops: BTreeMap<u64, Drop>,
    pub next_work: u64,
}

/// Puts effects aside until the network takes them.
struct Outbox(SessionId, Arc<Mutex<Vec<Sent>>>);

impl Outlet for Outbox {
    fn effect(&self, number: u64, effect: &Bytes) {
        self.1.lock().push((self.0, number, effect.clone()));
    }
}

impl Node {
    /// Starts a node at a place.
    pub fn start(context: &mut Context, at: Place, uplink: Option<Place>, offset: i64) -> Node {
        // Boot epochs are milliseconds above some random bits.
        let boot = context.now << 12 | context.rng.random_range(0..1 << 12);
        let identity = Identity::new(&name(at), boot);
        let clock = UnixMs(context.now.saturating_add_signed(offset));
        let options = Options {
            identity: identity.clone(),
            address: address(at),
            cluster: "smache".to_owned(),
            has_uplinks: uplink.is_some(),
            timing: Timing::default(),
            seed: context.rng.random(),
        };
        let settings = context.settings;
        let mut machine = Machine::small(options, settings.backups, PARTITIONS, clock);
        machine.resolved(uplink.map(address), clock);
        let lanes = Lanes::new(settings.lane_bytes);
        let budget = Budget::new(settings.budget_bytes);
        let config = Config {
            backups: settings.backups as u8,
            ..Config::default()
        };
        let setup = Setup {
            node: identity.id,
            limits: Limits::default(),
            policies: Policies::new(&config),
            tombstone_ms: settings.tombstone_ms,
            lanes: lanes.clone(),
        };
        let core = |_| Core::new(Table::new(Arc::clone(&budget)), setup.clone());
        context.up.insert(at, (identity.clone(), boot));
        context.schedule_at(context.now, at, Event::Tick);
        context.schedule_at(context.now + TIDY_MS, at, Event::Tidy);
        note!(context, "n{at} starts, uplink {uplink:?}, boot {boot:x}");
        Node {
            place: at,
            identity,
            machine,
            cores: (0..settings.cores).map(core).collect(),
            lanes,
            offset,
            serving: false,
            leaving: false,
            departed: false,
            refused: false,
            owners: vec![None; usize::from(PARTITION_COUNT)],
            links: BTreeMap::new(),
            sessions: BTreeMap::new(),
            asked: BTreeMap::new(),
            next_request: 0,
            next_operation: 0,
            finished: Arc::default(),
            sent: Arc::default(),
            busy: BTreeSet::new(),
            pulls: BTreeMap::new(),
            drains: BTreeMap::new(),
            drops: BTreeMap::new(),
            next_work: 0,
        }
    }

    /// What its clock shows.
    pub fn clock(&self, context: &Context) -> UnixMs {
        UnixMs(context.now.saturating_add_signed(self.offset))
    }

    pub fn core(&mut self, partition: PartitionId) -> &mut Core {
        let count = self.cores.len();
        &mut self.cores[partition.index() % count]
    }

    /// Its open sessions.
    pub fn sessions(&self) -> Vec<SessionId> {
        self.sessions.keys().copied().collect()
    }

    /// All that it holds of some partitions.
    pub fn entries(
        &mut self,
        clock: UnixMs,
        wanted: impl Fn(PartitionId) -> bool + Copy,
    ) -> Vec<Moved> {
        let mut all = Vec::new();
        for core in &mut self.cores {
            let mut at = Some(Cursor::default());
            while let Some(cursor) = at {
                let scanned = core.scan(cursor, clock, wanted, usize::MAX);
                all.extend(scanned.entries);
                at = scanned.next;
            }
        }
        all
    }

    /// A key's entry or tombstone.
    pub fn entry_of(&mut self, partition: PartitionId, key: &[u8]) -> Option<Entry> {
        // Also what has expired meanwhile, by a clock that stands still at the beginning.
        let entries = self.entries(UnixMs(0), |p| p == partition).into_iter();
        let found = entries.filter(|moved| moved.key == key);
        found
            .map(|moved| moved.entry)
            .max_by_key(|entry| entry.version)
    }

    /// Something happens to it.
    pub fn handle(&mut self, context: &mut Context, event: Event) {
        let clock = self.clock(context);
        match event {
            Event::Tick => {
                self.machine.tick(Load::default(), clock);
                context.schedule_at(context.now + TICK_MS, self.place, Event::Tick);
            }
            Event::Tidy => {
                for core in &mut self.cores {
                    core.maintain(clock, 2_000);
                }
                context.schedule_at(context.now + TIDY_MS, self.place, Event::Tidy);
            }
            Event::DialFailed(address, refused) => {
                self.machine.dial_failed(&address, refused, clock);
            }
            Event::Datagram(from, packet) => self.machine.datagram(&from, &packet, clock),
            Event::DialledSelf(address) => self.machine.dialled_self(&address),
            Event::Deliver(session) => {
                for packet in context.net.due(session, context.now) {
                    self.receive(context, session, packet);
                    self.settle(context);
                }
            }
            Event::CloseNow(session) => {
                context.close(session);
                self.closed(context, session);
            }
            Event::FlushAnswers(session) => self.flush_answers(context, session),
            Event::Attempt(op, attempt) => self.attempt(context, op, attempt),
            Event::Deadline(op) => self.deadline(context, op),
            Event::Pull(pull) => self.go_on(context, pull),
            Event::Drain(drain) => self.go_on_draining(context, drain),
            Event::Drop(drop) => self.go_on_dropping(context, drop),
            Event::Gone => self.departed = true,
        }
        self.settle(context);
    }

    fn receive(&mut self, context: &mut Context, session: SessionId, packet: Packet) {
        let clock = self.clock(context);
        if !matches!(packet, Packet::Opened { .. }) {
            self.machine.heard(session, clock);
        }
        match packet {
            Packet::Opened { .. } if self.departed => context.close(session),
            Packet::Opened { peer, dialled } => {
                let link = Link {
                    node: peer.id,
                    lane: None,
                    answers: Answers::default(),
                };
                self.sessions.insert(session, link);
                self.machine
                    .opened(session, &peer, dialled.as_deref(), clock);
            }
            Packet::Control(control) => {
                note!(context, "n{} hears {}", self.place, crate::show(&control));
                self.machine.receive(session, "host", control, clock);
            }
            Packet::Ask(id, ask) => self.asked(context, session, id, ask),
            Packet::Answer(id, answer) => self.answered(context, id, answer),
            Packet::Effect(number, effect) => self.on_effect(context, session, number, effect),
            Packet::Answers(answers) => {
                let mut finished = Vec::new();
                if let Some(lane) = self.sessions.get(&session).and_then(|l| l.lane.as_ref()) {
                    lane.answered(&answers.taken, true, &mut finished);
                    lane.answered(&answers.refused, false, &mut finished);
                    let lane = Arc::clone(lane);
                    for lacking in lane.lacking(&answers.lacking) {
                        let partition = lacking.partition().expect("an effect is read back");
                        let core = self.core(partition);
                        core.resend(&lane, lacking, clock, &mut finished);
                    }
                }
                finished.into_iter().for_each(|finished| finished.tell());
            }
            Packet::Closed => self.closed(context, session),
        }
    }

    fn closed(&mut self, context: &mut Context, session: SessionId) {
        self.sessions.remove(&session);
        self.machine.closed(session, self.clock(context));
        self.unanswered(context, session);
    }

    fn on_effect(&mut self, context: &mut Context, session: SessionId, number: u64, bytes: Bytes) {
        let clock = self.clock(context);
        let Some(from) = self.sessions.get(&session).map(|link| link.node) else {
            return;
        };
        let effect = Effect::decode(bytes).expect("an effect is read back");
        let skip = context.sabotage == Some(Sabotage::SkipTombstones)
            && matches!(&effect.change, Change::Put { entry, .. } if entry.kind == Kind::Tombstone);
        let skip = skip
            || context.sabotage == Some(Sabotage::SkipFlushes)
                && matches!(effect.change, Change::Flush(_));
        let core = self.core(effect.partition);
        let verdict = if skip {
            Verdict::Taken
        } else {
            core.take_effect(from, &effect, clock)
        };
        let taken = match verdict {
            Verdict::Taken | Verdict::Outdone(_) => Taken::Yes,
            Verdict::Lacking => Taken::Lacking,
            Verdict::Fenced | Verdict::FromTheFuture => Taken::No,
        };
        if let Verdict::Outdone(lost) = verdict {
            context.checker.discarded(&lost.key, lost.version, lost.by);
        }
        let key = effect.key.escape_ascii();
        let epoch = effect.epoch;
        note!(
            context,
            "n{} effect {number} from n{} on {key} e{epoch}: {taken:?}",
            self.place,
            context.places[&from]
        );
        let Some(link) = self.sessions.get_mut(&session) else {
            return;
        };
        if link.answers.is_empty() {
            let at = context.now + context.rng.random_range(0..3);
            context.schedule_at(at, self.place, Event::FlushAnswers(session));
        }
        link.answers.add(number, taken);
    }

    fn flush_answers(&mut self, context: &mut Context, session: SessionId) {
        if let Some(link) = self.sessions.get_mut(&session) {
            let answers = std::mem::take(&mut link.answers);
            context.send(session, Packet::Answers(answers), false);
        }
    }

    /// Carries out what the machine decides, until all is quiet.
    pub fn settle(&mut self, context: &mut Context) {
        for core in &mut self.cores {
            for lost in core.take_lost().first {
                let by = lost.by;
                context.checker.discarded(&lost.key, lost.version, by);
            }
        }
        loop {
            let outputs = self.machine.take();
            let mut quiet = outputs.is_empty();
            for output in outputs {
                self.carry_out(context, output);
            }
            quiet &= !self.tell_finished(context);
            for (session, number, effect) in std::mem::take(&mut *self.sent.lock()) {
                let long = crate::requests::is_long(context, effect.len());
                context.send(session, Packet::Effect(number, effect), long);
            }
            if quiet {
                break;
            }
        }
        let leaves = self.leaving && !self.departed && !self.machine.is_needed();
        if leaves {
            note!(context, "n{} has handed everything over", self.place);
            self.departed = true;
            self.machine.depart();
            self.settle(context);
            context.schedule_at(context.now + CLOSE_AFTER_MS, self.place, Event::Gone);
        }
    }

    fn carry_out(&mut self, context: &mut Context, output: Output) {
        let clock = self.clock(context);
        match output {
            Output::Dial(to) => self.dial(context, to),
            Output::Datagram(to, packet) => self.datagram(context, &to, packet),
            Output::Send(session, control) => {
                let long = context.rng.random_ratio(1, 50);
                context.send(session, Packet::Control(control), long);
            }
            Output::Close(session, why) => {
                note!(context, "n{} closes {session}: {why}", self.place);
                let at = context.now + CLOSE_AFTER_MS;
                context.schedule_at(at, self.place, Event::CloseNow(session));
            }
            Output::Link(node, session) => {
                note!(context, "n{} links {session}", self.place);
                self.link(node, session);
            }
            Output::Unlink(node) => {
                note!(
                    context,
                    "n{} unlinks n{}",
                    self.place,
                    context.places[&node]
                );
                self.lanes.lane(node).suspend();
                self.links.remove(&node);
            }
            Output::Reset(partitions) => {
                for partition in partitions {
                    self.core(partition).reset(&[partition]);
                }
            }
            Output::Role(partitions, role) => self.set_role(context, &partitions, &role),
            Output::Release(node) => {
                note!(
                    context,
                    "n{} releases n{}",
                    self.place,
                    context.places[&node]
                );
                let finished = self.lanes.close(node);
                finished.into_iter().for_each(|finished| finished.tell());
                if let Some(session) = self.links.get(&node).copied() {
                    self.link(node, session);
                }
            }
            Output::Sync(from, partitions) => self.start_sync(context, from, partitions),
            Output::Merge(from, parts) => self.start_merge(context, from, parts),
            Output::Drain(partitions, number) => self.start_drain(context, partitions, number),
            Output::Drop(partitions) => self.start_drop(context, partitions),
            Output::Publish => self.published(context),
            Output::Serving { joined } => {
                note!(
                    context,
                    "n{} serves at {clock}, joined {joined}",
                    self.place
                );
                self.serving = true;
                context.open.insert(self.place);
            }
            Output::Refused(why) => {
                note!(context, "n{} was refused: {why}", self.place);
                self.refused = true;
            }
        }
    }

    fn dial(&mut self, context: &mut Context, to: String) {
        let delay = 1 + context.net.delay(&mut context.rng);
        let Some(there) = place(&to) else { return };
        if there == self.place {
            return context.schedule_at(context.now + 1, there, Event::DialledSelf(to));
        }
        let cut = context.net.is_cut(self.place, there) || context.net.is_cut(there, self.place);
        if cut || context.paused.contains(&there) {
            let after = context.rng.random_range(1_000..3_000);
            let failed = Event::DialFailed(to, false);
            return context.schedule_at(context.now + after, self.place, failed);
        }
        let Some((peer, _)) = context.up.get(&there).cloned() else {
            let failed = Event::DialFailed(to, true);
            return context.schedule_at(context.now + delay, self.place, failed);
        };
        let (mine, theirs) = context.net.open(self.place, there);
        let me = self.identity.clone();
        let opened = |peer, dialled| Packet::Opened { peer, dialled };
        context.send(mine, opened(me, None), false);
        context.send(theirs, opened(peer, Some(to)), false);
    }

    /// Datagrams may be lost, or come twice.
    fn datagram(&mut self, context: &mut Context, to: &str, packet: Vec<u8>) {
        let Some(there) = place(to) else { return };
        let arrivals = context
            .net
            .datagram(self.place, there, context.now, &mut context.rng);
        for at in arrivals {
            let datagram = Event::Datagram(address(self.place), packet.clone());
            context.schedule_at(at, there, datagram);
        }
    }

    fn link(&mut self, node: NodeId, session: SessionId) {
        let Some(link) = self.sessions.get_mut(&session) else {
            return;
        };
        self.links.insert(node, session);
        let lane = self.lanes.lane(node);
        link.lane = Some(Arc::clone(&lane));
        lane.open(Arc::new(Outbox(session, Arc::clone(&self.sent))));
    }

    /// A role as the writers know it: with lanes for nodes.
    fn set_role(&mut self, context: &Context, partitions: &[(PartitionId, u32)], role: &Role) {
        note!(context, "n{} is {role:?} of {partitions:?}", self.place);
        let lanes = |nodes: &[NodeId]| nodes.iter().map(|n| self.lanes.lane(*n)).collect();
        let for_writers = match role {
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
        };
        let clock = self.clock(context);
        let early = context.sabotage == Some(Sabotage::DropEarly)
            && matches!(role, Role::Owned { syncing, .. } if !syncing.is_empty());
        for partition in partitions {
            let core = self.core(partition.0);
            if early {
                core.set_roles(&[*partition], &writer::Role::Elsewhere, clock);
                core.drop_partitions(|p| p == partition.0, Cursor::default(), usize::MAX);
            }
            core.set_roles(&[*partition], &for_writers, clock);
        }
    }
}
