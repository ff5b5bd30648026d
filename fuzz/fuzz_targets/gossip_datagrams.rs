//! What may come in by UDP: any bytes from strangers, any packets from members.
//!
//! Nothing opens that was not sealed with the cluster's cookie, and nothing opens twice. What opens
//! goes to the machine of membership, which has one friend with a session and one member of which
//! it only heard. Whatever the packets say, it does not panic, knows of no more members than it has
//! had sessions with, and sends only what fits into a datagram, and not much of it.
//!
//! An input is a script of steps, each of a byte that chooses and the bytes that it takes.

#![no_main]

use std::time::Duration;

use foca::{Codec, Header, Member, Message, PostcardCodec, State};
use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};
use smache::clock::UnixMs;
use smache::cluster::membership::{self, Action, Membership, PROTOCOL, Timing};
use smache::cluster::transport::datagram::{
    DATAGRAM_BYTES_MAX, Keys, Opener, PACKET_BYTES_MAX, Refusal, Sealer,
};
use smache::cluster::transport::{Identity, SessionId};
use smache::version::NodeId;

const START: UnixMs = UnixMs(1_800_000_000_000);
const NAMES: [&str; 4] = ["me@here", "friend@there", "quiet@there", "stranger@there"];
/// More than a step leads to, however many members it makes up.
const ACTIONS_MAX: usize = 256;
const STEPS_MAX: usize = 256;

/// A member, in the form in which gossip tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Id {
    node: u32,
    boot_epoch: u64,
    renewal: u32,
}

/// What is left of the input.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    fn bytes(&mut self, max: usize) -> &'a [u8] {
        let wanted = usize::from(self.number()) % (max + 1);
        let (taken, rest) = self.0.split_at(wanted.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Mostly somebody who exists, with numbers at the ends of their ranges.
    fn id(&mut self) -> Id {
        let choice = self.byte();
        let node = match NAMES.get(usize::from(choice % 5)) {
            Some(name) => NodeId::of(name).0,
            None => u32::from(self.byte()),
        };
        Id {
            node,
            boot_epoch: [1, 2, 0, u64::MAX][usize::from(choice / 5 % 4)],
            renewal: [0, 1, u32::MAX - 1, u32::MAX][usize::from(choice / 20 % 4)],
        }
    }

    fn message(&mut self) -> Message<Id> {
        let (choice, probe_number) = (self.byte(), self.byte().into());
        match choice % 11 {
            0 => Message::Ping(probe_number),
            1 => Message::Ack(probe_number),
            2 => Message::PingReq {
                target: self.id(),
                probe_number,
            },
            3 => Message::IndirectPing {
                origin: self.id(),
                probe_number,
            },
            4 => Message::IndirectAck {
                target: self.id(),
                probe_number,
            },
            5 => Message::ForwardedAck {
                origin: self.id(),
                probe_number,
            },
            6 => Message::Announce,
            7 => Message::Feed,
            8 => Message::Gossip,
            9 => Message::Broadcast,
            _ => Message::TurnUndead,
        }
    }

    /// A packet that makes sense, at least at its beginning.
    fn packet(&mut self) -> Vec<u8> {
        let header = Header {
            src: self.id(),
            src_incarnation: self.number(),
            dst: self.id(),
            message: self.message(),
        };
        let mut packet = Vec::new();
        let written = PostcardCodec.encode_header(&header, &mut packet);
        written.expect("a vector has room");
        let members = self.byte() % 32;
        if members > 0 {
            packet.extend_from_slice(&u16::from(members).to_be_bytes());
        }
        for _ in 0..members {
            let states = [State::Alive, State::Suspect, State::Down];
            let state = states[usize::from(self.byte() % 3)];
            let member = Member::new(self.id(), self.number(), state);
            let written = PostcardCodec.encode_member(&member, &mut packet);
            written.expect("a vector has room");
        }
        packet.truncate(PACKET_BYTES_MAX);
        packet
    }
}

/// The receiving node.
struct Node {
    membership: Membership,
    opener: Opener,
    sealer: Sealer,
    now: UnixMs,
}

