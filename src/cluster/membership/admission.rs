//! Who may take part: what happens when a session opens, and when its other end says hello.
//!
//! Refused are a second live node of a name, a name with the hash of another one, a node of another
//! cluster, and one that speaks another version of the protocol. A node that comes back with
//! another boot epoch is welcome at once, unless its former self was heard from just now: then it
//! *contends*, until the former self says one more thing, or is silent for [`CONTEST`].

use std::time::Duration;

use super::liveness::Lost;
use super::{
    Acquaintance, Action, Known, Membership, Message, PROTOCOL, Session, SessionId, SwimId,
};
use crate::clock::UnixMs;
use crate::cluster::transport::Identity;
use crate::router::{Member, MemberState};
use crate::version::NodeId;

/// Refusals that the log is told of; further ones are most likely the same again.
const COMPLAINTS_MAX: usize = 64;
/// How long the session of a restarted node's former self may be silent before it counts as dead:
/// a live one would have sent two heartbeats.
const CONTEST: Duration = Duration::from_millis(1_200);
/// For so long what the dead have sent may still arrive.
const ECHO: Duration = Duration::from_millis(200);

impl Membership {
    /// A session is up; `dialled` says whether this node opened it.
    pub fn opened(&mut self, session: SessionId, peer: &Identity, dialled: bool, now: UnixMs) {
        let now = self.pace.at(now);
        if self.departed {
            // Whoever dials a node that has said goodbye must not take it for one that came back.
            let closed = "this node is gone".to_owned();
            self.actions.push(Action::Close(session, closed));
            return;
        }
        if peer.id == self.options.identity.id && peer.name != self.options.identity.name {
            let why = same_hash(&self.options.identity.name, &peer.name);
            self.refuse(session, why);
            return;
        }
        if peer.name == self.options.identity.name {
            self.name_taken(session, peer);
            return;
        }
        let known = self.known.get(&peer.id);
        if let Some(known) = known.filter(|known| known.member.name != peer.name) {
            let why = same_hash(&known.member.name, &peer.name);
            self.refuse(session, why);
            return;
        }
        let contends = known.is_some_and(|known| {
            known.member.boot_epoch != peer.boot_epoch && self.is_fresh(known, now)
        });
        let fresh = Session {
            peer: peer.clone(),
            dialled,
            greeted: false,
            since: now,
            heard: now,
            contends,
            hello: None,
        };
        self.sessions.insert(session, fresh);
        if !contends {
            self.say_hello(session, peer.id);
        }
        self.finish(now);
    }

    fn say_hello(&mut self, session: SessionId, peer: NodeId) {
        let hello = Message::Hello {
            protocol: PROTOCOL,
            cluster: self.options.cluster.clone(),
            address: self.options.address.clone(),
            serving: self.serving,
            members: self.acquaintances(peer),
            renewal: self.swim.me().renewal,
        };
        self.actions.push(Action::Send(session, hello));
        if self.leaving {
            let beat = self.heartbeat();
            self.actions.push(Action::Send(session, beat));
        }
    }

    /// Decides about nodes that are either restarted or the second of their name.
    pub(super) fn decide_contests(&mut self, now: UnixMs) {
        let contending = self.sessions.iter().filter(|(_, one)| one.contends);
        let contending: Vec<SessionId> = contending.map(|(id, _)| *id).collect();
        for session in contending {
            let Some(contender) = self.sessions.get(&session) else {
                continue;
            };
            let (peer, since) = (contender.peer.clone(), contender.since);
            let rival = self.known.get(&peer.id);
            let rival = rival.filter(|known| known.member.boot_epoch != peer.boot_epoch);
            let rival = rival.and_then(|known| self.sessions.get(&known.session?));
            match rival.map(|rival| rival.heard) {
                Some(heard) if heard > since.plus(ECHO) => {
                    let why = format!("a node called {} is up already", peer.name);
                    self.refuse(session, why);
                }
                Some(_) if since.plus(CONTEST) > now => {}
                _ => self.admit(session, peer.id),
            }
        }
    }

