//! A connection from its first byte to its last: read, parse, carry out, write.
//!
//! One task does all of it, with one buffer for what comes and one for what goes. Whatever complete
//! requests a read brought are carried out one after the other, and their replies leave in one write;
//! a reply that has to wait goes through the [`Queue`], behind which the next ones may begin.
//!
//! What bounds a client: the length of a request ([`Limits`](super::request::Limits)); the replies
//! that it has not taken, beyond which nothing is read or carried out, and the time that it may take
//! for them ([`Patience`]); the time for the rest of a request, and between requests if
//! `resp-idle-timeout` says so; and the memory of the doors ([`Hold`]), of which everything beyond
//! small buffers takes its part.

mod buffers;
mod watch;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep};

use self::buffers::READ_BYTES;
use self::watch::Seen;
use super::Shared;
use super::call::{Call, Flow, resolve};
use super::clients::Registered;
use super::failure::Refusal;
use super::pause::Blocked;
use super::pubsub::Heard;
use super::queue::{Queue, Touches};
use super::reply::Out;
use super::request::{self, Arguments, Parser, Step};
use super::session::{Replies, Session};
use super::table::{Entry, Flags};
use crate::clock::UnixMs;
use crate::door::hold::Hold;
use crate::door::patience::Patience;

/// With so much to be written nothing further is carried out.
const OUT_BYTES_MAX: usize = 64 << 10;
/// How long, and how much, is read and thrown away from a client that is told why it is cut off.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 8 << 20;
/// So many requests that come together are a pipeline.
const PIPELINE_MIN: u64 = 4;

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client closed it, or asked for it, or the node stops.
    Closed,
    /// It broke.
    Broken,
    /// It was told why, and may not have read that yet.
    Refused,
    /// It speaks HTTP.
    Http,
    /// Another connection wanted it.
    Killed,
    /// It did not take the messages that it listens to.
    Overrun,
    /// It listens, and its token is not one any more.
    Revoked,
    /// The rest of a request did not come.
    Slow,
    /// Nothing was asked for.
    Idle,
    /// Replies were not taken.
    NotReading,
}

/// What keeps further requests from being carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// There is none that is complete.
    Starved,
    /// One must wait for another one, or for the end of a pause.
    Blocked,
    /// Replies are to be taken first.
    Full,
}

/// Commands of one kind, counted together.
#[derive(Debug, Default)]
struct Tally {
    entry: Option<&'static Entry>,
    count: u64,
}

/// See the module.
pub(super) struct Connection<S> {
    stream: S,
    shared: Arc<Shared>,
    // Others know of the connection as long as this lives.
    _registered: Registered,
    session: Session,
    input: BytesMut,
    parser: Parser,
    /// A complete request that must wait: how long it is.
    held: Option<usize>,
    /// How much of a request is known to be missing.
    missing: usize,
    /// How much is read at a time.
    reach: usize,
    out: Out,
    written: usize,
    unflushed: bool,
    gave_way: bool,
    queue: Queue,
    hold: Hold,
    patience: Patience,
    paused: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    timer: Pin<Box<Sleep>>,
    seen: Seen,
    read: u64,
    requests: u64,
    tally: Tally,
    /// Set when it is to end as soon as its replies are written.
    last_words: Option<End>,
    is_over: bool,
    is_listening: bool,
    is_watching: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(stream: S, shared: &Arc<Shared>, registered: Registered) -> Connection<S> {
        let now = Instant::now();
        Connection {
            stream,
            session: Session::new(Arc::clone(&registered.client)),
            _registered: registered,
            input: BytesMut::new(),
            parser: Parser::default(),
            held: None,
            missing: 1,
            reach: READ_BYTES,
            out: Out::default(),
            written: 0,
            unflushed: false,
            gave_way: false,
            queue: Queue::new(),
            hold: Hold::nothing(&shared.context.budget),
            patience: Patience::new(shared.context.config.write_timeout),
            paused: None,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            seen: Seen {
                read: 0,
                requests: 0,
                quiet: now,
                since: now,
                from: 0,
            },
            read: 0,
            requests: 0,
            tally: Tally::default(),
            last_words: None,
            is_over: false,
            is_listening: false,
            is_watching: false,
            shared: Arc::clone(shared),
        }
    }

