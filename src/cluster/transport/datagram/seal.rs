//! How a datagram is sealed: ChaCha20-Poly1305 (RFC 8439) under a key that the cookie gives.
//!
//! ```text
//! 0        1             5            13       21                        n - 16   n
//! | format | sender's id | boot epoch | number | packet, encrypted ...   | tag    |
//! ```
//!
//! HKDF-SHA256 (RFC 5869) turns the cluster's name and cookie into a secret, and that into a key of
//! its own for each (sender, boot epoch). Numbers count up from one and are the nonces, so no nonce
//! is used twice under a key, not even if two nodes had started in the same moment. Clusters of
//! different names or cookies cannot open each other's datagrams.
//!
//! A number is accepted once. An [`Opener`] remembers, for each sender's latest boot epoch, the
//! highest number and which of the [`WINDOW`] before it have come; what is older is refused. No
//! bytes make it panic, and it keeps nothing of what does not open.

use std::collections::HashMap;

use ring::aead::{self, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};

use crate::version::NodeId;

/// Longest datagram in bytes: it fits into one packet of any usual network.
pub const DATAGRAM_BYTES_MAX: usize = 1_400;
/// Longest content of a datagram in bytes.
pub const PACKET_BYTES_MAX: usize = DATAGRAM_BYTES_MAX - HEAD_BYTES - TAG_BYTES;

const FORMAT: u8 = 1;
const HEAD_BYTES: usize = 21;
const TAG_BYTES: usize = 16;
/// How far behind the highest number of its sender a datagram may come.
const WINDOW: u64 = 1_024;
/// Senders that are remembered; beyond, the one that was quiet for longest is forgotten.
const SENDERS_MAX: usize = 1_024;

/// What the keys of all senders come from.
#[derive(Clone)]
pub struct Keys(Prk);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// The keys of the cluster with this cookie and name.
    #[must_use]
    pub fn derive(cookie: &str, cluster: &str) -> Keys {
        let salt = [b"smache datagrams 1 ".as_slice(), cluster.as_bytes()].concat();
        Keys(Salt::new(HKDF_SHA256, &salt).extract(cookie.as_bytes()))
    }

    /// The key of one sender. None only if the library refuses lengths that are right.
    fn of(&self, node: u32, boot_epoch: u64) -> Option<LessSafeKey> {
        let (node, boot_epoch) = (node.to_le_bytes(), boot_epoch.to_le_bytes());
        let info: [&[u8]; 2] = [&node, &boot_epoch];
        let derived = self.0.expand(&info, &CHACHA20_POLY1305).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(derived)))
    }
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; aead::NONCE_LEN];
    bytes[4..].copy_from_slice(&number.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// Seals what one node sends.
#[derive(Debug)]
pub struct Sealer {
    node: u32,
    boot_epoch: u64,
    key: Option<LessSafeKey>,
    number: u64,
}

impl Sealer {
    /// For the datagrams of this start of that node.
    #[must_use]
    pub fn new(keys: &Keys, node: NodeId, boot_epoch: u64) -> Sealer {
        Sealer {
            node: node.0,
            boot_epoch,
            key: keys.of(node.0, boot_epoch),
            number: 0,
        }
    }

    /// The datagram for this packet; `None` if it is too long.
    #[must_use]
    pub fn seal(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        if packet.len() > PACKET_BYTES_MAX {
            return None;
        }
        self.number = self.number.checked_add(1)?;
        let mut head = [0; HEAD_BYTES];
        head[0] = FORMAT;
        head[1..5].copy_from_slice(&self.node.to_le_bytes());
        head[5..13].copy_from_slice(&self.boot_epoch.to_le_bytes());
        head[13..21].copy_from_slice(&self.number.to_le_bytes());
        let mut body = packet.to_vec();
        let tag = self
            .key
            .as_ref()?
            .seal_in_place_separate_tag(nonce(self.number), Aad::from(&head), &mut body)
            .ok()?;
        Some([&head, body.as_slice(), tag.as_ref()].concat())
    }
}

/// Why a datagram was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no datagram of this format.
    #[error("not a datagram of a node")]
    Malformed,
    /// Another cookie, another cluster's name, or somebody changed it.
    #[error("sealed with another key")]
    Foreign,
    /// It has come before, or so late that nobody can tell.
    #[error("seen before, or too old")]
    Replayed,
    /// Its sender was restarted since.
    #[error("from before its sender was restarted")]
    Outdated,
}

