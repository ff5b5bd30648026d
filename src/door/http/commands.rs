//! `POST /command`: one command of the Redis protocol, as text or as words, answered in JSON.
//!
//! The command is carried out as the Redis protocol's door would ([`resp::Door::run`]), so that it is
//! the same command with the same reply. Replies become JSON like values do ([`command::show`]): bytes
//! a string if they are text, no value `null`, a map an object if its names are text.
//!
//! [`resp::Door::run`]: crate::door::resp::Door::run
//! [`command::show`]: crate::command::show

use std::mem::take;

use bytes::Bytes;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{Response, StatusCode};

use super::accept::{self, Format};
use super::body::{Body, Incoming};
use super::draft::Draft;
use super::envelope;
use super::failure::Failure;
use super::front::Call;
use super::hold::{Hold, LARGE_BYTES};
use super::idempotency::IdempotencyKey;
use super::service::items;
use super::write;
use crate::command::json::{self, Object, Type};
use crate::command::show;
use crate::door::resp::{self, Ran, Reader, Token};

/// Lists may lie so deep in one another. No command's reply comes near.
const DEPTH_MAX: usize = 32;

pub(super) async fn answer<B: Incoming>(
    call: &mut Call,
    body: B,
) -> Result<Response<Body>, Failure> {
    unconditional(call)?;
    accept::format(&call.parts.headers, &[Format::Json])?;
    let (text, _hold) = write::whole(call, body).await?;
    let words = words(&text, call.context().config.json_depth_max)?;
    // As long as it is under way there is a second copy of it.
    let bytes = words
        .iter()
        .map(|word| word.len() + size_of::<Bytes>())
        .sum();
    let _copy = Hold::take(&call.shared.budget, bytes)?;
    let ran = call.shared.redis().run(&words, call.role).await?;
    respond(call, &ran)
}

/// Refuses what no command has: each is carried out as it is, and as often as it is sent.
fn unconditional(call: &Call) -> Result<(), Failure> {
    let headers = &call.parts.headers;
    if headers.contains_key(IF_MATCH) || headers.contains_key(IF_NONE_MATCH) {
        let message = "a command takes no condition";
        return Err(Failure::bad("invalid_condition", message));
    }
    if IdempotencyKey::of(headers)?.is_some() {
        let message = "a command takes no Idempotency-Key";
        return Err(Failure::bad("invalid_idempotency_key", message));
    }
    Ok(())
}

/// The command and its arguments that the body of a request has. `None` if it is none.
#[must_use]
pub fn words_of(body: &Bytes, json_depth_max: usize) -> Option<Vec<Bytes>> {
    words(body, json_depth_max).ok()
}

/// The command and its arguments.
fn words(text: &Bytes, depth_max: usize) -> Result<Vec<Bytes>, Failure> {
    let object = Object::parse(text, depth_max)?;
    envelope::only(&object, &["command"])?;
    let command = object.share("command").ok_or_else(missing)?;
    let words = match json::type_of(&command) {
        Type::String => {
            let line = items::item(&command)?;
            resp::words(&line).ok_or_else(|| {
                Failure::bad("invalid_command", "the quotes in the command do not match")
            })?
        }
        Type::Array => items::items(&command)?,
        _ => return Err(missing()),
    };
    match words.first() {
        Some(name) if !name.is_empty() => Ok(words),
        _ => Err(missing()),
    }
}

fn missing() -> Failure {
    let message = "command is a string such as \"HSET key field value\", or an array of its words";
    Failure::bad("invalid_command", message)
}

fn respond(call: &mut Call, ran: &Ran) -> Result<Response<Body>, Failure> {
    if let Token::Error(text) = Reader::new(&ran.reply).next() {
        return Err(refused(text));
    }
    let mut length = 0;
    let mut reader = Reader::new(&ran.reply);
    write_value(&mut reader, DEPTH_MAX, &mut length)?;
    let hold = match ran.is_write {
        // What was done is answered, whatever that takes.
        true => (length >= LARGE_BYTES).then(|| Hold::owe(&call.shared.budget, length)),
        false => Hold::take_large(&call.shared.budget, length)?,
    };
    let mut draft = Draft::new(&call.id, length, hold);
    let mut reader = Reader::new(&ran.reply);
    write_value(&mut reader, DEPTH_MAX, draft.body())?;
    Ok(draft.respond(StatusCode::OK, None, take(&mut call.parts.headers)))
}