    /// Serves the client until one of them has had enough.
    pub(super) async fn serve(mut self) {
        let end = std::future::poll_fn(|cx| self.go(cx)).await;
        self.count_calls();
        self.shared.dropped.count(end);
        if end == End::Refused {
            // Closing on what was not read would reset the connection, and lose the reply.
            let _ = tokio::time::timeout(LINGER, linger(&mut self.stream)).await;
        } else {
            let _ = tokio::time::timeout(LINGER, self.stream.shutdown()).await;
        }
    }

    fn go(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if !self.is_listening {
            // A task's waker never changes: once is enough.
            self.is_listening = true;
            self.session.client.listen(cx.waker());
        }
        loop {
            if self.session.client.is_ended() {
                return Poll::Ready(End::Killed);
            }
            if self.shared.clients.is_stopping() {
                self.last_words.get_or_insert(End::Closed);
            }
            self.queue.poll(cx, &mut self.out);
            let before = self.requests;
            let stop = match self.session.listening {
                None => self.work(cx),
                Some(_) => match self.hear_and_work(cx) {
                    Ok(stop) => stop,
                    Err(end) => return Poll::Ready(end),
                },
            };
            self.account();
            if self.lets_others_go_first(cx, self.requests - before) {
                return Poll::Pending;
            }
            match self.flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(End::Broken),
                Poll::Pending => {
                    ready!(self.patience.poll_lost(cx));
                    return Poll::Ready(End::NotReading);
                }
            }
            if stop == Stop::Full {
                continue;
            }
            if let Some(end) = self.last_words.filter(|_| self.queue.is_empty()) {
                return Poll::Ready(end);
            }
            if !self.is_over && self.may_read(stop) {
                match self.fill(cx) {
                    Poll::Ready(Ok(0)) => {
                        self.is_over = true;
                        self.last_words.get_or_insert(End::Closed);
                        continue;
                    }
                    Poll::Ready(Ok(_)) => continue,
                    Poll::Ready(Err(_)) => return Poll::Ready(End::Broken),
                    Poll::Pending => {}
                }
            }
            return match self.watch(cx) {
                Some(end) => Poll::Ready(end),
                None => Poll::Pending,
            };
        }
    }

    /// Whether the replies to a pipeline wait until other connections that have requests had their turn.
    /// What came together is then answered together: a client program that has many connections is woken
    /// by the first reply, and finds the others without being woken for each. For a single request the
    /// second turn costs more than that saves.
    fn lets_others_go_first(&mut self, cx: &mut Context<'_>, carried_out: u64) -> bool {
        let is_due = carried_out >= PIPELINE_MIN && !self.gave_way;
        self.gave_way = is_due;
        if is_due {
            // Behind all that can run on this thread now.
            cx.waker().wake_by_ref();
        }
        is_due
    }

    /// As [`Connection::work`], for a client that listens: what was published before a request came
    /// comes before its reply.
    fn hear_and_work(&mut self, cx: &mut Context<'_>) -> Result<Stop, End> {
        self.hear(cx)?;
        let stop = self.work(cx);
        Ok(if self.hear(cx)? { Stop::Full } else { stop })
    }

    /// Writes what was published to the client; whether there may be more, for which there is no
    /// room yet. Nothing follows its last words but what was published before the node stops.
    fn hear(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.last_words.is_some() && !self.shared.clients.is_stopping() {
            return Ok(false);
        }
        if self.session.is_stranger(&self.shared) {
            return Err(End::Revoked);
        }
        let Some(listening) = &mut self.session.listening else {
            return Ok(false);
        };
        let bytes_max = self.written + OUT_BYTES_MAX;
        match listening.hear(cx, &mut self.out, bytes_max) {
            Heard::All => {}
            Heard::Some => return Ok(true),
            Heard::Last => {
                self.last_words.get_or_insert(End::Closed);
            }
            Heard::Overrun => {
                self.shared.tell_of_overrun(self.session.client.address);
                return Err(End::Overrun);
            }
        }
        Ok(false)
    }

    /// Carries out what has come, as far as that goes.
    fn work(&mut self, cx: &mut Context<'_>) -> Stop {
        if let Some(paused) = &mut self.paused {
            if paused.as_mut().poll(cx).is_pending() {
                return Stop::Blocked;
            }
            self.paused = None;
        }
        let stop = self.work_off(cx);
        self.count_calls();
        stop
    }

    fn work_off(&mut self, cx: &mut Context<'_>) -> Stop {
        // One look at the clock for all that a read has brought: all of it had come by then.
        let mut now = None;
        loop {
            if self.last_words.is_some() {
                return Stop::Starved;
            }
            if self.out.len() - self.written >= OUT_BYTES_MAX {
                return Stop::Full;
            }
            if self.queue.is_full() {
                return Stop::Blocked;
            }
            let limits = request::Limits {
                stranger: self.session.is_stranger(&self.shared),
                ..self.shared.limits
            };
            let step = match self.held.take() {
                Some(length) => Ok(Step::Request(length)),
                None => self.parser.step(&mut self.input, &limits),
            };
            match step {
                Ok(Step::Request(length)) => {
                    let now = *now.get_or_insert_with(|| self.shared.context.clock.now());
                    if !self.run(cx, length, now) {
                        self.held = Some(length);
                        return Stop::Blocked;
                    }
                }
                Ok(Step::Nothing(length)) => self.input.advance(length),
                Ok(Step::Incomplete(missing)) => {
                    self.missing = missing;
                    return Stop::Starved;
                }
                Err(error) => self.misunderstood(error),
            }
        }
    }

    /// Carries one request out. False if it must wait.
    fn run(&mut self, cx: &mut Context<'_>, length: usize, now: UnixMs) -> bool {
        let before = self.input.len();
        let arguments = self.parser.arguments(&mut self.input, length);
        let shared = &self.shared;
        let entry = resolve(&arguments).and_then(|entry| {
            self.session.admit(shared, entry)?;
            Ok(entry)
        });
        if let Ok(entry) = &entry {
            if shared.pause.holds(entry.spec.flags.has(Flags::PAUSED)) && !entry.ends_pause() {
                let blocked = Blocked::new(shared);
                let mut over = Box::pin(async move { blocked.pause_over().await });
                if over.as_mut().poll(cx).is_pending() {
                    self.paused = Some(over);
                } else {
                    cx.waker().wake_by_ref();
                }
                return false;
            }
            if !self.queue.is_empty() && must_wait(&self.queue, entry, &arguments) {
                return false;
            }
        }
        let behind = !self.queue.is_empty();
        let out = match behind {
            true => self.queue.tail(self.session.protocol),
            false => &mut self.out,
        };
        let start = out.len();
        let flow = entry.and_then(|entry| {
            self.tally.add(shared, entry);
            let call = Call {
                shared,
                session: &mut self.session,
                entry,
                out,
                now,
            };
            (entry.spec.run)(call, arguments)
        });
        request::consume(&mut self.input, length, before);
        self.requests += 1;
        self.conclude(cx, flow, (behind, start), length);
        true
    }

    /// Puts a reply where it belongs, unless nobody wants it.
    fn conclude(
        &mut self,
        cx: &mut Context<'_>,
        flow: Result<Flow, Refusal>,
        (behind, start): (bool, usize),
        request_bytes: usize,
    ) {
        let silent = self.session.replies.are_silent() && !std::mem::take(&mut self.session.aloud);
        self.session.replies = match self.session.replies {
            Replies::SkipNext => Replies::Skip,
            Replies::Skip => Replies::On,
            other => other,
        };
        if self.session.closing {
            self.last_words.get_or_insert(End::Closed);
        }
        let out = match behind {
            true => self.queue.tail(self.session.protocol),
            false => &mut self.out,
        };
        match flow {
            Ok(Flow::Done) => {}
            // Begun, so that it is under way before the next one is looked at.
            Ok(Flow::Later(mut later)) => match later.reply.as_mut().poll(cx) {
                Poll::Ready(reply) => out.append(reply),
                Poll::Pending => {
                    self.queue.push(later, silent, request_bytes);
                    return;
                }
            },
            Err(refusal) => {
                out.truncate(start);
                refusal.write(out);
            }
        }
        if out.bytes().get(start) == Some(&b'-') {
            self.shared.errors.fetch_add(1, Relaxed);
        }
        if silent {
            out.truncate(start);
        }
        let more = out.len() - start;
        if behind {
            self.queue.grew(more);
        }
    }

    /// What came is no request, and what follows cannot be one.
    fn misunderstood(&mut self, error: request::Error) {
        if error == request::Error::Http {
            self.shared.tell_of_http(self.session.client.address);
            self.last_words = Some(End::Http);
            return;
        }
        self.shared.misunderstood.fetch_add(1, Relaxed);
        tracing::debug!(client = %self.session.client.address, %error, "no request; closed");
        self.refuse(&Refusal::text(format!("ERR Protocol error: {error}")));
    }

    /// Says why the connection ends, behind all replies.
    fn refuse(&mut self, refusal: &Refusal) {
        if self.queue.is_empty() {
            refusal.write(&mut self.out);
        } else {
            let out = self.queue.tail(self.session.protocol);
            let start = out.len();
            refusal.write(out);
            let more = out.len() - start;
            self.queue.grew(more);
        }
        self.shared.errors.fetch_add(1, Relaxed);
        self.last_words = Some(End::Refused);
    }

    /// Gives the counts to the door.
    fn count_calls(&mut self) {
        let Some(entry) = self.tally.entry.filter(|_| self.tally.count > 0) else {
            return;
        };
        self.tally.flush(&self.shared);
        let client = &self.session.client;
        client.entry.store(entry.index, Relaxed);
        client
            .active
            .store(self.shared.context.clock.now().0, Relaxed);
    }
}

