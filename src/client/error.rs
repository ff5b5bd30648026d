//! Why a request got no answer.
//!
//! The same failure is the same [`Error`] on every way to a node: a status of gRPC and an error of
//! the router each become one here.

use tonic::{Code, Status};

use crate::command::json;
use crate::door::grpc;
use crate::key;
use crate::router;
use crate::version::Version;

/// Why a request was not answered. Each has a sentence for people; the variant is for programs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key holds a value of another type. Nothing changed.
    #[error("{0}")]
    WrongType(String),
    /// What should be added to is no number. Nothing changed.
    #[error("{0}")]
    NotANumber(String),
    /// The sum is beyond what a counter or a field holds. Nothing changed.
    #[error("{0}")]
    Overflow(String),
    /// The condition of a write did not hold: the value has this version, or there is none. Nothing
    /// changed.
    #[error("the condition does not hold: {}", present(.0))]
    Condition(Option<Version>),
    /// The request itself is wrong: an argument, an unknown command, a key that is too long. The
    /// message says what would be right.
    #[error("{0}")]
    InvalidArgument(String),
    /// A raw command was answered with an error that has no variant of its own here. It begins with its
    /// word, such as `ERR`.
    #[error("{0}")]
    Refused(String),
    /// The value does not become JSON, or the JSON not the type that was asked for.
    #[error("the value does not fit its type: {0}")]
    Type(String),
    /// The node asks for a token, or for one with more rights.
    #[error("{0}")]
    Unauthorized(String),
    /// Too much is under way, or memory has no room. Nothing changed; trying again later helps, at
    /// once does not.
    #[error("{0}")]
    Overloaded(String),
    /// No node could be reached that would take the request. It was not carried out.
    #[error("{0}")]
    Unavailable(String),
    /// The answer was lost on its way. A write may have been applied.
    #[error("{0}")]
    Lost(String),
    /// It took too long. A write may have been applied.
    #[error("no answer within the deadline; a write may have been applied")]
    Deadline,
    /// A defect of the node or of this library.
    #[error("{0}")]
    Internal(String),
}

fn present(version: &Option<Version>) -> String {
    match version {
        Some(version) => format!("the present version is {version}"),
        None => "the key has no value".to_owned(),
    }
}

impl Error {
    /// Whether a write that failed so may have been applied all the same.
    #[must_use]
    pub fn may_be_applied(&self) -> bool {
        matches!(self, Error::Lost(_) | Error::Deadline | Error::Internal(_))
    }

    pub(super) fn unexpected() -> Error {
        Error::Internal("the answer does not belong to what was asked".to_owned())
    }

    pub(super) fn type_of(error: &serde_json::Error) -> Error {
        Error::Type(error.to_string())
    }
}

/// What a node has answered instead of what was asked for. What it means for trying again is the
/// caller's matter.
impl From<&Status> for Error {
    fn from(status: &Status) -> Error {
        let named = error_of(status).unwrap_or_default();
        let said = status.message();
        // Errors of raw commands begin with a word in capital letters, and are known by it.
        let is_reply = named.starts_with(|letter: char| letter.is_ascii_uppercase());
        let message = match is_reply {
            true => format!("{named} {said}"),
            false => said.to_owned(),
        };
        match (status.code(), named) {
            (Code::FailedPrecondition, "not_a_number") => Error::NotANumber(message),
            (Code::FailedPrecondition, _) => Error::WrongType(message),
            (Code::OutOfRange, "counter_overflow") => Error::Overflow(message),
            (Code::Aborted, _) => Error::Condition(version_of(status)),
            (Code::Unauthenticated | Code::PermissionDenied, _) => Error::Unauthorized(message),
            (Code::ResourceExhausted, _) => Error::Overloaded(message),
            (Code::Unavailable, "peer_lost") => Error::Lost(message),
            (Code::Unavailable, _) => Error::Unavailable(message),
            (Code::Unknown | Code::DataLoss, _) => Error::Lost(message),
            (Code::DeadlineExceeded | Code::Cancelled, _) => Error::Deadline,
            (Code::Internal, _) => Error::Internal(message),
            _ if is_reply => Error::Refused(message),
            _ => Error::InvalidArgument(message),
        }
    }
}

/// The code that a node has given a failure; none if no node has answered.
pub(super) fn error_of(status: &Status) -> Option<&str> {
    status.metadata().get("smache-error")?.to_str().ok()
}

fn version_of(status: &Status) -> Option<Version> {
    let version = status.metadata().get("smache-version")?;
    Version::parse(version.to_str().ok()?)
}

/// By way of the statuses, so that the same failure is the same error over the network.
impl From<router::Error> for Error {
    fn from(error: router::Error) -> Error {
        Error::from(&grpc::status_of(error))
    }
}

impl From<key::Error> for Error {
    fn from(error: key::Error) -> Error {
        Error::InvalidArgument(error.to_string())
    }
}

impl From<json::Error> for Error {
    fn from(error: json::Error) -> Error {
        Error::InvalidArgument(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{self, Kind};

    #[test]
    fn errors_of_the_router() {
        let wrong = command::Error::WrongType {
            found: Kind::Set,
            wanted: Kind::Hash,
        };
        let full = router::Error::Full { bytes: 2, limit: 1 };
        let lost = router::Error::Lost { peer: "two".into() };
        let is = |error: router::Error| Error::from(error);
        assert!(matches!(is(wrong.into()), Error::WrongType(_)));
        let number = is(command::Error::NotANumber.into());
        assert!(matches!(number, Error::NotANumber(_)));
        let sum = is(command::Error::Overflow { value: 1, by: 1 }.into());
        assert!(matches!(sum, Error::Overflow(_)));
        assert!(matches!(is(full), Error::Overloaded(_)));
        assert!(matches!(is(lost), Error::Lost(_)));
        assert!(matches!(is(router::Error::Unanswered), Error::Lost(_)));
        assert!(matches!(is(router::Error::NoOwner), Error::Unavailable(_)));
        let late = is(router::Error::Deadline { peer: None });
        assert!(late == Error::Deadline && late.may_be_applied());
        assert!(!is(router::Error::NoOwner).may_be_applied());
    }

    #[test]
    fn errors_of_raw_commands_keep_their_word() {
        let mut status = Status::new(Code::InvalidArgument, "syntax error");
        status
            .metadata_mut()
            .insert("smache-error", "ERR".parse().unwrap());
        assert_eq!(
            Error::from(&status),
            Error::Refused("ERR syntax error".to_owned())
        );
        let mut status = Status::new(Code::FailedPrecondition, "Operation against");
        let word = "WRONGTYPE".parse().unwrap();
        status.metadata_mut().insert("smache-error", word);
        let text = "WRONGTYPE Operation against".to_owned();
        assert_eq!(Error::from(&status), Error::WrongType(text));
    }
}
