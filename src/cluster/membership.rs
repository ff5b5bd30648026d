//! Who is in the cluster: a pure state machine.
//!
//! Every node holds a session with every other (a full mesh), and gossips with all of them over
//! datagrams. A node **joins** by dialling its uplinks; the first session tells it of all others,
//! which it dials as well. A node with uplinks does not serve before it has met a member that
//! serves. If it meets only others that are joining too, the one with the smallest name **founds**
//! the cluster; if it meets nobody within the join timeout it founds one alone, and goes on
//! dialling.
//!
//! Whether a member is **alive** is decided by gossip with suspicion (SWIM, in `swim`): each node
//! probes one other every 500 ms, asks three more to try when there is no answer, suspects it when
//! they fail as well, and says that it is down when it does not refute that in time. Sessions
//! sharpen the picture in both directions; see `liveness`. A member is **leaving** once it says
//! so. Down members are dialled and gossiped to on, so that a healed cut is noticed.
//!
//! Three sets follow, and [`Action::Changed`] tells when any of them changes:
//!
//! | Set | Who |
//! |---|---|
//! | [`Membership::alive`] | counts as alive in the whole cluster, reachable from here or not |
//! | [`Membership::eligible`] | alive, serving and not leaving |
//! | [`Membership::linked`] | alive, with a session from here, or one that was lost a moment ago |
//!
//! The machine knows no sockets and no clock: time is an argument, jitter comes from the seed.

mod addresses;
mod admission;
mod liveness;
mod pace;
mod protocol;
mod swim;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use self::protocol::{Acquaintance, Action, Message, PROTOCOL, Timing};
pub use self::swim::{Counters, Counts};

use self::addresses::Addresses;
use self::liveness::Lost;
use self::pace::Pace;
use self::swim::{Swim, SwimId};
use super::transport::{Identity, SessionId};
use crate::clock::UnixMs;
use crate::router::{Load, Member, MemberState};
use crate::version::NodeId;

#[derive(Clone, Debug)]
struct Session {
    peer: Identity,
    /// Whether this node opened it.
    dialled: bool,
    greeted: bool,
    since: UnixMs,
    heard: UnixMs,
    /// It is not yet clear whether its node was restarted or has the name of another that lives.
    contends: bool,
    /// What a contender said first, and the host that it is at.
    hello: Option<(String, Message)>,
}

#[derive(Clone, Debug)]
struct Known {
    member: Member,
    serving: bool,
    session: Option<SessionId>,
    /// The end of its last session, until there is another or it is down.
    lost: Option<Lost>,
    /// When a datagram came from it last.
    datagram_at: Option<UnixMs>,
    /// When another member reached it on behalf of this node.
    answered_at: Option<UnixMs>,
    /// When it was last told that this node is here.
    announced: UnixMs,
    /// What was heard last over the session that is so silent that the member was suspected.
    doubted: Option<UnixMs>,
    /// It said that it is gone.
    left: bool,
    /// The log was told that no datagrams come from it.
    warned: bool,
}

impl Known {
    /// Somebody of whom nothing is known but what others tell.
    fn hearsay(identity: &Identity, address: String) -> Known {
        Known {
            member: Member {
                id: identity.id,
                name: Arc::clone(&identity.name),
                boot_epoch: identity.boot_epoch,
                cluster_address: address,
                state: MemberState::Down,
                load: Load::default(),
            },
            serving: false,
            session: None,
            lost: None,
            datagram_at: None,
            answered_at: None,
            announced: UnixMs(0),
            doubted: None,
            left: false,
            warned: false,
        }
    }
}

/// What the machine is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// This node.
    pub identity: Identity,
    /// The cluster's name: nodes of another one are refused.
    pub cluster: String,
    /// `host:port` that others should dial; an empty host lets them take the one they see.
    pub address: String,
    /// Whether there are uplinks to join through.
    pub has_uplinks: bool,
    /// The spans.
    pub timing: Timing,
    /// For jitter, and for whom gossip goes to.
    pub seed: u64,
}

