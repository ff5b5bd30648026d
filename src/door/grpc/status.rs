//! What went wrong, as a status.
//!
//! A status has a code, a sentence for people, and under the metadata `smache-error` the code that
//! the HTTP door has for the same failure. `proto/smache/v1/common.proto` says which status means
//! what.

use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

use crate::access::Refused;
use crate::command::{self, json};
use crate::door::http::Failure;
use crate::key;
use crate::router;
use crate::version::Version;

/// The metadata with the code of the HTTP door.
const SMACHE_ERROR: &str = "smache-error";
/// The metadata with the version that a condition did not hold for.
const SMACHE_VERSION: &str = "smache-version";

/// A status with its code for programs.
pub(super) fn new(code: Code, error: &'static str, message: impl Into<String>) -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert(SMACHE_ERROR, MetadataValue::from_static(error));
    Status::with_metadata(code, message, metadata)
}

/// A status whose code for programs is a word of the Redis protocol.
pub(super) fn worded(code: Code, word: &str, message: String) -> Status {
    let mut metadata = MetadataMap::new();
    if let Ok(word) = MetadataValue::try_from(word) {
        metadata.insert(SMACHE_ERROR, word);
    }
    Status::with_metadata(code, message, metadata)
}

/// The request is wrong.
pub(super) fn invalid(error: &'static str, message: impl Into<String>) -> Status {
    new(Code::InvalidArgument, error, message)
}

/// The key has no value.
pub(super) fn miss() -> Status {
    new(Code::NotFound, "not_found", "the key has no value")
}

/// The key has a value, but not this part of it.
pub(super) fn absent(part: &str) -> Status {
    new(
        Code::NotFound,
        "not_found",
        format!("there is no such {part}"),
    )
}

/// The write is done, and what was to be answered with it cannot be read.
pub(super) fn applied(error: &Status) -> Status {
    let message = format!("the write was applied, but: {}", error.message());
    new(Code::Unknown, "unanswered", message)
}

/// The client's own time is over.
pub(super) fn deadline() -> Status {
    let message = "no answer within the deadline of the call; a write may have been applied";
    new(Code::DeadlineExceeded, "deadline", message)
}

/// A call that lasts ends with the node.
pub(super) fn stopping() -> Status {
    let message = "the node is stopping; call another one";
    new(Code::Unavailable, "stopping", message)
}

/// The condition does not hold for the present version.
pub(super) fn condition_failed(current: Option<Version>) -> Status {
    let message = match current {
        Some(_) => "the condition does not hold for the present value, whose version is given",
        None => "the condition does not hold: the key has no value",
    };
    let mut status = new(Code::Aborted, "precondition_failed", message);
    if let Some(version) = current
        && let Ok(version) = MetadataValue::try_from(version.to_string())
    {
        status.metadata_mut().insert(SMACHE_VERSION, version);
    }
    status
}

/// A reply that does not belong to the command.
pub(super) fn unexpected() -> Status {
    router(router::Error::Internal)
}

/// What is wrong with a key.
pub(super) fn key(error: key::Error) -> Status {
    let code = match error {
        key::Error::Empty => "key_required",
        key::Error::TooLong { .. } => "key_too_long",
    };
    invalid(code, error.to_string())
}

/// What is wrong with JSON text.
pub(super) fn document(error: &json::Error) -> Status {
    let code = match error.code {
        json::Code::Depth => "too_deep",
        _ => "invalid_json",
    };
    invalid(code, error.to_string())
}

/// The token that the client shows does not do, or it shows none.
pub(super) fn refused(refused: Refused) -> Status {
    let message = refused.to_string();
    match refused {
        Refused::Missing => {
            let message = format!("{message}: the metadata `authorization: Bearer TOKEN` shows it");
            new(Code::Unauthenticated, "unauthorized", message)
        }
        Refused::Unknown => new(Code::Unauthenticated, "unauthorized", message),
        Refused::Role { .. } => new(Code::PermissionDenied, "forbidden", message),
    }
}

/// What the parts that this door shares with the HTTP door refuse.
pub(super) fn failure(failure: impl Into<Failure>) -> Status {
    let failure = failure.into();
    let code = match (failure.status.as_u16(), failure.code) {
        (_, "overloaded" | "too_many_watchers") | (413 | 507, _) => Code::ResourceExhausted,
        (401, _) => Code::Unauthenticated,
        (403, _) => Code::PermissionDenied,
        (503, _) => Code::Unavailable,
        (408 | 504, _) => Code::DeadlineExceeded,
        (400..=499, _) => Code::InvalidArgument,
        _ => Code::Internal,
    };
    new(code, failure.code, failure.message)
}

/// What came of a command instead of a reply.
pub(super) fn router(error: router::Error) -> Status {
    let message = error.to_string();
    match error {
        router::Error::Command(error) => command(error, message),
        router::Error::Deadline { .. } => new(Code::DeadlineExceeded, "deadline", message),
        router::Error::Overloaded { .. } => new(Code::ResourceExhausted, "overloaded", message),
        router::Error::Lost { .. } => new(Code::Unavailable, "peer_lost", message),
        // What is applied must not be sent again, as clients do when a node is unavailable.
        router::Error::Unanswered => new(Code::Unknown, "unanswered", message),
        router::Error::NoOwner => new(Code::Unavailable, "no_owner", message),
        router::Error::TooFewMembers { .. } => new(Code::Unavailable, "too_few_members", message),
        router::Error::Full { .. } => new(Code::ResourceExhausted, "full", message),
        router::Error::Internal => new(Code::Internal, "internal", message),
    }
}

