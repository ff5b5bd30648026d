//! The cluster's decisions: membership and ownership as one pure machine.
//!
//! Inputs and time go in through methods; what is to be done comes out of [`Machine::take`]. The
//! actor around it only carries out. Tests drive machines directly, in one thread, with a seed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::membership::{self, Membership};
use super::ownership::{self, Members, Ownership, Part, Role};
use super::transport::{Identity, SessionId};
use crate::clock::UnixMs;
use crate::key::{PARTITION_COUNT, PartitionId};
use crate::router::{Load, PartitionMap};
use crate::version::NodeId;

/// What nodes tell each other besides requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// About who is there.
    Membership(membership::Message),
    /// About who owns what.
    Ownership(ownership::Message),
}

/// What the shell has to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a session with this address.
    Dial(String),
    /// Send this on that session.
    Send(SessionId, Control),
    /// Send this packet to this address; it may be lost.
    Datagram(String, Vec<u8>),
    /// Close this session.
    Close(SessionId, String),
    /// Requests for this node go over that session from now on.
    Link(NodeId, SessionId),
    /// There is no session for requests to this node.
    Unlink(NodeId),
    /// Forget what is here of these partitions, of which copies are begun anew.
    Reset(Vec<PartitionId>),
    /// Set this node's role for these partitions, which are at these epochs.
    Role(Vec<(PartitionId, u32)>, Role),
    /// Release whoever waits for that node's word: it is no copy any more.
    Release(NodeId),
    /// Pull copies of these partitions from their owner, which it has offered by these numbers.
    Sync(NodeId, Vec<(PartitionId, u32)>),
    /// Take over what is lacking of these partitions from a node that owned them as well.
    Merge(NodeId, Vec<Part>),
    /// Report once what was written to these partitions is with their copies.
    Drain(Vec<PartitionId>, u64),
    /// Forget the entries of these partitions.
    Drop(Vec<PartitionId>),
    /// Publish [`Machine::map`].
    Publish,
    /// This node takes part from now on.
    Serving {
        /// Whether it joined others, or starts alone.
        joined: bool,
    },
    /// This node was refused; it cannot go on.
    Refused(String),
}

/// See the module.
#[derive(Debug)]
pub struct Machine {
    membership: Membership,
    ownership: Ownership,
    links: BTreeMap<NodeId, SessionId>,
    peers: BTreeMap<SessionId, NodeId>,
    outputs: Vec<Output>,
}

impl Machine {
    /// The machine at a node's start.
    #[must_use]
    pub fn new(options: membership::Options, backups: usize, now: UnixMs) -> Machine {
        Machine::small(options, backups, PARTITION_COUNT, now)
    }

    /// The machine of a cluster of fewer partitions, for a simulation: all its nodes must have as
    /// many.
    #[must_use]
    pub fn small(
        options: membership::Options,
        backups: usize,
        partitions: u16,
        now: UnixMs,
    ) -> Machine {
        Machine {
            ownership: Ownership::new(ownership::Options {
                me: options.identity.id,
                backups,
                partitions,
            }),
            membership: Membership::new(options, now),
            links: BTreeMap::new(),
            peers: BTreeMap::new(),
            outputs: Vec::new(),
        }
    }

    /// What is to be done.
    pub fn take(&mut self) -> Vec<Output> {
        self.settle();
        std::mem::take(&mut self.outputs)
    }

    /// The present map.
    #[must_use]
    pub fn map(&self) -> PartitionMap {
        let held = self.ownership.held().iter().copied();
        PartitionMap::new(held, self.membership.members(), self.ownership.figures())
    }

    /// Who owns what, to look at.
    #[must_use]
    pub fn ownership(&self) -> &Ownership {
        &self.ownership
    }

    /// Who is there, to look at.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The addresses that the uplinks resolve to now.
    pub fn resolved(&mut self, addresses: impl IntoIterator<Item = String>, now: UnixMs) {
        self.membership.resolved(addresses, now);
    }

    /// A session is up; `dialled` is the address if it was dialled from here.
    pub fn opened(
        &mut self,
        session: SessionId,
        peer: &Identity,
        dialled: Option<&str>,
        now: UnixMs,
    ) {
        if let Some(address) = dialled {
            self.membership.dialled(address, Some(peer.id), now);
        }
        self.peers.insert(session, peer.id);
        let dialled = dialled.is_some();
        self.membership.opened(session, peer, dialled, now);
    }

    /// A session is gone.
    pub fn closed(&mut self, session: SessionId, now: UnixMs) {
        let peer = self.peers.remove(&session);
        if let Some(node) = peer.filter(|node| self.links.get(node) == Some(&session)) {
            self.links.remove(&node);
            self.outputs.push(Output::Unlink(node));
        }
        self.membership.closed(session, now);
    }

    /// A dial led nowhere; `refused` says that its host answered that nobody listens there.
    pub fn dial_failed(&mut self, address: &str, refused: bool, now: UnixMs) {
        self.membership.dial_failed(address, refused, now);
    }

    /// A datagram came from an address. Takes any bytes.
    pub fn datagram(&mut self, from: &str, packet: &[u8], now: UnixMs) {
        self.membership.datagram(from, packet, now);
    }