/// Opens what other nodes send.
#[derive(Debug)]
pub struct Opener {
    keys: Keys,
    senders: HashMap<u32, Sender>,
    opened: u64,
}

#[derive(Debug)]
struct Sender {
    boot_epoch: u64,
    key: LessSafeKey,
    window: Window,
    /// How many datagrams had been opened when its last one was.
    last: u64,
}

impl Opener {
    /// For the datagrams of the cluster with these keys.
    #[must_use]
    pub fn new(keys: Keys) -> Opener {
        Opener {
            keys,
            senders: HashMap::new(),
            opened: 0,
        }
    }

    /// The packet in a datagram. Takes any bytes.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn open(&mut self, datagram: &[u8]) -> Result<Vec<u8>, Refusal> {
        if datagram.len() > DATAGRAM_BYTES_MAX || datagram.len() < HEAD_BYTES + TAG_BYTES {
            return Err(Refusal::Malformed);
        }
        let (head, body) = datagram.split_at(HEAD_BYTES);
        let [format, a, b, c, d, ..] = *head else {
            return Err(Refusal::Malformed);
        };
        if format != FORMAT {
            return Err(Refusal::Malformed);
        }
        let node = u32::from_le_bytes([a, b, c, d]);
        let (boot_epoch, number) = (word(head, 5), word(head, 13));
        let known = self.senders.get_mut(&node);
        // Before the cipher's work: whether it can be new at all.
        let fresh = match &known {
            Some(sender) if boot_epoch < sender.boot_epoch => return Err(Refusal::Outdated),
            Some(sender) if boot_epoch == sender.boot_epoch => {
                if !sender.window.may_accept(number) {
                    return Err(Refusal::Replayed);
                }
                None
            }
            _ => Some(self.keys.of(node, boot_epoch).ok_or(Refusal::Foreign)?),
        };
        let key = match (&fresh, &known) {
            (Some(key), _) => key,
            (None, Some(sender)) => &sender.key,
            (None, None) => return Err(Refusal::Foreign),
        };
        let mut packet = body.to_vec();
        let opened = key.open_in_place(nonce(number), Aad::from(head), &mut packet);
        let bytes = opened.map_err(|_| Refusal::Foreign)?.len();
        packet.truncate(bytes);
        self.opened += 1;
        match (fresh, known) {
            (None, Some(sender)) => {
                sender.window.accept(number);
                sender.last = self.opened;
            }
            (Some(key), _) => self.welcome(node, boot_epoch, key, number),
            (None, None) => {}
        }
        Ok(packet)
    }

    /// Remembers a sender that is new, or new since its restart.
    fn welcome(&mut self, node: u32, boot_epoch: u64, key: LessSafeKey, number: u64) {
        if self.senders.len() >= SENDERS_MAX && !self.senders.contains_key(&node) {
            let quiet = self.senders.iter().min_by_key(|(_, sender)| sender.last);
            if let Some(quiet) = quiet.map(|(node, _)| *node) {
                self.senders.remove(&quiet);
            }
        }
        let mut window = Window::default();
        window.accept(number);
        let sender = Sender {
            boot_epoch,
            key,
            window,
            last: self.opened,
        };
        self.senders.insert(node, sender);
    }
}

fn word(head: &[u8], at: usize) -> u64 {
    head.get(at..at + 8)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}

/// Which numbers have come: a ring of bits below the highest one (as in RFC 4303, section 3.4.3).
#[derive(Debug, Default)]
struct Window {
    highest: u64,
    seen: [u64; (WINDOW / 64) as usize],
}

impl Window {
    fn bit(number: u64) -> (usize, u64) {
        let at = number % WINDOW;
        ((at / 64) as usize, 1 << (at % 64))
    }

    fn may_accept(&self, number: u64) -> bool {
        if number > self.highest {
            return true;
        }
        let (word, bit) = Window::bit(number);
        number > 0 && self.highest - number < WINDOW && self.seen[word] & bit == 0
    }

