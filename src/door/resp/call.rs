//! One request being carried out: what it may use, and the ways to its reply.
//!
//! A command's function ([`Run`]) reads its arguments, and either writes its reply at once or says
//! what will make it ([`Flow::Later`]). Most are about one key and end in [`Call::execute`]: what this
//! node can do at once is done and answered without a task or a box; for the rest there is a future,
//! which the connection keeps in its queue.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use futures_util::StreamExt;
use tokio::time::Instant;

use super::Shared;
use super::failure::Refusal;
use super::queue::{Later, Touches};
use super::reply::{Out, Protocol};
use super::request::{Arguments, Taken};
use super::session::Session;
use super::table::{Entry, Flags, TABLE};
use crate::clock::UnixMs;
use crate::command::{Answer, Command, Condition, Operation, Reply};
use crate::door::hold::{Hold, LARGE_BYTES};
use crate::key::Key;
use crate::router::keyspace::Keyspace;
use crate::router::{self, Begun};

/// Carries a command out.
pub(super) type Run = fn(Call<'_>, Arguments<'_>) -> Answered;
/// What came of it, or why nothing did.
pub(super) type Answered = Result<Flow, Refusal>;

/// How far a request is answered.
pub(super) enum Flow {
    /// Its reply is written.
    Done,
    /// Its reply comes later.
    Later(Later),
}

/// See the module.
pub(super) struct Call<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) session: &'a mut Session,
    pub(super) entry: &'static Entry,
    pub(super) out: &'a mut Out,
    /// A moment after the request had come.
    pub(super) now: UnixMs,
}

/// Commands of one request that are under way at a time.
const TOGETHER_MAX: usize = 64;

impl Call<'_> {
    /// A key that a client sent, which it can keep.
    #[inline]
    pub(super) fn key(&self, taken: &Taken<'_>, index: usize) -> Result<Key, Refusal> {
        let bytes_max = self.shared.context.config.key_bytes_max;
        Ok(Key::new(taken.bytes(index), bytes_max)?)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.shared.context.config.request_timeout
    }

    /// Carries a command about one key out, and has `write` write what it replied.
    pub(super) fn execute(
        self,
        command: Command,
        write: impl FnOnce(&mut Out, Reply) -> Result<(), Refusal> + Send + 'static,
    ) -> Answered {
        self.attempt(command, |out, reply| write(out, reply?))
    }

    /// As [`Call::execute`], where `write` has its own words for what went wrong.
    pub(super) fn attempt(
        self,
        command: Command,
        write: impl FnOnce(&mut Out, Result<Reply, router::Error>) -> Result<(), Refusal>
        + Send
        + 'static,
    ) -> Answered {
        let router = &self.shared.context.router;
        let begun = match router.begin(&command) {
            Begun::Done(reply) => {
                write(self.out, reply)?;
                return Ok(Flow::Done);
            }
            begun => begun,
        };
        let place = match begun {
            Begun::Not => Some(Place::take(self.shared)?),
            // It is applied already: now it is only waited for.
            _ => None,
        };
        let (deadline, protocol) = (self.deadline(), self.out.protocol());
        let touches = Touches::one(command.key().as_bytes(), !command.is_read());
        let shared = Arc::clone(self.shared);
        let reply = async move {
            let mut out = Out::new(protocol);
            let reply = finish(&shared, begun, &command, deadline).await;
            let written = write(&mut out, reply);
            or_refusal(&mut out, written);
            drop(place);
            out
        };
        Ok(Flow::Later(Later::new(touches, reply)))
    }

    /// Carries out one command for each of several keys, all at once, and has `write` write what they
    /// replied, in their order. One that fails does not stop the others.
    pub(super) fn execute_all(
        self,
        commands: Vec<Command>,
        write: impl FnOnce(&mut Out, Vec<Result<Reply, router::Error>>) -> Result<(), Refusal>
        + Send
        + 'static,
    ) -> Answered {
        let router = &self.shared.context.router;
        let begun: Vec<Begun> = commands.iter().map(|one| router.begin(one)).collect();
        if begun.iter().all(|one| matches!(one, Begun::Done(_))) {
            let replies = begun.into_iter().filter_map(|one| match one {
                Begun::Done(reply) => Some(reply),
                _ => None,
            });
            write(self.out, replies.collect())?;
            return Ok(Flow::Done);
        }
        let place = Place::of(self.shared);
        let (deadline, protocol) = (self.deadline(), self.out.protocol());
        let writes = commands.iter().any(|one| !one.is_read());
        let keys = commands.iter().map(|one| one.key().as_bytes());
        let touches = Touches::many(keys, writes);
        let shared = Arc::clone(self.shared);
        let reply = async move {
            let mut out = Out::new(protocol);
            let replies = together(&shared, commands, begun, deadline).await;
            let written = replies.and_then(|replies| write(&mut out, replies));
            or_refusal(&mut out, written);
            drop(place);
            out
        };
        Ok(Flow::Later(Later::new(touches, reply)))
    }

    /// Carries out several commands, of which later ones follow from what earlier ones came to.
    /// `steps` says so in order, and writes the reply.
    ///
    /// Of one that writes, what can be done here is done at once. The rest goes on in a task of its
    /// own, to its end: a client that hangs up must not leave it half done.
    pub(super) fn step_by_step<F>(
        self,
        touches: Touches,
        steps: impl FnOnce(Steps, Out) -> F,
    ) -> Answered
    where
        F: Future<Output = Result<Out, Refusal>> + Send + 'static,
    {
        let place = Place::take(self.shared)?;
        let protocol = self.out.protocol();
        let making = steps(
            Steps {
                shared: Arc::clone(self.shared),
                deadline: self.deadline(),
            },
            Out::new(protocol),
        );
        let mut making = Box::pin(async move {
            let made = making.await;
            drop(place);
            made
        });
        if !self.entry.spec.flags.has(Flags::WRITE) {
            let reply = async move { or_refused(making.await, protocol) };
            return Ok(Flow::Later(Later::new(touches, reply)));
        }
        // Nobody is woken by this: the task begins with another look.
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(made) = making.as_mut().poll(&mut cx) {
            self.out.append(made?);
            return Ok(Flow::Done);
        }
        let task = tokio::spawn(making);
        let reply = async move {
            let made = task.await.unwrap_or(Err(Refusal::UNEXPECTED));
            or_refused(made, protocol)
        };
        Ok(Flow::Later(Later::new(touches, reply)))
    }
}

