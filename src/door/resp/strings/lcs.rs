//! `LCS`: the longest common subsequence of two strings, by the table of Wagner and Fischer (1974).
//!
//! The table has a number for each pair of places in the two strings. It is bounded as Redis bounds
//! it, by the longest string that a request may have, and is counted in the memory of the doors.

use bytes::Bytes;

use crate::command::string::Operation;
use crate::command::{self, Answer};
use crate::door::resp::call::{Answered, Call, Steps, answer_of, typed};
use crate::door::resp::failure::Refusal;
use crate::door::resp::number;
use crate::door::resp::queue::Touches;
use crate::door::resp::reply::Out;
use crate::door::resp::request::Arguments;
use crate::door::resp::table::Spec;
use crate::key::Key;

pub(in crate::door::resp) const COMMANDS: &[Spec] =
    &[Spec::new("lcs", -3, lcs).keys(1, 2, 1).read().about(
        "7.0.0",
        "O(N*M) in the lengths",
        "Returns the longest common subsequence of two strings.",
    )];

/// A larger table is filled beside the threads that serve connections.
const CELLS_AT_ONCE_MAX: usize = 64 << 10;

/// What is asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    length: bool,
    places: bool,
    match_lengths: bool,
    match_length_min: usize,
}

fn wanted(arguments: &Arguments<'_>) -> Result<Wanted, Refusal> {
    let mut wanted = Wanted::default();
    let mut at = 3;
    while let Some(option) = arguments.get(at) {
        let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
        if is("len") {
            wanted.length = true;
        } else if is("idx") {
            wanted.places = true;
        } else if is("withmatchlen") {
            wanted.match_lengths = true;
        } else if is("minmatchlen") && arguments.get(at + 1).is_some() {
            at += 1;
            let least = number::integer(&arguments[at]).ok_or(Refusal::NOT_INTEGER)?;
            wanted.match_length_min = usize::try_from(least).unwrap_or(0);
        } else {
            return Err(Refusal::SYNTAX);
        }
        at += 1;
    }
    if wanted.length && wanted.places {
        return Err(Refusal::of(
            "ERR If you want both the length and indexes, please just use IDX.",
        ));
    }
    Ok(wanted)
}

fn lcs(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let wanted = wanted(&arguments);
    let taken = arguments.take();
    let keys = [call.key(&taken, 1)?, call.key(&taken, 2)?];
    let touches = Touches::many(keys.iter().map(Key::as_bytes), false);
    let table_bytes_max = call.shared.limits.bulk_bytes_max;
    call.step_by_step(touches, move |steps, mut out| async move {
        // As Redis does: what the keys hold is looked at first.
        let [one, other] = read(&steps, keys).await?;
        let wanted = wanted?;
        let cells = (one.len() + 1).saturating_mul(other.len() + 1);
        let bytes = cells.saturating_mul(size_of::<u32>());
        if bytes > table_bytes_max {
            return Err(Refusal::of(
                "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
            ));
        }
        let hold = steps.hold(bytes + one.len() + other.len())?;
        if cells <= CELLS_AT_ONCE_MAX {
            write(&mut out, &one, &other, wanted);
            return Ok(out);
        }
        let work = move || {
            let _hold = hold;
            write(&mut out, &one, &other, wanted);
            out
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|_| Refusal::UNEXPECTED)
    })
}

/// The two strings; empty ones if they are not there.
async fn read(steps: &Steps, keys: [Key; 2]) -> Result<[Bytes; 2], Refusal> {
    let whole = |key| typed(key, command::Operation::String(Operation::Range(0, -1)));
    let replies = steps.execute_all(keys.map(whole).into()).await;
    let replies = replies.map_err(|refusal| {
        if refusal == Refusal::WRONG_TYPE {
            Refusal::of("ERR The specified keys must contain string values")
        } else {
            refusal
        }
    })?;
    let mut strings = [Bytes::new(), Bytes::new()];
    for (string, reply) in strings.iter_mut().zip(replies) {
        match answer_of(reply)? {
            Answer::Bytes(bytes) => *string = bytes,
            _ => return Err(Refusal::UNEXPECTED),
        }
    }
    Ok(strings)
}

