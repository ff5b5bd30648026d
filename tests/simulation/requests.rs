//! Operations of clients on their way through a node's router, to its own writers or to others':
//! the same rules as the router's, without its tasks.

use bytes::Bytes;
use smache::clock::UnixMs;
use smache::cluster::codec::{PartitionSet, Pull};
use smache::cluster::transport::SessionId;
use smache::command::{Command, Entry, OperationId, Reply};
use smache::key::{self, PartitionId};
use smache::router::Error;
use smache::table::Cursor;
use smache::version::NodeId;
use smache::writer::{self, Moved, Operation, Outcome};

use crate::context::{Context, Event, name, note};
use crate::net::{Packet, Place};
use crate::node::Node;
use crate::sabotage::Sabotage;

/// A request's deadline, from when its node reads it.
const DEADLINE_MS: u64 = 2_000;

/// What a node asks another one.
#[derive(Clone, Debug)]
pub enum Ask {
    Execute(Command, Option<OperationId>),
    Pull(Pull),
    Operations(PartitionSet),
}

/// What it is answered.
#[derive(Clone, Debug)]
pub enum Answer {
    Elsewhere,
    Reply(Reply),
    Error(Error),
    Pulled {
        entries: Vec<Moved>,
        next: Option<(u16, u64)>,
    },
    Operations(Vec<Operation>),
}

/// Who waits for an answer.
#[derive(Clone, Copy, Debug)]
pub enum Asker {
    Op(u64),
    Pull(u64),
}

/// Who waits for a ticket.
pub enum Waiter {
    Op(u64, Reply),
    Peer(SessionId, u64, Reply),
}

/// What an operation came to, for its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    Done(Reply),
    /// It was applied; what came of it is not known.
    Applied,
    /// It may have been applied, or may yet be.
    Uncertain,
    /// There was no room for it. It was not applied, and will not be.
    Refused,
    /// Nobody answered. It was not applied, and will not be.
    Failed,
}

/// An operation of a client.
#[derive(Clone, Debug)]
pub struct Op {
    pub client: usize,
    pub command: Command,
    pub partition: PartitionId,
    /// The id that the client gave it, or the router since.
    pub operation: Option<OperationId>,
    pub place: Place,
    deadline: Option<u64>,
    /// An attempt of it may have been carried out.
    lost: bool,
    tries: u32,
    attempt: u64,
    parked: bool,
    /// The client does not wait any longer.
    pub given_up: bool,
}

impl Op {
    pub fn new(client: usize, command: Command, named: Option<OperationId>, place: Place) -> Op {
        Op {
            client,
            partition: key::partition(command.key().as_bytes()),
            command,
            operation: named.map(OperationId::of_client),
            place,
            deadline: None,
            lost: false,
            tries: 0,
            attempt: 0,
            parked: true,
            given_up: false,
        }
    }
}

impl Context {
    /// An operation came to its end; its client hears of it if it still waits.
    pub fn finish(&mut self, id: u64, outcome: Ended) {
        if let Some(op) = self.ops.remove(&id) {
            note!(self, "op {id} of client {} ends: {outcome:?}", op.client);
            if !op.given_up {
                crate::client::ended(self, &op, outcome);
            }
        }
    }

    /// The client does not wait any longer. What it sent may still be on its way.
    pub fn give_up(&mut self, id: u64) {
        let Some(op) = self.ops.get_mut(&id).filter(|op| !op.given_up) else {
            return;
        };
        op.given_up = true;
        let op = op.clone();
        note!(self, "client {} gives op {id} up", op.client);
        crate::client::ended(self, &op, Ended::Uncertain);
    }
}

