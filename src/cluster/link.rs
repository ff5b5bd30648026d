//! One session with one peer: what is queued for it, under way to it, and awaited from it.
//!
//! Messages are appended to the frame that is being filled; a pump sends whatever has gathered by
//! the time it runs, so that many callers share a frame and a lone one waits for nobody. Messages
//! longer than [`PIECE_BYTES`] go in pieces on a lane of their own, one piece between two frames,
//! so that a large value does not hold up small ones.
//!
//! Nothing is unbounded: at most [`WINDOW_BYTES`] are sent and not yet acknowledged (each frame
//! carries the sum of the bytes received the other way), and at most `bytes_max` are queued, with a
//! reserve for short answers. Of long messages so many are begun at a time as the other end puts
//! together.

use std::cmp::Ordering::{Equal, Greater, Less};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use parking_lot::Mutex;
use rapidhash::RapidHashMap;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::codec::{self, Answers, FRAME_HEAD_BYTES, Malformed, MessageKind, Response};
use super::peer::Error;
use super::transport::{SessionId, Transport};
use crate::config::validate::VALUE_BYTES_LIMIT;
use crate::key::KEY_BYTES_MAX;
use crate::live::{self, MESSAGE_BYTES_LIMIT};
use crate::replication::{Finished, Lane, Outlet};
use crate::version::NodeId;

/// A frame that has reached this size is closed and the next one begun.
const FRAME_BYTES: usize = 128 * 1024;
/// The longest message that travels whole, and the length of the pieces of longer ones.
const PIECE_BYTES: usize = 128 * 1024;
/// Most bytes that are sent and not yet acknowledged.
const WINDOW_BYTES: u64 = 4 << 20;
/// An acknowledgement travels alone if so many bytes wait for it.
const ACK_BYTES: u64 = WINDOW_BYTES / 4;
/// Longest message that is put together from pieces: a value and its trimmings.
pub(super) const MESSAGE_BYTES_MAX: usize = 80 << 20;
/// Most messages that are put together at a time. A sender that keeps to [`MESSAGE_BYTES_MAX`] for
/// all that it has begun, as this one does, never has half as many.
const MESSAGES_MAX: usize = 4_096;
/// How often deadlines are looked at: requests end so much later at most.
const SWEEP_EVERY: Duration = Duration::from_millis(20);
/// Room above the queue's bound for answers that take next to none: what was done must be told.
const RESERVE_BYTES: usize = 8 << 20;
/// Answers with more than this in them are written aside, since they may have to go in pieces.
const DIRECT_BYTES: usize = PIECE_BYTES / 2;
/// Longest word of what is listened to and has happened that is put together from pieces.
const WORD_BYTES_MAX: usize = MESSAGE_BYTES_LIMIT + (1 << 20);

// Whatever the settings allow as a value, a message can carry it.
const _: () = assert!(
    MESSAGE_BYTES_MAX > VALUE_BYTES_LIMIT + KEY_BYTES_MAX + (1 << 20),
    "the longest value does not fit a message"
);

/// See the module.
pub(super) struct Link {
    pub(super) node: NodeId,
    pub(super) session: SessionId,
    transport: Arc<dyn Transport>,
    bytes_max: usize,
    out: Mutex<Out>,
    incoming: Mutex<Incoming>,
    pending: Mutex<Pending>,
    next_id: AtomicU64,
    received: AtomicU64,
    work: Notify,
    /// Held by whoever is sending, so that frames keep their order.
    sending: Mutex<()>,
    /// The effects that go over this session, once they do.
    lane: ArcSwapOption<Lane>,
}

#[derive(Default)]
struct Out {
    frames: VecDeque<Vec<u8>>,
    /// Long messages that were begun, and the sum of their lengths.
    begun: VecDeque<Long>,
    begun_bytes: usize,
    /// Long messages that wait to be begun.
    long: VecDeque<Long>,
    queued: usize,
    sent: u64,
    acked: u64,
    acknowledged_to_peer: u64,
    /// Whether the next thing to send is a piece of a long message.
    long_next: bool,
}

/// What may be queued above the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// Nothing, and of the queue only a part: what can be left out must not keep out what asks.
    Spare,
    /// Nothing.
    Queue,
    /// Short answers.
    Reserve,
    /// Whatever must go.
    Any,
}

