//! Counters: `GET`, `PUT` and `DELETE` on `/counters/{key}`.
//!
//! `/counters/visits` is the key `counters:visits` in the one keyspace, where `/api` sees it, too.
//! A counter without a value is not a miss: it stands at 0. `PUT` adds, it does not set; what adds
//! is [`command::counter`](crate::command::counter), on the owner of the key.

use std::mem::take;

use http::{Method, Response, StatusCode};

use super::body::Body;
use super::condition::{ReadCondition, Verdict, write_condition};
use super::draft::Draft;
use super::failure::Failure;
use super::front::{Call, write_node_suffix};
use super::idempotency::operation;
use super::path::{self, Named};
use super::query;
use super::read::ttl_ms;
use super::route::{self, Entry as RouteEntry};
use super::{ttl, write};
use crate::command::{Command, Entry, Reply, counter, json};
use crate::router;

const NAMESPACE: &str = "counters";

/// Answers a request about the counter that the path names.
pub(super) async fn answer(
    call: &mut Call,
    entry: &'static RouteEntry,
) -> Result<Response<Body>, Failure> {
    let path = route::without_slash(call.parts.uri.path());
    let bytes_max = call.context().config.key_bytes_max;
    let named = path::named(entry.rest(path).unwrap_or_default(), NAMESPACE, bytes_max)?;
    match call.parts.method {
        Method::GET | Method::HEAD => read(call, named).await,
        Method::DELETE => {
            let condition = write_condition(&call.parts.headers)?;
            let Named { name, key } = named;
            write::remove(call, &name, Command::Delete { key, condition }).await
        }
        _ => increment(call, named).await,
    }
}

async fn read(call: &mut Call, named: Named) -> Result<Response<Body>, Failure> {
    let condition = ReadCondition::of(&call.parts.headers)?;
    let command = Command::Get { key: named.key };
    let answer = call.context().execute(&command).await?;
    let Reply::Value(entry) = answer.reply else {
        return Err(Failure::unexpected());
    };
    let value = counter::value(entry.as_ref().map(Entry::as_ref)).map_err(router::Error::from)?;
    let cache = if entry.is_some() { "HIT" } else { "MISS" };
    let shown = Shown {
        name: &named.name,
        value,
        owner: &answer.owner,
        cache: Some(cache),
    };
    let version = entry.as_ref().map(|entry| entry.etag());
    match condition.verdict(version) {
        Verdict::Failed => Err(Failure::precondition_failed(version)),
        Verdict::NotModified => Ok(shown.respond(call, entry.as_ref(), StatusCode::NOT_MODIFIED)),
        Verdict::Send => Ok(shown.respond(call, entry.as_ref(), StatusCode::OK)),
    }
}

async fn increment(call: &mut Call, named: Named) -> Result<Response<Body>, Failure> {
    let condition = write_condition(&call.parts.headers)?;
    let addition = Addition::of(call.parts.uri.query())?;
    let operation = operation(&call.parts.headers, &named.key)?;
    let command = Command::Increment {
        key: named.key,
        by: addition.by,
        ttl_ms: addition.ttl_ms,
        condition,
    };
    let answer = call.context().execute_once(&command, operation).await?;
    let entry = match answer.reply {
        Reply::Stored { entry, .. } => entry,
        Reply::ConditionFailed { current } => return Err(Failure::precondition_failed(current)),
        Reply::Value(_) | Reply::Deleted(_) | Reply::Answer { .. } => {
            return Err(Failure::unexpected());
        }
    };
    let shown = Shown {
        name: &named.name,
        value: counter::value(Some(entry.as_ref())).map_err(router::Error::from)?,
        owner: &answer.owner,
        cache: None,
    };
    Ok(shown.respond(call, Some(&entry), StatusCode::OK))
}

/// What a counter is answered as.
struct Shown<'a> {
    name: &'a str,
    value: i64,
    owner: &'a str,
    cache: Option<&'static str>,
}

