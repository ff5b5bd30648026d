//! One client on a socket: what it sends, one thing after the other, and what it is told.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role as Side, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message as SocketMessage};

use super::super::envelope;
use super::super::failure::Failure;
use super::super::front::Shared;
use super::frame::{Frame, Push, Version};
use super::metered::{Meter, Metered};
use super::rooms::{self, Asker, ROOM, Rooms, Said, Verb};
use crate::access::{Need, Pass, Role};
use crate::command::json::{self, Object, write_string};
use crate::command::{Command, Condition, Entry, Kind, Reply, show};
use crate::door::hold::Hold;
use crate::key::{KEY_BYTES_MAX, Key};
use crate::live::{self, Change, Event, Message, Moment, Subscription, Topic, What};

/// What is published has so much around what a client sent, at most.
pub(super) const TRIMMINGS_BYTES: usize = 1 << 10;
/// What a socket reads and writes at a time, in bytes.
const BUFFER_BYTES: usize = 4 << 10;
/// How long other nodes have to come to know what a client listens to.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// Longest reason of a close, in bytes: what a control frame holds.
const REASON_BYTES_MAX: usize = 120;
/// What a client's control frame has before its text.
const CONTROL_BYTES: usize = 6;
/// So many events are written before they are sent.
const BATCH: usize = 64;

/// Why a client is served no longer.
enum End {
    /// It has gone, or the connection broke.
    Gone,
    /// It is told why.
    Close(CloseCode, Cow<'static, str>),
}

type Done = Result<(), End>;

/// Serves a client until it goes, or has to.
pub(super) async fn serve(
    upgraded: Upgraded,
    shared: Arc<Shared>,
    subscription: Subscription,
    pass: Pass,
    version: Version,
) {
    let config = &shared.context.config;
    let length_max = config.message_bytes_max.saturating_sub(TRIMMINGS_BYTES);
    let socket = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_message_size(Some(length_max))
        .max_frame_size(Some(length_max));
    let meter = Meter::new(&shared.budget);
    let io = Metered {
        inner: TokioIo::new(upgraded),
        meter: meter.clone(),
    };
    let mut client = Client {
        socket: WebSocketStream::from_raw_socket(io, Side::Server, Some(socket)).await,
        meter,
        subscription,
        pass,
        version,
        rooms: Rooms::default(),
        heard: Instant::now(),
        pinged: false,
        shared,
    };
    if let Err(End::Close(code, why)) = client.run().await {
        let mut reason = why.into_owned();
        while reason.len() > REASON_BYTES_MAX {
            reason.pop();
        }
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        // Whoever does not take this in time misses the reason, not more.
        let _ = tokio::time::timeout(GOODBYE, client.say_goodbye(frame)).await;
    }
}

struct Client {
    socket: WebSocketStream<Metered<TokioIo<Upgraded>>>,
    meter: Meter,
    shared: Arc<Shared>,
    subscription: Subscription,
    pass: Pass,
    version: Version,
    rooms: Rooms,
    heard: Instant,
    /// Whether it was asked for a sign of life since.
    pinged: bool,
}

impl Client {
    async fn run(&mut self) -> Done {
        let idle = self.shared.context.config.socket_idle_timeout;
        loop {
            let patience = if self.pinged { idle } else { idle / 2 };
            tokio::select! {
                message = self.socket.next() => {
                    self.heard = Instant::now();
                    self.pinged = false;
                    self.on_message(message).await?;
                }
                event = self.subscription.next() => {
                    let Some(event) = event else {
                        let why = "this node is about to stop; come back to another one";
                        return Err(End::Close(CloseCode::Away, why.into()));
                    };
                    self.on_events(event).await?;
                }
                () = tokio::time::sleep_until(self.heard + patience) => {
                    if self.pinged {
                        let why = format!("nothing was heard for {idle:?}");
                        return Err(End::Close(CloseCode::Away, why.into()));
                    }
                    self.role()?;
                    self.pinged = true;
                    self.send(SocketMessage::Ping(Bytes::new())).await?;
                }
            }
        }
    }

    /// What it may do now: its token may be taken back.
    fn role(&mut self) -> Result<Role, End> {
        let role = self.shared.context.access.role(&mut self.pass);
        let readable = role.filter(|role| role.allows(Need::Read));
        let why = "the token is not one of this node's any more";
        readable.ok_or(End::Close(CloseCode::Policy, why.into()))
    }

