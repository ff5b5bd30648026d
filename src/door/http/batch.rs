//! Many operations in one request: `POST /api/batch`, newline-delimited JSON both ways.
//!
//! A line asks for one operation, `{"op","key","data","ttl","if_match","if_none_match"}`; without
//! `op` it is a `put` if it has `data`, else a `get`. Each line is answered by one line, in order,
//! while later ones still arrive: `{"key","status":200,…}`, or `{"key","line","error","message",
//! "status"}`, and one line's error harms no other. Lines of one key take effect one after the
//! other; of different keys several are under way at a time (`pipeline`).
//!
//! The length of the whole is not bounded, only that of a line. A client that does not read its
//! answers is not read from either.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};

use super::accept::{self, Format};
use super::body::{Body, Incoming, Pace, next_piece};
use super::condition::text_condition;
use super::envelope;
use super::failure::Failure;
use super::front::{Call, Exchange, Shared};
use super::hold::{Held, Hold};
use super::idempotency::IdempotencyKey;
use super::lines::{Line, Lines};
use super::many::{PIECE_BYTES, write_facts};
use super::pipeline::Pipeline;
use super::read::{data_bytes, write_data};
use crate::access::{Need, Role};
use crate::command::json::{self, Object};
use crate::command::{Command, Entry, Kind, OperationId, Reply};
use crate::key::Key;

const MEMBERS: [&str; 6] = ["op", "key", "data", "ttl", "if_match", "if_none_match"];

/// Begins to answer before the first line has arrived.
pub(super) fn answer<B: Incoming>(
    call: &Call,
    body: B,
    exchange: Exchange,
) -> Result<Response<Body>, Failure> {
    accept::format(&call.parts.headers, &[Format::Lines, Format::Json])?;
    let batch = Batch {
        lines: Lines::new(call.context().config.body_bytes_max),
        shared: Arc::clone(&call.shared),
        role: call.role,
        idempotency_key: IdempotencyKey::of(&call.parts.headers)?,
        pace: Pace::new(call.context().config.idle_timeout),
        hold: Hold::nothing(&call.shared.budget),
        body: Some(body),
        pipeline: Pipeline::new(),
        held: None,
    };
    let pieces = stream::unfold(batch, |mut batch| async move {
        let piece = batch.piece().await;
        (!piece.bytes.is_empty()).then(|| (piece.into_bytes(), batch))
    });
    let mut response = Response::new(Body::stream(pieces, exchange));
    let lines = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(CONTENT_TYPE, lines);
    Ok(response)
}

type Work = Pin<Box<dyn Future<Output = Held> + Send>>;

struct Batch<B> {
    shared: Arc<Shared>,
    /// What its client may do.
    role: Role,
    idempotency_key: Option<IdempotencyKey>,
    /// `None` when it has ended.
    body: Option<B>,
    /// How fast the line that is arriving does.
    pace: Pace,
    lines: Lines,
    /// What a line that is not whole takes, beyond a piece of it.
    hold: Hold,
    pipeline: Pipeline<Work>,
    /// A line whose key is under way.
    held: Option<Operation>,
}

/// What can happen next.
enum Event {
    Answered(Held),
    Arrived(Result<Option<Bytes>, Failure>),
    Ended,
}

impl<B: Incoming> Batch<B> {
    /// The next stretch of answers: what is ready, and at least one; empty at the end.
    async fn piece(&mut self) -> Held {
        let mut piece = Held::nothing(&self.shared.budget);
        while piece.bytes.len() < PIECE_BYTES {
            self.start();
            self.settle();
            let event = if piece.bytes.is_empty() {
                self.event().await
            } else {
                match self.event().now_or_never() {
                    Some(event) => event,
                    None => break,
                }
            };
            match event {
                Event::Answered(answer) => {
                    // While it was awaited nothing was read.
                    self.pace.restart();
                    piece.append(answer);
                }
                Event::Arrived(Ok(Some(bytes))) => self.arrived(&bytes),
                Event::Arrived(Ok(None)) => {
                    self.body = None;
                    if let Some(line) = self.lines.last() {
                        self.held = Some(self.operation(&line));
                    }
                }
                Event::Arrived(Err(failure)) => self.give_up(failure),
                Event::Ended => break,
            }
        }
        piece
    }

    /// Starts whatever may start.
    fn start(&mut self) {
        while self.pipeline.has_room() {
            let next = self.held.take().or_else(|| {
                let line = self.lines.next()?;
                self.pace.restart();
                Some(self.operation(&line))
            });
            let Some(operation) = next else {
                return;
            };
            let tag = operation.tag();
            if tag.is_some_and(|tag| self.pipeline.is_under_way(tag)) {
                self.held = Some(operation);
                return;
            }
            let work = operation.carry_out(Arc::clone(&self.shared));
            self.pipeline.push(tag, Box::pin(work));
        }
    }

