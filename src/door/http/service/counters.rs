//! Counters: `/counters/{key}`.
//!
//! A counter without a value is not a miss: it stands at 0. `PUT` adds, it does not set; what adds is
//! [`command::counter`](crate::command::counter), on the owner of the key, or, to numbers with a
//! fraction, [`command::string`](crate::command::string).

use http::{Method, Response};

use super::super::body::{Body, Incoming};
use super::super::condition::write_condition;
use super::super::failure::Failure;
use super::super::front::Call;
use super::super::idempotency;
use super::arguments::{Arguments, fraction};
use super::given::{self, Fields, Given, Written};
use super::{Target, change, confirm, delete, is_read, no_body, shown, stored, tell, whole};
use crate::command::{Answer, Command, Entry, Operation, counter, string};
use crate::router;

/// What is added in decimal.
const FLOAT: &str = "increment_float";

pub(super) async fn answer<B: Incoming>(
    call: &mut Call,
    target: Target,
    body: B,
) -> Result<Response<Body>, Failure> {
    if is_read(call) {
        let (entry, facts) = whole(call, &target).await?;
        return tell(
            call,
            &target,
            &facts,
            shown::raw("value", value(entry.as_ref())?),
        );
    }
    if call.parts.method == Method::DELETE {
        return delete(call, target).await;
    }
    increment(call, &target, body).await
}

/// What it stands at, as JSON.
fn value(entry: Option<&Entry>) -> Result<&[u8], Failure> {
    Ok(counter::standing(entry.map(Entry::as_ref)).map_err(router::Error::from)?)
}

async fn increment<B: Incoming>(
    call: &mut Call,
    target: &Target,
    body: B,
) -> Result<Response<Body>, Failure> {
    let known = ["increment", FLOAT, "ttl"];
    let arguments = Arguments::of(call.parts.uri.query(), &known)?;
    if let Some(by) = arguments.one(FLOAT)? {
        arguments.only(FLOAT, &[FLOAT])?;
        no_body(&body)?;
        return increment_float(call, target, by).await;
    }
    let depth_max = call.context().config.json_depth_max;
    let (given, _hold) = given::read(call, body).await?;
    let addition = Addition::of(&arguments, given, depth_max)?;
    let command = Command::Increment {
        key: target.key.clone(),
        by: addition.by,
        ttl_ms: addition.ttl_ms,
        condition: write_condition(&call.parts.headers)?,
    };
    let id = idempotency::operation(&call.parts.headers, &target.key)?;
    let (entry, facts) = stored(call.context().execute_once(&command, id).await?)?;
    let sum = shown::raw("value", value(Some(&entry))?);
    Ok(confirm(call, target, &facts, sum))
}

/// Adds a number that may have a fraction, in decimal.
async fn increment_float(
    call: &mut Call,
    target: &Target,
    by: &str,
) -> Result<Response<Body>, Failure> {
    let by = fraction(FLOAT, by)?;
    let operation = Operation::String(string::Operation::IncrementFloat(by));
    let (answer, facts) = change(call, target, operation).await?;
    let Answer::Bytes(sum) = answer else {
        return Err(Failure::unexpected());
    };
    Ok(confirm(call, target, &facts, shown::raw("value", &sum)))
}

/// What a `PUT` says.
#[derive(Debug, PartialEq, Eq)]
struct Addition {
    by: i64,
    /// Of a counter that is not there yet.
    ttl_ms: Option<u64>,
}

impl Addition {
    fn of(arguments: &Arguments, given: Given, depth_max: usize) -> Result<Addition, Failure> {
        let fields = Fields::of(arguments, given, &["increment"], depth_max)?;
        let by = match &fields.value {
            None => return Err(no_increment()),
            Some(Written::Text(text)) => integer(text.as_bytes())?,
            Some(Written::Json(text) | Written::Bytes(text)) => integer(text)?,
        };
        Ok(Addition {
            by,
            ttl_ms: fields.ttl_ms()?,
        })
    }
}

fn no_increment() -> Failure {
    Failure::bad("invalid_increment", "no increment specified")
}

fn integer(text: &[u8]) -> Result<i64, Failure> {
    if text.is_empty() {
        return Err(no_increment());
    }
    counter::parse(text).ok_or_else(|| {
        let found = String::from_utf8_lossy(&text[..text.len().min(64)]);
        let range = "from -2^63 to 2^63 - 1, without plus or leading zeros";
        let message =
            format!("could not parse {found:?} into an integer; it is a whole number {range}");
        Failure::bad("invalid_increment", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str, given: Given) -> Result<Addition, Failure> {
        let arguments = Arguments::of(Some(query), &["increment", "ttl"])?;
        Addition::of(&arguments, given, 8)
    }

    #[test]
    fn what_a_put_adds() {
        let of = |query| read(query, Given::Nothing);
        let by = |by| Ok(Addition { by, ttl_ms: None });
        assert_eq!(of("increment=5"), by(5));
        assert_eq!(of("&increment=%2D5&"), by(-5));
        assert_eq!(of("increment=0"), by(0));
        assert_eq!(of("increment=-9223372036854775808"), by(i64::MIN));
        let ttl_ms = Some(60_000);
        assert_eq!(of("ttl=1m&increment=1"), Ok(Addition { by: 1, ttl_ms }));
        assert_eq!(of("increment=1&ttl=60"), Ok(Addition { by: 1, ttl_ms }));
        let json = |text: &'static str| Given::Json(text.into());
        assert_eq!(read("", json(r#"{"increment":-5}"#)), by(-5));
        let both = read("ttl=60", json(r#"{"increment":1}"#));
        assert_eq!(both, Ok(Addition { by: 1, ttl_ms }));
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
            ("increment=1&increment=1", "repeated_parameter"),
            ("increment=1&ttl=0", "invalid_ttl"),
            ("increment=1&ttl=1&ttl=1", "repeated_parameter"),
            ("ttl=5", "invalid_increment"),
            ("increment=1&tll=5", "unknown_parameter"),
            ("increment=%ff", "invalid_utf8"),
            ("increment=%", "invalid_escape"),
        ] {
            let failure = read(query, Given::Nothing).unwrap_err();
            assert_eq!(failure.code, code, "{query}");
        }
        let message = |query| read(query, Given::Nothing).unwrap_err().message;
        assert_eq!(message(""), "no increment specified");
        let found = message("increment=1e3");
        assert!(found.starts_with("could not parse \"1e3\" into an integer"));
        for text in [
            r#"{"increment":"5"}"#,
            r#"{"increment":1.5}"#,
            r#"{"increment":null}"#,
        ] {
            let failure = read("", Given::Json(text.into())).unwrap_err();
            assert_eq!(failure.code, "invalid_increment", "{text}");
        }
    }
}