    async fn say_goodbye(&mut self, frame: CloseFrame) {
        if self.socket.close(Some(frame)).await.is_ok() {
            // What it sent meanwhile would otherwise reset the connection, and lose the reason.
            while let Some(Ok(_)) = self.socket.next().await {}
        }
    }

    async fn on_message(&mut self, message: Option<Result<SocketMessage, SocketError>>) -> Done {
        let close = |code, why: String| Err(End::Close(code, why.into()));
        // Pings too: with them alone a client could listen for ever.
        if matches!(message, Some(Ok(_))) {
            self.role()?;
        }
        match message {
            None => Err(End::Gone),
            Some(Ok(SocketMessage::Text(text))) => match Frame::read(self.version, &text) {
                Ok(frame) => {
                    self.on_frame(frame).await?;
                    self.flush().await?;
                    self.meter.reset();
                    Ok(())
                }
                Err(why) => close(CloseCode::Invalid, why),
            },
            Some(Ok(SocketMessage::Binary(_))) => {
                let why = "binary messages are not understood here; send JSON text";
                close(CloseCode::Unsupported, why.to_owned())
            }
            // Pings are answered below. They may come between the parts of a message, of which what
            // has come stays in memory.
            Some(Ok(SocketMessage::Ping(text) | SocketMessage::Pong(text))) => {
                self.meter.less(text.len() + CONTROL_BYTES);
                Ok(())
            }
            // A close is followed by the end.
            Some(Ok(_)) => Ok(()),
            Some(Err(SocketError::Capacity(error))) => close(CloseCode::Size, error.to_string()),
            Some(Err(SocketError::Utf8(error))) => close(CloseCode::Invalid, error.clone()),
            Some(Err(SocketError::Protocol(error))) => {
                close(CloseCode::Protocol, error.to_string())
            }
            Some(Err(_)) => Err(End::Gone),
        }
    }

    // ---- what it sends ----

    async fn on_frame(&mut self, frame: Frame) -> Done {
        match (&*frame.topic, &*frame.event) {
            ("phoenix", "heartbeat") => self.reply(&frame, Ok(b"{}".to_vec())).await,
            (_, "phx_join") => self.join(&frame).await,
            (topic, "phx_leave") => match self.rooms.join_of(topic) {
                None => self.reply(&frame, Ok(b"{}".to_vec())).await,
                // It means what it joined before.
                Some(join) if frame.join.is_some() && *join != frame.join => Ok(()),
                Some(_) => {
                    self.reply(&frame, Ok(b"{}".to_vec())).await?;
                    self.leave(&frame.topic).await
                }
            },
            (topic, event) => match self.rooms.join_of(topic) {
                None => self.reply(&frame, Err(unmatched())).await,
                Some(join) if frame.join.is_some() && *join != frame.join => Ok(()),
                Some(_) => {
                    let answer = match rooms::verb(event) {
                        Some(Verb::Publish(name)) => self.publish(&frame, name).await?,
                        Some(Verb::Ask) => self.ask(&frame).await?,
                        Some(Verb::Leave(name)) => self.unask(&frame, name),
                        None => Err(Failure::bad(
                            "unknown_event",
                            "an event is called …_pub, …_sub or …_unsub",
                        )),
                    };
                    self.reply(&frame, answer).await
                }
            },
        }
    }

    async fn join(&mut self, frame: &Frame) -> Done {
        if !frame.topic.starts_with(ROOM) {
            return self.reply(frame, Err(unmatched())).await;
        }
        // Who joins again begins anew.
        self.leave(&frame.topic).await?;
        let channel = Topic::Channel(rooms::channel(&frame.topic));
        if let Err(error) = self.subscription.add(channel) {
            return self.reply(frame, Err(error.into())).await;
        }
        let join = frame.join.clone().or_else(|| frame.reference.clone());
        self.rooms.join(&frame.topic, join);
        self.be_known().await;
        self.reply(frame, Ok(b"{}".to_vec())).await
    }

    /// Leaves a room, if it was joined, and says that it is closed.
    async fn leave(&mut self, topic: &str) -> Done {
        let Some((join, idle)) = self.rooms.leave(topic) else {
            return Ok(());
        };
        let channel = Topic::Channel(rooms::channel(topic));
        self.subscription.remove(&channel);
        for key in idle {
            self.subscription.remove(&Topic::Key(key));
        }
        let push = Push {
            join: &join,
            reference: &join,
            topic,
            event: "phx_close",
            payload: b"{}",
        };
        self.push(push).await
    }

