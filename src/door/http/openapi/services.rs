//! The services whose values have no parts, and keys as paths.

use super::bodies::{
    Bare, BareAnswer, BareDeleted, Command, Counter, Failure, Flag, Increment, SetFlag, Text,
    WriteText,
};
use super::common::{
    FirstLife, Gone, Life, Miss, Named, NotRead, NotTaken, NotWritten, OtherType, Read, Stored,
    Write,
};

/// Read a counter
///
/// One without a value stands at 0, has no ETag, and is `X-Cache: MISS`.
#[utoipa::path(get, path = "/counters/{key}", tag = "counters", params(Named, Read),
    responses(
        (status = 200, body = Counter, headers(
            ("ETag" = String, description = "The version of the value"),
            ("X-Cache" = String, description = "HIT or MISS"),
            ("X-TTL-Ms" = u64, description = "Milliseconds left to live, if it ends"),
        ), description = "What it stands at"),
        NotRead, OtherType,
    ))]
pub(super) fn get_counter() {}

/// Add to a counter
///
/// One without a value is made, and counted from 0. The time to live of one that is there stays as it
/// is. A sum beyond 64 bits is refused, and the counter stays as it is. With `increment_float` the sum
/// may have a fraction; whole numbers cannot be added to it any more until it has none.
#[utoipa::path(put, path = "/counters/{key}", tag = "counters",
    params(
        Named, Write,
        ("increment" = Option<i64>, Query, description = "What to add; negative to subtract. In the query or in the body"),
        ("increment_float" = Option<f64>, Query, description = "What to add in decimal, alone, and only in the query"),
        FirstLife,
    ),
    request_body(content((Increment = "application/json"))),
    responses((status = 200, body = Counter, description = "What it stands at now"), NotWritten, NotTaken, OtherType))]
pub(super) fn increment_counter() {}

/// Delete a counter
///
/// Or whatever else the key holds.
#[utoipa::path(
    delete,
    path = "/counters/{key}",
    tag = "counters",
    params(Named, Write),
    responses(Gone, NotWritten)
)]
pub(super) fn delete_counter() {}

/// Read a string that expires
///
/// As JSON; for an Accept header that names `application/octet-stream` as the bytes that it is.
#[utoipa::path(get, path = "/cache/{key}", tag = "cache", params(Named, Read),
    responses(
        (status = 200, description = "The value", content(
            (Text = "application/json"), (Vec<u8> = "application/octet-stream"),
        )),
        Miss, NotRead, OtherType,
    ))]
pub(super) fn get_cache() {}

/// Write a string that expires
///
/// Replaces whatever the key holds. The value is not empty. Without a time to live, or with 0, it
/// lives for five seconds.
#[utoipa::path(put, path = "/cache/{key}", tag = "cache",
    params(
        Named, Write,
        ("value" = Option<String>, Query, description = "The value, unless it is in the body"),
        ("ttl" = Option<String>, Query, description = "Seconds, or a duration such as `1h`"),
    ),
    request_body(content((WriteText = "application/json"), (Vec<u8> = "application/octet-stream"), (String = "text/plain"))),
    responses(Stored, NotWritten, NotTaken))]
pub(super) fn put_cache() {}

/// Delete a string that expires
#[utoipa::path(
    delete,
    path = "/cache/{key}",
    tag = "cache",
    params(Named, Write),
    responses(Gone, NotWritten)
)]
pub(super) fn delete_cache() {}

/// Read bytes
///
/// As JSON; for an Accept header that names `application/octet-stream` as they are.
#[utoipa::path(get, path = "/kv/{key}", tag = "kv", params(Named, Read),
    responses(
        (status = 200, description = "The value", content(
            (Text = "application/json"), (Vec<u8> = "application/octet-stream"),
        )),
        Miss, NotRead, OtherType,
    ))]
pub(super) fn get_kv() {}

