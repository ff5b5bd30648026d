//! Who is in the cluster: a pure state machine.
//!
//! Every node holds a session with every other (a full mesh). A node **joins** by dialling its
//! uplinks; the first session tells it of all others, which it dials as well. A member is **up**
//! while there is a session with it from which something was heard lately, **leaving** once it says
//! so, and **down** when its session is gone for longer than [`Timing::grace`], or at once when it
//! has left or comes back with another boot epoch. Down members are dialled on, so that a healed
//! cut is noticed.
//!
//! A node with uplinks does not serve before it has met a member that serves. If it meets only
//! others that are joining too, the one with the smallest name **founds** the cluster; if it meets
//! nobody within the join timeout it founds one alone, and goes on dialling.
//!
//! The machine knows no sockets and no clock: time is an argument, jitter comes from the seed.

mod addresses;
mod protocol;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use self::protocol::{Acquaintance, Action, Message, PROTOCOL, Timing};

use self::addresses::Addresses;
use super::transport::{Identity, SessionId};
use crate::clock::UnixMs;
use crate::router::{Load, Member, MemberState};
use crate::version::NodeId;

#[derive(Clone, Debug)]
struct Session {
    peer: NodeId,
    greeted: bool,
    heard: UnixMs,
}

#[derive(Clone, Debug)]
struct Known {
    member: Member,
    serving: bool,
    session: Option<SessionId>,
    lost_at: Option<UnixMs>,
}

/// What the machine is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// This node.
    pub identity: Identity,
    /// `host:port` that others should dial; an empty host lets them take the one they see.
    pub address: String,
    /// Whether there are uplinks to join through.
    pub has_uplinks: bool,
    /// The spans.
    pub timing: Timing,
    /// For jitter.
    pub seed: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Membership {
    options: Options,
    serving: bool,
    leaving: bool,
    refused: bool,
    started: UnixMs,
    last_beat: UnixMs,
    load: Load,
    known: BTreeMap<NodeId, Known>,
    sessions: BTreeMap<SessionId, Session>,
    addresses: Addresses,
    actions: Vec<Action>,
}

impl Membership {
    /// The machine at its start.
    #[must_use]
    pub fn new(options: Options, now: UnixMs) -> Membership {
        Membership {
            addresses: Addresses::new(options.timing, options.seed),
            options,
            serving: false,
            leaving: false,
            refused: false,
            started: now,
            last_beat: UnixMs(0),
            load: Load::default(),
            known: BTreeMap::new(),
            sessions: BTreeMap::new(),
            actions: Vec::new(),
        }
    }

