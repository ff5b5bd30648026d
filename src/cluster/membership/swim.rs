//! The gossip: SWIM with suspicion and incarnations (Das, Gupta and Motivala, 2002), by `foca`.
//!
//! The library knows neither sockets nor clocks. Its timers wait here, in the machine's time, its
//! dice come from the machine's seed, and what it wants to send is taken with [`Swim::packets`].
//! Membership adds what the library cannot know. A probe that was not answered is forgiven if its
//! target is *vouched for*: something came over its session lately. And a member of which the
//! session tells bad news is [doubted](Swim::doubt) or [buried](Swim::bury) at once, instead of
//! when a probe happens to fall on it.
//!
//! A member is (node, boot epoch, renewal): of one node the higher pair wins, so a restarted node
//! beats its former self. A node that is declared down wrongly renews itself and is back.

use std::collections::{BTreeMap, VecDeque};
use std::num::{NonZeroU8, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foca::{
    Codec, Config, Foca, Header, Member, Message, NoCustomBroadcast, Notification, PeriodicParams,
    PostcardCodec, ProbeNumber, Runtime, State, Timer,
};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};

use crate::clock::UnixMs;
use crate::cluster::transport::datagram::PACKET_BYTES_MAX;
use crate::version::NodeId;

/// How long a suspicion that is contradicted by the member's session waits before it is looked at
/// again.
const REPRIEVE: Duration = Duration::from_millis(500);
/// How many others are asked to reach a member.
const ASKED: usize = 3;

/// A member, as gossip tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct SwimId {
    node: u32,
    pub(super) boot_epoch: u64,
    pub(super) renewal: u32,
}

impl SwimId {
    pub(super) fn new(node: NodeId, boot_epoch: u64, renewal: u32) -> SwimId {
        SwimId {
            node: node.0,
            boot_epoch,
            renewal,
        }
    }

    pub(super) fn node(self) -> NodeId {
        NodeId(self.node)
    }
}

impl foca::Identity for SwimId {
    type Addr = u32;

    fn renew(&self) -> Option<SwimId> {
        Some(SwimId {
            renewal: self.renewal.wrapping_add(1),
            ..*self
        })
    }

    fn addr(&self) -> u32 {
        self.node
    }

    fn win_addr_conflict(&self, other: &SwimId) -> bool {
        (self.boot_epoch, self.renewal) > (other.boot_epoch, other.renewal)
    }
}

/// What gossip has counted.
#[derive(Debug, Default)]
pub struct Counters {
    suspicions: AtomicU64,
    refutations: AtomicU64,
    downs: AtomicU64,
    malformed: AtomicU64,
}

/// The present figures of [`Counters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Members that this node began to suspect.
    pub suspicions: u64,
    /// Suspicions of this node itself that it refuted.
    pub refutations: u64,
    /// Members that went down, by this node's word or another's.
    pub downs: u64,
    /// Packets that made no sense.
    pub malformed: u64,
}

impl Counters {
    /// The figures now.
    #[must_use]
    pub fn get(&self) -> Counts {
        Counts {
            suspicions: self.suspicions.load(Ordering::Relaxed),
            refutations: self.refutations.load(Ordering::Relaxed),
            downs: self.downs.load(Ordering::Relaxed),
            malformed: self.malformed.load(Ordering::Relaxed),
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// See the module.
pub(super) struct Swim {
    foca: Foca<SwimId, PostcardCodec, SmallRng, NoCustomBroadcast>,
    outbox: Outbox,
    timers: BTreeMap<(UnixMs, u64), Timer<SwimId>>,
    submitted: u64,
    /// The member that is being probed directly.
    probing: Option<(SwimId, ProbeNumber)>,
    /// Members that are suspected by what their sessions tell, and when that counts as the truth.
    doubts: BTreeMap<SwimId, (u16, UnixMs)>,
    probe_number: ProbeNumber,
    incarnation: u16,
    suspicion: Duration,
    packets: VecDeque<(NodeId, Vec<u8>)>,
    /// Members that others have reached for this node.
    answers: Vec<NodeId>,
    counters: Arc<Counters>,
    gone: bool,
}

impl std::fmt::Debug for Swim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let members: Vec<_> = self.foca.iter_membership_state().collect();
        f.debug_struct("Swim")
            .field("me", self.foca.identity())
            .field("members", &members)
            .finish_non_exhaustive()
    }
}

/// What the library wants done.
#[derive(Default)]
struct Outbox {
    packets: Vec<(SwimId, Vec<u8>)>,
    timers: Vec<(Timer<SwimId>, Duration)>,
    downs: u64,
    renewed: bool,
}

impl Runtime<SwimId> for Outbox {
    fn notify(&mut self, notification: Notification<'_, SwimId>) {
        match notification {
            Notification::MemberDown(_) => self.downs += 1,
            Notification::Rejoin(_) => self.renewed = true,
            _ => {}
        }
    }

    fn send_to(&mut self, to: SwimId, data: &[u8]) {
        self.packets.push((to, data.to_vec()));
    }

