//! The way to a node in this process: requests become commands, without a byte on a wire.
//!
//! Nobody asks for a token here: the program has the node. What is tried again the router decides,
//! which knows where keys went.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::time::Instant;

use super::change::{Event, json, left};
use super::{
    Cache, Changes, Error, Lifetime, PutOptions, Reply, Request, Response, Stored, TIMEOUT_MAX,
    Versioned, Watch,
};
use crate::access::Role;
use crate::clock::UnixMs;
use crate::command::json::Answer as Document;
use crate::command::json::path::Path;
use crate::command::lifetime::{self, Rule};
use crate::command::{
    self, Answer, Command, Condition, Entry, Expiry, Kind, Operation, counter, hash, json as text,
    list, set, string,
};
use crate::door::grpc::{self, v1};
use crate::door::http::TTL_MS_MAX;
use crate::door::resp;
use crate::key::Key;
use crate::live;
use crate::node::Node;
use crate::router::{self, keyspace};
use crate::watch;

/// A client of a node in this process; cheap to clone. [`Smache::client`](crate::Smache::client) gives
/// one.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use smache::Smache;
/// use smache::client::{Cache as _, End};
///
/// let node = Smache::builder().start().await?;
/// let cache = node.client();
/// cache.list_push("jobs", End::Right, ["wash", "dry"]).await?;
/// assert_eq!(cache.list_pop("jobs", End::Left).await?, Some("wash".into()));
/// assert_eq!(cache.get::<Vec<String>>("jobs").await?, Some(vec!["dry".to_owned()]));
/// # node.stop().await?;
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Local {
    node: Node,
    timeout: Duration,
}

impl Cache for Local {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response, Error>> {
        self.carry_out(request).boxed()
    }

    fn watch(&self, watch: Watch) -> Changes {
        let local = self.clone();
        let begun = async move { local.begin_to_watch(watch).await };
        let changes = stream::once(begun).flat_map(|begun| match begun {
            Ok((local, watch)) => stream::unfold(watch, move |mut watch| {
                let node = local.node.clone();
                async move {
                    let notice = watch.next().await?;
                    Some((Event::of(notice, node.now()), watch))
                }
            })
            .left_stream(),
            Err(error) => stream::iter([Err(error)]).right_stream(),
        });
        changes.boxed()
    }
}

impl Local {
    pub(crate) fn new(node: Node) -> Local {
        let timeout = node.config().request_timeout;
        Local { node, timeout }
    }