/// A long message on its way in pieces.
struct Long {
    number: u64,
    kind: MessageKind,
    body: Vec<u8>,
    done: usize,
}

#[derive(Default)]
struct Incoming {
    pieces: HashMap<u64, Vec<u8>>,
    bytes: usize,
    /// The pieces of a word that is not yet whole: they come one after the other.
    word: Vec<u8>,
}

/// Requests that wait for their answers; `None` once the session is over.
#[derive(Default)]
struct Pending {
    closed: bool,
    waiting: RapidHashMap<u64, Waiting>,
    /// Requests up to this one were handed to the transport.
    sent_up_to: u64,
}

/// Somebody who waits for an answer.
pub(super) type Asker = oneshot::Sender<Result<Response, Error>>;

#[derive(Debug)]
struct Waiting {
    asker: Asker,
    deadline: Instant,
}

impl Link {
    pub(super) fn new(
        node: NodeId,
        session: SessionId,
        transport: Arc<dyn Transport>,
        bytes_max: usize,
    ) -> Arc<Link> {
        Arc::new(Link {
            node,
            session,
            transport,
            bytes_max,
            out: Mutex::default(),
            incoming: Mutex::default(),
            pending: Mutex::default(),
            next_id: AtomicU64::new(1),
            received: AtomicU64::new(0),
            work: Notify::new(),
            sending: Mutex::new(()),
            lane: ArcSwapOption::empty(),
        })
    }

    /// Sends whatever gathers, until the session is over.
    ///
    /// Deadlines are kept here as well, all at once and to [`SWEEP_EVERY`]: a timer for each request
    /// would cost more than the request.
    pub(super) async fn run(self: Arc<Link>) {
        let mut swept = Instant::now();
        loop {
            let (closed, idle) = {
                let pending = self.pending.lock();
                (pending.closed, pending.waiting.is_empty())
            };
            if closed {
                return;
            }
            if idle {
                self.work.notified().await;
            } else {
                // Late or not: both lead to another look.
                let _ = tokio::time::timeout(SWEEP_EVERY, self.work.notified()).await;
            }
            // Whoever is just about to ask shares the frame. It costs one look at the sockets, and
            // saves a twentieth of what a forwarded read takes when many ask.
            tokio::task::yield_now().await;
            self.pump();
            let now = Instant::now();
            if now.duration_since(swept) >= SWEEP_EVERY {
                swept = now;
                self.sweep(now);
            }
        }
    }

    /// Answers for those whose deadline has passed.
    fn sweep(&self, now: Instant) {
        let late: Vec<(u64, Waiting)> = {
            let mut pending = self.pending.lock();
            pending
                .waiting
                .extract_if(|_, waiting| waiting.deadline <= now)
                .collect()
        };
        for (_, waiting) in late {
            // The caller may have gone away before.
            let _ = waiting.asker.send(Err(Error::Deadline));
        }
    }

    /// Has the pump run soon.
    pub(super) fn wake(&self) {
        self.work.notify_one();
    }

    /// Sends what may be sent now. If somebody else is at it, has the pump look again.
    pub(super) fn pump(&self) {
        let Some(_sending) = self.sending.try_lock() else {
            self.work.notify_one();
            return;
        };
        while let Some(frame) = self.next_frame() {
            self.transport.send(self.session, frame);
        }
    }

    fn next_frame(&self) -> Option<Vec<u8>> {
        let mut out = self.out.lock();
        let received = self.received.load(Ordering::Acquire);
        let ack_due = received - out.acknowledged_to_peer >= ACK_BYTES;
        let open = out.sent - out.acked < WINDOW_BYTES;
        let mut frame = match out.take(open) {
            Some(frame) => frame,
            None if ack_due => vec![0; FRAME_HEAD_BYTES],
            None => return None,
        };
        frame[..FRAME_HEAD_BYTES].copy_from_slice(&received.to_le_bytes());
        out.acknowledged_to_peer = received;
        out.sent += frame.len() as u64;
        // Whatever number was given out before this lock was taken is in this frame or before it.
        let sent_up_to = self.next_id.load(Ordering::Relaxed);
        drop(out);
        self.pending.lock().sent_up_to = sent_up_to;
        Some(frame)
    }

    /// Queues a message; false if there is no room. What `body` writes must not be long.
    fn append(&self, kind: MessageKind, room: Room, body: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut out = self.out.lock();
        if !self.has_room(&out, room) {
            return false;
        }
        let frame = out.open_frame();
        let before = frame.len();
        codec::write_message(frame, kind, body);
        let grown = frame.len() - before;
        out.queued += grown;
        true
    }

