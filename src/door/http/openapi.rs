//! `GET /openapi.json`: the API in the form that programs read.
//!
//! The functions here are never called: they carry the description of an operation each. The tests
//! of the door ask the running server for every operation and status that is described, and check
//! that every route is.

mod bodies;
#[expect(dead_code, reason = "they carry the description that the macro reads")]
mod collections;
#[expect(dead_code, reason = "they carry the description that the macro reads")]
mod common;
#[expect(dead_code, reason = "they carry the description that the macro reads")]
mod live;
mod needs;
#[expect(dead_code, reason = "they carry the description that the macro reads")]
mod services;

use utoipa::OpenApi;

use self::bodies::Results;

/// The description of the HTTP API.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    needs::describe(&mut document);
    document
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Smache",
        description = "A self-sharding JSON cache. Any node answers for any key. Every error has the \
            body of the schema `Failure`; besides those named with an operation, 503 (`not_ready`, \
            `no_owner`, `overloaded`, `peer_lost`, `unanswered`, `too_many_connections`), 504 \
            (`deadline`), 507 (`full`) and 500 (`internal`) are possible wherever keys are concerned, \
            each 503 but `unanswered` with `Retry-After`; 408 (`body_timeout`) and 413 \
            (`body_too_large`) wherever a body is sent, and 406 (`not_acceptable`) when the Accept \
            header leaves out JSON. Where a node has tokens, every operation but those without `security` \
            needs one, of the role named there or above: read, write, admin; without tokens none does. \
            Answers carry `X-Request-Id`: the request's own, if it has \
            one of at most 128 visible ASCII characters. One trailing slash on a path is forgiven.",
    ),
    paths(
        paths::get_value,
        paths::put_value,
        paths::patch_value,
        paths::delete_value,
        paths::batch,
        paths::locate,
        live::watch,
        live::socket,
        services::get_counter,
        services::increment_counter,
        services::delete_counter,
        services::get_cache,
        services::put_cache,
        services::delete_cache,
        services::get_flag,
        services::put_flag,
        services::delete_flag,
        services::get_kv,
        services::put_kv,
        services::delete_kv,
        collections::get_set,
        collections::put_set,
        collections::post_set,
        collections::delete_set,
        collections::get_hash,
        collections::put_hash,
        collections::delete_hash,
        collections::get_list,
        collections::post_list,
        collections::put_list,
        collections::delete_list,
        services::command,
        services::put_bare,
        services::get_bare,
        services::delete_bare,
        paths::root,
        paths::healthcheck,
        paths::ready,
        paths::status,
        paths::metrics,
        paths::get_handoff,
        paths::set_handoff,
        paths::openapi,
    ),
    components(schemas(Results)),
    tags(
        (name = "values", description = "Reading and writing values by their keys"),
        (name = "live", description = "Hearing of what happens when it happens"),
        (name = "counters", description = "Whole numbers that many clients add to"),
        (name = "cache", description = "Strings that expire"),
        (name = "flags", description = "Yes or no"),
        (name = "kv", description = "Any bytes"),
        (name = "sets", description = "Members without an order"),
        (name = "hashes", description = "Fields with values"),
        (name = "lists", description = "Elements in order, added and taken at either end"),
        (name = "commands", description = "Commands of the Redis protocol"),
        (name = "node", description = "What a node says of itself"),
    )
)]
struct Document;

#[expect(dead_code, reason = "they carry the description that the macro reads")]
mod paths {
    use super::bodies::Pause;
    use super::bodies::{
        BatchAnswer, BatchLine, Delete, Deleted, Failure, Patch, ValueOrResults, Write, Written,
    };
    use crate::cluster::handoff::Progress;
    use crate::door::http::locate::Location;
    use crate::door::http::pages::Ready;
    use crate::node::status::Status;

