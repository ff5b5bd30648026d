//! `OBJECT` and `MEMORY`: how values are kept, and what they take.
//!
//! Values have one layout here. `OBJECT ENCODING` answers with the name of the one that Redis 7.0
//! would have a value of this content in, by the thresholds that `CONFIG SET` may change: that is what
//! programs that look at it compare with. What Redis remembers of a value's past, such as that a
//! string was once appended to, is not known here.

use super::Shared;
use super::call::{Answered, Call};
use super::config::Thresholds;
use super::failure::Refusal;
use super::help;
use super::number;
use super::reply::Out;
use super::request::Arguments;
use super::table::Spec;
use crate::command::answer::Inspected;
use crate::command::lifetime::Operation as Lifetime;
use crate::command::{Answer, Kind, Operation};

pub(super) const COMMANDS: &[Spec] = &[Spec::container("object", OBJECT).about(
    "2.2.3",
    "Depends on subcommand.",
    "A container for commands about how values are kept.",
)];

pub(super) const SERVER_COMMANDS: &[Spec] = &[Spec::container("memory", MEMORY).about(
    "4.0.0",
    "Depends on subcommand.",
    "A container for commands about memory.",
)];

const OBJECT: &[Spec] = &[
    Spec::new("encoding", 3, encoding)
        .keys(2, 2, 1)
        .read()
        .about(
            "2.2.3",
            "O(N) in the thresholds",
            "Returns how a value is kept, in Redis's words.",
        ),
    Spec::new("freq", 3, freq).keys(2, 2, 1).read().about(
        "4.0.0",
        "O(1)",
        "Returns how often a value was used of late.",
    ),
    Spec::new("help", 2, help::answer).free().about(
        "6.2.0",
        "O(1)",
        "Returns what the subcommands are.",
    ),
    Spec::new("idletime", 3, idletime)
        .keys(2, 2, 1)
        .read()
        .about(
            "2.2.3",
            "O(1)",
            "Says that it is not known when a value was last used.",
        ),
    Spec::new("refcount", 3, refcount)
        .keys(2, 2, 1)
        .read()
        .about(
            "2.2.3",
            "O(1)",
            "Returns how many keys share a value, which is one.",
        ),
];

const MEMORY: &[Spec] = &[
    Spec::new("help", 2, help::answer).free().about(
        "4.0.0",
        "O(1)",
        "Returns what the subcommands are.",
    ),
    Spec::new("usage", -3, usage).keys(2, 2, 1).read().about(
        "4.0.0",
        "O(1)",
        "Returns how many bytes of memory a key and its value take.",
    ),
];

/// Looks at the value of the key behind the subcommand; a key that is not there is null.
fn inspect(
    call: Call<'_>,
    arguments: Arguments<'_>,
    items_max: u64,
    write: impl FnOnce(&mut Out, &Inspected) -> Result<(), Refusal> + Send + 'static,
) -> Answered {
    let key = call.key(&arguments.take(), 2)?;
    let operation = Operation::Lifetime(Lifetime::Inspect { items_max });
    call.operate(key, operation, move |out, answer| match answer {
        Answer::Nothing => {
            out.null();
            Ok(())
        }
        Answer::Inspected(inspected) => write(out, &inspected),
        _ => Err(Refusal::UNEXPECTED),
    })
}

fn encoding(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let shared: &Shared = call.shared;
    let thresholds = shared.settings.thresholds(shared);
    inspect(call, arguments, thresholds.items_max(), move |out, seen| {
        out.text(encoding_name(seen, &thresholds));
        Ok(())
    })
}

/// Up to this length Redis keeps a string beside what it knows of it.
const EMBEDDED_BYTES_MAX: u64 = 44;

fn encoding_name(seen: &Inspected, thresholds: &Thresholds) -> &'static str {
    let fits = |entries_max: u64, bytes_max: u64| {
        let longest = seen.longest_bytes;
        seen.length <= entries_max && longest.is_some_and(|longest| longest <= bytes_max)
    };
    match seen.kind {
        Kind::List => "quicklist",
        Kind::Hash if fits(thresholds.hash_entries, thresholds.hash_bytes) => "listpack",
        Kind::Set if seen.is_integers && seen.length <= thresholds.intset_entries => "intset",
        Kind::Set if fits(thresholds.set_entries, thresholds.set_bytes) => "listpack",
        Kind::Hash | Kind::Set => "hashtable",
        Kind::Bytes | Kind::Counter if seen.is_integers => "int",
        Kind::Json => "raw",
        _ if seen.length <= EMBEDDED_BYTES_MAX => "embstr",
        _ => "raw",
    }
}

fn freq(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    inspect(call, arguments, 0, |out, seen| {
        out.integer(seen.uses.into());
        Ok(())
    })
}

/// As Redis answers with the same policy.
fn idletime(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    inspect(call, arguments, 0, |_, _| {
        Err(Refusal::of(
            "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when \
             switching between policies at runtime LRU and LFU data will take some time to adjust.",
        ))
    })
}

fn refcount(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    inspect(call, arguments, 0, |out, _| {
        out.integer(1);
        Ok(())
    })
}

fn usage(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    for at in (3..arguments.len()).step_by(2) {
        let (option, Some(samples)) = (&arguments[at], arguments.get(at + 1)) else {
            return Err(Refusal::SYNTAX);
        };
        // Nothing is estimated here, however many samples.
        if !option.eq_ignore_ascii_case(b"samples") {
            return Err(Refusal::SYNTAX);
        }
        match number::integer(samples) {
            None => return Err(Refusal::NOT_INTEGER),
            Some(..0) => return Err(Refusal::SYNTAX),
            Some(_) => {}
        }
    }
    inspect(call, arguments, 0, |out, seen| {
        out.integer(i64::try_from(seen.memory_bytes).unwrap_or(i64::MAX));
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLDS: Thresholds = Thresholds {
        hash_entries: 4,
        hash_bytes: 10,
        intset_entries: 8,
        set_entries: 0,
        set_bytes: 64,
    };

    fn name(kind: Kind, length: u64, longest: Option<u64>, is_integers: bool) -> &'static str {
        let seen = Inspected {
            kind,
            length,
            longest_bytes: longest,
            is_integers,
            memory_bytes: 0,
            uses: 0,
        };
        encoding_name(&seen, &THRESHOLDS)
    }

    #[test]
    fn names_follow_content_and_thresholds() {
        assert_eq!(THRESHOLDS.items_max(), 8);
        for (kind, length, longest, is_integers, expected) in [
            (Kind::Bytes, 4, Some(4), true, "int"),
            (Kind::Counter, 4, Some(4), true, "int"),
            (Kind::Bytes, 44, Some(44), false, "embstr"),
            (Kind::Bytes, 45, Some(45), false, "raw"),
            (Kind::Flag, 4, Some(4), false, "embstr"),
            (Kind::Json, 2, Some(2), false, "raw"),
            (Kind::List, 1, Some(1), true, "quicklist"),
            (Kind::Hash, 4, Some(10), false, "listpack"),
            (Kind::Hash, 5, Some(10), false, "hashtable"),
            (Kind::Hash, 4, Some(11), false, "hashtable"),
            (Kind::Hash, 9, None, false, "hashtable"),
            (Kind::Set, 8, Some(3), true, "intset"),
            (Kind::Set, 9, None, false, "hashtable"),
            (Kind::Set, 1, Some(3), false, "hashtable"),
        ] {
            let name = name(kind, length, longest, is_integers);
            assert_eq!(name, expected, "{kind} of {length}, {longest:?}");
        }
    }
}
