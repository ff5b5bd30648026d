//! Hubs of several nodes, without sessions and without actors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::*;
use crate::command::{Entry, Kind};
use crate::version::{Hlc, Version};

/// The way from one hub to another: what is on it, and whether it has room.
#[derive(Default)]
struct Way {
    words: Mutex<Vec<Vec<u8>>>,
    full: AtomicBool,
    interests: AtomicUsize,
}

impl Outlet for Way {
    fn word(&self, word: &[u8], must: bool) -> bool {
        if self.full.load(Ordering::Relaxed) && !must {
            return false;
        }
        self.interests
            .fetch_add(usize::from(word[0] == 0), Ordering::Relaxed);
        self.words.lock().push(word.to_vec());
        true
    }
}

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

/// Two nodes.
struct Pair {
    a: Hub,
    b: Hub,
    to_a: Arc<Way>,
    to_b: Arc<Way>,
    /// Whether each owns keys.
    owns: bool,
}

impl Pair {
    fn new() -> Pair {
        let pair = Pair::apart();
        pair.meet(1);
        pair
    }

    fn apart() -> Pair {
        Pair {
            a: Hub::default(),
            b: Hub::default(),
            to_a: Arc::default(),
            to_b: Arc::default(),
            owns: true,
        }
    }

    fn meet(&self, session: u64) {
        self.a.linked(B, session, Arc::clone(&self.to_b) as _);
        self.b.linked(A, session, Arc::clone(&self.to_a) as _);
        self.settle();
    }

    fn part(&self) {
        self.a.unlinked(B, self.owns);
        self.b.unlinked(A, self.owns);
        self.to_a.words.lock().clear();
        self.to_b.words.lock().clear();
    }

    /// Lets everything happen that is to happen at once.
    fn settle(&self) {
        loop {
            for hub in [&self.a, &self.b] {
                hub.hand_out_all();
                hub.tell(false);
            }
            let to_a = std::mem::take(&mut *self.to_a.words.lock());
            let to_b = std::mem::take(&mut *self.to_b.words.lock());
            if to_a.is_empty() && to_b.is_empty() {
                return;
            }
            for word in to_a {
                let word = Bytes::from(word);
                self.a
                    .receive(B, word, self.to_b.as_ref(), || self.owns)
                    .unwrap();
            }
            for word in to_b {
                let word = Bytes::from(word);
                self.b
                    .receive(A, word, self.to_a.as_ref(), || self.owns)
                    .unwrap();
            }
        }
    }

    /// As [`Pair::settle`], after the longest pause between two interests.
    async fn settle_later(&self) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.settle();
    }
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn listener(hub: &Hub, topics: &[Topic]) -> Subscription {
    let mut subscription = hub.subscribe().unwrap();
    for topic in topics {
        assert!(subscription.add(topic.clone()).unwrap());
    }
    subscription
}

fn all(subscription: &mut Subscription) -> Vec<Event> {
    std::iter::from_fn(|| subscription.try_next()).collect()
}

fn entry(hlc: u64, data: &str) -> Entry {
    Entry {
        kind: Kind::Json,
        data: Bytes::copy_from_slice(data.as_bytes()),
        version: Version {
            hlc: Hlc(hlc),
            node: A,
        },
        tag: None,
        expires_at: None,
    }
}

fn put(key: &'static str, hlc: u64, data: &str) -> Event {
    Event::Change(Change {
        key: text(key),
        what: What::Put(entry(hlc, data)),
    })
}

fn message(channel: &'static str, pattern: Option<&'static str>, payload: &'static str) -> Event {
    Event::Message(Message {
        channel: text(channel),
        pattern: pattern.map(text),
        payload: text(payload),
    })
}

