//! Who is alive: what gossip says, corrected by what sessions show.
//!
//! - **A session vouches.** Something heard over a session within [`Timing::evidence`] proves life:
//!   this node then neither suspects the member nor believes others who say that it is down. It
//!   lets the member know, which comes back by renewing itself.
//! - **A silent session accuses.** One that is silent for [`Timing::doubt`] makes the member
//!   suspected at once, so that a stopped or cut-off node is down after that and
//!   [`Timing::suspicion`], however many members there are to probe.
//! - **A closed session condemns, unless contradicted.** The member is dialled at once, asked by
//!   datagram, and asked through others. If its host refuses the connection, or nothing at all is
//!   heard of it for [`Timing::grace`], it is down, and the others are told. So a killed node is out of the map within a second.
//! - **Gossip takes the way that is open.** It goes by datagram; and over the session as well, while
//!   no datagram has come from that member for [`Timing::datagrams`]. Where UDP is blocked, gossip
//!   and verdicts are the same as elsewhere, with every word over sessions; the log is told.
//!
//! [`Timing::evidence`]: super::Timing::evidence
//! [`Timing::doubt`]: super::Timing::doubt
//! [`Timing::suspicion`]: super::Timing::suspicion
//! [`Timing::grace`]: super::Timing::grace
//! [`Timing::datagrams`]: super::Timing::datagrams

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Action, Known, Membership, Message, SessionId};
use crate::clock::UnixMs;
use crate::router::MemberState;
use crate::version::NodeId;

/// How long a member whose session has ended is asked again and again whether it lives.
const PURSUIT: Duration = Duration::from_secs(2);
/// How often a member that gossip takes for dead is told so, while there is a session with it.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(1);

/// The end of a member's session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lost {
    pub(super) at: UnixMs,
    /// Its host has answered that nobody listens at its address.
    refused: bool,
    /// It is still to be found out what that means.
    pursued: bool,
}

impl Lost {
    /// Its other end was closed: `pursued`. Or this one, because it was silent: that has led to a
    /// suspicion long before.
    pub(super) fn new(at: UnixMs, pursued: bool) -> Lost {
        Lost {
            at,
            refused: false,
            pursued,
        }
    }
}

impl Membership {
    /// Something came over a session, whatever it was.
    pub fn heard(&mut self, session: SessionId, now: UnixMs) {
        let now = self.pace.at(now);
        if let Some(session) = self.sessions.get_mut(&session) {
            session.heard = now;
        }
    }

    /// A datagram came from an address.
    pub fn datagram(&mut self, from: &str, packet: &[u8], now: UnixMs) {
        let now = self.pace.at(now);
        if let Some(sender) = self.swim.receive(packet, now) {
            match self.known.get_mut(&sender) {
                Some(known) => known.datagram_at = Some(now),
                // Somebody who knows this node, and whom it has not met.
                None if sender != self.options.identity.id => {
                    self.addresses.remember(from.to_owned(), now);
                    self.dial_due(now);
                }
                None => {}
            }
        }
        self.finish(now);
    }

    /// Others may have reached a member that was asked for through them.
    pub(super) fn note_answers(&mut self, now: UnixMs) {
        for node in self.swim.answers() {
            if let Some(known) = self.known.get_mut(&node) {
                known.answered_at = Some(now);
            }
        }
    }

    /// A dial ended: with a session to a node, or without one.
    pub fn dialled(&mut self, address: &str, found: Option<NodeId>, now: UnixMs) {
        let now = self.pace.at(now);
        self.addresses.dialled(address, found, now);
    }

    /// A dial led nowhere; `refused` says that the host itself said so.
    pub fn dial_failed(&mut self, address: &str, refused: bool, now: UnixMs) {
        self.dialled(address, None, now);
        if !refused {
            return;
        }
        let now = self.pace.now();
        let led_to = self.addresses.leads_to(address);
        let mut dead = None;
        for known in self.known.values_mut() {
            let here = known.member.cluster_address == address && known.session.is_none();
            if let Some(lost) = known.lost.as_mut().filter(|_| here) {
                lost.refused = true;
                // An address that never led to it may be one that never will.
                dead = led_to.filter(|node| *node == known.member.id).or(dead);
            }
        }
        if let Some(node) = dead {
            self.swim.bury(node, now);
            self.set_down(node, "its host refuses the connection");
            self.finish(now);
        }
    }

    /// Whether something was heard over the member's session just now.
    pub(super) fn is_fresh(&self, known: &Known, now: UnixMs) -> bool {
        let session = known.session.and_then(|id| self.sessions.get(&id));
        session.is_some_and(|session| session.heard.plus(self.options.timing.evidence) > now)
    }

    /// What passing time does to members.
    pub(super) fn watch(&mut self, now: UnixMs) {
        self.close_silent(now);
        self.doubt_silent(now);
        self.pursue_lost(now);
        self.announce_again(now);
        self.warn_of_blocked(now);
        let (fresh, reachable) = (self.fresh(now), self.reachable());
        // Who cannot be asked cannot be blamed for not answering.
        self.swim.tick(now, |node| {
            fresh.contains(&node) || !reachable.contains(&node)
        });
    }

    fn fresh(&self, now: UnixMs) -> BTreeSet<NodeId> {
        let fresh = self.known.values().filter(|one| self.is_fresh(one, now));
        fresh.map(|known| known.member.id).collect()
    }

