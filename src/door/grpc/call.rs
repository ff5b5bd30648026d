//! What all services share: from a message's fields to a command, and from its reply to an answer.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use parking_lot::Mutex;
use prost::Message;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::{status, v1};
use crate::access::{Need, Pass, Refused};
use crate::clock::UnixMs;
use crate::command::{
    Answer, Command, Condition, Entry, Kind, Operation, OperationId, Reply, string,
};
use crate::door::bearer;
use crate::door::hold::{Budget, Hold, SHORT_BYTES};
use crate::door::http::{Context, IdempotencyKey, Shared, TTL_MS_MAX};
use crate::door::resp::Ran;
use crate::key::Key;
use crate::router;
use crate::version::Version;

/// The metadata that says that keys are given with their namespaces.
const SMACHE_KEYS: &str = "smache-keys";

/// Carries the services of the package out.
#[derive(Clone, Debug)]
pub(super) struct Services(pub(super) Arc<Shared>);

/// What a call takes of time and memory; its request and its answer both know it.
#[derive(Debug)]
pub(super) struct Meter {
    /// When its client gives up.
    deadline: Option<Instant>,
    budget: Arc<Budget>,
    /// The memory of what was answered and has not left.
    holds: Mutex<Vec<Hold>>,
}

impl Meter {
    pub(super) fn new(deadline: Option<Instant>, budget: &Arc<Budget>) -> Meter {
        Meter {
            deadline,
            budget: Arc::clone(budget),
            holds: Mutex::default(),
        }
    }

    /// Hands over what was taken for the `bytes` of the answer that leave now. Of a stream these may
    /// be many short messages, none of which took anything.
    pub(super) fn release(&self, bytes: usize) -> Vec<Hold> {
        let mut holds = std::mem::take(&mut *self.holds.lock());
        let held: usize = holds.iter().map(Hold::bytes).sum();
        if bytes >= SHORT_BYTES && held < bytes {
            holds.push(Hold::owe(&self.budget, bytes - held));
        }
        holds
    }
}

/// How a service calls its keys in the one keyspace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Namespace(&'static str);

pub(super) const CACHE: Namespace = Namespace("cache:");
pub(super) const COUNTERS: Namespace = Namespace("counters:");
pub(super) const FLAGS: Namespace = Namespace("flags:");
pub(super) const HASHES: Namespace = Namespace("hashes:");
pub(super) const KV: Namespace = Namespace("kv:");
pub(super) const LISTS: Namespace = Namespace("lists:");
pub(super) const SETS: Namespace = Namespace("sets:");
/// About how many items a part of a scan has, unless it is asked for.
pub(super) const SCAN_COUNT: u64 = 100;
/// The keys themselves.
pub(super) const ROOT: Namespace = Namespace("");

/// What a value is to be, and how long and when.
pub(super) struct Put {
    pub(super) key: Key,
    pub(super) kind: Kind,
    pub(super) data: Bytes,
    pub(super) ttl_ms: Option<u64>,
    pub(super) condition: Option<v1::Condition>,
}

/// What was stored.
pub(super) struct Stored {
    pub(super) entry: Entry,
    /// Whether the key had no value before.
    pub(super) created: bool,
    pub(super) owner: Arc<str>,
}

/// What a typed operation came to.
pub(super) struct Done {
    answer: Answer,
    version: Option<Version>,
    expires_at: Option<UnixMs>,
}

/// A call on its way through a service.
pub(super) struct Call {
    shared: Arc<Shared>,
    meter: Option<Arc<Meter>>,
    name: Option<IdempotencyKey>,
    headers: HeaderMap,
}

impl Call {
    /// Takes a request apart: the call, and what is asked.
    pub(super) fn begin<T>(services: &Services, request: Request<T>) -> Result<(Call, T), Status> {
        let (metadata, extensions, asked) = request.into_parts();
        let headers = metadata.into_headers();
        let call = Call {
            shared: Arc::clone(&services.0),
            meter: extensions.get().cloned(),
            name: IdempotencyKey::of(&headers).map_err(status::failure)?,
            headers,
        };
        Ok((call, asked))
    }

