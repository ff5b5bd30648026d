//! The in-memory transport: several nodes in one process.
//!
//! A [`Network`] is a switchboard: addresses on one side, the sinks of the nodes on the other. A
//! frame, or a datagram, is delivered by calling the receiver's sink at once, so order is the order
//! of sending.
//!
//! The network can be cut, for tests. [`Network::cut`] closes the sessions between two nodes and
//! fails their dials. [`Network::cut_one_way`] loses what one sends to the other: no end of a
//! session learns of it, and since nothing is confirmed any more both fall silent, as over TCP.

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
    /// What the first sends to the second is lost.
    one_way: HashSet<(String, String)>,
    last: u64,
}

struct End {
    here: String,
    there: String,
    other: SessionId,
    /// A frame of it was lost in a one-way cut, so it must not go on.
    broken: bool,
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

impl Network {
    /// Loses what `from` sends to `to`, or no longer. Sessions that lost something meanwhile are
    /// closed when the cut is mended.
    pub fn cut_one_way(&self, from: &str, to: &str, cut: bool) {
        let mut board = self.0.lock();
        let pair = (from.to_owned(), to.to_owned());
        if cut {
            board.one_way.insert(pair);
            return;
        }
        board.one_way.remove(&pair);
        if board.is_silent(from, to) {
            return;
        }
        let between = |end: &End| {
            (end.here == from && end.there == to) || (end.here == to && end.there == from)
        };
        let broken: Vec<SessionId> = board
            .sessions
            .iter()
            .filter(|(_, end)| end.broken && between(end))
            .map(|(id, _)| *id)
            .collect();
        let events: Vec<_> = broken.into_iter().flat_map(|id| board.close(id)).collect();
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

/// Why a dial leads nowhere.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Failure {
    Cut,
    Refused,
}

impl Board {
    /// Whether a one-way cut keeps sessions between two addresses from going on.
    fn is_silent(&self, a: &str, b: &str) -> bool {
        let cut = |from: &str, to: &str| self.one_way.contains(&(from.to_owned(), to.to_owned()));
        cut(a, b) || cut(b, a)
    }

    fn is_lost(&self, from: &str, to: &str) -> bool {
        let pair = (from.to_owned(), to.to_owned());
        self.cut.contains(&pair) || self.one_way.contains(&pair)
    }

