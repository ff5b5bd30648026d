//! How long keys live, as arguments say it: `EX 10`, `PXAT 1735689600000`, and so on.

use super::failure::Refusal;
use super::number;
use crate::clock::UnixMs;
use crate::command::Expiry;

/// What a number of an expiry counts, and from when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// `EX`: seconds from now on.
    Seconds,
    /// `PX`: milliseconds from now on.
    Milliseconds,
    /// `EXAT`: seconds since 1970.
    AtSeconds,
    /// `PXAT`: milliseconds since 1970.
    AtMilliseconds,
}

impl Unit {
    /// The unit that an option of `SET` or `GETEX` names.
    pub(super) fn of_option(option: &[u8]) -> Option<Unit> {
        let units = [
            ("ex", Unit::Seconds),
            ("px", Unit::Milliseconds),
            ("exat", Unit::AtSeconds),
            ("pxat", Unit::AtMilliseconds),
        ];
        let named = |(name, _): &&(&str, Unit)| option.eq_ignore_ascii_case(name.as_bytes());
        units.iter().find(named).map(|(_, unit)| *unit)
    }

    fn is_relative(self) -> bool {
        matches!(self, Unit::Seconds | Unit::Milliseconds)
    }

    /// So many of them in milliseconds.
    fn milliseconds(self, value: i64) -> Option<i64> {
        match self {
            Unit::Seconds | Unit::AtSeconds => value.checked_mul(1_000),
            Unit::Milliseconds | Unit::AtMilliseconds => Some(value),
        }
    }

    /// Reads how long a value that is written is to live. It must be some time.
    pub(super) fn of_value(
        self,
        text: &[u8],
        now: UnixMs,
        command: &str,
    ) -> Result<Expiry, Refusal> {
        let value = number::integer(text).ok_or(Refusal::NOT_INTEGER)?;
        if value <= 0 {
            return Err(invalid(command));
        }
        self.of_number(value, now, command)
    }

    /// Reads when a key is to expire, which may be in the past.
    pub(super) fn of_key(self, text: &[u8], now: UnixMs, command: &str) -> Result<Expiry, Refusal> {
        let value = number::integer(text).ok_or(Refusal::NOT_INTEGER)?;
        self.of_number(value, now, command)
    }

    fn of_number(self, value: i64, now: UnixMs, command: &str) -> Result<Expiry, Refusal> {
        let ms = self.milliseconds(value).ok_or_else(|| invalid(command))?;
        if !self.is_relative() {
            return Ok(Expiry::At(UnixMs(u64::try_from(ms).unwrap_or_default())));
        }
        // A moment that does not fit a signed number is none in Redis.
        let now = i64::try_from(now.0).unwrap_or(i64::MAX);
        now.checked_add(ms).ok_or_else(|| invalid(command))?;
        Ok(match u64::try_from(ms) {
            Ok(ms @ 1..) => Expiry::In(ms),
            // It is over.
            _ => Expiry::At(UnixMs(0)),
        })
    }
}

fn invalid(command: &str) -> Refusal {
    Refusal::text(format!("ERR invalid expire time in '{command}' command"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_time() {
        let now = UnixMs(1_000_000);
        for (unit, text) in [
            (Unit::Seconds, "0"),
            (Unit::Seconds, "-1"),
            (Unit::Seconds, "9223372036854775807"),
            (Unit::Milliseconds, "9223372036854775807"),
            (Unit::AtSeconds, "9223372036854776"),
            (Unit::AtMilliseconds, "0"),
        ] {
            let refusal = unit.of_value(text.as_bytes(), now, "set").unwrap_err();
            assert_eq!(refusal, invalid("set"), "{unit:?} {text}");
        }
        let refusal = Unit::Seconds.of_value(b"1.5", now, "set").unwrap_err();
        assert_eq!(refusal, Refusal::NOT_INTEGER);
    }

    #[test]
    fn times() {
        let now = UnixMs(1_000_000);
        let at = |ms| Ok(Expiry::At(UnixMs(ms)));
        let of_value = |unit: Unit, text: &str| unit.of_value(text.as_bytes(), now, "set");
        assert_eq!(of_value(Unit::Seconds, "10"), Ok(Expiry::In(10_000)));
        assert_eq!(of_value(Unit::Milliseconds, "10"), Ok(Expiry::In(10)));
        assert_eq!(of_value(Unit::AtSeconds, "5"), at(5_000));
        assert_eq!(of_value(Unit::AtMilliseconds, "5"), at(5));
        // Keys can be told to be over.
        let of_key = |unit: Unit, text: &str| unit.of_key(text.as_bytes(), now, "expire");
        for over in ["0", "-1", "-9223372036854775"] {
            assert_eq!(of_key(Unit::Seconds, over), at(0), "{over}");
        }
        assert_eq!(of_key(Unit::AtSeconds, "-5"), at(0));
        assert!(of_key(Unit::Seconds, "-9223372036854776").is_err());
        assert_eq!(Unit::of_option(b"PxAt"), Some(Unit::AtMilliseconds));
        assert_eq!(Unit::of_option(b"keepttl"), None);
    }
}
