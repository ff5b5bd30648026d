//! Numbers as they are written: compared by their decimal digits, however many; added as `JSON.NUMINCRBY`
//! does.
//!
//! *Comparing* is exact: `1.0`, `1` and `10e-1` are equal, and thirty digits are more than
//! twenty-nine of them. *Adding* is exact between whole numbers, which are those without fraction
//! and exponent from -2^63 to 2^64 - 1; a sum beyond that range is refused. Where one of the two is
//! anything else, both are taken as the nearest numbers of double precision, and the sum is written
//! with as few digits as tell it from its neighbours, and as one that is not whole: `5.0` and 2 make
//! `7.0`.

use std::cmp::Ordering;

use super::error::Error;
use crate::command::json::scan::{Keep, Scanner};

/// Whether `text` is one JSON number and nothing else.
pub(super) fn is_number(text: &[u8]) -> bool {
    if !matches!(text.first(), Some(b'-' | b'0'..=b'9')) {
        return false;
    }
    let Ok(mut scanner) = Scanner::new(text, 0) else {
        return false;
    };
    scanner.value(&mut Keep, 0).is_ok() && scanner.at() == text.len()
}

/// The whole number that `text` writes, if it is one of those that are added exactly.
pub(super) fn whole(text: &[u8]) -> Option<i128> {
    // A sign and twenty digits; a longer one is not looked at, however often it is asked for.
    if text.len() > 21 || text.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        return None;
    }
    let number: i128 = std::str::from_utf8(text).ok()?.parse().ok()?;
    in_range(number).then_some(number)
}

fn in_range(number: i128) -> bool {
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&number)
}

/// The sum of two JSON numbers.
pub(super) fn add(value: &[u8], by: &[u8]) -> Result<Vec<u8>, Error> {
    if let (Some(value), Some(by)) = (whole(value), whole(by)) {
        let sum = value + by;
        return if in_range(sum) {
            Ok(sum.to_string().into_bytes())
        } else {
            Err(Error::Overflow)
        };
    }
    let sum = double(value)? + double(by)?;
    let sum = serde_json::Number::from_f64(sum).ok_or(Error::NotFinite)?;
    // As Redis's commands write exponents.
    Ok(sum.to_string().replace("e+", "e").into_bytes())
}

fn double(text: &[u8]) -> Result<f64, Error> {
    let number = std::str::from_utf8(text).ok();
    let number = number.and_then(|text| text.parse::<f64>().ok());
    number
        .filter(|number| number.is_finite())
        .ok_or(Error::NotFinite)
}

/// Compares two JSON numbers by what they mean.
///
/// Exponents of more than 36 digits all count as the same.
pub(super) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (a, b) = (Decimal::read(a), Decimal::read(b));
    match (a.sign(), b.sign()) {
        (1, 1) => a.compare_magnitude(&b),
        (-1, -1) => b.compare_magnitude(&a),
        (a, b) => a.cmp(&b),
    }
}

/// A number by its digits: the value is 0.*digits* times ten to the power of `point`.
struct Decimal<'a> {
    negative: bool,
    /// Behind the leading zeros, before the point.
    whole: &'a [u8],
    /// Behind the point, and behind the leading zeros if there is nothing before them.
    fraction: &'a [u8],
    point: i128,
}

/// Further than any exponent counts.
const EXPONENT_MAX: i128 = 10_i128.pow(36);

impl<'a> Decimal<'a> {
    fn read(text: &'a [u8]) -> Decimal<'a> {
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        let split = |text: &'a [u8], at: Option<usize>| match at {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text, &b""[..]),
        };
        let (digits, exponent) = split(text, memchr::memchr2(b'e', b'E', text));
        let (whole, fraction) = split(digits, memchr::memchr(b'.', digits));
        let whole = without_zeros(whole);
        let mut point = whole.len() as i128 + read_exponent(exponent);
        let mut significant = fraction;
        if whole.is_empty() {
            significant = without_zeros(fraction);
            point -= (fraction.len() - significant.len()) as i128;
        }
        Decimal {
            negative,
            whole,
            fraction: significant,
            point,
        }
    }

    fn sign(&self) -> i8 {
        let is_zero = self.digits().all(|digit| digit == b'0');
        match (is_zero, self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.whole.iter().chain(self.fraction).copied()
    }

    /// Both are other than zero, so that they begin with a digit that counts.
    fn compare_magnitude(&self, other: &Decimal<'_>) -> Ordering {
        let length = |decimal: &Decimal<'_>| decimal.whole.len() + decimal.fraction.len();
        let zeros = std::iter::repeat(b'0');
        let length = length(self).max(length(other));
        self.point.cmp(&other.point).then_with(|| {
            let ours = self.digits().chain(zeros.clone()).take(length);
            ours.cmp(other.digits().chain(zeros).take(length))
        })
    }
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros..]
}

