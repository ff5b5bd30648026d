//! What the descriptions of the services have in common: headers, and what is answered instead of a
//! result.

use utoipa::{IntoParams, IntoResponses};

use super::bodies::{Deleted, Failure};

/// The key that a path names.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct Named {
    /// The name of the key; slashes may stand as they are.
    key: String,
}

/// The headers of a read.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct Read {
    /// Answer 304 if the value has one of these ETags.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
    /// Answer 412 unless the value has one of these ETags.
    #[param(rename = "If-Match")]
    if_match: Option<String>,
}

/// The headers of a write.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct Write {
    /// `*` writes only where nothing is; ETags only where another value is.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
    /// `*` writes only where something is; ETags only where that value is.
    #[param(rename = "If-Match")]
    if_match: Option<String>,
    /// A name by which this may be sent again, and is applied once.
    #[param(rename = "Idempotency-Key")]
    idempotency_key: Option<String>,
}

/// The time to live of a value that is written whole.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Life {
    /// Seconds, or a duration such as `300ms` or `1h`. Absent: for ever.
    ttl: Option<String>,
}

/// The time to live of a value that is added to.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct FirstLife {
    /// How long a value that this makes lives: seconds, or a duration such as `1h`. Absent: for ever.
    /// One that is there keeps its own.
    ttl: Option<String>,
}

/// Instead of a value that is read.
#[derive(IntoResponses)]
pub(super) enum NotRead {
    #[response(status = 304, description = "The client has it already")]
    Same,
    #[response(
        status = 400,
        description = "`key_too_long`, `invalid_utf8`, `invalid_escape`, `invalid_condition`, `unknown_parameter`, \
            `repeated_parameter`, `invalid_parameter`, `invalid_value`, `answer_too_large`"
    )]
    Bad(Failure),
    #[response(status = 405, description = "`key_required`: no key is named")]
    Keyless(Failure),
    #[response(status = 406, description = "`not_acceptable`")]
    Accept(Failure),
    #[response(status = 412, description = "`precondition_failed`")]
    Condition(Failure),
    #[response(
        status = 503,
        description = "`not_ready`, `overloaded`; `Retry-After` says when to try again"
    )]
    Busy(Failure),
}

/// Instead of a write.
#[derive(IntoResponses)]
pub(super) enum NotWritten {
    #[response(
        status = 400,
        description = "`key_too_long`, `invalid_utf8`, `invalid_escape`, `invalid_condition`, \
            `invalid_idempotency_key`, `unknown_parameter`, `repeated_parameter`, `invalid_parameter`, \
            `unexpected_body`; and what is said of a value: `invalid_value`, `invalid_flag`, \
            `invalid_increment`, `invalid_ttl`, `invalid_json`, `too_deep`, `unknown_member`, \
            `too_many_items`, `body_truncated`, `index_out_of_range`"
    )]
    Bad(Failure),
    #[response(
        status = 403,
        description = "`cross_site`: a browser sent it for another site"
    )]
    CrossSite(Failure),
    #[response(status = 405, description = "`key_required`: no key is named")]
    Keyless(Failure),
    #[response(status = 406, description = "`not_acceptable`")]
    Accept(Failure),
    #[response(
        status = 412,
        description = "`precondition_failed`; ETag has the present version"
    )]
    Condition(Failure),
    #[response(
        status = 503,
        description = "`not_ready`, `overloaded`; `Retry-After` says when to try again"
    )]
    Busy(Failure),
}

/// Instead of a write with a body.
#[derive(IntoResponses)]
pub(super) enum NotTaken {
    #[response(status = 413, description = "`body_too_large`, `value_too_large`")]
    Large(Failure),
    #[response(status = 415, description = "`unsupported_media_type`")]
    Type(Failure),
}

/// Where the key holds something else.
#[derive(IntoResponses)]
#[response(
    status = 409,
    description = "`wrong_type`: the key holds something else; `not_a_number`; `counter_overflow`"
)]
pub(super) struct OtherType(#[to_schema] Failure);

/// Where one value is asked for.
#[derive(IntoResponses)]
#[response(status = 404, description = "`not_found`: there is none")]
pub(super) struct Miss(#[to_schema] Failure);

/// What every whole-value write of a service answers.
#[derive(IntoResponses)]
#[response(
    status = 204,
    description = "It is written",
    headers(
        ("ETag" = String, description = "The version of the value"),
        ("X-TTL-Ms" = u64, description = "Milliseconds left to live, if it ends"),
    )
)]
pub(super) struct Stored;

/// What every delete answers.
#[derive(IntoResponses)]
#[response(
    status = 200,
    description = "It is gone; `deleted` says whether it was there"
)]
pub(super) struct Gone(#[to_schema] Deleted);
