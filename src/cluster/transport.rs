//! The seam between the cluster and the network: sessions that carry frames, and datagrams.
//!
//! A [`Transport`] opens sessions by address, carries frames of bytes over them in order, carries
//! packets that may be lost, and tells its [`Sink`] what happens. It decides nothing. Two carry
//! sessions: [`wire`] over ractor_cluster, and [`memory`] for several nodes in one process, which
//! has datagrams as well. [`datagram`] adds those of UDP to the first.

pub mod datagram;
pub mod memory;
pub mod tls;
pub mod wire;

use std::fmt;
use std::sync::Arc;

use crate::version::NodeId;

/// Who is at the other end of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The hash of the name.
    pub id: NodeId,
    /// `name@host`.
    pub name: Arc<str>,
    /// Changes at each start of the node.
    pub boot_epoch: u64,
}

impl Identity {
    /// The identity of a node.
    #[must_use]
    pub fn new(name: &str, boot_epoch: u64) -> Identity {
        Identity {
            id: NodeId::of(name),
            name: name.into(),
            boot_epoch,
        }
    }
}

/// A session of one transport; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What happens on a transport.
#[derive(Debug)]
pub enum Event {
    /// A session is up and may be used.
    Up {
        /// It.
        session: SessionId,
        /// Who is there.
        peer: Identity,
        /// The host that it is with, as an address.
        host: String,
        /// The address that was dialled, if it was this node that did.
        dialled: Option<String>,
    },
    /// A frame came in.
    Frame {
        /// Over this session.
        session: SessionId,
        /// What it is.
        frame: Vec<u8>,
    },
    /// A session is gone.
    Down {
        /// It.
        session: SessionId,
    },
    /// A dial led nowhere.
    DialFailed {
        /// The address.
        address: String,
        /// Why.
        error: String,
        /// Whether the host answered that nobody listens there: no node is at this address.
        refused: bool,
    },
    /// A datagram came in.
    Datagram {
        /// The address that it came from.
        from: String,
        /// What is in it.
        packet: Vec<u8>,
    },
    /// A dial led to this node itself.
    DialledSelf {
        /// The address.
        address: String,
    },
}

/// Takes events; called on the transport's thread, so it should be quick.
pub type Sink = Arc<dyn Fn(Event) + Send + Sync>;

/// See the module.
pub trait Transport: std::fmt::Debug + Send + Sync + 'static {
    /// Opens a session with whoever listens at `address`; the outcome is an event.
    fn dial(&self, address: &str);

    /// Sends a frame over a session. Frames are delivered in order, or the session goes down. Must
    /// not block; how much is under way is for the caller to bound.
    fn send(&self, session: SessionId, frame: Vec<u8>);

    /// Sends a packet to whoever is at `to`; it may be lost, and must not block. A transport that
    /// has only sessions loses all of them.
    fn datagram(&self, to: &str, packet: Vec<u8>) {
        let _lost = (to, packet);
    }

    /// Closes a session; frames that were sent before may be lost.
    fn close(&self, session: SessionId, reason: &str);

    /// Closes everything and stops listening.
    fn shutdown(&self);
}
