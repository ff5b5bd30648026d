//! `COMMAND`: the table of commands, for programs.

use super::call::{self, Answered, Call, Flow};
use super::failure::Refusal;
use super::help;
use super::reply::Out;
use super::request::Arguments;
use super::table::{Entry, Flags, Keys, Spec, TABLE};
use crate::glob;

pub(super) const COMMANDS: &[Spec] = &[Spec {
    arity: -1,
    run: all,
    ..Spec::container("command", SUBCOMMANDS).about(
        "2.8.13",
        "O(N) in commands",
        "Returns what is known of all commands.",
    )
}];

const SUBCOMMANDS: &[Spec] = &[
    Spec::new("count", 2, count).free().about(
        "2.8.13",
        "O(1)",
        "Returns how many commands there are.",
    ),
    Spec::new("docs", -2, docs).free().about(
        "7.0.0",
        "O(N) in commands",
        "Returns what commands do, for people.",
    ),
    Spec::new("getkeys", -3, getkeys).free().about(
        "2.8.13",
        "O(N) in arguments",
        "Returns the keys of a command.",
    ),
    Spec::new("getkeysandflags", -3, getkeysandflags)
        .free()
        .about(
            "7.0.0",
            "O(N) in arguments",
            "Returns the keys of a command, and what it does to them.",
        ),
    Spec::new("help", 2, help::answer).free().about(
        "5.0.0",
        "O(1)",
        "Returns what the subcommands are.",
    ),
    Spec::new("info", -2, info).free().about(
        "2.8.13",
        "O(N) in commands",
        "Returns what is known of commands.",
    ),
    Spec::new("list", -2, list).free().about(
        "7.0.0",
        "O(N) in commands",
        "Returns the names of commands.",
    ),
];

fn all(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    if arguments.len() > 1 {
        return call::unknown_subcommand(call, arguments);
    }
    let commands = TABLE.commands();
    call.out.array(commands.len());
    for entry in commands {
        describe(entry, call.out);
    }
    Ok(Flow::Done)
}

fn count(call: Call<'_>, _arguments: Arguments<'_>) -> Answered {
    call.out.length(TABLE.commands().len());
    Ok(Flow::Done)
}

fn info(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    if arguments.len() == 2 {
        let commands = TABLE.commands();
        call.out.array(commands.len());
        commands.iter().for_each(|entry| describe(entry, call.out));
        return Ok(Flow::Done);
    }
    call.out.array(arguments.len() - 2);
    for name in arguments.from(2) {
        match TABLE.find_full(name) {
            Some(entry) => describe(entry, call.out),
            None => call.out.null(),
        }
    }
    Ok(Flow::Done)
}

/// The flags that clients know, in Redis's order.
fn flags(spec: &Spec) -> Vec<&'static str> {
    let flags = [
        (Flags::WRITE, "write"),
        (Flags::READ, "readonly"),
        (Flags::GROWS, "denyoom"),
        (Flags::ADMIN, "admin"),
        (Flags::PUBSUB, "pubsub"),
        (Flags::BLOCKING, "blocking"),
        (Flags::EARLY, "loading"),
        (Flags::EARLY, "stale"),
        (Flags::FAST, "fast"),
        (Flags::NO_AUTH, "no_auth"),
        (Flags::PUBLISHES, "may_replicate"),
    ];
    let mut names: Vec<&str> = flags
        .into_iter()
        .filter_map(|(flag, name)| spec.flags.has(flag).then_some(name))
        .collect();
    if matches!(spec.keys, Keys::Counted { .. }) {
        names.push("movablekeys");
    }
    names
}

/// The categories that Redis's access lists have, in its order.
fn categories(entry: &Entry) -> Vec<&'static str> {
    let spec = entry.spec;
    let group = |group: &str| entry.group == group;
    let categories = [
        (group("generic"), "@keyspace"),
        (spec.flags.has(Flags::READ), "@read"),
        (spec.flags.has(Flags::WRITE), "@write"),
        (group("set"), "@set"),
        (group("list"), "@list"),
        (group("hash"), "@hash"),
        (group("string"), "@string"),
        (group("pubsub"), "@pubsub"),
        (spec.flags.has(Flags::ADMIN), "@admin"),
        (spec.flags.has(Flags::FAST), "@fast"),
        (!spec.flags.has(Flags::FAST), "@slow"),
        (spec.flags.has(Flags::BLOCKING), "@blocking"),
        (spec.flags.has(Flags::DANGEROUS), "@dangerous"),
        (group("connection"), "@connection"),
        (group("transactions"), "@transaction"),
    ];
    let set = categories
        .into_iter()
        .filter_map(|(set, name)| set.then_some(name));
    set.collect()
}