impl Node {
    fn new() -> Node {
        let options = membership::Options {
            identity: Identity::new(NAMES[0], 1),
            cluster: "smache".to_owned(),
            address: "192.0.2.1:4000".to_owned(),
            has_uplinks: true,
            timing: Timing::default(),
            seed: 1,
        };
        let keys = Keys::derive("a cookie of some length", "smache");
        let mut node = Node {
            membership: Membership::new(options, START),
            sealer: Sealer::new(&keys, NodeId::of(NAMES[1]), 1),
            opener: Opener::new(keys),
            now: START,
        };
        for (number, name) in [(1, NAMES[1]), (2, NAMES[2])] {
            node.meet(SessionId(number), name);
        }
        node.membership.closed(SessionId(2), START);
        node.check();
        node
    }

    fn meet(&mut self, session: SessionId, name: &str) {
        let peer = Identity::new(name, 1);
        self.membership.opened(session, &peer, true, START);
        let hello = membership::Message::Hello {
            protocol: PROTOCOL,
            cluster: "smache".to_owned(),
            address: ":4000".to_owned(),
            serving: true,
            members: Vec::new(),
            renewal: 0,
        };
        let host = "192.0.2.2";
        self.membership.receive(session, host, hello, START);
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 6 {
            0 => self.stranger(script.bytes(DATAGRAM_BYTES_MAX + 1)),
            1 => self.sealed(script.bytes(PACKET_BYTES_MAX), script.number()),
            2 | 3 => self.sealed(&script.packet(), script.number()),
            4 => {
                let beat = membership::Message::Beat {
                    serving: true,
                    leaving: false,
                    keys: 0,
                    expiring: 0,
                    memory_bytes: 0,
                };
                let host = "192.0.2.2";
                self.membership.receive(SessionId(1), host, beat, self.now);
            }
            _ => {
                for _ in 0..script.byte() % 16 {
                    self.now = self.now.plus(Duration::from_millis(100));
                    self.membership.tick(self.now);
                    self.check();
                }
            }
        }
        self.check();
    }

    /// From somebody without the cookie: as it is, and with the first byte that makes it look right.
    fn stranger(&mut self, datagram: &[u8]) {
        let opened = self.opener.open(datagram);
        assert!(opened.is_err(), "nobody has sealed this");
        let mut shaped = datagram.to_vec();
        if let Some(first) = shaped.first_mut() {
            *first = 1;
        }
        assert!(self.opener.open(&shaped).is_err(), "nobody has sealed this");
    }

    /// From a member: first with a bit that was changed on the way, then as it is, then once more.
    fn sealed(&mut self, packet: &[u8], bit: u16) {
        let sealed = self.sealer.seal(packet).expect("it is not too long");
        let mut changed = sealed.clone();
        let bit = usize::from(bit) % (sealed.len() * 8);
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(self.opener.open(&changed).is_err(), "it was changed");
        let opened = self.opener.open(&sealed);
        assert_eq!(opened.as_deref(), Ok(packet));
        assert_eq!(self.opener.open(&sealed), Err(Refusal::Replayed));
        let from = "192.0.2.2:4000";
        self.membership.datagram(from, packet, self.now);
    }

    fn check(&mut self) {
        let actions = self.membership.take_actions();
        assert!(actions.len() <= ACTIONS_MAX, "{} actions", actions.len());
        for action in actions {
            if let Action::Datagram(_, packet)
            | Action::Send(_, membership::Message::Swim(packet)) = action
            {
                assert!(packet.len() <= PACKET_BYTES_MAX, "it cannot be sealed");
            }
        }
        let met = [NAMES[0], NAMES[1], NAMES[2]].map(NodeId::of);
        for member in self.membership.members() {
            assert!(met.contains(&member.id), "only a session makes a member");
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let mut script = Script(input);
    let mut node = Node::new();
    for _ in 0..STEPS_MAX {
        if script.0.is_empty() {
            break;
        }
        node.step(&mut script);
    }
});
