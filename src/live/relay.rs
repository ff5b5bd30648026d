//! The other nodes: what each wants to hear, and what each knows of this one's interest.
//!
//! Interests are levels, not edges: whenever a node's differs from what a peer knows, it says the
//! whole of it, and the peer answers that it knows. One is under way to a peer at a time, and not
//! sooner after the one before than its length allows, so that any number of subscriptions that come
//! and go cost a bounded part of the link.
//!
//! Events go to whom they interest, if the way there has room; what has none is counted, and told
//! before the next one that has.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::interest::Interest;
use super::wire::{self, Lost};
use crate::version::NodeId;

/// Takes words to a node over a session, in order. Must not block.
pub trait Outlet: Send + Sync {
    /// Sends a word; false if there is no room for it. What says who listens to what, and is said
    /// once and for all, must go.
    fn word(&self, word: &[u8], must: bool) -> bool;
}

/// Between two interests to a peer passes at least so much time,
const PACE: Duration = Duration::from_millis(20);
/// and so much more for each KiB of the first.
const PACE_PER_KIB: Duration = Duration::from_millis(1);

/// See the module.
#[derive(Default)]
pub(super) struct Relay {
    peers: RwLock<BTreeMap<NodeId, Peer>>,
    /// Some peer has come to know more, or has gone.
    news: Notify,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay")
            .field("peers", &self.peers.read().len())
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Peer {
    session: u64,
    outlet: Option<Arc<dyn Outlet>>,
    /// What it wants to hear. Kept while it is away: it says it anew when it is back.
    interest: Interest,
    /// The interest of this node that it was told over this session; 0 is none.
    told: u64,
    told_at: Option<Instant>,
    /// How long to wait after that.
    pace: Duration,
    /// The one that it knows.
    known: u64,
    /// Whether it has not yet said over this session that it knows any.
    fresh: bool,
    /// What it was not told.
    lost: Mutex<Lost>,
}

impl Peer {
    /// How long it has to wait to be told the interest of this version; `None` if it need not be
    /// told it now.
    fn wait(&self, version: u64, now: Instant) -> Option<Duration> {
        // Who was told and has not said that it knows is looked after when it does.
        let due = self.outlet.is_some() && self.told != version && self.told == self.known;
        let rested = self.told_at.map(|at| now.duration_since(at));
        let wait = rested.map_or(Duration::ZERO, |rested| self.pace.saturating_sub(rested));
        due.then_some(wait)
    }

    /// Sends what concerns it, after what it has to know before.
    fn send(&self, word: &[u8], is_change: bool) -> bool {
        let Some(outlet) = &self.outlet else {
            return false;
        };
        let sent = self.tell_lost(outlet.as_ref()) && outlet.word(word, false);
        if !sent {
            self.lost.lock().count(is_change);
        }
        sent
    }

    /// Whether it knows all that it has lost.
    fn tell_lost(&self, outlet: &dyn Outlet) -> bool {
        let mut lost = self.lost.lock();
        if lost.is_nothing() {
            return true;
        }
        let told = outlet.word(&wire::lost(*lost), false);
        if told {
            *lost = Lost::default();
        }
        told
    }
}

impl Relay {
    /// Words for `node` go over this session from now on; whether it is another one than before.
    pub(super) fn linked(&self, node: NodeId, session: u64, outlet: Arc<dyn Outlet>) -> bool {
        let mut peers = self.peers.write();
        let peer = peers.entry(node).or_default();
        let is_new = peer.session != session || peer.outlet.is_none();
        if is_new {
            peer.session = session;
            (peer.told, peer.known) = (0, 0);
            (peer.told_at, peer.fresh) = (None, true);
            *peer.lost.lock() = Lost::default();
        }
        peer.outlet = Some(outlet);
        is_new
    }

    /// There is no session with `node`; whether it has known what is listened to here, and so may
    /// have sent what is lost now.
    pub(super) fn unlinked(&self, node: NodeId) -> bool {
        let mut peers = self.peers.write();
        let Some(peer) = peers.get_mut(&node) else {
            return false;
        };
        let knew = peer.outlet.take().is_some() && peer.known > 0;
        drop(peers);
        self.news.notify_waiters();
        knew
    }

    /// `node` is held for dead.
    pub(super) fn forget(&self, node: NodeId) {
        let mut peers = self.peers.write();
        // It may be back already.
        if peers.get(&node).is_some_and(|peer| peer.outlet.is_none()) {
            peers.remove(&node);
        }
    }

