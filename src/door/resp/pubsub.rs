//! Messages: `PUBLISH` to channels, and listening to them.
//!
//! What a connection listens to is in its [`Listening`], which it has only while that is anything. The
//! messages come out of a subscription of the node's hub, wherever they were published, and are
//! written between the replies of the connection ([`Listening::hear`]). What it has asked to listen to
//! is confirmed when the other nodes know of it, and no message comes before that.
//!
//! Invariant: who listens gets all that is published to a channel here, in its order, or its
//! connection is closed. What waits for it is bounded (`pubsub-bytes-max`), and one that does not keep
//! up is closed when that is full, as Redis does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::call::{Answered, Call, Flow, wrong_subcommand};
use super::clients::Client;
use super::failure::Refusal;
use super::help;
use super::queue::{Later, Touches};
use super::reply::{Out, Protocol};
use super::request::Arguments;
use super::session::Session;
use super::table::{Entry, Flags, Spec};
use crate::live::{self, Event, Hub, Message, Subscription, Topic};

/// How long other nodes have to come to know what a client listens to. One that does not answer is
/// about to be held for dead.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);
/// After so many messages of one connection to listeners of this node, these get a turn to take them.
const TURN: usize = 256;

pub(super) const COMMANDS: &[Spec] = &[
    Spec::new("psubscribe", -2, psubscribe).listener().about(
        "2.0.0",
        "O(N) in patterns",
        "Listens to all channels that match these patterns.",
    ),
    Spec::new("publish", 3, publish)
        .flags(Flags::PUBSUB)
        .flags(Flags::EARLY)
        .flags(Flags::PUBLISHES)
        .fast()
        .about(
            "2.0.0",
            "O(N+M) in listeners of the channel, and in patterns",
            "Sends a message to all who listen to a channel.",
        ),
    Spec::container("pubsub", SUBCOMMANDS).about(
        "2.8.0",
        "Depends on subcommand.",
        "A container for commands about channels.",
    ),
    Spec::new("punsubscribe", -1, punsubscribe)
        .listener()
        .about(
            "2.0.0",
            "O(N) in patterns",
            "Listens to these patterns no more, or to none.",
        ),
    Spec::new("subscribe", -2, subscribe).listener().about(
        "2.0.0",
        "O(N) in channels",
        "Listens to these channels.",
    ),
    Spec::new("unsubscribe", -1, unsubscribe).listener().about(
        "2.0.0",
        "O(N) in channels",
        "Listens to these channels no more, or to none.",
    ),
];

const SUBCOMMANDS: &[Spec] = &[
    Spec::new("channels", -2, channels)
        .flags(Flags::PUBSUB)
        .flags(Flags::EARLY)
        .about(
            "2.8.0",
            "O(N) in channels",
            "Returns the channels that clients of this node listen to by name.",
        ),
    Spec::new("help", 2, help::answer).free().about(
        "6.2.0",
        "O(1)",
        "Returns what the subcommands are.",
    ),
    Spec::new("numpat", 2, numpat)
        .flags(Flags::PUBSUB)
        .flags(Flags::EARLY)
        .about(
            "2.8.0",
            "O(1)",
            "Returns how many patterns clients of this node listen to.",
        ),
    Spec::new("numsub", -2, numsub)
        .flags(Flags::PUBSUB)
        .flags(Flags::EARLY)
        .about(
            "2.8.0",
            "O(N) in channels",
            "Returns how many clients of this node listen to these channels by name.",
        ),
    Spec::new("shardchannels", -2, shardchannels)
        .flags(Flags::PUBSUB)
        .flags(Flags::EARLY)
        .about("7.0.0", "O(1)", "Returns nothing: no channel is a shard's."),
    Spec::new("shardnumsub", -2, shardnumsub)
        .flags(Flags::PUBSUB)
        .flags(Flags::EARLY)
        .about(
            "7.0.0",
            "O(N) in channels",
            "Returns 0 for each of these channels: none is a shard's.",
        ),
];

