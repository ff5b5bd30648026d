//! What comes in from other nodes, worked on where it arrives: on the transport's thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{News, Peers};
use crate::cluster::codec::{self, Malformed, MessageKind, Pull, Request, Response, Taken};
use crate::cluster::link::{Asker, Link};
use crate::cluster::transport::SessionId;
use crate::command::{Command, EntryRef, OperationId};
use crate::key::{self, Key, PartitionId};
use crate::replication::{Effect, Finished, Ticket};
use crate::router;
use crate::table::Cursor;
use crate::version::CLOCK_SKEW_MS_MAX;
use crate::writer::{Outcome, Verdict};

/// Most requests of peers that wait in tasks at a time; further ones are refused.
pub(super) const TASKS_MAX: usize = 10_000;
/// So many writes that lost against those of another owner are logged one by one.
const OUTDONE_LOGGED_MAX: u64 = 1_000;
/// Entries larger than this are copied out of the table before they are sent.
const DIRECT_BYTES_MAX: usize = 32 * 1024;

/// What the messages of one frame have led to.
#[derive(Default)]
struct Incoming {
    answers: Vec<(Asker, Response)>,
    effects: codec::Answers,
    finished: Vec<Finished>,
}

/// How a peer asked for something.
#[derive(Clone, Copy)]
struct Asked {
    id: u64,
    deadline_ms: u32,
    operation: Option<OperationId>,
}