    /// Waits until what happens on other nodes comes.
    async fn be_known(&mut self) {
        let deadline = Instant::now() + KNOWN_WITHIN;
        self.subscription.known(deadline).await;
    }

    /// Writes a key, and tells the room.
    async fn publish(&mut self, frame: &Frame, name: &str) -> Result<Answer, End> {
        let role = self.role()?;
        let access = &self.shared.context.access;
        if let Err(refused) = access.check_role(role, Need::Write) {
            return Ok(Err(refused.into()));
        }
        let written = self.write(frame).await;
        let (key, name_of_key, entry) = match written {
            Ok(written) => written,
            Err(failure) => return Ok(Err(failure)),
        };
        let mut payload = Vec::with_capacity(entry.data.len() + key.len() + 32);
        write_payload(&name_of_key, "pub", Some(&entry), &mut payload);
        let event = format!("{name}_sub");
        let said = Said::write(&event, &payload, &key, entry.version);
        let hub = self.shared.context.router.live();
        let answer = match hub.publish(&rooms::channel(&frame.topic), &said) {
            Ok(_) => Ok(answer_of(&entry)),
            Err(error) => Err(error.into()),
        };
        // What it has just said comes back to it as well, before the reply.
        self.flush_events().await?;
        Ok(answer)
    }

    async fn write(&mut self, frame: &Frame) -> Result<(Bytes, Bytes, Entry), Failure> {
        let context = &self.shared.context;
        let body = self.body(frame)?;
        let (key, name) = self.key(&body)?;
        let command = Command::Put {
            key: key.clone(),
            kind: Kind::Json,
            data: envelope::data(body.share("data"))?,
            ttl_ms: envelope::ttl_ms(&body)?,
            condition: Condition::None,
        };
        match context.execute(&command).await?.reply {
            Reply::Stored { entry, .. } => Ok((key.into_bytes(), name, entry)),
            _ => Err(Failure::unexpected()),
        }
    }

    /// Reads a key, and tells the asker from now on what becomes of it.
    async fn ask(&mut self, frame: &Frame) -> Result<Answer, End> {
        let body = match self.body(frame) {
            Ok(body) => body,
            Err(failure) => return Ok(Err(failure)),
        };
        let (key, name) = match self.key(&body) {
            Ok(key) => key,
            Err(failure) => return Ok(Err(failure)),
        };
        let max = self.shared.context.config.subscriptions_max;
        if self.rooms.questions() >= max {
            return Ok(Err(live::Error::TooMuch { max }.into()));
        }
        // Copied: these are slices of the message, and would keep the whole of it for as long as the
        // key is asked for.
        let bytes = Bytes::copy_from_slice(key.as_bytes());
        let name = Bytes::copy_from_slice(&name);
        if let Err(error) = self.subscription.add(Topic::Key(bytes.clone())) {
            return Ok(Err(error.into()));
        }
        let Frame { topic, event, .. } = frame;
        let is_new = self.rooms.ask(topic, event, bytes.clone(), name.clone());
        self.be_known().await;
        let entry = match self.read(&key).await {
            Ok(entry) => entry,
            Err(failure) => {
                if is_new {
                    self.forget(topic, event, bytes);
                }
                return Ok(Err(failure));
            }
        };
        let moment = entry.as_ref().map(moment_of);
        self.rooms.tell_one(topic, event, &bytes, moment);
        let asker = Asker {
            topic: topic.clone(),
            event: event.clone(),
            name,
        };
        self.tell(&asker, "sub", entry.as_ref()).await?;
        Ok(Ok(b"{}".to_vec()))
    }

    fn unask(&mut self, frame: &Frame, name: &str) -> Answer {
        let body = self.body(frame)?;
        let (key, _) = self.key(&body)?;
        self.forget(&frame.topic, &format!("{name}_sub"), key.into_bytes());
        Ok(b"{}".to_vec())
    }

    fn forget(&mut self, topic: &str, event: &str, key: Bytes) {
        if let Some(idle) = self.rooms.unask(topic, event, key) {
            self.subscription.remove(&Topic::Key(idle));
        }
    }

    async fn read(&mut self, key: &Key) -> Result<Option<Entry>, Failure> {
        let command = Command::Get { key: key.clone() };
        match self.shared.context.execute(&command).await?.reply {
            Reply::Value(entry) => Ok(entry),
            _ => Err(Failure::unexpected()),
        }
    }

