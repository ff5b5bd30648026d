//! Commands of the Redis protocol, by whatever carries them.

use serde_json::{Value as Json, json};

use super::super::vocabulary::{Answer, End, Op, Refused, Text, Value};
use super::{Door, Ends, Key, Pending, Seen, Shown, Told, now_ms};

/// A reply, as far as all that carry one can tell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    Nothing,
    Integer(i64),
    /// Bytes, or a word such as `OK`.
    Bytes(Text),
    List(Vec<Reply>),
    Map(Vec<(Reply, Reply)>),
    Error(String),
}

/// What brings a command to a node, and its reply back.
pub(crate) trait Carrier: Send {
    fn run<'a>(&'a mut self, words: &'a [Vec<u8>]) -> Pending<'a, Reply>;
}

pub(super) struct Words<C> {
    name: &'static str,
    carrier: C,
}

impl<C: Carrier> Words<C> {
    pub(super) fn new(name: &'static str, carrier: C) -> Words<C> {
        Words { name, carrier }
    }

    async fn run(&mut self, words: &[&[u8]]) -> Reply {
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.to_vec()).collect();
        self.carrier.run(&words).await
    }
}

impl<C: Carrier> Door for Words<C> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn ask<'a>(&'a mut self, key: &'a Key, op: &'a Op) -> Pending<'a, Option<Told>> {
        Box::pin(async move {
            let words = words(&key.whole(), op)?;
            let reply = self.carrier.run(&words).await;
            Some(answer(op, reply).into())
        })
    }

    fn look<'a>(&'a mut self, key: &'a Key) -> Pending<'a, Option<Option<Shown>>> {
        Box::pin(async move {
            let key = key.whole();
            let asked = now_ms();
            let ttl_ms = match self.run(&[b"PTTL", &key.0]).await {
                Reply::Integer(-2) => return Some(None),
                Reply::Integer(-1) => None,
                Reply::Integer(ms) => Some(ms as u64),
                other => panic!("{other:?}"),
            };
            let ends = Ends::of(asked, ttl_ms);
            let kind = self.run(&[b"TYPE", &key.0]).await.text();
            let op = match kind.utf8().unwrap() {
                "string" => Op::Read,
                "set" => Op::Members,
                "hash" => Op::Fields,
                "list" => Op::Elements(0, -1),
                "ReJSON-RL" => Op::Document,
                other => panic!("{other}"),
            };
            let words = words(&key, &op).unwrap();
            let value = match answer(&op, self.carrier.run(&words).await) {
                Answer::Bytes(bytes) => Seen::Text(bytes),
                Answer::Members(members) => Seen::Typed(Value::Set(members)),
                Answer::Fields(fields) => Seen::Typed(Value::Hash(fields)),
                Answer::List(elements) => Seen::Typed(Value::List(elements)),
                Answer::Json(document) => Seen::Typed(Value::Json(document)),
                other => panic!("{other:?}"),
            };
            let version = None;
            Some(Some(Shown {
                value,
                version,
                ends,
            }))
        })
    }
}

