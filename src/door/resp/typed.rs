//! What commands about values of a type have in common: from an operation on one key to a reply, numbers
//! among arguments, scans, and moving from one key to another.

use bytes::Bytes;

use super::call::{Answered, Call, Steps, answer_of, typed};
use super::failure::Refusal;
use super::number;
use super::reply::Out;
use super::request::{Arguments, Taken};
use crate::command::collection::{Added, Collection};
use crate::command::{self, Answer, Command, Kind, Operation, Reply};
use crate::glob;
use crate::key::Key;
use crate::router;
use crate::table::Altered;

/// What an operation answered.
pub(super) fn answer(reply: Result<Reply, router::Error>) -> Result<Answer, Refusal> {
    match reply {
        Ok(reply) => answer_of(reply),
        // The usual words for it are about strings.
        Err(router::Error::Command(error @ command::Error::ValueTooLarge { .. })) => {
            Err(Refusal::text(format!("ERR {error}")))
        }
        Err(error) => Err(error.into()),
    }
}

impl Call<'_> {
    /// Carries an operation out on one key.
    pub(super) fn operate(
        self,
        key: Key,
        operation: Operation,
        write: impl FnOnce(&mut Out, Answer) -> Result<(), Refusal> + Send + 'static,
    ) -> Answered {
        let is_string = matches!(operation, Operation::String(_));
        self.attempt(typed(key, operation), move |out, reply| match reply {
            Err(error) if is_string => Err(error.into()),
            reply => write(out, answer(reply)?),
        })
    }

    /// Has a large collection altered by the arguments from `first` on, if that is possible here and at
    /// once; what that came to.
    pub(super) fn alter_local<R>(
        &self,
        arguments: &Arguments<'_>,
        (kind, first): (Kind, usize),
        alter: impl FnOnce(&mut Collection) -> Option<Altered<R>>,
    ) -> Option<R> {
        let context = &self.shared.context;
        let (key, items) = (&arguments[1], arguments.from(first));
        // What is wrong with it is said on the longer way.
        Key::check(key, context.config.key_bytes_max).ok()?;
        let added = Added {
            items: items.len(),
            bytes: items.map(<[u8]>::len).sum(),
        };
        let router = &context.router;
        router.alter_local(key, (kind, added), self.now, alter)
    }

    /// Refuses an argument, but only if the key is there and has the right type: some commands look
    /// there first. `length` asks for the length; `missing` writes what they reply without a value.
    pub(super) fn refuse_behind(
        self,
        key: Key,
        length: Operation,
        refusal: Refusal,
        missing: fn(&mut Out) -> Result<(), Refusal>,
    ) -> Answered {
        self.operate(key, length, move |out, answer| match answer {
            Answer::Integer(0) => missing(out),
            _ => Err(refusal),
        })
    }
}

/// Arguments from one on, which share the request's memory.
pub(super) fn rest(taken: &Taken<'_>, first: usize) -> Vec<Bytes> {
    (first..taken.len()).map(|at| taken.bytes(at)).collect()
}

/// A whole number.
pub(super) fn whole(text: &[u8]) -> Result<i64, Refusal> {
    number::integer(text).ok_or(Refusal::NOT_INTEGER)
}

/// A whole number that has a negative of its own.
pub(super) fn signed(text: &[u8]) -> Result<i64, Refusal> {
    match whole(text)? {
        i64::MIN => Err(Refusal::of(
            "ERR value is out of range, value must between -9223372036854775807 and \
             9223372036854775807",
        )),
        number => Ok(number),
    }
}

/// A whole number of at least so much.
pub(super) fn at_least(text: &[u8], least: i64, refusal: &'static str) -> Result<u64, Refusal> {
    let number = number::integer(text).filter(|number| *number >= least);
    let number = number.and_then(|number| u64::try_from(number).ok());
    number.ok_or(Refusal::of(refusal))
}

/// How many elements or members are to be taken.
pub(super) fn count(text: &[u8]) -> Result<u64, Refusal> {
    at_least(text, 0, "ERR value is out of range, must be positive")
}

/// A number that may have a fraction.
pub(super) fn float(text: &[u8]) -> Option<f64> {
    /// No sum is printed with more.
    const BYTES_MAX: usize = 256;
    if text.len() > BYTES_MAX {
        return None;
    }
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!number.is_nan()).then_some(number)
}

/// The kind of a scan.
pub(super) struct Scan {
    /// Asks for the length.
    pub(super) length: Operation,
    /// Asks for a stretch, of a cursor and a count.
    pub(super) stretch: fn(u64, u64) -> Operation,
    /// Items that belong together, of which the first is matched.
    pub(super) step: usize,
}

/// What a scan asks for behind its cursor.
struct Wish {
    pattern: Option<Bytes>,
    count: u64,
}

