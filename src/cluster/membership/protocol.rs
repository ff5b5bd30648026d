//! What membership says to other nodes and to its shell, and the spans that it goes by.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cluster::transport::SessionId;
use crate::version::NodeId;

/// The version of what nodes say to each other. Nodes of different versions refuse each other.
pub const PROTOCOL: u32 = 3;

/// The spans that the machine goes by.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Between two heartbeats.
    pub heartbeat: Duration,
    /// A session from which nothing was heard for so long is closed.
    pub silence: Duration,
    /// A member whose session has ended, and of which nothing is heard since, is down after this.
    pub grace: Duration,
    /// The same, for a member from which no datagrams come: it can only say that it lives with a new
    /// session, which takes longer.
    pub grace_without_datagrams: Duration,
    /// Something heard over a session vouches for the member's life for so long.
    pub evidence: Duration,
    /// A member whose session is silent for so long is suspected.
    pub doubt: Duration,
    /// A suspected member that does not refute that is down after this.
    pub suspicion: Duration,
    /// A member counts as linked for so long after its session has ended.
    pub linked: Duration,
    /// While datagrams came from a member within this time, gossip goes to it by datagram alone.
    pub datagrams: Duration,
    /// A member whose session lives while no datagram comes for so long is told to the log.
    pub blocked: Duration,
    /// The first pause before a dial is repeated; it doubles up to `redial_max`.
    pub redial_min: Duration,
    /// The longest pause between dials.
    pub redial_max: Duration,
    /// An address that is no uplink and leads nowhere for so long is forgotten.
    pub forget: Duration,
    /// Nodes that are all joining wait so long for one that serves.
    pub found_delay: Duration,
    /// A node with uplinks that meets nobody starts alone after this.
    pub join_timeout: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            heartbeat: Duration::from_millis(500),
            silence: Duration::from_secs(4),
            grace: Duration::from_millis(500),
            grace_without_datagrams: Duration::from_secs(2),
            evidence: Duration::from_secs(1),
            doubt: Duration::from_millis(1_250),
            suspicion: Duration::from_secs(2),
            linked: Duration::from_secs(1),
            datagrams: Duration::from_secs(2),
            blocked: Duration::from_secs(10),
            redial_min: Duration::from_millis(100),
            redial_max: Duration::from_secs(3),
            forget: Duration::from_secs(3_600),
            found_delay: Duration::from_millis(1_500),
            join_timeout: Duration::from_secs(10),
        }
    }
}

/// Another node, as nodes tell each other of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acquaintance {
    /// `name@host`.
    pub name: String,
    /// Its boot epoch.
    pub boot_epoch: u64,
    /// `host:port` of its cluster listener.
    pub address: String,
}

/// What nodes tell each other about membership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// The first word on a session, from both sides.
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
        /// The cluster's name. A message of an older protocol has none.
        #[serde(default)]
        cluster: String,
        /// `host:port` of the sender's cluster listener; an empty host means the one it came from.
        address: String,
        /// Whether the sender serves already.
        serving: bool,
        /// Whom else it knows to be up, or leaving: one that leaves may still own something.
        members: Vec<Acquaintance>,
        /// How often the sender has come back among the living since its start.
        #[serde(default)]
        renewal: u32,
    },
    /// Repeated, so that silence means something.
    Beat {
        /// Whether the sender serves already.
        serving: bool,
        /// Whether it is about to leave.
        #[serde(default)]
        leaving: bool,
        /// Entries that it holds.
        keys: u64,
        /// Those of them that expire.
        #[serde(default)]
        expiring: u64,
        /// Its resident memory in bytes.
        memory_bytes: u64,
    },
    /// Somebody new is up.
    Meet(Acquaintance),
    /// The sender is gone.
    Gone,
    /// The receiver may not join.
    Refused(String),
    /// Gossip, to a node from which no datagrams come.
    Swim(Vec<u8>),
}

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a session with this address.
    Dial(String),
    /// Send this on that session.
    Send(SessionId, Message),
    /// Send this packet to this address; it may be lost.
    Datagram(String, Vec<u8>),
    /// Close this session.
    Close(SessionId, String),
    /// A session with this node is agreed on: from now on it may be used.
    Connected(NodeId, SessionId),
    /// The node was restarted: what it held is gone.
    Restarted(NodeId),
    /// The members have changed: who is alive, eligible or linked, or what they say of themselves.
    Changed,
    /// This node takes part from now on.
    Serve {
        /// Whether it joined others, or starts alone.
        joined: bool,
    },
    /// This node was refused; it cannot go on.
    Refused(String),
}