impl Node {
    /// The router tries an operation.
    pub fn attempt(&mut self, context: &mut Context, id: u64, attempt: u64) {
        let now = context.now;
        let Some(op) = context.ops.get_mut(&id) else {
            return;
        };
        if !op.parked || op.attempt != attempt {
            return;
        }
        if op.deadline.is_none() {
            op.deadline = Some(now + DEADLINE_MS);
            let place = op.place;
            context.schedule_at(now + DEADLINE_MS, place, Event::Deadline(id));
        }
        let Some(op) = context.ops.get_mut(&id) else {
            return;
        };
        op.parked = false;
        match self.owners[op.partition.index()] {
            Some(node) if node == self.identity.id => self.execute_here(context, id),
            Some(node) => self.forward(context, id, node),
            None => self.again(context, id),
        }
    }

    /// Not applied, or by its id not applied again: it is tried again soon.
    fn again(&mut self, context: &mut Context, id: u64) {
        let now = context.now;
        let Some(op) = context.ops.get_mut(&id) else {
            return;
        };
        let deadline = op.deadline.unwrap_or(now);
        if now >= deadline {
            let outcome = if op.lost {
                Ended::Uncertain
            } else {
                Ended::Failed
            };
            return context.finish(id, outcome);
        }
        op.tries += 1;
        op.attempt += 1;
        op.parked = true;
        let at = (now + (1 << op.tries.min(5))).min(deadline);
        let (attempt, place) = (op.attempt, op.place);
        context.schedule_at(at, place, Event::Attempt(id, attempt));
    }

    /// The map is another one: whoever waits for that tries again.
    pub fn published(&mut self, context: &mut Context) {
        for partition in context.partitions() {
            self.owners[partition.index()] = self.machine.ownership().holding(partition).owner;
        }
        let parked = context
            .ops
            .iter()
            .filter(|(_, op)| op.parked && op.place == self.place && op.deadline.is_some());
        let parked: Vec<(u64, u64)> = parked.map(|(id, op)| (*id, op.attempt)).collect();
        for (id, attempt) in parked {
            context.schedule_at(context.now, self.place, Event::Attempt(id, attempt));
        }
    }

    /// The deadline of an operation that this node works on has passed.
    pub fn deadline(&mut self, context: &mut Context, id: u64) {
        if let Some(op) = context.ops.get(&id) {
            let outcome = if op.parked && !op.lost {
                Ended::Failed
            } else {
                Ended::Uncertain
            };
            context.finish(id, outcome);
        }
    }

    fn execute_here(&mut self, context: &mut Context, id: u64) {
        let op = context.ops[&id].clone();
        match self.apply(context, op.partition, &op.command, op.operation) {
            Ok(Outcome::Done(reply, None)) => context.finish(id, Ended::Done(reply)),
            Ok(Outcome::Done(reply, Some(ticket))) => {
                let finished = self.finished.clone();
                let waiter = Waiter::Op(id, reply);
                ticket.when_done(move |copied| finished.lock().push((waiter, copied)));
            }
            Ok(Outcome::Forgotten) => context.finish(id, Ended::Applied),
            Ok(Outcome::Elsewhere) => self.again(context, id),
            Err(error) => self.fail(context, id, &error.into()),
        }
    }

    fn fail(&mut self, context: &mut Context, id: u64, error: &Error) {
        note!(context, "n{} refuses op {id}: {error}", self.place);
        let lost = context.ops.get(&id).is_some_and(|op| op.lost);
        let outcome = match error {
            Error::Unanswered => Ended::Applied,
            Error::Lost { .. } | Error::Deadline { .. } => Ended::Uncertain,
            _ if lost => Ended::Uncertain,
            Error::Overloaded { .. } | Error::Full { .. } => Ended::Refused,
            _ => Ended::Failed,
        };
        context.finish(id, outcome);
    }

    fn forward(&mut self, context: &mut Context, id: u64, node: NodeId) {
        let number = self.next_operation;
        let Some(op) = context.ops.get_mut(&id) else {
            return;
        };
        if op.operation.is_none() && !op.command.is_read() {
            self.next_operation += 1;
            let origin = OperationId::origin(self.identity.id, self.identity.boot_epoch);
            op.operation = Some(OperationId(origin | u128::from(number)));
        }
        let ask = Ask::Execute(op.command.clone(), op.operation);
        if !self.ask(context, node, ask, Asker::Op(id)) {
            self.again(context, id);
        }
    }

