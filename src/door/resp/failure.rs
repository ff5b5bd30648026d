//! What is answered instead of a result: a word in capitals for programs, a sentence for people.
//!
//! Where Redis has the same failure it is worded as there. The router's errors become words in one
//! exhaustive match:
//!
//! - `BUSY`: too much is under way; nothing was done.
//! - `CLUSTERDOWN`: no node answers for the key at the moment; nothing was done.
//! - `NOREPLICAS`: fewer nodes can be reached than writes need; nothing was done.
//! - `IOERR`: no answer came from another node; a write may have been applied.
//! - `OOM`: the memory limit leaves no room; nothing was done.

use std::borrow::Cow;

use super::reply::Out;
use crate::command;
use crate::door::hold;
use crate::key;
use crate::router;

/// Why a request is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal(Cow<'static, [u8]>);

impl Refusal {
    pub(super) const SYNTAX: Refusal = Refusal::of("ERR syntax error");
    pub(super) const NOT_INTEGER: Refusal =
        Refusal::of("ERR value is not an integer or out of range");
    pub(super) const NOT_FLOAT: Refusal = Refusal::of("ERR value is not a valid float");
    pub(super) const NO_SUCH_KEY: Refusal = Refusal::of("ERR no such key");
    pub(super) const INVALID_CURSOR: Refusal = Refusal::of("ERR invalid cursor");
    pub(super) const TIMEOUT_NOT_INTEGER: Refusal =
        Refusal::of("ERR timeout is not an integer or out of range");
    pub(super) const TIMEOUT_NEGATIVE: Refusal = Refusal::of("ERR timeout is negative");
    pub(super) const WRONG_TYPE: Refusal =
        Refusal::of("WRONGTYPE Operation against a key holding the wrong kind of value");
    pub(super) const NO_AUTH: Refusal = Refusal::of("NOAUTH Authentication required.");
    pub(super) const TOO_MANY: Refusal =
        Refusal::of("BUSY too many requests are in work; try again later");
    pub(super) const NOT_READY: Refusal =
        Refusal::of("LOADING this node has not joined its cluster yet; try again later");
    pub(super) const WRONG_PASSWORD: Refusal =
        Refusal::of("WRONGPASS invalid username-password pair or user is disabled.");
    /// A defect of ours: a reply that does not go with its command.
    pub(super) const UNEXPECTED: Refusal = Refusal::of("ERR the command failed inside the node");

    pub(super) const fn of(text: &'static str) -> Refusal {
        Refusal(Cow::Borrowed(text.as_bytes()))
    }

    pub(super) fn text(text: String) -> Refusal {
        Refusal(Cow::Owned(text.into_bytes()))
    }

    /// A command has too few arguments, or too many.
    pub(super) fn arity(command: &str) -> Refusal {
        Refusal::text(format!(
            "ERR wrong number of arguments for '{command}' command"
        ))
    }

    /// One that names what a client sent.
    pub(super) fn bytes(text: Vec<u8>) -> Refusal {
        Refusal(Cow::Owned(text))
    }

    pub(super) fn write(&self, out: &mut Out) {
        out.error_bytes(&self.0);
    }
}

impl From<hold::Refused> for Refusal {
    fn from(refused: hold::Refused) -> Refusal {
        Refusal::text(format!("BUSY {refused}"))
    }
}

impl From<key::Error> for Refusal {
    fn from(error: key::Error) -> Refusal {
        Refusal::text(format!("ERR {error}"))
    }
}

impl From<router::Error> for Refusal {
    fn from(error: router::Error) -> Refusal {
        let word = match &error {
            router::Error::Command(error) => return error.into(),
            router::Error::Overloaded { .. } => "BUSY",
            router::Error::NoOwner => "CLUSTERDOWN",
            router::Error::TooFewMembers { .. } => "NOREPLICAS",
            router::Error::Deadline { .. }
            | router::Error::Lost { .. }
            | router::Error::Unanswered => "IOERR",
            router::Error::Full { .. } => "OOM",
            router::Error::Internal => "ERR",
        };
        Refusal::text(format!("{word} {error}"))
    }
}

impl From<&command::Error> for Refusal {
    fn from(error: &command::Error) -> Refusal {
        match error {
            command::Error::WrongType { .. } => Refusal::WRONG_TYPE,
            command::Error::ValueTooLarge { .. } => {
                Refusal::of("ERR string exceeds maximum allowed size (proto-max-bulk-len)")
            }
            command::Error::NotANumber => Refusal::NOT_INTEGER,
            command::Error::NotAFloat => Refusal::NOT_FLOAT,
            command::Error::FloatOverflow => {
                Refusal::of("ERR increment would produce NaN or Infinity")
            }
            command::Error::IndexOutOfRange => Refusal::of("ERR index out of range"),
            command::Error::NoSuchKey => Refusal::NO_SUCH_KEY,
            command::Error::NotAFlag
            | command::Error::NotACollection(_)
            | command::Error::AnswerTooLarge { .. } => Refusal::text(format!("ERR {error}")),
            command::Error::Overflow { .. } => {
                Refusal::of("ERR increment or decrement would overflow")
            }
            command::Error::Json(error) => Refusal::text(format!("ERR {error}")),
            command::Error::Path(error) => Refusal::text(format!("ERR {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Kind;

    fn said(refusal: Refusal) -> String {
        let mut out = Out::default();
        refusal.write(&mut out);
        String::from_utf8(out.into_bytes()).unwrap()
    }

    #[test]
    fn errors_of_the_router_have_words() {
        let wrong = command::Error::WrongType {
            found: Kind::Json,
            wanted: Kind::Counter,
        };
        for (error, word) in [
            (
                router::Error::Command(wrong),
                "-WRONGTYPE Operation against",
            ),
            (
                router::Error::Overloaded { peer: None },
                "-BUSY too many requests",
            ),
            (router::Error::NoOwner, "-CLUSTERDOWN no node answers"),
            (router::Error::Deadline { peer: None }, "-IOERR no answer"),
            (
                router::Error::Full { bytes: 9, limit: 5 },
                "-OOM no room: 9 bytes",
            ),
        ] {
            let said = said(error.into());
            assert!(said.starts_with(word) && said.ends_with("\r\n"), "{said}");
        }
    }

    #[test]
    fn what_clients_sent_breaks_no_line() {
        let refusal = Refusal::bytes(b"ERR unknown '\r\n+OK'".to_vec());
        assert_eq!(said(refusal), "-ERR unknown '  +OK'\r\n");
    }
}