    fn operation(&self, line: &Line) -> Operation {
        let name = self.idempotency_key.as_ref();
        let mut operation = Operation::parse(&self.shared, line, name);
        if operation.is_write() {
            let access = &self.shared.context.access;
            if let Err(refused) = access.check_role(self.role, Need::Write) {
                operation.command = Err(refused.into());
            }
        }
        operation
    }

    /// Takes a piece of the body. A line that the door has no memory for is passed over.
    fn arrived(&mut self, bytes: &[u8]) {
        let pending = self.lines.pending_bytes();
        if pending == 0 {
            self.pace.restart();
        }
        let wanted = (pending + bytes.len()).saturating_sub(PIECE_BYTES);
        if let Err(refused) = self.hold.set(wanted) {
            if let Some(line) = self.lines.pass_over() {
                self.held = Some(Operation {
                    line,
                    key: None,
                    id: None,
                    command: Err(refused.into()),
                    _hold: None,
                });
            }
            self.settle();
        }
        self.lines.push(bytes);
    }

    /// Gives back what whole lines had; they have holds of their own.
    fn settle(&mut self) {
        let pending = self.lines.pending_bytes().saturating_sub(PIECE_BYTES);
        // Less than before is never refused; more was asked for when it arrived.
        self.hold.try_set(pending.min(self.hold.bytes()));
    }

    /// Waits for an answer, or for more lines if there is room for them.
    async fn event(&mut self) -> Event {
        let reads = self.held.is_none() && self.pipeline.has_room();
        let pace = &mut self.pace;
        let body = self.body.as_mut().filter(|_| reads);
        match (body, self.pipeline.is_empty()) {
            (None, true) => Event::Ended,
            (None, false) => answered(self.pipeline.next().await),
            (Some(body), true) => Event::Arrived(next_piece(body, pace).await),
            (Some(body), false) => tokio::select! {
                biased;
                answer = self.pipeline.next() => answered(answer),
                piece = next_piece(body, pace) => Event::Arrived(piece),
            },
        }
    }

    /// The rest of the body will not come. Of a client that is gone nothing is said.
    fn give_up(&mut self, failure: Failure) {
        self.body = None;
        if failure.status == StatusCode::REQUEST_TIMEOUT {
            self.held = Some(Operation {
                line: self.lines.last().map_or(0, |line| line.number),
                key: None,
                id: None,
                command: Err(failure),
                _hold: None,
            });
        }
    }
}

fn answered(answer: Option<Held>) -> Event {
    answer.map_or(Event::Ended, Event::Answered)
}

/// What one line asks for.
struct Operation {
    line: u64,
    key: Option<Key>,
    /// If it is a write and the client has named its batch.
    id: Option<OperationId>,
    command: Result<Command, Failure>,
    /// What the line takes until it is answered.
    _hold: Option<Hold>,
}

impl Operation {
    fn parse(shared: &Shared, line: &Line, name: Option<&IdempotencyKey>) -> Operation {
        let config = &shared.context.config;
        let mut key = None;
        let mut hold = None;
        let command = match &line.text {
            None => {
                let max = config.body_bytes_max;
                let message = format!("the line is longer than {max} bytes");
                let status = StatusCode::PAYLOAD_TOO_LARGE;
                Err(Failure::new(status, "line_too_long", message))
            }
            Some(text) => Hold::take(&shared.budget, text.len())
                .map(|taken| hold = Some(taken))
                .map_err(Failure::from)
                .and_then(|()| Ok(Object::parse(text, config.json_depth_max)?))
                .and_then(|object| {
                    let named = key.insert(envelope::key(&object, config.key_bytes_max)?);
                    command(&object, named.clone())
                }),
        };
        let write = command.as_ref().ok().filter(|command| !command.is_read());
        Operation {
            line: line.number,
            id: name
                .zip(write)
                .map(|(name, command)| name.on_line(command.key(), line.number)),
            key,
            command,
            _hold: hold,
        }
    }

    fn is_write(&self) -> bool {
        self.command
            .as_ref()
            .is_ok_and(|command| !command.is_read())
    }

    /// Equal for equal keys; reads have one too, since they must not overtake writes.
    fn tag(&self) -> Option<u64> {
        let key = self.command.as_ref().ok()?.key();
        Some(rapidhash::v3::rapidhash_v3(key.as_bytes()))
    }