    /// Asks another node; false if there is no session with it.
    pub fn ask(&mut self, context: &mut Context, node: NodeId, ask: Ask, asker: Asker) -> bool {
        let Some(session) = self.links.get(&node).copied() else {
            return false;
        };
        self.next_request += 1;
        self.asked.insert(self.next_request, (session, asker));
        let long = matches!(&ask, Ask::Execute(command, _) if is_long(context, command.bytes()));
        context.send(session, Packet::Ask(self.next_request, ask), long);
        true
    }

    /// Carries a command out on this node's own writer.
    fn apply(
        &mut self,
        context: &mut Context,
        partition: PartitionId,
        command: &Command,
        operation: Option<OperationId>,
    ) -> Result<Outcome, writer::Error> {
        let clock = self.clock(context);
        let forgets = context.sabotage == Some(Sabotage::ForgetOperations);
        let operation = operation.filter(|_| !forgets);
        let watched = !command.is_read() && context.checker.is_cut_mode;
        let key = command.key().as_bytes();
        let version = |entry: Option<Entry>| entry.map(|entry| entry.version);
        let before = watched.then(|| version(self.entry_of(partition, key)));
        let core = self.core(partition);
        let outcome = core.apply(partition, command, operation, clock);
        let outcome = outcome.map(|applied| applied.expect("it does not take long"));
        if let Ok(Outcome::Done(Reply::Value(Some(Entry { expires_at, .. })), _)) = &outcome {
            let skew = context.settings.skew_ms.unsigned_abs();
            let latest = UnixMs(context.now.saturating_sub(skew)).max(clock);
            let expired = expires_at.is_some_and(|at| at <= latest);
            assert!(
                !expired,
                "n{} serves an expired {}",
                self.place,
                command.key()
            );
        }
        if let Some(before) = before {
            let after = version(self.entry_of(partition, key));
            context.checker.applied(command.key(), before, after);
        }
        note!(
            context,
            "n{} applies {} to {} ({partition}): {}",
            self.place,
            crate::client::show(command),
            command.key(),
            show(&outcome)
        );
        match outcome {
            Ok(Outcome::Done(reply, Some(_)))
                if context.sabotage == Some(Sabotage::AcknowledgeEarly) =>
            {
                Ok(Outcome::Done(reply, None))
            }
            outcome => outcome,
        }
    }

    /// Somebody asks this node.
    pub fn asked(&mut self, context: &mut Context, session: SessionId, id: u64, ask: Ask) {
        let answer = match ask {
            Ask::Execute(command, operation) => {
                let partition = key::partition(command.key().as_bytes());
                match self.apply(context, partition, &command, operation) {
                    Ok(Outcome::Done(reply, None)) => Answer::Reply(reply),
                    Ok(Outcome::Done(reply, Some(ticket))) => {
                        let finished = self.finished.clone();
                        let waiter = Waiter::Peer(session, id, reply);
                        ticket.when_done(move |copied| finished.lock().push((waiter, copied)));
                        return;
                    }
                    Ok(Outcome::Forgotten) => Answer::Error(Error::Unanswered),
                    Ok(Outcome::Elsewhere) => Answer::Elsewhere,
                    Err(error) => Answer::Error(error.into()),
                }
            }
            Ask::Pull(pull) => self.scan(context, &pull),
            Ask::Operations(set) => {
                let wanted = |partition| set.contains(partition);
                let cores = self.cores.iter();
                Answer::Operations(cores.flat_map(|core| core.operations_of(wanted)).collect())
            }
        };
        self.answer(context, session, id, answer);
    }

    fn answer(&mut self, context: &mut Context, session: SessionId, id: u64, answer: Answer) {
        let long = match &answer {
            Answer::Reply(Reply::Value(Some(entry))) => is_long(context, entry.data.len()),
            Answer::Pulled { .. } => true,
            _ => false,
        };
        context.send(session, Packet::Answer(id, answer), long);
    }