    /// What the door was made with.
    pub(super) fn context(&self) -> &Context {
        &self.shared.context
    }

    /// The key that a service calls `name`; or `name` itself, if the client gives keys whole.
    pub(super) fn key(&self, namespace: Namespace, name: String) -> Result<Key, Status> {
        let bytes_max = self.shared.context.config.key_bytes_max;
        let Namespace(mut prefix) = namespace;
        if let Some(form) = self.headers.get(SMACHE_KEYS) {
            if form.as_bytes() != b"whole" {
                let message = "smache-keys is `whole`, or is not given";
                return Err(status::invalid("invalid_keys", message));
            }
            prefix = "";
        }
        let key = match (prefix, name.is_empty()) {
            ("", _) | (_, true) => Key::new(name, bytes_max),
            _ => Key::new([prefix, &name].concat(), bytes_max),
        };
        key.map_err(status::key)
    }

    /// Deepest nesting of a document.
    pub(super) fn depth_max(&self) -> usize {
        self.shared.context.config.json_depth_max
    }

    fn deadline(&self) -> Instant {
        let own = Instant::now() + self.shared.context.config.request_timeout;
        let clients = self.meter.as_ref().and_then(|meter| meter.deadline);
        clients.map_or(own, |clients| own.min(clients))
    }

    /// Carries a command out. A write that its client has named is applied once.
    pub(super) async fn execute(&self, command: &Command) -> Result<router::Answer, Status> {
        let operation = self.operation(command);
        let router = &self.shared.context.router;
        let answer = router.execute_once(command, operation, self.deadline());
        answer.await.map_err(|error| self.failure(error))
    }

    /// What could not be had by the client's deadline is that, whatever it was waiting for.
    fn failure(&self, error: router::Error) -> Status {
        use router::Error::{Deadline, Lost, NoOwner};
        let deadline = self.meter.as_ref().and_then(|meter| meter.deadline);
        let is_over = deadline.is_some_and(|at| at <= Instant::now());
        match error {
            Deadline { .. } | Lost { .. } | NoOwner if is_over => status::deadline(),
            error => status::router(error),
        }
    }

    fn operation(&self, command: &Command) -> Option<OperationId> {
        let name = self.name.as_ref().filter(|_| !command.is_read());
        name.map(|name| name.on(command.key()))
    }

    /// The value of a key, if it has one, and who owns it.
    pub(super) async fn get(&self, key: Key) -> Result<(Option<Entry>, Arc<str>), Status> {
        let answer = self.execute(&Command::Get { key }).await?;
        match answer.reply {
            Reply::Value(entry) => Ok((entry, answer.owner)),
            _ => Err(status::unexpected()),
        }
    }

    /// The value of a key that must be a string of bytes.
    pub(super) async fn get_bytes(&self, key: Key) -> Result<Entry, Status> {
        let (entry, _) = self.get(key).await?;
        let entry = entry.ok_or_else(status::miss)?;
        string::text(Some(entry.as_ref())).map_err(|error| status::router(error.into()))?;
        Ok(entry)
    }

    /// Replaces the value of a key.
    pub(super) async fn put(&self, put: Put) -> Result<Stored, Status> {
        self.store(&Command::Put {
            key: put.key,
            kind: put.kind,
            data: put.data,
            ttl_ms: ttl(put.ttl_ms)?,
            condition: condition(put.condition)?,
        })
        .await
    }

    /// Carries a command out that leaves a value.
    pub(super) async fn store(&self, command: &Command) -> Result<Stored, Status> {
        let answer = self.execute(command).await?;
        match answer.reply {
            Reply::Stored { entry, created } => Ok(Stored {
                entry,
                created,
                owner: answer.owner,
            }),
            Reply::ConditionFailed { current } => Err(status::condition_failed(current)),
            _ => Err(status::unexpected()),
        }
    }

    /// Reads a value of some type.
    pub(super) async fn ask(&self, key: Key, operation: Operation) -> Result<Done, Status> {
        self.change(key, operation, None).await
    }