impl From<live::Error> for Refusal {
    fn from(error: live::Error) -> Refusal {
        let word = match &error {
            live::Error::TooMany { .. } | live::Error::Full => "BUSY",
            live::Error::TooMuch { .. } | live::Error::TooLong { .. } => "ERR",
        };
        Refusal::text(format!("{word} {error}"))
    }
}

/// The two ways of listening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Channel,
    Pattern,
}

impl Way {
    /// A copy of the name, since it is kept for long.
    fn topic(self, name: &[u8]) -> Topic {
        let name = Bytes::copy_from_slice(name);
        match self {
            Way::Channel => Topic::Channel(name),
            Way::Pattern => Topic::Pattern(name),
        }
    }

    fn is_of(self, topic: &Topic) -> bool {
        match self {
            Way::Channel => matches!(topic, Topic::Channel(_)),
            Way::Pattern => matches!(topic, Topic::Pattern(_)),
        }
    }
}

/// What a connection listens to. See the module.
#[derive(Debug)]
pub(super) struct Listening {
    subscription: Subscription,
    client: Arc<Client>,
    channels: usize,
    patterns: usize,
    /// Whether a confirmation waits, which comes before all messages.
    unconfirmed: Arc<AtomicBool>,
}

/// How far messages were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// There is no more now.
    All,
    /// There may be more, and is no room.
    Some,
    /// The node stops: there will be no more.
    Last,
    /// Some were lost, because they were not taken in time.
    Overrun,
}

impl Listening {
    fn new(hub: &Hub, client: &Arc<Client>, bytes_max: usize) -> Result<Listening, live::Error> {
        Ok(Listening {
            // Only their bytes count, as in Redis; each has some beside its text.
            subscription: hub.subscribe_within(usize::MAX, bytes_max)?,
            client: Arc::clone(client),
            channels: 0,
            patterns: 0,
            unconfirmed: Arc::default(),
        })
    }

    fn count(&self) -> usize {
        self.channels + self.patterns
    }

    fn note(&self) {
        let client = &self.client;
        client.channels.store(self.channels, Ordering::Relaxed);
        client.patterns.store(self.patterns, Ordering::Relaxed);
    }

    fn of(&mut self, way: Way) -> &mut usize {
        match way {
            Way::Channel => &mut self.channels,
            Way::Pattern => &mut self.patterns,
        }
    }

    fn add(&mut self, way: Way, topic: &Topic) -> Result<bool, live::Error> {
        let is_new = self.subscription.add(topic.clone())?;
        *self.of(way) += usize::from(is_new);
        Ok(is_new)
    }

    fn remove(&mut self, way: Way, topic: &Topic) {
        if self.subscription.remove(topic) {
            *self.of(way) -= 1;
        }
    }

    /// The names that it listens to in this way, in their order.
    fn names(&self, way: Way) -> Vec<Bytes> {
        let topics = self.subscription.topics();
        let mut names: Vec<Bytes> = topics
            .filter(|topic| way.is_of(topic))
            .map(|topic| topic.text().clone())
            .collect();
        names.sort_unstable();
        names
    }

    /// Writes what was published, until there is no more, or there are `bytes_max` to be written.
    pub(super) fn hear(&mut self, cx: &mut Context<'_>, out: &mut Out, bytes_max: usize) -> Heard {
        if self.subscription.is_overrun() {
            return Heard::Overrun;
        }
        if self.unconfirmed.load(Ordering::Acquire) {
            // What ends this wakes the connection.
            return Heard::All;
        }
        loop {
            if out.len() >= bytes_max {
                self.subscription.wake_if_overrun(cx);
                return Heard::Some;
            }
            match self.subscription.poll_next(cx) {
                Poll::Ready(Some(event)) => self.write(event, out),
                Poll::Ready(None) => return Heard::Last,
                Poll::Pending => return Heard::All,
            }
        }
    }

    /// Writes what waits already, before something else is said.
    fn catch_up(&mut self, out: &mut Out) {
        if self.unconfirmed.load(Ordering::Acquire) {
            return;
        }
        // What others publish meanwhile comes later.
        for _ in 0..self.subscription.waiting() {
            match self.subscription.try_next() {
                Some(event) => self.write(event, out),
                None => break,
            }
        }
    }

