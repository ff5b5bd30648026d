//! The replies of a connection that are not ready yet, in the order in which they were asked for.
//!
//! A pipeline's commands are begun one after the other, and the next one need not wait until the one
//! before is answered. It may begin when the two cannot disturb each other ([`Touches`]): they are
//! about different keys, or both only read. So of one connection's commands on one key each sees what
//! those before it did, whichever node has the key, while sixteen reads of another node's keys travel
//! in one frame.
//!
//! What can be done here at once is done at once, and needs no such care: it has taken effect before
//! the next command is looked at, even if its copies have yet to confirm it. Commands that are about
//! no key, or about all of them, wait for all before them, and all behind them wait.
//!
//! Invariant: replies leave in the order of their requests. The number of waiting ones is bounded by
//! [`WAITING_MAX`], the bytes of those that are ready behind them by about [`READY_BYTES_MAX`].

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::reply::{Out, Protocol};

/// How many commands of a connection may be under way.
const WAITING_MAX: usize = 64;
/// How many bytes of replies may be ready behind one that is not.
const READY_BYTES_MAX: usize = 256 << 10;

/// What a command has to do with keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Touches {
    /// One key, by its hash.
    One { hash: u64, writes: bool },
    /// Several.
    Many { hashes: Box<[u64]>, writes: bool },
    /// All of them, or something that all depend on.
    All,
}

impl Touches {
    pub(super) fn one(key: &[u8], writes: bool) -> Touches {
        let hash = hash(key);
        Touches::One { hash, writes }
    }

    pub(super) fn many<'a>(keys: impl Iterator<Item = &'a [u8]>, writes: bool) -> Touches {
        let hashes = keys.map(hash).collect();
        Touches::Many { hashes, writes }
    }

    /// Whether one of them must wait for the other.
    fn disturbs(&self, other: &Touches) -> bool {
        let (Some((these, write)), Some((those, also))) = (self.parts(), other.parts()) else {
            return true;
        };
        (write || also) && these.iter().any(|hash| those.contains(hash))
    }

    fn parts(&self) -> Option<(&[u64], bool)> {
        match self {
            Touches::One { hash, writes } => Some((std::slice::from_ref(hash), *writes)),
            Touches::Many { hashes, writes } => Some((hashes, *writes)),
            Touches::All => None,
        }
    }
}

/// Two keys of one hash wait for each other without need; nothing worse comes of it.
fn hash(key: &[u8]) -> u64 {
    rapidhash::v3::rapidhash_v3(key)
}

/// A reply in the making.
pub(super) type Making = Pin<Box<dyn Future<Output = Out> + Send>>;

/// A reply that comes later.
pub(super) struct Later {
    pub(super) touches: Touches,
    pub(super) reply: Making,
}

impl Later {
    pub(super) fn new(
        touches: Touches,
        reply: impl Future<Output = Out> + Send + 'static,
    ) -> Later {
        Later {
            touches,
            reply: Box::pin(reply),
        }
    }
}

enum Slot {
    Ready(Out),
    Waits {
        later: Later,
        /// Whether the client does not want to hear of it.
        silent: bool,
        /// How long its request was.
        request_bytes: usize,
    },
}

/// See the module.
pub(super) struct Queue {
    slots: VecDeque<Slot>,
    /// What is ready behind all of them.
    tail: Out,
    waiting: usize,
    ready_bytes: usize,
    request_bytes: usize,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("waiting", &self.waiting)
            .field("ready_bytes", &self.ready_bytes)
            .finish_non_exhaustive()
    }
}

impl Queue {
    pub(super) fn new() -> Queue {
        Queue {
            slots: VecDeque::new(),
            tail: Out::default(),
            waiting: 0,
            ready_bytes: 0,
            request_bytes: 0,
        }
    }