/// What was made, or why it was not.
fn or_refused(made: Result<Out, Refusal>, protocol: Protocol) -> Out {
    made.unwrap_or_else(|refusal| {
        let mut out = Out::new(protocol);
        refusal.write(&mut out);
        out
    })
}

/// The commands of one request, one after the other, before one deadline.
#[derive(Clone, Debug)]
pub(super) struct Steps {
    shared: Arc<Shared>,
    pub(super) deadline: Instant,
}

impl Steps {
    /// With as much time as at the beginning, for what must be put right after a failure.
    pub(super) fn renewed(&self) -> Steps {
        Steps {
            shared: Arc::clone(&self.shared),
            deadline: Instant::now() + self.shared.context.config.request_timeout,
        }
    }

    /// Carries one out.
    pub(super) async fn execute(&self, command: &Command) -> Result<Reply, router::Error> {
        let begun = self.shared.context.router.begin(command);
        finish(&self.shared, begun, command, self.deadline).await
    }

    /// Carries several out, about different keys, all at once.
    pub(super) async fn all(
        &self,
        commands: Vec<Command>,
    ) -> Result<Vec<Result<Reply, router::Error>>, Refusal> {
        let router = &self.shared.context.router;
        let begun = commands.iter().map(|one| router.begin(one)).collect();
        together(&self.shared, commands, begun, self.deadline).await
    }

    /// As [`Steps::all`], where the first that fails is the outcome.
    pub(super) async fn execute_all(&self, commands: Vec<Command>) -> Result<Vec<Reply>, Refusal> {
        let replies = self.all(commands).await?;
        Ok(replies.into_iter().collect::<Result<_, _>>()?)
    }

    /// The memory of the doors, for values that are held on their way.
    pub(super) fn hold(&self, bytes: usize) -> Result<Hold, Refusal> {
        Ok(Hold::take(&self.shared.context.budget, bytes)?)
    }

    /// What spans all keys.
    pub(super) fn keyspace(&self) -> Keyspace {
        self.shared.context.router.keyspace()
    }

    /// The present moment, as the writers have it.
    pub(super) fn now(&self) -> UnixMs {
        self.shared.context.clock.now()
    }
}

/// An operation of a type on a key.
pub(super) fn typed(key: Key, operation: Operation) -> Command {
    Command::Typed {
        key,
        operation: Box::new(operation),
        condition: Condition::None,
    }
}

/// What an operation answered.
pub(super) fn answer_of(reply: Reply) -> Result<Answer, Refusal> {
    match reply {
        Reply::Answer { answer, .. } => Ok(answer),
        _ => Err(Refusal::UNEXPECTED),
    }
}

/// Brings a command that was begun to its end.
async fn finish(
    shared: &Shared,
    begun: Begun,
    command: &Command,
    deadline: Instant,
) -> Result<Reply, router::Error> {
    let router = &shared.context.router;
    match begun {
        Begun::Done(reply) => reply,
        Begun::Applied(reply, ticket) => router.confirmed(reply, ticket, deadline).await,
        Begun::Not => {
            let answer = router.execute(command, deadline).await?;
            Ok(answer.reply)
        }
    }
}

