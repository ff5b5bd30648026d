//! What may come in as a path, a document and values: any bytes.
//!
//! Nothing panics or takes long, whatever they are. On a sound document a path that can be read
//! selects stretches of it that are JSON; a write leaves a document that is sound and compact, and
//! what it says it has done can be read back.
//!
//! An input is a path, a document and a value, apart by zero bytes; what is missing is made up.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use smache::command::Limits;
use smache::command::json::operation::{Answer, Change, Operation};
use smache::command::json::path::{self, Deleted, Error, Path, When};
use smache::command::json::{compact, is_object};

const DOCUMENT: &[u8] = br#"{"a":{"a":[1,2.50,{"b":"\u00e9","a":null}],"b":[[]]},"b":[3,"a"],"a":[true,{"c":-0}],"":{"":1e5}}"#;
const VALUE: &[u8] = br#"{"a":[1],"b":null}"#;
const LIMITS: Limits = Limits {
    value_bytes_max: 1 << 17,
    collection_bytes_max: 1 << 17,
    json_depth_max: 32,
    work_max: usize::MAX,
};

fn sound(text: &[u8]) -> Bytes {
    let text = Bytes::copy_from_slice(text);
    let compacted = compact(&text, LIMITS.json_depth_max).expect("it is JSON, and not too deep");
    assert_eq!(compacted, text, "it is compact");
    compacted
}

/// What each of these errors says, it says for a reason.
fn is_expected(error: &Error) -> bool {
    !matches!(error, Error::Syntax { .. } | Error::PathTooLong { .. })
}

fn reads(document: &[u8], path: &Path) -> Option<usize> {
    let selected = match path::select(document, path) {
        Ok(selected) => selected,
        Err(error) => {
            assert!(is_expected(&error), "{error}");
            return None;
        }
    };
    for value in &selected {
        sound(value);
    }
    let count = selected.len();
    if let Ok(answer) = path::get(document, std::slice::from_ref(path), &LIMITS) {
        let answer = Bytes::from(answer);
        compact(&answer, LIMITS.json_depth_max + 1).expect("it is JSON");
    }
    let paths = [path.clone(), Path::parse("$").expect("the root is a path")];
    if let Ok(answer) = path::get(document, &paths, &LIMITS) {
        assert!(is_object(&answer));
        compact(&answer.into(), LIMITS.json_depth_max + 2).expect("it is JSON");
    }
    for length in [
        path::types(document, path, &LIMITS).map(|types| types.len()),
        path::arr_len(document, path, &LIMITS).map(|lengths| lengths.len()),
        path::obj_keys(document, path, &LIMITS).map(|keys| keys.len()),
    ] {
        assert!(length.is_ok_and(|length| length == count) || count > 64);
    }
    Some(count)
}

fn writes(document: &[u8], path: &Path, value: &Bytes, count: usize) {
    for when in [When::Always, When::Absent, When::Present] {
        if let Ok(Some(left)) = path::set(document, path, value, when, &LIMITS) {
            sound(&left);
        }
    }
    match path::delete(document, path, &LIMITS) {
        Ok(Deleted::Some {
            count: gone,
            document: left,
        }) => {
            sound(&left);
            assert!(gone >= 1 && gone <= count);
            assert!(left.len() < document.len());
        }
        Ok(Deleted::Nothing) => assert_eq!(count, 0),
        Ok(Deleted::All) => assert!(path.is_root()),
        Err(error) => assert!(is_expected(&error), "{error}"),
    }
    if let Ok(Some(left)) = path::merge(document, path, value, &LIMITS) {
        sound(&left);
    }
    if let Ok(changed) = path::num_incr_by(document, path, b"1", &LIMITS) {
        assert_eq!(changed.each.len(), count);
        assert_eq!(
            changed.document.is_some(),
            changed.each.iter().any(Option::is_some)
        );
        changed.document.iter().for_each(|left| drop(sound(left)));
    }
    let values = [value.clone(), Bytes::from_static(b"0")];
    if let Ok(changed) = path::arr_append(document, path, &values, &LIMITS) {
        assert_eq!(changed.each.len(), count);
        assert_eq!(
            changed.document.is_some(),
            changed.each.iter().any(Option::is_some)
        );
        changed.document.iter().for_each(|left| drop(sound(left)));
    }
}

/// As a node carries them out that got them from another one.
fn operations(document: &[u8], path: &str, value: &Bytes) {
    let path = || path.to_owned();
    let by = String::from_utf8_lossy(value).into_owned();
    for operation in [
        Operation::Get {
            paths: vec![path()],
        },
        Operation::Set {
            path: path(),
            value: value.clone(),
            condition: When::Always,
        },
        Operation::Delete { path: path() },
        Operation::Merge {
            path: path(),
            patch: value.clone(),
        },
        Operation::Type { path: path() },
        Operation::NumIncrBy { path: path(), by },
        Operation::ArrAppend {
            path: path(),
            values: vec![value.clone()],
        },
        Operation::ArrLen { path: path() },
        Operation::ObjKeys { path: path() },
    ] {
        for document in [None, Some(document)] {
            let Ok((change, answer)) = operation.run(document, &LIMITS) else {
                continue;
            };
            if let Change::Put(left) = &change {
                sound(left);
            }
            assert!(change == Change::None || !operation.is_read());
            assert!(answer != Answer::Nothing || change == Change::None);
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(3, |byte| *byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let (path, document, value) = (part(), part(), part());
    let of = |text: &[u8], otherwise: &'static [u8]| {
        let text = Bytes::copy_from_slice(text);
        compact(&text, LIMITS.json_depth_max).unwrap_or(Bytes::from_static(otherwise))
    };
    let (document, value) = (of(document, DOCUMENT), of(value, VALUE));
    let read = match Path::parse_bytes(path) {
        Ok(read) => read,
        Err(Error::Syntax { at, .. }) => return assert!(at <= path.len()),
        Err(error) => return assert!(path.len() > path::PATH_BYTES_MAX, "{error}"),
    };
    assert_eq!(Path::parse(read.as_str()).as_ref(), Ok(&read));
    if let Some(count) = reads(&document, &read) {
        writes(&document, &read, &value, count);
    }
    operations(&document, read.as_str(), &value);
});
