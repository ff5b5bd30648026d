//! What is written is what is read, and parts of it are refused.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::super::{self as codec, read_request, read_response, write_request, write_response};
use super::*;
use crate::key::{PARTITION_COUNT, PartitionId};

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..70).prop_map(Bytes::from)
}

fn partitions() -> impl Strategy<Value = PartitionSet> {
    let some = vec(0..PARTITION_COUNT, 0..50);
    let some = some.prop_map(|numbers| numbers.into_iter().map(PartitionId).collect());
    prop_oneof![
        some,
        Just(PartitionSet::all()),
        Just(PartitionSet::default())
    ]
}

fn position() -> impl Strategy<Value = Position> {
    let end = Position::END.number();
    (0..=end).prop_map(|number| Position::from_number(number).unwrap())
}

fn request() -> impl Strategy<Value = Request> {
    let keys = (
        partitions(),
        position(),
        any::<u64>(),
        any::<u32>(),
        any::<u32>(),
        option::of(bytes()),
    );
    let keys = keys.prop_map(|(partitions, from, tag, kinds, count, pattern)| Ask {
        partitions,
        from,
        tag,
        kinds: Kinds(kinds),
        count,
        pattern,
    });
    let census = (partitions(), option::of(any::<u64>()));
    let flush = (partitions(), any::<u128>().prop_map(OperationId));
    prop_oneof![
        keys.prop_map(Request::Keys),
        census.prop_map(|(partitions, random)| Request::Census { partitions, random }),
        flush.prop_map(|(partitions, operation)| Request::Flush {
            partitions,
            operation
        }),
    ]
}

fn response() -> impl Strategy<Value = Response> {
    let keys = (partitions(), position(), any::<u32>(), vec(bytes(), 0..20));
    let keys = keys.prop_map(|(elsewhere, reached, examined, keys)| Found {
        elsewhere,
        reached,
        examined,
        keys,
    });
    let census = (partitions(), any::<u64>(), option::of(bytes()));
    let flushed = (partitions(), any::<u64>());
    prop_oneof![
        keys.prop_map(Response::Keys),
        census.prop_map(|(elsewhere, entries, key)| Response::Census {
            elsewhere,
            entries,
            key
        }),
        flushed.prop_map(|(elsewhere, deleted)| Response::Flushed { elsewhere, deleted }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn requests_come_out_as_they_went_in(request in request(), cut in any::<prop::sample::Index>()) {
        let request = codec::Request::Keyspace(request);
        let mut out = Vec::new();
        write_request(&mut out, 7, 9, &request);
        let out = Bytes::from(out);
        prop_assert_eq!(read_request(out.clone()), Ok((7, 9, request)));
        prop_assert!(read_request(out.slice(..cut.index(out.len()))).is_err());
    }

    #[test]
    fn responses_come_out_as_they_went_in(response in response(), cut in any::<prop::sample::Index>()) {
        let is_list = matches!(response, Response::Keys(_));
        let response = codec::Response::Keyspace(response);
        let mut out = Vec::new();
        write_response(&mut out, 7, &response);
        prop_assert!(response.payload_bytes() <= out.len());
        let out = Bytes::from(out);
        prop_assert_eq!(read_response(out.clone()), Ok((7, response)));
        // A list may end after any of its keys.
        let part = read_response(out.slice(..cut.index(out.len())));
        prop_assert!(is_list || part.is_err());
    }
}
