//! Handoffs to this node: `GET /handoff` says how far they are, `PUT` and `POST` pause them.
//!
//! Each node pulls what it lacks, so each is paused by itself. A pause lasts until it is taken back
//! or the node ends; it is not kept. What is asked for here goes to no other node.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response, StatusCode};

use super::accept::{self, Format};
use super::body::{self, Body, Incoming};
use super::envelope;
use super::failure::Failure;
use super::front::Call;
use super::hold::Hold;
use crate::command::json::{self, Object, Type};

/// The members of what sets it.
const MEMBERS: [&str; 1] = ["paused"];
/// More than anybody needs to say it.
const BODY_BYTES_MAX: usize = 1024;

/// Answers a request about handoffs.
pub(super) async fn answer<B: Incoming>(
    call: &mut Call,
    body: B,
) -> Result<Response<Body>, Failure> {
    let Some(handoff) = call.context().reporter.handoff().cloned() else {
        let message = "this node takes no part in handoffs yet; try again later";
        return Err(Failure::busy("not_ready", message));
    };
    if !matches!(call.parts.method, Method::GET | Method::HEAD) {
        accept::format(&call.parts.headers, &[Format::Json])?;
        let config = &call.context().config;
        let hold = Hold::nothing(&call.shared.budget);
        let (text, _hold) = body::collect(body, BODY_BYTES_MAX, config.idle_timeout, hold).await?;
        let paused = paused(&text, config.json_depth_max)?;
        if handoff.progress().paused != paused {
            tracing::info!(
                paused,
                "handoffs to this node are paused or go on, as asked for"
            );
        }
        handoff.pause(paused);
    }
    let text = serde_json::to_vec(&handoff.progress()).map_err(|_| Failure::unexpected())?;
    let mut response = Response::new(Body::full(text));
    *response.status_mut() = StatusCode::OK;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

/// What the body asks for. A member that nobody knows is refused, as everywhere.
fn paused(text: &Bytes, depth_max: usize) -> Result<bool, Failure> {
    let object = Object::parse(text, depth_max)?;
    envelope::only(&object, &MEMBERS)?;
    match object.get("paused").map(json::type_of) {
        Some(Type::True) => Ok(true),
        Some(Type::False) => Ok(false),
        Some(_) => Err(invalid("is a boolean")),
        None => Err(invalid("is missing; it must be true or false")),
    }
}

fn invalid(why: &str) -> Failure {
    Failure::bad("invalid_paused", format!("paused {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for() {
        let of = |text: &'static str| paused(&Bytes::from_static(text.as_bytes()), 8);
        assert_eq!(of(r#"{"paused":true}"#), Ok(true));
        assert_eq!(of(r#" { "paused" : false } "#), Ok(false));
        for (text, code) in [
            ("{}", "invalid_paused"),
            (r#"{"paused":1}"#, "invalid_paused"),
            (r#"{"paused":"true"}"#, "invalid_paused"),
            (r#"{"paused":null}"#, "invalid_paused"),
            (r#"{"paused":true,"rate":1}"#, "unknown_member"),
            (r#"{"paused":true,"paused":false}"#, "invalid_json"),
            ("true", "invalid_json"),
            ("", "invalid_json"),
        ] {
            assert_eq!(of(text).unwrap_err().code, code, "{text}");
        }
    }
}