    fn submit_after(&mut self, event: Timer<SwimId>, after: Duration) {
        self.timers.push((event, after));
    }
}

fn config(suspicion: Duration) -> Config {
    let some = |count| NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN);
    let each = |frequency, members| {
        Some(PeriodicParams {
            frequency,
            num_members: some(members),
        })
    };
    Config {
        probe_period: Duration::from_millis(500),
        probe_rtt: Duration::from_millis(200),
        num_indirect_probes: some(ASKED),
        max_transmissions: NonZeroU8::new(10).unwrap_or(NonZeroU8::MIN),
        suspect_to_down_after: suspicion,
        // The dead are forgotten, so that a node whose clock was set back is not shut out for ever.
        remove_down_after: Some(Duration::from_secs(300)),
        max_packet_size: some(PACKET_BYTES_MAX),
        notify_down_members: true,
        periodic_announce: each(Duration::from_secs(30), 1),
        periodic_announce_to_down_members: each(Duration::from_secs(2), 1),
        periodic_gossip: each(Duration::from_millis(200), 3),
    }
}

impl Swim {
    pub(super) fn new(me: SwimId, suspicion: Duration, seed: u64) -> Swim {
        let rng = SmallRng::seed_from_u64(seed);
        Swim {
            foca: Foca::new(me, config(suspicion), rng, PostcardCodec),
            outbox: Outbox::default(),
            timers: BTreeMap::new(),
            submitted: 0,
            probing: None,
            doubts: BTreeMap::new(),
            probe_number: 0,
            incarnation: 0,
            suspicion,
            packets: VecDeque::new(),
            answers: Vec::new(),
            counters: Arc::default(),
            gone: false,
        }
    }

    pub(super) fn me(&self) -> SwimId {
        *self.foca.identity()
    }

    pub(super) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// What is to be sent, to whom.
    pub(super) fn packets(&mut self) -> VecDeque<(NodeId, Vec<u8>)> {
        std::mem::take(&mut self.packets)
    }

    /// The member that each node is by the latest word, and whether it counts as alive.
    pub(super) fn standings(&self) -> BTreeMap<NodeId, (SwimId, bool)> {
        let members = self.foca.iter_membership_state();
        let standing = |member: &Member<SwimId>| {
            let alive = member.state() != State::Down;
            (member.id().node(), (*member.id(), alive))
        };
        members.map(standing).collect()
    }

    fn member(&self, node: NodeId) -> Option<&Member<SwimId>> {
        let mut members = self.foca.iter_membership_state();
        members.find(|member| member.id().node == node.0)
    }

    /// A packet came. Who sent it, if it makes sense.
    pub(super) fn receive(&mut self, packet: &[u8], now: UnixMs) -> Option<NodeId> {
        let received = header(packet).map(|header| {
            if let Message::ForwardedAck { origin, .. } = header.message {
                self.answers.push(origin.node());
            }
            let handled = self.foca.handle_data(packet, &mut self.outbox);
            (header.src.node(), handled.is_ok())
        });
        self.absorb(now);
        if !matches!(received, Some((_, true))) {
            count(&self.counters.malformed);
        }
        received.map(|(from, _)| from)
    }

    /// A node has said over a session who it is.
    pub(super) fn met(&mut self, member: SwimId, now: UnixMs) {
        self.apply(Member::alive(member), now);
    }

    /// Asks a node for all that it knows; it learns of this one by that.
    pub(super) fn announce(&mut self, node: NodeId, boot_epoch: u64, now: UnixMs) {
        if self.gone {
            return;
        }
        let to = SwimId::new(node, boot_epoch, 0);
        // It cannot fail: what is encoded is of bounded size.
        let _ = self.foca.announce(to, &mut self.outbox);
        self.absorb(now);
    }

    /// Asks up to [`ASKED`] others to try to reach a member, whatever is being probed now.
    pub(super) fn ask_others(&mut self, node: NodeId, now: UnixMs) {
        let Some((target, _)) = self.standings().remove(&node) else {
            return;
        };
        // The library counts probes one by one: this number is none that it waits for.
        let probe_number = self.probe_number.wrapping_add(128);
        let members = self.foca.iter_members().filter(|one| *one.id() != target);
        let others: Vec<SwimId> = members.map(|member| *member.id()).take(ASKED).collect();
        for other in others {
            let ask = Header {
                src: self.me(),
                src_incarnation: self.incarnation,
                dst: other,
                message: Message::PingReq {
                    target,
                    probe_number,
                },
            };
            let mut packet = Vec::new();
            if !self.gone && PostcardCodec.encode_header(&ask, &mut packet).is_ok() {
                self.packets.push_back((other.node(), packet));
            }
        }
        self.absorb(now);
    }

    /// Members that others have reached for this node since the last time.
    pub(super) fn answers(&mut self) -> Vec<NodeId> {
        std::mem::take(&mut self.answers)
    }

