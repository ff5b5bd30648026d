//! Adding numbers that may have a fraction, without the rounding of binary floating point where
//! that can be avoided: 0.1 and 0.2 make 0.3.

use bytes::Bytes;
use rust_decimal::Decimal;

use super::Error;

/// Texts beyond this length are no numbers: it is more than any sum is printed with.
const TEXT_BYTES_MAX: usize = 256;

/// The sum of two numbers, each as its text, as text: in full, without an exponent and without
/// trailing zeros.
///
/// # Errors
/// [`Error::NotAFloat`] if one of them is no number, [`Error::FloatOverflow`] if the sum is none.
pub(super) fn add(a: &[u8], b: &[u8]) -> Result<Bytes, Error> {
    let (a, b) = (text(a)?, text(b)?);
    if let (Some(a), Some(b)) = (decimal(a), decimal(b))
        && let Some(sum) = a.checked_add(b)
    {
        let sum = sum.normalize();
        let sum = if sum.is_zero() { Decimal::ZERO } else { sum };
        return Ok(sum.to_string().into());
    }
    let sum = float(a)? + float(b)?;
    if !sum.is_finite() {
        return Err(Error::FloatOverflow);
    }
    Ok(sum.to_string().into())
}

fn text(text: &[u8]) -> Result<&str, Error> {
    let text = std::str::from_utf8(text).map_err(|_| Error::NotAFloat)?;
    if text.len() > TEXT_BYTES_MAX {
        return Err(Error::NotAFloat);
    }
    // All that may be left out before the library is asked is what it would take and we do not.
    float(text)?;
    Ok(text)
}

fn float(text: &str) -> Result<f64, Error> {
    let known = |b: u8| b.is_ascii_digit() || b"+-.eE".contains(&b);
    let digits = text.bytes().any(|b| b.is_ascii_digit());
    if !digits
        && matches!(
            text.trim_start_matches(['+', '-'])
                .to_ascii_lowercase()
                .as_str(),
            "inf" | "infinity"
        )
    {
        return Ok(if text.starts_with('-') {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        });
    }
    if !digits || !text.bytes().all(known) {
        return Err(Error::NotAFloat);
    }
    text.parse().map_err(|_| Error::NotAFloat)
}

/// The number exactly, if it has no more than 28 digits.
fn decimal(text: &str) -> Option<Decimal> {
    if text.contains(['e', 'E']) {
        Decimal::from_scientific(text).ok()
    } else {
        Decimal::from_str_exact(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact() {
        for (a, b, sum) in [
            ("0.1", "0.2", "0.3"),
            ("1", "-1.1", "-0.1"),
            ("5", "-5", "0"),
            ("-5.50", "5.5", "0"),
            ("3.0e3", "200", "3200"),
            ("17179869184", "1.5", "17179869185.5"),
            ("1.0000000000000001", "1", "2.0000000000000001"),
            ("+1", ".5", "1.5"),
            ("1e30", "1", "1000000000000000000000000000000"),
        ] {
            let found = add(a.as_bytes(), b.as_bytes());
            assert_eq!(found.as_deref(), Ok(sum.as_bytes()), "{a} + {b}");
        }
    }

    #[test]
    fn what_is_no_number() {
        for other in [
            "", " 1", "1 ", "abc", "0x10", "nan", "1_000", "-", ".", "1e", "\u{661}",
        ] {
            assert_eq!(
                add(other.as_bytes(), b"1"),
                Err(Error::NotAFloat),
                "{other:?}"
            );
        }
        assert_eq!(add(b"1", b"\xff"), Err(Error::NotAFloat));
        for huge in ["inf", "-inf", "+Infinity"] {
            assert_eq!(add(b"1", huge.as_bytes()), Err(Error::FloatOverflow));
        }
        assert_eq!(add(b"1.7e308", b"1.7e308"), Err(Error::FloatOverflow));
    }
}
