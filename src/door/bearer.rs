//! Who asks by HTTP: the token in the headers of a request, of gRPC calls as well.
//!
//! A door asks once for each request, and takes the role along for what needs more than its route
//! does: each line of a batch is judged by itself.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::access::{Access, Need, Refused, Role};

/// How tokens are shown (RFC 6750, section 2.1). Schemes are spelt in any case.
const BEARER: &[u8] = b"bearer";

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
    access.check(token(headers), need)
}

/// The token that is shown, if one is.
fn token(headers: &HeaderMap) -> Option<&[u8]> {
    let shown = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = shown.split_at_checked(BEARER.len())?;
    if !scheme.eq_ignore_ascii_case(BEARER) || token.first() != Some(&b' ') {
        return None;
    }
    Some(token.trim_ascii())
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
            token(&headers).map(|token| String::from_utf8_lossy(token).into_owned())
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
}