    fn reachable(&self) -> BTreeSet<NodeId> {
        let reachable =
            |known: &&Known| known.session.is_some() || !known.member.cluster_address.is_empty();
        let known = self.known.values().filter(reachable);
        known.map(|known| known.member.id).collect()
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
            self.end(session, false, now);
        }
    }

    /// Suspects members whose sessions are silent, once for each silence.
    fn doubt_silent(&mut self, now: UnixMs) {
        let doubt = self.options.timing.doubt;
        for known in self.known.values_mut() {
            let session = known.session.and_then(|id| self.sessions.get(&id));
            let Some(heard) = session.map(|session| session.heard) else {
                continue;
            };
            if heard.plus(doubt) <= now && known.doubted != Some(heard) {
                known.doubted = Some(heard);
                self.swim.doubt(known.member.id, now);
            }
        }
    }

    /// Asks members whose sessions have ended whether they live, and buries those who are silent.
    fn pursue_lost(&mut self, now: UnixMs) {
        let timing = self.options.timing;
        let mut dead = Vec::new();
        for known in self.known.values_mut() {
            let Some(lost) = known.lost.as_mut().filter(|lost| lost.pursued) else {
                continue;
            };
            let sends_datagrams = known
                .datagram_at
                .is_some_and(|at| at.plus(timing.datagrams) > lost.at);
            let grace = if lost.refused || sends_datagrams {
                timing.grace
            } else {
                timing.grace_without_datagrams
            };
            let heard = known.datagram_at.max(known.answered_at).max(Some(lost.at));
            let heard = heard.unwrap_or(lost.at);
            if heard.plus(grace) <= now {
                dead.push(known.member.id);
            } else if lost.at.plus(PURSUIT) <= now {
                // It answers: what becomes of it is for gossip to say, and dialling goes on.
                lost.pursued = false;
            } else {
                let (node, boot_epoch) = (known.member.id, known.member.boot_epoch);
                self.swim.announce(node, boot_epoch, now);
                self.swim.ask_others(node, now);
            }
        }
        for node in dead {
            self.swim.bury(node, now);
            self.set_down(node, "its session has ended");
        }
    }

    /// Tells members whom gossip takes for dead, but whose sessions are open, to come back.
    fn announce_again(&mut self, now: UnixMs) {
        let standings = self.swim.standings();
        for known in self.known.values_mut() {
            let (node, boot_epoch) = (known.member.id, known.member.boot_epoch);
            let standing = standings.get(&node);
            let counts = standing.is_some_and(|(id, up)| *up && id.boot_epoch == boot_epoch);
            if known.session.is_some() && !counts && known.announced.plus(ANNOUNCE_EVERY) <= now {
                known.announced = now;
                self.swim.announce(node, boot_epoch, now);
            }
        }
    }

    fn warn_of_blocked(&mut self, now: UnixMs) {
        let blocked = self.options.timing.blocked;
        for known in self.known.values_mut().filter(|known| !known.warned) {
            let session = known.session.and_then(|id| self.sessions.get(&id));
            let Some(since) = session.map(|session| session.since) else {
                continue;
            };
            let last = known.datagram_at.unwrap_or(since).max(since);
            if last.plus(blocked) <= now {
                known.warned = true;
                tracing::warn!(
                    member = &*known.member.name,
                    address = known.member.cluster_address,
                    "no datagrams come from a member whose session lives: is UDP open on the \
                     cluster's port? Until it is, the session alone tells whether it is alive"
                );
            }
        }
    }

    /// Compares every member's state with what gossip and its session say.
    pub(super) fn judge(&mut self, now: UnixMs) {
        let (standings, fresh) = (self.swim.standings(), self.fresh(now));
        let nodes: Vec<NodeId> = self.known.keys().copied().collect();
        for node in nodes {
            let vouched = fresh.contains(&node);
            let standing = standings.get(&node).filter(|(_, up)| *up);
            let gossiped = standing.map(|(id, _)| id.boot_epoch);
            let Some(known) = self.known.get(&node) else {
                continue;
            };
            if let Some(later) = gossiped.filter(|epoch| *epoch > known.member.boot_epoch)
                && !vouched
            {
                self.restarted(node, later);
            }
            let Some(known) = self.known.get_mut(&node) else {
                continue;
            };
            let lives = vouched || gossiped == Some(known.member.boot_epoch);
            match (known.member.state, lives && !known.left) {
                (MemberState::Down, true) => known.member.state = MemberState::Up,
                (MemberState::Up | MemberState::Leaving, false) => {
                    self.set_down(node, "it is down")
                }
                _ => {}
            }
        }
    }

    /// A member is down; its session, if there is one, is of no use any more.
    pub(super) fn set_down(&mut self, node: NodeId, why: &str) {
        let Some(known) = self.known.get_mut(&node) else {
            return;
        };
        if known.member.state != MemberState::Down {
            tracing::debug!(member = &*known.member.name, why, "a member goes down");
        }
        known.member.state = MemberState::Down;
        known.serving = false;
        known.lost = None;
        if let Some(session) = known.session.take() {
            self.sessions.remove(&session);
            self.actions.push(Action::Close(session, why.to_owned()));
        }
    }

    /// Sends what gossip has to say, each packet on the way that is open.
    pub(super) fn send_packets(&mut self) {
        let (now, span) = (self.pace.now(), self.options.timing.datagrams);
        for (to, packet) in self.swim.packets() {
            let Some(known) = self.known.get(&to) else {
                continue;
            };
            let proven = known.datagram_at.is_some_and(|at| at.plus(span) > now);
            if let Some(session) = known.session.filter(|_| !proven) {
                let message = Message::Swim(packet.clone());
                self.actions.push(Action::Send(session, message));
            }
            let address = &known.member.cluster_address;
            if !address.is_empty() {
                self.actions.push(Action::Datagram(address.clone(), packet));
            }
        }
    }
}