    /// A dial led to this node.
    pub fn dialled_self(&mut self, address: &str) {
        self.membership.dialled_self(address);
    }

    /// A message came over a session with a node at `host`.
    pub fn receive(&mut self, session: SessionId, host: &str, message: Control, now: UnixMs) {
        match message {
            Control::Membership(message) => self.membership.receive(session, host, message, now),
            Control::Ownership(message) => {
                self.membership.heard(session, now);
                if let Some(from) = self.peers.get(&session).copied() {
                    // What membership has learnt before comes first.
                    self.settle();
                    self.ownership.receive(from, message);
                }
            }
        }
    }

    /// Frames came over a session.
    pub fn heard(&mut self, session: SessionId, now: UnixMs) {
        self.membership.heard(session, now);
    }

    /// Time passes; called about ten times a second.
    pub fn tick(&mut self, load: Load, now: UnixMs) {
        self.membership.set_load(load);
        self.membership.tick(now);
        self.settle();
        self.ownership.tick(now.0);
    }

    /// All entries of these partitions came from `from`, their owner, since it made these offers.
    pub fn synced(&mut self, from: NodeId, partitions: &[(PartitionId, u32)]) {
        self.ownership.synced(from, partitions);
    }

    /// What was lacking of these partitions came from `from`.
    pub fn merged(&mut self, from: NodeId, partitions: &[PartitionId]) {
        self.ownership.merged(from, partitions);
    }

    /// What was written to these partitions before [`Output::Drain`] is with their copies.
    pub fn drained(&mut self, partitions: &[PartitionId], number: u64) {
        self.ownership.drained(partitions, number);
    }

    /// Asks all whether they believe what this node does.
    pub fn ask(&mut self) {
        self.ownership.ask();
    }

    /// This node is about to leave.
    pub fn leave(&mut self) {
        self.membership.leave();
    }

    /// Whether a leaving node still has something that somebody else could take, or is taking.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        !self.membership.eligible().is_empty() && self.ownership.is_needed()
    }

    /// This node is gone.
    pub fn depart(&mut self) {
        self.membership.depart();
    }

    /// Carries the machines' actions to each other until both are quiet.
    fn settle(&mut self) {
        loop {
            let membership = self.membership.take_actions();
            let ownership = self.ownership.take_actions();
            if membership.is_empty() && ownership.is_empty() {
                return;
            }
            membership
                .into_iter()
                .for_each(|action| self.on_membership(action));
            ownership
                .into_iter()
                .for_each(|action| self.on_ownership(action));
        }
    }

    fn on_membership(&mut self, action: membership::Action) {
        use membership::Action;
        match action {
            Action::Dial(address) => self.outputs.push(Output::Dial(address)),
            Action::Datagram(to, packet) => self.outputs.push(Output::Datagram(to, packet)),
            Action::Send(session, message) => {
                self.outputs
                    .push(Output::Send(session, Control::Membership(message)));
            }
            Action::Close(session, why) => {
                if let Some(node) = self.peers.remove(&session)
                    && self.links.get(&node) == Some(&session)
                {
                    self.links.remove(&node);
                    self.outputs.push(Output::Unlink(node));
                }
                self.outputs.push(Output::Close(session, why));
            }
            Action::Connected(node, session) => {
                self.links.insert(node, session);
                self.outputs.push(Output::Link(node, session));
                self.ownership.connected(node);
            }
            Action::Restarted(node) => self.ownership.restarted(node),
            Action::Changed => {
                self.ownership.members(Members {
                    eligible: self.membership.eligible(),
                    alive: self.membership.alive(),
                    linked: self.membership.linked(),
                });
                self.outputs.push(Output::Publish);
            }
            Action::Serve { joined } => {
                self.ownership.serve(joined);
                self.outputs.push(Output::Serving { joined });
            }
            Action::Refused(why) => self.outputs.push(Output::Refused(why)),
        }
    }

    fn on_ownership(&mut self, action: ownership::Action) {
        use ownership::Action;
        match action {
            Action::Send(node, message) => {
                if let Some(session) = self.links.get(&node) {
                    self.outputs
                        .push(Output::Send(*session, Control::Ownership(message)));
                }
            }
            Action::Broadcast(message) => {
                for session in self.links.values() {
                    let message = Control::Ownership(message.clone());
                    self.outputs.push(Output::Send(*session, message));
                }
            }
            Action::Reset(partitions) => self.outputs.push(Output::Reset(partitions)),
            Action::Role(partitions, role) => self.outputs.push(Output::Role(partitions, role)),
            Action::Release(node) => self.outputs.push(Output::Release(node)),
            Action::Sync(node, partitions) => self.outputs.push(Output::Sync(node, partitions)),
            Action::Merge(node, parts) => self.outputs.push(Output::Merge(node, parts)),
            Action::Drain(partitions, number) => {
                self.outputs.push(Output::Drain(partitions, number));
            }
            Action::Drop(partitions) => self.outputs.push(Output::Drop(partitions)),
            Action::Changed => self.outputs.push(Output::Publish),
        }
    }
}