    /// Does it, and says what came of it in a line.
    async fn carry_out(self, shared: Arc<Shared>) -> Held {
        let done = match &self.command {
            Ok(command) => perform(&shared, command, self.id).await,
            Err(failure) => Err(failure.clone()),
        };
        done.unwrap_or_else(|failure| Held::owing(&shared.budget, self.failed(&failure)))
    }

    fn failed(&self, failure: &Failure) -> Vec<u8> {
        let mut out = vec![b'{'];
        if let Some(key) = &self.key {
            out.extend_from_slice(b"\"key\":");
            write_key(key, &mut out);
            out.push(b',');
        }
        out.extend_from_slice(b"\"line\":");
        out.extend_from_slice(itoa::Buffer::new().format(self.line).as_bytes());
        out.push(b',');
        failure.write_members(&mut out);
        if let Some(version) = failure.current() {
            out.extend_from_slice(b",\"etag\":\"");
            version.write_text(&mut out);
            out.push(b'"');
        }
        out.extend_from_slice(b"}\n");
        out
    }
}

fn write_key(key: &Key, out: &mut Vec<u8>) {
    json::write_string(&String::from_utf8_lossy(key.as_bytes()), out);
}

/// Reads the members that stand beside the key.
fn command(object: &Object, key: Key) -> Result<Command, Failure> {
    envelope::only(object, &MEMBERS)?;
    let text = |name: &str| match object.get(name) {
        None => Ok(None),
        Some(json) => json::string(json).map(Some).ok_or_else(|| {
            let message = format!("{name} must be a string");
            Failure::bad("invalid_line", message)
        }),
    };
    let condition = text_condition(
        text("if_match")?.as_deref(),
        text("if_none_match")?.as_deref(),
    )?;
    let data = object.share("data");
    let default = if data.is_some() { "put" } else { "get" };
    let op = text("op")?;
    let op = op.as_deref().unwrap_or(default);
    let unwanted = match op {
        "get" => ["data", "ttl", "if_match", "if_none_match"].as_slice(),
        "patch" => &["ttl"],
        "delete" => &["data", "ttl"],
        _ => &[],
    };
    if let Some(name) = unwanted.iter().find(|name| object.get(name).is_some()) {
        let message = format!("a {op} takes no {name}");
        return Err(Failure::bad("unknown_member", message));
    }
    match op {
        "get" => Ok(Command::Get { key }),
        "put" => Ok(Command::Put {
            key,
            kind: Kind::Json,
            data: envelope::data(data)?,
            ttl_ms: envelope::ttl_ms(object)?,
            condition,
        }),
        "patch" => Ok(Command::MergePatch {
            key,
            patch: envelope::data(data)?,
            condition,
        }),
        "delete" => Ok(Command::Delete { key, condition }),
        other => {
            let message = format!("op {other:?} is none of get, put, patch, delete");
            Err(Failure::bad("invalid_op", message))
        }
    }
}

async fn perform(
    shared: &Shared,
    command: &Command,
    operation: Option<OperationId>,
) -> Result<Held, Failure> {
    let context = &shared.context;
    let answer = context.execute_once(command, operation).await?;
    let (entry, shows_data) = match &answer.reply {
        Reply::Value(entry) => (entry.as_ref(), true),
        Reply::Stored { entry, .. } => (Some(entry), matches!(command, Command::MergePatch { .. })),
        Reply::Deleted(_) => (None, false),
        Reply::ConditionFailed { current } => return Err(Failure::precondition_failed(*current)),
        Reply::Answer { .. } => return Err(Failure::unexpected()),
    };
    let entry = entry.map(Entry::as_ref);
    let room = 160 + if shows_data { data_bytes(entry) } else { 0 };
    let hold = match command {
        Command::Get { .. } => Hold::take(&shared.budget, room)?,
        // It is done: its answer is owed, whatever it takes.
        _ => Hold::owe(&shared.budget, room),
    };
    let mut out = Vec::with_capacity(room);
    out.extend_from_slice(b"{\"key\":");
    write_key(command.key(), &mut out);
    out.extend_from_slice(b",\"status\":200");
    if let Reply::Deleted(deleted) = answer.reply {
        let text: &[u8] = if deleted { b"true" } else { b"false" };
        out.extend_from_slice(b",\"deleted\":");
        out.extend_from_slice(text);
    }
    if shows_data {
        out.extend_from_slice(b",\"data\":");
        write_data(entry, &mut out);
    }
    write_facts(entry, shared.clock.now(), &answer.owner, &mut out);
    out.extend_from_slice(b"}\n");
    Ok(Held { bytes: out, hold })
}
