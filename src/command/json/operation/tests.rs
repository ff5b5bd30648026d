//! What each operation answers, for JSONPaths and legacy ones, with a document and without.

use super::*;

const LIMITS: Limits = Limits {
    value_bytes_max: 1 << 20,
    collection_bytes_max: 1 << 20,
    json_depth_max: 128,
    work_max: usize::MAX,
};

const DOCUMENT: &str =
    r#"{"a":2,"b":{"a":5.0,"c":[1,"x"]},"d":{"a":"s","e":{}},"f":{"a":[3,4]},"g":null}"#;

fn run(operation: &Operation, document: Option<&str>) -> Result<(Change, Answer), Error> {
    operation.run(document.map(str::as_bytes), &LIMITS)
}

/// The answer to an operation that changes nothing.
fn answer(operation: &Operation, document: Option<&str>) -> Result<Answer, Error> {
    let (change, answer) = run(operation, document)?;
    assert_eq!(change, Change::None, "{operation:?}");
    Ok(answer)
}

fn changed(document: &str, answer: Answer) -> Result<(Change, Answer), Error> {
    Ok((Change::Put(document.to_owned().into()), answer))
}

fn text(text: &str) -> Answer {
    Answer::Text(text.to_owned().into())
}

fn bytes(items: &[&str]) -> Vec<Bytes> {
    items
        .iter()
        .map(|item| Bytes::from((*item).to_owned()))
        .collect()
}

fn texts(items: &[&str]) -> Answer {
    Answer::List(bytes(items).into_iter().map(Element::Text).collect())
}

fn names(items: &[&str]) -> Element {
    Element::Names(bytes(items))
}

fn missing(path: &str) -> Error {
    let path = path.to_owned();
    Error::Missing { path }
}

fn mismatch(path: &str, expected: Expected) -> Error {
    let path = path.to_owned();
    Error::Mismatch { path, expected }
}

const SOME: Option<&str> = Some(DOCUMENT);