impl Tally {
    fn add(&mut self, shared: &Shared, entry: &'static Entry) {
        let same = self.entry.is_some_and(|last| last.index == entry.index);
        if !same {
            self.flush(shared);
            self.entry = Some(entry);
        }
        self.count += 1;
    }

    fn flush(&mut self, shared: &Shared) {
        if let Some(calls) = self.entry.and_then(|entry| shared.calls.get(entry.index)) {
            calls.fetch_add(std::mem::take(&mut self.count), Relaxed);
        }
    }
}

/// Whether a request may not begin before one that is under way is done.
fn must_wait(queue: &Queue, entry: &Entry, arguments: &Arguments<'_>) -> bool {
    let spec = entry.spec;
    if spec.flags.has(Flags::FREE) {
        return false;
    }
    let writes = spec.flags.has(Flags::WRITE);
    let places = spec.key_places(arguments.len(), |at| arguments.get(at));
    let mut keys = places
        .into_iter()
        .flatten()
        .filter_map(|at| arguments.get(at));
    let touches = match (keys.next(), keys.next()) {
        (None, _) => Touches::All,
        (Some(key), None) => Touches::one(key, writes),
        (Some(first), Some(second)) => {
            Touches::many([first, second].into_iter().chain(keys), writes)
        }
    };
    queue.disturbs(&touches)
}

