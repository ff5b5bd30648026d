//! Values that are changed in part: a copy becomes what its owner is, whatever it lacked.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::command::list::End;
use crate::command::{Answer, Expiry, Operation, hash, lifetime, list, set, string};

fn typed(key: &str, operation: Operation) -> Command {
    Command::Typed {
        key: Key::new(key.to_owned(), 100).unwrap(),
        operation: Box::new(operation),
        condition: Condition::None,
    }
}

fn push(key: &str, end: End, elements: Vec<Bytes>) -> Command {
    let only_if_present = false;
    let push = list::Operation::Push {
        end,
        elements,
        only_if_present,
    };
    typed(key, Operation::List(push))
}

fn items() -> impl Strategy<Value = Vec<Bytes>> {
    let item = prop_oneof![
        4 => "[a-f]{1,2}".prop_map(Bytes::from),
        1 => "[a-z]{200,300}".prop_map(Bytes::from),
    ];
    vec(item, 1..5)
}

fn end() -> impl Strategy<Value = End> {
    prop::sample::select(&[End::Left, End::Right][..])
}

fn operation() -> impl Strategy<Value = Operation> {
    let lists = prop_oneof![
        4 => (end(), items()).prop_map(|(end, elements)| list::Operation::Push {
            end,
            elements,
            only_if_present: false,
        }),
        1 => (end(), 0..6u64).prop_map(|(end, count)| list::Operation::Pop {
            end,
            count: Some(count),
        }),
        1 => (-9..9i64, items()).prop_map(|(at, items)| list::Operation::Set(at, items[0].clone())),
        1 => (any::<bool>(), items()).prop_map(|(before, items)| list::Operation::Insert {
            before,
            pivot: items[0].clone(),
            element: Bytes::from_static(b"new"),
        }),
        1 => (-3..3i64, items()).prop_map(|(count, items)| list::Operation::Remove {
            count,
            element: items[0].clone(),
        }),
        1 => (-20..5i64, -5..20i64).prop_map(|(from, to)| list::Operation::Trim(from, to)),
        1 => (end(), end()).prop_map(|(from, to)| list::Operation::Rotate { from, to }),
    ];
    let sets = prop_oneof![
        4 => items().prop_map(set::Operation::Add),
        1 => items().prop_map(set::Operation::Remove),
        1 => (0..4u64, any::<u64>()).prop_map(|(count, seed)| set::Operation::Pop { count, seed }),
    ];
    let pairs = || items().prop_map(|items| items.iter().cloned().zip(items.clone()).collect());
    let hashes = prop_oneof![
        4 => pairs().prop_map(hash::Operation::Set),
        1 => items().prop_map(hash::Operation::Remove),
        1 => any::<i32>().prop_map(|by| hash::Operation::Increment("n".into(), by.into())),
    ];
    let lives = prop_oneof![
        (1..1_000_000u64)
            .prop_map(|ms| lifetime::Operation::Expire(Expiry::In(ms), lifetime::Rule::default())),
        Just(lifetime::Operation::Persist),
    ];
    let strings = prop_oneof![
        items().prop_map(|items| string::Operation::Append(items.concat().into())),
        (0..900u64, items())
            .prop_map(|(at, items)| string::Operation::SetRange(at, items[0].clone())),
    ];
    prop_oneof![
        3 => lists.prop_map(Operation::List),
        3 => sets.prop_map(Operation::Set),
        3 => hashes.prop_map(Operation::Hash),
        2 => lives.prop_map(Operation::Lifetime),
        2 => strings.prop_map(Operation::String),
    ]
}