    /// `node` wants to hear this.
    pub(super) fn wants(&self, node: NodeId, interest: Interest) {
        self.peers.write().entry(node).or_default().interest = interest;
    }

    /// `node` knows the interest of this version; whether it said so for the first time over this
    /// session.
    pub(super) fn knows(&self, node: NodeId, version: u64) -> bool {
        let mut peers = self.peers.write();
        let Some(peer) = peers.get_mut(&node) else {
            return false;
        };
        peer.known = peer.known.max(version.min(peer.told));
        let first = std::mem::take(&mut peer.fresh);
        drop(peers);
        self.news.notify_waiters();
        first
    }

    /// Tells all who do not know it what is listened to here, as far as they may be told now; when to
    /// come again for the others.
    pub(super) fn tell(
        &self,
        version: u64,
        interest: impl FnOnce() -> Interest,
        now: Instant,
    ) -> Option<Duration> {
        let peers = self.peers.read();
        let waits: Vec<_> = peers
            .values()
            .filter_map(|peer| peer.wait(version, now))
            .collect();
        drop(peers);
        if waits.contains(&Duration::ZERO) {
            // Summed up without the lock, which writers want as well.
            let word = wire::interest(version, &interest());
            let mut peers = self.peers.write();
            let due = |peer: &&mut Peer| peer.wait(version, now) == Some(Duration::ZERO);
            for peer in peers.values_mut().filter(due) {
                if let Some(outlet) = &peer.outlet {
                    outlet.word(&word, true);
                }
                (peer.told, peer.told_at) = (version, Some(now));
                let kib = u32::try_from(word.len() >> 10).unwrap_or(u32::MAX);
                peer.pace = PACE + PACE_PER_KIB * kib;
            }
        }
        waits
            .into_iter()
            .filter(|wait| *wait > Duration::ZERO)
            .min()
    }

    /// Tells peers what they have lost; whether some still have to be told.
    pub(super) fn tell_lost(&self) -> bool {
        let peers = self.peers.read();
        let linked = peers
            .values()
            .filter_map(|peer| Some((peer, peer.outlet.as_deref()?)));
        // All of them: one without room must not keep the others from being told.
        linked.fold(false, |some_wait, (peer, outlet)| {
            !peer.tell_lost(outlet) || some_wait
        })
    }

    /// Sends a word to all whom it interests; how many got it, and how many lost it.
    pub(super) fn send(
        &self,
        is_change: bool,
        interests: impl Fn(&Interest) -> bool,
        word: impl FnOnce() -> Vec<u8>,
    ) -> (u64, u64) {
        let peers = self.peers.read();
        let linked = peers.values().filter(|peer| peer.outlet.is_some());
        let mut wanting = linked.filter(|peer| interests(&peer.interest)).peekable();
        if wanting.peek().is_none() {
            return (0, 0);
        }
        let word = word();
        let (mut sent, mut lost) = (0, 0);
        for peer in wanting {
            if peer.send(&word, is_change) {
                sent += 1;
            } else {
                lost += 1;
            }
        }
        (sent, lost)
    }

    /// Changes that concerned nobody knows which peers were lost: at least so many.
    pub(super) fn lose_changes(&self, count: u64) {
        let peers = self.peers.read();
        for peer in peers.values().filter(|peer| peer.interest.has_keys()) {
            peer.lost.lock().add(Lost {
                changes: Some(count),
                messages: None,
            });
        }
    }

    /// Whether a peer wants to hear of changes of this key.
    pub(super) fn has_key(&self, key: &[u8]) -> bool {
        let peers = self.peers.read();
        peers.values().any(|peer| peer.interest.has_key(key))
    }

    /// Whether a peer wants to hear of changes of any key.
    pub(super) fn has_keys(&self) -> bool {
        let peers = self.peers.read();
        peers.values().any(|peer| peer.interest.has_keys())
    }

    fn all_know(&self, version: u64) -> bool {
        let peers = self.peers.read();
        let mut linked = peers.values().filter(|peer| peer.outlet.is_some());
        linked.all(|peer| peer.known >= version)
    }

    /// Waits until all who are connected know what was listened to here at `version`, or the
    /// deadline; whether they do.
    pub(super) async fn known(&self, version: u64, deadline: Instant) -> bool {
        loop {
            let news = self.news.notified();
            let mut news = std::pin::pin!(news);
            news.as_mut().enable();
            if self.all_know(version) {
                return true;
            }
            if tokio::time::timeout_at(deadline, news).await.is_err() {
                return self.all_know(version);
            }
        }
    }
}