/// The command that does this. `None` if there is none.
pub(crate) fn words(key: &Text, op: &Op) -> Option<Vec<Vec<u8>>> {
    let end = |end: &End, left: &'static str, right: &'static str| match end {
        End::Left => left,
        End::Right => right,
    };
    let number = |number: &i64| number.to_string();
    let at = |name: &str| format!("$.{name}");
    let mut line = Line::default();
    match op {
        Op::Put(Value::Bytes(text), None) => line.name("SET").word(key).word(text),
        Op::Put(Value::Bytes(text), Some(ms)) => {
            let line = line.name("SET").word(key).word(text);
            line.text("PX").text(ms.to_string())
        }
        Op::Create(Value::Bytes(text)) => line.name("SET").word(key).word(text).text("NX"),
        // Values of other types are made by adding to them; `JSON.SET` keeps the time to live, and
        // replaces documents only; versions are not shown.
        Op::Put(..) | Op::Create(_) | Op::Replace(..) => return None,
        Op::Delete => line.name("DEL").word(key),
        Op::Expire(ms) => line.name("PEXPIRE").word(key).text(ms.to_string()),
        Op::Persist => line.name("PERSIST").word(key),
        Op::Read => line.name("GET").word(key),
        Op::Length => line.name("STRLEN").word(key),
        Op::Range(a, b) => line
            .name("GETRANGE")
            .word(key)
            .text(number(a))
            .text(number(b)),
        Op::Append(more) => line.name("APPEND").word(key).word(more),
        Op::SetRange(at, part) => {
            let line = line.name("SETRANGE").word(key);
            line.text(at.to_string()).word(part)
        }
        Op::Exchange(new) => line.name("GETSET").word(key).word(new),
        Op::Take => line.name("GETDEL").word(key),
        Op::Increment(by) => line.name("INCRBY").word(key).text(number(by)),
        Op::IncrementFloat(by) => line.name("INCRBYFLOAT").word(key).text(*by),
        // A counter and a flag are strings here.
        Op::Count | Op::IsSet => return None,
        Op::Members => line.name("SMEMBERS").word(key),
        Op::Contains(members) => line.name("SMISMEMBER").word(key).words(members),
        Op::Size => line.name("SCARD").word(key),
        Op::AddMembers(members) => line.name("SADD").word(key).words(members),
        Op::RemoveMembers(members) => line.name("SREM").word(key).words(members),
        Op::Fields => line.name("HGETALL").word(key),
        Op::Field(field) => line.name("HGET").word(key).word(field),
        Op::HasField(field) => line.name("HEXISTS").word(key).word(field),
        Op::FieldCount => line.name("HLEN").word(key),
        Op::SetFields(pairs) => {
            let line = line.name("HSET").word(key);
            for (field, value) in pairs {
                line.word(field).word(value);
            }
            line
        }
        Op::SetNewField(field, value) => line.name("HSETNX").word(key).word(field).word(value),
        Op::RemoveFields(fields) => line.name("HDEL").word(key).words(fields),
        Op::IncrementField(field, by) => {
            let line = line.name("HINCRBY").word(key);
            line.word(field).text(number(by))
        }
        Op::Elements(a, b) => line
            .name("LRANGE")
            .word(key)
            .text(number(a))
            .text(number(b)),
        Op::Element(at) => line.name("LINDEX").word(key).text(number(at)),
        Op::ListLength => line.name("LLEN").word(key),
        Op::Push(to, elements) => line
            .name(end(to, "LPUSH", "RPUSH"))
            .word(key)
            .words(elements),
        Op::PushMore(to, elements) => line
            .name(end(to, "LPUSHX", "RPUSHX"))
            .word(key)
            .words(elements),
        Op::Pop(from, 1) => line.name(end(from, "LPOP", "RPOP")).word(key),
        Op::Pop(from, count) => {
            let line = line.name(end(from, "LPOP", "RPOP")).word(key);
            line.text(count.to_string())
        }
        Op::SetElement(at, element) => line.name("LSET").word(key).text(number(at)).word(element),
        Op::Insert(pivot, element) => {
            let line = line.name("LINSERT").word(key).text("BEFORE");
            line.word(pivot).word(element)
        }
        Op::RemoveElements(count, element) => line
            .name("LREM")
            .word(key)
            .text(number(count))
            .word(element),
        Op::Trim(a, b) => line.name("LTRIM").word(key).text(number(a)).text(number(b)),
        Op::Rotate(from, to) => {
            let line = line.name("LMOVE").word(key).word(key);
            let line = line.text(end(from, "LEFT", "RIGHT"));
            line.text(end(to, "LEFT", "RIGHT"))
        }
        Op::Document => line.name("JSON.GET").word(key),
        Op::SetDocument(document) => {
            let line = line.name("JSON.SET").word(key).text("$");
            line.text(document.to_string())
        }
        Op::Member(name) => line.name("JSON.GET").word(key).text(at(name)),
        Op::Merge(patch) => {
            let line = line.name("JSON.MERGE").word(key).text("$");
            line.text(patch.to_string())
        }
        Op::SetMember(name, value) => {
            let line = line.name("JSON.SET").word(key).text(at(name));
            line.text(value.to_string())
        }
        Op::RemoveMember(name) => line.name("JSON.DEL").word(key).text(at(name)),
        Op::IncrementMember(name, by) => {
            let line = line.name("JSON.NUMINCRBY").word(key).text(at(name));
            line.text(number(by))
        }
        Op::AppendMember(name, value) => {
            let line = line.name("JSON.ARRAPPEND").word(key).text(at(name));
            line.text(value.to_string())
        }
    };
    Some(line.0)
}

/// The words of a command.
#[derive(Default)]
struct Line(Vec<Vec<u8>>);

impl Line {
    fn name(&mut self, name: &str) -> &mut Line {
        self.text(name)
    }

    fn text(&mut self, text: impl Into<String>) -> &mut Line {
        self.0.push(text.into().into_bytes());
        self
    }

    fn word(&mut self, text: &Text) -> &mut Line {
        self.0.push(text.0.clone());
        self
    }

