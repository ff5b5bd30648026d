//! Which media types a client takes and sends.

use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};

use super::failure::Failure;
use super::route::Route;

/// Refuses a request whose `Accept` leaves out what it would be answered.
pub(super) fn check(route: Route, headers: &HeaderMap) -> Result<(), Failure> {
    let offered: &[&str] = match route {
        // It is answered by something else than a body.
        Route::Socket => return Ok(()),
        Route::Watch => &["text/event-stream"],
        Route::Batch => &["application/x-ndjson"],
        Route::Cache | Route::Kv => &["application/json", BYTES],
        _ => &["application/json"],
    };
    let mut named = headers.get_all(ACCEPT).iter().peekable();
    if named.peek().is_none() {
        return Ok(());
    }
    let accepted = named.any(|value| {
        let list = value.to_str().unwrap_or_default();
        list.split(',')
            .any(|range| offered.iter().any(|offered| accepts(range, offered)))
    });
    if accepted {
        Ok(())
    } else {
        let offered = offered.join(" or ");
        let message = format!("the answer is {offered}, which the Accept header leaves out");
        Err(Failure::new(
            StatusCode::NOT_ACCEPTABLE,
            "not_acceptable",
            message,
        ))
    }
}

/// Whether the client would rather have a value's bytes as they are than JSON: it names them, and
/// does not name JSON before them.
pub(super) fn prefers_bytes(headers: &HeaderMap) -> bool {
    let named = headers.get_all(ACCEPT).iter();
    let mut ranges = named.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    let first = ranges.find(|range| !range.contains('*') && is_offered(range));
    first.is_some_and(|range| accepts(range, BYTES))
}

fn is_offered(range: &str) -> bool {
    accepts(range, BYTES) || accepts(range, "application/json")
}

fn accepts(range: &str, offered: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let matches = kind.is_empty()
        || kind == "*/*"
        || kind.eq_ignore_ascii_case(offered)
        || kind.strip_suffix("/*").is_some_and(|family| {
            let (offered, _) = offered.split_once('/').unwrap_or((offered, ""));
            family.eq_ignore_ascii_case(offered)
        });
    let refused = |parameter: &str| {
        parameter
            .strip_prefix("q=")
            .and_then(|weight| weight.parse::<f32>().ok())
            == Some(0.0)
    };
    matches && !parts.any(refused)
}

/// Bytes that are nothing else.
pub(super) const BYTES: &str = "application/octet-stream";

/// What a request's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    MergePatch,
    Form,
    Multipart,
    Lines,
    /// A value as it is.
    Bytes,
}

/// The format that the headers name; without a name it is JSON.
pub(super) fn format(headers: &HeaderMap, allowed: &[Format]) -> Result<Format, Failure> {
    let encoding = headers.get(CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(unsupported("a content encoding is not understood"));
    }
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(allowed.first().copied().unwrap_or(Format::Json));
    };
    let bytes = value.as_bytes();
    // What nearly everybody sends, in the letters in which they send it.
    let format = if bytes == b"application/json" {
        Some(Format::Json)
    } else {
        let text = value.to_str().unwrap_or_default();
        let kind = text.split(';').next().unwrap_or_default().trim();
        match kind.to_ascii_lowercase().as_str() {
            "application/json" => Some(Format::Json),
            "application/merge-patch+json" => Some(Format::MergePatch),
            "application/x-www-form-urlencoded" => Some(Format::Form),
            "multipart/form-data" => Some(Format::Multipart),
            BYTES | "text/plain" => Some(Format::Bytes),
            "application/x-ndjson" | "application/jsonl" | "application/ndjson" => {
                Some(Format::Lines)
            }
            _ => None,
        }
    };
    format
        .filter(|format| allowed.contains(format))
        .ok_or_else(|| {
            let named = value.to_str().unwrap_or("(not text)");
            unsupported(&format!("{named} is not understood here"))
        })
}

fn unsupported(what: &str) -> Failure {
    Failure::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        what.to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(name: http::HeaderName, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::try_from(value).unwrap());
        headers
    }

    #[test]
    fn who_takes_json() {
        for takes in [
            "*/*",
            "application/json",
            "Application/JSON;q=0.5",
            "text/html, application/*;q=0.8",
            "",
        ] {
            assert_eq!(
                check(Route::Api, &headers(ACCEPT, takes)),
                Ok(()),
                "{takes}"
            );
        }
        for takes in [
            "text/html",
            "application/xml, text/*",
            "application/json;q=0",
        ] {
            let failure = check(Route::Api, &headers(ACCEPT, takes)).unwrap_err();
            assert_eq!(failure.code, "not_acceptable", "{takes}");
        }
        assert_eq!(check(Route::Api, &HeaderMap::new()), Ok(()));
        assert!(check(Route::Batch, &headers(ACCEPT, "application/x-ndjson")).is_ok());
        assert!(check(Route::Watch, &headers(ACCEPT, "text/event-stream")).is_ok());
        assert!(check(Route::Watch, &headers(ACCEPT, "text/*")).is_ok());
        assert!(check(Route::Watch, &headers(ACCEPT, "application/*")).is_err());
    }

    #[test]
    fn who_takes_bytes() {
        for (takes, accepted, bytes) in [
            ("application/octet-stream", true, true),
            ("Application/Octet-Stream;q=0.9, */*;q=0.1", true, true),
            ("application/octet-stream, application/json", true, true),
            ("application/json, application/octet-stream", true, false),
            ("*/*", true, false),
            ("application/*", true, false),
            ("text/html", false, false),
            ("application/octet-stream;q=0", false, false),
            (
                "application/octet-stream;q=0, application/json",
                true,
                false,
            ),
        ] {
            let headers = headers(ACCEPT, takes);
            assert_eq!(check(Route::Kv, &headers).is_ok(), accepted, "{takes}");
            assert_eq!(prefers_bytes(&headers), bytes, "{takes}");
        }
        let only_bytes = headers(ACCEPT, "application/octet-stream");
        assert!(check(Route::Sets, &only_bytes).is_err());
        assert!(!prefers_bytes(&HeaderMap::new()));
    }

    #[test]
    fn what_is_sent() {
        let allowed = [Format::Json, Format::Form];
        let of = |value: &str| format(&headers(CONTENT_TYPE, value), &allowed);
        assert_eq!(of("application/json; charset=utf-8"), Ok(Format::Json));
        assert_eq!(of("Application/X-WWW-Form-Urlencoded"), Ok(Format::Form));
        for other in ["text/plain", "application/jsonx", "", "multipart/form-data"] {
            assert_eq!(
                of(other).unwrap_err().code,
                "unsupported_media_type",
                "{other}"
            );
        }
        assert_eq!(format(&HeaderMap::new(), &allowed), Ok(Format::Json));
        let gzip = headers(CONTENT_ENCODING, "gzip");
        assert!(format(&gzip, &allowed).is_err());
    }
}