    /// Does something with a value of some type.
    pub(super) async fn change(
        &self,
        key: Key,
        operation: Operation,
        condition: Option<v1::Condition>,
    ) -> Result<Done, Status> {
        let command = Command::Typed {
            key,
            operation: Box::new(operation),
            condition: self::condition(condition)?,
        };
        match self.execute(&command).await?.reply {
            Reply::Answer {
                answer,
                version,
                expires_at,
            } => Ok(Done {
                answer,
                version,
                expires_at,
            }),
            Reply::ConditionFailed { current } => Err(status::condition_failed(current)),
            _ => Err(status::unexpected()),
        }
    }

    /// Removes the value of a key, and says whether there was one.
    pub(super) async fn delete(
        &self,
        key: Key,
        condition: Option<v1::Condition>,
    ) -> Result<bool, Status> {
        let condition = self::condition(condition)?;
        let answer = self.execute(&Command::Delete { key, condition }).await?;
        match answer.reply {
            Reply::Deleted(deleted) => Ok(deleted),
            Reply::ConditionFailed { current } => Err(status::condition_failed(current)),
            _ => Err(status::unexpected()),
        }
    }

    /// What is left of a value's life, in milliseconds.
    pub(super) fn ttl_ms(&self, expires_at: Option<UnixMs>) -> Option<u64> {
        let now = self.shared.clock.now();
        expires_at.map(|at| now.ms_until(at))
    }

    /// The answer to a read, if the door has the memory for it.
    pub(super) fn answer<T: Message>(&self, message: T) -> Result<Response<T>, Status> {
        let bytes = message.encoded_len();
        if bytes >= SHORT_BYTES {
            let hold = Hold::take(&self.shared.budget, bytes).map_err(status::failure)?;
            self.hold(hold);
        }
        Ok(Response::new(message))
    }

    /// The answer to a write, which was applied: it is owed, whatever it takes.
    pub(super) fn owe<T: Message>(&self, message: T) -> Result<Response<T>, Status> {
        let bytes = message.encoded_len();
        if bytes >= SHORT_BYTES {
            self.hold(Hold::owe(&self.shared.budget, bytes));
        }
        Ok(Response::new(message))
    }

    /// Memory until what is returned is dropped.
    pub(super) fn borrow(&self, bytes: usize) -> Result<Hold, Status> {
        Hold::take(&self.shared.budget, bytes).map_err(status::failure)
    }

    /// The memory of a reply to a command: one to a write is owed.
    pub(super) fn take(&self, bytes: usize, writes: bool) -> Result<(), Status> {
        if bytes >= SHORT_BYTES {
            let budget = &self.shared.budget;
            self.hold(match writes {
                true => Hold::owe(budget, bytes),
                false => Hold::take(budget, bytes).map_err(status::failure)?,
            });
        }
        Ok(())
    }

    /// Whether there is as much memory at all.
    pub(super) fn fits(&self, bytes: usize) -> bool {
        self.shared.budget.fits(bytes)
    }

    /// Refuses an operation's name where commands are carried out as often as they are sent.
    pub(super) fn unnamed(&self) -> Result<(), Status> {
        if self.name.is_none() {
            return Ok(());
        }
        let message = "commands take no idempotency-key; the services of the types do";
        Err(status::invalid("invalid_idempotency_key", message))
    }

    /// Carries a command of the Redis protocol out, with the rights that the client's token has now.
    pub(super) async fn run(&self, words: &[Bytes]) -> Result<Ran, Refused> {
        let access = &self.shared.context.access;
        let role = bearer::check(access, &self.headers, Need::Read)?;
        self.shared.redis().run(words, role).await
    }

    /// Lets a client in whose answer goes on: with each part of it it is asked again.
    pub(super) fn pass(&self) -> Result<Pass, Status> {
        bearer::admit(&self.context().access, &self.headers).map_err(status::refused)
    }

