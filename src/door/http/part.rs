//! Parts of documents: `GET /api?key=K&path=$.a.b`, and `PATCH /api` with a `path`.
//!
//! A path that begins with `$` is a JSONPath (RFC 9535) and selects any number of values, which are
//! answered as an array; any other one leads to one value ([`json::path`]). What is patched is found,
//! changed or created where the key lives, and the rest of the document stays as it was written.

use std::mem::take;

use http::{Response, StatusCode};

use super::body::Body;
use super::condition::write_condition;
use super::draft::Draft;
use super::envelope;
use super::failure::Failure;
use super::front::{Call, write_node_suffix};
use super::idempotency;
use super::query;
use super::read::ttl_ms;
use super::service::{answered, respond};
use crate::command::json::operation::{self, Operation as OnDocument};
use crate::command::json::{self, Object, path};
use crate::command::{self, Answer, Command, Condition, Operation};
use crate::key::Key;
use crate::router;

/// The members of a patch of a part.
const MEMBERS: [&str; 3] = ["key", "path", "data"];

/// The path that a query names, if it does.
pub(super) fn path(query: Option<&str>) -> Result<Option<String>, Failure> {
    // One parameter alone is the key.
    if !query.is_some_and(|query| query.contains('&')) {
        return Ok(None);
    }
    let mut path = None;
    for pair in query::pairs(query) {
        let (name, value) = pair?;
        if name == "path" && path.replace(value.into_owned()).is_some() {
            return Err(Failure::bad("invalid_path", "path is given twice"));
        }
    }
    Ok(path)
}

/// Answers what a path selects. Where there is no value, or the path leads nowhere, that is `null`,
/// as without a path.
pub(super) async fn read(
    call: &mut Call,
    key: Key,
    path: String,
) -> Result<Response<Body>, Failure> {
    let name = String::from_utf8_lossy(key.as_bytes()).into_owned();
    let paths = vec![path];
    let command = typed(
        key,
        OnDocument::Get {
            paths: paths.clone(),
        },
        Condition::None,
    );
    let (data, facts) = match call.context().execute(&command).await {
        Ok(answer) => {
            let (answer, facts) = answered(answer)?;
            let Answer::Document(answer) = answer else {
                return Err(Failure::unexpected());
            };
            (answer.json(), facts)
        }
        // Only the version is missing then: the whole value has it.
        Err(router::Error::Command(command::Error::Path(path::Error::Missing { .. }))) => {
            let whole = Command::Get {
                key: command.key().clone(),
            };
            let facts = super::service::facts(call.context().execute(&whole).await?)?;
            (None, facts)
        }
        Err(error) => return Err(error.into()),
    };
    let data = data.as_deref().unwrap_or(b"null");
    let bytes = 6 * (name.len() + paths[0].len() + facts.owner().len()) + data.len() + 48;
    respond(call, &facts, "application/json", bytes, |out| {
        write_names(&name, &paths[0], out);
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(data);
        write_node_suffix(facts.owner(), out);
    })
}

/// Applies a merge patch to what a path selects, or creates it. Anything but an object replaces, and
/// `null` removes.
pub(super) async fn patch(call: &mut Call, object: &Object) -> Result<Response<Body>, Failure> {
    envelope::only(object, &MEMBERS)?;
    let key = envelope::key(object, call.context().config.key_bytes_max)?;
    let path = object.get("path").and_then(json::string);
    let path = path.ok_or_else(|| Failure::bad("invalid_path", "path is a string"))?;
    let path = path.into_owned();
    let patch = object.share("data");
    let patch = patch.ok_or_else(|| Failure::bad("invalid_data", "data is missing"))?;
    let name = String::from_utf8_lossy(key.as_bytes()).into_owned();
    let id = idempotency::operation(&call.parts.headers, &key)?;
    let condition = write_condition(&call.parts.headers)?;
    let merge = OnDocument::Merge {
        path: path.clone(),
        patch,
    };
    let command = typed(key, merge, condition);
    let (answer, facts) = answered(call.context().execute_once(&command, id).await?)?;
    match answer {
        Answer::Document(operation::Answer::Ok) => {}
        Answer::Document(operation::Answer::Nothing) => {
            let message = "the path leads nowhere, and there is no object to create it in";
            return Err(Failure::bad("path_mismatch", message));
        }
        _ => return Err(Failure::unexpected()),
    }
    let bytes = 6 * (name.len() + path.len() + facts.owner().len()) + 48;
    let mut draft = Draft::new(&call.id, bytes, None);
    if let Some(version) = facts.version() {
        let now = call.shared.clock.now();
        draft.version(version, ttl_ms(facts.expires_at(), now));
    }
    let out = draft.body();
    write_names(&name, &path, out);
    out.extend_from_slice(b",\"patched\":true");
    write_node_suffix(facts.owner(), out);
    Ok(draft.respond(StatusCode::OK, None, take(&mut call.parts.headers)))
}

fn typed(key: Key, operation: OnDocument, condition: Condition) -> Command {
    Command::Typed {
        key,
        operation: Box::new(Operation::Json(operation)),
        condition,
    }
}

fn write_names(key: &str, path: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"key\":");
    json::write_string(key, out);
    out.extend_from_slice(b",\"path\":");
    json::write_string(path, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_path_a_query_names() {
        let of = |query| path(Some(query)).map_err(|failure| failure.code);
        assert_eq!(of("key=path"), Ok(None));
        assert_eq!(of("key=a&key=b"), Ok(None));
        assert_eq!(of("key=a&path=$.a"), Ok(Some("$.a".to_owned())));
        assert_eq!(of("p%61th=%24.a+b&key=a"), Ok(Some("$.a b".to_owned())));
        assert_eq!(of("key=a&path="), Ok(Some(String::new())));
        assert_eq!(of("key=a&path=$&path=$"), Err("invalid_path"));
        assert_eq!(of("key=a&path=%ff"), Err("invalid_utf8"));
        assert_eq!(path(None), Ok(None));
    }
}
