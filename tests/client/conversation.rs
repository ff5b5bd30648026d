//! Every method of the trait, and every error that a node can give for it.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use smache::client::{
    Cache, Condition, End, Error, Lifetime, PutOptions, Reply, Request, Response,
};

use crate::client::patient;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Bus {
    line: u32,
    stops: Vec<String>,
}

/// Talks about keys that begin so.
pub(crate) async fn converse(cache: &impl Cache, stem: &str) {
    documents(cache, &format!("{stem}:doc")).await;
    conditions(cache, &format!("{stem}:if")).await;
    scalars(cache, stem).await;
    sets(cache, &format!("{stem}:set")).await;
    hashes(cache, &format!("{stem}:hash")).await;
    lists(cache, &format!("{stem}:list")).await;
    lifetimes(cache, &format!("{stem}:life")).await;
    commands(cache, &format!("{stem}:raw")).await;
    keys(cache, stem).await;
    arguments(cache, stem).await;
}

/// What a call that must succeed answers.
async fn good<T>(call: impl Future<Output = Result<T, Error>>) -> T {
    patient("an answer", call).await.unwrap()
}

/// What a call that must fail is told.
async fn fails<T: std::fmt::Debug>(call: impl Future<Output = Result<T, Error>>) -> Error {
    patient("an error", call).await.unwrap_err()
}

fn for_a_while() -> PutOptions {
    PutOptions {
        ttl: Some(Duration::from_secs(100)),
        ..PutOptions::default()
    }
}

fn only_if(condition: Condition) -> PutOptions {
    PutOptions {
        condition,
        ..PutOptions::default()
    }
}

async fn documents(cache: &impl Cache, key: &str) {
    let bus = Bus {
        line: 4,
        stops: vec!["Ost".to_owned(), "West\n\"\u{1F68C}\"".to_owned()],
    };
    assert_eq!(good(cache.get::<Bus>(key)).await, None);
    let version = good(cache.put(key, &bus)).await;
    assert_eq!(good(cache.get::<Bus>(key)).await, Some(bus));
    let found = good(cache.get_versioned::<Bus>(key)).await.unwrap();
    assert_eq!((found.version, found.ttl), (version, None));

    let merged: Value = good(cache.merge(key, &json!({"line": 5, "stops": null}))).await;
    assert_eq!(merged, json!({"line": 5}));
    let lines: Option<Vec<u32>> = good(cache.query(key, "$.line")).await;
    assert_eq!(lines, Some(vec![5]));
    let wrong = fails(cache.get::<Bus>(key)).await;
    assert!(matches!(wrong, Error::Type(_)), "{wrong:?}");

    good(cache.put_with(key, "short", for_a_while())).await;
    let found = good(cache.get_versioned::<String>(key)).await.unwrap();
    assert_eq!(found.value, "short");
    assert!(found.ttl.unwrap() <= Duration::from_secs(100));
    assert!(good(cache.delete(key)).await);
    assert!(!good(cache.delete(key)).await);
    assert_eq!(good(cache.query::<u32>(key, "$.line")).await, None);

    // Longer than one frame of the wire.
    let long = "x".repeat(3_000_000);
    good(cache.put(key, &long)).await;
    assert_eq!(good(cache.get::<String>(key)).await, Some(long));
    assert!(good(cache.delete(key)).await);
}

async fn conditions(cache: &impl Cache, key: &str) {
    let absent = only_if(Condition::Absent);
    let first = good(cache.put_with(key, &1, absent.clone())).await;
    let taken = fails(cache.put_with(key, &2, absent)).await;
    assert_eq!(taken, Error::Condition(Some(first)));
    let unchanged = only_if(Condition::VersionIn(vec![first]));
    let second = good(cache.put_with(key, &2, unchanged.clone())).await;
    assert_ne!(first, second);
    let late = fails(cache.put_with(key, &3, unchanged)).await;
    assert_eq!(late, Error::Condition(Some(second)));
    let other = Condition::VersionNotIn(vec![second]);
    let kept = fails(cache.delete_if(key, other)).await;
    assert_eq!(kept, Error::Condition(Some(second)));
    assert!(good(cache.delete_if(key, Condition::Present)).await);
    let gone = fails(cache.put_with(key, &4, only_if(Condition::Present))).await;
    assert_eq!(gone, Error::Condition(None));
}