    /// Whether it still may read.
    pub(super) fn may_read(&self, pass: &mut Pass) -> Result<(), Status> {
        let access = &self.context().access;
        let role = access.role(pass).ok_or(Refused::Unknown);
        let role = role.and_then(|role| access.check_role(role, Need::Read));
        role.map(|_| ()).map_err(status::refused)
    }

    fn hold(&self, hold: Hold) {
        if let Some(meter) = &self.meter {
            meter.holds.lock().push(hold);
        }
    }
}

impl Done {
    /// The version of the value as it is now, or of none.
    pub(super) fn version(&self) -> String {
        self.version
            .map_or_else(String::new, |version| version.to_string())
    }

    /// When the value expires.
    pub(super) fn expires_at(&self) -> Option<UnixMs> {
        self.expires_at
    }

    /// A number; it may be negative.
    pub(super) fn integer(&self) -> Result<i64, Status> {
        match self.answer {
            Answer::Integer(number) => Ok(number),
            _ => Err(status::unexpected()),
        }
    }

    /// A count.
    pub(super) fn count(&self) -> Result<u64, Status> {
        u64::try_from(self.integer()?).map_err(|_| status::unexpected())
    }

    /// One value, if there is one.
    pub(super) fn bytes(self) -> Result<Option<Bytes>, Status> {
        match self.answer {
            Answer::Bytes(bytes) => Ok(Some(bytes)),
            Answer::Nothing => Ok(None),
            _ => Err(status::unexpected()),
        }
    }

    /// The text of a number.
    pub(super) fn text(self) -> Result<String, Status> {
        let text = self.bytes()?.ok_or_else(status::unexpected)?;
        String::from_utf8(text.into()).map_err(|_| status::unexpected())
    }

    /// Values in order, all of them there; nothing is none.
    pub(super) fn items(self) -> Result<Vec<Bytes>, Status> {
        match self.answer {
            Answer::List(items) => Ok(items.into_iter().flatten().collect()),
            Answer::Nothing => Ok(Vec::new()),
            _ => Err(status::unexpected()),
        }
    }

    /// A part of a scan, and where to go on.
    pub(super) fn scanned(self) -> Result<(Vec<Bytes>, u64), Status> {
        match self.answer {
            Answer::Scanned { next, items } => Ok((items, next)),
            _ => Err(status::unexpected()),
        }
    }

    /// What the operation answered.
    pub(super) fn answer(self) -> Answer {
        self.answer
    }
}

/// A time to live, as a message has it; none is for ever.
pub(super) fn ttl(ttl_ms: Option<u64>) -> Result<Option<u64>, Status> {
    match ttl_ms {
        Some(0) => Err(invalid_ttl(
            "0 is none; without the field a value lives for ever",
        )),
        Some(TTL_MS_MAX..) if ttl_ms != Some(TTL_MS_MAX) => {
            Err(invalid_ttl("the longest is 100 years, 3153600000000"))
        }
        other => Ok(other),
    }
}

fn invalid_ttl(why: &str) -> Status {
    let message = format!("ttl_ms is a number of milliseconds, at least 1; {why}");
    status::invalid("invalid_ttl", message)
}

/// When a write may happen, as a message has it.
pub(super) fn condition(given: Option<v1::Condition>) -> Result<Condition, Status> {
    let Some(given) = given else {
        return Ok(Condition::None);
    };
    let presence = v1::Presence::try_from(given.presence).map_err(|_| {
        let message = "presence is PRESENCE_ABSENT or PRESENCE_PRESENT";
        status::invalid("invalid_condition", message)
    })?;
    let (these, not_these) = (
        versions(&given.version_in)?,
        versions(&given.version_not_in)?,
    );
    match (presence, these, not_these) {
        (v1::Presence::Unspecified, None, None) => Ok(Condition::None),
        (v1::Presence::Absent, None, None) => Ok(Condition::Absent),
        (v1::Presence::Present, None, None) => Ok(Condition::Present),
        (v1::Presence::Unspecified, Some(these), None) => Ok(Condition::VersionIn(these)),
        (v1::Presence::Unspecified, None, Some(these)) => Ok(Condition::VersionNotIn(these)),
        _ => {
            let message = "a condition is one of presence, version_in and version_not_in";
            Err(status::invalid("invalid_condition", message))
        }
    }
}

