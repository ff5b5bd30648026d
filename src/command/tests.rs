//! What each command does to an entry.

use super::*;
use crate::version::{Hlc, HlcSource, NodeId};

const NOW: UnixMs = UnixMs(1_000_000);

/// One key of a table, its clock and its limits.
struct Cell {
    entry: Option<Entry>,
    now: UnixMs,
    versions: HlcSource,
    limits: Limits,
}

impl Cell {
    fn empty() -> Cell {
        Cell {
            entry: None,
            now: NOW,
            versions: HlcSource::default(),
            limits: Limits {
                value_bytes_max: 64,
                collection_bytes_max: 64,
                json_depth_max: 4,
                ..Limits::default()
            },
        }
    }

    fn holding(text: &'static str, ttl_ms: Option<u64>) -> Cell {
        let mut cell = Cell::empty();
        cell.run(put(text, ttl_ms, Condition::None)).unwrap();
        cell
    }

    /// Applies a command and its effect, and checks that the two say the same.
    fn run(&mut self, command: Command) -> Result<Reply, Error> {
        let before = self.entry.clone();
        let seen = before.as_ref().map(|entry| entry.version.hlc);
        let current = before.as_ref().map(|entry| EntryRef {
            open: None,
            tag: None,
            kind: entry.kind,
            data: &entry.data,
            version: entry.version,
            expires_at: entry.expires_at,
        });
        let next = || Version {
            hlc: self.versions.next(self.now, seen),
            node: NodeId(7),
        };
        let (effect, reply) = apply(&command, current, self.now, next, &self.limits)?;
        match effect {
            Effect::None => assert!(!matches!(
                reply,
                Reply::Stored { .. } | Reply::Deleted(true)
            )),
            Effect::Put(new) => {
                assert!(matches!(&reply, Reply::Stored { entry, .. } if *entry == new));
                self.entry = Some(new);
            }
            Effect::Change(changed) => {
                let entry = before.as_ref().unwrap();
                self.entry = Some(changed.whole(entry.as_ref()).unwrap());
            }
            Effect::Delete => {
                assert_eq!(reply, Reply::Deleted(true));
                self.entry = None;
            }
        }
        if command.is_read() {
            assert_eq!(self.entry, before);
        }
        Ok(reply)
    }

    fn counting(number: i64, ttl_ms: Option<u64>) -> Cell {
        let mut cell = Cell::empty();
        cell.run(put_counter(counter::text(number), ttl_ms))
            .unwrap();
        cell
    }

    fn text(&self) -> Option<&str> {
        let entry = self.entry.as_ref()?;
        Some(std::str::from_utf8(&entry.data).unwrap())
    }

    fn version(&self) -> Version {
        self.entry.as_ref().unwrap().version
    }

    /// Whether a delete, a put and a patch each happen under `condition`; they must agree.
    fn admits(&self, condition: &Condition) -> bool {
        let is_counter = self.entry.as_ref().is_some_and(|e| e.kind == Kind::Counter);
        let update = if is_counter {
            increment(1, None, condition.clone())
        } else {
            patch("{}", condition.clone())
        };
        let commands = [
            put("{}", None, condition.clone()),
            update,
            delete(condition.clone()),
        ];
        let admitted = commands.map(|command| {
            let mut cell = Cell {
                entry: self.entry.clone(),
                ..Cell::empty()
            };
            let current = self.entry.as_ref().map(|entry| entry.version);
            match cell.run(command).unwrap() {
                Reply::ConditionFailed { current: told } => {
                    assert_eq!(told, current);
                    assert_eq!(cell.entry, self.entry);
                    false
                }
                _ => true,
            }
        });
        assert!(admitted.iter().all(|each| *each == admitted[0]));
        admitted[0]
    }
}

fn key() -> Key {
    Key::new("k", 8).unwrap()
}

fn put(text: &'static str, ttl_ms: Option<u64>, condition: Condition) -> Command {
    Command::Put {
        key: key(),
        kind: Kind::Json,
        data: Bytes::from_static(text.as_bytes()),
        ttl_ms,
        condition,
    }
}