    /// Whether every reply has left it.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.tail.is_empty()
    }

    /// Whether no further command may begin.
    pub(super) fn is_full(&self) -> bool {
        self.waiting >= WAITING_MAX || self.ready_bytes >= READY_BYTES_MAX
    }

    /// Bytes of the requests that are under way.
    pub(super) fn request_bytes(&self) -> usize {
        self.request_bytes
    }

    /// Bytes of replies that are ready and must wait.
    pub(super) fn ready_bytes(&self) -> usize {
        self.ready_bytes
    }

    /// Whether a command must wait for one that is under way.
    pub(super) fn disturbs(&self, touches: &Touches) -> bool {
        self.slots.iter().any(|slot| match slot {
            Slot::Ready(_) => false,
            Slot::Waits { later, .. } => later.touches.disturbs(touches),
        })
    }

    /// Where a reply is written that is ready at once, behind all before it.
    pub(super) fn tail(&mut self, protocol: Protocol) -> &mut Out {
        self.tail.set_protocol(protocol);
        &mut self.tail
    }

    /// The tail has become longer by so much.
    pub(super) fn grew(&mut self, bytes: usize) {
        self.ready_bytes += bytes;
    }

    /// Puts a reply that comes later behind all others. It has begun, and is not ready.
    pub(super) fn push(&mut self, later: Later, silent: bool, request_bytes: usize) {
        if !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail);
            self.slots.push_back(Slot::Ready(tail));
        }
        self.waiting += 1;
        self.request_bytes += request_bytes;
        self.slots.push_back(Slot::Waits {
            later,
            silent,
            request_bytes,
        });
    }

    /// Lets all that are under way go on, and moves what is ready, up to the first that is not, to
    /// `out`.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, out: &mut Out) {
        if self.waiting > 0 {
            for slot in &mut self.slots {
                let Slot::Waits {
                    later,
                    silent,
                    request_bytes,
                } = slot
                else {
                    continue;
                };
                let Poll::Ready(mut reply) = later.reply.as_mut().poll(cx) else {
                    continue;
                };
                if *silent {
                    reply.truncate(0);
                }
                self.waiting -= 1;
                self.request_bytes -= *request_bytes;
                self.ready_bytes += reply.len();
                *slot = Slot::Ready(reply);
            }
        }
        while let Some(Slot::Ready(_)) = self.slots.front() {
            if let Some(Slot::Ready(reply)) = self.slots.pop_front() {
                self.ready_bytes -= reply.len();
                out.append(reply);
            }
        }
        if self.slots.is_empty() && !self.tail.is_empty() {
            self.ready_bytes -= self.tail.len();
            out.append(std::mem::take(&mut self.tail));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;
    use tokio::sync::oneshot;

    fn out(text: &str) -> Out {
        let mut out = Out::default();
        out.simple(text);
        out
    }

    fn later(touches: Touches) -> (oneshot::Sender<&'static str>, Later) {
        let (tell, told) = oneshot::channel();
        let reply = async move { out(told.await.unwrap()) };
        (tell, Later::new(touches, reply))
    }

    #[test]
    fn who_must_wait_for_whom() {
        let read = Touches::one(b"a", false);
        let write = Touches::one(b"a", true);
        let other = Touches::one(b"b", true);
        let many = Touches::many([&b"a"[..], b"c"].into_iter(), false);
        for (one, two, waits) in [
            (&read, &read, false),
            (&read, &write, true),
            (&write, &write, true),
            (&write, &other, false),
            (&many, &read, false),
            (&many, &write, true),
            (&many, &other, false),
            (&Touches::All, &read, true),
            (&Touches::All, &Touches::All, true),
        ] {
            assert_eq!(one.disturbs(two), waits, "{one:?} {two:?}");
            assert_eq!(two.disturbs(one), waits, "{two:?} {one:?}");
        }
    }

    #[test]
    fn replies_leave_in_order() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut queue = Queue::new();
        let (tell_first, first) = later(Touches::one(b"a", true));
        let (tell_second, second) = later(Touches::one(b"b", true));
        queue.push(first, false, 10);
        queue.push(second, false, 20);
        queue.tail(Protocol::Resp2).simple("third");
        queue.grew(8);
        assert!(queue.disturbs(&Touches::one(b"a", false)));
        assert!(!queue.disturbs(&Touches::one(b"c", true)));
        assert_eq!((queue.request_bytes(), queue.ready_bytes()), (30, 8));

        let mut sent = Out::default();
        tell_second.send("second").unwrap();
        queue.poll(&mut cx, &mut sent);
        assert!(sent.is_empty());
        assert!(!queue.disturbs(&Touches::one(b"b", true)), "it is done");
        tell_first.send("first").unwrap();
        queue.poll(&mut cx, &mut sent);
        assert_eq!(sent.bytes(), b"+first\r\n+second\r\n+third\r\n");
        assert!(queue.is_empty());
        assert_eq!((queue.request_bytes(), queue.ready_bytes()), (0, 0));
    }

    #[test]
    fn silent_ones_are_carried_out_and_not_told() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut queue = Queue::new();
        let (tell, waits) = later(Touches::All);
        queue.push(waits, true, 1);
        tell.send("told").unwrap();
        let mut sent = Out::default();
        queue.poll(&mut cx, &mut sent);
        assert!(sent.is_empty() && queue.is_empty());
    }

    #[test]
    fn it_is_bounded() {
        let mut queue = Queue::new();
        let mut tells = Vec::new();
        while !queue.is_full() {
            let (tell, waits) = later(Touches::one(b"a", false));
            queue.push(waits, false, 1);
            tells.push(tell);
        }
        assert_eq!(tells.len(), WAITING_MAX);
        let mut queue = Queue::new();
        let (_tell, waits) = later(Touches::All);
        queue.push(waits, false, 1);
        queue.tail(Protocol::Resp2).bulk(&vec![0; READY_BYTES_MAX]);
        queue.grew(READY_BYTES_MAX);
        assert!(queue.is_full());
    }
}
