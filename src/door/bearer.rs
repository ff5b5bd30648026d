//! Who asks by HTTP: the token in the headers of a request, of gRPC calls as well.
//!
//! A door asks once for each request, and takes the role along for what needs more than its route
//! does: each line of a batch is judged by itself.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};

use crate::access::{Access, Need, Pass, Refused, Role};

/// How tokens are shown (RFC 6750, section 2.1). Schemes are spelt in any case.
const BEARER: &[u8] = b"bearer";
/// What stands before a token, in base64, that Phoenix's clients offer as a protocol.
const PHOENIX_BEARER: &str = "base64url.bearer.phx.";

/// Whether the client of these headers may do what has this need; and its role. Where there are no
/// tokens that is one branch.
pub(in crate::door) fn check(
    access: &Access,
    headers: &HeaderMap,
    need: Need,
) -> Result<Role, Refused> {
    if access.is_open() {
        return Ok(Role::Admin);
    }
    access.check(token(headers).as_deref(), need)
}

/// Lets a client in whose answer goes on: with each part of it it is asked again.
///
/// # Errors
/// When it shows no token that is one of this node's.
pub(in crate::door) fn admit(access: &Access, headers: &HeaderMap) -> Result<Pass, Refused> {
    let token = token(headers);
    if token.is_none() && !access.is_open() {
        return Err(Refused::Missing);
    }
    access.admit(&token.unwrap_or_default())
}

/// The token that is shown, if one is.
fn token(headers: &HeaderMap) -> Option<Cow<'_, [u8]>> {
    let Some(shown) = headers.get(AUTHORIZATION) else {
        return protocol_token(headers).map(Cow::Owned);
    };
    let (scheme, token) = shown.as_bytes().split_at_checked(BEARER.len())?;
    if !scheme.eq_ignore_ascii_case(BEARER) || token.first() != Some(&b' ') {
        return None;
    }
    Some(Cow::Borrowed(token.trim_ascii()))
}

/// The token among the protocols that a WebSocket's client offers: a browser lets scripts say nothing
/// else in a handshake.
fn protocol_token(headers: &HeaderMap) -> Option<Vec<u8>> {
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let mut offered = offered.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    let token = offered.find_map(|protocol| protocol.trim().strip_prefix(PHOENIX_BEARER))?;
    URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn how_a_token_is_shown() {
        let shown = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::try_from(value).unwrap());
            token(&headers).map(|token| String::from_utf8_lossy(&token).into_owned())
        };
        for right in ["Bearer abc", "bearer abc", "BEARER   abc "] {
            assert_eq!(shown(right).as_deref(), Some("abc"), "{right}");
        }
        assert_eq!(shown("Bearer ").as_deref(), Some(""));
        for wrong in [
            "",
            "abc",
            "Bearer",
            "Bearerabc",
            "Basic YTpi",
            "Bearer\tabc",
        ] {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
        assert_eq!(token(&HeaderMap::new()), None);
    }

    #[test]
    fn a_browsers_socket_offers_it_as_a_protocol() {
        let mut headers = HeaderMap::new();
        let offered = "phoenix, base64url.bearer.phx.c2VjcmV0LXRva2Vu";
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(offered));
        assert_eq!(token(&headers).as_deref(), Some(&b"secret-token"[..]));
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer other"));
        assert_eq!(token(&headers).as_deref(), Some(&b"other"[..]));
        headers.remove(AUTHORIZATION);
        for wrong in ["phoenix", "base64url.bearer.phx.%%%"] {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(wrong));
            assert_eq!(token(&headers), None, "{wrong}");
        }
    }
}
