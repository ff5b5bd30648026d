//! Values that are one thing: cache, counter, flag, kv, json.

use bytes::Bytes;
use smache::door::grpc::v1;
use tonic::Code;
use tonic::transport::Channel;

use crate::calls::{absent, failed, good, is, not_version, present, version};

pub(crate) async fn cache(channel: &Channel, stem: &str) {
    let mut cache = v1::cache_client::CacheClient::new(channel.clone());
    let key = format!("{stem}-{}", "cache");
    let get = || v1::CacheGetRequest { key: key.clone() };
    let set = |value: &'static [u8], ttl_ms, condition| v1::CacheSetRequest {
        key: key.clone(),
        value: Bytes::from_static(value),
        ttl_ms,
        condition,
    };
    let miss = is(Code::NotFound, "not_found");
    assert_eq!(failed(cache.get(get())).await, miss);

    let stored = good(cache.set(set(b"\xff\0", 60_000, None))).await;
    assert!(stored.created);
    let found = good(cache.get(get())).await;
    assert_eq!(
        (&found.value[..], &found.version),
        (&b"\xff\0"[..], &stored.version)
    );
    assert!(matches!(found.ttl_ms, Some(1..=60_000)), "{found:?}");

    // Without a time to live it is the service's own.
    let stored = good(cache.set(set(b"b", 0, version(&found.version)))).await;
    assert!(!stored.created);
    let found = good(cache.get(get())).await;
    assert!(matches!(found.ttl_ms, Some(1..=5_000)), "{found:?}");

    let aborted = is(Code::Aborted, "precondition_failed");
    assert_eq!(failed(cache.set(set(b"c", 0, absent()))).await, aborted);
    let empty = failed(cache.set(set(b"", 0, None))).await;
    assert_eq!(empty, is(Code::InvalidArgument, "missing_field"));

    let delete = |condition| v1::CacheDeleteRequest {
        key: key.clone(),
        condition,
    };
    let not_that = not_version(&found.version);
    assert_eq!(failed(cache.delete(delete(not_that))).await, aborted);
    assert!(good(cache.delete(delete(present()))).await.deleted);
    assert!(!good(cache.delete(delete(None))).await.deleted);
    assert_eq!(failed(cache.get(get())).await, miss);
}

/// A service works on the keys themselves, if that is asked for.
pub(crate) async fn whole_keys(channel: &Channel, stem: &str) {
    let mut counter = v1::counter_client::CounterClient::new(channel.clone());
    let mut json = v1::json_client::JsonClient::new(channel.clone());
    let key = format!("{stem}-whole");
    let as_said = |said: &'static str| {
        let key = key.clone();
        let amount = Some(3);
        let mut request = tonic::Request::new(v1::CounterIncrementRequest {
            key,
            amount,
            ..v1::CounterIncrementRequest::default()
        });
        let said = said.parse().unwrap();
        request.metadata_mut().insert("smache-keys", said);
        request
    };
    let sum = good(counter.increment(as_said("whole"))).await;
    assert_eq!((sum.value, sum.created), (3, true));
    let shown = good(json.get(v1::JsonGetRequest { key: key.clone() })).await;
    assert_eq!(shown.json, "3");
    let wrong = failed(counter.increment(as_said("half"))).await;
    assert_eq!(wrong, is(Code::InvalidArgument, "invalid_keys"));
    let prefixed = good(counter.get(v1::CounterGetRequest { key })).await;
    assert_eq!((prefixed.value, &prefixed.version[..]), (0, ""));
}

