//! The in-memory transport: several nodes in one process.
//!
//! A [`Network`] is a switchboard: addresses on one side, the sinks of the nodes on the other. A
//! frame is delivered by calling the receiver's sink at once, so order is the order of sending. The
//! network can be cut, for tests: a cut closes sessions and fails dials between two nodes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Event, Identity, SessionId, Sink, Transport};

/// A switchboard; cheap to clone.
#[derive(Clone, Default)]
pub struct Network(Arc<Mutex<Board>>);

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let board = self.0.lock();
        f.debug_struct("Network")
            .field("nodes", &board.nodes.len())
            .field("sessions", &board.sessions.len())
            .finish()
    }
}

#[derive(Default)]
struct Board {
    nodes: HashMap<String, (Identity, Sink)>,
    /// The end of a session at one node, and the end that it leads to.
    sessions: HashMap<SessionId, End>,
    cut: HashSet<(String, String)>,
    last: u64,
}

struct End {
    here: String,
    there: String,
    other: SessionId,
}

impl Network {
    /// An empty network.
    #[must_use]
    pub fn new() -> Network {
        Network::default()
    }

    /// Attaches a node at `address`.
    #[must_use]
    pub fn attach(&self, address: &str, identity: Identity, sink: Sink) -> MemoryTransport {
        self.0
            .lock()
            .nodes
            .insert(address.to_owned(), (identity, sink));
        MemoryTransport {
            network: self.clone(),
            address: address.to_owned(),
        }
    }

    /// Cuts the connection between two addresses, or mends it.
    pub fn cut(&self, a: &str, b: &str, cut: bool) {
        let mut board = self.0.lock();
        let pairs = [(a.to_owned(), b.to_owned()), (b.to_owned(), a.to_owned())];
        if !cut {
            board.cut.retain(|pair| !pairs.contains(pair));
            return;
        }
        board.cut.extend(pairs);
        let severed: Vec<SessionId> = board
            .sessions
            .iter()
            .filter(|(_, end)| end.here == a && end.there == b)
            .map(|(id, _)| *id)
            .collect();
        let events: Vec<_> = severed.into_iter().flat_map(|id| board.close(id)).collect();
        drop(board);
        deliver(events);
    }
}

type Delivery = (Sink, Event);

/// Sinks are called without the board's lock: they may call the network again.
fn deliver(events: impl IntoIterator<Item = Delivery>) {
    for (sink, event) in events {
        sink(event);
    }
}

impl Board {
    fn open(&mut self, from: &str, to: &str) -> Result<Vec<Delivery>, &'static str> {
        if self.cut.contains(&(from.to_owned(), to.to_owned())) {
            return Err("the network is cut");
        }
        let (me, my_sink) = self.nodes.get(from).cloned().ok_or("not attached")?;
        let (peer, peer_sink) = self.nodes.get(to).cloned().ok_or("connection refused")?;
        let (here, there) = (SessionId(self.last + 1), SessionId(self.last + 2));
        self.last += 2;
        let mut add = |id, here: &str, there: &str, other| {
            self.sessions.insert(
                id,
                End {
                    here: here.to_owned(),
                    there: there.to_owned(),
                    other,
                },
            );
        };
        add(here, from, to, there);
        add(there, to, from, here);
        let dialled = Some(to.to_owned());
        let host = "memory".to_owned();
        Ok(vec![
            (
                peer_sink,
                Event::Up {
                    session: there,
                    peer: me,
                    host: host.clone(),
                    dialled: None,
                },
            ),
            (
                my_sink,
                Event::Up {
                    session: here,
                    peer,
                    host,
                    dialled,
                },
            ),
        ])
    }

    fn close(&mut self, session: SessionId) -> Vec<Delivery> {
        let Some(end) = self.sessions.remove(&session) else {
            return Vec::new();
        };
        self.sessions.remove(&end.other);
        let sink = |address: &str| self.nodes.get(address).map(|(_, sink)| Arc::clone(sink));
        let ends = [(sink(&end.here), session), (sink(&end.there), end.other)];
        let down = |session| Event::Down { session };
        ends.into_iter()
            .filter_map(|(sink, id)| Some((sink?, down(id))))
            .collect()
    }
}

/// One node's end of a [`Network`].
#[derive(Debug)]
pub struct MemoryTransport {
    network: Network,
    address: String,
}

impl Transport for MemoryTransport {
    fn dial(&self, address: &str) {
        let mut board = self.network.0.lock();
        let my_sink = board
            .nodes
            .get(&self.address)
            .map(|(_, sink)| Arc::clone(sink));
        let events = if address == self.address {
            let event = Event::DialledSelf {
                address: address.to_owned(),
            };
            my_sink.map(|sink| (sink, event)).into_iter().collect()
        } else {
            board.open(&self.address, address).unwrap_or_else(|error| {
                let (address, error) = (address.to_owned(), error.to_owned());
                let event = Event::DialFailed { address, error };
                my_sink.map(|sink| (sink, event)).into_iter().collect()
            })
        };
        drop(board);
        deliver(events);
    }

    fn send(&self, session: SessionId, frame: Vec<u8>) {
        let board = self.network.0.lock();
        let there = board
            .sessions
            .get(&session)
            .map(|end| (end.other, end.there.clone()));
        let sink = there.and_then(|(id, address)| {
            board
                .nodes
                .get(&address)
                .map(|(_, sink)| (Arc::clone(sink), id))
        });
        drop(board);
        if let Some((sink, session)) = sink {
            sink(Event::Frame { session, frame });
        }
    }

    fn close(&self, session: SessionId, _reason: &str) {
        let events = self.network.0.lock().close(session);
        deliver(events);
    }

    fn shutdown(&self) {
        let mut board = self.network.0.lock();
        let mine: Vec<SessionId> = board
            .sessions
            .iter()
            .filter(|(_, end)| end.here == self.address)
            .map(|(id, _)| *id)
            .collect();
        let events: Vec<_> = mine.into_iter().flat_map(|id| board.close(id)).collect();
        board.nodes.remove(&self.address);
        drop(board);
        deliver(events);
    }
}