fn words(out: &mut Out, words: &[&str]) {
    out.set(words.len());
    for word in words {
        out.simple(word);
    }
}

/// One element of `COMMAND INFO`.
fn describe(entry: &Entry, out: &mut Out) {
    let spec = entry.spec;
    out.array(10);
    out.text(&entry.name);
    out.integer(i64::from(spec.arity));
    words(out, &flags(spec));
    let (first, last, step) = match spec.keys {
        Keys::None => (0, 0, 0),
        Keys::Range { first, last, step } => (first, i64::from(last), step),
        // Whoever knows only this much asks COMMAND GETKEYS.
        Keys::Counted { before, .. } => {
            (before, before.try_into().unwrap_or_default(), before.min(1))
        }
    };
    out.length(first);
    out.integer(last);
    out.length(step);
    words(out, &categories(entry));
    // Tips.
    out.array(0);
    key_specs(spec, out);
    let subcommands = TABLE.subcommands(entry);
    out.array(subcommands.len());
    for sub in subcommands {
        describe(sub, out);
    }
}

/// What a command does to its keys.
fn key_flags(spec: &Spec) -> [&'static str; 2] {
    if spec.flags.has(Flags::WRITE) {
        ["RW", "update"]
    } else {
        ["RO", "access"]
    }
}

fn key_specs(spec: &Spec, out: &mut Out) {
    match spec.keys {
        Keys::None => out.array(0),
        Keys::Range { first, last, step } => {
            out.array(1);
            let from_first = match last {
                0.. => last - i32::try_from(first).unwrap_or_default(),
                _ => last,
            };
            let find = [
                ("lastkey", from_first),
                ("keystep", signed(step)),
                ("limit", 0),
            ];
            key_spec(spec, first, ("range", &find), out);
        }
        Keys::Counted { at, before } => {
            out.array(1 + before.min(1));
            if before > 0 {
                let find = [("lastkey", 0), ("keystep", 1), ("limit", 0)];
                key_spec(spec, before, ("range", &find), out);
            }
            let find = [("keynumidx", 0), ("firstkey", 1), ("keystep", 1)];
            key_spec(spec, at, ("keynum", &find), out);
        }
    }
}

fn signed(value: usize) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn key_spec(spec: &Spec, index: usize, (kind, find): (&str, &[(&str, i32)]), out: &mut Out) {
    out.map(3);
    out.text("flags");
    words(out, &key_flags(spec));
    for (name, kind, fields) in [
        ("begin_search", "index", &[("index", signed(index))][..]),
        ("find_keys", kind, find),
    ] {
        out.text(name);
        out.map(2);
        out.text("type");
        out.text(kind);
        out.text("spec");
        out.map(fields.len());
        for (name, value) in fields {
            out.text(name);
            out.integer(i64::from(*value));
        }
    }
}

fn docs(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let table = &*TABLE;
    let entries: Vec<&Entry> = match arguments.len() {
        2 => table.commands().iter().collect(),
        _ => arguments
            .from(2)
            .filter_map(|name| table.find_full(name))
            .collect(),
    };
    document_all(&entries, call.out);
    Ok(Flow::Done)
}

fn document_all(entries: &[&Entry], out: &mut Out) {
    out.map(entries.len());
    for entry in entries {
        out.text(&entry.name);
        let subcommands: Vec<&Entry> = TABLE.subcommands(entry).iter().collect();
        out.map(4 + usize::from(!subcommands.is_empty()));
        for (name, value) in [
            ("summary", entry.spec.summary),
            ("since", entry.spec.since),
            ("group", entry.group),
            ("complexity", entry.spec.complexity),
        ] {
            out.text(name);
            out.text(value);
        }
        if !subcommands.is_empty() {
            out.text("subcommands");
            document_all(&subcommands, out);
        }
    }
}