pub(crate) async fn counter(channel: &Channel, stem: &str) {
    let mut counter = v1::counter_client::CounterClient::new(channel.clone());
    let key = format!("{stem}-counter");
    let get = || v1::CounterGetRequest { key: key.clone() };
    let add = |amount, ttl_ms, condition| v1::CounterIncrementRequest {
        key: key.clone(),
        amount,
        ttl_ms,
        condition,
    };
    assert_eq!(
        good(counter.get(get())).await,
        v1::CounterGetResponse::default()
    );
    let added = good(counter.increment(add(Some(5), Some(60_000), absent()))).await;
    assert_eq!((added.value, added.created), (5, true));
    assert!(matches!(added.ttl_ms, Some(1..=60_000)), "{added:?}");
    let added = good(counter.increment(add(Some(-7), None, version(&added.version)))).await;
    assert_eq!((added.value, added.created), (-2, false));
    assert!(added.ttl_ms.is_some(), "a counter keeps its time to live");
    let found = good(counter.get(get())).await;
    assert_eq!((found.value, &found.version), (-2, &added.version));
    assert!(found.ttl_ms.is_some());

    let missing = failed(counter.increment(add(None, None, None))).await;
    assert_eq!(missing, is(Code::InvalidArgument, "missing_field"));
    let condition = failed(counter.increment(add(Some(1), None, absent()))).await;
    assert_eq!(condition, is(Code::Aborted, "precondition_failed"));

    let set = |value| v1::CounterSetRequest {
        key: key.clone(),
        value,
        ttl_ms: None,
        condition: None,
    };
    assert!(!good(counter.set(set(Some(i64::MAX)))).await.created);
    let overflow = failed(counter.increment(add(Some(1), None, None))).await;
    assert_eq!(overflow, is(Code::OutOfRange, "counter_overflow"));
    let found = good(counter.get(get())).await;
    assert_eq!((found.value, found.ttl_ms), (i64::MAX, None));
    let missing = failed(counter.set(set(None))).await;
    assert_eq!(missing, is(Code::InvalidArgument, "missing_field"));

    let delete = || v1::CounterDeleteRequest {
        key: key.clone(),
        condition: None,
    };
    assert!(good(counter.delete(delete())).await.deleted);
    assert!(!good(counter.delete(delete())).await.deleted);
    assert_eq!(good(counter.get(get())).await.value, 0);

    let float = || v1::CounterGetFloatRequest { key: key.clone() };
    assert_eq!(good(counter.get_float(float())).await.value, "0");
    let add_float = |amount: &str, condition| v1::CounterIncrementFloatRequest {
        key: key.clone(),
        amount: amount.to_owned(),
        condition,
    };
    for (amount, sum) in [("0.1", "0.1"), ("0.2", "0.3"), ("-1e1", "-9.7")] {
        let added = good(counter.increment_float(add_float(amount, None))).await;
        assert_eq!((&added.value[..], added.ttl_ms), (sum, None));
        let found = good(counter.get_float(float())).await;
        assert_eq!((found.value, found.version), (added.value, added.version));
    }
    let refused = is(Code::FailedPrecondition, "not_a_number");
    assert_eq!(failed(counter.get(get())).await, refused);
    let adding = counter.increment(add(Some(1), None, None));
    assert_eq!(failed(adding).await, refused);
    for (amount, code) in [("", "missing_field"), ("x", "invalid_increment")] {
        let refused = failed(counter.increment_float(add_float(amount, None))).await;
        assert_eq!(refused, is(Code::InvalidArgument, code), "{amount}");
    }
    let condition = failed(counter.increment_float(add_float("1", absent()))).await;
    assert_eq!(condition, is(Code::Aborted, "precondition_failed"));
    good(counter.increment_float(add_float("9.7", None))).await;
    assert_eq!(good(counter.get(get())).await.value, 0);
    assert!(good(counter.delete(delete())).await.deleted);
}

pub(crate) async fn flag(channel: &Channel, stem: &str) {
    let mut flag = v1::flag_client::FlagClient::new(channel.clone());
    let key = format!("{stem}-flag");
    let get = || v1::FlagGetRequest { key: key.clone() };
    let set = |value, condition| v1::FlagSetRequest {
        key: key.clone(),
        value,
        ttl_ms: Some(60_000),
        condition,
    };
    assert_eq!(good(flag.get(get())).await, v1::FlagGetResponse::default());
    let stored = good(flag.set(set(Some(true), absent()))).await;
    assert!(stored.created);
    let found = good(flag.get(get())).await;
    assert_eq!((found.value, &found.version), (true, &stored.version));
    assert!(matches!(found.ttl_ms, Some(1..=60_000)), "{found:?}");
    assert!(!good(flag.set(set(Some(false), present()))).await.created);
    assert!(!good(flag.get(get())).await.value);
    let missing = failed(flag.set(set(None, None))).await;
    assert_eq!(missing, is(Code::InvalidArgument, "missing_field"));
    let delete = || v1::FlagDeleteRequest {
        key: key.clone(),
        condition: None,
    };
    assert!(good(flag.delete(delete())).await.deleted);
    assert!(!good(flag.delete(delete())).await.deleted);
}

