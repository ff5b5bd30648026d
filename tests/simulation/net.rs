//! The simulated network: sessions that keep order or break, dials, datagrams, cuts.
//!
//! A cut direction holds what is under way on a session back, as TCP does; it comes after the heal,
//! if the session still lives then. A session that breaks loses what was under way, from some point
//! on. Long messages travel in pieces between others, so they may be overtaken.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use rand::RngExt;
use rand::rngs::SmallRng;
use smache::cluster::codec::Answers;
use smache::cluster::machine::Control;
use smache::cluster::transport::{Identity, SessionId};

use crate::requests::{Answer, Ask};

/// Where a node runs: a host, whose node may be restarted.
pub type Place = usize;

/// What travels on a session.
#[derive(Clone, Debug)]
pub enum Packet {
    /// The session is up.
    Opened {
        peer: Identity,
        dialled: Option<String>,
    },
    Control(Control),
    Ask(u64, Ask),
    Answer(u64, Answer),
    Effect(u64, Bytes),
    Answers(Answers),
    /// The other end is gone.
    Closed,
}

impl Packet {
    fn bytes(&self) -> usize {
        match self {
            Packet::Effect(_, bytes) => bytes.len(),
            _ => 0,
        }
    }
}

#[derive(Default)]
struct Flow {
    queue: VecDeque<(u64, Packet)>,
    late: Vec<(u64, Packet)>,
    last_at: u64,
    stalled: bool,
}

struct Session {
    /// Who is at the ends. An end's id is twice the session's number, plus its place here.
    places: [Place; 2],
    open: [bool; 2],
    /// From each end to the other one.
    flows: [Flow; 2],
}

/// See the module.
pub struct Network {
    sessions: BTreeMap<u64, Session>,
    cuts: BTreeSet<(Place, Place)>,
    last: u64,
    /// Longest delay in milliseconds.
    pub delay_max: u64,
    /// The most bytes of effects that one direction of a session has held.
    pub bytes_peak: usize,
}

fn split(end: SessionId) -> (u64, usize) {
    (end.0 / 2, (end.0 % 2) as usize)
}

fn other(end: SessionId) -> SessionId {
    SessionId(end.0 ^ 1)
}

impl Network {
    pub fn new(delay_max: u64) -> Network {
        Network {
            sessions: BTreeMap::new(),
            cuts: BTreeSet::new(),
            last: 0,
            delay_max,
            bytes_peak: 0,
        }
    }

    pub fn delay(&self, rng: &mut SmallRng) -> u64 {
        rng.random_range(0..=self.delay_max)
    }

    /// Opens a session; the ends of both sides.
    pub fn open(&mut self, from: Place, to: Place) -> (SessionId, SessionId) {
        self.last += 1;
        let session = Session {
            places: [from, to],
            open: [true; 2],
            flows: Default::default(),
        };
        self.sessions.insert(self.last, session);
        (SessionId(2 * self.last), SessionId(2 * self.last + 1))
    }

    /// Sends something from an end: which end it comes to, where that is, and when.
    pub fn send(
        &mut self,
        from: SessionId,
        packet: Packet,
        long: bool,
        now: u64,
        rng: &mut SmallRng,
    ) -> Option<(SessionId, Place, u64)> {
        let delay = self.delay(rng);
        let (number, end) = split(from);
        let session = self.sessions.get_mut(&number)?;
        if !session.open[end] {
            return None;
        }
        let flow = &mut session.flows[end];
        let at = if long {
            let at = now + delay + rng.random_range(0..=4 * self.delay_max + 20);
            flow.late.push((at, packet));
            at
        } else {
            let at = (now + delay).max(flow.last_at);
            flow.last_at = at;
            flow.queue.push_back((at, packet));
            at
        };
        let queued = flow.queue.iter().chain(&flow.late);
        let bytes: usize = queued.map(|(_, packet)| packet.bytes()).sum();
        self.bytes_peak = self.bytes_peak.max(bytes);
        Some((other(from), session.places[1 - end], at))
    }