/// The command that follows, and its keys.
fn keys_of<'a>(arguments: &'a Arguments<'_>) -> Result<(&'static Spec, Vec<&'a [u8]>), Refusal> {
    let inner = arguments.tail(2);
    let invalid = || Refusal::of("ERR Invalid command specified");
    let entry = inner.get(0).and_then(|name| TABLE.find(name));
    let mut entry = entry.ok_or_else(invalid)?;
    if let Some(sub) = inner.get(1).and_then(|sub| TABLE.find_sub(entry, sub)) {
        entry = sub;
    }
    let spec = entry.spec;
    if spec.keys == Keys::None {
        return Err(Refusal::of("ERR The command has no key arguments"));
    }
    if !spec.takes(inner.len()) {
        return Err(Refusal::of(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    let places = spec
        .key_places(inner.len(), |at| inner.get(at))
        .ok_or_else(|| Refusal::of("ERR Invalid arguments specified for command"))?;
    Ok((spec, places.filter_map(|at| inner.get(at)).collect()))
}

fn getkeys(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let (_, keys) = keys_of(&arguments)?;
    call.out.array(keys.len());
    for key in keys {
        call.out.bulk(key);
    }
    Ok(Flow::Done)
}

fn getkeysandflags(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let (spec, keys) = keys_of(&arguments)?;
    call.out.array(keys.len());
    for key in keys {
        call.out.array(2);
        call.out.bulk(key);
        words(call.out, &key_flags(spec));
    }
    Ok(Flow::Done)
}

fn list(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let is = |at: usize, word: &str| {
        let argument = arguments.get(at).unwrap_or_default();
        argument.eq_ignore_ascii_case(word.as_bytes())
    };
    type Wanted<'a> = Box<dyn Fn(&Entry) -> bool + 'a>;
    let wanted: Wanted<'_> = match arguments.len() {
        2 => Box::new(|_| true),
        5 if is(2, "filterby") && is(3, "pattern") => {
            let pattern = arguments[4].to_ascii_lowercase();
            Box::new(move |entry| glob::matches(&pattern, entry.name.as_bytes()))
        }
        5 if is(2, "filterby") && is(3, "aclcat") => Box::new(|entry| {
            let named =
                |category: &&str| category.as_bytes()[1..].eq_ignore_ascii_case(&arguments[4]);
            categories(entry).iter().any(named)
        }),
        // There are no modules.
        5 if is(2, "filterby") && is(3, "module") => Box::new(|_| false),
        _ => return Err(Refusal::SYNTAX),
    };
    let entries = if arguments.len() == 2 {
        TABLE.commands()
    } else {
        TABLE.entries()
    };
    let found: Vec<&Entry> = entries.iter().filter(|entry| wanted(entry)).collect();
    call.out.array(found.len());
    for entry in found {
        call.out.text(&entry.name);
    }
    Ok(Flow::Done)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The commands in the first column of the page's tables, as [`Entry::name`] is written.
    fn listed(page: &str) -> Vec<String> {
        let rows = page.lines().filter(|line| line.starts_with("| `"));
        let cells = rows.filter_map(|row| row.split('|').nth(1));
        let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
        names
            .map(|name| name.to_ascii_lowercase().replace(' ', "|"))
            .collect()
    }

    #[test]
    fn the_page_about_commands_has_what_the_table_has() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/COMMANDS.md");
        let page = std::fs::read_to_string(path).unwrap();
        let listed = listed(&page);
        let once: BTreeSet<&str> = listed.iter().map(|name| &**name).collect();
        assert_eq!(once.len(), listed.len(), "some are there twice: {listed:?}");
        // What is nothing without a subcommand is listed by these; all of them have HELP.
        let is_whole = |entry: &&Entry| entry.spec.subcommands.is_empty() || entry.spec.takes(1);
        let entries = TABLE.entries().iter().filter(is_whole);
        let there: BTreeSet<&str> = entries
            .map(|entry| &*entry.name)
            .filter(|name| !name.ends_with("|help"))
            .collect();
        let undocumented: Vec<_> = there.difference(&once).collect();
        assert!(
            undocumented.is_empty(),
            "docs/COMMANDS.md lacks {undocumented:?}"
        );
        let imagined: Vec<_> = once.difference(&there).collect();
        assert!(imagined.is_empty(), "there is no {imagined:?}");
    }
}