/// Lets a copy take what was sent to it, and the owner send what it lacks.
fn deliver(owner: &mut Node, copy: &mut Node) {
    let lane = owner.lanes.lane(COPY);
    for _ in 0..10 {
        let number = |sent: usize| lane.next_number() - sent as u64;
        let effects = owner.sent_to(COPY);
        if effects.is_empty() {
            assert!(lane.is_done_before(lane.next_number()));
            return;
        }
        let first = number(effects.len());
        for (number, effect) in (first..).zip(&effects) {
            let range = [(number, number)];
            let mut finished = Vec::new();
            match copy.core.take_effect(OWNER, effect, NOW) {
                Verdict::Taken => lane.answered(&range, true, &mut finished),
                Verdict::Lacking => {
                    for lacking in lane.lacking(&range) {
                        owner.core.resend(&lane, lacking, NOW, &mut finished);
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }
    panic!("they never come to an end");
}

fn state(node: &Node) -> Vec<Option<Entry>> {
    node.core.table.check_invariants().unwrap();
    let keys = ["list", "set", "hash", "string"];
    let live = |entry: &Entry| entry.kind != Kind::Tombstone;
    keys.map(|key| node.peek(key).filter(live)).into()
}

proptest! {
    #[test]
    fn copies_become_what_their_owner_is(
        before in vec(operation(), 0..30), after in vec(operation(), 0..30),
    ) {
        let run = |owner: &mut Node, operation: &Operation| {
            let of_type = match operation {
                Operation::List(_) => "list",
                Operation::Set(_) => "set",
                Operation::Hash(_) => "hash",
                Operation::String(_) => "string",
                Operation::Json(_) => unreachable!("none are made"),
                Operation::Lifetime(_) => "",
            };
            for key in ["list", "set", "hash", "string"] {
                if of_type.is_empty() || of_type == key {
                    let before = owner.peek(key);
                    match owner.run(&typed(key, operation.clone())) {
                        Ok(Outcome::Done(..)) => {}
                        // An index beyond the end, no list: then nothing may have changed.
                        Err(Error::Command(_)) => assert_eq!(owner.peek(key), before),
                        other => panic!("{other:?}"),
                    }
                }
            }
        };
        let mut owner = Node::new(OWNER);
        let mut copy = Node::new(COPY);
        owner.owns(&[], &[COPY]);
        copy.is(&Role::Backup(OWNER), 1);
        before.iter().for_each(|operation| run(&mut owner, operation));
        // What was sent until now was not delivered: the copy lacks it all.
        owner.sent_to(COPY);
        owner.answered_by(COPY, true);
        after.iter().for_each(|operation| run(&mut owner, operation));
        deliver(&mut owner, &mut copy);
        for (of_owner, of_copy) in state(&owner).into_iter().zip(state(&copy)) {
            // What was not touched since the copy began is for a pull to bring.
            if of_copy.is_some() {
                prop_assert_eq!(of_copy, of_owner);
            }
        }
        // Once the copy has everything, it keeps up by what changes alone.
        for moved in owner.core.scan(Cursor::default(), NOW, |_| true, usize::MAX).entries {
            copy.core.absorb(OWNER, &moved, NOW);
        }
        let missed = copy.core.missed();
        after.iter().chain(&before).for_each(|operation| run(&mut owner, operation));
        deliver(&mut owner, &mut copy);
        prop_assert_eq!(state(&copy), state(&owner));
        prop_assert_eq!(copy.core.missed(), missed);
    }
}

#[test]
fn a_long_list_sends_what_is_pushed_and_no_more() {
    let mut owner = Node::with(OWNER, 256 << 20, 64 << 20, Acknowledge::Backup);
    owner.owns(&[COPY], &[]);
    let elements: Vec<Bytes> = (0..100_000).map(|n| n.to_string().into()).collect();
    owner.write(&push("list", End::Right, elements));
    owner.sent_to(COPY);
    let kept = owner.lanes.lane(COPY).bytes();
    for (end, element) in [(End::Left, "first"), (End::Right, "last")] {
        let (reply, _) = owner.write(&push("list", end, vec![element.into()]));
        assert!(matches!(reply, Reply::Answer { answer: Answer::Integer(n), .. } if n > 100_000));
    }
    let sent = owner.sent_to(COPY);
    assert_eq!(sent.len(), 2);
    assert!(
        sent.iter()
            .all(|effect| matches!(effect.change, Change::Delta { .. }))
    );
    assert!(owner.lanes.lane(COPY).bytes() - kept < 1_000);
}

#[test]
fn what_a_collection_takes_is_counted() {
    let mut node = Node::with(OWNER, 256 << 20, 64 << 20, Acknowledge::Backup);
    node.is(&Role::alone(), 1);
    let before = node.core.stats();
    let members: Vec<Bytes> = (0..50_000).map(|n| format!("member:{n}").into()).collect();
    let bytes: usize = members.iter().map(Bytes::len).sum();
    node.write(&typed(
        "set",
        Operation::Set(set::Operation::Add(members.clone())),
    ));
    let full = node.core.stats();
    assert!(full.committed_bytes - before.committed_bytes > bytes as u64 + 50_000 * 16);
    assert!(full.data_bytes >= bytes as u64);
    node.write(&typed(
        "set",
        Operation::Set(set::Operation::Remove(members[1..].to_vec())),
    ));
    let empty = node.core.stats();
    assert!(
        empty.committed_bytes - before.committed_bytes < 1 << 20,
        "{empty:?}"
    );
    node.core.table.check_invariants().unwrap();
}

#[test]
fn a_collection_that_does_not_fit_is_refused_whole() {
    let mut node = Node::with(OWNER, 8 << 20, 64 << 20, Acknowledge::Backup);
    node.is(&Role::alone(), 1);
    node.write(&push("list", End::Right, vec![vec![b'x'; 1_000].into(); 4]));
    let more = push("list", End::Right, vec![vec![b'x'; 100_000].into(); 120]);
    assert!(matches!(node.run(&more), Err(Error::Full { .. })));
    node.core.table.check_invariants().unwrap();
    let more = push("other", End::Right, vec![vec![b'x'; 1_000_000].into(); 68]);
    let refused = node.run(&more);
    assert!(matches!(
        refused,
        Err(Error::Command(command::Error::ValueTooLarge { .. }))
    ));
}

#[test]
fn a_new_lifetime_keeps_the_tag() {
    let mut owner = Node::new(OWNER);
    let mut copy = Node::new(COPY);
    owner.owns(&[COPY], &[]);
    copy.is(&Role::Backup(OWNER), 1);
    for data in ["1".to_owned(), format!("\"{}\"", "x".repeat(2_000))] {
        let version = owner.version(&put("key", data));
        let expire = lifetime::Operation::Expire(Expiry::In(5_000), lifetime::Rule::default());
        let (reply, _) = owner.write(&typed("key", Operation::Lifetime(expire)));
        let expires_at = Some(UnixMs(NOW.0 + 5_000));
        let version_is = Some(version);
        assert!(matches!(
            reply,
            Reply::Answer { version, expires_at: at, .. } if version == version_is && at == expires_at
        ));
        deliver(&mut owner, &mut copy);
        for node in [&owner, &copy] {
            let entry = node.peek("key").unwrap();
            assert_eq!((entry.etag(), entry.expires_at), (version, expires_at));
            assert!(entry.version > version);
        }
        let persist = Operation::Lifetime(lifetime::Operation::Persist);
        owner.write(&typed("key", persist));
        deliver(&mut owner, &mut copy);
        assert_eq!(copy.peek("key"), owner.peek("key"));
        assert_eq!(copy.peek("key").unwrap().expires_at, None);
        assert_eq!(copy.peek("key").unwrap().etag(), version);
    }
}