    /// The same with another time for each call, a year at most; by default it is the node's
    /// `request-timeout`.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Local {
        self.timeout = timeout.min(TIMEOUT_MAX);
        self
    }

    fn key(&self, key: String) -> Result<Key, Error> {
        Ok(Key::new(key, self.node.config().key_bytes_max)?)
    }

    fn document(&self, text: &Bytes) -> Result<Bytes, Error> {
        Ok(text::compact(text, self.node.config().json_depth_max)?)
    }

    async fn begin_to_watch(self, watch: Watch) -> Result<(Local, watch::Watch), Error> {
        let keys = watch.keys.into_iter().map(|key| self.key(key));
        let options = watch::Options {
            keys: keys.collect::<Result<_, _>>()?,
            prefixes: watch.prefixes.into_iter().map(Bytes::from).collect(),
            seen: None,
            read_timeout: self.timeout,
        };
        if options.keys.is_empty() && options.prefixes.is_empty() {
            return Err(Error::InvalidArgument(
                "a watch names keys, or prefixes of keys".to_owned(),
            ));
        }
        let watch = watch::Watch::start(self.node.router(), options).await?;
        Ok((self, watch))
    }

    async fn carry_out(&self, request: Request) -> Result<Response, Error> {
        let (key, operation) = match request {
            Request::Get(key) => {
                let entry = self.entry(key).await?;
                return self.value(entry, |entry| json(entry).map(Bytes::from));
            }
            Request::GetBytes(key) => {
                let entry = self.entry(key).await?;
                return self.value(entry, |entry| {
                    string::text(Some(entry.as_ref())).map_err(router::Error::from)?;
                    Ok(entry.data.clone())
                });
            }
            Request::Put {
                key,
                value,
                options,
            } => return self.put(key, value, options).await,
            Request::Delete { key, condition } => return self.delete(key, condition).await,
            Request::Merge { key, patch } => return self.merge(key, &patch).await,
            Request::Query { key, path } => return self.query(key, path).await,
            Request::Counter(key) => {
                let Some(entry) = self.entry(key).await? else {
                    return Ok(Response::Nothing);
                };
                return sum(&entry);
            }
            Request::Increment { key, by, ttl } => return self.increment(key, by, ttl).await,
            Request::Flag(key) => return flag(self.entry(key).await?.as_ref()),
            Request::SetAdd(key, items) => (key, Operation::Set(set::Operation::Add(items))),
            Request::SetRemove(key, items) => (key, Operation::Set(set::Operation::Remove(items))),
            Request::SetContains(key, item) => {
                (key, Operation::Set(set::Operation::Contains(vec![item])))
            }
            Request::SetMembers(key) => (key, Operation::Set(set::Operation::Members)),
            Request::SetLength(key) => (key, Operation::Set(set::Operation::Length)),
            Request::HashGet(key, field) => (key, Operation::Hash(hash::Operation::Get(field))),
            Request::HashGetAll(key) => (key, Operation::Hash(hash::Operation::All)),
            Request::HashSet(key, pairs) => (key, Operation::Hash(hash::Operation::Set(pairs))),
            Request::HashRemove(key, fields) => {
                (key, Operation::Hash(hash::Operation::Remove(fields)))
            }
            Request::HashIncrement(key, field, by) => {
                (key, Operation::Hash(hash::Operation::Increment(field, by)))
            }
            Request::HashLength(key) => (key, Operation::Hash(hash::Operation::Length)),
            Request::ListPush(key, end, elements) => {
                let push = list::Operation::Push {
                    end,
                    elements,
                    only_if_present: false,
                };
                (key, Operation::List(push))
            }
            Request::ListPop(key, end) => {
                let pop = list::Operation::Pop { end, count: None };
                (key, Operation::List(pop))
            }
            Request::ListRange(key, first, last) => {
                (key, Operation::List(list::Operation::Range(first, last)))
            }
            Request::ListLength(key) => (key, Operation::List(list::Operation::Length)),
            Request::Lifetime(key) => (key, Operation::Lifetime(lifetime::Operation::Describe)),
            Request::SetLifetime(key, lifetime) => (key, self.expire(lifetime)?),
            Request::Run(words) => return self.run(&words).await,
            Request::Scan {
                cursor,
                pattern,
                count,
            } => return self.scan(cursor, pattern, count).await,
            Request::Publish { channel, message } => {
                let heard = self.node.router().live().publish(&channel, &message)?;
                return Ok(Response::Integer(i64::try_from(heard).unwrap_or(i64::MAX)));
            }
        };
        check_items(&operation)?;
        let (answer, _) = self.operate(key, operation).await?;
        self.response(answer)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    async fn execute(&self, command: &Command) -> Result<command::Reply, Error> {
        let answer = self.node.router().execute(command, self.deadline()).await?;
        Ok(answer.reply)
    }

    async fn operate(
        &self,
        key: String,
        operation: Operation,
    ) -> Result<(Answer, Option<crate::version::Version>), Error> {
        let command = Command::Typed {
            key: self.key(key)?,
            operation: Box::new(operation),
            condition: Condition::None,
        };
        match self.execute(&command).await? {
            command::Reply::Answer {
                answer, version, ..
            } => Ok((answer, version)),
            _ => Err(Error::unexpected()),
        }
    }

    async fn entry(&self, key: String) -> Result<Option<Entry>, Error> {
        let key = self.key(key)?;
        match self.execute(&Command::Get { key }).await? {
            command::Reply::Value(entry) => Ok(entry),
            _ => Err(Error::unexpected()),
        }
    }

    fn value(
        &self,
        entry: Option<Entry>,
        bytes: impl FnOnce(&Entry) -> Result<Bytes, Error>,
    ) -> Result<Response, Error> {
        let Some(entry) = entry else {
            return Ok(Response::Nothing);
        };
        Ok(Response::Value(Versioned {
            value: bytes(&entry)?,
            version: entry.etag(),
            ttl: left(&entry, self.node.now()),
        }))
    }

    async fn put(
        &self,
        key: String,
        value: Stored,
        options: PutOptions,
    ) -> Result<Response, Error> {
        let (kind, data) = match value {
            Stored::Json(text) => (Kind::Json, self.document(&text)?),
            Stored::Bytes(bytes) => (Kind::Bytes, bytes),
            Stored::Counter(number) => (Kind::Counter, counter::text(number)),
            Stored::Flag(true) => (Kind::Flag, Bytes::from_static(b"true")),
            Stored::Flag(false) => (Kind::Flag, Bytes::from_static(b"false")),
        };
        let command = Command::Put {
            key: self.key(key)?,
            kind,
            data,
            ttl_ms: options.ttl.map(milliseconds).transpose()?,
            condition: options.condition,
        };
        match self.execute(&command).await? {
            command::Reply::Stored { entry, .. } => Ok(Response::Written(entry.etag())),
            command::Reply::ConditionFailed { current } => Err(Error::Condition(current)),
            _ => Err(Error::unexpected()),
        }
    }

    async fn delete(&self, key: String, condition: Condition) -> Result<Response, Error> {
        let key = self.key(key)?;
        match self.execute(&Command::Delete { key, condition }).await? {
            command::Reply::Deleted(deleted) => Ok(Response::Integer(deleted.into())),
            command::Reply::ConditionFailed { current } => Err(Error::Condition(current)),
            _ => Err(Error::unexpected()),
        }
    }

    async fn merge(&self, key: String, patch: &Bytes) -> Result<Response, Error> {
        let command = Command::MergePatch {
            key: self.key(key)?,
            patch: self.document(patch)?,
            condition: Condition::None,
        };
        match self.execute(&command).await? {
            command::Reply::Stored { entry, .. } => Ok(Response::Bytes(entry.data)),
            _ => Err(Error::unexpected()),
        }
    }

    async fn query(&self, key: String, path: String) -> Result<Response, Error> {
        match Path::parse(&path) {
            Ok(read) if !read.is_legacy() => {}
            Ok(_) => {
                let message = "a path is a JSONPath, which begins with $";
                return Err(Error::InvalidArgument(message.to_owned()));
            }
            Err(error) => return Err(router::Error::from(command::Error::from(error)).into()),
        }
        let get = text::Operation::Get { paths: vec![path] };
        match self.operate(key, Operation::Json(get)).await?.0 {
            Answer::Document(Document::Text(json)) => Ok(Response::Bytes(json)),
            Answer::Document(Document::Nothing) => Ok(Response::Nothing),
            _ => Err(Error::unexpected()),
        }
    }

    async fn increment(
        &self,
        key: String,
        by: i64,
        ttl: Option<Duration>,
    ) -> Result<Response, Error> {
        let command = Command::Increment {
            key: self.key(key)?,
            by,
            ttl_ms: ttl.map(milliseconds).transpose()?,
            condition: Condition::None,
        };
        match self.execute(&command).await? {
            command::Reply::Stored { entry, .. } => sum(&entry),
            _ => Err(Error::unexpected()),
        }
    }

    fn expire(&self, lifetime: Lifetime) -> Result<Operation, Error> {
        Ok(Operation::Lifetime(match lifetime {
            Lifetime::Forever => lifetime::Operation::Persist,
            Lifetime::For(ttl) => {
                lifetime::Operation::Expire(Expiry::In(milliseconds(ttl)?), Rule::default())
            }
        }))
    }

    /// What an operation of a collection, or on a lifetime, answered.
    fn response(&self, answer: Answer) -> Result<Response, Error> {
        Ok(match answer {
            Answer::Nothing => Response::Nothing,
            Answer::Integer(number) => Response::Integer(number),
            Answer::Bytes(bytes) => Response::Bytes(bytes),
            Answer::List(items) => Response::Items(items.into_iter().flatten().collect()),
            Answer::Integers(numbers) => match numbers[..] {
                [found] => Response::Integer(found.unwrap_or(0)),
                _ => return Err(Error::unexpected()),
            },
            Answer::Pairs(pairs) => Response::Pairs(pairs),
            Answer::Described(described) => Response::Integer(match described.expires_at {
                None => -1,
                Some(at) => ms_left(self.node.now(), at),
            }),
            Answer::Done | Answer::Scanned { .. } | Answer::Document(_) | Answer::Inspected(_) => {
                return Err(Error::unexpected());
            }
        })
    }

    async fn run(&self, words: &[Bytes]) -> Result<Response, Error> {
        let ran = self.node.commands().run(words, Role::Admin);
        let ran = tokio::time::timeout(self.timeout, ran).await;
        let resp::Ran { reply, .. } = ran
            .map_err(|_| Error::Deadline)?
            .map_err(|refused| Error::Unauthorized(refused.to_string()))?;
        let reply = grpc::command_reply(reply).ok_or_else(Error::unexpected)?;
        match reply.reply {
            Some(v1::command_reply::Reply::Error(error)) => {
                Err(Error::from(&grpc::status_of_reply(error)))
            }
            _ => Ok(Response::Reply(Reply::from(reply))),
        }
    }

    async fn scan(&self, cursor: u64, pattern: Bytes, count: u64) -> Result<Response, Error> {
        let options = keyspace::Options {
            pattern: Some(pattern),
            count: usize::try_from(count).unwrap_or(usize::MAX).max(1),
            ..keyspace::Options::default()
        };
        let keyspace = self.node.router().keyspace();
        let page = keyspace.scan(cursor, &options, self.deadline()).await?;
        Ok(Response::Page {
            next: page.next,
            keys: page.keys,
        })
    }
}

