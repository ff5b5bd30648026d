//! Times to live as clients write them: an integer of seconds, or a duration such as `"1h"`.

use std::time::Duration;

use super::failure::Failure;

/// The longest time to live: 100 years of 365 days.
pub(crate) const TTL_MS_MAX: u64 = 100 * 365 * 24 * 3600 * 1000;

fn invalid(why: &str) -> Failure {
    let wanted = "ttl is an integer of seconds or a duration such as \"300ms\" or \"1h\"";
    Failure::bad("invalid_ttl", format!("{wanted}; {why}"))
}

/// Reads the compact JSON text of a `ttl` member, in milliseconds; `null` is none.
pub(super) fn from_json(json: &[u8]) -> Result<Option<u64>, Failure> {
    if json == b"null" {
        return Ok(None);
    }
    if let Some(text) = crate::command::json::string(json) {
        return duration(&text).map(Some);
    }
    match std::str::from_utf8(json) {
        Ok(text) => seconds(text).map(Some),
        Err(_) => Err(invalid("it is neither")),
    }
}

/// Reads the text of a form's `ttl` field, where numbers are text, too.
pub(super) fn from_text(text: &str) -> Result<u64, Failure> {
    if text.starts_with(|c: char| c.is_ascii_digit() || c == '-')
        && text
            .bytes()
            .skip(1)
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        seconds(text)
    } else {
        duration(text)
    }
}

fn seconds(text: &str) -> Result<u64, Failure> {
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    if !is_number {
        return Err(invalid("it is neither"));
    }
    if text.starts_with('-') {
        return Err(invalid("it must be greater than zero"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid("a number must be whole"));
    }
    let seconds = text.parse::<u64>().ok();
    in_range(seconds.and_then(|seconds| seconds.checked_mul(1_000)))
}

fn duration(text: &str) -> Result<u64, Failure> {
    if text.trim_start().starts_with('-') {
        return Err(invalid("it must be greater than zero"));
    }
    let span: Duration = humantime::parse_duration(text).map_err(|error| match error {
        humantime::DurationError::NumberOverflow => too_long(),
        other => invalid(&other.to_string()),
    })?;
    if !span.is_zero() && span < Duration::from_millis(1) {
        return Err(invalid("the shortest is one millisecond"));
    }
    in_range(u64::try_from(span.as_millis()).ok())
}

fn too_long() -> Failure {
    invalid("the longest is 100 years")
}

fn in_range(ms: Option<u64>) -> Result<u64, Failure> {
    match ms {
        Some(0) => Err(invalid("it must be greater than zero")),
        Some(ms) if ms <= TTL_MS_MAX => Ok(ms),
        _ => Err(too_long()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_durations() {
        let cases = [
            ("1", Some(1_000)),
            ("3153600000", Some(TTL_MS_MAX)),
            ("\"300ms\"", Some(300)),
            ("\"1h\"", Some(3_600_000)),
            ("\"1h 30m\"", Some(5_400_000)),
            ("null", None),
        ];
        for (json, ms) in cases {
            assert_eq!(from_json(json.as_bytes()), Ok(ms), "{json}");
        }
    }

    #[test]
    fn what_is_no_time_to_live() {
        for json in [
            "0",
            "-1",
            "-0",
            "1.5",
            "1e3",
            "3153600001",
            "99999999999999999999",
            "true",
            "[1]",
            "{}",
            "\"\"",
            "\"soon\"",
            "\"0s\"",
            "\"-1s\"",
            "\"60\"",
            "\"10us\"",
            "\"999999999999999999999s\"",
            "\"101years\"",
        ] {
            let failure = from_json(json.as_bytes()).unwrap_err();
            assert_eq!(failure.code, "invalid_ttl", "{json}");
        }
    }

    #[test]
    fn forms_write_numbers_as_text() {
        assert_eq!(from_text("60"), Ok(60_000));
        assert_eq!(from_text("300ms"), Ok(300));
        for text in ["", "-5", "1.5", "0", "soon"] {
            assert_eq!(from_text(text).unwrap_err().code, "invalid_ttl", "{text}");
        }
    }
}
