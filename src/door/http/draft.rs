//! An answer that carries a value, made in one buffer.
//!
//! Request id, ETag, remaining time to live and body are written one behind the other into a single
//! allocation, from which the headers and the body are then cut without copying. The header map
//! itself is the request's, emptied: hyper takes it back for the next request of the connection.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::body::Body;
use super::hold::Hold;
use super::id::RequestId;
use crate::version::Version;

/// Whether the key had a value.
pub(super) const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
/// Milliseconds that the value still has to live.
pub(super) const X_TTL_MS: HeaderName = HeaderName::from_static("x-ttl-ms");
/// Names the request in logs.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What bodies are unless they say otherwise.
const JSON: &str = "application/json";

/// Room for the texts of all headers: id, ETag, TTL.
const HEAD_BYTES: usize = 96;

/// See the module. The parts are written in the order of the methods.
#[derive(Debug)]
pub(super) struct Draft {
    buffer: Vec<u8>,
    hold: Option<Hold>,
    theirs: Option<HeaderValue>,
    media_type: &'static str,
    id_end: usize,
    etag_end: usize,
    ttl_end: usize,
}

impl Draft {
    /// A draft with room for so long a body, and what it holds of the door's memory.
    pub(super) fn new(id: &RequestId, body_bytes: usize, hold: Option<Hold>) -> Draft {
        let mut buffer = Vec::with_capacity(HEAD_BYTES + body_bytes);
        let theirs = id.write(&mut buffer);
        let id_end = buffer.len();
        Draft {
            buffer,
            hold,
            theirs,
            media_type: JSON,
            id_end,
            etag_end: id_end,
            ttl_end: id_end,
        }
    }

    /// Notes the value's version and, if it ends, the milliseconds that it has left.
    pub(super) fn version(&mut self, version: Version, ttl_ms: Option<u64>) {
        self.buffer.push(b'"');
        version.write_text(&mut self.buffer);
        self.buffer.push(b'"');
        self.etag_end = self.buffer.len();
        if let Some(ms) = ttl_ms {
            let mut digits = itoa::Buffer::new();
            self.buffer.extend_from_slice(digits.format(ms).as_bytes());
        }
        self.ttl_end = self.buffer.len();
    }

    /// Says what the body is, if it is no JSON.
    pub(super) fn media_type(&mut self, media_type: &'static str) {
        self.media_type = media_type;
    }

    /// Where the body is written; nothing but body may follow.
    pub(super) fn body(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// The answer. `headers` is any map that is not needed any more.
    pub(super) fn respond(
        self,
        status: StatusCode,
        cache: Option<&'static str>,
        mut headers: HeaderMap,
    ) -> Response<Body> {
        headers.clear();
        let bytes = match self.hold {
            Some(hold) => hold.keep(self.buffer),
            None => Bytes::from(self.buffer),
        };
        let text = |from: usize, to: usize| {
            (to > from)
                .then(|| HeaderValue::from_maybe_shared(bytes.slice(from..to)).ok())
                .flatten()
        };
        let body = bytes.slice(self.ttl_end..);
        if !body.is_empty() || self.media_type != JSON {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        }
        if let Some(id) = self.theirs.or_else(|| text(0, self.id_end)) {
            headers.insert(X_REQUEST_ID, id);
        }
        if let Some(etag) = text(self.id_end, self.etag_end) {
            headers.insert(ETAG, etag);
        }
        if let Some(ttl_ms) = text(self.etag_end, self.ttl_end) {
            headers.insert(X_TTL_MS, ttl_ms);
        }
        if let Some(cache) = cache {
            headers.insert(X_CACHE, HeaderValue::from_static(cache));
        }
        let mut response = Response::new(Body::full(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}