fn patch(text: &'static str, condition: Condition) -> Command {
    Command::MergePatch {
        key: key(),
        patch: Bytes::from_static(text.as_bytes()),
        condition,
    }
}

fn put_counter(data: impl Into<Bytes>, ttl_ms: Option<u64>) -> Command {
    Command::Put {
        key: key(),
        kind: Kind::Counter,
        data: data.into(),
        ttl_ms,
        condition: Condition::None,
    }
}

fn increment(by: i64, ttl_ms: Option<u64>, condition: Condition) -> Command {
    Command::Increment {
        key: key(),
        by,
        ttl_ms,
        condition,
    }
}

fn add(by: i64) -> Command {
    increment(by, None, Condition::None)
}

fn delete(condition: Condition) -> Command {
    Command::Delete {
        key: key(),
        condition,
    }
}

#[test]
fn a_value_is_put_read_and_deleted() {
    let mut cell = Cell::empty();
    let get = || Command::Get { key: key() };
    assert_eq!(cell.run(get()), Ok(Reply::Value(None)));
    let reply = cell.run(put(r#"{"a":1.0}"#, Some(500), Condition::None));
    let entry = Entry {
        tag: None,
        kind: Kind::Json,
        data: Bytes::from_static(br#"{"a":1.0}"#),
        version: cell.version(),
        expires_at: Some(UnixMs(NOW.0 + 500)),
    };
    let stored = |entry: &Entry, created| {
        Ok(Reply::Stored {
            entry: entry.clone(),
            created,
        })
    };
    assert_eq!(reply, stored(&entry, true));
    assert_eq!(cell.run(get()), Ok(Reply::Value(Some(entry))));
    let reply = cell.run(put("{}", None, Condition::None));
    assert_eq!(reply, stored(cell.entry.as_ref().unwrap(), false));
    assert_eq!(cell.run(delete(Condition::None)), Ok(Reply::Deleted(true)));
    assert_eq!(cell.run(delete(Condition::None)), Ok(Reply::Deleted(false)));
    assert_eq!(cell.run(get()), Ok(Reply::Value(None)));
}

#[test]
fn a_put_takes_the_place_of_the_time_to_live_and_a_patch_keeps_it() {
    let mut cell = Cell::holding("{}", Some(500));
    let expires_at = |cell: &Cell| cell.entry.as_ref().unwrap().expires_at;
    let first = expires_at(&cell);
    cell.now = UnixMs(NOW.0 + 100);
    cell.run(patch(r#"{"a":1}"#, Condition::None)).unwrap();
    assert_eq!(expires_at(&cell), first);
    cell.run(put("{}", Some(500), Condition::None)).unwrap();
    assert_eq!(expires_at(&cell), Some(UnixMs(NOW.0 + 600)));
    cell.run(put("{}", None, Condition::None)).unwrap();
    assert_eq!(expires_at(&cell), None);
    cell.run(patch(r#"{"a":1}"#, Condition::None)).unwrap();
    assert_eq!(expires_at(&cell), None);
    cell.run(put("{}", Some(u64::MAX), Condition::None))
        .unwrap();
    assert_eq!(expires_at(&cell), Some(UnixMs(u64::MAX)));
}

#[test]
fn versions_grow_with_every_write_whatever_the_clock_does() {
    let mut cell = Cell::holding("{}", None);
    let mut last = cell.version();
    for (now, command) in [
        (NOW.0, put("{}", None, Condition::None)),
        (NOW.0, patch("{}", Condition::None)),
        (NOW.0 - 500, put("[]", None, Condition::Present)),
        (NOW.0 + 500, patch(r#"{"a":1}"#, Condition::None)),
    ] {
        cell.now = UnixMs(now);
        cell.run(command).unwrap();
        assert!(cell.version() > last);
        last = cell.version();
    }
}

#[test]
fn an_unwritten_value_takes_no_version() {
    let held = Cell::holding("{}", None).entry.unwrap();
    let current = EntryRef {
        open: None,
        tag: None,
        kind: Kind::Json,
        data: &held.data,
        version: held.version,
        expires_at: None,
    };
    for command in [
        Command::Get { key: key() },
        delete(Condition::None),
        put("{}", None, Condition::Absent),
        patch("{}", Condition::Absent),
        increment(1, None, Condition::Absent),
        add(1),
        put_counter("x", None),
    ] {
        let next = || panic!("a version was taken");
        let done = apply(&command, Some(current), NOW, next, &Limits::default());
        assert!(done.is_err() || matches!(done, Ok((Effect::None | Effect::Delete, _))));
    }
}

#[test]
fn conditions_on_a_key_with_a_value() {
    check_conditions(&Cell::holding("{}", None));
    check_conditions(&Cell::counting(7, None));
}

fn check_conditions(cell: &Cell) {
    let this = cell.version();
    let other = Version {
        hlc: Hlc(this.hlc.0 - 1),
        ..this
    };
    let of_other_node = Version {
        node: NodeId(8),
        ..this
    };
    for (condition, admitted) in [
        (Condition::None, true),
        (Condition::Absent, false),
        (Condition::Present, true),
        (Condition::VersionIn(vec![this]), true),
        (Condition::VersionIn(vec![other, this]), true),
        (Condition::VersionIn(vec![other, of_other_node]), false),
        (Condition::VersionIn(vec![]), false),
        (Condition::VersionNotIn(vec![this]), false),
        (Condition::VersionNotIn(vec![other, this]), false),
        (Condition::VersionNotIn(vec![other, of_other_node]), true),
        (Condition::VersionNotIn(vec![]), true),
    ] {
        assert_eq!(cell.admits(&condition), admitted, "{condition:?}");
    }
}

#[test]
fn conditions_on_a_key_without_one() {
    let cell = Cell::empty();
    let any = Version::default();
    for (condition, admitted) in [
        (Condition::None, true),
        (Condition::Absent, true),
        (Condition::Present, false),
        (Condition::VersionIn(vec![any]), false),
        (Condition::VersionNotIn(vec![any]), true),
    ] {
        assert_eq!(cell.admits(&condition), admitted, "{condition:?}");
    }
}

#[test]
fn compare_and_set_lets_one_of_two_writers_through() {
    let mut cell = Cell::holding("[0]", None);
    let read = Condition::VersionIn(vec![cell.version()]);
    let won = cell.run(put("[1]", None, read.clone())).unwrap();
    assert!(matches!(won, Reply::Stored { created: false, .. }));
    let current = Some(cell.version());
    assert_eq!(
        cell.run(put("[2]", None, read)),
        Ok(Reply::ConditionFailed { current })
    );
    assert_eq!(cell.text(), Some("[1]"));
}

#[test]
fn a_patch_changes_what_it_names() {
    let mut cell = Cell::holding(r#"{"a":1.0,"b":[2],"c":3}"#, None);
    cell.run(patch(r#"{"b":null,"d":{"e":null}}"#, Condition::None))
        .unwrap();
    assert_eq!(cell.text(), Some(r#"{"a":1.0,"c":3,"d":{}}"#));
}

#[test]
fn an_absent_document_is_patched_as_an_empty_one() {
    let mut cell = Cell::empty();
    let reply = cell.run(patch(r#"{"a":1,"b":null}"#, Condition::Absent));
    assert!(matches!(reply, Ok(Reply::Stored { created: true, .. })));
    assert_eq!(cell.text(), Some(r#"{"a":1}"#));
}

#[test]
fn a_counter_is_added_to() {
    let mut cell = Cell::empty();
    let mut sum = 0;
    for (place, by) in [1, 41, 0, -50, i64::MAX, 8, i64::MIN]
        .into_iter()
        .enumerate()
    {
        sum += by;
        let reply = cell.run(add(by)).unwrap();
        let Reply::Stored { entry, created } = reply else {
            panic!("{reply:?}")
        };
        assert_eq!(entry.kind, Kind::Counter);
        assert_eq!(entry.data, sum.to_string());
        assert_eq!(counter::value(Some(entry.as_ref())), Ok(sum));
        assert_eq!(created, place == 0);
    }
    assert_eq!(counter::value(None), Ok(0));
}

#[test]
fn a_counter_that_would_overflow_stays_as_it_is() {
    for (value, by) in [
        (i64::MAX, 1),
        (i64::MIN, -1),
        (1, i64::MAX),
        (-1, i64::MIN),
        (i64::MIN, i64::MIN),
    ] {
        let mut cell = Cell::counting(value, Some(500));
        let before = cell.entry.clone();
        assert_eq!(cell.run(add(by)), Err(Error::Overflow { value, by }));
        assert_eq!(cell.entry, before);
    }
}

#[test]
fn only_the_increment_that_creates_a_counter_gives_it_a_time_to_live() {
    let mut cell = Cell::empty();
    let expires_at = |cell: &Cell| cell.entry.as_ref().unwrap().expires_at;
    cell.run(increment(1, Some(500), Condition::None)).unwrap();
    let first = Some(UnixMs(NOW.0 + 500));
    assert_eq!(expires_at(&cell), first);
    cell.now = UnixMs(NOW.0 + 100);
    cell.run(increment(1, Some(900), Condition::None)).unwrap();
    cell.run(add(1)).unwrap();
    assert_eq!(expires_at(&cell), first);
    assert_eq!(cell.text(), Some("3"));

    let mut cell = Cell::counting(7, None);
    cell.run(increment(1, Some(500), Condition::None)).unwrap();
    assert_eq!(expires_at(&cell), None, "it lives for ever and goes on to");
}

#[test]
fn an_update_of_another_type_changes_nothing_and_a_whole_value_replaces_any() {
    let wrong = |found, wanted| Err(Error::WrongType { found, wanted });
    let mut cell = Cell::holding(r#"{"a":1}"#, None);
    let before = cell.entry.clone();
    assert_eq!(cell.run(add(1)), wrong(Kind::Json, Kind::Counter));
    assert_eq!(cell.entry, before);
    assert_eq!(
        counter::value(before.as_ref().map(Entry::as_ref)),
        Err(Error::WrongType {
            found: Kind::Json,
            wanted: Kind::Counter
        })
    );

    cell.run(put_counter("-3", None)).unwrap();
    let before = cell.entry.clone();
    let patched = cell.run(patch(r#"{"a":1}"#, Condition::None));
    assert_eq!(patched, wrong(Kind::Counter, Kind::Json));
    assert_eq!(cell.entry, before);
    cell.run(put("{}", None, Condition::None)).unwrap();
    assert_eq!(cell.entry.as_ref().unwrap().kind, Kind::Json);
    assert_eq!(cell.run(delete(Condition::None)), Ok(Reply::Deleted(true)));
}

#[test]
fn what_is_put_as_a_counter_is_a_number() {
    let mut cell = Cell::counting(5, None);
    for text in ["", "+1", "01", "1.0", "{}", "9223372036854775808"] {
        assert_eq!(cell.run(put_counter(text, None)), Err(Error::NotANumber));
        assert_eq!(cell.text(), Some("5"));
    }
}

#[test]
fn values_are_bounded_in_bytes() {
    const FULL: &str = r#"{"a":"0123456789012345678901234567890123456789012345678901234567"}"#;
    let mut cell = Cell::holding(r#"{"a":1}"#, None);
    cell.limits.value_bytes_max = FULL.len();
    cell.run(put(FULL, None, Condition::None)).unwrap();
    cell.limits.value_bytes_max = FULL.len() - 1;
    let before = cell.entry.clone();
    let (bytes, max) = (FULL.len(), FULL.len() - 1);
    let too_large = Error::ValueTooLarge { bytes, max };
    // Also where it would not be written: the client is told what is wrong with its request.
    for condition in [Condition::None, Condition::Absent] {
        let reply = cell.run(put(FULL, None, condition));
        assert_eq!(reply, Err(too_large.clone()));
    }
    let grown = cell.run(patch(r#"{"b":1}"#, Condition::None));
    let bytes = FULL.len() + 6;
    assert_eq!(grown, Err(Error::ValueTooLarge { bytes, max }));
    assert_eq!(cell.run(patch("{}", Condition::None)), Err(too_large));
    assert_eq!(cell.entry, before);
}

#[test]
fn what_takes_from_a_full_collection_is_always_done() {
    let limits = Limits {
        value_bytes_max: 1_000,
        collection_bytes_max: 1_000,
        ..Limits::default()
    };
    let element = Bytes::from(vec![b'x'; 97]);
    for (kind, push) in [
        (
            Kind::List,
            Operation::List(list::Operation::Push {
                end: list::End::Right,
                elements: vec![element.clone(); 10],
                only_if_present: false,
            }),
        ),
        (
            Kind::Hash,
            Operation::Hash(hash::Operation::Set(vec![(
                Bytes::from_static(b"f"),
                Bytes::from(vec![b'x'; 990]),
            )])),
        ),
    ] {
        let run = |operation: Operation, open: Option<&collection::Collection>| {
            let current = open.map(|open| EntryRef {
                kind,
                data: &[],
                open: Some(open),
                version: Version::default(),
                tag: None,
                expires_at: None,
            });
            let command = Command::Typed {
                key: key(),
                operation: Box::new(operation),
                condition: Condition::None,
            };
            apply(&command, current, NOW, Version::default, &limits)
        };
        let Ok((Effect::Put(entry), _)) = run(push, None) else {
            panic!("it fits")
        };
        let open = collection::Collection::unpack(kind, &entry.data).unwrap();
        let (same, more, less) = match kind {
            Kind::List => (
                Operation::List(list::Operation::Set(-1, element.clone())),
                Operation::List(list::Operation::Insert {
                    before: true,
                    pivot: element.clone(),
                    element: Bytes::from(vec![b'y'; 40]),
                }),
                Operation::List(list::Operation::Pop {
                    end: list::End::Left,
                    count: Some(3),
                }),
            ),
            _ => {
                let set = |length| {
                    let pair = (Bytes::from_static(b"f"), Bytes::from(vec![b'y'; length]));
                    Operation::Hash(hash::Operation::Set(vec![pair]))
                };
                (set(990), set(999), set(10))
            }
        };
        assert!(run(same, Some(&open)).is_ok(), "{kind}");
        assert!(run(less, Some(&open)).is_ok(), "{kind}");
        let refused = run(more, Some(&open));
        assert!(
            matches!(refused, Err(Error::ValueTooLarge { bytes: 1_001.., .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn patched_documents_are_bounded_in_depth() {
    let mut cell = Cell::holding(r#"{"a":1}"#, None);
    cell.run(patch(r#"{"b":{"c":{"d":{"e":1}}}}"#, Condition::None))
        .unwrap();
    let before = cell.entry.clone();
    let deeper = cell.run(patch(r#"{"b":{"c":{"d":{"e":[]}}}}"#, Condition::None));
    let Err(Error::Json(error)) = deeper else {
        panic!("{deeper:?}")
    };
    let told = (error.code, error.at, error.detail);
    assert_eq!(told, (json::Code::Depth, 20, 4));
    assert_eq!(cell.entry, before);
}

#[test]
fn a_patch_that_is_no_json_changes_nothing() {
    let mut cell = Cell::holding("{}", None);
    let before = cell.entry.clone();
    let reply = cell.run(patch("{\"a\"", Condition::None));
    assert!(matches!(reply, Err(Error::Json(_))));
    assert_eq!(cell.entry, before);
}

#[test]
fn kinds_and_their_numbers() {
    for number in 0..=u8::MAX {
        match Kind::from_number(number) {
            Some(kind) => assert_eq!(kind as u8, number),
            None => assert!(![Kind::Json as u8, Kind::Counter as u8].contains(&number)),
        }
    }
    assert_eq!(Kind::from_number(0), Some(Kind::Json));
    assert_eq!(Kind::from_number(1), Some(Kind::Counter));
}