impl Shown<'_> {
    fn respond(
        &self,
        call: &mut Call,
        entry: Option<&Entry>,
        status: StatusCode,
    ) -> Response<Body> {
        let now = call.shared.clock.now();
        let mut draft = Draft::new(&call.id, 2 * self.name.len() + self.owner.len() + 64, None);
        if let Some(entry) = entry {
            draft.version(entry.etag(), ttl_ms(entry.expires_at, now));
        }
        if status != StatusCode::NOT_MODIFIED {
            self.write(draft.body());
        }
        draft.respond(status, self.cache, take(&mut call.parts.headers))
    }

    /// Clients of different ages look for the name under either of its members.
    fn write(&self, body: &mut Vec<u8>) {
        body.extend_from_slice(b"{\"counter\":");
        json::write_string(self.name, body);
        body.extend_from_slice(b",\"key\":");
        json::write_string(self.name, body);
        body.extend_from_slice(b",\"value\":");
        body.extend_from_slice(itoa::Buffer::new().format(self.value).as_bytes());
        write_node_suffix(self.owner, body);
    }
}

/// What the query of a `PUT` says.
#[derive(Debug, PartialEq, Eq)]
struct Addition {
    by: i64,
    /// Of a counter that is not there yet.
    ttl_ms: Option<u64>,
}

impl Addition {
    /// Refuses what nobody knows: with a misspelt `ttl` a counter would live for ever.
    fn of(query: Option<&str>) -> Result<Addition, Failure> {
        let (mut by, mut ttl_ms) = (None, None);
        for pair in query::pairs(query) {
            let (name, value) = pair?;
            let (code, is_twice) = match &*name {
                "increment" => ("invalid_increment", by.replace(integer(&value)?).is_some()),
                "ttl" => (
                    "invalid_ttl",
                    ttl_ms.replace(ttl::from_text(&value)?).is_some(),
                ),
                _ => {
                    let message = format!("unknown parameter {name:?}; allowed are increment, ttl");
                    return Err(Failure::bad("unknown_parameter", message));
                }
            };
            if is_twice {
                return Err(Failure::bad(code, format!("{name} is given twice")));
            }
        }
        Ok(Addition {
            by: by.ok_or_else(no_increment)?,
            ttl_ms,
        })
    }
}

fn no_increment() -> Failure {
    Failure::bad("invalid_increment", "no increment specified")
}

fn integer(text: &str) -> Result<i64, Failure> {
    if text.is_empty() {
        return Err(no_increment());
    }
    counter::parse(text.as_bytes()).ok_or_else(|| {
        let range = "from -2^63 to 2^63 - 1, without plus or leading zeros";
        let message =
            format!("could not parse {text:?} into an integer; it is a whole number {range}");
        Failure::bad("invalid_increment", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_put_adds() {
        let of = |query| Addition::of(Some(query));
        let by = |by| Ok(Addition { by, ttl_ms: None });
        assert_eq!(of("increment=5"), by(5));
        assert_eq!(of("&increment=%2D5&"), by(-5));
        assert_eq!(of("increment=0"), by(0));
        assert_eq!(of("increment=-9223372036854775808"), by(i64::MIN));
        let ttl_ms = Some(60_000);
        assert_eq!(of("ttl=1m&increment=1"), Ok(Addition { by: 1, ttl_ms }));
        assert_eq!(of("increment=1&ttl=60"), Ok(Addition { by: 1, ttl_ms }));
    }

    #[test]
    fn what_is_refused() {
        for (query, code) in [
            ("", "invalid_increment"),
            ("increment", "invalid_increment"),
            ("increment=", "invalid_increment"),
            ("increment=1.5", "invalid_increment"),
            ("increment=1.0", "invalid_increment"),
            ("increment=1e3", "invalid_increment"),
            ("increment=+5", "invalid_increment"),
            ("increment=%2B5", "invalid_increment"),
            ("increment=05", "invalid_increment"),
            ("increment=-0", "invalid_increment"),
            ("increment=0x10", "invalid_increment"),
            ("increment=one", "invalid_increment"),
            ("increment=9223372036854775808", "invalid_increment"),
            ("increment=1&increment=1", "invalid_increment"),
            ("increment=1&ttl=0", "invalid_ttl"),
            ("increment=1&ttl=1&ttl=1", "invalid_ttl"),
            ("ttl=5", "invalid_increment"),
            ("increment=1&tll=5", "unknown_parameter"),
            ("increment=%ff", "invalid_utf8"),
            ("increment=%", "invalid_escape"),
        ] {
            let failure = Addition::of(Some(query)).unwrap_err();
            assert_eq!(failure.code, code, "{query}");
        }
        let message = Addition::of(None).unwrap_err().message;
        assert_eq!(message, "no increment specified");
        let message = Addition::of(Some("increment=1e3")).unwrap_err().message;
        assert!(message.starts_with("could not parse \"1e3\" into an integer"));
    }
}