    fn open(&mut self, from: &str, to: &str) -> Result<Vec<Delivery>, Failure> {
        if self.is_lost(from, to) || self.is_lost(to, from) {
            return Err(Failure::Cut);
        }
        let (me, my_sink) = self.nodes.get(from).cloned().ok_or(Failure::Refused)?;
        let (peer, peer_sink) = self.nodes.get(to).cloned().ok_or(Failure::Refused)?;
        let (here, there) = (SessionId(self.last + 1), SessionId(self.last + 2));
        self.last += 2;
        let mut add = |id, here: &str, there: &str, other| {
            self.sessions.insert(
                id,
                End {
                    here: here.to_owned(),
                    there: there.to_owned(),
                    other,
                    broken: false,
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
        if self.is_silent(&end.here, &end.there) {
            // The other end does not hear of it before the cut is mended.
            if let Some(other) = self.sessions.get_mut(&end.other) {
                other.broken = true;
            }
            let sink = self.nodes.get(&end.here).map(|(_, sink)| Arc::clone(sink));
            return Vec::from_iter(sink.map(|sink| (sink, Event::Down { session })));
        }
        let other = self.sessions.remove(&end.other).map(|_| end.other);
        let ends = [(&end.here, Some(session)), (&end.there, other)];
        ends.into_iter()
            .filter_map(|(address, session)| {
                let (_, sink) = self.nodes.get(address)?;
                let session = session?;
                Some((Arc::clone(sink), Event::Down { session }))
            })
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
            board
                .open(&self.address, address)
                .unwrap_or_else(|failure| {
                    let refused = failure == Failure::Refused;
                    let error = if refused {
                        "connection refused"
                    } else {
                        "the network is cut"
                    };
                    let (address, error) = (address.to_owned(), error.to_owned());
                    let event = Event::DialFailed {
                        address,
                        error,
                        refused,
                    };
                    my_sink.map(|sink| (sink, event)).into_iter().collect()
                })
        };
        drop(board);
        deliver(events);
    }

    fn send(&self, session: SessionId, frame: Vec<u8>) {
        let mut board = self.network.0.lock();
        let silent = board
            .sessions
            .get(&session)
            .is_some_and(|end| board.is_silent(&end.here, &end.there));
        if let Some(end) = board.sessions.get_mut(&session).filter(|_| silent) {
            end.broken = true;
            return;
        }
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

    fn datagram(&self, to: &str, packet: Vec<u8>) {
        let board = self.network.0.lock();
        if board.is_lost(&self.address, to) {
            return;
        }
        let sink = board.nodes.get(to).map(|(_, sink)| Arc::clone(sink));
        drop(board);
        if let Some(sink) = sink {
            let from = self.address.clone();
            sink(Event::Datagram { from, packet });
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

#[cfg(test)]
mod tests {
    use super::*;

    type Log = Arc<Mutex<Vec<String>>>;

    fn node(network: &Network, name: &str) -> (MemoryTransport, Log) {
        let log = Log::default();
        let told = Arc::clone(&log);
        let sink: Sink = Arc::new(move |event| {
            let line = match event {
                Event::Up { session, .. } => format!("up {session}"),
                Event::Down { .. } => "down".to_owned(),
                Event::Frame { .. } => "frame".to_owned(),
                Event::Datagram { from, .. } => format!("datagram from {from}"),
                Event::DialFailed { refused, .. } => format!("failed, refused: {refused}"),
                Event::DialledSelf { .. } => "self".to_owned(),
            };
            told.lock().push(line);
        });
        let identity = Identity::new(name, 1);
        (network.attach(name, identity, sink), log)
    }

    fn take(log: &Log) -> Vec<String> {
        std::mem::take(&mut log.lock())
    }

    #[test]
    fn datagrams_honour_cuts_of_both_kinds() {
        let network = Network::new();
        let ((a, a_log), (b, b_log)) = (node(&network, "a"), node(&network, "b"));
        let exchange = || {
            a.datagram("b", b"x".to_vec());
            b.datagram("a", b"x".to_vec());
            (take(&a_log).len(), take(&b_log).len())
        };
        assert_eq!(exchange(), (1, 1));
        network.cut("a", "b", true);
        assert_eq!(exchange(), (0, 0));
        network.cut("a", "b", false);
        network.cut_one_way("a", "b", true);
        assert_eq!(exchange(), (1, 0));
        network.cut_one_way("a", "b", false);
        assert_eq!(exchange(), (1, 1));
    }

    #[test]
    fn a_one_way_cut_silences_a_session_that_ends_when_it_is_mended() {
        let network = Network::new();
        let ((a, a_log), (b, b_log)) = (node(&network, "a"), node(&network, "b"));
        a.dial("b");
        assert_eq!(
            (take(&a_log), take(&b_log)),
            (vec!["up 1".into()], vec!["up 2".into()])
        );
        network.cut_one_way("b", "a", true);
        a.send(SessionId(1), Vec::new());
        b.send(SessionId(2), Vec::new());
        a.dial("b");
        assert_eq!(take(&a_log), ["failed, refused: false"]);
        assert!(take(&b_log).is_empty());
        a.close(SessionId(1), "silent");
        assert_eq!(take(&a_log), ["down"]);
        assert!(take(&b_log).is_empty(), "it hears of nothing");
        network.cut_one_way("b", "a", false);
        assert_eq!(take(&b_log), ["down"]);
        a.dial("nobody");
        assert_eq!(take(&a_log), ["failed, refused: true"]);
    }
}