fn command(error: command::Error, message: String) -> Status {
    use command::Error;
    match error {
        Error::WrongType { .. } => new(Code::FailedPrecondition, "wrong_type", message),
        Error::ValueTooLarge { .. } => invalid("value_too_large", message),
        Error::AnswerTooLarge { .. } => invalid("answer_too_large", message),
        Error::Json(error) => document(&error),
        Error::Path(error) => path(&error),
        // What requests name as a number was checked before: it is the value that is none.
        Error::NotANumber | Error::NotAFloat => {
            new(Code::FailedPrecondition, "not_a_number", message)
        }
        Error::NotAFlag | Error::NotACollection(_) => invalid("invalid_data", message),
        Error::Overflow { .. } | Error::FloatOverflow => {
            new(Code::OutOfRange, "counter_overflow", message)
        }
        Error::IndexOutOfRange => new(Code::OutOfRange, "index_out_of_range", message),
        Error::NoSuchKey => miss(),
    }
}

/// What came of a path into a document.
pub(super) fn path(error: &json::path::Error) -> Status {
    use json::path::Error;
    let message = error.to_string();
    let (code, name) = match error {
        Error::ValueTooLarge { .. } => (Code::InvalidArgument, "value_too_large"),
        Error::Overflow | Error::NotFinite => (Code::OutOfRange, "counter_overflow"),
        Error::NoDocument | Error::Missing { .. } => (Code::NotFound, "not_found"),
        Error::AnswerTooLong { .. } | Error::TooMany { .. } => {
            (Code::InvalidArgument, "answer_too_large")
        }
        Error::Syntax { .. } | Error::PathTooLong { .. } | Error::TooMuchWork => {
            (Code::InvalidArgument, "invalid_path")
        }
        // The path does not go with the document that is there.
        Error::NotAtRoot
        | Error::Mismatch { .. }
        | Error::NotStatic
        | Error::IndexOutOfRange
        | Error::NotANumber
        | Error::Json(_) => (Code::FailedPrecondition, "path_mismatch"),
    };
    new(code, name, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(status: &Status) -> (Code, &str) {
        let error = status.metadata().get(SMACHE_ERROR).unwrap();
        (status.code(), error.to_str().unwrap())
    }

    #[test]
    fn the_routers_errors_and_their_codes() {
        let of = |error: router::Error| {
            let status = router(error.clone());
            assert_eq!(status.message(), error.to_string());
            let (code, name) = named(&status);
            (code, name.to_owned())
        };
        let peer = || std::sync::Arc::from("smache@there");
        for (error, code, name) in [
            (
                router::Error::Deadline { peer: None },
                Code::DeadlineExceeded,
                "deadline",
            ),
            (
                router::Error::Overloaded { peer: Some(peer()) },
                Code::ResourceExhausted,
                "overloaded",
            ),
            (
                router::Error::Lost { peer: peer() },
                Code::Unavailable,
                "peer_lost",
            ),
            (router::Error::Unanswered, Code::Unknown, "unanswered"),
            (router::Error::NoOwner, Code::Unavailable, "no_owner"),
            (
                router::Error::TooFewMembers { alive: 1, min: 2 },
                Code::Unavailable,
                "too_few_members",
            ),
            (
                router::Error::Full { bytes: 2, limit: 1 },
                Code::ResourceExhausted,
                "full",
            ),
            (router::Error::Internal, Code::Internal, "internal"),
            (
                router::Error::Command(command::Error::WrongType {
                    found: command::Kind::Json,
                    wanted: command::Kind::Counter,
                }),
                Code::FailedPrecondition,
                "wrong_type",
            ),
            (
                router::Error::Command(command::Error::ValueTooLarge { bytes: 2, max: 1 }),
                Code::InvalidArgument,
                "value_too_large",
            ),
            (
                router::Error::Command(command::Error::Overflow { value: 1, by: 1 }),
                Code::OutOfRange,
                "counter_overflow",
            ),
            (
                router::Error::Command(command::Error::IndexOutOfRange),
                Code::OutOfRange,
                "index_out_of_range",
            ),
            (
                router::Error::Command(command::Error::NotAFloat),
                Code::FailedPrecondition,
                "not_a_number",
            ),
        ] {
            assert_eq!(of(error), (code, name.to_owned()));
        }
    }

    #[test]
    fn what_the_http_door_refuses() {
        for (refused, code) in [
            (Failure::busy("overloaded", ""), Code::ResourceExhausted),
            (
                Failure::busy("too_many_watchers", ""),
                Code::ResourceExhausted,
            ),
            (Failure::busy("not_ready", ""), Code::Unavailable),
            (Failure::body_too_large(7), Code::ResourceExhausted),
            (Failure::body_timeout(), Code::DeadlineExceeded),
            (Failure::body_truncated("cut"), Code::InvalidArgument),
            (
                Failure::bad("invalid_idempotency_key", ""),
                Code::InvalidArgument,
            ),
        ] {
            let name = refused.code;
            assert_eq!(named(&failure(refused)), (code, name));
        }
    }

    #[test]
    fn a_failed_condition_names_the_version() {
        let version = Version::parse("01a1fae7e05e0000-c4d3cc78").unwrap();
        let status = condition_failed(Some(version));
        assert_eq!(named(&status), (Code::Aborted, "precondition_failed"));
        let told = status.metadata().get(SMACHE_VERSION).unwrap();
        assert_eq!(told.to_str().unwrap(), "01a1fae7e05e0000-c4d3cc78");
        assert!(
            condition_failed(None)
                .metadata()
                .get(SMACHE_VERSION)
                .is_none()
        );
    }
}