/// Write bytes
///
/// Replaces whatever the key holds. The value may be empty.
#[utoipa::path(put, path = "/kv/{key}", tag = "kv",
    params(
        Named, Write,
        ("value" = Option<String>, Query, description = "The value, unless it is in the body"),
        Life,
    ),
    request_body(content((WriteText = "application/json"), (Vec<u8> = "application/octet-stream"), (String = "text/plain"))),
    responses(Stored, NotWritten, NotTaken))]
pub(super) fn put_kv() {}

/// Delete bytes
#[utoipa::path(
    delete,
    path = "/kv/{key}",
    tag = "kv",
    params(Named, Write),
    responses(Gone, NotWritten)
)]
pub(super) fn delete_kv() {}

/// Read a flag
///
/// One that was never set is `false`, and `X-Cache: MISS`.
#[utoipa::path(get, path = "/flags/{key}", tag = "flags", params(Named, Read),
    responses((status = 200, body = Flag, description = "Whether it is set"), NotRead, OtherType))]
pub(super) fn get_flag() {}

/// Set a flag
///
/// Replaces whatever the key holds. In the query `1`, `t`, `0` and `f` are understood as well.
#[utoipa::path(put, path = "/flags/{key}", tag = "flags",
    params(
        Named, Write,
        ("value" = Option<bool>, Query, description = "Whether it is set, unless it is in the body"),
        Life,
    ),
    request_body(content((SetFlag = "application/json"))),
    responses(Stored, NotWritten, NotTaken))]
pub(super) fn put_flag() {}

/// Delete a flag
#[utoipa::path(
    delete,
    path = "/flags/{key}",
    tag = "flags",
    params(Named, Write),
    responses(Gone, NotWritten)
)]
pub(super) fn delete_flag() {}

/// Read a value by its key alone
///
/// For all keys but the fixed paths. The answer is the value itself, as JSON, whatever its type.
#[utoipa::path(get, path = "/{key}", tag = "values", params(Named, Read),
    responses((status = 200, body = serde_json::Value, description = "The value"), Miss, NotRead))]
pub(super) fn get_bare() {}

/// Delete a value by its key alone
#[utoipa::path(delete, path = "/{key}", tag = "values", params(Named, Write),
    responses((status = 200, body = BareDeleted, description = "It is gone"), NotWritten))]
pub(super) fn delete_bare() {}

/// Write any JSON
///
/// Replaces the whole value, which need not be an object, and its time to live.
#[utoipa::path(put, path = "/", tag = "values",
    params(Write),
    request_body(content((Bare = "application/json"))),
    responses((status = 200, body = BareAnswer, description = "It is written"), NotWritten, NotTaken))]
pub(super) fn put_bare() {}

/// Carry out a command
///
/// One of the Redis protocol's, with the reply that it has there, as JSON: bytes are a string if they
/// are text, no value is `null`, a map is an object. Commands about a connection are refused.
#[utoipa::path(post, path = "/command", tag = "commands",
    request_body(content((Command = "application/json"))),
    responses(
        (status = 200, body = serde_json::Value, description = "The reply"),
        (status = 400, body = Failure, description = "`invalid_command`: also what a command says of its arguments; `invalid_json`, `invalid_value`, `unknown_member`, `too_many_items`, `invalid_condition`, `invalid_idempotency_key`, `body_truncated`"),
        (status = 403, body = Failure, description = "`forbidden`: the token's role is not enough for this command; `cross_site`: a browser sent it for another site"),
        (status = 404, body = Failure, description = "`not_found`: the command needs a key that is there"),
        (status = 406, body = Failure, description = "`not_acceptable`"),
        (status = 409, body = Failure, description = "`wrong_type`: the key holds something else; `counter_overflow`"),
        NotTaken,
        (status = 503, body = Failure, description = "`not_ready`, `overloaded`; `Retry-After` says when to try again"),
    ))]
pub(super) fn command() {}