    /// Suspects a member: if it does not refute that, nor its session, it is down.
    pub(super) fn doubt(&mut self, node: NodeId, now: UnixMs) {
        let Some(member) = self.member(node).filter(|m| m.state() == State::Alive) else {
            return;
        };
        let (id, incarnation) = (*member.id(), member.incarnation());
        self.doubts
            .insert(id, (incarnation, now.plus(self.suspicion)));
        count(&self.counters.suspicions);
        self.apply(Member::new(id, incarnation, State::Suspect), now);
        self.spread(now);
    }

    /// Declares a member down, for all to hear.
    pub(super) fn bury(&mut self, node: NodeId, now: UnixMs) {
        let Some(member) = self.member(node).filter(|m| m.state() != State::Down) else {
            return;
        };
        let (id, incarnation) = (*member.id(), member.incarnation());
        self.apply(Member::new(id, incarnation, State::Down), now);
        self.spread(now);
    }

    /// This node is gone, and says so.
    pub(super) fn leave(&mut self, now: UnixMs) {
        self.gone = true;
        let _ = self.foca.leave_cluster(&mut self.outbox);
        self.absorb(now);
    }

    fn apply(&mut self, member: Member<SwimId>, now: UnixMs) {
        let _ = self
            .foca
            .apply_many(std::iter::once(member), true, &mut self.outbox);
        self.absorb(now);
    }

    fn spread(&mut self, now: UnixMs) {
        let _ = self.foca.gossip(&mut self.outbox);
        self.absorb(now);
    }

    /// Time passes. A member that is vouched for is not suspected by this node.
    pub(super) fn tick(&mut self, now: UnixMs, vouched: impl Fn(NodeId) -> bool) {
        while let Some(first) = self.timers.first_entry() {
            if first.key().0 > now {
                break;
            }
            let timer = first.remove();
            match &timer {
                Timer::ChangeSuspectToDown { member_id, .. } if vouched(member_id.node()) => {
                    self.submit(timer, now.plus(REPRIEVE));
                    continue;
                }
                Timer::SendIndirectProbe { .. } | Timer::ProbeRandomMember(_) => {
                    self.vouch(&vouched);
                }
                _ => {}
            }
            // An error says that a timer came late, which the library mends by itself.
            let _ = self.foca.handle_timer(timer, &mut self.outbox);
            self.absorb(now);
        }
        self.decide(now, vouched);
    }

    /// Answers the present probe in the name of a target that is vouched for.
    fn vouch(&mut self, vouched: &impl Fn(NodeId) -> bool) {
        let Some((target, number)) = self.probing.filter(|(id, _)| vouched(id.node())) else {
            return;
        };
        self.probing = None;
        let Some(member) = self.member(target.node()).filter(|m| *m.id() == target) else {
            return;
        };
        let ack = Header {
            src: target,
            src_incarnation: member.incarnation(),
            dst: self.me(),
            message: Message::Ack(number),
        };
        let mut packet = Vec::new();
        if PostcardCodec.encode_header(&ack, &mut packet).is_ok() {
            let _ = self.foca.handle_data(&packet, &mut self.outbox);
        }
    }

    /// Doubts whose time has come.
    fn decide(&mut self, now: UnixMs, vouched: impl Fn(NodeId) -> bool) {
        let due: Vec<SwimId> = self
            .doubts
            .iter()
            .filter(|(_, (_, at))| *at <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            let Some((incarnation, _)) = self.doubts.remove(&id) else {
                continue;
            };
            let stands = self.member(id.node()).is_some_and(|member| {
                let same = *member.id() == id && member.incarnation() == incarnation;
                same && member.state() == State::Suspect
            });
            if stands && vouched(id.node()) {
                self.doubts.insert(id, (incarnation, now.plus(REPRIEVE)));
            } else if stands {
                self.bury(id.node(), now);
            }
        }
    }

    fn submit(&mut self, timer: Timer<SwimId>, at: UnixMs) {
        self.submitted += 1;
        self.timers.insert((at, self.submitted), timer);
    }

    /// Takes over what the library wants done.
    fn absorb(&mut self, now: UnixMs) {
        for (timer, after) in std::mem::take(&mut self.outbox.timers) {
            if matches!(timer, Timer::ChangeSuspectToDown { .. }) {
                count(&self.counters.suspicions);
            }
            self.submit(timer, now.plus(after));
        }
        for (to, packet) in std::mem::take(&mut self.outbox.packets) {
            if let Some(header) = header(&packet) {
                if let Message::Ping(number) = header.message {
                    self.probing = Some((to, number));
                    self.probe_number = number;
                }
                if header.src_incarnation > self.incarnation {
                    count(&self.counters.refutations);
                }
                self.incarnation = header.src_incarnation;
            }
            self.packets.push_back((to.node(), packet));
        }
        let downs = std::mem::take(&mut self.outbox.downs);
        self.counters.downs.fetch_add(downs, Ordering::Relaxed);
        if std::mem::take(&mut self.outbox.renewed) {
            count(&self.counters.refutations);
        }
    }
}

fn header(packet: &[u8]) -> Option<Header<SwimId>> {
    if packet.len() > PACKET_BYTES_MAX {
        return None;
    }
    PostcardCodec.decode_header(packet).ok()
}

#[cfg(test)]
mod tests;
