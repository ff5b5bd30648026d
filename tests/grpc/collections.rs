//! Values that have parts: set, hash, list.

use bytes::Bytes;
use smache::door::grpc::v1;
use tonic::Code;
use tonic::transport::Channel;

use crate::calls::{absent, failed, good, is, present, version};

fn items(texts: &[&'static str]) -> Vec<Bytes> {
    let item = |text: &&'static str| Bytes::from_static(text.as_bytes());
    texts.iter().map(item).collect()
}

fn sorted(mut items: Vec<Bytes>) -> Vec<Bytes> {
    items.sort();
    items
}

pub(crate) async fn set(channel: &Channel, stem: &str) {
    let mut set = v1::set_client::SetClient::new(channel.clone());
    let key = format!("{stem}-set");
    let get = || v1::SetGetRequest { key: key.clone() };
    let add = |texts: &[&'static str], return_items, condition| v1::SetAddRequest {
        key: key.clone(),
        items: items(texts),
        return_items,
        condition,
    };
    let remove = |texts: &[&'static str], return_items| v1::SetRemoveRequest {
        key: key.clone(),
        items: items(texts),
        return_items,
        condition: None,
    };
    assert_eq!(good(set.get(get())).await, v1::SetGetResponse::default());
    let removed = good(set.remove(remove(&["a"], true))).await;
    assert_eq!(removed, v1::SetRemoveResponse::default());

    let added = good(set.add(add(&["b", "a", "b"], true, absent()))).await;
    assert_eq!((added.added, sorted(added.items)), (2, items(&["a", "b"])));
    let added = good(set.add(add(&["b", "c"], false, version(&added.version)))).await;
    assert_eq!((added.added, added.items.len()), (1, 0));
    let found = good(set.get(get())).await;
    assert_eq!(sorted(found.items), items(&["a", "b", "c"]));
    assert_eq!((&found.version, found.ttl_ms), (&added.version, None));
    let refused = failed(set.add(add(&["d"], true, absent()))).await;
    assert_eq!(refused, is(Code::Aborted, "precondition_failed"));
    for empty in [
        failed(set.add(add(&[], true, None))).await,
        failed(set.remove(remove(&[], true))).await,
    ] {
        assert_eq!(empty, is(Code::InvalidArgument, "missing_field"));
    }

    let contains = v1::SetContainsRequest {
        key: key.clone(),
        items: items(&["a", "x", "a"]),
    };
    assert_eq!(
        good(set.contains(contains)).await.contained,
        [true, false, true]
    );
    let length = || v1::SetLengthRequest { key: key.clone() };
    assert_eq!(good(set.length(length())).await.length, 3);
    let sample = |count| v1::SetSampleRequest {
        key: key.clone(),
        count,
    };
    assert_eq!(good(set.sample(sample(None))).await.items.len(), 1);
    let all = good(set.sample(sample(Some(9)))).await.items;
    assert_eq!(sorted(all), items(&["a", "b", "c"]));
    assert_eq!(good(set.sample(sample(Some(-9)))).await.items.len(), 9);

    let mut scanned = Vec::new();
    let mut cursor = 0;
    loop {
        let scan = v1::SetScanRequest {
            key: key.clone(),
            cursor,
            count: Some(2),
        };
        let part = good(set.scan(scan)).await;
        scanned.extend(part.items);
        cursor = part.next;
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(sorted(scanned), items(&["a", "b", "c"]));

    let removed = good(set.remove(remove(&["c", "x"], true))).await;
    assert_eq!(
        (removed.removed, sorted(removed.items)),
        (1, items(&["a", "b"]))
    );
    let pop = |count| v1::SetPopRequest {
        key: key.clone(),
        count,
        condition: None,
    };
    let mut popped = good(set.pop(pop(None))).await.items;
    assert_eq!(popped.len(), 1);
    popped.extend(good(set.pop(pop(Some(9)))).await.items);
    assert_eq!(sorted(popped), items(&["a", "b"]));
    assert_eq!(good(set.pop(pop(None))).await.items.len(), 0);

    good(set.add(add(&["z"], false, None))).await;
    let delete = || v1::SetDeleteRequest {
        key: key.clone(),
        condition: None,
    };
    assert!(good(set.delete(delete())).await.deleted);
    assert!(!good(set.delete(delete())).await.deleted);
}

fn entry(field: &'static str, value: &'static str) -> v1::HashEntry {
    v1::HashEntry {
        field: Bytes::from_static(field.as_bytes()),
        value: Bytes::from_static(value.as_bytes()),
    }
}

fn by_field(mut entries: Vec<v1::HashEntry>) -> Vec<v1::HashEntry> {
    entries.sort_by(|a, b| a.field.cmp(&b.field));
    entries
}

pub(crate) async fn hash(channel: &Channel, stem: &str) {
    let mut hash = v1::hash_client::HashClient::new(channel.clone());
    let key = format!("{stem}-hash");
    let field = |text: &'static str| Bytes::from_static(text.as_bytes());
    let get = |name| v1::HashGetRequest {
        key: key.clone(),
        field: field(name),
    };
    let get_all = || v1::HashGetAllRequest { key: key.clone() };
    let set = |entries: Vec<v1::HashEntry>, condition| v1::HashSetRequest {
        key: key.clone(),
        entries,
        condition,
    };
    let miss = is(Code::NotFound, "not_found");
    assert_eq!(failed(hash.get(get("f"))).await, miss);
    let none = v1::HashGetAllResponse::default();
    assert_eq!(good(hash.get_all(get_all())).await, none);

    let entries = vec![entry("f", "1"), entry("g", "x"), entry("f", "2")];
    let stored = good(hash.set(set(entries, absent()))).await;
    assert_eq!(stored.created, 2);
    let found = good(hash.get(get("f"))).await;
    assert_eq!(
        (&found.value[..], &found.version),
        (&b"2"[..], &stored.version)
    );
    assert_eq!(failed(hash.get(get("x"))).await, miss);
    let refused = failed(hash.set(set(vec![entry("f", "")], absent()))).await;
    assert_eq!(refused, is(Code::Aborted, "precondition_failed"));
    let refused = failed(hash.set(set(Vec::new(), None))).await;
    assert_eq!(refused, is(Code::InvalidArgument, "missing_field"));
    let set_new = |name, value| v1::HashSetNewRequest {
        key: key.clone(),
        field: field(name),
        value: field(value),
        condition: None,
    };
    assert!(good(hash.set_new(set_new("h", "3"))).await.created);
    assert!(!good(hash.set_new(set_new("h", "4"))).await.created);

    let get_many = v1::HashGetManyRequest {
        key: key.clone(),
        fields: items(&["h", "x", "f"]),
    };
    let values = good(hash.get_many(get_many)).await.values;
    let values: Vec<_> = values.into_iter().map(|found| found.value).collect();
    assert_eq!(values, [Some(field("3")), None, Some(field("2"))]);
    let all = vec![entry("f", "2"), entry("g", "x"), entry("h", "3")];
    let found = good(hash.get_all(get_all())).await;
    assert_eq!((by_field(found.entries), found.ttl_ms), (all.clone(), None));
    let fields = v1::HashFieldsRequest { key: key.clone() };
    let fields = good(hash.fields(fields)).await.fields;
    assert_eq!(sorted(fields), items(&["f", "g", "h"]));
    let values = v1::HashValuesRequest { key: key.clone() };
    let values = good(hash.values(values)).await.values;
    assert_eq!(sorted(values), items(&["2", "3", "x"]));
    let length = v1::HashLengthRequest { key: key.clone() };
    assert_eq!(good(hash.length(length)).await.length, 3);
    let contains = |name| v1::HashContainsRequest {
        key: key.clone(),
        field: field(name),
    };
    assert!(good(hash.contains(contains("g"))).await.contained);
    assert!(!good(hash.contains(contains("x"))).await.contained);
    let sample = |count| v1::HashSampleRequest {
        key: key.clone(),
        count,
    };
    assert_eq!(good(hash.sample(sample(None))).await.entries.len(), 1);
    let sampled = good(hash.sample(sample(Some(5)))).await.entries;
    assert_eq!(by_field(sampled), all);
    let scan = v1::HashScanRequest {
        key: key.clone(),
        cursor: 0,
        count: None,
    };
    let scanned = good(hash.scan(scan)).await;
    assert_eq!((by_field(scanned.entries), scanned.next), (all, 0));

    let add = |name, amount| v1::HashIncrementRequest {
        key: key.clone(),
        field: field(name),
        amount,
        condition: None,
    };
    assert_eq!(good(hash.increment(add("f", Some(-5)))).await.value, -3);
    assert_eq!(good(hash.increment(add("new", Some(5)))).await.value, 5);
    let refused = failed(hash.increment(add("f", None))).await;
    assert_eq!(refused, is(Code::InvalidArgument, "missing_field"));
    let refused = failed(hash.increment(add("g", Some(1)))).await;
    assert_eq!(refused, is(Code::FailedPrecondition, "not_a_number"));
    let refused = failed(hash.increment(add("new", Some(i64::MAX)))).await;
    assert_eq!(refused, is(Code::OutOfRange, "counter_overflow"));
    let add = |name, amount: &str| v1::HashIncrementFloatRequest {
        key: key.clone(),
        field: field(name),
        amount: amount.to_owned(),
        condition: None,
    };
    assert_eq!(
        good(hash.increment_float(add("d", "0.1"))).await.value,
        "0.1"
    );
    assert_eq!(
        good(hash.increment_float(add("d", "0.2"))).await.value,
        "0.3"
    );
    let refused = failed(hash.increment_float(add("d", ""))).await;
    assert_eq!(refused, is(Code::InvalidArgument, "missing_field"));
    for amount in ["one", "inf", "1e999", " 1", "0x1"] {
        let refused = failed(hash.increment_float(add("d", amount))).await;
        assert_eq!(
            refused,
            is(Code::InvalidArgument, "invalid_increment"),
            "{amount}"
        );
    }
    let refused = failed(hash.increment_float(add("g", "1"))).await;
    assert_eq!(refused, is(Code::FailedPrecondition, "not_a_number"));

    let remove = |texts: &[&'static str]| v1::HashRemoveRequest {
        key: key.clone(),
        fields: items(texts),
        condition: None,
    };
    assert_eq!(good(hash.remove(remove(&["f", "x", "f"]))).await.removed, 1);
    let refused = failed(hash.remove(remove(&[]))).await;
    assert_eq!(refused, is(Code::InvalidArgument, "missing_field"));
    let delete = || v1::HashDeleteRequest {
        key: key.clone(),
        condition: None,
    };
    assert!(good(hash.delete(delete())).await.deleted);
    assert!(!good(hash.delete(delete())).await.deleted);
}

pub(crate) async fn list(channel: &Channel, stem: &str) {
    use v1::ListEnd::{Left, Right, Unspecified};

    let mut list = v1::list_client::ListClient::new(channel.clone());
    let key = format!("{stem}-list");
    let push = |end: v1::ListEnd, texts: &[&'static str]| v1::ListPushRequest {
        key: key.clone(),
        end: end.into(),
        elements: items(texts),
        only_if_present: false,
        condition: None,
    };
    let range = |first, last| v1::ListRangeRequest {
        key: key.clone(),
        first,
        last,
    };
    let pop = |end: v1::ListEnd, count| v1::ListPopRequest {
        key: key.clone(),
        end: end.into(),
        count,
        condition: None,
    };
    let miss = is(Code::NotFound, "not_found");
    assert_eq!(good(list.pop(pop(Left, None))).await.elements.len(), 0);
    let only_if_present = v1::ListPushRequest {
        only_if_present: true,
        ..push(Left, &["a"])
    };
    let pushed = good(list.push(only_if_present)).await;
    assert_eq!(pushed, v1::ListPushResponse::default());
    let none = good(list.range(range(None, None))).await;
    assert_eq!(none, v1::ListRangeResponse::default());

    assert_eq!(good(list.push(push(Right, &["c", "d"]))).await.length, 2);
    let pushed = good(list.push(push(Left, &["b", "a"]))).await;
    assert_eq!(pushed.length, 4);
    let found = good(list.range(range(None, None))).await;
    assert_eq!(found.elements, items(&["a", "b", "c", "d"]));
    assert_eq!((&found.version, found.ttl_ms), (&pushed.version, None));
    let found = good(list.range(range(Some(1), Some(-2)))).await;
    assert_eq!(found.elements, items(&["b", "c"]));
    for refused in [
        failed(list.push(push(Left, &[]))).await,
        failed(list.push(push(Unspecified, &["a"]))).await,
        failed(list.pop(pop(Unspecified, None))).await,
    ] {
        assert_eq!(refused, is(Code::InvalidArgument, "missing_field"));
    }
    let length = || v1::ListLengthRequest { key: key.clone() };
    assert_eq!(good(list.length(length())).await.length, 4);
    let index = |place| v1::ListIndexRequest {
        key: key.clone(),
        place,
    };
    assert_eq!(&good(list.index(index(-1))).await.element[..], b"d");
    assert_eq!(failed(list.index(index(4))).await, miss);

    let set = |place| v1::ListSetRequest {
        key: key.clone(),
        place,
        element: Bytes::from_static(b"B"),
        condition: None,
    };
    good(list.set(set(1))).await;
    let refused = failed(list.set(set(4))).await;
    assert_eq!(refused, is(Code::OutOfRange, "index_out_of_range"));
    let insert = |pivot: &'static str, behind| v1::ListInsertRequest {
        key: key.clone(),
        pivot: Bytes::from_static(pivot.as_bytes()),
        element: Bytes::from_static(b"B"),
        behind,
        condition: None,
    };
    assert_eq!(good(list.insert(insert("c", true))).await.length, 5);
    assert_eq!(good(list.insert(insert("a", false))).await.length, 6);
    assert_eq!(failed(list.insert(insert("x", false))).await, miss);
    let found = good(list.range(range(None, None))).await.elements;
    assert_eq!(found, items(&["B", "a", "B", "c", "B", "d"]));
    let position = |rank, count| v1::ListPositionRequest {
        key: key.clone(),
        element: Bytes::from_static(b"B"),
        rank,
        count,
        length_max: None,
    };
    assert_eq!(good(list.position(position(None, None))).await.places, [0]);
    let places = good(list.position(position(Some(-1), Some(0))))
        .await
        .places;
    assert_eq!(places, [4, 2, 0]);
    assert_eq!(
        good(list.position(position(Some(4), None))).await.places,
        [0; 0]
    );
    let refused = failed(list.position(position(Some(0), None))).await;
    assert_eq!(refused, is(Code::InvalidArgument, "invalid_rank"));
    let remove = v1::ListRemoveRequest {
        key: key.clone(),
        element: Bytes::from_static(b"B"),
        count: -2,
        condition: None,
    };
    assert_eq!(good(list.remove(remove)).await.removed, 2);
    let rotate = |from: v1::ListEnd, to: v1::ListEnd| v1::ListRotateRequest {
        key: key.clone(),
        from: from.into(),
        to: to.into(),
        condition: None,
    };
    assert_eq!(
        &good(list.rotate(rotate(Right, Left))).await.element[..],
        b"d"
    );
    let found = good(list.range(range(None, None))).await.elements;
    assert_eq!(found, items(&["d", "B", "a", "c"]));
    let trim = v1::ListTrimRequest {
        key: key.clone(),
        first: Some(1),
        last: None,
        condition: None,
    };
    good(list.trim(trim)).await;
    let popped = good(list.pop(pop(Right, Some(2)))).await.elements;
    assert_eq!(popped, items(&["c", "a"]));
    assert_eq!(
        good(list.pop(pop(Left, None))).await.elements,
        items(&["B"])
    );
    // It is gone with its last element.
    assert_eq!(failed(list.set(set(0))).await, miss);
    assert_eq!(failed(list.insert(insert("a", true))).await, miss);
    assert_eq!(failed(list.rotate(rotate(Left, Right))).await, miss);

    let replace = |texts: &[&'static str], condition| v1::ListReplaceRequest {
        key: key.clone(),
        elements: items(texts),
        ttl_ms: Some(60_000),
        condition,
    };
    assert!(good(list.replace(replace(&["x"], absent()))).await.created);
    let replaced = good(list.replace(replace(&["y", "z"], present()))).await;
    assert!(!replaced.created);
    let found = good(list.range(range(None, None))).await;
    assert_eq!(found.elements, items(&["y", "z"]));
    assert!(found.ttl_ms.is_some() && found.version == replaced.version);
    let refused = failed(list.replace(replace(&[], None))).await;
    assert_eq!(refused, is(Code::InvalidArgument, "missing_field"));
    let delete = || v1::ListDeleteRequest {
        key: key.clone(),
        condition: None,
    };
    assert!(good(list.delete(delete())).await.deleted);
    assert!(!good(list.delete(delete())).await.deleted);
}
