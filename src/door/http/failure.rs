//! Everything that is answered instead of what was asked for: one shape, one place.
//!
//! A [`Failure`] is a status, a code for programs and a sentence for people; all of them look the
//! same on the wire: `{"error":code,"message":text,"status":n}`. The router's errors become
//! failures in one exhaustive match.

use std::borrow::Cow;

use http::header::{
    ALLOW, CONTENT_TYPE, ETAG, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE, WWW_AUTHENTICATE,
};
use http::{HeaderValue, Response, StatusCode};

use super::body::Body;
use super::draft::X_CACHE;
use crate::access::Refused;
use crate::command::{self, json};
use crate::door::hold;
use crate::key;
use crate::router;
use crate::version::Version;

/// What is answered instead of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::door) struct Failure {
    pub(in crate::door) status: StatusCode,
    pub(in crate::door) code: &'static str,
    pub(in crate::door) message: Cow<'static, str>,
    extra: Extra,
}

/// What else the answer's head says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Extra {
    #[default]
    Nothing,
    /// What the value's version is.
    ETag(Version),
    /// Which methods there are.
    Allow(&'static str),
    /// Another attempt may succeed soon.
    RetryAfter,
    /// How to show a token.
    Challenge(&'static str),
    /// The connection cannot go on.
    Close,
    /// There is no value.
    Miss,
    /// What to ask for instead.
    Upgrade,
}

impl Failure {
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Failure {
        Failure {
            status,
            code,
            message: message.into(),
            extra: Extra::Nothing,
        }
    }

    /// A 400.
    pub(in crate::door) fn bad(
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// A 503 that asks to come back.
    pub(in crate::door) fn busy(
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Failure {
        Failure {
            extra: Extra::RetryAfter,
            ..Failure::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
        }
    }

    /// A 401; the challenge says what is wrong with what was shown (RFC 6750, section 3).
    pub(super) fn unauthorized(challenge: &'static str, message: String) -> Failure {
        Failure {
            extra: Extra::Challenge(challenge),
            ..Failure::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
        }
    }

    pub(super) fn key_required() -> Failure {
        let message = "key cannot be nil/null/empty";
        Failure::new(StatusCode::METHOD_NOT_ALLOWED, "key_required", message)
    }

    pub(super) fn not_found(path: &str) -> Failure {
        let message = format!("there is nothing at {path}");
        Failure::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// A miss, where one value was asked for.
    pub(super) fn miss(message: impl Into<Cow<'static, str>>) -> Failure {
        Failure {
            extra: Extra::Miss,
            ..Failure::new(StatusCode::NOT_FOUND, "not_found", message)
        }
    }

    pub(super) fn method_not_allowed(allow: &'static str) -> Failure {
        let message = format!("this route takes {allow}");
        Failure {
            extra: Extra::Allow(allow),
            ..Failure::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                message,
            )
        }
    }

    /// A 426: this is for WebSockets.
    pub(super) fn upgrade_required(message: &'static str) -> Failure {
        Failure {
            extra: Extra::Upgrade,
            ..Failure::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", message)
        }
    }

    pub(super) fn precondition_failed(current: Option<Version>) -> Failure {
        let message = match current {
            Some(_) => "the condition does not hold for the present value, whose ETag is given",
            None => "the condition does not hold: the key has no value",
        };
        Failure {
            extra: current.map_or(Extra::Nothing, Extra::ETag),
            ..Failure::new(
                StatusCode::PRECONDITION_FAILED,
                "precondition_failed",
                message,
            )
        }
    }

    pub(in crate::door) fn body_too_large(max: usize) -> Failure {
        let message = format!("the request body is longer than {max} bytes");
        Failure {
            extra: Extra::Close,
            ..Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
        }
    }

    pub(in crate::door) fn body_timeout() -> Failure {
        let message = "the rest of the request body did not arrive in time";
        Failure {
            extra: Extra::Close,
            ..Failure::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", message)
        }
    }

    pub(in crate::door) fn body_truncated(reason: impl std::fmt::Display) -> Failure {
        let message = format!("the request body is not complete: {reason}");
        Failure {
            extra: Extra::Close,
            ..Failure::bad("body_truncated", message)
        }
    }

    /// A reply that does not belong to the command.
    pub(super) fn unexpected() -> Failure {
        router::Error::Internal.into()
    }

    /// The version that the value has, if the failure says so.
    pub(super) fn current(&self) -> Option<Version> {
        match self.extra {
            Extra::ETag(version) => Some(version),
            _ => None,
        }
    }

    /// Writes the members of the error body, without braces.
    pub(super) fn write_members(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"error\":\"");
        out.extend_from_slice(self.code.as_bytes());
        out.extend_from_slice(b"\",\"message\":");
        json::write_string(&self.message, out);
        out.extend_from_slice(b",\"status\":");
        out.extend_from_slice(self.status.as_str().as_bytes());
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut body = Vec::with_capacity(64 + self.message.len());
        body.push(b'{');
        self.write_members(&mut body);
        body.push(b'}');
        let mut response = Response::new(Body::full(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self.extra {
            Extra::Nothing => {}
            Extra::ETag(version) => {
                let text = format!("\"{version}\"");
                if let Ok(value) = HeaderValue::try_from(text) {
                    headers.insert(ETAG, value);
                }
            }
            Extra::Allow(allow) => {
                headers.insert(ALLOW, HeaderValue::from_static(allow));
            }
            Extra::Challenge(challenge) => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
            Extra::RetryAfter => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Extra::Miss => {
                headers.insert(X_CACHE, HeaderValue::from_static("MISS"));
            }
            Extra::Upgrade => {
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            Extra::Close => {
                headers.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
            }
        }
        response
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Failure {
        match refused {
            Refused::Missing => {
                let how = "Authorization: Bearer TOKEN shows it";
                Failure::unauthorized("Bearer", format!("{refused}: {how}"))
            }
            Refused::Unknown => {
                let challenge = "Bearer error=\"invalid_token\"";
                Failure::unauthorized(challenge, refused.to_string())
            }
            Refused::Role { .. } => {
                Failure::new(StatusCode::FORBIDDEN, "forbidden", refused.to_string())
            }
        }
    }
}

impl From<hold::Refused> for Failure {
    fn from(refused: hold::Refused) -> Failure {
        Failure::busy("overloaded", refused.to_string())
    }
}

impl From<json::Error> for Failure {
    fn from(error: json::Error) -> Failure {
        let code = match error.code {
            json::Code::Depth => "too_deep",
            _ => "invalid_json",
        };
        Failure::bad(code, error.to_string())
    }
}

impl From<key::Error> for Failure {
    fn from(error: key::Error) -> Failure {
        match error {
            key::Error::Empty => Failure::key_required(),
            key::Error::TooLong { .. } => Failure::bad("key_too_long", error.to_string()),
        }
    }
}

impl From<command::Error> for Failure {
    fn from(error: command::Error) -> Failure {
        use command::Error;
        let message = error.to_string();
        let conflict = |code| Failure::new(StatusCode::CONFLICT, code, message.clone());
        match error {
            Error::WrongType { .. } => conflict("wrong_type"),
            Error::Overflow { .. } | Error::FloatOverflow => conflict("counter_overflow"),
            Error::ValueTooLarge { .. } => {
                Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "value_too_large", message)
            }
            Error::AnswerTooLarge { .. } => Failure::bad("answer_too_large", message),
            Error::Json(error) => error.into(),
            Error::Path(error) => of_path(&error),
            // What requests name as a number was checked before: it is the value that is none.
            Error::NotANumber | Error::NotAFloat => conflict("not_a_number"),
            Error::NotAFlag | Error::NotACollection(_) => Failure::bad("invalid_data", message),
            Error::IndexOutOfRange => Failure::bad("index_out_of_range", message),
            Error::NoSuchKey => Failure::new(StatusCode::NOT_FOUND, "not_found", message),
        }
    }
}

fn of_path(error: &json::path::Error) -> Failure {
    use json::path::Error;
    let message = error.to_string();
    let code = match error {
        Error::ValueTooLarge { .. } => {
            return Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "value_too_large", message);
        }
        Error::Overflow | Error::NotFinite => {
            return Failure::new(StatusCode::CONFLICT, "counter_overflow", message);
        }
        Error::NoDocument | Error::Missing { .. } => {
            return Failure::new(StatusCode::NOT_FOUND, "not_found", message);
        }
        Error::AnswerTooLong { .. } | Error::TooMany { .. } => "answer_too_large",
        Error::Syntax { .. } | Error::PathTooLong { .. } | Error::TooMuchWork => "invalid_path",
        Error::NotAtRoot
        | Error::Mismatch { .. }
        | Error::NotStatic
        | Error::IndexOutOfRange
        | Error::NotANumber
        | Error::Json(_) => "path_mismatch",
    };
    Failure::bad(code, message)
}

impl From<router::Error> for Failure {
    fn from(error: router::Error) -> Failure {
        let message = error.to_string();
        match error {
            router::Error::Command(error) => error.into(),
            router::Error::Deadline { .. } => {
                Failure::new(StatusCode::GATEWAY_TIMEOUT, "deadline", message)
            }
            router::Error::Overloaded { .. } => Failure::busy("overloaded", message),
            router::Error::Lost { .. } => Failure::busy("peer_lost", message),
            // It does not ask to come back: there is nothing left to do.
            router::Error::Unanswered => {
                Failure::new(StatusCode::SERVICE_UNAVAILABLE, "unanswered", message)
            }
            router::Error::NoOwner => Failure::busy("no_owner", message),
            router::Error::TooFewMembers { .. } => Failure::busy("too_few_members", message),
            router::Error::Full { .. } => {
                Failure::new(StatusCode::INSUFFICIENT_STORAGE, "full", message)
            }
            router::Error::Internal => {
                Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_routers_errors_and_their_statuses() {
        let peer = || std::sync::Arc::from("smache@there");
        let cases = [
            (
                router::Error::Command(command::Error::WrongType {
                    found: command::Kind::Json,
                    wanted: command::Kind::Counter,
                }),
                (409, "wrong_type", false),
            ),
            (
                router::Error::Command(command::Error::Overflow {
                    value: i64::MAX,
                    by: 1,
                }),
                (409, "counter_overflow", false),
            ),
            (
                router::Error::Command(command::Error::NotANumber),
                (409, "not_a_number", false),
            ),
            (
                router::Error::Command(command::Error::ValueTooLarge { bytes: 2, max: 1 }),
                (413, "value_too_large", false),
            ),
            (
                router::Error::Deadline { peer: None },
                (504, "deadline", false),
            ),
            (
                router::Error::Overloaded { peer: None },
                (503, "overloaded", true),
            ),
            (
                router::Error::Lost { peer: peer() },
                (503, "peer_lost", true),
            ),
            (router::Error::Unanswered, (503, "unanswered", false)),
            (router::Error::NoOwner, (503, "no_owner", true)),
            (
                router::Error::Full { bytes: 2, limit: 1 },
                (507, "full", false),
            ),
            (router::Error::Internal, (500, "internal", false)),
        ];
        for (error, (status, code, retry)) in cases {
            let failure = Failure::from(error);
            assert_eq!((failure.status.as_u16(), failure.code), (status, code));
            let response = failure.into_response();
            assert_eq!(
                response.headers().contains_key(RETRY_AFTER),
                retry,
                "{code}"
            );
        }
    }
}
