//! `grpc-timeout`: how long a client waits for its call.

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::status;

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// The most digits, as the protocol has it.
const DIGITS_MAX: usize = 8;

/// When a call that came `now` ends, if its client says so.
pub(super) fn of(metadata: &HeaderMap, now: Instant) -> Result<Option<Instant>, Status> {
    let Some(value) = metadata.get(GRPC_TIMEOUT) else {
        return Ok(None);
    };
    let span = parse(value.as_bytes()).ok_or_else(|| {
        let message = "grpc-timeout is 1 to 8 digits and one of H, M, S, m, u and n";
        status::new(Code::InvalidArgument, "invalid_timeout", message)
    })?;
    // One that is beyond all clocks is none.
    Ok(now.checked_add(span))
}

fn parse(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    let is_number =
        (1..=DIGITS_MAX).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let span = match unit {
        b'H' => Duration::from_secs(number * 3_600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    };
    is_number.then_some(span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn numbers_and_units() {
        for (text, span) in [
            ("1H", Duration::from_secs(3_600)),
            ("2M", Duration::from_secs(120)),
            ("99999999S", Duration::from_secs(99_999_999)),
            ("250m", Duration::from_millis(250)),
            ("7u", Duration::from_micros(7)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(span), "{text}");
        }
        for text in [
            "",
            "S",
            "5",
            "5s",
            "-5S",
            "+5S",
            "1.5S",
            " 5S",
            "123456789S",
            "5SS",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_call_without_one_waits_for_ever() {
        let now = Instant::now();
        let mut metadata = HeaderMap::new();
        assert_eq!(of(&metadata, now).unwrap(), None);
        metadata.insert(GRPC_TIMEOUT, HeaderValue::from_static("3S"));
        assert_eq!(
            of(&metadata, now).unwrap(),
            Some(now + Duration::from_secs(3))
        );
        metadata.insert(GRPC_TIMEOUT, HeaderValue::from_static("soon"));
        assert_eq!(
            of(&metadata, now).unwrap_err().code(),
            Code::InvalidArgument
        );
    }
}
