//! Who asks: the token of a request, and what is answered who may not have it.
//!
//! The front asks once for each request and takes the answer along; which [`Need`] a request has says
//! its [`Entry`](super::route::Entry). Only a batch needs more than its route: each of its lines is
//! judged by the role of the whole.

use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};

use super::failure::Failure;
use crate::access::{Access, Need, Refused, Role};

/// How tokens are shown (RFC 6750, section 2.1). Schemes are spelt in any case.
const BEARER: &[u8] = b"bearer";

/// Whether the client of these headers may do what has this need; and its role.
pub(super) fn check(access: &Access, headers: &HeaderMap, need: Need) -> Result<Role, Refused> {
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

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Failure {
        match refused {
            Refused::Missing => {
                let how = "Authorization: Bearer TOKEN shows it";
                Failure::unauthorized("Bearer", format!("{refused}: {how}"))
            }
            Refused::Unknown => {
                let challenge = "Bearer error=\"invalid_token\"";
                Failure::unauthorized(challenge, refused.to_string())
            }
            Refused::Role { .. } => {
                Failure::new(StatusCode::FORBIDDEN, "forbidden", refused.to_string())
            }
        }
    }
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