async fn scalars(cache: &impl Cache, stem: &str) {
    let key = format!("{stem}:bytes");
    assert_eq!(good(cache.get_bytes(&key)).await, None);
    let binary = Bytes::from_static(b"\xff\0\r\n");
    good(cache.put_bytes(&key, binary.clone(), for_a_while())).await;
    assert_eq!(good(cache.get_bytes(&key)).await, Some(binary));
    let shown: Option<Value> = good(cache.get(&key)).await;
    assert_eq!(shown, Some(json!({"base64": "/wANCg=="})));

    let key = format!("{stem}:counter");
    assert_eq!(good(cache.counter(&key)).await, None);
    assert_eq!(good(cache.increment(&key, 5)).await, 5);
    assert_eq!(good(cache.increment(&key, -7)).await, -2);
    assert_eq!(good(cache.counter(&key)).await, Some(-2));
    good(cache.set_counter(&key, i64::MAX, PutOptions::default())).await;
    let beyond = fails(cache.increment(&key, 1)).await;
    assert!(matches!(beyond, Error::Overflow(_)), "{beyond:?}");
    assert_eq!(good(cache.counter(&key)).await, Some(i64::MAX));

    let key = format!("{stem}:flag");
    assert_eq!(good(cache.flag(&key)).await, None);
    for is_set in [true, false] {
        good(cache.set_flag(&key, is_set, PutOptions::default())).await;
        assert_eq!(good(cache.flag(&key)).await, Some(is_set));
    }
    let counted = fails(cache.counter(&key)).await;
    assert!(matches!(counted, Error::WrongType(_)), "{counted:?}");

    let key = format!("{stem}:words");
    good(cache.put_bytes(&key, "no number", PutOptions::default())).await;
    let sum = fails(cache.increment(&key, 1)).await;
    assert!(matches!(sum, Error::NotANumber(_)), "{sum:?}");
    let flag = fails(cache.flag(&key)).await;
    assert!(matches!(flag, Error::WrongType(_)), "{flag:?}");
}

async fn sets(cache: &impl Cache, key: &str) {
    assert!(good(cache.set_members(key)).await.is_empty());
    assert!(!good(cache.set_contains(key, "a")).await);
    assert_eq!(good(cache.set_add(key, ["a", "b", "a"])).await, 2);
    assert_eq!(good(cache.set_add(key, ["b", "c"])).await, 1);
    assert!(good(cache.set_contains(key, "c")).await);
    assert_eq!(good(cache.set_length(key)).await, 3);
    assert_eq!(good(cache.set_remove(key, ["c", "d"])).await, 1);
    let members: BTreeSet<Bytes> = good(cache.set_members(key)).await.into_iter().collect();
    assert_eq!(members, BTreeSet::from(["a".into(), "b".into()]));
    let wrong = fails(cache.hash_length(key)).await;
    assert!(matches!(wrong, Error::WrongType(_)), "{wrong:?}");
}

async fn hashes(cache: &impl Cache, key: &str) {
    assert_eq!(good(cache.hash_get(key, "f")).await, None);
    assert!(good(cache.hash_get_all(key)).await.is_empty());
    let fields = [("f", "1"), ("g", "two")];
    assert_eq!(good(cache.hash_set(key, fields)).await, 2);
    assert_eq!(good(cache.hash_increment(key, "f", 4)).await, 5);
    assert_eq!(good(cache.hash_get(key, "f")).await, Some("5".into()));
    let number = fails(cache.hash_increment(key, "g", 1)).await;
    assert!(matches!(number, Error::NotANumber(_)), "{number:?}");
    assert_eq!(good(cache.hash_length(key)).await, 2);
    let all = HashMap::from([("f".into(), "5".into()), ("g".into(), "two".into())]);
    assert_eq!(good(cache.hash_get_all(key)).await, all);
    assert_eq!(good(cache.hash_remove(key, ["f", "h"])).await, 1);
    assert_eq!(good(cache.hash_get(key, "f")).await, None);
}