    /// What is to be done, in this order.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// All members, this node among them.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        let me = Member {
            id: self.options.identity.id,
            name: Arc::clone(&self.options.identity.name),
            boot_epoch: self.options.identity.boot_epoch,
            cluster_address: self.options.address.clone(),
            state: if self.leaving {
                MemberState::Leaving
            } else {
                MemberState::Up
            },
            load: self.load,
        };
        std::iter::once(me)
            .chain(self.known.values().map(|known| known.member.clone()))
            .collect()
    }

    /// Members that may own partitions.
    #[must_use]
    pub fn eligible(&self) -> BTreeSet<NodeId> {
        let me = (self.serving && !self.leaving).then_some(self.options.identity.id);
        let others = self.known.values().filter(|known| known.serving);
        let up = others.filter(|known| known.member.state == MemberState::Up);
        me.into_iter()
            .chain(up.map(|known| known.member.id))
            .collect()
    }

    /// Members that answer.
    #[must_use]
    pub fn alive(&self) -> BTreeSet<NodeId> {
        let up = self
            .known
            .values()
            .filter(|known| known.member.state != MemberState::Down);
        std::iter::once(self.options.identity.id)
            .chain(up.map(|known| known.member.id))
            .collect()
    }

    /// Whether this node takes part.
    #[must_use]
    pub fn serving(&self) -> bool {
        self.serving
    }

    /// The addresses that the uplinks resolve to now.
    pub fn resolved(&mut self, addresses: impl IntoIterator<Item = String>, now: UnixMs) {
        self.addresses.set_uplinks(addresses, now);
        self.dial_due(now);
    }

    /// A dial led to this node itself.
    pub fn dialled_self(&mut self, address: &str) {
        self.addresses.is_self(address);
    }

    /// A dial ended: with a session to a node, or without one.
    pub fn dialled(&mut self, address: &str, found: Option<NodeId>, now: UnixMs) {
        self.addresses.dialled(address, found, now);
    }

    /// A session is up.
    pub fn opened(&mut self, session: SessionId, peer: &Identity, now: UnixMs) {
        if peer.id == self.options.identity.id && peer.name != self.options.identity.name {
            let why = format!(
                "the names {} and {} have the same hash; rename one of the nodes",
                self.options.identity.name, peer.name
            );
            self.refuse(session, why);
            return;
        }
        if peer.name == self.options.identity.name {
            self.name_taken(session, peer);
            return;
        }
        let fresh = Session {
            peer: peer.id,
            greeted: false,
            heard: now,
        };
        self.sessions.insert(session, fresh);
        if !self.admit(session, peer, now) {
            return;
        }
        let hello = Message::Hello {
            protocol: PROTOCOL,
            address: self.options.address.clone(),
            serving: self.serving,
            members: self.acquaintances(peer.id),
        };
        self.actions.push(Action::Send(session, hello));
        if self.leaving {
            self.actions.push(Action::Send(session, Message::Leaving));
        }
    }

    /// Two live nodes of this name: the one that serves stays, or else the one that was first.
    fn name_taken(&mut self, session: SessionId, peer: &Identity) {
        let why = format!("a node called {} is up already", peer.name);
        if self.serving || self.options.identity.boot_epoch < peer.boot_epoch {
            self.refuse(session, why);
        } else {
            self.was_refused(why);
            let closed = "its name is this node's".to_owned();
            self.actions.push(Action::Close(session, closed));
        }
    }

    /// Notes who is at the other end; false if it is refused.
    fn admit(&mut self, session: SessionId, peer: &Identity, now: UnixMs) -> bool {
        let recently = 2 * self.options.timing.heartbeat;
        let Some(known) = self.known.get(&peer.id) else {
            let member = Member {
                id: peer.id,
                name: Arc::clone(&peer.name),
                boot_epoch: peer.boot_epoch,
                cluster_address: String::new(),
                state: MemberState::Down,
                load: Load::default(),
            };
            let known = Known {
                member,
                serving: false,
                session: None,
                lost_at: None,
            };
            self.known.insert(peer.id, known);
            return true;
        };
        if known.member.name != peer.name {
            let why = format!(
                "the names {} and {} have the same hash; rename one of the nodes",
                known.member.name, peer.name
            );
            self.refuse(session, why);
            return false;
        }
        if known.member.boot_epoch == peer.boot_epoch {
            return true;
        }
        let heard = known
            .session
            .and_then(|old| self.sessions.get(&old))
            .map(|old| old.heard);
        if heard.is_some_and(|heard| heard.plus(recently) > now) {
            self.refuse(
                session,
                format!("a node called {} is up already", peer.name),
            );
            return false;
        }
        self.restarted(peer);
        true
    }

    fn restarted(&mut self, peer: &Identity) {
        let Some(known) = self.known.get_mut(&peer.id) else {
            return;
        };
        let old = known.session.take();
        let was_down = known.member.state == MemberState::Down;
        known.member.boot_epoch = peer.boot_epoch;
        known.member.state = MemberState::Down;
        known.serving = false;
        known.lost_at = None;
        if let Some(old) = old {
            self.sessions.remove(&old);
            self.actions
                .push(Action::Close(old, "its node was restarted".to_owned()));
        }
        if !was_down {
            self.actions.push(Action::Restarted(peer.id));
            self.actions.push(Action::Changed);
        }
    }

    fn refuse(&mut self, session: SessionId, why: String) {
        self.actions
            .push(Action::Send(session, Message::Refused(why.clone())));
        self.actions.push(Action::Close(session, why));
        self.sessions.remove(&session);
    }

    fn acquaintances(&self, except: NodeId) -> Vec<Acquaintance> {
        self.known
            .values()
            .filter(|known| known.member.id != except && known.member.state != MemberState::Down)
            .map(|known| acquaintance(&known.member))
            .collect()
    }

    /// A session is gone.
    pub fn closed(&mut self, session: SessionId, now: UnixMs) {
        let Some(gone) = self.sessions.remove(&session) else {
            return;
        };
        let Some(known) = self.known.get_mut(&gone.peer) else {
            return;
        };
        if known.session != Some(session) {
            return;
        }
        // Another session with it may be open already: when both sides dial at the same time.
        let other = self
            .sessions
            .iter()
            .find(|(_, s)| s.peer == gone.peer && s.greeted);
        if let Some((other, _)) = other {
            known.session = Some(*other);
            self.actions.push(Action::Connected(gone.peer, *other));
            return;
        }
        known.session = None;
        known.lost_at = Some(now);
        if known.member.state == MemberState::Leaving {
            self.set_down(gone.peer);
        }
        let address = known_address(&self.known, gone.peer);
        if let Some(address) = address {
            self.addresses.dial_soon(&address, now);
        }
    }

    fn set_down(&mut self, node: NodeId) {
        if let Some(known) = self.known.get_mut(&node) {
            known.member.state = MemberState::Down;
            known.serving = false;
            known.lost_at = None;
            self.actions.push(Action::Changed);
        }
    }

    /// Something came over a session, whatever it was.
    pub fn heard(&mut self, session: SessionId, now: UnixMs) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.heard = now;
        }
    }

    /// A message came in; `host` is where the session's other end is.
    pub fn receive(&mut self, session: SessionId, host: &str, message: Message, now: UnixMs) {
        self.heard(session, now);
        let Some(peer) = self.sessions.get(&session).map(|session| session.peer) else {
            return;
        };
        match message {
            Message::Hello { protocol, .. } if protocol != PROTOCOL => {
                let why = format!("it speaks protocol {protocol}, this node speaks {PROTOCOL}");
                self.refuse(session, why);
            }
            Message::Hello {
                address,
                serving,
                members,
                ..
            } => {
                self.greeted(session, peer, complete(&address, host), serving, now);
                for acquaintance in members {
                    self.meet(&acquaintance, now);
                }
            }
            Message::Beat {
                serving,
                keys,
                memory_bytes,
            } => {
                let load = Load { keys, memory_bytes };
                self.beat(peer, serving, load, now);
            }
            Message::Meet(acquaintance) => self.meet(&acquaintance, now),
            Message::Leaving => self.set_leaving(peer),
            Message::Gone => self.gone(session, peer),
            Message::Refused(why) => self.was_refused(why),
        }
    }

    fn greeted(
        &mut self,
        session: SessionId,
        peer: NodeId,
        address: String,
        serving: bool,
        now: UnixMs,
    ) {
        self.addresses.remember(address.clone(), now);
        let Some(known) = self.known.get_mut(&peer) else {
            return;
        };
        let was = (known.member.state, known.serving);
        known.member.cluster_address = address;
        known.serving = serving;
        known.lost_at = None;
        known.session = Some(session);
        if known.member.state == MemberState::Down {
            known.member.state = MemberState::Up;
        }
        let news = Message::Meet(acquaintance(&known.member));
        if let Some(open) = self.sessions.get_mut(&session) {
            open.greeted = true;
        }
        self.actions.push(Action::Connected(peer, session));
        if was != (MemberState::Up, serving) {
            self.broadcast(&news, peer);
            self.actions.push(Action::Changed);
        }
        self.consider_serving(now);
    }

    fn beat(&mut self, peer: NodeId, serving: bool, load: Load, now: UnixMs) {
        let Some(known) = self.known.get_mut(&peer) else {
            return;
        };
        let changed = known.serving != serving || known.member.load != load;
        known.member.load = load;
        if known.member.state == MemberState::Up {
            known.serving = serving;
        }
        if changed {
            self.actions.push(Action::Changed);
        }
        self.consider_serving(now);
    }

    fn meet(&mut self, acquaintance: &Acquaintance, now: UnixMs) {
        let id = NodeId::of(&acquaintance.name);
        let ours = id == self.options.identity.id;
        let up = self
            .known
            .get(&id)
            .is_some_and(|known| known.session.is_some());
        if !ours && !up {
            self.addresses.remember(acquaintance.address.clone(), now);
            self.dial_due(now);
        }
    }

    fn set_leaving(&mut self, peer: NodeId) {
        if let Some(known) = self.known.get_mut(&peer) {
            known.member.state = MemberState::Leaving;
            self.actions.push(Action::Changed);
        }
    }

    fn gone(&mut self, session: SessionId, peer: NodeId) {
        self.sessions.remove(&session);
        if let Some(known) = self.known.get_mut(&peer) {
            known.session = None;
        }
        self.set_down(peer);
        self.actions
            .push(Action::Close(session, "it has left".to_owned()));
    }

    fn was_refused(&mut self, why: String) {
        // A node that serves is not brought down by what another one says of it.
        if !self.serving && !self.refused {
            self.refused = true;
            self.actions.push(Action::Refused(why));
        }
    }

    fn broadcast(&mut self, message: &Message, except: NodeId) {
        let sessions = self
            .known
            .values()
            .filter(|known| known.member.id != except);
        let sends = sessions.filter_map(|known| known.session);
        self.actions
            .extend(sends.map(|session| Action::Send(session, message.clone())));
    }

    /// This node is about to leave: it keeps answering and takes no further partitions.
    pub fn leave(&mut self) {
        self.leaving = true;
        self.broadcast(&Message::Leaving, self.options.identity.id);
        self.actions.push(Action::Changed);
    }

    /// This node is gone.
    pub fn depart(&mut self) {
        self.broadcast(&Message::Gone, self.options.identity.id);
    }

    /// This node's own load, to be told with the next heartbeat.
    pub fn set_load(&mut self, load: Load) {
        self.load = load;
    }

    /// Time passes; called about ten times a second.
    pub fn tick(&mut self, now: UnixMs) {
        self.close_silent(now);
        self.bury_lost(now);
        if self.last_beat.plus(self.options.timing.heartbeat) <= now {
            self.last_beat = now;
            let beat = Message::Beat {
                serving: self.serving,
                keys: self.load.keys,
                memory_bytes: self.load.memory_bytes,
            };
            self.broadcast(&beat, self.options.identity.id);
        }
        self.consider_serving(now);
        self.dial_due(now);
    }

    fn close_silent(&mut self, now: UnixMs) {
        let silence = self.options.timing.silence;
        let silent: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.heard.plus(silence) <= now)
            .map(|(id, _)| *id)
            .collect();
        for session in silent {
            self.actions
                .push(Action::Close(session, format!("silent for {silence:?}")));
            self.closed(session, now);
        }
    }

    fn bury_lost(&mut self, now: UnixMs) {
        let grace = self.options.timing.grace;
        let lost: Vec<NodeId> = self
            .known
            .values()
            .filter(|known| known.lost_at.is_some_and(|at| at.plus(grace) <= now))
            .map(|known| known.member.id)
            .collect();
        for node in lost {
            self.set_down(node);
        }
    }

    /// Decides whether it is time to take part.
    fn consider_serving(&mut self, now: UnixMs) {
        if self.serving || self.leaving || self.refused {
            return;
        }
        let waited = self.started.ms_until(now);
        let timing = &self.options.timing;
        let up = || self.known.values().filter(|known| known.session.is_some());
        let meets_server = up().any(|known| known.serving);
        let smallest = up().all(|known| known.member.name > self.options.identity.name);
        let delay = u64::try_from(timing.found_delay.as_millis()).unwrap_or(u64::MAX);
        let timeout = u64::try_from(timing.join_timeout.as_millis()).unwrap_or(u64::MAX);
        let alone = !self.options.has_uplinks || self.addresses.uplinks_are_self();
        let founds = up().next().is_some() && smallest && waited >= delay;
        if meets_server || alone || founds || waited >= timeout {
            self.serving = true;
            self.actions.push(Action::Serve {
                joined: meets_server,
            });
            self.actions.push(Action::Changed);
            let beat = Message::Beat {
                serving: true,
                keys: 0,
                memory_bytes: 0,
            };
            self.broadcast(&beat, self.options.identity.id);
        }
    }

    /// Dials every address that leads to nobody we have a session with.
    fn dial_due(&mut self, now: UnixMs) {
        if self.leaving || self.refused {
            return;
        }
        let met: Vec<&Member> = self
            .known
            .values()
            .filter(|known| known.session.is_some())
            .map(|known| &known.member)
            .collect();
        let dials = self.addresses.due(&met, now);
        self.actions.extend(dials.into_iter().map(Action::Dial));
    }
}

fn acquaintance(member: &Member) -> Acquaintance {
    Acquaintance {
        name: member.name.to_string(),
        boot_epoch: member.boot_epoch,
        address: member.cluster_address.clone(),
    }
}

fn known_address(known: &BTreeMap<NodeId, Known>, node: NodeId) -> Option<String> {
    known
        .get(&node)
        .map(|known| known.member.cluster_address.clone())
}

/// An address without a host is at the host that it was heard from.
fn complete(address: &str, host: &str) -> String {
    match address.strip_prefix(':') {
        Some(port) if host.contains(':') => format!("[{host}]:{port}"),
        Some(port) => format!("{host}:{port}"),
        None => address.to_owned(),
    }
}