/// Carries `HSCAN` or `SSCAN` out.
pub(super) fn scan(call: Call<'_>, arguments: Arguments<'_>, of: Scan) -> Answered {
    let cursor = cursor(&arguments[2]).ok_or(Refusal::INVALID_CURSOR)?;
    let taken = arguments.take();
    let key = call.key(&taken, 1)?;
    let Wish { pattern, count } = match wish(&taken) {
        Ok(wish) => wish,
        Err(refusal) => {
            return call.refuse_behind(key, of.length, refusal, |out| {
                stretch(out, 0, &[], None, 1);
                Ok(())
            });
        }
    };
    call.operate(
        key,
        (of.stretch)(cursor, count),
        move |out, answer| match answer {
            Answer::Scanned { next, items } => {
                stretch(out, next, &items, pattern.as_deref(), of.step);
                Ok(())
            }
            _ => Err(Refusal::UNEXPECTED),
        },
    )
}

fn stretch(out: &mut Out, next: u64, items: &[Bytes], pattern: Option<&[u8]>, step: usize) {
    out.array(2);
    out.text(&next.to_string());
    let matches = |item: &&[Bytes]| pattern.is_none_or(|pattern| glob::matches(pattern, &item[0]));
    let found: Vec<&[Bytes]> = items.chunks_exact(step).filter(matches).collect();
    out.array(found.len() * step);
    for item in found.into_iter().flatten() {
        out.bulk(item);
    }
}

fn wish(taken: &Taken<'_>) -> Result<Wish, Refusal> {
    const COUNT_DEFAULT: u64 = 10;
    let mut wish = Wish {
        pattern: None,
        count: COUNT_DEFAULT,
    };
    let mut at = 3;
    while at < taken.len() {
        let has_value = at + 1 < taken.len();
        if taken[at].eq_ignore_ascii_case(b"count") && has_value {
            let count = whole(&taken[at + 1])?;
            let count = u64::try_from(count).map_err(|_| Refusal::SYNTAX)?;
            if count == 0 {
                return Err(Refusal::SYNTAX);
            }
            wish.count = count;
        } else if taken[at].eq_ignore_ascii_case(b"match") && has_value {
            wish.pattern = Some(taken.bytes(at + 1));
        } else {
            return Err(Refusal::SYNTAX);
        }
        at += 2;
    }
    Ok(wish)
}

/// A cursor as C reads it: with a sign, and nothing is 0.
pub(super) fn cursor(text: &[u8]) -> Option<u64> {
    let (negative, digits) = match text {
        [] => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(if negative {
        number.wrapping_neg()
    } else {
        number
    })
}

/// Asks two keys for their lengths, where something is to move from the first to the second.
/// `None` if there is nothing at the first, whatever is at the second.
pub(super) async fn lengths(
    steps: &Steps,
    from: &Key,
    to: &Key,
    length: &Operation,
) -> Result<Option<()>, Refusal> {
    let ask = |key: &Key| typed(key.clone(), length.clone());
    let mut replies = steps.all(vec![ask(from), ask(to)]).await?.into_iter();
    let mut next = || answer(replies.next().unwrap_or(Err(router::Error::Internal)));
    if next()? == Answer::Integer(0) {
        return Ok(None);
    }
    next()?;
    Ok(Some(()))
}

/// Puts what was taken from one key to another; if that fails, back to where it was. It may then be
/// at both, if the first attempt had an effect that nobody could tell of, but is not lost.
pub(super) async fn put_or_back(steps: &Steps, put: Command, back: Command) -> Result<(), Refusal> {
    let Err(refusal) = answer(steps.execute(&put).await) else {
        return Ok(());
    };
    match answer(steps.renewed().execute(&back).await) {
        Ok(_) => Err(refusal),
        Err(_) => {
            tracing::error!(
                "what was taken from a key could neither be put to another one nor back: it may be lost"
            );
            Err(Refusal::of(
                "IOERR what was taken from the source could neither be put to the destination nor \
                 back: it may be lost",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors() {
        for (text, value) in [
            ("", Some(0)),
            ("0", Some(0)),
            ("+7", Some(7)),
            ("007", Some(7)),
            ("-1", Some(u64::MAX)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-", None),
            ("+-1", None),
            (" 1", None),
            ("1a", None),
        ] {
            assert_eq!(cursor(text.as_bytes()), value, "{text}");
        }
    }

    #[test]
    fn floats() {
        for (text, value) in [
            ("1", Some(1.0)),
            ("-.5", Some(-0.5)),
            ("3.0e3", Some(3000.0)),
            ("inf", Some(f64::INFINITY)),
            ("nan", None),
            ("", None),
            (" 1", None),
            ("a", None),
        ] {
            assert_eq!(float(text.as_bytes()), value, "{text}");
        }
        assert_eq!(float("1".repeat(257).as_bytes()), None);
    }
}
