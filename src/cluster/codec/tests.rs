//! What is written is what is read, and whatever else comes is refused without harm.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::clock::UnixMs;
use crate::command::{self, Command, Condition, Entry, Kind, OperationId, Reply};
use crate::key::{KEY_BYTES_MAX, Key, PARTITION_COUNT, PartitionId};
use crate::replication::{Change, Done};
use crate::router;
use crate::version::{Hlc, NodeId, Version};
use crate::writer::{Moved, Operation};

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

fn key() -> impl Strategy<Value = Key> {
    vec(any::<u8>(), 1..40).prop_map(|bytes| Key::new(Bytes::from(bytes), KEY_BYTES_MAX).unwrap())
}

fn version() -> impl Strategy<Value = Version> {
    (any::<u64>(), any::<u32>()).prop_map(|(hlc, node)| Version {
        hlc: Hlc(hlc),
        node: NodeId(node),
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        Just(Condition::None),
        Just(Condition::Absent),
        Just(Condition::Present),
        vec(version(), 0..5).prop_map(Condition::VersionIn),
        vec(version(), 0..5).prop_map(Condition::VersionNotIn),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        key().prop_map(|key| Command::Get { key }),
        (
            key(),
            kind(),
            bytes(200),
            option::of(any::<u64>()),
            condition()
        )
            .prop_map(|(key, kind, data, ttl_ms, condition)| Command::Put {
                key,
                kind,
                data,
                ttl_ms,
                condition,
            }),
        (key(), condition()).prop_map(|(key, condition)| Command::Delete { key, condition }),
        (key(), bytes(200), condition()).prop_map(|(key, patch, condition)| {
            Command::MergePatch {
                key,
                patch,
                condition,
            }
        }),
        (key(), any::<i64>(), option::of(any::<u64>()), condition()).prop_map(
            |(key, by, ttl_ms, condition)| Command::Increment {
                key,
                by,
                ttl_ms,
                condition,
            }
        ),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Json), Just(Kind::Counter), Just(Kind::Tombstone)]
}

fn partition() -> impl Strategy<Value = PartitionId> {
    (0..PARTITION_COUNT).prop_map(PartitionId)
}

fn request() -> impl Strategy<Value = Request> {
    let pull = (
        vec(partition(), 0..50),
        any::<u16>(),
        any::<u64>(),
        any::<u32>(),
    );
    prop_oneof![
        (command(), option::of(any::<u128>())).prop_map(|(command, id)| {
            // A read may be sent again as often as one likes.
            let id = id.filter(|_| !command.is_read());
            Request::Execute(command, id.map(OperationId))
        }),
        vec(partition(), 0..50)
            .prop_map(|partitions| Request::Operations(partitions.into_iter().collect())),
        pull.prop_map(
            |(partitions, writer, cursor, bytes_max)| Request::Pull(Pull {
                partitions: partitions.into_iter().collect(),
                writer,
                cursor,
                bytes_max,
            })
        ),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    let parts = (kind(), bytes(200), version(), option::of(any::<u64>()));
    parts.prop_map(|(kind, data, version, expires_at)| Entry {
        tag: None,
        kind,
        data,
        version,
        expires_at: expires_at.map(UnixMs),
    })
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        option::of(entry()).prop_map(Reply::Value),
        (entry(), any::<bool>()).prop_map(|(entry, created)| Reply::Stored { entry, created }),
        any::<bool>().prop_map(Reply::Deleted),
        option::of(version()).prop_map(|current| Reply::ConditionFailed { current }),
    ]
}