    fn write(&self, event: Event, out: &mut Out) {
        let Event::Message(message) = event else {
            // Messages were lost on their way between nodes: in a cluster of Redis nobody is told.
            return;
        };
        let Message {
            channel,
            pattern,
            payload,
        } = message;
        let topic = match &pattern {
            Some(pattern) => Topic::Pattern(pattern.clone()),
            None => Topic::Channel(channel.clone()),
        };
        // It was on its way when the client ceased to listen.
        if !self.subscription.has(&topic) {
            return;
        }
        match pattern {
            Some(pattern) => {
                out.push(4);
                out.text("pmessage");
                out.bulk(&pattern);
            }
            None => {
                out.push(3);
                out.text("message");
            }
        }
        out.bulk(&channel);
        out.bulk(&payload);
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        (self.channels, self.patterns) = (0, 0);
        self.note();
    }
}

impl Session {
    /// Whether a command is refused because the client listens: in RESP2 it could not tell replies
    /// from messages.
    pub(super) fn check_listening(&self, entry: &Entry) -> Result<(), Refusal> {
        let spec = entry.spec;
        // One that is nothing without a subcommand answers that it has not this one.
        let is_unknown = !spec.subcommands.is_empty() && !spec.takes(1);
        let may = spec.flags.has(Flags::WHILE_LISTENING) || is_unknown;
        if may || self.protocol != Protocol::Resp2 {
            return Ok(());
        }
        let name = &entry.name;
        Err(Refusal::text(format!(
            "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET \
             are allowed in this context"
        )))
    }

    /// Listens to nothing any more. What was published before is written.
    pub(super) fn stop_listening(&mut self, out: &mut Out) {
        if let Some(mut listening) = self.listening.take() {
            listening.catch_up(out);
        }
    }
}

/// One part of a reply to subscribing: what, to which name, and to how many it listens then.
fn confirm(out: &mut Out, what: &str, name: Option<&[u8]>, count: usize) {
    out.push(3);
    out.text(what);
    out.bulk_or_null(name);
    out.length(count);
}

fn subscribe(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    listen(call, &arguments, Way::Channel, "subscribe")
}

fn psubscribe(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    listen(call, &arguments, Way::Pattern, "psubscribe")
}

/// Listens to all of the names, or, if that cannot be, to none of them that it did not before.
fn listen(call: Call<'_>, arguments: &Arguments<'_>, way: Way, what: &str) -> Answered {
    let session = call.session;
    let mut listening = match session.listening.take() {
        Some(listening) => listening,
        None => {
            let context = &call.shared.context;
            let bytes_max = context.config.pubsub_bytes_max;
            let hub = context.router.live();
            Box::new(Listening::new(hub, &session.client, bytes_max)?)
        }
    };
    let mut out = Out::new(session.protocol);
    let mut added = Vec::new();
    let mut failed = None;
    for name in arguments.from(1) {
        let topic = way.topic(name);
        match listening.add(way, &topic) {
            Ok(true) => added.push(topic),
            Ok(false) => {}
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
        confirm(&mut out, what, Some(name), listening.count());
    }
    if let Some(error) = failed {
        for topic in &added {
            listening.remove(way, topic);
        }
        session.listening = Some(listening).filter(|listening| listening.count() > 0);
        return Err(error.into());
    }
    listening.note();
    let known = listening
        .subscription
        .knowing(Instant::now() + KNOWN_WITHIN);
    listening.unconfirmed.store(true, Ordering::Release);
    let unconfirmed = Arc::clone(&listening.unconfirmed);
    session.listening = Some(listening);
    session.speak_up();
    let reply = async move {
        known.await;
        unconfirmed.store(false, Ordering::Release);
        // The connection comes back to listen, once this is written.
        std::future::poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::Ready(())
        })
        .await;
        out
    };
    Ok(Flow::Later(Later::new(Touches::All, reply)))
}