/// What JSON is written to; or counted, before there is memory for it.
trait Sink {
    fn text(&mut self, text: &[u8]);
    fn bytes(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn text(&mut self, text: &[u8]) {
        self.extend_from_slice(text);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        show::write_bytes(bytes, self);
    }
}

impl Sink for usize {
    fn text(&mut self, text: &[u8]) {
        *self += text.len();
    }

    fn bytes(&mut self, bytes: &[u8]) {
        *self += show::bytes_length(bytes);
    }
}

/// Writes one reply with all its parts.
fn write_value(
    reader: &mut Reader<'_>,
    depth_left: usize,
    out: &mut impl Sink,
) -> Result<(), Failure> {
    let deeper = depth_left.checked_sub(1);
    match (reader.next(), deeper) {
        (Token::Nothing, _) => out.text(b"null"),
        (Token::Boolean(true), _) => out.text(b"true"),
        (Token::Boolean(false), _) => out.text(b"false"),
        // JSON has no other numbers than these.
        (Token::Number(text @ (b"inf" | b"-inf" | b"nan")), _) => out.bytes(text),
        (Token::Number(text), _) => out.text(text),
        (Token::Bytes(bytes), _) => out.bytes(bytes),
        (Token::Error(text), _) => {
            out.text(b"{\"error\":");
            out.bytes(text);
            out.text(b"}");
        }
        (Token::List(count), Some(deeper)) => {
            out.text(b"[");
            for place in 0..count {
                if place > 0 {
                    out.text(b",");
                }
                write_value(reader, deeper, out)?;
            }
            out.text(b"]");
        }
        (Token::Map(pairs), Some(deeper)) => write_map(reader, pairs, deeper, out)?,
        (Token::Broken | Token::List(_) | Token::Map(_), _) => return Err(Failure::unexpected()),
    }
    Ok(())
}

/// Writes a map as an object; or, if a name in it is no text, as an array of pairs.
fn write_map(
    reader: &mut Reader<'_>,
    pairs: usize,
    depth_left: usize,
    out: &mut impl Sink,
) -> Result<(), Failure> {
    let is_object = has_text_names(*reader, pairs, depth_left)?;
    let (open, between, close): (&[u8], &[u8], &[u8]) = match is_object {
        true => (b"", b":", b""),
        false => (b"[", b",", b"]"),
    };
    out.text(if is_object { b"{" } else { b"[" });
    for place in 0..pairs {
        if place > 0 {
            out.text(b",");
        }
        out.text(open);
        write_value(reader, depth_left, out)?;
        out.text(between);
        write_value(reader, depth_left, out)?;
        out.text(close);
    }
    out.text(if is_object { b"}" } else { b"]" });
    Ok(())
}

fn has_text_names(
    mut reader: Reader<'_>,
    pairs: usize,
    depth_left: usize,
) -> Result<bool, Failure> {
    for _ in 0..pairs {
        match reader.next() {
            Token::Bytes(name) if std::str::from_utf8(name).is_ok() => {}
            _ => return Ok(false),
        }
        // The value is passed over.
        write_value(&mut reader, depth_left, &mut 0)?;
    }
    Ok(true)
}

/// What an error reply is called here.
fn refused(text: &[u8]) -> Failure {
    let text = String::from_utf8_lossy(text).into_owned();
    let (word, said) = text.split_once(' ').unwrap_or((&text, &text));
    let conflict = |code, text| Failure::new(StatusCode::CONFLICT, code, text);
    match word {
        "WRONGTYPE" => conflict("wrong_type", text),
        "BUSY" => Failure::busy("overloaded", said.to_owned()),
        "LOADING" => Failure::busy("not_ready", said.to_owned()),
        "CLUSTERDOWN" => Failure::busy("no_owner", said.to_owned()),
        "NOREPLICAS" => Failure::busy("too_few_members", said.to_owned()),
        "IOERR" => Failure::new(StatusCode::GATEWAY_TIMEOUT, "deadline", said.to_owned()),
        "OOM" => Failure::new(StatusCode::INSUFFICIENT_STORAGE, "full", said.to_owned()),
        _ if said == "no such key" => {
            Failure::new(StatusCode::NOT_FOUND, "not_found", said.to_owned())
        }
        _ if said.ends_with("would overflow") => conflict("counter_overflow", text),
        _ if said == "the command failed inside the node" => Failure::unexpected(),
        _ => Failure::bad("invalid_command", text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(reply: &str) -> Result<String, &'static str> {
        let mut out = Vec::new();
        let mut length = 0;
        let write = write_value(&mut Reader::new(reply.as_bytes()), DEPTH_MAX, &mut out);
        let _ = write_value(&mut Reader::new(reply.as_bytes()), DEPTH_MAX, &mut length);
        write.map_err(|failure| failure.code)?;
        assert_eq!(length, out.len(), "{reply}");
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn replies_as_json() {
        for (reply, json) in [
            ("+OK\r\n", r#""OK""#),
            (":-5\r\n", "-5"),
            (",1.5\r\n", "1.5"),
            (",inf\r\n", r#""inf""#),
            ("_\r\n", "null"),
            ("#t\r\n", "true"),
            ("$3\r\na\"\n\r\n", r#""a\"\n""#),
            ("*3\r\n$1\r\na\r\n_\r\n*0\r\n", r#"["a",null,[]]"#),
            ("~1\r\n:1\r\n", "[1]"),
            (
                "%2\r\n$1\r\nf\r\n$1\r\nv\r\n$1\r\ng\r\n*1\r\n:1\r\n",
                r#"{"f":"v","g":[1]}"#,
            ),
            ("%1\r\n:1\r\n:2\r\n", "[[1,2]]"),
            ("*1\r\n-ERR no\r\n", r#"[{"error":"ERR no"}]"#),
        ] {
            assert_eq!(shown(reply).as_deref(), Ok(json), "{reply:?}");
        }
        let deep = "*1\r\n".repeat(DEPTH_MAX + 1) + ":1\r\n";
        assert_eq!(shown(&deep), Err("internal"));
        assert_eq!(shown("*2\r\n:1\r\n"), Err("internal"));
    }

    #[test]
    fn errors_and_their_statuses() {
        for (text, status, code) in [
            ("WRONGTYPE Operation against a key", 409, "wrong_type"),
            ("ERR no such key", 404, "not_found"),
            (
                "ERR increment or decrement would overflow",
                409,
                "counter_overflow",
            ),
            ("ERR unknown command 'x'", 400, "invalid_command"),
            ("ERR syntax error", 400, "invalid_command"),
            ("BUSY too many requests", 503, "overloaded"),
            ("LOADING this node", 503, "not_ready"),
            ("CLUSTERDOWN no node", 503, "no_owner"),
            ("NOREPLICAS writes need", 503, "too_few_members"),
            ("IOERR no answer", 504, "deadline"),
            ("OOM no room", 507, "full"),
            ("ERR the command failed inside the node", 500, "internal"),
            ("ODD", 400, "invalid_command"),
        ] {
            let failure = refused(text.as_bytes());
            let found = (failure.status.as_u16(), failure.code);
            assert_eq!(found, (status, code), "{text}");
        }
    }

    #[test]
    fn commands_as_text_and_as_words() {
        let of = |text: &'static str| words(&Bytes::from_static(text.as_bytes()), 8);
        let set = [&b"SET"[..], b"k", b"a b"];
        assert_eq!(of(r#"{"command":"SET k \"a b\""}"#).unwrap(), set);
        assert_eq!(of(r#"{"command":["SET","k","a b"]}"#).unwrap(), set);
        let typed = of(r#"{"command":["SET",1.50,{"base64":"/w=="}]}"#).unwrap();
        assert_eq!(typed, [&b"SET"[..], b"1.50", b"\xff"]);
        for (text, code) in [
            ("{}", "invalid_command"),
            (r#"{"command":""}"#, "invalid_command"),
            (r#"{"command":"  "}"#, "invalid_command"),
            (r#"{"command":[]}"#, "invalid_command"),
            (r#"{"command":[""]}"#, "invalid_command"),
            (r#"{"command":7}"#, "invalid_command"),
            (r#"{"command":"SET k \"v"}"#, "invalid_command"),
            (r#"{"command":["SET",null]}"#, "invalid_value"),
            (r#"{"command":"PING","key":"k"}"#, "unknown_member"),
            (r#""PING""#, "invalid_json"),
        ] {
            assert_eq!(of(text).unwrap_err().code, code, "{text}");
        }
    }
}
