//! Hearing of what happens, in the description of the HTTP API.

use super::bodies::Failure;

/// Follow keys
///
/// Server-sent events. Each `key=` is told first as it is (`snapshot`), then, as everything that
/// begins with a `prefix=`, what becomes of it: `put`, `delete`, `expire`, `evict`. An event's data
/// is `{"key","data","type","etag","ttl_ms"}`, the last three only where there is a value; its id is
/// the version of the change. A client that does not keep up is told that it `missed` events
/// (`{"missed":n}`; 0 if nobody knows whether there were any), then its keys as they are. While
/// nothing happens a comment comes every 15 seconds. The stream ends when the node stops.
#[utoipa::path(get, path = "/api/watch", tag = "live",
    params(
        ("key" = Option<String>, Query, description = "A key; may be given several times"),
        ("prefix" = Option<String>, Query, description = "How keys begin; may be given several times, and empty is all"),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that the client has seen"),
    ),
    responses(
        (status = 200, body = String, content_type = "text/event-stream", description = "The events, as they happen"),
        (status = 400, body = Failure, description = "`key_too_long`, `too_many_keys`, `invalid_utf8`, `invalid_escape`"),
        (status = 405, body = Failure, description = "`key_required`: neither key nor prefix is named, or a key is empty or `null`"),
        (status = 406, body = Failure, description = "`not_acceptable`: the Accept header leaves out event streams"),
        (status = 503, body = Failure, headers(
            ("Retry-After" = u64, description = "Seconds after which to try again"),
        ), description = "`not_ready`, `too_many_watchers`"),
    ))]
pub(super) fn watch() {}

/// Speak Phoenix channels
///
/// A WebSocket (RFC 6455) on which clients join rooms, topics `room:…`. An event `NAME_pub` with
/// `{"body":{"key","data"}}` writes the key and tells all in the room `NAME_sub` with
/// `{"key","pub":{"data"}}`; `NAME_sub` with `{"body":{"key"}}` tells the asker alone `NAME_sub`
/// with `{"key","sub":{"data"}}`, and from then on what becomes of the key; `NAME_unsub` ends that.
#[utoipa::path(get, path = "/socket/websocket", tag = "live",
    params(("vsn" = Option<String>, Query, description = "The form of frames: 1.0.0 (objects, the default) or 2.0.0 (arrays)")),
    responses(
        (status = 101, description = "The connection is a WebSocket from now on"),
        (status = 400, body = Failure, description = "`unknown_version`, `invalid_handshake`, `invalid_utf8`, `invalid_escape`"),
        (status = 403, body = Failure, description = "`cross_site`: a browser asks for another site"),
        (status = 426, body = Failure, description = "`upgrade_required`: it is no handshake of a WebSocket of version 13"),
        (status = 503, body = Failure, headers(
            ("Retry-After" = u64, description = "Seconds after which to try again"),
        ), description = "`not_ready`, `too_many_watchers`"),
    ))]
pub(super) fn socket() {}