pub(crate) async fn kv(channel: &Channel, stem: &str) {
    let mut kv = v1::kv_client::KvClient::new(channel.clone());
    let key = format!("{stem}-kv");
    let get = || v1::KvGetRequest { key: key.clone() };
    let put = |value: Option<&'static [u8]>, ttl_ms, condition| v1::KvPutRequest {
        key: key.clone(),
        value: value.map(Bytes::from_static),
        ttl_ms,
        condition,
    };
    let miss = is(Code::NotFound, "not_found");
    assert_eq!(failed(kv.get(get())).await, miss);
    let stored = good(kv.put(put(Some(b""), None, absent()))).await;
    assert!(stored.created);
    let found = good(kv.get(get())).await;
    assert_eq!((found.value.len(), found.ttl_ms), (0, None));
    assert_eq!(found.version, stored.version);
    assert!(
        !good(kv.put(put(Some(b"\x80v"), Some(9_000), None)))
            .await
            .created
    );
    let found = good(kv.get(get())).await;
    assert_eq!(&found.value[..], b"\x80v");
    assert!(matches!(found.ttl_ms, Some(1..=9_000)), "{found:?}");
    let missing = failed(kv.put(put(None, None, None))).await;
    assert_eq!(missing, is(Code::InvalidArgument, "missing_field"));
    let ttl = failed(kv.put(put(Some(b"v"), Some(0), None))).await;
    assert_eq!(ttl, is(Code::InvalidArgument, "invalid_ttl"));
    let old = failed(kv.put(put(Some(b"v"), None, version(&stored.version)))).await;
    assert_eq!(old, is(Code::Aborted, "precondition_failed"));
    let delete = || v1::KvDeleteRequest {
        key: key.clone(),
        condition: None,
    };
    assert!(good(kv.delete(delete())).await.deleted);
    assert!(!good(kv.delete(delete())).await.deleted);
    assert_eq!(failed(kv.get(get())).await, miss);
}