/// The sets of members that were told last: alive, eligible, linked.
type Sets = [BTreeSet<NodeId>; 3];

/// See the module.
#[derive(Debug)]
pub struct Membership {
    options: Options,
    pace: Pace,
    serving: bool,
    leaving: bool,
    /// The others were told that this node is gone.
    departed: bool,
    refused: bool,
    started: UnixMs,
    last_beat: UnixMs,
    load: Load,
    known: BTreeMap<NodeId, Known>,
    sessions: BTreeMap<SessionId, Session>,
    addresses: Addresses,
    swim: Swim,
    /// Refusals that the log was told.
    complaints: BTreeSet<String>,
    told: Sets,
    actions: Vec<Action>,
}

impl Membership {
    /// The machine at its start.
    #[must_use]
    pub fn new(options: Options, now: UnixMs) -> Membership {
        let me = SwimId::new(options.identity.id, options.identity.boot_epoch, 0);
        Membership {
            addresses: Addresses::new(options.timing, options.seed),
            swim: Swim::new(me, options.timing.suspicion, !options.seed),
            options,
            pace: Pace::new(now),
            serving: false,
            leaving: false,
            departed: false,
            refused: false,
            started: now,
            last_beat: UnixMs(0),
            load: Load::default(),
            known: BTreeMap::new(),
            sessions: BTreeMap::new(),
            complaints: BTreeSet::new(),
            told: Sets::default(),
            actions: Vec::new(),
        }
    }

    /// What is to be done, in this order.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// What gossip counts.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        self.swim.counters()
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

    /// Members that may own partitions: alive, serving, not leaving.
    #[must_use]
    pub fn eligible(&self) -> BTreeSet<NodeId> {
        let me = (self.serving && !self.leaving).then_some(self.options.identity.id);
        let others = self.known.values().filter(|known| known.serving);
        let up = others.filter(|known| known.member.state == MemberState::Up);
        me.into_iter()
            .chain(up.map(|known| known.member.id))
            .collect()
    }

    /// Members that count as alive in the whole cluster, this node among them. Not all of them need
    /// be reachable from here: others vouch for them.
    #[must_use]
    pub fn alive(&self) -> BTreeSet<NodeId> {
        self.with_me(|known| known.member.state != MemberState::Down)
    }

    /// Members that this node has a session with, or had a second ago; itself among them.
    #[must_use]
    pub fn linked(&self) -> BTreeSet<NodeId> {
        let (now, span) = (self.pace.now(), self.options.timing.linked);
        self.with_me(|known| {
            let lately = |lost: &Lost| lost.at.plus(span) > now;
            let linked = known.session.is_some() || known.lost.as_ref().is_some_and(lately);
            linked && known.member.state != MemberState::Down
        })
    }

    fn with_me(&self, which: impl Fn(&Known) -> bool) -> BTreeSet<NodeId> {
        let others = self.known.values().filter(|known| which(known));
        std::iter::once(self.options.identity.id)
            .chain(others.map(|known| known.member.id))
            .collect()
    }

    /// Whether this node takes part.
    #[must_use]
    pub fn serving(&self) -> bool {
        self.serving
    }

    /// The addresses that the uplinks resolve to now.
    pub fn resolved(&mut self, addresses: impl IntoIterator<Item = String>, now: UnixMs) {
        let now = self.pace.at(now);
        self.addresses.set_uplinks(addresses, now);
        self.dial_due(now);
    }

    /// A dial led to this node itself.
    pub fn dialled_self(&mut self, address: &str) {
        self.addresses.is_self(address);
    }

    /// A message came in; `host` is where the session's other end is.
    pub fn receive(&mut self, session: SessionId, host: &str, message: Message, now: UnixMs) {
        self.heard(session, now);
        match self.sessions.get_mut(&session) {
            // Its hello waits; what follows is repeated.
            Some(open) if open.contends => {
                open.hello.get_or_insert((host.to_owned(), message));
            }
            Some(_) => self.take_message(session, host, message),
            None => {}
        }
        self.finish(self.pace.now());
    }

