//! What is written where: bytes that stay, members that are created, values that lie in others.

use bytes::Bytes;

use super::*;
use crate::command::json::{self, Code};

fn wrote(document: &str, to: &str, value: &str, when: When) -> Result<Option<String>, Error> {
    let left = set(
        document.as_bytes(),
        &path(to),
        value.as_bytes(),
        when,
        &LIMITS,
    )?;
    Ok(left.map(text))
}

fn some(text: &str) -> Result<Option<String>, Error> {
    Ok(Some(text.to_owned()))
}

fn deleted(document: &str, from: &str) -> (usize, String) {
    match delete(document.as_bytes(), &path(from), &LIMITS).unwrap() {
        Deleted::Nothing => (0, document.to_owned()),
        Deleted::All => (1, String::new()),
        Deleted::Some { count, document } => (count, text(document)),
    }
}

fn merged(document: &str, to: &str, patch: &str) -> Result<Option<String>, Error> {
    let left = merge(document.as_bytes(), &path(to), patch.as_bytes(), &LIMITS)?;
    Ok(left.map(text))
}

#[test]
fn values_are_set() {
    use When::Always;
    let document = r#"{"a":1.0,"b":{"a":2,"c":[1e1,2]}}"#;
    for (to, expected) in [
        ("$", "7"),
        (".", "7"),
        ("$.a", r#"{"a":7,"b":{"a":2,"c":[1e1,2]}}"#),
        ("$..a", r#"{"a":7,"b":{"a":7,"c":[1e1,2]}}"#),
        ("$.b.c[-1]", r#"{"a":1.0,"b":{"a":2,"c":[1e1,7]}}"#),
        ("$.b.c[*]", r#"{"a":1.0,"b":{"a":2,"c":[7,7]}}"#),
        ("$.b.c[0,0]", r#"{"a":1.0,"b":{"a":2,"c":[7,2]}}"#),
        ("$..*", r#"{"a":7,"b":7}"#),
        ("$['b','a']", r#"{"a":7,"b":7}"#),
        ("b.c", r#"{"a":1.0,"b":{"a":2,"c":7}}"#),
    ] {
        assert_eq!(wrote(document, to, "7", Always), some(expected), "{to}");
    }
    assert_eq!(
        wrote(r#"[{"a":1}]"#, "$..*", r#"[{"a":1}]"#, Always),
        some(r#"[[{"a":1}]]"#)
    );
}

#[test]
fn members_are_created_where_their_object_is() {
    use When::{Absent, Always, Present};
    let document = r#"{"o":{},"p":{"x":1},"n":1,"a":[{}]}"#;
    for (to, expected) in [
        ("$.o.y", r#"{"o":{"y":7},"p":{"x":1},"n":1,"a":[{}]}"#),
        ("p.y", r#"{"o":{},"p":{"x":1,"y":7},"n":1,"a":[{}]}"#),
        ("$.q", r#"{"o":{},"p":{"x":1},"n":1,"a":[{}],"q":7}"#),
        (
            "$.a[0]['x\"y']",
            r#"{"o":{},"p":{"x":1},"n":1,"a":[{"x\"y":7}]}"#,
        ),
        ("$.o['']", r#"{"o":{"":7},"p":{"x":1},"n":1,"a":[{}]}"#),
    ] {
        assert_eq!(wrote(document, to, "7", Always), some(expected), "{to}");
        assert_eq!(wrote(document, to, "7", Absent), some(expected), "{to}");
        assert_eq!(wrote(document, to, "7", Present), Ok(None), "{to}");
    }
    for to in ["$.q.y", "$.n.y", "$.a.y", "$.o.y.z", "q.y"] {
        assert_eq!(wrote(document, to, "7", Always), Ok(None), "{to}");
    }
    for to in ["$.a[1]", "$.a[-2]", "$.o[0]", "$.n[0]", "$[0]", "[0]"] {
        let left = wrote(document, to, "7", Always);
        assert_eq!(left, Err(Error::IndexOutOfRange), "{to}");
        assert_eq!(
            wrote(document, to, "7", Absent),
            Err(Error::IndexOutOfRange)
        );
        assert_eq!(wrote(document, to, "7", Present), Ok(None), "{to}");
    }
    for to in ["$..z", "$.o.*", "$.a[5:]", "$['y','z']", "$.a[?@.x]"] {
        assert_eq!(
            wrote(document, to, "7", Always),
            Err(Error::NotStatic),
            "{to}"
        );
        assert_eq!(wrote(document, to, "7", Present), Ok(None), "{to}");
    }
    for to in ["$", "$.p.x", "$.a[0]"] {
        assert_eq!(wrote(document, to, "7", Absent), Ok(None), "{to}");
        assert!(wrote(document, to, "7", Present).unwrap().is_some(), "{to}");
    }
    assert_eq!(wrote("7", "$.a", "1", Always), Ok(None));
}

#[test]
fn values_are_deleted_with_their_commas() {
    for (document, from, count, left) in [
        ("[1,2,3]", "$[0]", 1, "[2,3]"),
        ("[1,2,3]", "$[1]", 1, "[1,3]"),
        ("[1,2,3]", "[-1]", 1, "[1,2]"),
        ("[1,2,3]", "$[1,2]", 2, "[1]"),
        ("[1,2,3]", "$[2,0]", 2, "[2]"),
        ("[1,2,3]", "$[1,1]", 1, "[1,3]"),
        ("[1,2,3]", "$[*]", 3, "[]"),
        ("[1]", "$[0]", 1, "[]"),
        ("[[1],[1,2,3]]", "$..[0]", 2, "[[2,3]]"),
        (r#"{"a":1,"b":2}"#, "$.a", 1, r#"{"b":2}"#),
        (r#"{"a":1,"b":2}"#, "$.b", 1, r#"{"a":1}"#),
        (r#"{"a":1,"b":2}"#, "$.*", 2, "{}"),
        (r#"{"a":1,"b":2}"#, "$.c", 0, r#"{"a":1,"b":2}"#),
        (
            r#"{"a":{"a":2,"b":3},"b":{"a":4}}"#,
            "$..a",
            2,
            r#"{"b":{}}"#,
        ),
        (r#"[",",{"x":","},","]"#, "$[1]", 1, r#"[",",","]"#),
        (r#"[",",1]"#, "$[1]", 1, r#"[","]"#),
        ("[1,2]", "$", 1, ""),
        ("[1,2]", ".", 1, ""),
    ] {
        assert_eq!(deleted(document, from), (count, left.to_owned()), "{from}");
    }
}

#[test]
fn a_name_that_is_deleted_is_gone_however_often_it_stood_there() {
    let document = r#"{"a":1,"b":{"\u0061":2,"a":{"a":3}},"a":4,"c":5,"b":6}"#;
    for (from, count, left) in [
        ("$.a", 1, r#"{"b":{"\u0061":2,"a":{"a":3}},"c":5,"b":6}"#),
        ("$.b", 1, r#"{"a":1,"a":4,"c":5}"#),
        ("$..a", 2, r#"{"b":{},"c":5,"b":6}"#),
        ("$['a','b']", 2, r#"{"c":5}"#),
        (
            "$[?@ == 4]",
            1,
            r#"{"a":1,"b":{"\u0061":2,"a":{"a":3}},"c":5,"b":6}"#,
        ),
    ] {
        assert_eq!(deleted(document, from), (count, left.to_owned()), "{from}");
    }
    let left = r#"{"b":{"\u0061":2,"a":{"a":3}},"c":5,"b":6}"#;
    assert_eq!(merged(document, "$.a", "null"), some(left));
    // What replaces a value replaces the one that is read.
    let left = wrote(document, "$.a", "7", When::Always).unwrap().unwrap();
    assert_eq!(selected(&left, "$.a"), "7");
    assert_eq!(selected(&left, "$.*").split(' ').count(), 5);
}

#[test]
fn patches_are_merged_wherever_a_path_leads() {
    for (document, to, patch, left) in [
        (r#"{"a":2}"#, "$.b", "8", r#"{"a":2,"b":8}"#),
        (r#"{"a":2}"#, "$.a", "3", r#"{"a":3}"#),
        (r#"{"a":2}"#, "$.a", "null", "{}"),
        (r#"{"a":[2,4]}"#, "$.a", "[10,12]", r#"{"a":[10,12]}"#),
        (
            r#"{"f":{"a":1},"g":{"a":2}}"#,
            "$",
            r#"{"f":null,"g":{"a":3,"b":4}}"#,
            r#"{"g":{"a":3,"b":4}}"#,
        ),
        (
            r#"{"a":{"x":1.0,"y":2}}"#,
            "a",
            r#"{"y":null}"#,
            r#"{"a":{"x":1.0}}"#,
        ),
        (
            r#"{"a":{"b":{"c":1}},"d":{"b":{"c":2}}}"#,
            "$..b",
            r#"{"f":3}"#,
            r#"{"a":{"b":{"c":1,"f":3}},"d":{"b":{"c":2,"f":3}}}"#,
        ),
        (
            r#"{"a":{"b":{"b":1}}}"#,
            "$..b",
            r#"{"f":3}"#,
            r#"{"a":{"b":{"b":{"f":3},"f":3}}}"#,
        ),
        (
            r#"{"a":{"b":{"f":{"b":1}}}}"#,
            "$..b",
            r#"{"f":3}"#,
            r#"{"a":{"b":{"f":3}}}"#,
        ),
        ("[1,2]", "$[0]", "null", "[null,2]"),
        ("[1,2]", "$", "null", "null"),
        ("{}", "$.a", r#"{"x":1,"y":null}"#, r#"{"a":{"x":1}}"#),
    ] {
        assert_eq!(merged(document, to, patch), some(left), "{to} {patch}");
    }
    assert_eq!(merged("{}", "$.a.b", "1"), Ok(None));
    assert_eq!(merged("{}", "$.a", "null"), Ok(None));
    assert_eq!(merged("{}", "$..a", "1"), Err(Error::NotStatic));
}

#[test]
fn what_is_not_written_stays_byte_for_byte() {
    let document =
        r#"{"z":1.0,"y":1e300,"x":[123456789012345678901234567890,"\u00e9\/"],"w":0.10,"w":-0}"#;
    let value = r#""\u00e9""#;
    assert_eq!(
        wrote(document, "$.x[0]", value, When::Always),
        some(r#"{"z":1.0,"y":1e300,"x":["\u00e9","\u00e9\/"],"w":0.10,"w":-0}"#)
    );
    let changed = num_incr_by(document.as_bytes(), &path("$['z','y','x']"), b"1", &LIMITS).unwrap();
    assert_eq!(
        changed.document.map(text).unwrap(),
        r#"{"z":2.0,"y":1e300,"x":[123456789012345678901234567890,"\u00e9\/"],"w":0.10,"w":-0}"#
    );
    assert_eq!(
        changed.each,
        [Some(Bytes::from("2.0")), Some(Bytes::from("1e300")), None]
    );
}

#[test]
fn one_sum_too_great_leaves_everything_as_it_was() {
    let document = br#"[1,18446744073709551615,"x"]"#;
    let added = num_incr_by(document, &path("$[*]"), b"1", &LIMITS);
    assert_eq!(added, Err(Error::Overflow));
    let document = b"[1,1.7e308]";
    let added = num_incr_by(document, &path("$[*]"), b"1.7e308", &LIMITS);
    assert_eq!(added, Err(Error::NotFinite));
    for by in ["", "x", "1 ", "01", "NaN", "\"1\"", "null"] {
        let added = num_incr_by(document, &path("$.x"), by.as_bytes(), &LIMITS);
        assert_eq!(added, Err(Error::NotANumber), "{by}");
    }
}

#[test]
fn elements_are_appended() {
    let values = [Bytes::from("1.0"), Bytes::from(r#"{"x":[]}"#)];
    let document = br#"{"a":[],"b":[[0]],"c":"[]"}"#;
    let appended = arr_append(document, &path("$..*"), &values, &LIMITS).unwrap();
    assert_eq!(
        appended.document.map(text).unwrap(),
        r#"{"a":[1.0,{"x":[]}],"b":[[0,1.0,{"x":[]}],1.0,{"x":[]}],"c":"[]"}"#
    );
    assert_eq!(appended.each, [Some(2), Some(3), None, Some(3), None]);
    let nothing = arr_append(document, &path("$.c"), &values, &LIMITS).unwrap();
    assert_eq!((nothing.document, nothing.each), (None, vec![None]));
}

#[test]
fn what_would_be_too_deep_or_too_large_is_refused() {
    let limits = Limits {
        value_bytes_max: 24,
        json_depth_max: 3,
        ..LIMITS
    };
    let deep = Err(Error::Json(json::Error {
        code: Code::Depth,
        at: 1,
        detail: 3,
    }));
    let document = br#"{"a":[0],"b":{"c":1}}"#;
    for (to, value) in [("$.b.c", "[[]]"), ("$.a[0]", "[[]]"), ("$.b.d", "[[]]")] {
        let wrote = set(document, &path(to), value.as_bytes(), When::Always, &limits);
        assert_eq!(wrote, deep, "{to}");
    }
    let wrote = merge(document, &path("$.b.c"), b"[[]]", &limits);
    assert!(matches!(
        wrote,
        Err(Error::Json(json::Error {
            code: Code::Depth,
            ..
        }))
    ));
    let values = [Bytes::from("[]"), Bytes::from("[[]]")];
    let appended = arr_append(document, &path("$.a"), &values[..1], &limits);
    assert!(appended.is_ok());
    let appended = arr_append(document, &path("$.a"), &values[1..], &limits);
    assert_eq!(appended.map(|_| None), deep);
    let large = |bytes| Err(Error::ValueTooLarge { bytes, max: 24 });
    let wrote = set(document, &path("$.a"), b"123456", When::Always, &limits);
    assert!(wrote.is_ok());
    let wrote = set(document, &path("$.a"), b"1234567", When::Always, &limits);
    assert_eq!(wrote, large(25));
    let wrote = set(document, &path("$.d"), b"0", When::Always, &limits);
    assert_eq!(wrote, large(27));
    let wrote = merge(document, &path("$..c"), b"\"123456\"", &limits);
    assert_eq!(wrote, large(28));
    let wrote = set(document, &path("$"), &[b'1'; 25], When::Always, &limits);
    assert_eq!(wrote, large(25));
}

#[test]
fn what_is_no_json_is_not_written() {
    for value in ["", "[", "1 2", "1,2", "}", "nul"] {
        for to in ["$", "$.a", "$.b"] {
            let wrote = wrote(r#"{"a":1}"#, to, value, When::Always);
            assert!(matches!(wrote, Err(Error::Json(_))), "{value} {to}");
        }
    }
}
