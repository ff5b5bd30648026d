//! Collections that are altered where they stand, beside the same done by commands.

use crate::command::collection::{Added, Collection};
use crate::command::list::{self, End};
use crate::command::{Answer, Expiry, Operation, hash, lifetime, set};
use crate::table::Altered;

use super::*;

/// What is done to a collection.
enum Act {
    Push(End, Vec<Bytes>),
    Pop(End),
    Add(Vec<Bytes>),
    Set(Vec<(Bytes, Bytes)>),
    /// Of this one: so many milliseconds to live, or for ever.
    Live(&'static str, Option<u64>),
}

impl Act {
    fn random(random: &mut StdRng) -> Act {
        let end = [End::Left, End::Right][random.random_range(0..2)];
        let item = |random: &mut StdRng| {
            let length = [0, 1, 8, 40, 300][random.random_range(0..5)];
            let letter = random.random_range(b'a'..b'h');
            Bytes::from(vec![letter; length])
        };
        let count = random.random_range(1..4);
        let items: Vec<Bytes> = (0..count).map(|_| item(random)).collect();
        if random.random_ratio(1, 25) {
            let name = ["list", "set", "hash"][random.random_range(0..3)];
            return Act::Live(name, random.random_bool(0.5).then_some(60_000));
        }
        match random.random_range(0..5) {
            0 => Act::Push(end, items),
            1 | 2 => Act::Pop(end),
            3 => Act::Add(items),
            _ => Act::Set(
                items
                    .into_iter()
                    .map(|field| (field, item(random)))
                    .collect(),
            ),
        }
    }

    fn key(&self) -> &'static str {
        match self {
            Act::Push(..) | Act::Pop(_) => "list",
            Act::Add(_) => "set",
            Act::Set(_) => "hash",
            Act::Live(name, _) => name,
        }
    }

    fn command(&self) -> Command {
        let operation = match self {
            Act::Push(end, elements) => Operation::List(list::Operation::Push {
                end: *end,
                elements: elements.clone(),
                only_if_present: false,
            }),
            Act::Pop(end) => Operation::List(list::Operation::Pop {
                end: *end,
                count: None,
            }),
            Act::Add(members) => Operation::Set(set::Operation::Add(members.clone())),
            Act::Set(pairs) => Operation::Hash(hash::Operation::Set(pairs.clone())),
            Act::Live(_, Some(ms)) => Operation::Lifetime(lifetime::Operation::Expire(
                Expiry::At(UnixMs(NOW.0 + ms)),
                lifetime::Rule::default(),
            )),
            Act::Live(_, None) => Operation::Lifetime(lifetime::Operation::Persist),
        };
        Command::Typed {
            key: key(self.key().as_bytes()),
            operation: Box::new(operation),
            condition: Condition::None,
        }
    }

    fn items(&self) -> Vec<&Bytes> {
        match self {
            Act::Push(_, items) | Act::Add(items) => items.iter().collect(),
            Act::Pop(_) | Act::Live(..) => Vec::new(),
            Act::Set(pairs) => pairs.iter().flat_map(|(f, v)| [f, v]).collect(),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Act::Push(..) | Act::Pop(_) => Kind::List,
            Act::Add(_) => Kind::Set,
            Act::Set(_) | Act::Live(..) => Kind::Hash,
        }
    }

    fn alter(&self, collection: &mut Collection) -> Option<Altered<Answer>> {
        let number = |count: usize| Answer::Integer(count as i64);
        Some(match self {
            Act::Push(end, elements) => {
                let each = elements.iter();
                each.for_each(|element| collection.push(element, *end));
                Altered::Yes(number(collection.len()))
            }
            Act::Pop(end) => {
                let element = (collection.len() > 1).then(|| collection.pop(*end))??;
                Altered::Yes(Answer::Bytes(element.into()))
            }
            Act::Add(members) => match members.iter().filter(|m| collection.add(m)).count() {
                0 => Altered::No(number(0)),
                added => Altered::Yes(number(added)),
            },
            Act::Set(pairs) => {
                let set = |(field, value): &&(Bytes, Bytes)| collection.set(field, value);
                Altered::Yes(number(pairs.iter().filter(set).count()))
            }
            Act::Live(..) => return None,
        })
    }