    fn has_room(&self, out: &Out, room: Room) -> bool {
        match room {
            Room::Spare => out.queued <= self.bytes_max / 4,
            Room::Queue => out.queued <= self.bytes_max,
            Room::Reserve => out.queued <= self.bytes_max.saturating_add(RESERVE_BYTES),
            Room::Any => true,
        }
    }

    fn append_long(&self, kind: MessageKind, room: Room, body: Vec<u8>) -> bool {
        let mut out = self.out.lock();
        if !self.has_room(&out, room) {
            return false;
        }
        out.queued += body.len();
        let number = self.next_id.fetch_add(1, Ordering::Relaxed);
        out.long.push_back(Long {
            number,
            kind,
            body,
            done: 0,
        });
        true
    }

    /// Queues a control message, whatever is queued already: there are few, and without them a
    /// peer in trouble could not even be told to leave.
    pub(super) fn control(&self, control: Vec<u8>) {
        if control.len() > PIECE_BYTES {
            self.append_long(MessageKind::Control, Room::Any, control);
        } else {
            self.append(MessageKind::Control, Room::Any, |out| {
                out.extend_from_slice(&control)
            });
        }
        self.wake();
    }

    /// Effects of this lane go over the session from now on. They may have done so before, and over
    /// another session since; and the lane is another one if the node was held for dead meanwhile.
    pub(super) fn carry(self: &Arc<Link>, lane: Arc<Lane>) {
        self.lane.store(Some(Arc::clone(&lane)));
        lane.open(Arc::clone(self) as Arc<dyn Outlet>);
    }

    /// What the other end says of the effects that it was sent: those who waited for it come out.
    pub(super) fn answered(&self, answers: &Answers) -> Vec<Finished> {
        let mut finished = Vec::new();
        if let Some(lane) = self.lane.load().as_ref() {
            lane.answered(&answers.taken, true, &mut finished);
            lane.answered(&answers.refused, false, &mut finished);
        }
        finished
    }

    /// The lane whose effects go over the session.
    pub(super) fn lane(&self) -> Option<Arc<Lane>> {
        self.lane.load_full()
    }

    /// Queues what is to be said of effects, whatever is queued already: others wait for it.
    pub(super) fn answer_effects(&self, answers: &Answers) {
        self.append(MessageKind::Answers, Room::Any, |out| {
            codec::write_answers(out, answers);
        });
    }

    /// Queues a request of about `bytes` bytes; its answer comes through the receiver.
    pub(super) fn request(
        &self,
        bytes: usize,
        deadline: Instant,
        write: impl FnOnce(&mut Vec<u8>, u64),
    ) -> Result<(u64, oneshot::Receiver<Result<Response, Error>>), Error> {
        let (asker, answer) = oneshot::channel();
        let id = {
            let mut pending = self.pending.lock();
            if pending.closed {
                return Err(Error::NotConnected);
            }
            let id = self.next_id.fetch_add(1, Ordering::Relaxed);
            pending.waiting.insert(id, Waiting { asker, deadline });
            id
        };
        let queued = if bytes < DIRECT_BYTES {
            self.append(MessageKind::Request, Room::Queue, |out| write(out, id))
        } else {
            let mut body = Vec::with_capacity(bytes + 64);
            write(&mut body, id);
            self.append_long(MessageKind::Request, Room::Queue, body)
        };
        if !queued {
            self.forget(id);
            return Err(Error::Overloaded);
        }
        self.wake();
        Ok((id, answer))
    }

    /// The request was not sent after all.
    fn forget(&self, id: u64) {
        self.pending.lock().waiting.remove(&id);
    }

    /// Queues an answer that is written from where it lies; false if there is no room for it.
    pub(super) fn respond_with(&self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.append(MessageKind::Response, Room::Queue, write)
    }

