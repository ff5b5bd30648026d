//! What takes too long under the lock: how little of it is done there, and what becomes of it.

use super::*;
use crate::command::json::path::{SPENT, When};
use crate::command::{Answer, Operation as OnValue, json, prepare};

fn on_document(operation: json::Operation) -> Command {
    Command::Typed {
        key: Key::new("key".to_owned(), 100).unwrap(),
        operation: Box::new(OnValue::Json(operation)),
        condition: Condition::None,
    }
}

fn read(paths: &[&str]) -> Command {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    on_document(json::Operation::Get { paths })
}

fn set(path: &str, value: impl Into<Bytes>) -> Command {
    on_document(json::Operation::Set {
        path: path.to_owned(),
        value: value.into(),
        condition: When::Always,
    })
}

fn merge(patch: impl Into<Bytes>) -> Command {
    Command::MergePatch {
        key: Key::new("key".to_owned(), 100).unwrap(),
        patch: patch.into(),
        condition: Condition::None,
    }
}

/// What a command comes to under the lock, and the work for it there.
fn attempt(node: &mut Node, command: &Command) -> (Result<Option<Outcome>, Error>, usize) {
    let partition = key::partition(b"key");
    SPENT.set(0);
    let outcome = node.core.apply(partition, command, None, NOW);
    (outcome, SPENT.get())
}

fn decide(node: &Node, command: &Command) -> command::Prepared {
    let current = node.core.snapshot(b"key", NOW);
    let limits = Limits::default();
    prepare(command, current.as_ref().map(Entry::as_ref), NOW, &limits).unwrap()
}

fn settle(
    node: &mut Node,
    command: &Command,
    id: Option<OperationId>,
    prepared: command::Prepared,
) -> Option<Outcome> {
    let partition = key::partition(b"key");
    let settled = node.core.settle(partition, command, id, prepared, NOW);
    settled.unwrap()
}

/// A document in which little text makes much work.
fn nested() -> String {
    let (open, close) = ("[".repeat(60), "]".repeat(60));
    format!("[{}0]", format!("{open}0{close},").repeat(200))
}

#[test]
fn little_of_what_takes_long_is_done_under_the_lock() {
    let mut node = Node::new(OWNER);
    node.is(&Role::alone(), 1);
    let numbers = format!("[{}0]", "0,".repeat(2_000_000));
    let long_name = format!("{{\"{}\":[{}0]}}", "\\n".repeat(10_000), "1,".repeat(2_000));
    let mut asides = 0;
    for document in [nested(), numbers, long_name] {
        let many: Vec<String> = (0..50_000).map(|n| format!("$[{n}]")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for command in [
            read(&["$..*..*"]),
            read(&["$..[?@..x]"]),
            read(&["$[?$ == $]", "$..[?$..x]"]),
            read(&many),
            set("$..[?@..[?@..x]]", "1"),
            set("$", format!("[{}0]", "0,".repeat(WORK_MAX))),
            on_document(json::Operation::ArrLen {
                path: "$..*".to_owned(),
            }),
            on_document(json::Operation::Delete {
                path: "$..[0,0,0]".to_owned(),
            }),
            merge(format!("{{\"a\":[{}0]}}", "0,".repeat(WORK_MAX))),
        ] {
            node.write(&put("key", document.clone()));
            let before = node.peek("key");
            let (outcome, spent) = attempt(&mut node, &command);
            let shown = format!("{command:?}");
            let is_aside = outcome == Ok(None);
            assert!(is_aside || document.len() < WORK_MAX, "{shown:.100}");
            asides += u32::from(is_aside);
            // A write passes a document at most three times.
            assert!(spent <= 3 * WORK_MAX, "{shown:.100}: {spent}");
            if is_aside {
                assert_eq!(node.peek("key"), before);
            }
        }
    }
    assert!(asides > 20, "{asides}");
}

#[test]
fn what_is_short_is_done_at_once() {
    let mut node = Node::new(OWNER);
    node.is(&Role::alone(), 1);
    for command in [
        set("$", "{\"a\":{\"b\":[1,2,3]}}"),
        set("$.a.c", "true"),
        read(&["$..b[?@ > 1]", "a.c"]),
        merge("{\"d\":1}"),
        on_document(json::Operation::Delete {
            path: "$.a".to_owned(),
        }),
    ] {
        let (outcome, _) = attempt(&mut node, &command);
        assert!(
            matches!(outcome, Ok(Some(Outcome::Done(..)))),
            "{outcome:?}"
        );
    }
    assert_eq!(node.data("key"), Some("{\"d\":1}".into()));
}

#[test]
fn what_was_decided_beside_the_lock_counts_if_nothing_has_changed() {
    let mut owner = Node::new(OWNER);
    owner.owns(&[COPY], &[]);
    let document = format!("{{\"a\":[{}0]}}", "0,".repeat(WORK_MAX));
    let first = owner.version(&put("key", document));
    let command = set("$.a", "1");
    assert_eq!(attempt(&mut owner, &command).0, Ok(None));

    // Somebody is faster.
    let late = decide(&owner, &command);
    let second = owner.version(&put("key", "{\"a\":0,\"b\":2}"));
    assert_eq!(settle(&mut owner, &command, None, late), None);
    assert_eq!(owner.data("key"), Some("{\"a\":0,\"b\":2}".into()));
    owner.sent_to(COPY);

    let id = Some(OperationId(7));
    let prepared = decide(&owner, &command);
    let outcome = settle(&mut owner, &command, id, prepared.clone());
    let Some(Outcome::Done(
        Reply::Answer {
            answer, version, ..
        },
        Some(_),
    )) = outcome
    else {
        panic!("{outcome:?}")
    };
    assert_eq!(answer, Answer::Document(json::Answer::Ok));
    let version = version.unwrap();
    assert!(second > first && version > second);
    let stored = owner.peek("key").unwrap();
    assert_eq!(
        (stored.version, &stored.data[..]),
        (version, &b"{\"a\":1,\"b\":2}"[..])
    );
    let sent = owner.sent_to(COPY);
    assert!(matches!(
        &sent[..],
        [Replicated { change: Change::Put { entry, .. }, operation: Some(_), .. }]
            if *entry == stored
    ));

    // Whoever sends it again hears what it came to, and it is not done again.
    let again = settle(&mut owner, &command, id, prepared);
    assert!(matches!(
        again,
        Some(Outcome::Done(Reply::Answer { version: Some(of), .. }, _)) if of == version
    ));
    assert_eq!(owner.sent_to(COPY), []);
}

#[test]
fn what_was_decided_beside_the_lock_does_not_count_elsewhere() {
    let mut node = Node::new(OWNER);
    node.is(&Role::alone(), 1);
    node.write(&put("key", "{\"a\":0}"));
    let command = merge("{\"a\":1}");
    let prepared = decide(&node, &command);
    node.is(&Role::Backup(COPY), 2);
    let outcome = settle(&mut node, &command, None, prepared);
    assert_eq!(outcome, Some(Outcome::Elsewhere));
    assert_eq!(node.data("key"), Some("{\"a\":0}".into()));
}