fn unsubscribe(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    Ok(unlisten(call, &arguments, Way::Channel, "unsubscribe"))
}

fn punsubscribe(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    Ok(unlisten(call, &arguments, Way::Pattern, "punsubscribe"))
}

fn unlisten(call: Call<'_>, arguments: &Arguments<'_>, way: Way, what: &str) -> Flow {
    let Call { session, out, .. } = call;
    session.speak_up();
    let mut listening = session.listening.take();
    if let Some(listening) = &mut listening {
        listening.catch_up(out);
    }
    let mut end = |name: Option<&[u8]>, listening: &mut Option<Box<Listening>>| {
        if let (Some(listening), Some(name)) = (&mut *listening, name) {
            listening.remove(way, &way.topic(name));
        }
        let left = listening.as_ref().map_or(0, |listening| listening.count());
        confirm(out, what, name, left);
    };
    let all = listening.as_ref().filter(|_| arguments.len() == 1);
    let all = all.map_or_else(Vec::new, |listening| listening.names(way));
    for name in &all {
        end(Some(name), &mut listening);
    }
    for name in arguments.from(1) {
        end(Some(name), &mut listening);
    }
    if all.is_empty() && arguments.len() == 1 {
        end(None, &mut listening);
    }
    session.listening = listening.filter(|listening| listening.count() > 0);
    if let Some(listening) = &session.listening {
        listening.note();
    }
    Flow::Done
}

/// The channel and the message, in memory of their own: they may wait for a listener longer than what
/// came with them is needed.
fn copied(channel: &[u8], payload: &[u8]) -> (Bytes, Bytes) {
    let mut both = BytesMut::with_capacity(channel.len() + payload.len());
    both.extend_from_slice(channel);
    both.extend_from_slice(payload);
    let mut channel_of = both.freeze();
    let payload = channel_of.split_off(channel.len());
    (channel_of, payload)
}

fn publish(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let Call {
        shared,
        session,
        out,
        ..
    } = call;
    let (channel, payload) = copied(&arguments[1], &arguments[2]);
    let count = shared.context.router.live().publish(&channel, &payload)?;
    // What it told itself comes before the reply.
    if let Some(listening) = session.listening.as_mut().filter(|_| count > 0)
        && !session.replies.are_silent()
    {
        listening.catch_up(out);
    }
    session.published += count;
    if session.published < TURN {
        out.length(count);
        return Ok(Flow::Done);
    }
    session.published = 0;
    let mut reply = Out::new(session.protocol);
    reply.length(count);
    let turn = async move {
        tokio::task::yield_now().await;
        reply
    };
    Ok(Flow::Later(Later::new(Touches::All, turn)))
}

fn channels(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let hub = call.shared.context.router.live();
    if arguments.len() > 3 {
        return Err(wrong_subcommand(&call, &arguments));
    }
    let mut channels = hub.channels(arguments.get(2));
    channels.sort_unstable();
    call.out.array(channels.len());
    channels.iter().for_each(|channel| call.out.bulk(channel));
    Ok(Flow::Done)
}

fn numpat(call: Call<'_>, _arguments: Arguments<'_>) -> Answered {
    let hub = call.shared.context.router.live();
    call.out.length(hub.patterns());
    Ok(Flow::Done)
}

fn numsub(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let hub = call.shared.context.router.live();
    count_each(call.out, &arguments, |channel| hub.listeners(channel))
}

fn shardchannels(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    if arguments.len() > 3 {
        return Err(wrong_subcommand(&call, &arguments));
    }
    call.out.array(0);
    Ok(Flow::Done)
}

fn shardnumsub(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    count_each(call.out, &arguments, |_| 0)
}

fn count_each(
    out: &mut Out,
    arguments: &Arguments<'_>,
    count: impl Fn(&[u8]) -> usize,
) -> Answered {
    let channels = arguments.from(2);
    out.array(channels.len() * 2);
    for channel in channels {
        out.bulk(channel);
        out.length(count(channel));
    }
    Ok(Flow::Done)
}