/// Brings all of them to their ends. What they reply is held in memory until all have.
async fn together(
    shared: &Arc<Shared>,
    commands: Vec<Command>,
    begun: Vec<Begun>,
    deadline: Instant,
) -> Result<Vec<Result<Reply, router::Error>>, Refusal> {
    let mut hold = Hold::nothing(&shared.context.budget);
    let mut replies = Vec::with_capacity(commands.len());
    let all = commands.into_iter().zip(begun).map(|(command, begun)| {
        let shared = Arc::clone(shared);
        async move { finish(&shared, begun, &command, deadline).await }
    });
    let mut all = futures_util::stream::iter(all).buffered(TOGETHER_MAX);
    let mut bytes = 0;
    while let Some(reply) = all.next().await {
        bytes += reply.as_ref().map_or(0, reply_bytes);
        if bytes >= LARGE_BYTES {
            hold.set(bytes)?;
        }
        replies.push(reply);
    }
    Ok(replies)
}

/// What a reply has of values.
fn reply_bytes(reply: &Reply) -> usize {
    match reply {
        Reply::Value(Some(entry)) | Reply::Stored { entry, .. } => entry.data.len(),
        Reply::Answer { answer, .. } => answer.bytes(),
        Reply::Value(None) | Reply::Deleted(_) | Reply::ConditionFailed { .. } => 0,
    }
}

/// Puts why it failed in the place of what was written so far.
pub(super) fn or_refusal(out: &mut Out, written: Result<(), Refusal>) {
    if let Err(refusal) = written {
        out.truncate(0);
        refusal.write(out);
    }
}

/// A place among the requests in work, of which a door has so many.
#[derive(Debug)]
pub(super) struct Place(Arc<Shared>);

impl Place {
    fn take(shared: &Arc<Shared>) -> Result<Place, Refusal> {
        let place = Place::of(shared);
        if shared.in_work.load(Ordering::Relaxed) > shared.context.config.requests_max {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Refusal::TOO_MANY);
        }
        Ok(place)
    }

    /// One more, whether there is room or not: for what has begun already.
    fn of(shared: &Arc<Shared>) -> Place {
        shared.in_work.fetch_add(1, Ordering::Relaxed);
        Place(Arc::clone(shared))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_work.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a command that is nothing without a subcommand does: refuses the one that it was given.
pub(super) fn unknown_subcommand(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let sub = arguments.get(1).unwrap_or_default();
    let mut text = b"ERR unknown subcommand '".to_vec();
    text.extend_from_slice(&sub[..sub.len().min(128)]);
    text.extend_from_slice(b"'. Try ");
    text.extend(
        call.entry
            .name
            .bytes()
            .map(|byte| byte.to_ascii_uppercase()),
    );
    text.extend_from_slice(b" HELP.");
    Err(Refusal::bytes(text))
}

/// As Redis answers a subcommand with more arguments than it takes.
pub(super) fn wrong_subcommand(call: &Call<'_>, arguments: &Arguments<'_>) -> Refusal {
    let mut text = b"ERR unknown subcommand or wrong number of arguments for '".to_vec();
    let sub = arguments.get(1).unwrap_or_default();
    text.extend_from_slice(&sub[..sub.len().min(128)]);
    text.extend_from_slice(b"'. Try ");
    let command = call.entry.name.split('|').next().unwrap_or_default();
    text.extend_from_slice(command.to_ascii_uppercase().as_bytes());
    text.extend_from_slice(b" HELP.");
    Refusal::bytes(text)
}

/// The command that a request names, and the subcommand if there is one.
#[inline]
pub(super) fn resolve(arguments: &Arguments<'_>) -> Result<&'static Entry, Refusal> {
    let table = &*TABLE;
    let name = &arguments[0];
    let mut entry = table.find(name).ok_or_else(|| unknown(arguments))?;
    if !entry.spec.subcommands.is_empty()
        && let Some(sub) = arguments.get(1)
        && let Some(found) = table.find_sub(entry, sub)
    {
        entry = found;
    }
    if entry.spec.takes(arguments.len()) {
        return Ok(entry);
    }
    Err(Refusal::arity(&entry.name))
}

/// As Redis words it: so much of the name, and of the arguments, is repeated.
fn unknown(arguments: &Arguments<'_>) -> Refusal {
    const SHOWN_MAX: usize = 128;
    let name = &arguments[0];
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(&name[..name.len().min(SHOWN_MAX)]);
    text.extend_from_slice(b"', with args beginning with: ");
    let begin = text.len();
    for argument in arguments.from(1) {
        let shown = text.len() - begin;
        if shown >= SHOWN_MAX {
            break;
        }
        text.push(b'\'');
        text.extend_from_slice(&argument[..argument.len().min(SHOWN_MAX - shown)]);
        text.extend_from_slice(b"' ");
    }
    Refusal::bytes(text)
}