    fn take_message(&mut self, session: SessionId, host: &str, message: Message) {
        let now = self.pace.now();
        let Some(open) = self.sessions.get(&session) else {
            return;
        };
        let peer = open.peer.id;
        match message {
            Message::Hello {
                protocol,
                cluster,
                address,
                serving,
                members,
                renewal,
            } => {
                if let Some(why) = self.mismatch(&open.peer.name, protocol, &cluster) {
                    self.refuse_stranger(session, why, serving);
                } else {
                    let address = complete(&address, host);
                    self.greeted(session, address, serving, renewal, now);
                    members.iter().for_each(|one| self.meet(one, now));
                }
            }
            Message::Beat {
                serving,
                leaving,
                keys,
                expiring,
                memory_bytes,
            } => {
                if leaving {
                    self.set_leaving(peer);
                }
                let load = Load {
                    keys,
                    expiring,
                    memory_bytes,
                };
                self.beat(peer, serving, load, now);
            }
            Message::Meet(acquaintance) => self.meet(&acquaintance, now),
            Message::Gone => self.gone(session, peer, now),
            Message::Refused(why) => self.was_refused(why),
            Message::Swim(packet) => {
                self.swim.receive(&packet, now);
            }
        }
    }

    fn beat(&mut self, peer: NodeId, serving: bool, load: Load, now: UnixMs) {
        let Some(known) = self.known.get_mut(&peer) else {
            return;
        };
        if known.member.load != load {
            self.actions.push(Action::Changed);
        }
        known.member.load = load;
        if known.member.state == MemberState::Up {
            known.serving = serving;
        }
        self.consider_serving(now);
    }

    fn set_leaving(&mut self, peer: NodeId) {
        if let Some(known) = self.known.get_mut(&peer)
            && known.member.state == MemberState::Up
        {
            known.member.state = MemberState::Leaving;
            self.actions.push(Action::Changed);
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

    /// What this node says of itself again and again.
    fn heartbeat(&self) -> Message {
        Message::Beat {
            serving: self.serving,
            leaving: self.leaving,
            keys: self.load.keys,
            expiring: self.load.expiring,
            memory_bytes: self.load.memory_bytes,
        }
    }

    fn beat_now(&mut self) {
        let beat = self.heartbeat();
        self.broadcast(&beat, self.options.identity.id);
    }

    /// This node is about to leave: it keeps answering and takes no further partitions.
    pub fn leave(&mut self) {
        self.leaving = true;
        self.beat_now();
        self.actions.push(Action::Changed);
    }

    /// This node is gone.
    pub fn depart(&mut self) {
        self.departed = true;
        self.broadcast(&Message::Gone, self.options.identity.id);
        self.swim.leave(self.pace.now());
        self.send_packets();
    }

    /// This node's own load, to be told with the next heartbeat.
    pub fn set_load(&mut self, load: Load) {
        self.load = load;
    }

    /// Time passes; called about ten times a second.
    pub fn tick(&mut self, now: UnixMs) {
        let now = self.pace.at(now);
        self.watch(now);
        if self.last_beat.plus(self.options.timing.heartbeat) <= now {
            self.last_beat = now;
            self.beat_now();
        }
        self.consider_serving(now);
        self.dial_due(now);
        self.finish(now);
    }

    /// What every input may lead to: another verdict on members, packets, and news of all that.
    fn finish(&mut self, now: UnixMs) {
        self.decide_contests(now);
        self.note_answers(now);
        self.judge(now);
        self.send_packets();
        let sets = [self.alive(), self.eligible(), self.linked()];
        if sets != self.told {
            self.told = sets;
            self.actions.push(Action::Changed);
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
            self.beat_now();
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

/// An address without a host is at the host that it was heard from.
fn complete(address: &str, host: &str) -> String {
    match address.strip_prefix(':') {
        Some(port) if host.contains(':') => format!("[{host}]:{port}"),
        Some(port) => format!("{host}:{port}"),
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests;