    /// Read one key, or several
    ///
    /// One `key` answers its value, and a key without one answers 200 with `data: null`. Several
    /// `key=` answer `{"results":[…]}` in the same order, one key's error harming no other;
    /// conditions do not apply to them.
    #[utoipa::path(get, path = "/api", tag = "values",
        params(
            ("key" = String, Query, description = "The key; may be given several times"),
            ("path" = Option<String>, Query, description = "With one key: what to read of the document, as a JSONPath (RFC 9535)"),
            ("If-None-Match" = Option<String>, Header, description = "Answer 304 if the value has one of these ETags"),
            ("If-Match" = Option<String>, Header, description = "Answer 412 unless the value has one of these ETags"),
        ),
        responses(
            (status = 200, body = ValueOrResults, headers(
                ("ETag" = String, description = "The version of the value"),
                ("X-Cache" = String, description = "HIT or MISS"),
                ("X-TTL-Ms" = u64, description = "Milliseconds left to live, if it ends"),
            ), description = "The value, or that there is none"),
            (status = 304, description = "The value is the one that the client has"),
            (status = 400, body = Failure, description = "`key_too_long`, `too_many_keys`, `invalid_utf8`, `invalid_escape`, `invalid_condition`, `invalid_path`, `answer_too_large`"),
            (status = 405, body = Failure, description = "`key_required`: the key is missing, empty or `null`"),
            (status = 406, body = Failure, description = "`not_acceptable`"),
            (status = 409, body = Failure, description = "`wrong_type`: there is a path, and the key holds something else than a document"),
            (status = 412, body = Failure, description = "`precondition_failed`"),
            (status = 503, body = Failure, headers(
                ("Retry-After" = u64, description = "Seconds after which to try again"),
            ), description = "`not_ready`, `overloaded`"),
        ))]
    fn get_value() {}

    /// Write a value
    ///
    /// Replaces the whole value and its time to live. Forms have the fields `key`, `ttl` and either
    /// `data` with the JSON text of an object, or `data[name]=text`, `data[name][]=text` and so on.
    #[utoipa::path(method(post, put), path = "/api", tag = "values",
        params(
            ("If-None-Match" = Option<String>, Header, description = "`*` creates only"),
            ("If-Match" = Option<String>, Header, description = "`*` replaces only; ETags replace only that value"),
            ("Idempotency-Key" = Option<String>, Header, description = "A name by which this may be sent again, and is applied once"),
        ),
        request_body(content((Write = "application/json"), (Write = "application/x-www-form-urlencoded"), (Write = "multipart/form-data"))),
        responses(
            (status = 200, body = Written, headers(
                ("ETag" = String, description = "The version of the value"),
                ("X-TTL-Ms" = u64, description = "Milliseconds left to live, if it ends"),
            ), description = "The value as it was stored"),
            (status = 400, body = Failure, description = "`invalid_json`, `too_deep`, `invalid_key`, `key_too_long`, `invalid_data`, `invalid_ttl`, `unknown_member`, `invalid_form`, `invalid_utf8`, `invalid_escape`, `invalid_condition`, `invalid_idempotency_key`, `body_truncated`"),
            (status = 403, body = Failure, description = "`cross_site`: a browser sent it for another site"),
            (status = 405, body = Failure, description = "`key_required`: the key is missing, empty or `null`"),
            (status = 406, body = Failure, description = "`not_acceptable`"),
            (status = 408, body = Failure, description = "`body_timeout`"),
            (status = 412, body = Failure, description = "`precondition_failed`; ETag has the present version"),
            (status = 413, body = Failure, description = "`body_too_large`, `value_too_large`"),
            (status = 415, body = Failure, description = "`unsupported_media_type`"),
            (status = 503, body = Failure, headers(
                ("Retry-After" = u64, description = "Seconds after which to try again"),
            ), description = "`not_ready`, `overloaded`"),
        ))]
    fn put_value() {}

    /// Change a value by a merge patch
    ///
    /// An absent value is patched as `{}`. With a `path` what that selects is patched, or created, and
    /// the answer is not the value but that it was done. The time to live stays as it is.
    #[utoipa::path(patch, path = "/api", tag = "values",
        params(
            ("If-None-Match" = Option<String>, Header, description = "`*` creates only"),
            ("If-Match" = Option<String>, Header, description = "`*` changes only; ETags change only that value"),
            ("Idempotency-Key" = Option<String>, Header, description = "A name by which this may be sent again, and is applied once"),
        ),
        request_body(content((Patch = "application/json"), (Patch = "application/merge-patch+json"))),
        responses(
            (status = 200, body = Written, headers(
                ("ETag" = String, description = "The version of the value"),
                ("X-TTL-Ms" = u64, description = "Milliseconds left to live, if it ends"),
            ), description = "The value as it is now"),
            (status = 400, body = Failure, description = "As for a write; `invalid_path`, `path_mismatch`"),
            (status = 403, body = Failure, description = "`cross_site`"),
            (status = 405, body = Failure, description = "`key_required`"),
            (status = 406, body = Failure, description = "`not_acceptable`"),
            (status = 409, body = Failure, description = "`wrong_type`: the key holds something else than a document"),
            (status = 412, body = Failure, description = "`precondition_failed`"),
            (status = 413, body = Failure, description = "`body_too_large`, `value_too_large`"),
            (status = 415, body = Failure, description = "`unsupported_media_type`"),
            (status = 503, body = Failure, headers(
                ("Retry-After" = u64, description = "Seconds after which to try again"),
            ), description = "`not_ready`, `overloaded`"),
        ))]
    fn patch_value() {}

    /// Delete a value
    #[utoipa::path(delete, path = "/api", tag = "values",
        params(
            ("key" = Option<String>, Query, description = "The key, unless it is in the body"),
            ("If-Match" = Option<String>, Header, description = "Delete only that value"),
            ("If-None-Match" = Option<String>, Header, description = "Delete only another value"),
            ("Idempotency-Key" = Option<String>, Header, description = "A name by which this may be sent again, and is applied once"),
        ),
        request_body = Option<Delete>,
        responses(
            (status = 200, body = Deleted, description = "It is gone; `deleted` says whether it was there"),
            (status = 400, body = Failure, description = "`key_too_long`, `too_many_keys`, `invalid_key`, `invalid_json`, `invalid_utf8`, `invalid_escape`, `invalid_condition`, `unknown_member`, `invalid_idempotency_key`"),
            (status = 403, body = Failure, description = "`cross_site`"),
            (status = 405, body = Failure, description = "`key_required`"),
            (status = 406, body = Failure, description = "`not_acceptable`"),
            (status = 412, body = Failure, description = "`precondition_failed`"),
            (status = 413, body = Failure, description = "`body_too_large`"),
            (status = 415, body = Failure, description = "`unsupported_media_type`"),
            (status = 503, body = Failure, headers(
                ("Retry-After" = u64, description = "Seconds after which to try again"),
            ), description = "`not_ready`, `overloaded`"),
        ))]
    fn delete_value() {}

    /// Many operations
    ///
    /// One JSON object a line in each direction. Lines are answered in order while later ones still
    /// arrive. An error answers its own line (`line` counts from 1) and harms no other. Operations on
    /// one key take effect in the order of their lines. The length of a line is bounded, that of the
    /// whole is not.
    #[utoipa::path(post, path = "/api/batch", tag = "values",
        params(("Idempotency-Key" = Option<String>, Header, description = "A name by which the batch may be sent again as it was; each line is applied once")),
        request_body(content((BatchLine = "application/x-ndjson"), (BatchLine = "application/json"))),
        responses(
            (status = 200, body = BatchAnswer, content_type = "application/x-ndjson", description = "A line for each line"),
            (status = 400, body = Failure, description = "`invalid_idempotency_key`"),
            (status = 403, body = Failure, description = "`cross_site`"),
            (status = 406, body = Failure, description = "`not_acceptable`"),
            (status = 415, body = Failure, description = "`unsupported_media_type`"),
            (status = 503, body = Failure, headers(
                ("Retry-After" = u64, description = "Seconds after which to try again"),
            ), description = "`not_ready`, `overloaded`"),
        ))]
    fn batch() {}

    /// Where a key lives
    #[utoipa::path(get, path = "/api/locate", tag = "values",
        params(("key" = String, Query, description = "The key")),
        responses(
            (status = 200, body = Location, description = "Its integer, partition, owner and backups"),
            (status = 400, body = Failure, description = "`key_too_long`, `too_many_keys`, `invalid_utf8`, `invalid_escape`"),
            (status = 405, body = Failure, description = "`key_required`"),
            (status = 406, body = Failure, description = "`not_acceptable`"),
            (status = 503, body = Failure, headers(
                ("Retry-After" = u64, description = "Seconds after which to try again"),
            ), description = "`not_ready`, `overloaded`"),
        ))]
    fn locate() {}

    /// Whether the process answers
    #[utoipa::path(get, path = "/", tag = "node",
        responses((status = 200, body = serde_json::Value, description = "`{}`")))]
    fn root() {}

    /// Whether the process answers
    #[utoipa::path(get, path = "/healthcheck", tag = "node",
        responses((status = 200, body = serde_json::Value, description = "`{}`")))]
    fn healthcheck() {}

    /// Whether the node has joined and takes requests
    #[utoipa::path(get, path = "/ready", tag = "node", responses(
        (status = 200, body = Ready, description = "It has, and does"),
        (status = 503, body = Ready, description = "Not yet, or no more"),
    ))]
    fn ready() {}

    /// Members, partitions, keys, memory, hit ratio
    #[utoipa::path(get, path = "/status", tag = "node",
        responses((status = 200, body = Status, description = "As this node sees it")))]
    fn status() {}

    /// Figures for Prometheus
    #[utoipa::path(get, path = "/metrics", tag = "node",
        responses((status = 200, body = String, content_type = "application/openmetrics-text", description = "OpenMetrics text")))]
    fn metrics() {}

    /// How far handoffs to this node are
    ///
    /// Entries that other nodes hold and that come here: copies that are made, the other side of a
    /// healed cut, repairs.
    #[utoipa::path(get, path = "/handoff", tag = "node", responses(
        (status = 200, body = Progress, description = "How far they are"),
        (status = 406, body = Failure, description = "`not_acceptable`"),
        (status = 503, body = Failure, description = "`not_ready`: the node takes no part in any yet"),
    ))]
    fn get_handoff() {}

    /// Pause handoffs to this node, or let them go on
    ///
    /// Of this node only, and until it is taken back or the node ends. Meanwhile copies that are
    /// missing stay missing, and a node that leaves waits for whoever pauses.
    #[utoipa::path(method(post, put), path = "/handoff", tag = "node",
        request_body(content((Pause = "application/json"))),
        responses(
            (status = 200, body = Progress, description = "How far they are"),
            (status = 400, body = Failure, description = "`invalid_json`, `invalid_paused`, `unknown_member`, `body_truncated`"),
            (status = 403, body = Failure, description = "`cross_site`: a browser sent it for another site"),
            (status = 406, body = Failure, description = "`not_acceptable`"),
            (status = 413, body = Failure, description = "`body_too_large`"),
            (status = 415, body = Failure, description = "`unsupported_media_type`"),
            (status = 503, body = Failure, description = "`not_ready`: the node takes no part in any yet"),
        ))]
    fn set_handoff() {}

    /// This document
    #[utoipa::path(get, path = "/openapi.json", tag = "node",
        responses((status = 200, body = serde_json::Value, description = "OpenAPI")))]
    fn openapi() {}
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::door::http::route::ROUTES;

    #[test]
    fn every_route_and_method_is_described_and_no_other() {
        let document = serde_json::to_value(document()).unwrap();
        let described: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys();
                methods.map(move |method| (path.clone(), method.to_uppercase()))
            })
            .collect();
        let served: BTreeSet<(String, String)> = ROUTES
            .iter()
            .flat_map(|entry| {
                let methods = entry.allow.split(", ");
                methods.map(move |method| (entry.path.to_owned(), method.to_owned()))
            })
            // HEAD answers as GET does, OPTIONS is the same everywhere.
            .filter(|(_, method)| method != "HEAD" && method != "OPTIONS")
            .collect();
        assert_eq!(described, served);
    }
}