    /// Queues an answer, or what stands for it in short if there is no room for it. When even the
    /// reserve is used up the asking node hears nothing: its deadline passes, and so it knows that
    /// it knows nothing.
    pub(super) fn respond(&self, id: u64, response: &Response) {
        let queued = if response.payload_bytes() < DIRECT_BYTES {
            self.append(MessageKind::Response, Room::Queue, |out| {
                codec::write_response(out, id, response);
            })
        } else {
            let mut body = Vec::with_capacity(response.payload_bytes() + 64);
            codec::write_response(&mut body, id, response);
            if body.len() > PIECE_BYTES {
                self.append_long(MessageKind::Response, Room::Queue, body)
            } else {
                self.append(MessageKind::Response, Room::Queue, |out| {
                    out.extend_from_slice(&body);
                })
            }
        };
        if !queued {
            let short = response.in_short();
            self.append(MessageKind::Response, Room::Reserve, |out| {
                codec::write_response(out, id, short.as_ref().unwrap_or(response));
            });
        }
    }

    /// Whoever waits for this answer, if they still do.
    pub(super) fn asker(&self, id: u64) -> Option<Asker> {
        let waiting = self.pending.lock().waiting.remove(&id)?;
        Some(waiting.asker)
    }

    /// Takes a frame apart: `take` is called with each whole message.
    pub(super) fn receive(
        &self,
        frame: Vec<u8>,
        mut take: impl FnMut(MessageKind, Bytes) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let length = frame.len() as u64;
        let mut frame = Bytes::from(frame);
        let acked = crate::fields::get_u64(&mut frame)?;
        self.acknowledged(acked);
        self.received.fetch_add(length, Ordering::AcqRel);
        while let Some((kind, body)) = codec::read_message(&mut frame)? {
            let whole = match kind {
                MessageKind::Fragment => self.piece(body)?,
                MessageKind::Live => self.word_piece(body)?.map(|word| (kind, word)),
                _ => Some((kind, body)),
            };
            if let Some((kind, body)) = whole {
                take(kind, body)?;
            }
        }
        let unacknowledged =
            self.received.load(Ordering::Acquire) - self.out.lock().acknowledged_to_peer;
        if unacknowledged >= ACK_BYTES {
            self.wake();
        }
        Ok(())
    }

    fn acknowledged(&self, acked: u64) {
        let mut out = self.out.lock();
        let was_shut = out.sent - out.acked >= WINDOW_BYTES;
        // A peer cannot acknowledge what it was not sent.
        out.acked = acked.clamp(out.acked, out.sent);
        let opened = was_shut && out.sent - out.acked < WINDOW_BYTES;
        drop(out);
        if opened {
            self.wake();
        }
    }

    /// Puts a piece to the others; the whole message when it was the last one.
    fn piece(&self, mut body: Bytes) -> Result<Option<(MessageKind, Bytes)>, Malformed> {
        let number = crate::fields::get_u64(&mut body)?;
        let total = crate::fields::get_u32(&mut body)? as usize;
        let mut incoming = self.incoming.lock();
        // Memory grows with what has arrived, not with what is claimed.
        if total > MESSAGE_BYTES_MAX
            || body.is_empty()
            || incoming.bytes + body.len() > 2 * MESSAGE_BYTES_MAX
            || incoming.pieces.len() >= MESSAGES_MAX
        {
            return Err(Malformed);
        }
        incoming.bytes += body.len();
        let message = incoming.pieces.entry(number).or_default();
        message.extend_from_slice(&body);
        match message.len().cmp(&total) {
            Less => return Ok(None),
            Equal => {}
            Greater => return Err(Malformed),
        }
        let message = incoming.pieces.remove(&number).unwrap_or_default();
        incoming.bytes -= message.len();
        let mut message = Bytes::from(message);
        let kind = MessageKind::from_number(message.split_to(1)[0])?;
        Ok(Some((kind, message)))
    }

    /// Puts a piece of a word to the others; the whole word when it was the last one.
    fn word_piece(&self, mut body: Bytes) -> Result<Option<Bytes>, Malformed> {
        let more = crate::fields::get_u8(&mut body)? == 1;
        let mut incoming = self.incoming.lock();
        if !more && incoming.word.is_empty() {
            return Ok(Some(body));
        }
        if incoming.word.len() + body.len() > WORD_BYTES_MAX {
            return Err(Malformed);
        }
        incoming.word.extend_from_slice(&body);
        let word = (!more).then(|| Bytes::from(std::mem::take(&mut incoming.word)));
        Ok(word)
    }

