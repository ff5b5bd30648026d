//! Facts about validation, compaction and strings: texts, and what must come of them.

use super::*;

pub(super) fn compacted(text: impl AsRef<[u8]>) -> Result<Bytes, Error> {
    compact(&Bytes::copy_from_slice(text.as_ref()), 128)
}

/// Removes white space by the definition, one byte after the other; for valid texts only.
pub(super) fn without_space(text: &[u8]) -> Vec<u8> {
    let (mut in_string, mut escaped) = (false, false);
    let mut out = Vec::new();
    for byte in text {
        if !in_string && matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            continue;
        }
        out.push(*byte);
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ => {}
        }
    }
    out
}

/// Texts, and what is left of them.
const VALID: &[(&str, &str)] = &[
    ("0", "0"),
    ("-0", "-0"),
    ("-0.0", "-0.0"),
    ("7", "7"),
    ("10", "10"),
    ("-10", "-10"),
    ("1.0", "1.0"),
    ("1.50", "1.50"),
    ("0.1", "0.1"),
    ("1e300", "1e300"),
    ("1E300", "1E300"),
    ("1e+9", "1e+9"),
    ("1e-9", "1e-9"),
    ("0e0", "0e0"),
    ("0.0e-00", "0.0e-00"),
    ("1e999999", "1e999999"),
    (
        "123456789012345678901234567890",
        "123456789012345678901234567890",
    ),
    (
        "0.123456789012345678901234567890",
        "0.123456789012345678901234567890",
    ),
    ("true", "true"),
    ("false", "false"),
    ("null", "null"),
    (" null ", "null"),
    ("\t\r\n null\n", "null"),
    (r#""""#, r#""""#),
    (r#""a b  c""#, r#""a b  c""#),
    (r#"" ""#, r#"" ""#),
    (
        r#""\" \\ \/ \b \f \n \r \t""#,
        r#""\" \\ \/ \b \f \n \r \t""#,
    ),
    (r#""\u0000\u001f\u00E9""#, r#""\u0000\u001f\u00E9""#),
    (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
    (r#""\uDBFF\uDFFF""#, r#""\uDBFF\uDFFF""#),
    (r#""\ue000\ud7ff""#, r#""\ue000\ud7ff""#),
    (r#""\\ud800""#, r#""\\ud800""#),
    (
        "\"é 😀 \u{10ffff} \u{feff}\"",
        "\"é 😀 \u{10ffff} \u{feff}\"",
    ),
    ("\"\u{7f}\u{80}\u{2028}\"", "\"\u{7f}\u{80}\u{2028}\""),
    (r#""seven..\"eight""#, r#""seven..\"eight""#),
    (
        r#""a longer text, \\ over several words\\""#,
        r#""a longer text, \\ over several words\\""#,
    ),
    ("{}", "{}"),
    ("{ }", "{}"),
    ("[]", "[]"),
    ("[ ]", "[]"),
    ("[[]]", "[[]]"),
    ("[{}]", "[{}]"),
    ("[ [ ] , { } ]", "[[],{}]"),
    ("[1,2]", "[1,2]"),
    ("[ 1 , 2 ]", "[1,2]"),
    ("[1\n,\r2\t]", "[1,2]"),
    ("[null,true,false]", "[null,true,false]"),
    (r#"{"a":1}"#, r#"{"a":1}"#),
    (r#"{ "a" : 1 }"#, r#"{"a":1}"#),
    (r#"{"":0}"#, r#"{"":0}"#),
    (r#"{"a":1,"a":2}"#, r#"{"a":1,"a":2}"#),
    (
        r#"{"z":1, "a":[ {"b" : "c d"} ]}"#,
        r#"{"z":1,"a":[{"b":"c d"}]}"#,
    ),
    (r#"{"a":{"b":[]},"c":{}}"#, r#"{"a":{"b":[]},"c":{}}"#),
    (r#"{"\u0061":"b"}"#, r#"{"\u0061":"b"}"#),
    (
        "{\n  \"name\": \"x\",\n  \"list\": [\n    1,\n    2\n  ]\n}\n",
        r#"{"name":"x","list":[1,2]}"#,
    ),
];

#[test]
fn valid_texts_lose_their_white_space_and_nothing_else() {
    for (text, expected) in VALID {
        let result = compacted(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(result, expected.as_bytes(), "{text}");
        assert_eq!(result, without_space(text.as_bytes()), "{text}");
    }
}

/// Texts that are no JSON, what they are instead, and where.
const INVALID: &[(&[u8], Code, usize)] = &[
    (b"", Code::End, 0),
    (b" ", Code::End, 1),
    (b"\n\t\r ", Code::End, 4),
    (b"\xef\xbb\xbf{}", Code::ByteOrderMark, 0),
    (b"\x00", Code::Value, 0),
    (b"\x0b1", Code::Value, 0),
    (b"\x0c1", Code::Value, 0),
    (b"\xc2\xa01", Code::Value, 0),
    (b"{}{}", Code::Trailing, 2),
    (b"{} x", Code::Trailing, 3),
    (b"1 2", Code::Trailing, 2),
    (b"1\x00", Code::Trailing, 1),
    (b"nullx", Code::Trailing, 4),
    (b"]", Code::Value, 0),
    (b"}", Code::Value, 0),
    (b",", Code::Value, 0),
    (b":", Code::Value, 0),
    (b"'a'", Code::Value, 0),
    (b"a", Code::Value, 0),
    (b"NaN", Code::Value, 0),
    (b"Infinity", Code::Value, 0),
    (b"-Infinity", Code::Digit, 1),
    (b"/* c */ 1", Code::Value, 0),
    (b"True", Code::Value, 0),
    (b"trux", Code::Literal, 0),
    (b"nul]", Code::Literal, 0),
    (b"[fals]", Code::Literal, 1),
    (b"tru", Code::End, 3),
    (b"n", Code::End, 1),
    (b"+1", Code::Value, 0),
    (b".5", Code::Value, 0),
    (b"-", Code::End, 1),
    (b"-a", Code::Digit, 1),
    (b"01", Code::LeadingZero, 0),
    (b"-01", Code::LeadingZero, 1),
    (b"00", Code::LeadingZero, 0),
    (b"[-012]", Code::LeadingZero, 2),
    (b"1.", Code::End, 2),
    (b"[1.]", Code::Digit, 3),
    (b"1.e5", Code::Digit, 2),
    (b"1e", Code::End, 2),
    (b"[1e]", Code::Digit, 3),
    (b"1e+", Code::End, 3),
    (b"[1e+]", Code::Digit, 4),
    (b"1e1.5", Code::Trailing, 3),
    (b"1.2.3", Code::Trailing, 3),
    (b"0x1f", Code::Trailing, 1),
    (b"1_000", Code::Trailing, 1),
    (b"--1", Code::Digit, 1),
    (b"\"", Code::End, 1),
    (b"\"abc", Code::End, 4),
    (b"\"abcdefghijkl", Code::End, 13),
    (b"\"abc\\", Code::End, 5),
    (b"\"abc\\\"", Code::End, 6),
    (b"\"a\nb\"", Code::Control, 2),
    (b"\"a\tb\"", Code::Control, 2),
    (b"\"\x00\"", Code::Control, 1),
    (b"\"12345678\x1f\"", Code::Control, 9),
    (b"\"\\a\"", Code::Escape, 1),
    (b"\"\\'\"", Code::Escape, 1),
    (b"\"\\x41\"", Code::Escape, 1),
    (b"\"\\\n\"", Code::Escape, 1),
    (b"\"\\U0041\"", Code::Escape, 1),
    (b"\"\\u12\"", Code::Hex, 1),
    (b"\"\\u123g\"", Code::Hex, 1),
    (b"\"\\u+123\"", Code::Hex, 1),
    (b"\"\\u12", Code::End, 5),
    (b"\"\\u", Code::End, 3),
    (b"\"ab\\ud800\"", Code::LoneSurrogate, 3),
    (b"\"\\udc00\"", Code::LoneSurrogate, 1),
    (b"\"\\udfff\\ud800\"", Code::LoneSurrogate, 1),
    (b"\"\\ud800\\u0041\"", Code::LoneSurrogate, 1),
    (b"\"\\ud800\\ud800\"", Code::LoneSurrogate, 1),
    (b"\"\\ud800\\n\"", Code::LoneSurrogate, 1),
    (b"\"\\ud800\\ue000\"", Code::LoneSurrogate, 1),
    (b"\"\\udbff\\uffff\"", Code::LoneSurrogate, 1),
    (b"\"\\ud800\\udbff\"", Code::LoneSurrogate, 1),
    (b"\"\\ud800\\udc0\"", Code::Hex, 7),
    (b"\"\\ud800", Code::LoneSurrogate, 1),
    (b"{\"\\ud800\":1}", Code::LoneSurrogate, 2),
    (b"\"\xff\"", Code::Utf8, 1),
    (b"\"abc\x80\"", Code::Utf8, 4),
    (b"\"\xc3\"", Code::Utf8, 1),
    (b"\"\xc0\xaf\"", Code::Utf8, 1),
    (b"\"\xe0\x80\xaf\"", Code::Utf8, 1),
    (b"\"\xed\xa0\x80\"", Code::Utf8, 1),
    (b"\"\xf4\x90\x80\x80\"", Code::Utf8, 1),
    (b"\"12345678901\xe2\x82\"", Code::Utf8, 12),
    (b"{\"\xfe\":1}", Code::Utf8, 2),
    (b"[", Code::End, 1),
    (b"[1", Code::End, 2),
    (b"[1,", Code::End, 3),
    (b"[,]", Code::ValueOrEnd, 1),
    (b"[1,]", Code::Value, 3),
    (b"[1,,2]", Code::Value, 3),
    (b"[1 2]", Code::AfterElement, 3),
    (b"[1}", Code::AfterElement, 2),
    (b"[}", Code::ValueOrEnd, 1),
    (b"[\"a\":1]", Code::AfterElement, 4),
    (b"{", Code::End, 1),
    (b"{\"a\"", Code::End, 4),
    (b"{\"a\":", Code::End, 5),
    (b"{\"a\":1", Code::End, 6),
    (b"{\"a\":1,", Code::End, 7),
    (b"{,}", Code::NameOrEnd, 1),
    (b"{a:1}", Code::NameOrEnd, 1),
    (b"{1:1}", Code::NameOrEnd, 1),
    (b"{]", Code::NameOrEnd, 1),
    (b"{\"a\" 1}", Code::Colon, 5),
    (b"{\"a\",1}", Code::Colon, 4),
    (b"{\"a\":}", Code::Value, 5),
    (b"{\"a\":1,}", Code::Name, 7),
    (b"{\"a\":1 \"b\":2}", Code::AfterMember, 7),
    (b"{\"a\":1]", Code::AfterMember, 6),
    (b"{\"a\":[1}", Code::AfterElement, 7),
    (b"{\"a\"::1}", Code::Value, 5),
];

#[test]
fn invalid_texts_are_refused_with_the_place_and_the_reason() {
    assert!(VALID.len() + INVALID.len() > 120);
    for (text, code, at) in INVALID {
        let shown = text.escape_ascii();
        let error = compacted(text).expect_err(&shown.to_string());
        assert_eq!((error.code, error.at), (*code, *at), "{shown}: {error}");
        // The same in the middle of a document with white space, where bytes are being moved.
        if !matches!(code, Code::End | Code::Trailing | Code::ByteOrderMark) {
            let inside = [b"[ 1, ", *text, b" ]"].concat();
            let error = compacted(&inside).expect_err(&shown.to_string());
            assert!(error.at >= at + 5, "{shown}: {error}");
        }
    }
}

#[test]
fn faults_read_as_sentences() {
    for (text, sentence) in [
        (
            &b"{\"a\":1]"[..],
            "expected ',' or '}' after a member at byte 6",
        ),
        (b"{} {}", "expected nothing after the value at byte 3"),
        (
            b"\"\\ud800\"",
            "lone surrogate \\ud800 at byte 1: surrogates come in pairs",
        ),
        (b"\"abc\xff\"", "invalid UTF-8 at byte 4"),
        (
            b"[true",
            "unexpected end at byte 5: the JSON is not complete",
        ),
        (
            b"\"\t\"",
            "control character in a string at byte 1: write it as \\u0009",
        ),
    ] {
        assert_eq!(compacted(text).unwrap_err().to_string(), sentence);
    }
}

#[test]
fn nesting_is_bounded_and_a_bomb_costs_nothing() {
    let nested = |depth: usize| Bytes::from("[".repeat(depth) + &"]".repeat(depth));
    let objects = |depth: usize| Bytes::from("{\"a\":".repeat(depth) + "0" + &"}".repeat(depth));
    for max in [1, 2, 63, 64, 65, 128, 511, 512] {
        for make in [&nested as &dyn Fn(usize) -> Bytes, &objects] {
            assert_eq!(compact(&make(max), max), Ok(make(max)), "{max}");
            let error = compact(&make(max + 1), max).unwrap_err();
            assert_eq!((error.code, error.detail), (Code::Depth, max as u16));
        }
    }
    let error = compact(&nested(DEPTH_MAX + 1), usize::MAX).unwrap_err();
    assert_eq!((error.code, error.at), (Code::Depth, DEPTH_MAX));
    let bomb = Bytes::from(vec![b'['; 4 << 20]);
    let error = compact(&bomb, 128).unwrap_err();
    assert_eq!(
        error.to_string(),
        "nested deeper than 128 levels at byte 128"
    );
    assert_eq!(
        compact(&Bytes::from_static(b"1"), 0).as_deref(),
        Ok(&b"1"[..])
    );
    assert!(compact(&Bytes::from_static(b"[]"), 0).is_err());
}

#[test]
fn mixed_nesting_closes_what_it_opened() {
    // Objects and arrays in turn across the words of the nesting stack.
    for depth in [3, 64, 65, 130, 500] {
        let opened = |level: usize| (level * level / 3).is_multiple_of(2);
        let open: String = (0..depth)
            .map(|level| if opened(level) { "{\"k\":" } else { "[" })
            .collect();
        let close: String = (0..depth)
            .rev()
            .map(|level| if opened(level) { '}' } else { ']' })
            .collect();
        let text = Bytes::from(format!("{open}1{close}"));
        assert_eq!(compact(&text, 512).as_ref(), Ok(&text));
        for wrong in 0..depth {
            let mut text = text.to_vec();
            let at = text.len() - 1 - wrong;
            text[at] ^= b'}' ^ b']';
            assert!(compact(&text.into(), 512).is_err());
        }
    }
}

#[test]
fn what_is_compact_is_not_copied() {
    for (text, inner) in [
        (r#"{"a":[1,2.0],"b":"c d"}"#, 0..),
        ("  [1,2]", 2..),
        ("[1,2]", 0..),
    ] {
        let text = Bytes::copy_from_slice(text.as_bytes());
        let result = compact(&text, 128).unwrap();
        assert_eq!(result.as_ptr(), text.slice(inner).as_ptr());
    }
    let text = Bytes::from_static(b"[1]\n");
    assert_eq!(compact(&text, 128).unwrap().as_ptr(), text.as_ptr());
    let text = Bytes::from_static(b"[1, 2]");
    assert_ne!(compact(&text, 128).unwrap().as_ptr(), text.as_ptr());
}

#[test]
fn types_are_told_by_the_first_byte() {
    for (json, of) in [
        (r#""""#, Type::String),
        ("-1", Type::Number),
        ("0.5", Type::Number),
        ("{}", Type::Object),
        ("[]", Type::Array),
        ("true", Type::True),
        ("false", Type::False),
        ("null", Type::Null),
    ] {
        assert_eq!(type_of(json.as_bytes()), of);
        assert_eq!(is_object(json.as_bytes()), of == Type::Object);
    }
}

#[test]
fn strings_mean_what_serde_json_says() {
    for (text, _) in VALID.iter().filter(|(text, _)| text.starts_with('"')) {
        let expected: String = serde_json::from_str(text).unwrap();
        assert_eq!(string(text.as_bytes()).as_deref(), Some(&*expected));
    }
    for wrong in [
        "",
        "1",
        "{}",
        "\"",
        "\"a",
        "\"a\" ",
        " \"a\"",
        "\"a\"b\"",
        "\"\\ud800\"",
    ] {
        assert_eq!(string(wrong.as_bytes()), None, "{wrong}");
    }
}