impl From<keyspace::Error> for Error {
    fn from(error: keyspace::Error) -> Error {
        match error {
            keyspace::Error::Router(error) => Error::from(error),
            other => Error::InvalidArgument(other.to_string()),
        }
    }
}

impl From<live::Error> for Error {
    fn from(error: live::Error) -> Error {
        let message = error.to_string();
        match error {
            live::Error::TooMany { .. } | live::Error::Full => Error::Overloaded(message),
            live::Error::TooMuch { .. } | live::Error::TooLong { .. } => {
                Error::InvalidArgument(message)
            }
        }
    }
}

/// An operation that adds or removes nothing makes no sense, as over the network.
fn check_items(operation: &Operation) -> Result<(), Error> {
    let is_empty = match operation {
        Operation::Set(set::Operation::Add(items) | set::Operation::Remove(items))
        | Operation::Hash(hash::Operation::Remove(items)) => items.is_empty(),
        Operation::Hash(hash::Operation::Set(pairs)) => pairs.is_empty(),
        Operation::List(list::Operation::Push { elements, .. }) => elements.is_empty(),
        _ => false,
    };
    match is_empty {
        true => Err(Error::InvalidArgument(
            "at least one item is required".to_owned(),
        )),
        false => Ok(()),
    }
}

fn sum(entry: &Entry) -> Result<Response, Error> {
    let number = counter::value(Some(entry.as_ref())).map_err(router::Error::from)?;
    Ok(Response::Integer(number))
}

fn flag(entry: Option<&Entry>) -> Result<Response, Error> {
    match entry {
        None => Ok(Response::Nothing),
        Some(entry) if entry.kind == Kind::Flag => {
            Ok(Response::Integer((&entry.data[..] == b"true").into()))
        }
        Some(entry) => {
            let (found, wanted) = (entry.kind, Kind::Flag);
            let error = command::Error::WrongType { found, wanted };
            Err(router::Error::from(error).into())
        }
    }
}

fn ms_left(now: UnixMs, at: UnixMs) -> i64 {
    i64::try_from(now.ms_until(at)).unwrap_or(i64::MAX)
}

/// A time to live in milliseconds.
pub(super) fn milliseconds(ttl: Duration) -> Result<u64, Error> {
    match u64::try_from(ttl.as_millis()) {
        Ok(ms) if (1..=TTL_MS_MAX).contains(&ms) => Ok(ms),
        _ => Err(Error::InvalidArgument(
            "a time to live is from 1 ms to 100 years".to_owned(),
        )),
    }
}