    fn accept(&mut self, number: u64) {
        if number > self.highest {
            // What lies between has not come yet.
            let skipped = (number - self.highest).min(WINDOW);
            for step in 0..skipped {
                let (word, bit) = Window::bit(number - step);
                self.seen[word] &= !bit;
            }
            self.highest = number;
        }
        let (word, bit) = Window::bit(number);
        self.seen[word] |= bit;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ME: NodeId = NodeId(7);

    fn keys() -> Keys {
        Keys::derive("a cookie of some length", "smache")
    }

    fn pair() -> (Sealer, Opener) {
        (Sealer::new(&keys(), ME, 3), Opener::new(keys()))
    }

    #[test]
    fn what_is_sealed_opens_once() {
        let (mut sealer, mut opener) = pair();
        let long = vec![9; PACKET_BYTES_MAX];
        for packet in [b"".as_slice(), b"ping", &long] {
            let datagram = sealer.seal(packet).unwrap();
            assert!(datagram.len() <= DATAGRAM_BYTES_MAX);
            assert_eq!(opener.open(&datagram).unwrap(), packet);
            assert_eq!(opener.open(&datagram), Err(Refusal::Replayed));
        }
        assert_eq!(sealer.seal(&vec![0; PACKET_BYTES_MAX + 1]), None);
    }

    #[test]
    fn a_changed_bit_anywhere_is_refused_and_leaves_no_trace() {
        let (mut sealer, mut opener) = pair();
        let datagram = sealer.seal(b"somebody is down").unwrap();
        for at in 0..datagram.len() * 8 {
            let mut changed = datagram.clone();
            changed[at / 8] ^= 1 << (at % 8);
            assert!(opener.open(&changed).is_err(), "bit {at}");
        }
        assert!(opener.senders.is_empty());
        assert_eq!(opener.open(&datagram).unwrap(), b"somebody is down");
    }

    #[test]
    fn another_cookie_or_cluster_opens_nothing() {
        let (mut sealer, _) = pair();
        let datagram = sealer.seal(b"ping").unwrap();
        for keys in [
            Keys::derive("another cookie, as long", "smache"),
            Keys::derive("a cookie of some length", "another"),
        ] {
            assert_eq!(Opener::new(keys).open(&datagram), Err(Refusal::Foreign));
        }
    }

    #[test]
    fn what_comes_in_another_order_opens_and_what_is_too_old_does_not() {
        let (mut sealer, mut opener) = pair();
        let datagrams: Vec<_> = (0..2_000).map(|_| sealer.seal(b"ping").unwrap()).collect();
        for at in [5, 3, 1_500, 1_499, 700, 1_999, 4, 477] {
            let old = at == 4 || at == 477;
            // The numbers 976 to 1999 are in the window by the end: 4 and 477 are not.
            assert_eq!(opener.open(&datagrams[at]).is_err(), old, "{at}");
        }
        assert_eq!(opener.open(&datagrams[1_499]), Err(Refusal::Replayed));
        assert!(opener.open(&datagrams[1_200]).is_ok());
    }

    #[test]
    fn a_restarted_sender_is_heard_and_its_former_self_is_not() {
        let (mut old, mut opener) = pair();
        let late = old.seal(b"late").unwrap();
        assert!(opener.open(&old.seal(b"ping").unwrap()).is_ok());
        let mut new = Sealer::new(&keys(), ME, 4);
        assert!(opener.open(&new.seal(b"back").unwrap()).is_ok());
        assert_eq!(opener.open(&late), Err(Refusal::Outdated));
    }

    #[test]
    fn senders_are_bounded() {
        let mut opener = Opener::new(keys());
        for node in 0..SENDERS_MAX as u32 + 10 {
            let mut sealer = Sealer::new(&keys(), NodeId(node), 1);
            assert!(opener.open(&sealer.seal(b"ping").unwrap()).is_ok());
        }
        assert_eq!(opener.senders.len(), SENDERS_MAX);
        assert!(!opener.senders.contains_key(&0), "the quiet are forgotten");
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_open(bytes in prop::collection::vec(any::<u8>(), 0..1_500)) {
            let mut opener = Opener::new(keys());
            prop_assert!(opener.open(&bytes).is_err());
            let mut shaped = bytes;
            if let Some(first) = shaped.first_mut() {
                *first = FORMAT;
            }
            prop_assert!(opener.open(&shaped).is_err());
            prop_assert!(opener.senders.is_empty());
        }

        #[test]
        fn a_window_accepts_each_number_once(numbers in prop::collection::vec(1_u64..3_000, 0..400)) {
            let mut window = Window::default();
            let mut came = std::collections::BTreeSet::new();
            let mut highest = 0;
            for number in numbers {
                let expected = number > highest
                    || (highest - number < WINDOW && !came.contains(&number));
                prop_assert_eq!(window.may_accept(number), expected);
                if expected {
                    window.accept(number);
                    came.insert(number);
                    highest = highest.max(number);
                }
            }
        }
    }
}
