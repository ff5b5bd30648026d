//! No path and no document costs more than is allowed: each is an error, and soon.

use super::*;

fn nested(depth: usize) -> String {
    format!(
        "{}1{}",
        r#"{"a":["#.repeat(depth / 2),
        "]}".repeat(depth / 2)
    )
}

#[test]
fn long_and_nested_paths() {
    let long = format!("$.{}", "a".repeat(PATH_BYTES_MAX - 2));
    assert!(Path::parse(&long).is_ok());
    let error = Path::parse(&(long + "a")).unwrap_err();
    let (bytes, max) = (PATH_BYTES_MAX + 1, PATH_BYTES_MAX);
    assert_eq!(error, Error::PathTooLong { bytes, max });

    let many = format!("${}", ".a".repeat(SEGMENTS_MAX));
    assert!(Path::parse(&many).is_ok());
    let fault = |text: &str| match Path::parse(text) {
        Err(Error::Syntax { fault, .. }) => Some(fault),
        _ => None,
    };
    assert_eq!(fault(&(many + ".a")), Some(Fault::Segments));
    let in_filters = "[?@.a && @.b && @.c]".repeat(SEGMENTS_MAX / 4);
    assert!(Path::parse(&format!("${in_filters}")).is_ok());
    assert_eq!(fault(&format!("$.a{in_filters}")), Some(Fault::Segments));

    for (open, close) in [("(", ")"), ("!(", ")"), ("@[?", "]")] {
        let of = |depth: usize| format!("$[?{}@.a{}]", open.repeat(depth), close.repeat(depth));
        assert!(Path::parse(&of(FILTER_DEPTH_MAX - 1)).is_ok(), "{open}");
        assert_eq!(
            fault(&of(FILTER_DEPTH_MAX)),
            Some(Fault::FilterDepth),
            "{open}"
        );
        assert_eq!(fault(&of(900)), Some(Fault::FilterDepth), "{open}");
    }
}

#[test]
fn as_many_values_as_are_allowed() {
    let of = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
    let all = path("$[*]");
    let document = of(SELECTED_MAX);
    assert_eq!(
        select(document.as_bytes(), &all).map(|values| values.len()),
        Ok(SELECTED_MAX)
    );
    let max = SELECTED_MAX;
    let document = of(SELECTED_MAX + 1);
    assert_eq!(
        select(document.as_bytes(), &all),
        Err(Error::TooMany { max })
    );
    assert_eq!(selected(&document, "$[-1]"), "0");
    let members = r#""a":0,"#.repeat(SELECTED_MAX);
    let document = format!("{{{members}\"b\":0}}");
    assert_eq!(selected(&document, "$.b"), "0");
    assert_eq!(selected(&document, "$.a"), "0");
}

#[test]
fn paths_that_multiply_what_they_select() {
    let document = nested(128);
    for (text, few) in [
        ("$..*..*..*..*", false),
        ("$..[*,*,*,*]..[*,*,*,*]..[*,*,*,*]", false),
        ("$..*", true),
        ("$..a", true),
        ("$..[0]..a", true),
    ] {
        let values = select(document.as_bytes(), &path(text));
        assert_eq!(values.is_ok(), few, "{text}");
    }
    let nest = "$..[?@..[?@..[?@..[?@..[?@..x]]]]]";
    assert_eq!(
        select(document.as_bytes(), &path(nest)),
        Err(Error::TooMuchWork)
    );
    let zeros = format!("$[{}0]", "0,".repeat(2000));
    let document = format!("[\"{}\"]", "a".repeat(1 << 20));
    let max = ANSWER_BYTES_MAX;
    let answer = get(document.as_bytes(), &[path(&zeros)], &LIMITS);
    assert_eq!(answer, Err(Error::AnswerTooLong { max }));
    let paths: Vec<_> = (0..100).map(|n| path(&format!("$[0,{n}:]"))).collect();
    let answer = get(document.as_bytes(), &paths, &LIMITS);
    assert_eq!(answer, Err(Error::AnswerTooLong { max }));
}