async fn lists(cache: &impl Cache, key: &str) {
    assert_eq!(good(cache.list_pop(key, End::Left)).await, None);
    assert!(good(cache.list_range(key, 0, -1)).await.is_empty());
    assert_eq!(good(cache.list_push(key, End::Right, ["b", "c"])).await, 2);
    assert_eq!(good(cache.list_push(key, End::Left, ["a"])).await, 3);
    let all = ["a", "b", "c"].map(Bytes::from);
    assert_eq!(good(cache.list_range(key, 0, -1)).await, all);
    assert_eq!(good(cache.list_range(key, -2, 1)).await, all[1..2]);
    assert_eq!(
        good(cache.list_pop(key, End::Right)).await,
        Some("c".into())
    );
    assert_eq!(good(cache.list_pop(key, End::Left)).await, Some("a".into()));
    assert_eq!(good(cache.list_length(key)).await, 1);
}

async fn lifetimes(cache: &impl Cache, key: &str) {
    assert_eq!(good(cache.lifetime(key)).await, None);
    let minute = Lifetime::For(Duration::from_secs(60));
    assert!(!good(cache.set_lifetime(key, minute)).await);
    good(cache.put(key, &1)).await;
    assert_eq!(good(cache.lifetime(key)).await, Some(Lifetime::Forever));
    assert!(good(cache.set_lifetime(key, minute)).await);
    let Some(Lifetime::For(left)) = good(cache.lifetime(key)).await else {
        panic!("it lives for ever");
    };
    assert!(left <= Duration::from_secs(60) && left > Duration::from_secs(20));
    assert!(good(cache.set_lifetime(key, Lifetime::Forever)).await);
    assert!(!good(cache.set_lifetime(key, Lifetime::Forever)).await);
}

async fn commands(cache: &impl Cache, key: &str) {
    let ok = Reply::Status("OK".to_owned());
    assert_eq!(good(cache.run(["SET", key, "5"])).await, ok);
    assert_eq!(good(cache.run(["incr", key])).await, Reply::Integer(6));
    let got = good(cache.run(["GET", key])).await;
    assert_eq!(got, Reply::Bytes("6".into()));
    assert_eq!(good(cache.run(["GET", "nothing"])).await, Reply::Nil);
    let wrong = fails(cache.run(["LPUSH", key, "a"])).await;
    let Error::WrongType(text) = wrong else {
        panic!("{wrong:?}");
    };
    assert!(text.starts_with("WRONGTYPE "), "{text}");
    for (words, begins) in [
        (&["NOSUCH", "a"][..], "ERR unknown command"),
        (&["GET"], "ERR wrong number of arguments"),
        (&["SUBSCRIBE", "a"], "ERR "),
    ] {
        let error = fails(cache.run(words.iter().copied())).await;
        let Error::Refused(text) = error else {
            panic!("{error:?}");
        };
        assert!(text.starts_with(begins), "{text}");
    }
}

async fn keys(cache: &impl Cache, stem: &str) {
    let key = |number: u32| format!("{stem}:key:{number}");
    let puts = (0..300).map(|number| {
        let key = key(number);
        async move { cache.put(&key, &number).await }
    });
    for put in futures_util::future::join_all(puts).await {
        put.unwrap();
    }
    let found = cache.keys(format!("{stem}:key:*")).try_collect::<Vec<_>>();
    let found = good(found).await;
    let distinct: BTreeSet<Bytes> = found.iter().cloned().collect();
    let wanted: BTreeSet<Bytes> = (0..300).map(|number| key(number).into()).collect();
    assert_eq!(distinct, wanted);
    assert_eq!(found.len(), wanted.len(), "each comes once");
}

async fn arguments(cache: &impl Cache, stem: &str) {
    let long = "k".repeat(5_000);
    let none: [&str; 0] = [];
    let never = PutOptions {
        ttl: Some(Duration::ZERO),
        ..PutOptions::default()
    };
    let not_json = Request::Put {
        key: stem.to_owned(),
        value: smache::client::Stored::Json("{".into()),
        options: PutOptions::default(),
    };
    for error in [
        fails(cache.get::<Value>("")).await,
        fails(cache.get::<Value>(&long)).await,
        fails(cache.put_with("k", &1, never)).await,
        fails(cache.set_add("k", none)).await,
        fails(cache.query::<Value>("k", "no path")).await,
        fails(cache.query::<Value>("k", "$[")).await,
        fails(cache.call(not_json)).await,
    ] {
        assert!(matches!(error, Error::InvalidArgument(_)), "{error:?}");
    }
    let nothing = good(cache.call(Request::Get(format!("{stem}:no")))).await;
    assert_eq!(nothing, Response::Nothing);
}
