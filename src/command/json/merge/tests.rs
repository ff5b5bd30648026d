//! Facts and properties of merge patches; the examples are those of RFC 7396, appendix A.

use proptest::prelude::*;
use serde_json::Value;

use super::super::error::Code;
use super::super::properties::any_json;
use super::*;

fn merged(target: &str, patch: &str) -> String {
    let out = merge_patch(target.as_bytes(), patch.as_bytes(), 128).unwrap();
    String::from_utf8(out).unwrap()
}

/// The pseudo-code of RFC 7396, section 2, on values.
fn reference(target: Value, patch: &Value) -> Value {
    let Value::Object(changes) = patch else {
        return patch.clone();
    };
    let mut members = match target {
        Value::Object(members) => members,
        _ => serde_json::Map::new(),
    };
    for (name, change) in changes {
        if change.is_null() {
            members.remove(name);
        } else {
            let old = members.remove(name).unwrap_or_default();
            members.insert(name.clone(), reference(old, change));
        }
    }
    Value::Object(members)
}

#[test]
fn the_examples_of_the_rfc() {
    for (target, patch, expected) in [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (
            r#"{"a":{"b":"c"}}"#,
            r#"{"a":{"b":"d","c":null}}"#,
            r#"{"a":{"b":"d"}}"#,
        ),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
        (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
        (r#"{"a":"foo"}"#, "null", "null"),
        (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
        (r#"[1,2]"#, r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
        (
            r#"{}"#,
            r#"{"a":{"bb":{"ccc":null}}}"#,
            r#"{"a":{"bb":{}}}"#,
        ),
    ] {
        assert_eq!(merged(target, patch), expected, "{target} {patch}");
    }
}

#[test]
fn what_is_not_named_stays_byte_for_byte_and_in_order() {
    let target = r#"{"z":1.0,"y":1e300,"x":{"n":123456789012345678901234567890,"m":"\u00e9"},"w":[1.50, 2]}"#;
    assert_eq!(merged(target, "{}"), target);
    assert_eq!(merged(target, r#"{"absent":null}"#), target);
    assert_eq!(
        merged(target, r#"{"b":2.0,"x":{"o":3,"m":null},"y":null,"a":-0}"#),
        r#"{"z":1.0,"x":{"n":123456789012345678901234567890,"o":3},"w":[1.50, 2],"b":2.0,"a":-0}"#
    );
}

#[test]
fn names_are_compared_as_what_they_mean_and_kept_as_they_were_written() {
    assert_eq!(merged(r#"{"\u0061":1}"#, r#"{"a":2}"#), r#"{"\u0061":2}"#);
    assert_eq!(merged(r#"{"a":1}"#, r#"{"\u0061":null}"#), "{}");
    assert_eq!(
        merged(r#"{"a":1}"#, r#"{"\u0062":2}"#),
        r#"{"a":1,"\u0062":2}"#
    );
    assert_eq!(
        merged(r#"{"😀":{"\/":1}}"#, r#"{"\ud83d\uDE00":{"/":2}}"#),
        r#"{"😀":{"\/":2}}"#
    );
    assert_eq!(
        merged(r#"{"a\\u0062":1}"#, r#"{"ab":2}"#),
        r#"{"a\\u0062":1,"ab":2}"#
    );
}

#[test]
fn of_duplicates_in_the_target_the_last_one_counts() {
    assert_eq!(
        merged(r#"{"a":1,"b":0,"a":2,"c":0}"#, r#"{"a":3}"#),
        r#"{"b":0,"a":3,"c":0}"#
    );
    assert_eq!(
        merged(r#"{"a":1,"b":0,"\u0061":2}"#, r#"{"a":null}"#),
        r#"{"b":0}"#
    );
    assert_eq!(
        merged(
            r#"{"a":{"x":1,"y":1},"a":{"x":2}}"#,
            r#"{"a":{"y":3,"z":4}}"#
        ),
        r#"{"a":{"x":2,"y":3,"z":4}}"#
    );
    assert_eq!(
        merged(r#"{"a":{"x":1},"a":5}"#, r#"{"a":{"x":3,"n":null}}"#),
        r#"{"a":{"x":3}}"#
    );
    assert_eq!(
        merged(
            r#"{"a":5,"a":{"y":{"p":1},"y":{"q":1}}}"#,
            r#"{"a":{"y":{"r":1}}}"#
        ),
        r#"{"a":{"y":{"q":1,"r":1}}}"#
    );
    // Duplicates that the patch does not name are not its business.
    assert_eq!(
        merged(r#"{"b":1,"b":2}"#, r#"{"a":3}"#),
        r#"{"b":1,"b":2,"a":3}"#
    );
}

#[test]
fn of_duplicates_in_the_patch_the_last_one_counts() {
    assert_eq!(
        merged("{}", r#"{"a":1,"b":2,"\u0061":3}"#),
        r#"{"a":3,"b":2}"#
    );
    assert_eq!(merged(r#"{"a":0}"#, r#"{"a":1,"a":null}"#), "{}");
    assert_eq!(
        merged("{}", r#"{"a":{"x":1},"a":{"y":2}}"#),
        r#"{"a":{"y":2}}"#
    );
}

#[test]
fn nulls_in_arrays_are_values() {
    assert_eq!(
        merged(
            r#"{"a":0}"#,
            r#"{"a":[null,{"b":null}],"c":{"d":[null],"e":null}}"#
        ),
        r#"{"a":[null,{"b":null}],"c":{"d":[null]}}"#
    );
}

#[test]
fn depth_is_bounded_on_both_sides() {
    let nested = |depth: usize| "{\"a\":".repeat(depth - 1) + "{}" + &"}".repeat(depth - 1);
    let (four, five) = (nested(4), nested(5));
    assert_eq!(
        merge_patch(b"{}", four.as_bytes(), 4).unwrap(),
        four.as_bytes()
    );
    assert_eq!(
        merge_patch(four.as_bytes(), b"{}", 4).unwrap(),
        four.as_bytes()
    );
    assert_eq!(
        merge_patch(four.as_bytes(), four.as_bytes(), 4).unwrap(),
        four.as_bytes()
    );
    for (target, patch) in [("{}", &*five), (&*four, &*five), (&*five, "{}")] {
        let error = merge_patch(target.as_bytes(), patch.as_bytes(), 4).unwrap_err();
        assert_eq!((error.code, error.detail), (Code::Depth, 4));
    }
    let deepest = nested(512);
    let patched = merge_patch(deepest.as_bytes(), deepest.as_bytes(), usize::MAX);
    assert_eq!(patched.unwrap(), deepest.as_bytes());
    let bomb = "{\"a\":".repeat(1 << 20);
    let error = merge_patch(b"{}", bomb.as_bytes(), usize::MAX).unwrap_err();
    assert_eq!((error.code, error.detail), (Code::Depth, 512));
}

#[test]
fn what_is_no_json_is_an_error_and_no_panic() {
    for (target, patch) in [
        ("{}", ""),
        ("{}", "{"),
        ("{}", "{}x"),
        ("{\"a\":", "{\"a\":1}"),
        ("{\"a\":1}x", "{}"),
        ("{", "{\"a\":{}}"),
    ] {
        assert!(merge_patch(target.as_bytes(), patch.as_bytes(), 8).is_err());
    }
}

#[test]
fn many_members_and_many_duplicates_take_linear_work() {
    // Quadratic work on these would be 10^10 steps.
    let count = 100_000;
    let document = |value: &str| {
        let members: Vec<_> = (0..count).map(|n| format!("\"n{n}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert_eq!(merged(&document("1"), &document("2")), document("2"));
    assert_eq!(merged(&document("1"), &document("null")), "{}");
    let duplicates = vec!["\"a\":{}"; count].join(",");
    let inner = document("3");
    assert_eq!(
        merged(&format!("{{{duplicates}}}"), &format!("{{\"a\":{inner}}}")),
        format!("{{\"a\":{inner}}}")
    );
}

/// Objects over few names, so that targets and patches meet.
fn document() -> impl Strategy<Value = Value> {
    let name = || prop::sample::select(vec!["a", "b", "c", "é\"", "\u{1}\\"]);
    let leaf = prop_oneof![
        3 => Just(Value::Null),
        3 => (0..9).prop_map(Value::from),
        1 => any_json(),
    ];
    leaf.prop_recursive(5, 48, 5, move |inner| {
        prop_oneof![
            4 => proptest::collection::vec((name().prop_map(String::from), inner.clone()), 0..5)
                .prop_map(|members| members.into_iter().collect::<Value>()),
            1 => proptest::collection::vec(inner, 0..3).prop_map(Value::from),
        ]
    })
}

/// Members as text in any order, with repeated and escaped names.
fn text() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", r"\u0061", "b", r"\u0062", "c"]);
    let leaf = prop::sample::select(vec!["null", "1.0", "[]", "\"x\"", "[{\"a\":null}]", "{}"]);
    leaf.prop_map(String::from)
        .prop_recursive(4, 40, 6, move |inner| {
            proptest::collection::vec((name.clone(), inner), 0..7).prop_map(|members| {
                let members: Vec<_> = members
                    .iter()
                    .map(|(name, value)| format!("\"{name}\":{value}"))
                    .collect();
                format!("{{{}}}", members.join(","))
            })
        })
}

fn agrees(target: &str, patch: &str) -> Result<(), TestCaseError> {
    let out = merged(target, patch);
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    prop_assert_eq!(read(&out), reference(read(target), &read(patch)));
    let compact = super::super::compact(&out.clone().into(), 128).unwrap();
    prop_assert_eq!(compact, out);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn patched_values_are_those_of_the_reference(target in document(), patch in document()) {
        agrees(&target.to_string(), &patch.to_string())?;
    }

    #[test]
    fn patched_texts_are_those_of_the_reference(target in text(), patch in text()) {
        agrees(&target, &patch)?;
    }

    #[test]
    fn objects_of_many_members(
        target in proptest::collection::btree_map("[a-f]{1,2}", 0..9u8, 0..40),
        patch in proptest::collection::btree_map("[a-f]{1,2}", prop::option::of(0..9u8), 0..40),
    ) {
        let target = serde_json::to_string(&target).unwrap();
        agrees(&target, &serde_json::to_string(&patch).unwrap())?;
    }

    #[test]
    fn a_patch_may_be_applied_twice(target in text(), patch in text()) {
        let once = merged(&target, &patch);
        prop_assert_eq!(&merged(&once, &patch), &once);
    }
}