impl Peers {
    pub(super) fn on_frame(&self, session: SessionId, frame: Vec<u8>) {
        let Some(link) = self.heard(session) else {
            return;
        };
        self.0.frames_in.fetch_add(1, Ordering::Relaxed);
        let mut incoming = Incoming::default();
        let received = link.receive(frame, |kind, body| {
            self.on_message(session, &link, kind, body, &mut incoming)
        });
        self.give(incoming.answers);
        self.tell(incoming.finished);
        if !incoming.effects.is_empty() {
            link.answer_effects(&incoming.effects);
        }
        if received.is_err() {
            self.0.malformed.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                node = link.node.0,
                "a malformed frame from a peer; its session is closed"
            );
            self.close(session, "a malformed frame");
        }
        // Answers that were written meanwhile leave at once, from this very thread.
        link.pump();
    }

    /// Gives answers to those who wait for them, on the runtime that they wait on: to wake many
    /// from another thread costs a call to the kernel for each, to wake one who wakes the rest
    /// costs one.
    fn give(&self, mut answers: Vec<(Asker, Response)>) {
        // Whoever asked may have gone away.
        if answers.len() > 1 {
            self.0.options.requests_runtime.spawn(async move {
                for (asker, response) in answers {
                    let _ = asker.send(Ok(response));
                }
            });
        } else if let Some((asker, response)) = answers.pop() {
            let _ = asker.send(Ok(response));
        }
    }

    /// The link of a session, after the machine was told (now and then) that the peer lives.
    fn heard(&self, session: SessionId) -> Option<Arc<Link>> {
        const TELL_EVERY: Duration = Duration::from_millis(200);
        let mut sessions = self.0.sessions.lock();
        let open = sessions.get_mut(&session)?;
        let now = Instant::now();
        let tell = now.duration_since(open.heard_told) >= TELL_EVERY;
        if tell {
            open.heard_told = now;
        }
        let link = Arc::clone(&open.link);
        drop(sessions);
        if tell {
            (self.0.options.news)(News::Heard(session));
        }
        Some(link)
    }

    fn on_message(
        &self,
        session: SessionId,
        link: &Arc<Link>,
        kind: MessageKind,
        body: Bytes,
        incoming: &mut Incoming,
    ) -> Result<(), Malformed> {
        match kind {
            MessageKind::Response => {
                let (id, response) = codec::read_response(body)?;
                let asker = link.asker(id);
                incoming
                    .answers
                    .extend(asker.map(|asker| (asker, response)));
            }
            MessageKind::Request => {
                let (id, deadline_ms, request) = codec::read_request(body)?;
                self.0.requests_in.fetch_add(1, Ordering::Relaxed);
                self.on_request(link, id, deadline_ms, request);
            }
            MessageKind::Control => {
                let control = postcard::from_bytes(&body).map_err(|_| Malformed)?;
                (self.0.options.news)(News::Control(session, control));
            }
            MessageKind::Effect => {
                let (number, effect) = codec::read_effect(body)?;
                let taken = self.on_effect(link, &effect);
                incoming.effects.add(number, taken);
            }
            MessageKind::Answers => {
                let answers = codec::read_answers(body)?;
                let counts = answers.refused.iter().map(|(first, last)| last - first);
                let refused = counts.fold(0, |sum: u64, count| sum.saturating_add(count));
                let ranges = answers.refused.len() as u64;
                self.0
                    .options
                    .lanes
                    .count_refused(refused.saturating_add(ranges));
                incoming.finished.extend(link.answered(&answers));
                self.resend(link, &answers, incoming);
            }
            MessageKind::Live => {
                let node = link.node;
                self.live()
                    .receive(node, body, link.as_ref(), || self.owns(node))?;
            }
            MessageKind::Fragment => return Err(Malformed),
        }
        Ok(())
    }

    /// Sends what the peer could not take once more, behind what it lacks.
    fn resend(&self, link: &Link, answers: &codec::Answers, incoming: &mut Incoming) {
        let Some(lane) = link.lane().filter(|_| !answers.lacking.is_empty()) else {
            return;
        };
        for lacking in lane.lacking(&answers.lacking) {
            if let Some(partition) = lacking.partition() {
                let writer = self.0.options.router.writer(partition);
                writer.resend(&lane, lacking, &mut incoming.finished);
            }
        }
    }

    /// Whether an effect of a peer was taken.
    fn on_effect(&self, link: &Link, effect: &Effect) -> Taken {
        let writer = self.0.options.router.writer(effect.partition);
        match writer.take_effect(link.node, effect) {
            Verdict::Taken => Taken::Yes,
            Verdict::Lacking => Taken::Lacking,
            Verdict::Outdone(discarded) => {
                if self.0.outdone.fetch_add(1, Ordering::Relaxed) < OUTDONE_LOGGED_MAX {
                    tracing::warn!(
                        key = %discarded.key.escape_ascii(),
                        version = %discarded.version,
                        by = discarded.by.map(tracing::field::display),
                        "a write lost against one of another owner"
                    );
                }
                Taken::Yes
            }
            Verdict::Fenced => Taken::No,
            Verdict::FromTheFuture => {
                if self.0.future.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::error!(
                        node = link.node.0,
                        "a node's clock is more than {CLOCK_SKEW_MS_MAX} ms ahead of this one's: \
                         its writes are refused; set the clocks"
                    );
                }
                Taken::No
            }
        }
    }

    fn on_request(&self, link: &Arc<Link>, id: u64, deadline_ms: u32, request: Request) {
        match request {
            Request::Execute(command, operation) => {
                let asked = Asked {
                    id,
                    deadline_ms,
                    operation,
                };
                self.on_command(link, asked, command);
            }
            Request::Keyspace(request) => self.on_keyspace(link, id, deadline_ms, request),
            Request::Sums(partitions) => {
                let (peers, link) = (self.clone(), Arc::clone(link));
                self.0.options.requests_runtime.spawn(async move {
                    let sums = peers.0.options.router.sums(&partitions).await;
                    link.respond(id, &Response::Sums(sums));
                    link.wake();
                });
            }
            Request::Operations(partitions) => {
                let (peers, link) = (self.clone(), Arc::clone(link));
                self.0.options.requests_runtime.spawn(async move {
                    let writers = peers.0.options.router.writers().iter();
                    let wanted = |partition| partitions.contains(partition);
                    let operations = writers.flat_map(|writer| writer.operations_of(wanted));
                    link.respond(id, &Response::Operations(operations.collect()));
                    link.wake();
                });
            }
            Request::Pull(pull) => {
                let (peers, link) = (self.clone(), Arc::clone(link));
                // Copying a stretch of a table takes a while: not on the transport's thread.
                self.0.options.requests_runtime.spawn(async move {
                    link.respond(id, &peers.scan(&pull));
                    link.wake();
                });
            }
        }
    }

    fn on_command(&self, link: &Arc<Link>, asked: Asked, command: Command) {
        let id = asked.id;
        let partition = key::partition(command.key().as_bytes());
        if let Command::Get { key } = &command
            && self.answer_read(link, id, partition, key)
        {
            return;
        }
        let router = &self.0.options.router;
        if let Err(error) = router.admit(&command) {
            return link.respond(id, &Response::Error(error));
        }
        match router
            .writer(partition)
            .apply_inline(partition, &command, asked.operation)
        {
            Some(Ok(Outcome::Done(reply, None))) => {
                link.respond(id, &Response::to(&command, reply))
            }
            Some(Ok(Outcome::Done(reply, Some(ticket)))) => {
                self.when_copied(link, id, &ticket, Response::to(&command, reply));
            }
            Some(Ok(Outcome::Forgotten)) => {
                link.respond(id, &Response::Error(router::Error::Unanswered));
            }
            Some(Ok(Outcome::Elsewhere)) => link.respond(id, &Response::Elsewhere),
            Some(Err(error)) => link.respond(id, &Response::Error(error.into())),
            None => self.in_task(Arc::clone(link), asked, partition, command),
        }
    }

    /// Answers once a write is with its copies: on the thread on which their last word comes in.
    fn when_copied(&self, link: &Arc<Link>, id: u64, ticket: &Ticket, response: Response) {
        let (link, router) = (Arc::clone(link), self.0.options.router.clone());
        ticket.when_done(move |copied| {
            let superseded = || Response::Error(router.superseded());
            let response = if copied { response } else { superseded() };
            link.respond(id, &response);
            link.wake();
        });
    }

    /// Writes the answer to a read from the table into the frame; false if that is not possible.
    fn answer_read(&self, link: &Link, id: u64, partition: PartitionId, key: &Key) -> bool {
        let writer = self.0.options.router.writer(partition);
        let small = |entry: Option<EntryRef<'_>>| {
            entry.is_none_or(|entry| entry.stored_bytes() <= DIRECT_BYTES_MAX)
        };
        let answered = writer.read(partition, key.as_bytes(), writer.now(), |entry| {
            small(entry) && link.respond_with(|out| codec::write_found(out, id, entry))
        });
        answered.unwrap_or(false)
    }

    fn in_task(&self, link: Arc<Link>, asked: Asked, partition: PartitionId, command: Command) {
        let id = asked.id;
        if self.0.tasks.fetch_add(1, Ordering::AcqRel) >= TASKS_MAX {
            self.0.tasks.fetch_sub(1, Ordering::AcqRel);
            let error = router::Error::Overloaded { peer: None };
            return link.respond(id, &Response::Error(error));
        }
        let deadline = Instant::now() + Duration::from_millis(asked.deadline_ms.into());
        let peers = self.clone();
        self.0.options.requests_runtime.spawn(async move {
            let router = &peers.0.options.router;
            let applied = router.apply_here(partition, &command, asked.operation, deadline);
            let response = match applied.await {
                Ok(Some(reply)) => Response::to(&command, reply),
                Ok(None) => Response::Elsewhere,
                Err(error) => Response::Error(error),
            };
            peers.0.tasks.fetch_sub(1, Ordering::AcqRel);
            link.respond(id, &response);
            link.wake();
        });
    }

    /// A stretch of what this node holds of some partitions, over its writers one after the other.
    fn scan(&self, pull: &Pull) -> Response {
        let writers = self.0.options.router.writers();
        let (mut index, mut cursor) = (usize::from(pull.writer), Cursor(pull.cursor));
        while let Some(writer) = writers.get(index) {
            let wanted = |partition| pull.partitions.contains(partition);
            let scanned = writer.scan(cursor, wanted, pull.bytes_max as usize);
            let next = scanned.next.map(|cursor| (index, cursor));
            (index, cursor) = next.unwrap_or((index + 1, Cursor::default()));
            if !scanned.entries.is_empty() || next.is_some() {
                let more = (index < writers.len()).then_some((index as u16, cursor.0));
                return Response::Pulled {
                    entries: scanned.entries,
                    next: more,
                };
            }
        }
        Response::Pulled {
            entries: Vec::new(),
            next: None,
        }
    }
}