#[test]
fn get() {
    let get = |paths: &[&str]| Operation::Get {
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
    };
    for (paths, expected) in [
        (&[][..], DOCUMENT),
        (&["."], DOCUMENT),
        (&["$..a"], r#"[2,5.0,"s",[3,4]]"#),
        (&["$.x"], "[]"),
        (&["..a"], "2"),
        (&["b.c"], r#"[1,"x"]"#),
        (&["a", ".g"], r#"{"a":2,".g":null}"#),
        (&["a", "$.x"], r#"{"a":[2],"$.x":[]}"#),
    ] {
        assert_eq!(answer(&get(paths), SOME), Ok(text(expected)), "{paths:?}");
        assert_eq!(answer(&get(paths), None), Ok(Answer::Nothing), "{paths:?}");
    }
    assert_eq!(answer(&get(&[".x"]), SOME), Err(missing(".x")));
    assert_eq!(answer(&get(&["a", "b.x"]), SOME), Err(missing("b.x")));
    let bad = answer(&get(&["$.a", "$["]), None);
    assert!(matches!(bad, Err(Error::Syntax { at: 2, .. })));
}

#[test]
fn set() {
    let set = |path: &str, condition| Operation::Set {
        path: path.to_owned(),
        value: Bytes::from_static(b"[1.0]"),
        condition,
    };
    let nothing = || Ok((Change::None, Answer::Nothing));
    let ok = |document| changed(document, Answer::Ok);
    for root in ["$", ".", ""] {
        assert_eq!(run(&set(root, When::Always), None), ok("[1.0]"));
        assert_eq!(run(&set(root, When::Absent), None), ok("[1.0]"));
        assert_eq!(run(&set(root, When::Present), None), nothing());
        assert_eq!(run(&set(root, When::Always), SOME), ok("[1.0]"));
        assert_eq!(run(&set(root, When::Absent), SOME), nothing());
        assert_eq!(run(&set(root, When::Present), SOME), ok("[1.0]"));
    }
    for path in ["$.a", "a", "$..a"] {
        assert_eq!(run(&set(path, When::Always), None), Err(Error::NotAtRoot));
        assert_eq!(run(&set(path, When::Absent), None), Err(Error::NotAtRoot));
        assert_eq!(run(&set(path, When::Present), None), nothing());
    }
    let document = Some(r#"{"a":{"b":1}}"#);
    for (path, condition, left) in [
        ("$.a.b", When::Always, Some(r#"{"a":{"b":[1.0]}}"#)),
        ("$.a.b", When::Absent, None),
        ("a.c", When::Absent, Some(r#"{"a":{"b":1,"c":[1.0]}}"#)),
        ("a.c", When::Present, None),
        ("a.c.d", When::Always, None),
    ] {
        let expected = left.map_or_else(nothing, ok);
        assert_eq!(run(&set(path, condition), document), expected, "{path}");
    }
    assert_eq!(
        run(&set("$..c", When::Always), document),
        Err(Error::NotStatic)
    );
}

#[test]
fn delete() {
    let delete = |path: &str| Operation::Delete {
        path: path.to_owned(),
    };
    let count = Answer::Integer;
    for path in ["$", ".", "$..a", ".x"] {
        assert_eq!(answer(&delete(path), None), Ok(count(0)), "{path}");
    }
    for root in ["$", "."] {
        assert_eq!(run(&delete(root), SOME), Ok((Change::Delete, count(1))));
    }
    assert_eq!(answer(&delete("$.x"), SOME), Ok(count(0)));
    assert_eq!(answer(&delete("x"), SOME), Ok(count(0)));
    assert_eq!(
        run(&delete("$..a"), SOME),
        changed(
            r#"{"b":{"c":[1,"x"]},"d":{"e":{}},"f":{},"g":null}"#,
            count(4)
        )
    );
}

#[test]
fn merge() {
    let merge = |path: &str, patch: &'static str| Operation::Merge {
        path: path.to_owned(),
        patch: Bytes::from_static(patch.as_bytes()),
    };
    let ok = |document| changed(document, Answer::Ok);
    assert_eq!(
        run(&merge("$", r#"{"a":1,"b":null}"#), None),
        ok(r#"{"a":1}"#)
    );
    assert_eq!(run(&merge("$.a", "1"), None), Err(Error::NotAtRoot));
    let document = Some(r#"{"a":{"b":1}}"#);
    for (path, patch, left) in [
        ("$", r#"{"a":{"c":2}}"#, r#"{"a":{"b":1,"c":2}}"#),
        ("$.a", r#"{"b":null}"#, r#"{"a":{}}"#),
        (".a.b", "null", r#"{"a":{}}"#),
        ("$.d", "8", r#"{"a":{"b":1},"d":8}"#),
    ] {
        assert_eq!(
            run(&merge(path, patch), document),
            ok(left),
            "{path} {patch}"
        );
    }
    let nothing = Ok((Change::None, Answer::Nothing));
    assert_eq!(run(&merge("$.x.y", "1"), document), nothing);
    let nothing = Ok((Change::None, Answer::Nothing));
    assert_eq!(run(&merge("$.x", "null"), document), nothing);
    assert_eq!(
        run(&merge("$[0]", "1"), document),
        Err(Error::IndexOutOfRange)
    );
}

#[test]
fn types() {
    let types = |path: &str| Operation::Type {
        path: path.to_owned(),
    };
    let ok = |names: &[&str]| Ok(texts(names));
    assert_eq!(
        answer(&types("$..a"), SOME),
        ok(&["integer", "number", "string", "array"])
    );
    assert_eq!(answer(&types("$.x"), SOME), ok(&[]));
    assert_eq!(answer(&types("..a"), SOME), Ok(text("integer")));
    assert_eq!(answer(&types("."), SOME), Ok(text("object")));
    assert_eq!(answer(&types(".x"), SOME), Ok(Answer::Nothing));
    assert_eq!(answer(&types("$.a"), None), Ok(Answer::Nothing));
    assert_eq!(answer(&types(".a"), None), Ok(Answer::Nothing));
}

#[test]
fn num_incr_by() {
    let add = |path: &str, by: &str| Operation::NumIncrBy {
        path: path.to_owned(),
        by: by.to_owned(),
    };
    let numbers = |sums: &[Option<&'static str>], single| Answer::Numbers {
        sums: sums.iter().map(|sum| sum.map(Bytes::from)).collect(),
        single,
    };
    let left = r#"{"a":4,"b":{"a":7.0,"c":[1,"x"]},"d":{"a":"s","e":{}},"f":{"a":[3,4]},"g":null}"#;
    let sums = [Some("4"), Some("7.0"), None, None];
    let many = numbers(&sums, false);
    assert_eq!(many.json().as_deref(), Some(&b"[4,7.0,null,null]"[..]));
    assert_eq!(run(&add("$..a", "2"), SOME), changed(left, many));
    let one = numbers(&sums, true);
    assert_eq!(one.json().as_deref(), Some(&b"7.0"[..]));
    assert_eq!(run(&add("..a", "2"), SOME), changed(left, one));

    let none = numbers(&[None], false);
    assert_eq!(none.json().as_deref(), Some(&b"[null]"[..]));
    assert_eq!(answer(&add("$.g", "2"), SOME), Ok(none));
    let none = numbers(&[], false);
    assert_eq!(none.json().as_deref(), Some(&b"[]"[..]));
    assert_eq!(answer(&add("$.x", "2"), SOME), Ok(none));
    for path in [".g", ".x"] {
        let error = mismatch(path, Expected::Number);
        assert_eq!(answer(&add(path, "2"), SOME), Err(error));
    }
    for path in ["$.a", "a"] {
        assert_eq!(answer(&add(path, "2"), None), Err(Error::NoDocument));
        assert_eq!(answer(&add(path, "two"), SOME), Err(Error::NotANumber));
    }
    let most = Some("[18446744073709551615]");
    assert_eq!(answer(&add("$[0]", "1"), most), Err(Error::Overflow));
}

#[test]
fn arr_append_and_arr_len() {
    let append = |path: &str| Operation::ArrAppend {
        path: path.to_owned(),
        values: vec![Bytes::from_static(b"8"), Bytes::from_static(b"9.0")],
    };
    let lengths = |lengths: &[Option<i64>]| {
        let length = |length: &Option<i64>| length.map_or(Element::Nothing, Element::Integer);
        Answer::List(lengths.iter().map(length).collect())
    };
    let left = DOCUMENT.replace("[3,4]", "[3,4,8,9.0]");
    let all = lengths(&[None, None, None, Some(4)]);
    assert_eq!(run(&append("$..a"), SOME), changed(&left, all));
    assert_eq!(
        run(&append("..a"), SOME),
        changed(&left, Answer::Integer(4))
    );
    assert_eq!(answer(&append("$.a"), SOME), Ok(lengths(&[None])));
    assert_eq!(answer(&append("$.x"), SOME), Ok(lengths(&[])));
    for path in [".a", ".x"] {
        let error = mismatch(path, Expected::Array);
        assert_eq!(answer(&append(path), SOME), Err(error));
    }
    for path in ["$.a", ".a"] {
        assert_eq!(answer(&append(path), None), Err(Error::NoDocument));
    }

    let len = |path: &str| Operation::ArrLen {
        path: path.to_owned(),
    };
    let all = lengths(&[None, None, None, Some(2)]);
    assert_eq!(answer(&len("$..a"), SOME), Ok(all));
    assert_eq!(answer(&len("$.x"), SOME), Ok(lengths(&[])));
    assert_eq!(answer(&len("b.c"), SOME), Ok(Answer::Integer(2)));
    assert_eq!(answer(&len(".x"), SOME), Err(missing(".x")));
    // The first value counts, as everywhere.
    let error = mismatch("..a", Expected::Array);
    assert_eq!(answer(&len("..a"), SOME), Err(error));
    assert_eq!(answer(&len("$.a"), None), Err(Error::NoDocument));
    assert_eq!(answer(&len(".a"), None), Ok(Answer::Nothing));
}

#[test]
fn obj_keys() {
    let keys = |path: &str| Operation::ObjKeys {
        path: path.to_owned(),
    };
    let all = Answer::List(vec![
        Element::Nothing,
        names(&["a", "c"]),
        names(&["a", "e"]),
    ]);
    assert_eq!(answer(&keys("$['a','b','d']"), SOME), Ok(all));
    assert_eq!(answer(&keys("$.x"), SOME), Ok(texts(&[])));
    assert_eq!(
        answer(&keys("."), SOME),
        Ok(Answer::Names(bytes(&["a", "b", "d", "f", "g"])))
    );
    assert_eq!(answer(&keys(".x"), SOME), Ok(Answer::Nothing));
    assert_eq!(
        answer(&keys(".a"), SOME),
        Err(mismatch(".a", Expected::Object))
    );
    assert_eq!(answer(&keys("$.a"), None), Err(Error::NoDocument));
    assert_eq!(answer(&keys(".a"), None), Ok(Answer::Nothing));
}

#[test]
fn sentences_that_clients_know() {
    for (error, sentence) in [
        (missing(".x"), "Path '.x' does not exist"),
        (
            mismatch(".x", Expected::Array),
            "Path '.x' does not exist or not an array",
        ),
        (
            mismatch(".x", Expected::Object),
            "Path '.x' does not exist or not an object",
        ),
        (
            mismatch(".x", Expected::Number),
            "Path '.x' does not exist or does not contains a number",
        ),
        (Error::NotAtRoot, "new objects must be created at the root"),
        (
            Error::NoDocument,
            "could not perform this operation on a key that doesn't exist",
        ),
    ] {
        assert_eq!(error.to_string(), sentence);
    }
}

#[test]
fn operations_and_answers_survive_the_wire() {
    let path = || "$.a".to_owned();
    let value = || Bytes::from_static(b"[1.0]");
    for (operation, is_read) in [
        (
            Operation::Get {
                paths: vec![path()],
            },
            true,
        ),
        (
            Operation::Set {
                path: path(),
                value: value(),
                condition: When::Absent,
            },
            false,
        ),
        (Operation::Delete { path: path() }, false),
        (
            Operation::Merge {
                path: path(),
                patch: value(),
            },
            false,
        ),
        (Operation::Type { path: path() }, true),
        (
            Operation::NumIncrBy {
                path: path(),
                by: "1".to_owned(),
            },
            false,
        ),
        (
            Operation::ArrAppend {
                path: path(),
                values: vec![value(), value()],
            },
            false,
        ),
        (Operation::ArrLen { path: path() }, true),
        (Operation::ObjKeys { path: path() }, true),
    ] {
        assert_eq!(operation.is_read(), is_read);
        assert!(operation.bytes() >= 3);
        let sent = postcard::to_stdvec(&operation).unwrap();
        assert_eq!(postcard::from_bytes(&sent), Ok(operation.clone()));
        if let Ok((change, answer)) = run(&operation, SOME) {
            assert!(!is_read || change == Change::None);
            let sent = postcard::to_stdvec(&answer).unwrap();
            assert_eq!(postcard::from_bytes(&sent), Ok(answer));
        }
    }
}