#[test]
fn filters_that_compare_everything_with_everything() {
    let numbers: Vec<_> = (0..5_000).map(|n| n.to_string()).collect();
    let document = format!("{{\"n\":[{}],\"max\":7}}", numbers.join(","));
    // What begins at the root is followed once.
    assert_eq!(selected(&document, "$.n[?@ == $.max]"), "7");
    assert_eq!(selected(&document, "$.n[?@ > $.n[4998]]"), "4999");
    let object = |n: usize| format!("{{\"x\":{n},\"y\":[{n}]}}");
    let objects: Vec<_> = (0..5_000).map(object).collect();
    let document = format!("[{}]", objects.join(","));
    let values = select(document.as_bytes(), &path("$[?@.y == $[0].y].x"));
    assert_eq!(values.map(|values| values.len()), Ok(1));
    let values = select(document.as_bytes(), &path("$[?$[?@.x < 0] || $ == $]"));
    assert_eq!(values, Err(Error::TooMuchWork));
}

#[test]
fn deep_paths_into_deep_documents() {
    let document = nested(500);
    let mut text = "$".to_owned();
    for _ in 0..64 {
        text.push_str(".a[0]");
    }
    assert_eq!(selected(&document, &text), nested(500 - 128));
    assert_eq!(
        select(document.as_bytes(), &path("$..a")).map(|values| values.len()),
        Ok(250)
    );
    // A chain in which nearly all of the document lies at the end.
    let inner = format!("\"{}\"", "a".repeat(4 << 20));
    let chain = format!("{}{inner}{}", r#"{"a":"#.repeat(100), "}".repeat(100));
    let text = format!("${}", ".a".repeat(100));
    assert_eq!(selected(&chain, &text), inner);
    assert_eq!(
        select(chain.as_bytes(), &path("$..a")).map(|values| values.len()),
        Ok(100)
    );
}

#[test]
fn writes_that_multiply_what_they_write() {
    let value = format!("\"{}\"", "a".repeat(1 << 19));
    let document = format!("[{}0]", "0,".repeat(9999));
    let too_large = |error: Error| matches!(error, Error::ValueTooLarge { .. });
    let all = path("$[*]");
    let wrote = set(
        document.as_bytes(),
        &all,
        value.as_bytes(),
        When::Always,
        &LIMITS,
    );
    assert!(wrote.is_err_and(too_large));
    let wrote = merge(document.as_bytes(), &all, value.as_bytes(), &LIMITS);
    assert!(wrote.is_err_and(too_large));
    let arrays = format!("[{}[]]", "[],".repeat(9999));
    let values = [bytes::Bytes::from(value)];
    let wrote = arr_append(arrays.as_bytes(), &all, &values, &LIMITS);
    assert!(wrote.is_err_and(too_large));
}

#[test]
fn what_looks_at_a_long_value_again_and_again_is_counted() {
    let ones = |count: usize| format!("{}1", "1,".repeat(count - 1));
    let long = format!("\"{}\"", "\\n".repeat(1 << 19));
    let digits = "9".repeat(1 << 20);
    for (long, short) in [(&long, "'a'"), (&digits, "1")] {
        let document = format!("{{\"long\":{long},\"list\":[{}]}}", ones(10_000));
        for comparison in ["<", "=="] {
            let text = format!("$.list[?$.long {comparison} {short}]");
            let values = select(document.as_bytes(), &path(&text));
            assert_eq!(values, Err(Error::TooMuchWork), "{text}");
        }
    }
    // What is neither object nor array has no children, however long it is.
    let document = format!("[{long}]");
    let filter = format!("$[?@.a{}]", " || @.a".repeat(100));
    assert_eq!(selected(&document, &filter), "");
    let document = format!("[{digits}]");
    let often = path(&format!("$[{}0]", "0,".repeat(1_900)));
    let types = types(document.as_bytes(), &often, &LIMITS).unwrap();
    assert_eq!(types, [TypeName::Number; 1_901]);
}

#[test]
fn names_are_decoded_once_however_many_are_asked_for() {
    let name = "\\n".repeat(1 << 19);
    let document = format!("{{\"{name}\":1,\"\\u0061\":2}}");
    let names = format!("$[{}'a']", "'b',".repeat(900));
    assert_eq!(selected(&document, &names), "2");
}

#[test]
fn the_paths_of_a_read_share_what_may_be_done() {
    let document = format!("[{}0]", "[0],".repeat(1 << 16));
    let one = path("$[?@[0] == 1]");
    let alone = get(document.as_bytes(), std::slice::from_ref(&one), &LIMITS);
    assert_eq!(alone.as_deref(), Ok(&b"[]"[..]));
    let many: Vec<_> = (2..100)
        .map(|n| path(&format!("$[?@[0] == {n}]")))
        .collect();
    let together = get(document.as_bytes(), &many, &LIMITS);
    assert_eq!(together, Err(Error::TooMuchWork));
}