/// Says that nothing more will be written, then reads and throws away.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.shutdown().await?;
    let mut scratch = [0; 4096];
    let mut left = LINGER_BYTES_MAX;
    while left > 0 {
        let count = stream.read(&mut scratch).await?;
        if count == 0 {
            break;
        }
        left = left.saturating_sub(count);
    }
    Ok(())
}

/// How many connections the door closed, and why.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    pub(super) idle: std::sync::atomic::AtomicU64,
    pub(super) slow: std::sync::atomic::AtomicU64,
    pub(super) not_reading: std::sync::atomic::AtomicU64,
    pub(super) refused: std::sync::atomic::AtomicU64,
    pub(super) http: std::sync::atomic::AtomicU64,
    pub(super) killed: std::sync::atomic::AtomicU64,
    pub(super) overrun: std::sync::atomic::AtomicU64,
    pub(super) revoked: std::sync::atomic::AtomicU64,
}

impl Dropped {
    fn count(&self, end: End) {
        let counter = match end {
            End::Closed | End::Broken => return,
            End::Refused => &self.refused,
            End::Http => &self.http,
            End::Killed => &self.killed,
            End::Overrun => &self.overrun,
            End::Revoked => &self.revoked,
            End::Slow => &self.slow,
            End::Idle => &self.idle,
            End::NotReading => &self.not_reading,
        };
        counter.fetch_add(1, Relaxed);
    }
}