fn read_exponent(text: &[u8]) -> i128 {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let magnitude = digits.iter().fold(0, |sum: i128, digit| {
        let sum = sum * 10 + i128::from(digit.wrapping_sub(b'0'));
        sum.min(EXPONENT_MAX)
    });
    if negative { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn added(value: &str, by: &str) -> Result<String, Error> {
        let sum = add(value.as_bytes(), by.as_bytes())?;
        Ok(String::from_utf8(sum).unwrap())
    }

    #[test]
    fn numbers_compare_by_what_they_mean() {
        let ascending = [
            "-1e400",
            "-1000000000000000000000000000001",
            "-1e30",
            "-10",
            "-9.5",
            "-1",
            "-0.001",
            "-1e-400",
            "0",
            "1e-400",
            "0.00099",
            "0.001",
            "0.5",
            "0.50000000000000000000000000001",
            "1",
            "1.5",
            "9",
            "10",
            "9007199254740992",
            "9007199254740993",
            "1e30",
            "1000000000000000000000000000001",
            "1e400",
            "1e401",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                let ordering = compare(a.as_bytes(), b.as_bytes());
                assert_eq!(ordering, i.cmp(&j), "{a} {b}");
            }
        }
    }

    #[test]
    fn one_number_written_in_several_ways() {
        let ways: &[&[&str]] = &[
            &[
                "0",
                "-0",
                "0.0",
                "-0.000",
                "0e5",
                "0E-9",
                "0e99999999999999999999",
            ],
            &[
                "1", "1.0", "1.000", "10e-1", "0.1e1", "0.01E+2", "1e0", "100e-2",
            ],
            &["-120", "-1.2e2", "-120.0", "-0.12e3", "-12000E-2"],
            &["1e400", "10e399", "0.1e401"],
        ];
        for ways in ways {
            for (a, b) in ways.iter().flat_map(|a| ways.iter().map(move |b| (a, b))) {
                let ordering = compare(a.as_bytes(), b.as_bytes());
                assert_eq!(ordering, Ordering::Equal, "{a} {b}");
            }
        }
    }

    #[test]
    fn whole_numbers_add_exactly_or_not_at_all() {
        for (value, by, sum) in [
            ("1", "2", "3"),
            ("-0", "0", "0"),
            ("9007199254740992", "1", "9007199254740993"),
            ("9223372036854775807", "1", "9223372036854775808"),
            ("18446744073709551614", "1", "18446744073709551615"),
            (
                "18446744073709551615",
                "-9223372036854775808",
                "9223372036854775807",
            ),
            ("-9223372036854775807", "-1", "-9223372036854775808"),
        ] {
            assert_eq!(added(value, by).as_deref(), Ok(sum), "{value} {by}");
        }
        for (value, by) in [
            ("18446744073709551615", "1"),
            ("-9223372036854775808", "-1"),
            ("18446744073709551615", "18446744073709551615"),
        ] {
            assert_eq!(added(value, by), Err(Error::Overflow), "{value} {by}");
        }
    }

    #[test]
    fn other_numbers_add_in_double_precision() {
        for (value, by, sum) in [
            ("5.0", "2", "7.0"),
            ("2", "2.5", "4.5"),
            ("11.5", "3.5", "15.0"),
            ("0.1", "0.2", "0.30000000000000004"),
            ("1e2", "1", "101.0"),
            ("1e300", "1e300", "2e300"),
            ("18446744073709551616", "1", "1.8446744073709552e19"),
            ("1.5", "-1.5", "0.0"),
            ("1e-7", "1e-7", "2e-7"),
            ("18446744073709551615", "-18446744073709551615", "0.0"),
        ] {
            assert_eq!(added(value, by).as_deref(), Ok(sum), "{value} {by}");
        }
        for (value, by) in [("1.7e308", "1.7e308"), ("1e999", "1"), ("1", "-1e999")] {
            assert_eq!(added(value, by), Err(Error::NotFinite), "{value} {by}");
        }
    }

    #[test]
    fn what_is_a_number() {
        for text in ["0", "-0", "1.5e-9", "10", "1E+2"] {
            assert!(is_number(text.as_bytes()), "{text}");
        }
        for text in [
            "", "-", "01", "1.", ".5", "+1", "1e", "1 ", " 1", "NaN", "0x1", "1,2", "\"1\"",
        ] {
            assert!(!is_number(text.as_bytes()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whole_numbers_compare_as_such(a: i64, b: i64) {
            prop_assert_eq!(compare(a.to_string().as_bytes(), b.to_string().as_bytes()), a.cmp(&b));
        }

        #[test]
        fn scaling_by_the_exponent_changes_nothing(a: i32, b: i32, scale in 0..20_i32) {
            let scaled = format!("{a}{}e-{scale}", "0".repeat(scale as usize));
            prop_assert_eq!(compare(scaled.as_bytes(), b.to_string().as_bytes()), a.cmp(&b));
            let scaled = format!("{a}e{scale}");
            let full = format!("{b}{}", "0".repeat(scale as usize));
            prop_assert_eq!(compare(scaled.as_bytes(), full.as_bytes()), a.cmp(&b));
        }

        #[test]
        fn doubles_compare_as_such(a in -1e9..1e9_f64, b in -1e9..1e9_f64) {
            let (a_text, b_text) = (format!("{a:e}"), format!("{b}"));
            let ordering = compare(a_text.as_bytes(), b_text.as_bytes());
            prop_assert_eq!(Some(ordering), a.partial_cmp(&b));
        }
    }
}