/// A stretch that both strings have: where it ends in each, and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Match {
    ends: [usize; 2],
    length: usize,
}

/// The matches of the two strings, from the last to the first.
fn matches(one: &[u8], other: &[u8]) -> Vec<Match> {
    let width = other.len() + 1;
    // How long the subsequence of the first bytes of each is.
    let mut lengths = vec![0_u32; (one.len() + 1) * width];
    for (row, byte) in one.iter().enumerate() {
        for (column, against) in other.iter().enumerate() {
            let at = (row + 1) * width + column + 1;
            lengths[at] = match byte == against {
                true => lengths[at - width - 1] + 1,
                false => lengths[at - width].max(lengths[at - 1]),
            };
        }
    }
    let mut found: Vec<Match> = Vec::new();
    let (mut row, mut column) = (one.len(), other.len());
    let mut goes_on = false;
    while row > 0 && column > 0 {
        if one[row - 1] == other[column - 1] {
            match found.last_mut().filter(|_| goes_on) {
                Some(last) => last.length += 1,
                None => found.push(Match {
                    ends: [row - 1, column - 1],
                    length: 1,
                }),
            }
            goes_on = true;
            (row, column) = (row - 1, column - 1);
            continue;
        }
        goes_on = false;
        let at = row * width + column;
        if lengths[at - width] > lengths[at - 1] {
            row -= 1;
        } else {
            column -= 1;
        }
    }
    found
}

fn write(out: &mut Out, one: &[u8], other: &[u8], wanted: Wanted) {
    let found = matches(one, other);
    let length: usize = found.iter().map(|found| found.length).sum();
    if wanted.length {
        out.length(length);
        return;
    }
    let start = |found: &Match, of: usize| found.ends[of] + 1 - found.length;
    if !wanted.places {
        let mut text = Vec::with_capacity(length);
        for found in found.iter().rev() {
            text.extend_from_slice(&one[start(found, 0)..=found.ends[0]]);
        }
        out.bulk(&text);
        return;
    }
    let long = |found: &&Match| found.length >= wanted.match_length_min;
    out.map(2);
    out.text("matches");
    out.array(found.iter().filter(long).count());
    for found in found.iter().filter(long) {
        out.array(if wanted.match_lengths { 3 } else { 2 });
        for of in [0, 1] {
            out.array(2);
            out.length(start(found, of));
            out.length(found.ends[of]);
        }
        if wanted.match_lengths {
            out.length(found.length);
        }
    }
    out.text("len");
    out.length(length);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(one: &str, other: &str, wanted: Wanted) -> String {
        let mut out = Out::default();
        write(&mut out, one.as_bytes(), other.as_bytes(), wanted);
        let text = String::from_utf8(out.into_bytes()).unwrap();
        text.replace("\r\n", " ").trim_end().to_owned()
    }

    #[test]
    fn what_two_strings_have_in_common() {
        let plain = Wanted::default();
        let length = Wanted {
            length: true,
            ..plain
        };
        for (one, other, common) in [
            ("ohmytext", "mynewtext", "mytext"),
            ("", "x", ""),
            ("abc", "abc", "abc"),
            ("abc", "xyz", ""),
            ("aXbXc", "abc", "abc"),
        ] {
            let bulk = format!("${} {common}", common.len());
            assert_eq!(said(one, other, plain), bulk.trim_end());
            assert_eq!(said(one, other, length), format!(":{}", common.len()));
        }
    }

    #[test]
    fn where_they_have_it() {
        let places = Wanted {
            places: true,
            ..Wanted::default()
        };
        let head = "*4 $7 matches";
        assert_eq!(
            said("ohmytext", "mynewtext", places),
            format!("{head} *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 :0 :1 $3 len :6")
        );
        let long = Wanted {
            match_lengths: true,
            match_length_min: 4,
            ..places
        };
        assert_eq!(
            said("ohmytext", "mynewtext", long),
            format!("{head} *1 *3 *2 :4 :7 *2 :5 :8 :4 $3 len :6")
        );
    }
}