fn versions(texts: &[String]) -> Result<Option<Vec<Version>>, Status> {
    let parse = |text: &String| {
        Version::parse(text).ok_or_else(|| {
            let message = "a version is given as an answer has it, 25 characters long";
            status::invalid("invalid_condition", message)
        })
    };
    let versions: Vec<Version> = texts.iter().map(parse).collect::<Result<_, _>>()?;
    Ok((!versions.is_empty()).then_some(versions))
}

/// What a field has of which there must be at least one.
pub(super) fn some<T>(field: Vec<T>, name: &str) -> Result<Vec<T>, Status> {
    if field.is_empty() {
        let message = format!("the field {name} is required, with at least one in it");
        return Err(status::invalid("missing_field", message));
    }
    Ok(field)
}

/// What a field without which a call makes no sense has.
pub(super) fn required<T>(field: Option<T>, name: &str) -> Result<T, Status> {
    field.ok_or_else(|| {
        let message = format!("the field {name} is required");
        status::invalid("missing_field", message)
    })
}

/// The text of a number, which may have a fraction.
pub(super) fn number(amount: String) -> Result<Bytes, Status> {
    /// Longer texts are no numbers.
    const AMOUNT_BYTES_MAX: usize = 256;
    let amount = required(Some(amount).filter(|amount| !amount.is_empty()), "amount")?;
    let known = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    let is_number = amount.len() <= AMOUNT_BYTES_MAX
        && amount.bytes().all(known)
        && amount.parse().is_ok_and(f64::is_finite);
    if is_number {
        return Ok(amount.into());
    }
    let message = "amount is the text of a number, such as 0.1 or -3e10";
    Err(status::invalid("invalid_increment", message))
}

/// The text of a version, or of none.
pub(super) fn version(entry: Option<&Entry>) -> String {
    entry.map_or_else(String::new, |entry| entry.etag().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    #[test]
    fn what_lives_how_long() {
        for (given, lives) in [
            (None, None),
            (Some(1), Some(1)),
            (Some(TTL_MS_MAX), Some(TTL_MS_MAX)),
        ] {
            assert_eq!(ttl(given).unwrap(), lives);
        }
        for given in [0, TTL_MS_MAX + 1, u64::MAX] {
            let status = ttl(Some(given)).unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{given}");
        }
    }

    #[test]
    fn one_condition_at_a_time() {
        let text = "01a1fae7e05e0000-c4d3cc78";
        let version = Version::parse(text).unwrap();
        let of = |presence: v1::Presence, these: &[&str], not_these: &[&str]| {
            let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
            condition(Some(v1::Condition {
                presence: presence.into(),
                version_in: owned(these),
                version_not_in: owned(not_these),
            }))
        };
        use v1::Presence::{Absent, Present, Unspecified};
        assert_eq!(condition(None).unwrap(), Condition::None);
        assert_eq!(of(Unspecified, &[], &[]).unwrap(), Condition::None);
        assert_eq!(of(Absent, &[], &[]).unwrap(), Condition::Absent);
        assert_eq!(of(Present, &[], &[]).unwrap(), Condition::Present);
        let these = Condition::VersionIn(vec![version, version]);
        assert_eq!(of(Unspecified, &[text, text], &[]).unwrap(), these);
        let not_these = Condition::VersionNotIn(vec![version]);
        assert_eq!(of(Unspecified, &[], &[text]).unwrap(), not_these);
        for wrong in [
            of(Absent, &[text], &[]),
            of(Present, &[], &[text]),
            of(Unspecified, &[text], &[text]),
            of(Unspecified, &[""], &[]),
            of(Unspecified, &["\"01a1fae7e05e0000-c4d3cc78\""], &[]),
            condition(Some(v1::Condition {
                presence: 3,
                ..v1::Condition::default()
            })),
        ] {
            assert_eq!(wrong.unwrap_err().code(), Code::InvalidArgument);
        }
    }
}