fn error() -> impl Strategy<Value = router::Error> {
    let peer = || option::of("[a-z]{1,8}@[a-z]{1,8}").prop_map(|name| name.map(Arc::from));
    let numbers = || (any::<u32>(), any::<u32>());
    prop_oneof![
        numbers().prop_map(|(bytes, max)| {
            let (bytes, max) = (bytes as usize, max as usize);
            router::Error::Command(command::Error::ValueTooLarge { bytes, max })
        }),
        Just(router::Error::Command(command::Error::WrongType {
            found: Kind::Json,
            wanted: Kind::Counter,
        })),
        Just(router::Error::Command(command::Error::NotANumber)),
        (any::<i64>(), any::<i64>()).prop_map(|(value, by)| {
            router::Error::Command(command::Error::Overflow { value, by })
        }),
        bytes(20).prop_filter_map("valid JSON", |text| {
            let error = command::json::compact(&text, 8).err()?;
            Some(router::Error::Command(error.into()))
        }),
        peer().prop_map(|peer| router::Error::Deadline { peer }),
        peer().prop_map(|peer| router::Error::Overloaded { peer }),
        "[a-z]{1,8}".prop_map(|peer| router::Error::Lost { peer: peer.into() }),
        numbers().prop_map(|(bytes, limit)| router::Error::Full {
            bytes: bytes.into(),
            limit: limit.into()
        }),
        numbers().prop_map(|(alive, min)| {
            let (alive, min) = (alive as usize, min as usize);
            router::Error::TooFewMembers { alive, min }
        }),
        Just(router::Error::Unanswered),
        Just(router::Error::NoOwner),
        Just(router::Error::Internal),
    ]
}

fn moved() -> impl Strategy<Value = Moved> {
    (partition(), key(), entry()).prop_map(|(partition, key, entry)| Moved {
        partition,
        key: key.into_bytes(),
        entry,
    })
}