#[tokio::test(start_paused = true)]
async fn what_happens_on_one_node_is_heard_on_the_other() {
    let pair = Pair::new();
    let mut news = listener(&pair.a, &[Topic::Channel(text("news"))]);
    let mut bus = listener(&pair.a, &[Topic::Prefix(text("bus:"))]);
    pair.settle_later().await;
    assert_eq!(pair.b.publish(&text("news"), &text("1")), Ok(0), "not here");
    assert_eq!(pair.a.publish(&text("news"), &text("2")), Ok(1));
    pair.b.publish(&text("other"), &text("3")).unwrap();
    pair.b.stored(b"bus:4", entry(1, "{}").as_ref());
    pair.b.stored(b"car:4", entry(2, "{}").as_ref());
    assert_eq!(
        pair.to_a.words.lock().len(),
        1,
        "what concerns nobody does not travel, and changes wait for the actor"
    );
    pair.settle();
    let expected = [message("news", None, "2"), message("news", None, "1")];
    assert_eq!(all(&mut news), expected);
    assert_eq!(all(&mut bus), [put("bus:4", 1, "{}")]);
    assert_eq!(pair.b.counters().relayed, 2);
}

#[tokio::test(start_paused = true)]
async fn nobody_pays_while_nobody_watches() {
    let pair = Pair::new();
    assert!(!pair.a.is_watched() && !pair.b.is_watched());
    let channel = listener(&pair.a, &[Topic::Channel(text("c"))]);
    pair.settle_later().await;
    assert!(!pair.a.is_watched() && !pair.b.is_watched());
    let key = listener(&pair.a, &[Topic::Key(text("k"))]);
    pair.settle_later().await;
    assert!(pair.a.is_watched() && pair.b.is_watched());
    drop((channel, key));
    pair.settle_later().await;
    assert!(!pair.a.is_watched() && !pair.b.is_watched());
    assert_eq!(pair.a.counters().bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn subscriptions_that_come_and_go_cost_the_link_little() {
    let pair = Pair::new();
    let before = pair.to_b.interests.load(Ordering::Relaxed);
    for n in 0..1_000 {
        let mut one = pair.a.subscribe().unwrap();
        one.add(Topic::Key(Bytes::from(n.to_string()))).unwrap();
        pair.settle();
    }
    let told = pair.to_b.interests.load(Ordering::Relaxed) - before;
    assert!(told <= 2, "{told}");
}

#[tokio::test(start_paused = true)]
async fn who_listens_can_wait_until_all_know() {
    let pair = Pair::new();
    let soon = || Instant::now() + Duration::from_millis(10);
    let one = listener(&pair.a, &[Topic::Key(text("k"))]);
    assert!(!one.known(soon()).await);
    pair.settle_later().await;
    assert!(one.known(soon()).await);
    let other = listener(&pair.a, &[Topic::Key(text("k"))]);
    assert!(other.known(soon()).await, "it was known before");
    let third = listener(&pair.a, &[Topic::Key(text("l"))]);
    pair.part();
    assert!(third.known(soon()).await, "nobody is connected");
}

#[tokio::test(start_paused = true)]
async fn what_was_lost_with_a_session_is_told() {
    let mut pair = Pair::new();
    let mut key = listener(&pair.a, &[Topic::Key(text("k"))]);
    let mut channel = listener(&pair.a, &[Topic::Channel(text("c"))]);
    pair.settle_later().await;
    pair.part();
    assert_eq!(all(&mut key), [Event::Missed(0)]);
    pair.b.stored(b"k", entry(1, "{}").as_ref());
    pair.settle();
    assert_eq!(all(&mut key), []);
    pair.meet(2);
    assert_eq!(
        all(&mut key),
        [Event::Missed(0)],
        "what was while they were apart"
    );
    pair.b.stored(b"k", entry(2, "{}").as_ref());
    pair.settle();
    assert_eq!(all(&mut key), [put("k", 2, "{}")]);
    pair.owns = false;
    pair.part();
    pair.meet(3);
    assert_eq!(
        all(&mut key),
        [],
        "whoever owns nothing can have changed nothing"
    );
    assert_eq!(all(&mut channel), []);
}

#[tokio::test(start_paused = true)]
async fn a_full_way_is_told_when_it_has_room_again() {
    let pair = Pair::new();
    let mut key = listener(&pair.a, &[Topic::Key(text("k"))]);
    let mut channel = listener(&pair.a, &[Topic::Channel(text("c"))]);
    pair.settle_later().await;
    pair.to_a.full.store(true, Ordering::Relaxed);
    for n in 1..=3 {
        pair.b.stored(b"k", entry(n, "{}").as_ref());
    }
    pair.b.publish(&text("c"), &text("1")).unwrap();
    pair.settle();
    assert_eq!((all(&mut key), all(&mut channel)), (vec![], vec![]));
    pair.to_a.full.store(false, Ordering::Relaxed);
    pair.b.stored(b"k", entry(4, "{}").as_ref());
    pair.settle();
    assert_eq!(all(&mut key), [Event::Missed(3), put("k", 4, "{}")]);
    assert_eq!(all(&mut channel), [Event::Missed(1)]);
    assert_eq!(pair.b.counters().relay_lost, 4);
}

#[test]
fn a_full_way_does_not_keep_others_from_being_told() {
    let relay = relay::Relay::default();
    let ways: [Arc<Way>; 3] = Default::default();
    for (node, way) in (1..).map(NodeId).zip(&ways) {
        way.full.store(true, Ordering::Relaxed);
        relay.linked(node, 1, Arc::clone(way) as _);
    }
    assert_eq!(relay.send(true, |_| true, || vec![1]), (0, 3));
    assert!(relay.tell_lost());
    let told = || ways.each_ref().map(|way| way.words.lock().len());
    assert_eq!(told(), [0, 0, 0]);
    for way in &ways[1..] {
        way.full.store(false, Ordering::Relaxed);
    }
    assert!(relay.tell_lost(), "the first one still waits");
    assert_eq!(told(), [0, 1, 1]);
    ways[0].full.store(false, Ordering::Relaxed);
    assert!(!relay.tell_lost());
    assert_eq!(told(), [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_to_be_handed_out_is_bounded() {
    let pair = Pair::new();
    let mut here = listener(&pair.b, &[Topic::Key(text("k"))]);
    let mut there = listener(&pair.a, &[Topic::Prefix(text(""))]);
    pair.settle_later().await;
    let count = QUEUE_MAX as u64 + 10;
    for n in 0..count {
        pair.b.stored(b"k", entry(n, "{}").as_ref());
    }
    pair.settle();
    for subscription in [&mut here, &mut there] {
        let told = all(subscription);
        let limits = Limits::default();
        assert_eq!(told.len(), limits.events_max + 1);
        let lost = count - limits.events_max as u64;
        assert_eq!(told[0], Event::Missed(lost));
        let last = put("k", QUEUE_MAX as u64 - 1, "{}");
        assert_eq!(told.last(), Some(&last));
    }
}

#[test]
fn long_values_are_only_announced() {
    let hub = Hub::default();
    let mut key = listener(&hub, &[Topic::Key(text("k"))]);
    let long = entry(7, &"x".repeat(event::CARRIED_BYTES_MAX + 1));
    hub.stored(b"k", long.as_ref());
    hub.changed(b"k", || What::Expired(long.version));
    while hub.hand_out() {}
    let told = all(&mut key);
    let change = |what| {
        let key = text("k");
        Event::Change(Change { key, what })
    };
    assert_eq!(
        told,
        [
            change(What::PutLong(long.version)),
            change(What::Expired(long.version))
        ]
    );
}

#[test]
fn limits_are_kept_and_named() {
    let hub = Hub::new(Limits {
        subscribers_max: 2,
        topics_max: 1,
        message_bytes_max: 3,
        bytes_max: 1_000,
        ..Limits::default()
    });
    let mut one = hub.subscribe().unwrap();
    let two = hub.subscribe().unwrap();
    assert_eq!(hub.subscribe().unwrap_err(), Error::TooMany { max: 2 });
    drop(two);
    let mut two = hub.subscribe().unwrap();
    one.add(Topic::Key(text("k"))).unwrap();
    assert_eq!(one.add(Topic::Key(text("k"))), Ok(false), "it does already");
    let more = one.add(Topic::Key(text("l")));
    assert_eq!(more, Err(Error::TooMuch { max: 1 }));
    let long = Bytes::from(vec![b'x'; CHANNEL_BYTES_MAX + 1]);
    assert!(matches!(
        two.add(Topic::Channel(long.clone())),
        Err(Error::TooLong { .. })
    ));
    assert_eq!(two.add(Topic::Key(long.slice(..900))), Err(Error::Full));
    assert!(hub.publish(&text("c"), &text("1234")).is_err());
    assert!(hub.publish(&long, &text("1")).is_err());
    assert!(one.remove(&Topic::Key(text("k"))));
    assert!(!one.remove(&Topic::Key(text("k"))));
    assert_eq!(hub.counters().bytes, 0);
    two.add(Topic::Key(text("l"))).unwrap();
}

#[test]
fn what_is_listened_to_can_be_asked() {
    let hub = Hub::default();
    let one = listener(
        &hub,
        &[
            Topic::Channel(text("news.it")),
            Topic::Pattern(text("news.*")),
            Topic::Key(text("k")),
        ],
    );
    let two = listener(&hub, &[Topic::Channel(text("news.it"))]);
    assert_eq!(hub.channels(None), [text("news.it")]);
    assert_eq!(hub.channels(Some(b"n*")), [text("news.it")]);
    assert!(hub.channels(Some(b"x*")).is_empty());
    assert_eq!((hub.listeners(b"news.it"), hub.patterns()), (2, 1));
    assert_eq!(hub.publish(&text("news.it"), &text("")), Ok(3));
    assert_eq!((one.topics().len(), two.topics().len()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_is_closed_ends_what_listens() {
    let hub = Hub::default();
    let mut one = listener(&hub, &[Topic::Channel(text("c"))]);
    hub.publish(&text("c"), &text("1")).unwrap();
    let waiting = tokio::spawn(async move {
        let first = one.next().await;
        (first, one.next().await)
    });
    tokio::task::yield_now().await;
    hub.close();
    assert_eq!(
        waiting.await.unwrap(),
        (Some(message("c", None, "1")), None)
    );
    assert_eq!(hub.subscribe().unwrap().next().await, None);
}

#[test]
fn a_message_to_many_is_in_memory_once() {
    const MANY: usize = 100;
    let hub = Hub::new(Limits {
        bytes_max: 100_000,
        ..Limits::default()
    });
    let mut listeners: Vec<Subscription> = (0..MANY)
        .map(|_| {
            let mut one = hub.subscribe().unwrap();
            one.add(Topic::Channel(text("c"))).unwrap();
            one
        })
        .collect();
    listeners[0].add(Topic::Pattern(text("*"))).unwrap();
    let before = hub.counters().bytes;
    let payload = Bytes::from(vec![b'x'; 50_000]);
    assert_eq!(hub.publish(&text("c"), &payload).unwrap(), MANY + 1);
    let taken = hub.counters().bytes - before;
    assert!((50_000..70_000).contains(&taken), "{taken}");
    for listener in &mut listeners {
        assert!(!listener.is_overrun());
        let Some(Event::Message(message)) = listener.try_next() else {
            panic!("it has the message");
        };
        assert_eq!(message.payload, payload);
    }
    // The first has it twice.
    assert!(hub.counters().bytes - before > 50_000);
    assert!(listeners[0].try_next().is_some());
    assert_eq!(hub.counters().bytes, before);
    // Two are too many: what waits gives way.
    hub.publish(&text("c"), &payload).unwrap();
    hub.publish(&text("c"), &payload).unwrap();
    for listener in &mut listeners {
        assert!(listener.is_overrun());
        let next = [listener.try_next(), listener.try_next()];
        assert!(
            matches!(next, [Some(Event::Missed(1 | 2)), Some(Event::Message(_))]),
            "{next:?}"
        );
    }
    drop(listeners);
    assert_eq!(hub.counters().bytes, 0);
}