pub(crate) async fn json(channel: &Channel, stem: &str) {
    let mut json = v1::json_client::JsonClient::new(channel.clone());
    let key = format!("{stem}-json");
    let get = |key: &str| v1::JsonGetRequest {
        key: key.to_owned(),
    };
    let put = |text: &str, ttl_ms, condition| v1::JsonPutRequest {
        key: key.clone(),
        json: text.to_owned(),
        ttl_ms,
        condition,
    };
    let merge = |patch: &str, condition| v1::JsonMergeRequest {
        key: key.clone(),
        patch: patch.to_owned(),
        condition,
    };
    let miss = is(Code::NotFound, "not_found");
    assert_eq!(failed(json.get(get(&key))).await, miss);

    let stored = good(json.put(put("{ \"n\": 1.0,\n\"m\": [] }", Some(60_000), absent()))).await;
    assert!(stored.created);
    let found = good(json.get(get(&key))).await;
    assert_eq!(found.json, "{\"n\":1.0,\"m\":[]}");
    assert_eq!(
        (found.r#type(), &found.version),
        (v1::ValueType::Json, &stored.version)
    );
    assert!(
        !found.node.is_empty() && found.node == stored.node,
        "{found:?}"
    );
    assert!(matches!(found.ttl_ms, Some(1..=60_000)), "{found:?}");

    let merged = good(json.merge(merge(
        "{\"m\":null,\"o\":{\"p\":1}}",
        version(&found.version),
    )))
    .await;
    assert_eq!(merged.json, "{\"n\":1.0,\"o\":{\"p\":1}}");
    assert!(!merged.created && merged.ttl_ms.is_some(), "{merged:?}");
    assert_eq!(merged.node, found.node);
    let again = failed(json.merge(merge("{}", version(&found.version)))).await;
    assert_eq!(again, is(Code::Aborted, "precondition_failed"));

    for (text, error) in [
        ("", "missing_field"),
        ("{", "invalid_json"),
        ("{\"a\":\"\\ud800\"}", "invalid_json"),
    ] {
        let refused = failed(json.put(put(text, None, None))).await;
        assert_eq!(refused, is(Code::InvalidArgument, error), "{text}");
        let refused = failed(json.merge(merge(text, None))).await;
        assert_eq!(refused, is(Code::InvalidArgument, error), "{text}");
    }
    let deep = "[".repeat(129) + &"]".repeat(129);
    let refused = failed(json.put(put(&deep, None, None))).await;
    assert_eq!(refused, is(Code::InvalidArgument, "too_deep"));

    // Other doors' keys, and other services' values.
    assert!(!good(json.put(put("[1,2]", None, None))).await.created);
    let mut counter = v1::counter_client::CounterClient::new(channel.clone());
    let add = v1::CounterIncrementRequest {
        key: key.clone(),
        amount: Some(42),
        ..Default::default()
    };
    good(counter.increment(add)).await;
    let found = good(json.get(get(&format!("counters:{key}")))).await;
    assert_eq!(
        (&found.json[..], found.r#type()),
        ("42", v1::ValueType::Counter)
    );
    let mut kv = v1::kv_client::KvClient::new(channel.clone());
    for (bytes, text) in [
        (&b"a\"b"[..], "\"a\\\"b\""),
        (b"\xff", "{\"base64\":\"/w==\"}"),
    ] {
        let put = v1::KvPutRequest {
            key: key.clone(),
            value: Some(Bytes::from_static(bytes)),
            ..Default::default()
        };
        good(kv.put(put)).await;
        let found = good(json.get(get(&format!("kv:{key}")))).await;
        assert_eq!(
            (&found.json[..], found.r#type()),
            (text, v1::ValueType::Bytes)
        );
    }

    let delete = || v1::JsonDeleteRequest {
        key: key.clone(),
        condition: present(),
    };
    assert!(good(json.delete(delete())).await.deleted);
    let absent = failed(json.delete(delete())).await;
    assert_eq!(absent, is(Code::Aborted, "precondition_failed"));
}

pub(crate) async fn json_at(channel: &Channel, stem: &str) {
    let mut json = v1::json_client::JsonClient::new(channel.clone());
    let key = format!("{stem}-json-at");
    let query = |path: &str| v1::JsonQueryRequest {
        key: key.clone(),
        path: path.to_owned(),
    };
    let set = |path: &str, text: &str, at_path: v1::Presence| v1::JsonSetAtRequest {
        key: key.clone(),
        path: path.to_owned(),
        json: text.to_owned(),
        at_path: at_path.into(),
        condition: None,
    };
    use v1::Presence::{Absent, Present, Unspecified};
    let miss = is(Code::NotFound, "not_found");
    assert_eq!(failed(json.query(query("$.a"))).await, miss);
    let refused = failed(json.set_at(set("$.a", "1", Unspecified))).await;
    assert_eq!(refused, is(Code::FailedPrecondition, "path_mismatch"));
    assert!(!good(json.set_at(set("$", "1", Present))).await.written);
    let document = "{\"a\": 1, \"l\": [1, 2.50], \"o\": {\"a\": \"x\"}}";
    let stored = good(json.set_at(set("$", document, Absent))).await;
    assert!(stored.written);
    let found = good(json.query(query("$..a"))).await;
    assert_eq!(
        (&found.json[..], &found.version),
        ("[1,\"x\"]", &stored.version)
    );
    assert_eq!(good(json.query(query("$.none"))).await.json, "[]");
    for path in ["a", ".a", "", "$.[", "$["] {
        let refused = failed(json.query(query(path))).await;
        assert_eq!(refused, is(Code::InvalidArgument, "invalid_path"), "{path}");
    }

    assert!(
        good(json.set_at(set("$.o.b", "true", Absent)))
            .await
            .written
    );
    assert!(
        !good(json.set_at(set("$.o.b", "false", Absent)))
            .await
            .written
    );
    assert!(
        !good(json.set_at(set("$.none.b", "1", Unspecified)))
            .await
            .written
    );
    let merge = v1::JsonMergeAtRequest {
        key: key.clone(),
        path: "$.o".to_owned(),
        patch: "{\"b\":null,\"c\":{}}".to_owned(),
        condition: None,
    };
    assert!(good(json.merge_at(merge)).await.written);
    assert_eq!(
        good(json.query(query("$.o"))).await.json,
        "[{\"a\":\"x\",\"c\":{}}]"
    );

    let add = |path: &str, amount: &str, condition| v1::JsonIncrementAtRequest {
        key: key.clone(),
        path: path.to_owned(),
        amount: amount.to_owned(),
        condition,
    };
    let sums = good(json.increment_at(add("$..a", "0.5", None))).await;
    assert_eq!(sums.json, "[1.5,null]");
    for amount in ["one", "\"1\"", "[1]"] {
        let refused = failed(json.increment_at(add("$.a", amount, None))).await;
        assert_eq!(refused.0, Code::InvalidArgument, "{amount}");
    }
    let old = failed(json.increment_at(add("$.a", "1", version(&stored.version)))).await;
    assert_eq!(old, is(Code::Aborted, "precondition_failed"));
    let append = |texts: &[&str]| v1::JsonAppendAtRequest {
        key: key.clone(),
        path: "$[\"l\",\"o\"]".to_owned(),
        elements: texts.iter().map(|&text| text.to_owned()).collect(),
        condition: None,
    };
    let appended = good(json.append_at(append(&["3", "[ ]"]))).await;
    let lengths: Vec<_> = appended.lengths.iter().map(|one| one.length).collect();
    assert_eq!(lengths, [Some(4), None]);
    let refused = failed(json.append_at(append(&[]))).await;
    assert_eq!(refused, is(Code::InvalidArgument, "missing_field"));
    assert_eq!(good(json.query(query("$.l"))).await.json, "[[1,2.50,3,[]]]");

    let (path, asked) = ("$.*".to_owned(), key.clone());
    let types = v1::JsonTypesAtRequest { key: asked, path };
    let types = good(json.types_at(types)).await.types;
    assert_eq!(types, ["number", "array", "object"]);
    let (path, asked) = ("$.*".to_owned(), key.clone());
    let lengths = v1::JsonLengthsAtRequest { key: asked, path };
    let lengths = good(json.lengths_at(lengths)).await.lengths;
    let lengths: Vec<_> = lengths.iter().map(|one| one.length).collect();
    assert_eq!(lengths, [None, Some(4), None]);
    let (path, asked) = ("$.*".to_owned(), key.clone());
    let names = v1::JsonNamesAtRequest { key: asked, path };
    let names = good(json.names_at(names)).await.names;
    let names: Vec<_> = names
        .iter()
        .map(|one| (one.is_object, &one.names[..]))
        .collect();
    let both = ["a".to_owned(), "c".to_owned()];
    assert_eq!(names, [(false, &[][..]), (false, &[]), (true, &both)]);

    let delete = |path: &str| v1::JsonDeleteAtRequest {
        key: key.clone(),
        path: path.to_owned(),
        condition: None,
    };
    assert_eq!(good(json.delete_at(delete("$.l[0,1]"))).await.deleted, 2);
    let deleted = good(json.delete_at(delete("$"))).await;
    assert_eq!((deleted.deleted, &deleted.version[..]), (1, ""));
    assert_eq!(good(json.delete_at(delete("$"))).await.deleted, 0);
    let (path, key) = ("$".to_owned(), key.clone());
    let types = v1::JsonTypesAtRequest { key, path };
    assert_eq!(failed(json.types_at(types)).await, miss);
}
