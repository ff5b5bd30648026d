//! Where a key lives: `GET /api/locate?key=K`.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::Body;
use super::failure::Failure;
use super::front::Call;
use super::query;

/// What is answered.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Location {
    /// As it was asked for.
    key: String,
    /// What the key encodes to, as text: it may be larger than what JavaScript counts exactly.
    #[schema(example = "24929")]
    integer: String,
    /// The partition that it lives in.
    partition: u16,
    /// The node that orders its writes; `null` while there is none.
    owner: Option<String>,
    /// The nodes that hold a copy.
    backups: Vec<String>,
}

/// Answers at once: this is about the map, and asks nobody.
pub(super) fn answer(call: &Call) -> Result<Response<Body>, Failure> {
    let key = query::one_key(call.parts.uri.query())?;
    query::check_key(&key, call.context().config.key_bytes_max)?;
    let found = call.context().router.locate(key.as_bytes());
    let location = Location {
        integer: found.integer.to_string(),
        partition: found.partition.0,
        owner: found.owner.map(|name| name.to_string()),
        backups: found.backups.iter().map(ToString::to_string).collect(),
        key: key.into_owned(),
    };
    let text = serde_json::to_vec(&location).map_err(|_| Failure::unexpected())?;
    let mut response = Response::new(Body::full(text));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}
