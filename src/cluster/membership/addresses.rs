//! Where other nodes may be: which addresses to dial, and when.
//!
//! Uplinks are dialled for ever; an address that others told of is forgotten when it has led nowhere
//! for long. Pauses between dials double, with jitter from the seed.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::Timing;
use crate::clock::UnixMs;
use crate::router::Member;
use crate::version::NodeId;

#[derive(Clone, Debug)]
struct Address {
    next: UnixMs,
    pause: Duration,
    dialling: bool,
    /// Whether it leads to this very node.
    is_self: bool,
    /// Whether it came from the uplink setting.
    uplink: bool,
    /// The node that was found there last.
    leads_to: Option<NodeId>,
    /// Since when dialling it leads nowhere.
    failing_since: Option<UnixMs>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Addresses {
    timing: Timing,
    rng: SmallRng,
    known: BTreeMap<String, Address>,
    /// Whether the uplinks were looked up at least once.
    resolved: bool,
}

impl Addresses {
    pub(super) fn new(timing: Timing, seed: u64) -> Addresses {
        Addresses {
            timing,
            rng: SmallRng::seed_from_u64(seed),
            known: BTreeMap::new(),
            resolved: false,
        }
    }

    /// These are the addresses of the uplinks now.
    pub(super) fn set_uplinks(&mut self, addresses: impl IntoIterator<Item = String>, now: UnixMs) {
        self.resolved = true;
        self.known
            .values_mut()
            .for_each(|address| address.uplink = false);
        for address in addresses {
            self.entry(address, now).uplink = true;
        }
    }

    /// Somebody may be there.
    pub(super) fn remember(&mut self, address: String, now: UnixMs) {
        self.entry(address, now);
    }

    fn entry(&mut self, address: String, now: UnixMs) -> &mut Address {
        let pause = self.timing.redial_min;
        self.known.entry(address).or_insert(Address {
            next: now,
            pause,
            dialling: false,
            is_self: false,
            uplink: false,
            leads_to: None,
            failing_since: None,
        })
    }

    /// It leads to this node itself.
    pub(super) fn is_self(&mut self, address: &str) {
        if let Some(known) = self.known.get_mut(address) {
            known.is_self = true;
            known.dialling = false;
        }
    }

    /// A dial ended: with a session to a node, or without one.
    pub(super) fn dialled(&mut self, address: &str, found: Option<NodeId>, now: UnixMs) {
        let jitter = self.rng.random_range(0.5..1.5);
        let Some(known) = self.known.get_mut(address) else {
            return;
        };
        known.dialling = false;
        known.next = now.plus(known.pause.mul_f64(jitter));
        known.pause = (known.pause * 2).min(self.timing.redial_max);
        known.leads_to = found.or(known.leads_to);
        let since = *known.failing_since.get_or_insert(now);
        if found.is_some() {
            known.failing_since = None;
        } else if !known.uplink && since.plus(self.timing.forget) <= now {
            self.known.remove(address);
        }
    }

    /// Whoever was there is worth another dial at once.
    pub(super) fn dial_soon(&mut self, address: &str, now: UnixMs) {
        if let Some(known) = self.known.get_mut(address) {
            known.next = now;
            known.pause = self.timing.redial_min;
        }
    }

    /// The node that a dial of this address has led to.
    pub(super) fn leads_to(&self, address: &str) -> Option<NodeId> {
        self.known.get(address)?.leads_to
    }

    /// Whether all uplinks lead to this node, so that there is nobody to wait for.
    pub(super) fn uplinks_are_self(&self) -> bool {
        let mut uplinks = self.known.values().filter(|known| known.uplink).peekable();
        self.resolved && uplinks.peek().is_some() && uplinks.all(|known| known.is_self)
    }

    /// The addresses to dial now: all that are due and lead to nobody of `met`, with whom there is
    /// a session.
    pub(super) fn due(&mut self, met: &[&Member], now: UnixMs) -> Vec<String> {
        let mut dials = Vec::new();
        for (address, known) in &mut self.known {
            let due = !known.dialling && !known.is_self && known.next <= now;
            let there = |member: &&&Member| {
                member.cluster_address == *address || known.leads_to == Some(member.id)
            };
            if due && met.iter().find(there).is_none() {
                known.dialling = true;
                dials.push(address.clone());
            }
        }
        dials
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(ms: u64) -> UnixMs {
        UnixMs(1_000_000 + ms)
    }

    fn addresses() -> Addresses {
        Addresses::new(Timing::default(), 1)
    }

    #[test]
    fn an_address_is_dialled_until_it_leads_somewhere_with_growing_pauses() {
        let mut addresses = addresses();
        addresses.remember("a:1".to_owned(), now(0));
        assert_eq!(addresses.due(&[], now(0)), ["a:1"]);
        assert!(addresses.due(&[], now(0)).is_empty(), "it is being dialled");
        let mut pauses = Vec::new();
        let mut at = 0;
        for _ in 0..8 {
            addresses.dialled("a:1", None, now(at));
            let from = at;
            while addresses.due(&[], now(at)).is_empty() {
                at += 10;
            }
            pauses.push(at - from);
        }
        assert!(pauses[0] < 200 && pauses[7] > 1_000, "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= 4_600), "{pauses:?}");
    }

    #[test]
    fn what_others_told_of_is_forgotten_and_uplinks_are_not() {
        let mut addresses = addresses();
        addresses.remember("told:1".to_owned(), now(0));
        addresses.set_uplinks(["uplink:1".to_owned()], now(0));
        for address in ["told:1", "uplink:1"] {
            addresses.dialled(address, None, now(0));
            addresses.dialled(address, None, now(3_700_000));
        }
        assert_eq!(addresses.due(&[], now(9_999_999)), ["uplink:1"]);
    }

    #[test]
    fn uplinks_that_are_this_node_are_nobody_to_wait_for() {
        let mut addresses = addresses();
        assert!(!addresses.uplinks_are_self(), "nothing is known yet");
        addresses.set_uplinks(["me:1".to_owned(), "you:1".to_owned()], now(0));
        addresses.is_self("me:1");
        assert!(!addresses.uplinks_are_self());
        addresses.is_self("you:1");
        assert!(addresses.uplinks_are_self());
    }
}