    fn body(&self, frame: &Frame) -> Result<Object, Failure> {
        let depth_max = self.shared.context.config.json_depth_max;
        // The body is one of its members, and what is in it may be as deep as any value.
        let payload = Object::parse(&frame.payload, depth_max.saturating_add(1))?;
        let body = payload.share("body");
        let body = body.filter(|body| json::is_object(body)).ok_or_else(|| {
            let message = "the payload is {\"body\":{\"key\":…}}, with \"data\" for a _pub";
            Failure::bad("invalid_body", message)
        })?;
        Ok(Object::parse(&body, depth_max)?)
    }

    /// The key, and how the client writes it.
    fn key(&self, body: &Object) -> Result<(Key, Bytes), Failure> {
        let key = envelope::key(body, self.shared.context.config.key_bytes_max)?;
        let name = body.share("key").ok_or_else(Failure::key_required)?;
        Ok((key, name))
    }

    // ---- what it is told ----

    /// Tells what has happened: this, and what else waits.
    async fn on_events(&mut self, first: Event) -> Done {
        self.role()?;
        let mut next = Some(first);
        let mut count = 0;
        while let Some(event) = next {
            self.on_event(event).await?;
            count += 1;
            next = match count {
                0..BATCH => self.subscription.try_next(),
                _ => None,
            };
        }
        self.flush().await
    }

    async fn flush_events(&mut self) -> Done {
        match self.subscription.try_next() {
            Some(event) => self.on_events(event).await,
            None => Ok(()),
        }
    }

    async fn on_event(&mut self, event: Event) -> Done {
        match event {
            Event::Message(message) => self.on_said(message).await,
            Event::Change(change) => self.on_change(change).await,
            Event::Missed(count) => self.on_missed(count).await,
        }
    }

    async fn on_said(&mut self, message: Message) -> Done {
        let Message {
            channel, payload, ..
        } = message;
        // It may have left meanwhile.
        let joined = |topic: &&str| self.rooms.join_of(topic).is_some();
        let Some(topic) = rooms::topic(&channel).filter(joined) else {
            return Ok(());
        };
        let Ok(hold) = Hold::take_large(&self.shared.budget, payload.len()) else {
            return self.say_missed(1).await;
        };
        let Some(said) = Said::read(&payload) else {
            return Ok(());
        };
        drop(payload);
        let moment = |version| {
            let gone = false;
            Some(Moment { version, gone })
        };
        let is_news = said.about.as_ref().is_none_or(|(key, version)| {
            self.rooms
                .tell_one(topic, &said.event, key, moment(*version))
        });
        let Some(join) = self.rooms.join_of(topic).filter(|_| is_news).cloned() else {
            return Ok(());
        };
        let push = Push {
            join: &join,
            reference: &None,
            topic,
            event: &said.event,
            payload: said.payload.as_bytes(),
        };
        self.push(push).await?;
        drop(said);
        self.let_go(hold).await
    }

    async fn on_change(&mut self, Change { key, what }: Change) -> Done {
        let mut moment = what.moment();
        let entry = match what {
            What::Put(entry) => Some(entry),
            What::PutLong(_) => {
                let name = Key::new(key.clone(), KEY_BYTES_MAX).ok();
                let read = match &name {
                    Some(name) => self.read(name).await,
                    None => Ok(None),
                };
                match read {
                    Ok(Some(entry)) => {
                        moment = moment_of(&entry);
                        Some(entry)
                    }
                    // What has become of it is told next.
                    Ok(None) => return Ok(()),
                    Err(_) => return self.say_missed(1).await,
                }
            }
            What::Deleted(_) | What::Expired(_) | What::Evicted(_) => None,
        };
        for asker in self.rooms.tell(&key, Some(moment)) {
            self.tell(&asker, "pub", entry.as_ref()).await?;
        }
        Ok(())
    }

    /// Says that something was missed, then how all that was asked for is now.
    async fn on_missed(&mut self, count: u64) -> Done {
        self.say_missed(count).await?;
        for key in self.rooms.keys() {
            let Some(name) = Key::new(key.clone(), KEY_BYTES_MAX).ok() else {
                continue;
            };
            let Ok(entry) = self.read(&name).await else {
                // It was told that it has to look for itself.
                continue;
            };
            let moment = entry.as_ref().map(moment_of);
            for asker in self.rooms.tell(&key, moment) {
                self.tell(&asker, "sub", entry.as_ref()).await?;
            }
        }
        Ok(())
    }