    /// The session is over. Requests that were never sent can be tried elsewhere; of the others
    /// nobody knows.
    pub(super) fn close(&self) {
        let mut pending = self.pending.lock();
        pending.closed = true;
        let sent_up_to = pending.sent_up_to;
        let waiting = std::mem::take(&mut pending.waiting);
        drop(pending);
        for (id, Waiting { asker, .. }) in waiting {
            let error = if id < sent_up_to {
                Error::Lost
            } else {
                Error::NotConnected
            };
            let _ = asker.send(Err(error));
        }
        self.work.notify_one();
    }

    /// Bytes queued and under way.
    pub(super) fn backlog(&self) -> u64 {
        let out = self.out.lock();
        out.queued as u64 + (out.sent - out.acked)
    }
}

impl Outlet for Link {
    /// What is queued is bounded by the lane, which keeps it as well.
    fn effect(&self, number: u64, effect: &Bytes) {
        if effect.len() < DIRECT_BYTES {
            self.append(MessageKind::Effect, Room::Any, |out| {
                codec::write_effect(out, number, effect);
            });
        } else {
            let mut body = Vec::with_capacity(effect.len() + 8);
            codec::write_effect(&mut body, number, effect);
            self.append_long(MessageKind::Effect, Room::Any, body);
        }
        self.wake();
    }
}

impl live::Outlet for Link {
    /// In pieces if it is long, but one behind the other in the frames: words must not overtake each
    /// other, and the few that are long hold up what is behind them for a moment.
    fn word(&self, word: &[u8], must: bool) -> bool {
        let room = if must { Room::Any } else { Room::Spare };
        let mut out = self.out.lock();
        if !self.has_room(&out, room) {
            return false;
        }
        let mut pieces = word.chunks(DIRECT_BYTES).peekable();
        while let Some(piece) = pieces.next() {
            let more = u8::from(pieces.peek().is_some());
            let frame = out.open_frame();
            let before = frame.len();
            codec::write_message(frame, MessageKind::Live, |body| {
                body.push(more);
                body.extend_from_slice(piece);
            });
            let grown = frame.len() - before;
            out.queued += grown;
        }
        drop(out);
        self.wake();
        true
    }
}

impl Out {
    /// The frame that is being filled.
    fn open_frame(&mut self) -> &mut Vec<u8> {
        if self
            .frames
            .back()
            .is_none_or(|frame| frame.len() >= FRAME_BYTES)
        {
            let mut frame = Vec::with_capacity(1024);
            frame.resize(FRAME_HEAD_BYTES, 0);
            self.frames.push_back(frame);
        }
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    /// What goes next: frames and pieces of long messages take turns.
    fn take(&mut self, window_open: bool) -> Option<Vec<u8>> {
        if !window_open {
            return None;
        }
        self.begin();
        let long = !self.begun.is_empty() && (self.long_next || self.frames.is_empty());
        self.long_next = !long;
        if long {
            return self.take_piece();
        }
        let frame = self.frames.pop_front()?;
        self.queued -= frame.len() - FRAME_HEAD_BYTES;
        Some(frame)
    }

    /// Begins long messages, but not more than the other end puts together at a time.
    fn begin(&mut self) {
        while let Some(next) = self.long.front() {
            let bytes = self.begun_bytes + next.body.len();
            if bytes > MESSAGE_BYTES_MAX && !self.begun.is_empty() {
                return;
            }
            self.begun_bytes = bytes;
            self.begun.extend(self.long.pop_front());
        }
    }

    fn take_piece(&mut self) -> Option<Vec<u8>> {
        let mut long = self.begun.pop_front()?;
        let end = (long.done + PIECE_BYTES).min(long.body.len());
        let total = u32::try_from(long.body.len() + 1).unwrap_or(u32::MAX);
        let mut frame = Vec::with_capacity(end - long.done + 64);
        frame.resize(FRAME_HEAD_BYTES, 0);
        codec::write_message(&mut frame, MessageKind::Fragment, |out| {
            out.extend_from_slice(&long.number.to_le_bytes());
            out.extend_from_slice(&total.to_le_bytes());
            if long.done == 0 {
                out.push(long.kind as u8);
            }
            out.extend_from_slice(&long.body[long.done..end]);
        });
        self.queued -= end - long.done;
        long.done = end;
        if long.done < long.body.len() {
            // Long messages take turns as well.
            self.begun.push_back(long);
        } else {
            self.begun_bytes -= long.body.len();
        }
        Some(frame)
    }
}

#[cfg(test)]
mod tests;