    fn words(&mut self, texts: &[Text]) -> &mut Line {
        texts.iter().fold(self, Line::word)
    }
}

impl Reply {
    fn text(self) -> Text {
        match self {
            Reply::Bytes(text) => text,
            Reply::Integer(number) => Text::from(number.to_string()),
            other => panic!("{other:?}"),
        }
    }

    fn list(self) -> Vec<Reply> {
        match self {
            Reply::List(items) => items,
            other => panic!("{other:?}"),
        }
    }

    fn texts(self) -> Vec<Text> {
        self.list().into_iter().map(Reply::text).collect()
    }

    /// Fields and values: a map, or in turn, as the second version of the protocol has it.
    fn pairs(self) -> Vec<(Text, Text)> {
        match self {
            Reply::Map(pairs) => {
                let pair = |(field, value): (Reply, Reply)| (field.text(), value.text());
                pairs.into_iter().map(pair).collect()
            }
            Reply::List(items) if matches!(items.first(), Some(Reply::List(_))) => {
                let pair = |pair: Reply| {
                    let mut pair = pair.texts();
                    let value = pair.pop().unwrap();
                    (pair.pop().unwrap(), value)
                };
                items.into_iter().map(pair).collect()
            }
            other => {
                let all = other.texts();
                let pair = |pair: &[Text]| (pair[0].clone(), pair[1].clone());
                all.chunks(2).map(pair).collect()
            }
        }
    }

    fn json(self) -> Json {
        match self {
            Reply::Nothing => Json::Null,
            Reply::Integer(number) => json!(number),
            Reply::Bytes(text) => serde_json::from_slice(&text.0).unwrap(),
            Reply::List(items) => items.into_iter().map(Reply::json).collect(),
            other => panic!("{other:?}"),
        }
    }
}

/// A reply as the vocabulary has it.
pub(crate) fn answer(op: &Op, reply: Reply) -> Answer {
    match (op, reply) {
        (_, Reply::Error(text)) => refused(&text),
        // `NX` did not hold.
        (Op::Create(_), Reply::Nothing) => Answer::Refused(Refused::Condition),
        (Op::Pop(..), Reply::Nothing) => Answer::List(Vec::new()),
        (Op::Insert(..), Reply::Integer(0 | -1)) => Answer::Nothing,
        (_, Reply::Nothing) => Answer::Nothing,
        (
            Op::Put(..)
            | Op::Create(_)
            | Op::SetElement(..)
            | Op::Trim(..)
            | Op::Merge(_)
            | Op::SetDocument(_)
            | Op::SetMember(..),
            reply,
        ) => match reply {
            Reply::Bytes(text) if text.utf8() == Some("OK") => Answer::Done,
            other => Answer::Unknown(format!("{other:?}")),
        },
        (Op::Members, reply) => Answer::Members(reply.texts().into_iter().collect()),
        (Op::Contains(_), reply) => {
            let is_one = |reply: Reply| reply == Reply::Integer(1);
            Answer::Contained(reply.list().into_iter().map(is_one).collect())
        }
        (Op::Fields, reply) => Answer::Fields(reply.pairs().into_iter().collect()),
        (Op::Pop(_, 1), reply @ Reply::Bytes(_)) => Answer::List(vec![reply.text()]),
        (Op::Elements(..) | Op::Pop(..), reply) => Answer::List(reply.texts()),
        (Op::Document | Op::Member(_) | Op::IncrementMember(..) | Op::AppendMember(..), reply) => {
            Answer::Json(reply.json())
        }
        (_, Reply::Integer(number)) => Answer::Integer(number),
        (_, Reply::Bytes(text)) => Answer::Bytes(text),
        (_, other) => Answer::Unknown(format!("{other:?}")),
    }
}

/// An error as the vocabulary has it.
fn refused(text: &str) -> Answer {
    let has = |part: &str| text.contains(part);
    Answer::Refused(if text.starts_with("WRONGTYPE") {
        Refused::WrongType
    } else if has("not an integer") || has("not a valid float") {
        Refused::NotANumber
    } else if has("would overflow") || has("beyond whole numbers of 64 bits") {
        Refused::Overflow
    } else if has("exceeds maximum allowed size") || has("the value would be") {
        Refused::TooLarge
    } else if has("key is") || has("key cannot be empty") {
        Refused::Key
    } else if has("no such key") || has("on a key that doesn't exist") {
        Refused::NoSuchKey
    } else if has("index out of range") {
        Refused::OutOfRange
    } else if has("must be created at the root") {
        Refused::Mismatch
    } else {
        return Answer::Unknown(text.to_owned());
    })
}