    /// A contender is the restarted node that it seemed to be.
    fn admit(&mut self, session: SessionId, peer: NodeId) {
        let Some(open) = self.sessions.get_mut(&session) else {
            return;
        };
        open.contends = false;
        let said = open.hello.take();
        self.say_hello(session, peer);
        if let Some((host, hello)) = said {
            self.take_message(session, &host, hello);
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

    /// A node is there with another boot epoch: its former self is no more.
    pub(super) fn restarted(&mut self, node: NodeId, boot_epoch: u64) {
        let Some(known) = self.known.get_mut(&node) else {
            return;
        };
        let old = known.session.take();
        let was_down = known.member.state == MemberState::Down;
        known.member.boot_epoch = boot_epoch;
        known.member.state = MemberState::Down;
        known.serving = false;
        known.lost = None;
        known.datagram_at = None;
        known.left = false;
        known.warned = false;
        if let Some(old) = old {
            self.sessions.remove(&old);
            self.actions
                .push(Action::Close(old, "its node was restarted".to_owned()));
        }
        if !was_down {
            self.actions.push(Action::Restarted(node));
            self.actions.push(Action::Changed);
        }
    }

    fn refuse(&mut self, session: SessionId, why: String) {
        self.complain(&why);
        self.actions
            .push(Action::Send(session, Message::Refused(why.clone())));
        self.actions.push(Action::Close(session, why));
        self.sessions.remove(&session);
    }

    /// Whether the peer belongs here: why not, in words that are true on both sides.
    pub(super) fn mismatch(&self, peer: &str, protocol: u32, cluster: &str) -> Option<String> {
        let (me, ours) = (&self.options.identity.name, &self.options.cluster);
        if protocol != PROTOCOL {
            return Some(format!(
                "{peer} speaks version {protocol} of the cluster's protocol and {me} speaks \
                 version {PROTOCOL}: they cannot be in one cluster"
            ));
        }
        (cluster != ours).then(|| {
            format!(
                "{peer} is of the cluster `{cluster}` and {me} is of the cluster `{ours}`: check \
                 cluster-name and uplinks"
            )
        })
    }

    /// The peer does not belong here. Only whoever dialled has made a mistake, and only if it was
    /// to join by that can it not go on: otherwise a stray dial would bring down a good node.
    pub(super) fn refuse_stranger(&mut self, session: SessionId, why: String, serves: bool) {
        let dialled = self.sessions.get(&session).is_some_and(|one| one.dialled);
        if !dialled {
            self.refuse(session, why);
            return;
        }
        self.complain(&why);
        self.sessions.remove(&session);
        self.actions.push(Action::Close(session, why.clone()));
        if serves {
            self.was_refused(why);
        }
    }

    /// Tells the log of a refusal, once: whoever is refused tries again and again.
    fn complain(&mut self, why: &str) {
        if self.complaints.len() < COMPLAINTS_MAX && self.complaints.insert(why.to_owned()) {
            tracing::warn!(why, "a node was refused");
        }
    }

    pub(super) fn was_refused(&mut self, why: String) {
        // A node that serves is not brought down by what another one says of it.
        if self.serving {
            self.complain(&why);
        } else if !self.refused {
            self.refused = true;
            self.actions.push(Action::Refused(why));
        }
    }

    fn acquaintances(&self, except: NodeId) -> Vec<Acquaintance> {
        self.known
            .values()
            .filter(|known| known.member.id != except && known.member.state != MemberState::Down)
            .filter(|known| !known.member.cluster_address.is_empty())
            .map(|known| acquaintance(&known.member))
            .collect()
    }

    /// A node has said hello, and belongs here.
    pub(super) fn greeted(
        &mut self,
        session: SessionId,
        address: String,
        serving: bool,
        renewal: u32,
        now: UnixMs,
    ) {
        let Some(open) = self.sessions.get_mut(&session) else {
            return;
        };
        open.greeted = true;
        let identity = open.peer.clone();
        let (peer, boot_epoch) = (identity.id, identity.boot_epoch);
        self.addresses.remember(address.clone(), now);
        let before = self.known.get(&peer).map(|known| known.member.boot_epoch);
        if before.is_some_and(|before| before != boot_epoch) {
            self.restarted(peer, boot_epoch);
        }
        let known = self.known.entry(peer);
        let known = known.or_insert_with(|| Known::hearsay(&identity, String::new()));
        let was = (known.member.state, known.serving);
        known.member.cluster_address = address;
        known.serving = serving;
        known.lost = None;
        known.left = false;
        known.session = Some(session);
        known.announced = now;
        if known.member.state == MemberState::Down {
            known.member.state = MemberState::Up;
        }
        let news = Message::Meet(acquaintance(&known.member));
        self.actions.push(Action::Connected(peer, session));
        self.swim.met(SwimId::new(peer, boot_epoch, renewal), now);
        self.swim.announce(peer, boot_epoch, now);
        if was != (MemberState::Up, serving) {
            self.broadcast(&news, peer);
        }
        self.consider_serving(now);
    }

    /// Another node tells of one that it knows.
    pub(super) fn meet(&mut self, acquaintance: &Acquaintance, now: UnixMs) {
        let identity = Identity::new(&acquaintance.name, acquaintance.boot_epoch);
        if identity.id == self.options.identity.id {
            return;
        }
        let address = acquaintance.address.clone();
        let known = self.known.entry(identity.id);
        let known = known.or_insert_with(|| Known::hearsay(&identity, String::new()));
        if known.session.is_some() || known.member.name != identity.name {
            return;
        }
        known.member.cluster_address.clone_from(&address);
        self.addresses.remember(address, now);
        self.dial_due(now);
    }

    pub(super) fn gone(&mut self, session: SessionId, peer: NodeId, now: UnixMs) {
        self.sessions.remove(&session);
        if let Some(known) = self.known.get_mut(&peer) {
            known.session = None;
            known.left = true;
        }
        self.swim.bury(peer, now);
        self.set_down(peer, "it has left");
        self.actions
            .push(Action::Close(session, "it has left".to_owned()));
    }

    /// A session is gone.
    pub fn closed(&mut self, session: SessionId, now: UnixMs) {
        let now = self.pace.at(now);
        self.end(session, true, now);
        self.finish(now);
    }

    /// Forgets a session; `pursued` says whether to find out what its end means.
    pub(super) fn end(&mut self, session: SessionId, pursued: bool, now: UnixMs) {
        let Some(gone) = self.sessions.remove(&session) else {
            return;
        };
        let Some(known) = self.known.get_mut(&gone.peer.id) else {
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
            self.actions.push(Action::Connected(gone.peer.id, *other));
            return;
        }
        known.session = None;
        known.lost = Some(Lost::new(now, pursued));
        let (leaving, address) = (
            known.member.state == MemberState::Leaving,
            known.member.cluster_address.clone(),
        );
        if leaving {
            self.swim.bury(gone.peer.id, now);
            self.set_down(gone.peer.id, "it has left");
        }
        self.addresses.dial_soon(&address, now);
        self.dial_due(now);
    }
}

fn same_hash(one: &str, other: &str) -> String {
    format!("the names {one} and {other} have the same hash; rename one of the nodes")
}

fn acquaintance(member: &Member) -> Acquaintance {
    Acquaintance {
        name: member.name.to_string(),
        boot_epoch: member.boot_epoch,
        address: member.cluster_address.clone(),
    }
}