    /// On the shortest way, if it is open.
    fn here(&self, writer: &Writer) -> Option<Answer> {
        let name = self.key().as_bytes();
        let items = self.items();
        let added = Added {
            items: items.len(),
            bytes: items.iter().map(|item| item.len()).sum(),
        };
        writer.alter_here(key::partition(name), name, (self.kind(), added), NOW, |c| {
            self.alter(c)
        })
    }
}

fn answer(writer: &Writer, act: &Act) -> Answer {
    match now(writer, &act.command()) {
        Ok(Outcome::Done(Reply::Answer { answer, .. }, None)) => answer,
        other => panic!("{other:?}"),
    }
}

/// What is there of a key, open or packed, its version included.
fn whole(writer: &Writer, name: &str) -> Option<(Bytes, Version, Option<UnixMs>)> {
    let partition = key::partition(name.as_bytes());
    let look = |entry: Option<EntryRef<'_>>| {
        entry.map(|entry| {
            let entry = entry.to_entry();
            (entry.data, entry.version, entry.expires_at)
        })
    };
    writer.read(partition, name.as_bytes(), NOW, look).unwrap()
}

#[test]
fn an_altered_collection_is_what_a_command_makes_of_it() {
    let seed: u64 = rand::random();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (short, long) = (writer(), writer());
    let (mut altered, mut refused) = (0, 0);
    for _ in 0..3_000 {
        let act = Act::random(&mut random);
        let expected = answer(&long, &act);
        let came = match act.here(&short) {
            Some(came) => {
                altered += 1;
                came
            }
            None => {
                refused += 1;
                answer(&short, &act)
            }
        };
        assert_eq!(came, expected);
        assert_eq!(whole(&short, act.key()), whole(&long, act.key()));
        let (ours, theirs) = (short.stats(), long.stats());
        assert_eq!(ours.data_bytes, theirs.data_bytes);
        short.0.core.lock().table.check_invariants().unwrap();
    }
    assert!(altered > 500 && refused > 3, "{altered}, {refused}");
}

/// A list of these elements.
fn filled(writer: &Writer, count: usize) {
    let elements = vec![Bytes::from(vec![b'x'; 100]); count];
    answer(writer, &Act::Push(End::Right, elements));
}

#[test]
fn an_alteration_keeps_to_the_limits() {
    let writer = writer();
    let push = || Act::Push(End::Left, vec![Bytes::from_static(b"y")]).here(&writer);
    assert_eq!(push(), None, "there is nothing");
    filled(&writer, 2);
    assert_eq!(push(), None, "small ones are kept packed");
    filled(&writer, 10);
    assert_eq!(push(), Some(Answer::Integer(13)));
    // One more does not fit: the longer way says so.
    let max = writer.0.options.limits.collection_bytes_max;
    let long = Act::Push(End::Left, vec![vec![0; max].into()]);
    assert_eq!(long.here(&writer), None);
    assert!(now(&writer, &long.command()).is_err());
    // Of another type.
    let name = key::partition(b"list");
    let what = (Kind::Set, Added::default());
    let add = |set: &mut Collection| Some(Altered::Yes(set.add(b"z")));
    assert_eq!(writer.alter_here(name, b"list", what, NOW, add), None);
    // Others have to hear of it.
    set_all(&writer, &Role::Backup(HOLDER));
    assert_eq!(push(), None);
    set_all(&writer, &Role::alone());
    assert_eq!(push(), Some(Answer::Integer(14)));
    let hub = Hub::default();
    writer.watched_by(&hub);
    hub.watched().store(true, Ordering::Relaxed);
    assert_eq!(push(), None);
}

#[test]
fn an_alteration_asks_for_the_memory_that_it_takes() {
    let budget = Budget::new(4 << 20);
    let writer = writer_of(Arc::clone(&budget));
    filled(&writer, 10);
    let element = Bytes::from(vec![b'x'; 1_000]);
    let (mut pushed, limit) = (0, budget.limit_bytes());
    while Act::Push(End::Right, vec![element.clone()])
        .here(&writer)
        .is_some()
    {
        pushed += 1;
        assert!(budget.committed_bytes() <= limit);
        assert!(pushed < 10_000, "it goes on although memory is used up");
    }
    assert!(pushed > 1_000, "{pushed}");
}