    /// A stretch of what this node holds, over its writers one after the other.
    fn scan(&mut self, context: &Context, pull: &Pull) -> Answer {
        let clock = self.clock(context);
        let (mut index, mut cursor) = (usize::from(pull.writer), Cursor(pull.cursor));
        while index < self.cores.len() {
            let wanted = |partition| pull.partitions.contains(partition);
            let bytes_max = pull.bytes_max as usize;
            let scanned = self.cores[index].scan(cursor, clock, wanted, bytes_max);
            let next = scanned.next.map(|cursor| (index, cursor));
            (index, cursor) = next.unwrap_or((index + 1, Cursor::default()));
            if !scanned.entries.is_empty() || next.is_some() {
                let entries = scanned.entries;
                let next = (index < self.cores.len()).then_some((index as u16, cursor.0));
                return Answer::Pulled { entries, next };
            }
        }
        let entries = Vec::new();
        Answer::Pulled {
            entries,
            next: None,
        }
    }

    /// An answer came.
    pub fn answered(&mut self, context: &mut Context, id: u64, answer: Answer) {
        match self.asked.remove(&id) {
            Some((_, Asker::Pull(pull))) => self.pulled(context, pull, Some(answer)),
            Some((_, Asker::Op(op))) => match answer {
                Answer::Elsewhere => self.again(context, op),
                Answer::Reply(reply) => context.finish(op, Ended::Done(reply)),
                Answer::Error(Error::Lost { .. }) => self.lost(context, op),
                Answer::Error(error) => self.fail(context, op, &error),
                Answer::Pulled { .. } | Answer::Operations(_) => unreachable!(),
            },
            None => {}
        }
    }

    /// Nobody knows whether an attempt was carried out: a write carries an id, so it is sent again.
    fn lost(&mut self, context: &mut Context, id: u64) {
        if let Some(op) = context.ops.get_mut(&id) {
            op.lost = true;
            self.again(context, id);
        }
    }

    /// A session is gone, and with it all that was asked over it.
    pub fn unanswered(&mut self, context: &mut Context, session: SessionId) {
        let gone: Vec<u64> = (self.asked.iter())
            .filter(|(_, (over, _))| *over == session)
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            match self.asked.remove(&id) {
                Some((_, Asker::Op(op))) => self.lost(context, op),
                Some((_, Asker::Pull(pull))) => self.pulled(context, pull, None),
                None => {}
            }
        }
    }

    /// Writes whose copies have all answered; whether there were any.
    pub fn tell_finished(&mut self, context: &mut Context) -> bool {
        let finished = std::mem::take(&mut *self.finished.lock());
        let any = !finished.is_empty();
        for (waiter, copied) in finished {
            let peer = || name(self.place).into();
            match (waiter, copied) {
                (Waiter::Op(id, reply), true) => context.finish(id, Ended::Done(reply)),
                (Waiter::Op(id, _), false) => context.finish(id, Ended::Uncertain),
                (Waiter::Peer(session, id, reply), true) => {
                    self.answer(context, session, id, Answer::Reply(reply));
                }
                (Waiter::Peer(session, id, _), false) => {
                    let lost = Answer::Error(Error::Lost { peer: peer() });
                    self.answer(context, session, id, lost);
                }
            }
        }
        any
    }
}

/// Whether a message of so many bytes travels in pieces: in the simulation half of the large ones.
pub fn is_long(context: &Context, bytes: usize) -> bool {
    bytes > context.settings.large_bytes / 2
}

fn show(outcome: &Result<Outcome, writer::Error>) -> String {
    match outcome {
        Ok(Outcome::Done(reply, ticket)) => {
            let waits = if ticket.is_some() { ", waits" } else { "" };
            format!("{}{waits}", crate::client::show_reply(reply))
        }
        other => format!("{other:?}"),
    }
}

/// An effect as bytes, on its way.
pub type Sent = (SessionId, u64, Bytes);