    /// What comes to this end now.
    pub fn due(&mut self, to: SessionId, now: u64) -> Vec<Packet> {
        let (number, end) = split(to);
        let Some(session) = self.sessions.get_mut(&number) else {
            return Vec::new();
        };
        let from = 1 - end;
        let flow = &mut session.flows[from];
        if self
            .cuts
            .contains(&(session.places[from], session.places[end]))
        {
            flow.stalled = true;
            return Vec::new();
        }
        let mut due = Vec::new();
        let late = std::mem::take(&mut flow.late);
        let (ready, late): (Vec<_>, Vec<_>) = late.into_iter().partition(|(at, _)| *at <= now);
        flow.late = late;
        while flow.queue.front().is_some_and(|(at, _)| *at <= now) {
            due.extend(flow.queue.pop_front().map(|(_, packet)| packet));
        }
        due.extend(ready.into_iter().map(|(_, packet)| packet));
        if !session.open[end] {
            due.clear();
        }
        // What a closed session brings comes before its end.
        if let Some(at) = due.iter().position(|p| matches!(p, Packet::Closed)) {
            let closed = due.remove(at);
            due.push(closed);
            session.open[end] = false;
            session.flows[from] = Flow::default();
            // Whatever else was sent the other way is lost, but not that the session has ended.
            let back = &mut session.flows[end];
            back.late.clear();
            back.queue.retain(|(_, p)| matches!(p, Packet::Closed));
        }
        due
    }

    /// Closes an end: the other one hears of it, if nothing is in the way.
    pub fn close(
        &mut self,
        end: SessionId,
        now: u64,
        rng: &mut SmallRng,
    ) -> Option<(SessionId, Place, u64)> {
        let (number, at) = split(end);
        let session = self.sessions.get_mut(&number)?;
        if !session.open[at] {
            return None;
        }
        // Of what was just sent some may be lost.
        if rng.random_bool(0.5) {
            let queue = &mut session.flows[at].queue;
            let kept = rng.random_range(0..=queue.len());
            queue.truncate(kept);
            session.flows[at].late.clear();
        }
        let sent = self.send(end, Packet::Closed, false, now, rng);
        if let Some(session) = self.sessions.get_mut(&number) {
            session.open[at] = false;
            if !session.open[1 - at] {
                self.sessions.remove(&number);
            }
        }
        sent
    }

    /// A session breaks under way: what was sent is lost from some point on, and both ends hear.
    pub fn break_session(
        &mut self,
        ends: [SessionId; 2],
        now: u64,
        rng: &mut SmallRng,
    ) -> Vec<(SessionId, Place, u64)> {
        let mut news = Vec::new();
        for end in ends {
            let (number, at) = split(end);
            if let Some(session) = self.sessions.get_mut(&number) {
                let flow = &mut session.flows[at];
                flow.late.clear();
                let kept = rng.random_range(0..=flow.queue.len());
                flow.queue.truncate(kept);
            }
            news.extend(self.send(end, Packet::Closed, false, now, rng));
        }
        news
    }

    /// A session between two places that is open at both ends, if there is one.
    pub fn between(&self, a: Place, b: Place) -> Option<(SessionId, SessionId)> {
        let found = self.sessions.iter().rev().find(|(_, session)| {
            session.open == [true; 2] && (session.places == [a, b] || session.places == [b, a])
        });
        found.map(|(number, _)| (SessionId(2 * number), SessionId(2 * number + 1)))
    }

    pub fn is_cut(&self, from: Place, to: Place) -> bool {
        self.cuts.contains(&(from, to))
    }

    pub fn cut(&mut self, from: Place, to: Place) {
        self.cuts.insert((from, to));
    }

    /// Ends a cut: the ends at which something waits.
    pub fn heal(&mut self, from: Place, to: Place) -> Vec<(SessionId, Place)> {
        self.cuts.remove(&(from, to));
        let mut waiting = Vec::new();
        for (number, session) in &mut self.sessions {
            for end in 0..2 {
                let direction = (session.places[end], session.places[1 - end]);
                if direction == (from, to) && std::mem::take(&mut session.flows[end].stalled) {
                    waiting.push((SessionId(2 * number + 1 - end as u64), to));
                }
            }
        }
        waiting
    }

    /// When the copies of a datagram arrive: none if it is lost, two if it is duplicated.
    pub fn datagram(&self, from: Place, to: Place, now: u64, rng: &mut SmallRng) -> Vec<u64> {
        if self.is_cut(from, to) || rng.random_bool(0.02) {
            return Vec::new();
        }
        let copies = if rng.random_bool(0.02) { 2 } else { 1 };
        (0..copies).map(|_| now + self.delay(rng)).collect()
    }
}