    async fn say_missed(&mut self, count: u64) -> Done {
        let payload = format!("{{\"missed\":{count}}}");
        for topic in self.rooms.topics() {
            let join = self.rooms.join_of(&topic).cloned().flatten();
            let push = Push {
                join: &join,
                reference: &None,
                topic: &topic,
                event: "missed",
                payload: payload.as_bytes(),
            };
            self.push(push).await?;
        }
        Ok(())
    }

    /// Tells an asker what a key is.
    async fn tell(&mut self, asker: &Asker, how: &str, entry: Option<&Entry>) -> Done {
        let room = entry.map_or(0, |entry| entry.data.len()) + 256;
        let hold = Hold::take_large(&self.shared.budget, room);
        let (Ok(hold), Some(join)) = (hold, self.rooms.join_of(&asker.topic).cloned()) else {
            return self.say_missed(1).await;
        };
        let mut payload = Vec::with_capacity(room);
        write_payload(&asker.name, how, entry, &mut payload);
        let push = Push {
            join: &join,
            reference: &None,
            topic: &asker.topic,
            event: &asker.event,
            payload: &payload,
        };
        self.push(push).await?;
        drop(payload);
        self.let_go(hold).await
    }

    /// Gives the memory of what is large back, once that is sent.
    async fn let_go(&mut self, hold: Option<Hold>) -> Done {
        if hold.is_some() {
            self.flush().await?;
        }
        Ok(())
    }

    async fn reply(&mut self, frame: &Frame, answer: Answer) -> Done {
        if frame.reference.is_none() {
            return Ok(());
        }
        let (status, response) = match answer {
            Ok(response) => ("ok", response),
            Err(failure) => ("error", reason(&failure)),
        };
        let mut payload = Vec::with_capacity(response.len() + 40);
        payload.extend_from_slice(b"{\"status\":\"");
        payload.extend_from_slice(status.as_bytes());
        payload.extend_from_slice(b"\",\"response\":");
        payload.extend_from_slice(&response);
        payload.push(b'}');
        let is_join = frame.event == "phx_join";
        let join = if is_join && frame.join.is_none() {
            frame.reference.clone()
        } else {
            frame.join.clone()
        };
        let push = Push {
            join: &join,
            reference: &frame.reference,
            topic: &frame.topic,
            event: "phx_reply",
            payload: &payload,
        };
        self.push(push).await
    }

    /// Writes a frame; it is sent with the next flush at the latest.
    async fn push(&mut self, push: Push<'_>) -> Done {
        let text = String::from_utf8(push.write(self.version)).map_err(|_| End::Gone)?;
        let message = SocketMessage::text(text);
        self.socket.feed(message).await.map_err(|_| End::Gone)
    }

    async fn send(&mut self, message: SocketMessage) -> Done {
        self.socket.send(message).await.map_err(|_| End::Gone)
    }

    async fn flush(&mut self) -> Done {
        self.socket.flush().await.map_err(|_| End::Gone)
    }
}

/// The response of a reply, as JSON, or why there is none.
type Answer = Result<Vec<u8>, Failure>;

fn unmatched() -> Failure {
    Failure::bad("unmatched_topic", "unmatched topic")
}

/// The response of a reply with status `error`: Phoenix's clients look for `reason`.
fn reason(failure: &Failure) -> Vec<u8> {
    let mut out = b"{\"reason\":".to_vec();
    write_string(&failure.message, &mut out);
    out.extend_from_slice(b",\"code\":\"");
    out.extend_from_slice(failure.code.as_bytes());
    out.extend_from_slice(b"\"}");
    out
}

fn answer_of(entry: &Entry) -> Vec<u8> {
    let mut out = b"{\"etag\":\"".to_vec();
    entry.etag().write_text(&mut out);
    out.extend_from_slice(b"\"}");
    out
}

fn moment_of(entry: &Entry) -> Moment {
    let (version, gone) = (entry.version, false);
    Moment { version, gone }
}

/// Writes `{"key":K,"sub":{"data":…}}`.
fn write_payload(name: &[u8], how: &str, entry: Option<&Entry>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"key\":");
    out.extend_from_slice(name);
    out.extend_from_slice(b",\"");
    out.extend_from_slice(how.as_bytes());
    out.extend_from_slice(b"\":{\"data\":");
    match entry {
        Some(entry) => show::write(entry.as_ref(), out),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b"}}");
}