fn done() -> impl Strategy<Value = Done> {
    let stored = (
        version(),
        option::of(any::<u64>()),
        any::<bool>(),
        option::of(bytes(70)),
    );
    prop_oneof![
        any::<bool>().prop_map(Done::Deleted),
        stored.prop_map(|(version, expires_at, created, data)| Done::Stored {
            version,
            expires_at: expires_at.map(UnixMs),
            created,
            data,
        }),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    (partition(), any::<u128>(), done()).prop_map(|(partition, id, done)| Operation {
        partition,
        id: OperationId(id),
        done,
    })
}

fn effect() -> impl Strategy<Value = Effect> {
    let change = prop_oneof![
        (
            option::of(version()),
            entry(),
            option::of((any::<u128>(), done()))
        )
            .prop_map(|(previous, entry, operation)| {
                let operation = operation.map(|(id, done)| (OperationId(id), done));
                (Change::Put { previous, entry }, operation)
            }),
        version().prop_map(|version| (Change::Evict(version), None)),
        version().prop_map(|version| (Change::Evicted(version), None)),
        version().prop_map(|version| (Change::Flush(version), None)),
    ];
    (partition(), any::<u32>(), key(), change).prop_map(
        |(partition, epoch, key, (change, operation))| Effect {
            partition,
            epoch,
            key: match change {
                Change::Flush(_) => Bytes::new(),
                _ => key.into_bytes(),
            },
            change,
            operation,
        },
    )
}

fn taken() -> impl Strategy<Value = Taken> {
    prop::sample::select(&[Taken::Yes, Taken::No, Taken::Lacking][..])
}

fn answers() -> impl Strategy<Value = Answers> {
    let range = || (any::<u64>(), any::<u64>()).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let ranges = || vec(range(), 0..5);
    (ranges(), ranges(), ranges()).prop_map(|(taken, refused, lacking)| Answers {
        taken,
        refused,
        lacking,
    })
}

fn response() -> impl Strategy<Value = Response> {
    let next = option::of((any::<u16>(), any::<u64>()));
    let stored = (version(), option::of(any::<u64>()), any::<bool>());
    prop_oneof![
        Just(Response::Elsewhere),
        reply().prop_map(Response::Reply),
        error().prop_map(Response::Error),
        vec(operation(), 0..5).prop_map(Response::Operations),
        (vec(moved(), 0..5), next).prop_map(|(entries, next)| Response::Pulled { entries, next }),
        stored.prop_map(|(version, expires_at, created)| Response::Stored {
            version,
            expires_at: expires_at.map(UnixMs),
            created,
        }),
    ]
}

fn request_bytes(id: u64, deadline_ms: u32, request: &Request) -> Bytes {
    let mut out = Vec::new();
    write_request(&mut out, id, deadline_ms, request);
    out.into()
}

fn response_bytes(id: u64, response: &Response) -> Bytes {
    let mut out = Vec::new();
    write_response(&mut out, id, response);
    out.into()
}

fn effect_bytes(number: u64, effect: &Effect) -> Bytes {
    let mut out = Vec::new();
    write_effect(&mut out, number, &effect.encode());
    out.into()
}

fn answers_bytes(answers: &Answers) -> Bytes {
    let mut out = Vec::new();
    write_answers(&mut out, answers);
    out.into()
}

proptest! {
    #[test]
    fn a_request_comes_out_as_it_went_in(
        id in any::<u64>(), deadline_ms in any::<u32>(), request in request(),
    ) {
        let read = read_request(request_bytes(id, deadline_ms, &request));
        prop_assert_eq!(read, Ok((id, deadline_ms, request)));
    }

    #[test]
    fn a_response_comes_out_as_it_went_in(id in any::<u64>(), response in response()) {
        prop_assert_eq!(read_response(response_bytes(id, &response)), Ok((id, response)));
    }

    #[test]
    fn an_effect_comes_out_as_it_went_in(number in any::<u64>(), effect in effect()) {
        prop_assert_eq!(read_effect(effect_bytes(number, &effect)), Ok((number, effect)));
    }

    #[test]
    fn answers_come_out_as_they_went_in(answers in answers()) {
        prop_assert_eq!(read_answers(answers_bytes(&answers)), Ok(answers));
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_malformed(last in 0..u64::MAX, over in 1..1_000_u64) {
        let taken = vec![(last.saturating_add(over), last)];
        let bytes = answers_bytes(&Answers {
            taken,
            ..Answers::default()
        });
        prop_assert_eq!(read_answers(bytes), Err(Malformed));
    }

    #[test]
    fn answers_are_ranges_of_what_was_answered(
        said in vec((0..40_u64, taken()), 0..60), in_order in any::<bool>(),
    ) {
        let mut said: Vec<(u64, Taken)> =
            said.into_iter().collect::<std::collections::BTreeMap<_, _>>().into_iter().collect();
        if !in_order {
            said.reverse();
        }
        let mut answers = Answers::default();
        said.iter().for_each(|(number, taken)| answers.add(*number, *taken));
        let all = |ranges: &[(u64, u64)], taken| -> Vec<(u64, Taken)> {
            ranges.iter().flat_map(|(first, last)| *first..=*last).map(|n| (n, taken)).collect()
        };
        let mut found = all(&answers.taken, Taken::Yes);
        found.extend(all(&answers.refused, Taken::No));
        found.extend(all(&answers.lacking, Taken::Lacking));
        found.sort_unstable_by_key(|(number, _)| *number);
        said.sort_unstable_by_key(|(number, _)| *number);
        prop_assert_eq!(answers.is_empty(), said.is_empty());
        prop_assert_eq!(found, said);
    }

    #[test]
    fn a_reply_is_whole_again_at_the_other_end(command in command(), reply in reply()) {
        // What a put stores is what it brought.
        let reply = match (&command, reply) {
            (Command::Put { kind, data, .. }, Reply::Stored { entry, created }) => {
                let entry = Entry { kind: *kind, data: data.clone(), ..entry };
                Reply::Stored { entry, created }
            }
            (_, reply) => reply,
        };
        let sent = Response::to(&command, reply.clone());
        let (_, received) = read_response(response_bytes(1, &sent)).unwrap();
        prop_assert_eq!(received.into_reply(&command), Some(reply));
    }

    #[test]
    fn a_truncated_message_is_no_message_or_a_shorter_one(
        request in request(), response in response(), share in 0.0..1.0_f64,
    ) {
        // No panic, and no claim that all was there.
        let cut = |whole: &Bytes| whole.slice(..(whole.len() as f64 * share) as usize);
        let (asked, answered) = (request_bytes(1, 1, &request), response_bytes(1, &response));
        prop_assert_ne!(read_request(cut(&asked)), Ok((1, 1, request)));
        prop_assert_ne!(read_response(cut(&answered)), Ok((1, response)));
    }

    #[test]
    fn a_truncated_effect_is_none(
        effect in effect(), answers in answers(), share in 0.0..1.0_f64,
    ) {
        let cut = |whole: &Bytes| whole.slice(..(whole.len() as f64 * share) as usize);
        prop_assert_eq!(read_effect(cut(&effect_bytes(1, &effect))), Err(Malformed));
        prop_assert_ne!(read_answers(cut(&answers_bytes(&answers))), Ok(answers));
    }

    #[test]
    fn random_bytes_never_panic(noise in bytes(400)) {
        let _ = read_request(noise.clone());
        let _ = read_response(noise.clone());
        let _ = read_effect(noise.clone());
        let _ = read_answers(noise.clone());
        let mut frame = noise;
        while let Ok(Some(_)) = read_message(&mut frame) {}
    }

    #[test]
    fn a_flipped_byte_never_panics(
        request in request(), response in response(), effect in effect(), answers in answers(),
        at in any::<usize>(), flip in 1..=255_u8,
    ) {
        let flipped = |whole: Bytes| {
            let mut bytes = whole.to_vec();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            Bytes::from(bytes)
        };
        let _ = read_request(flipped(request_bytes(1, 1, &request)));
        let _ = read_response(flipped(response_bytes(1, &response)));
        let _ = read_effect(flipped(effect_bytes(1, &effect)));
        let _ = read_answers(flipped(answers_bytes(&answers)));
    }

    #[test]
    fn messages_follow_each_other_in_a_frame(bodies in vec((0..6_u8, bytes(100)), 0..10)) {
        let mut frame = Vec::new();
        for (number, body) in &bodies {
            let kind = MessageKind::from_number(*number).unwrap();
            write_message(&mut frame, kind, |out| out.extend_from_slice(body));
        }
        let mut frame = Bytes::from(frame);
        for (number, body) in bodies {
            let kind = MessageKind::from_number(number).unwrap();
            prop_assert_eq!(read_message(&mut frame), Ok(Some((kind, body))));
        }
        prop_assert_eq!(read_message(&mut frame), Ok(None));
    }
}

fn put(data: &'static [u8]) -> Command {
    Command::Put {
        key: Key::new(Bytes::from_static(b"key"), KEY_BYTES_MAX).unwrap(),
        kind: Kind::Json,
        data: Bytes::from_static(data),
        ttl_ms: None,
        condition: Condition::None,
    }
}

#[test]
fn what_a_put_stored_does_not_travel_back() {
    const DATA: &[u8] = &[b'x'; 10_000];
    let entry = Entry {
        tag: None,
        kind: Kind::Json,
        data: Bytes::from_static(DATA),
        version: Version::default(),
        expires_at: Some(UnixMs(1)),
    };
    let reply = Reply::Stored {
        entry,
        created: true,
    };
    let response = Response::to(&put(DATA), reply);
    assert!(response_bytes(1, &response).len() < 64);
    assert_eq!(response.payload_bytes(), 0);
}

#[test]
fn an_answer_to_another_question_is_none() {
    let get = Command::Get {
        key: put(b"{}").key().clone(),
    };
    let stored = Response::Stored {
        version: Version::default(),
        expires_at: None,
        created: false,
    };
    assert_eq!(stored.into_reply(&get), None);
    assert_eq!(Response::Elsewhere.into_reply(&get), None);
    assert_eq!(Response::Operations(Vec::new()).into_reply(&get), None);
}

#[test]
fn what_is_said_in_short_is_true() {
    let entry = Entry {
        tag: None,
        kind: Kind::Json,
        data: Bytes::from_static(b"{}"),
        version: Version::default(),
        expires_at: None,
    };
    let patched = Response::Reply(Reply::Stored {
        entry: entry.clone(),
        created: false,
    });
    let applied = Some(Response::Error(router::Error::Unanswered));
    assert_eq!(patched.in_short(), applied);
    let nothing_done = Some(Response::Error(router::Error::Overloaded { peer: None }));
    let read = Response::Reply(Reply::Value(Some(entry.clone())));
    assert_eq!(read.in_short(), nothing_done);
    let counted = Response::Reply(Reply::Stored {
        entry: Entry {
            kind: Kind::Counter,
            ..entry.clone()
        },
        created: true,
    });
    assert_eq!(counted.in_short(), None, "it is short itself");
    let (entries, next) = (Vec::new(), None);
    assert_eq!(Response::Pulled { entries, next }.in_short(), nothing_done);
    let operations = Response::Operations(Vec::new());
    assert_eq!(operations.in_short(), nothing_done);
    for short in [
        Response::Elsewhere,
        Response::Reply(Reply::Deleted(true)),
        Response::Reply(Reply::ConditionFailed { current: None }),
        Response::Reply(Reply::Value(None)),
    ] {
        assert_eq!(short.in_short(), None, "it stands for itself");
    }
}

#[test]
fn ranges_of_answers_do_not_wrap() {
    let mut answers = Answers::default();
    answers.add(u64::MAX, Taken::Yes);
    answers.add(0, Taken::Yes);
    assert_eq!(answers.taken, [(u64::MAX, u64::MAX), (0, 0)]);
    // A count of more ranges than there are.
    let mut bytes = answers_bytes(&answers).to_vec();
    bytes[0] = 3;
    assert_eq!(read_answers(bytes.into()), Err(Malformed));
}

#[test]
fn effects_of_what_does_not_exist_are_malformed() {
    let whole = Effect {
        partition: PartitionId(PARTITION_COUNT - 1),
        epoch: 1,
        key: Bytes::from_static(b"key"),
        change: Change::Evict(Version::default()),
        operation: None,
    };
    assert!(read_effect(effect_bytes(1, &whole)).is_ok());
    for (partition, length) in [(PARTITION_COUNT, 3), (0, 0), (0, KEY_BYTES_MAX + 1)] {
        let wrong = Effect {
            partition: PartitionId(partition),
            key: vec![b'k'; length].into(),
            ..whole.clone()
        };
        assert_eq!(read_effect(effect_bytes(1, &wrong)), Err(Malformed));
    }
    let mut longer = effect_bytes(1, &whole).to_vec();
    longer.push(0);
    assert_eq!(read_effect(longer.into()), Err(Malformed));
}

#[test]
fn a_message_longer_than_its_frame_is_malformed() {
    for head in [
        &[0, 0, 0, 0][..],
        &[2, 0, 0, 0, 1],
        &[1, 0, 0, 0, 9],
        &[1, 0],
    ] {
        let mut frame = Bytes::copy_from_slice(head);
        assert_eq!(read_message(&mut frame), Err(Malformed), "{head:?}");
    }
}

#[test]
fn a_read_of_a_type_has_an_op_of_its_own() {
    use crate::command::{Operation, hash, set};
    let typed = |operation| {
        let command = Command::Typed {
            key: Key::new("key", KEY_BYTES_MAX).unwrap(),
            operation: Box::new(operation),
            condition: Condition::None,
        };
        let mut out = Vec::new();
        write_request(&mut out, 7, 9, &Request::Execute(command.clone(), None));
        (command, out)
    };
    let add = set::Operation::Add(vec![Bytes::from_static(b"member")]);
    for operation in [Operation::Set(add), Operation::Hash(hash::Operation::All)] {
        let (command, bytes) = typed(operation);
        let read = read_request(Bytes::from(bytes));
        assert_eq!(read, Ok((7, 9, Request::Execute(command, None))));
    }
    // The read as if it were a write: with another op, and room for an operation's id.
    let (_, bytes) = typed(Operation::Hash(hash::Operation::All));
    let key_end = 8 + 4 + 1 + 4 + 3;
    let mut wrong = bytes[..key_end].to_vec();
    wrong[12] -= 1;
    wrong.push(0);
    wrong.extend_from_slice(&bytes[key_end..]);
    assert_eq!(read_request(Bytes::from(wrong)), Err(Malformed));
}
