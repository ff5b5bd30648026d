//! Commands of the Redis protocol, for doors that speak another one, and for the client library in this
//! process.
//!
//! [`Door::run`] carries one command out as a connection of this protocol would: by the same table, the
//! same functions and the same rules. It answers with the reply in RESP3, which [`Reader`] reads. What
//! is about a connection (who it is, what it subscribes to) is refused, since there is none.
//!
//! [`Reader`]: super::read::Reader

use std::sync::atomic::Ordering::Relaxed;

use bytes::{Bytes, BytesMut};

use super::Door;
use super::call::{Call, Flow, resolve};
use super::clients::Client;
use super::failure::Refusal;
use super::inline;
use super::reply::{Out, Protocol};
use super::request::{Parser, Step};
use super::session::Session;
use super::table::{Entry, Flags};
use crate::access::{Refused, Role};

/// Commands of a connection's groups that do without one.
const WITHOUT_CONNECTION: [&str; 2] = ["ping", "echo"];

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    /// In RESP3.
    pub(crate) reply: Vec<u8>,
    /// Whether something may have changed by it.
    pub(crate) is_write: bool,
}

/// The words of a line, as people type them: with quotes, as `redis-cli` takes them. `None` if the
/// quotes do not match.
#[must_use]
pub fn words(line: &[u8]) -> Option<Vec<Bytes>> {
    let mut line = BytesMut::from(line);
    let mut places = Vec::new();
    inline::split(&mut line, &mut places)?;
    let line = line.freeze();
    Some(
        places
            .iter()
            .map(|place| line.slice(place.range()))
            .collect(),
    )
}

impl Door {
    /// Carries a command out for a client that has this role.
    ///
    /// # Errors
    /// When the role is not enough. All else that can go wrong is a reply.
    pub(crate) async fn run(&self, words: &[Bytes], role: Role) -> Result<Ran, Refused> {
        let (flow, mut out, is_write) = self.begin(words, role)?;
        match flow {
            Ok(Flow::Done) => {}
            Ok(Flow::Later(later)) => out = later.reply.await,
            Err(refusal) => {
                out.truncate(0);
                refusal.write(&mut out);
            }
        }
        if out.bytes().first() == Some(&b'-') {
            self.shared.errors.fetch_add(1, Relaxed);
        }
        Ok(Ran {
            reply: out.into_bytes(),
            is_write,
        })
    }

    /// Begins it. What is answered at once is in the [`Out`].
    fn begin(
        &self,
        words: &[Bytes],
        role: Role,
    ) -> Result<(Result<Flow, Refusal>, Out, bool), Refused> {
        let shared = &self.shared;
        let mut out = Out::new(Protocol::Resp3);
        let mut buffer = encode(words);
        let mut parser = Parser::default();
        let length = match parser.step(&mut buffer, &shared.limits) {
            Ok(Step::Request(length)) => length,
            Ok(Step::Nothing(_) | Step::Incomplete(_)) => {
                return Ok((Err(Refusal::of("ERR no command is given")), out, false));
            }
            Err(error) => return Ok((Err(Refusal::text(format!("ERR {error}"))), out, false)),
        };
        let arguments = parser.arguments(&mut buffer, length);
        let entry = match resolve(&arguments) {
            Ok(entry) => entry,
            Err(refusal) => return Ok((Err(refusal), out, false)),
        };
        shared.context.access.check_role(role, entry.spec.need())?;
        if let Err(refusal) = self.check(entry) {
            return Ok((Err(refusal), out, false));
        }
        if let Some(calls) = shared.calls.get(entry.index) {
            calls.fetch_add(1, Relaxed);
        }
        let now = shared.context.clock.now();
        let mut session = Session::new(Client::nobody(now));
        session.protocol = Protocol::Resp3;
        let call = Call {
            shared,
            session: &mut session,
            entry,
            out: &mut out,
            now,
        };
        let flow = (entry.spec.run)(call, arguments);
        Ok((flow, out, entry.spec.flags.has(Flags::PAUSED)))
    }

    /// Whether it can be carried out without a connection, and yet.
    fn check(&self, entry: &Entry) -> Result<(), Refusal> {
        let flags = entry.spec.flags;
        let is_own = matches!(entry.group, "connection" | "transactions")
            && !WITHOUT_CONNECTION.contains(&entry.spec.name);
        let name = &entry.name;
        if is_own || name.ends_with("subscribe") {
            return Err(Refusal::text(format!(
                "ERR '{name}' is about a connection of the Redis protocol, and there is none here"
            )));
        }
        if !flags.has(Flags::EARLY) && !self.shared.context.readiness.serves() {
            return Err(Refusal::NOT_READY);
        }
        Ok(())
    }
}

/// A request as it would be sent.
fn encode(words: &[Bytes]) -> BytesMut {
    let room = words.iter().map(|word| word.len() + 24).sum::<usize>() + 24;
    let mut buffer = BytesMut::with_capacity(room);
    let mut digits = itoa::Buffer::new();
    let mut line = |mark: &[u8], number: usize, buffer: &mut BytesMut| {
        buffer.extend_from_slice(mark);
        buffer.extend_from_slice(digits.format(number).as_bytes());
        buffer.extend_from_slice(b"\r\n");
    };
    line(b"*", words.len(), &mut buffer);
    for word in words {
        line(b"$", word.len(), &mut buffer);
        buffer.extend_from_slice(word);
        buffer.extend_from_slice(b"\r\n");
    }
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_words() {
        let found = words(br#" SET  key "two words\n" 'it''s' "" "#);
        assert!(found.is_none(), "what follows a quote is white space");
        let found = words(br#" SET  key "two words\n" 'it\'s' "" "#).unwrap();
        assert_eq!(found, [&b"SET"[..], b"key", b"two words\n", b"it's", b""]);
        assert_eq!(words(b" \t ").unwrap(), [] as [&[u8]; 0]);
        assert!(words(b"SET k \"v").is_none());
    }

    #[test]
    fn words_become_a_request() {
        let words = [Bytes::from_static(b"GET"), Bytes::from_static(b"a\r\n")];
        assert_eq!(encode(&words), "*2\r\n$3\r\nGET\r\n$3\r\na\r\n\r\n");
        assert_eq!(encode(&[]), "*0\r\n");
    }
}
