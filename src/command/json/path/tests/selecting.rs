//! What paths select: the cases of RFC 9535, section by section, and what is beyond it.

use super::*;

const SHOP: &str = r#"{"shop":{"books":[{"kind":"novel","price":8.950,"title":"Dune"},{"kind":"essay","price":12.99,"title":"Walden"},{"kind":"novel","isbn":"0-1","price":8.99,"title":"Emma"},{"kind":"novel","isbn":"0-2","price":22.99,"title":"Ulysses"}],"lamp":{"price":399,"title":"Lamp"}},"limit":10}"#;

fn check(document: &str, cases: &[(&str, &str)]) {
    for (path, expected) in cases {
        assert_eq!(selected(document, path), *expected, "{path} of {document}");
    }
}

#[test]
fn a_shop() {
    check(
        SHOP,
        &[
            (
                "$.shop.books[*].title",
                r#""Dune" "Walden" "Emma" "Ulysses""#,
            ),
            ("$..title", r#""Dune" "Walden" "Emma" "Ulysses" "Lamp""#),
            ("$.shop.*.price", "399"),
            ("$.shop..price", "8.950 12.99 8.99 22.99 399"),
            ("$..books[2].title", r#""Emma""#),
            ("$..books[-1].title", r#""Ulysses""#),
            ("$..books[0,1].title", r#""Dune" "Walden""#),
            ("$..books[:2].title", r#""Dune" "Walden""#),
            ("$..books[?@.isbn].title", r#""Emma" "Ulysses""#),
            ("$..books[?!@.isbn].title", r#""Dune" "Walden""#),
            ("$..books[?@.price<10].title", r#""Dune" "Emma""#),
            ("$..books[?(@.price < $.limit)].title", r#""Dune" "Emma""#),
            (
                "$..books[?(@.price < 10 && @.title == \"Emma\")].isbn",
                r#""0-1""#,
            ),
            ("$..[?@.price > 20].title", r#""Lamp" "Ulysses""#),
            ("$..[?@.price == 8.95].title", r#""Dune""#),
            (".shop.lamp.price", "399"),
            ("shop.books[1]['kind']", r#""essay""#),
            ("$.nothing", ""),
            ("$.shop.books.title", ""),
            ("$.shop.lamp[0]", ""),
            ("$.limit.a", ""),
            ("$.limit[*]", ""),
            ("$.limit..*", ""),
        ],
    );
    assert_eq!(selected(SHOP, "$"), SHOP);
    assert_eq!(selected(SHOP, "."), SHOP);
}

#[test]
fn names_and_wildcards() {
    let document = r#"{"o":{"j j":{"k.k":3}},"'":{"@":2},"a":[5,3],"":{"":1}}"#;
    check(
        document,
        &[
            ("$.o['j j']", r#"{"k.k":3}"#),
            ("$.o['j j']['k.k']", "3"),
            ("$.o[\"j j\"][\"k.k\"]", "3"),
            ("$[\"'\"][\"@\"]", "2"),
            ("$[''] ['']", "1"),
            ("$.o[*]", r#"{"k.k":3}"#),
            ("$.a[*]", "5 3"),
            ("$.a.*", "5 3"),
            ("$.a[*,*]", "5 3 5 3"),
            ("$.*", r#"{"j j":{"k.k":3}} {"@":2} [5,3] {"":1}"#),
            ("$['a','o','a']", r#"[5,3] {"j j":{"k.k":3}} [5,3]"#),
        ],
    );
    // Names are compared as what they mean.
    check(
        r#"{"\u0061\/\n":1,"é":2,"\ud83d\ude00":3}"#,
        &[
            (r"$['a/\n']", "1"),
            (r"$['\u0061\/\u000a']", "1"),
            ("$.é", "2"),
            (r"$['\u00e9']", "2"),
            ("$.😀", "3"),
        ],
    );
}

#[test]
fn indices_and_slices() {
    let letters = r#"["a","b","c","d","e","f","g"]"#;
    check(
        letters,
        &[
            ("$[1]", r#""b""#),
            ("$[-2]", r#""f""#),
            ("$[7]", ""),
            ("$[-7]", r#""a""#),
            ("$[-8]", ""),
            ("$[0, 3]", r#""a" "d""#),
            ("$[0:2, 5]", r#""a" "b" "f""#),
            ("$[0, 0]", r#""a" "a""#),
            ("$[1:3]", r#""b" "c""#),
            ("$[5:]", r#""f" "g""#),
            ("$[1:5:2]", r#""b" "d""#),
            ("$[5:1:-2]", r#""f" "d""#),
            ("$[::-1]", r#""g" "f" "e" "d" "c" "b" "a""#),
            ("$[::3]", r#""a" "d" "g""#),
            ("$[-3:]", r#""e" "f" "g""#),
            ("$[:-5]", r#""a" "b""#),
            ("$[-100:2]", r#""a" "b""#),
            ("$[5:100]", r#""f" "g""#),
            ("$[3:1]", ""),
            ("$[1:3:-1]", ""),
            ("$[2::-1]", r#""c" "b" "a""#),
            ("$[:4:-1]", r#""g" "f""#),
            ("$[-2:-5:-1]", r#""f" "e" "d""#),
            ("$[::0]", ""),
            ("$[0:7:9007199254740991]", r#""a""#),
            ("$[6:-9007199254740991:-9007199254740991]", r#""g""#),
        ],
    );
    check(r#"{"0":1}"#, &[("$[0]", ""), ("$['0']", "1"), ("$.0", "1")]);
    check(
        "[]",
        &[("$[0]", ""), ("$[-1]", ""), ("$[:]", ""), ("$[::-1]", "")],
    );
}

#[test]
fn descendants_come_after_the_children_of_their_ancestors() {
    check(
        r#"{"o":{"j":1,"k":2},"a":[5,3,[{"j":4},{"k":6}]]}"#,
        &[
            ("$..j", "1 4"),
            ("$..[0]", r#"5 {"j":4}"#),
            ("$..[-1]", r#"[{"j":4},{"k":6}] {"k":6}"#),
            (
                "$..*",
                r#"{"j":1,"k":2} [5,3,[{"j":4},{"k":6}]] 1 2 5 3 [{"j":4},{"k":6}] {"j":4} {"k":6} 4 6"#,
            ),
            ("$..o", r#"{"j":1,"k":2}"#),
            ("$.o..[*, *]", "1 2 1 2"),
            ("$.a..[0, 1]", r#"5 3 {"j":4} {"k":6}"#),
            ("$..['k','j']", "2 1 4 6"),
            ("$..[::-1]", r#"[{"j":4},{"k":6}] 3 5 {"k":6} {"j":4}"#),
        ],
    );
    check(
        r#"{"n":{"n":{"n":1},"a":2},"a":3}"#,
        &[
            ("$..n", r#"{"n":{"n":1},"a":2} {"n":1} 1"#),
            ("$..a", "3 2"),
            ("$..n..n", r#"{"n":1} 1 1"#),
        ],
    );
}

#[test]
fn filters() {
    let document = r#"{"a":[3,5,1,2,4,6,{"b":"j"},{"b":"k"},{"b":{}},{"b":"kilo"}],"o":{"p":1,"q":2,"r":3,"s":5,"t":{"u":6}},"e":"f"}"#;
    check(
        document,
        &[
            ("$.a[?@.b == 'kilo']", r#"{"b":"kilo"}"#),
            ("$.a[?(@.b == 'kilo')]", r#"{"b":"kilo"}"#),
            ("$.a[?@>3.5]", "5 4 6"),
            ("$.a[?@.b]", r#"{"b":"j"} {"b":"k"} {"b":{}} {"b":"kilo"}"#),
            (
                "$[?@.*]",
                r#"[3,5,1,2,4,6,{"b":"j"},{"b":"k"},{"b":{}},{"b":"kilo"}] {"p":1,"q":2,"r":3,"s":5,"t":{"u":6}}"#,
            ),
            (
                "$[?@[?@.b]]",
                r#"[3,5,1,2,4,6,{"b":"j"},{"b":"k"},{"b":{}},{"b":"kilo"}]"#,
            ),
            ("$.o[?@<3, ?@<3]", "1 2 1 2"),
            ("$.a[?@<2 || @.b == \"k\"]", r#"1 {"b":"k"}"#),
            ("$.o[?@>1 && @<4]", "2 3"),
            ("$.o[?@.u || @.x]", r#"{"u":6}"#),
            ("$.a[?@.b == $.x]", "3 5 1 2 4 6"),
            (
                "$.a[?@ == @]",
                r#"3 5 1 2 4 6 {"b":"j"} {"b":"k"} {"b":{}} {"b":"kilo"}"#,
            ),
            (
                "$.a[?!(@ < 6)]",
                r#"6 {"b":"j"} {"b":"k"} {"b":{}} {"b":"kilo"}"#,
            ),
            ("$.o[?@ == 1 || @ == 2 && @ == 3]", "1"),
            ("$.o[?(@ == 1 || @ == 2) && @ == 3]", ""),
            ("$.e[?@]", ""),
            ("$..[?@.b > 'j'].b", r#""k" "kilo""#),
        ],
    );
}

/// Comparisons and what they come to, on `{"obj":…,"arr":…,"same":…,"n":…}`.
#[test]
fn comparisons() {
    let document = r#"{"at":[0],"obj":{"x":"y","z":[1,2.0]},"arr":[2,3],"same":{"z":[1.0,2],"\u0078":"\u0079"},"one":[2.0,30e-1],"s":"a\u0062","twice":{"x":"n","z":[1,2],"x":"y"}}"#;
    for (condition, expected) in [
        ("$.absent1 == $.absent2", true),
        ("$.absent1 <= $.absent2", true),
        ("$.absent1 >= $.absent2", true),
        ("$.absent1 < $.absent2", false),
        ("$.absent1 != $.absent2", false),
        ("$.absent == 'g'", false),
        ("$.absent != 'g'", true),
        ("1 <= 2", true),
        ("1 > 2", false),
        ("13 == '13'", false),
        ("13 != '13'", true),
        ("'a' <= 'b'", true),
        ("'a' > 'b'", false),
        ("'a' < 'a'", false),
        ("'' < 'a'", true),
        ("'\u{ffff}' < '\u{10000}'", true),
        ("$.obj == $.arr", false),
        ("$.obj != $.arr", true),
        ("$.obj == $.obj", true),
        ("$.obj != $.obj", false),
        ("$.obj == $.same", true),
        ("$.obj == $.twice", true),
        ("$.obj == $", false),
        ("$.arr == $.arr", true),
        ("$.arr == $.one", true),
        ("$.arr == $.at", false),
        ("$.at[0] == 0", true),
        ("$.arr[1] == $.one[-1]", true),
        ("$.obj == 17", false),
        ("$.obj != 17", true),
        ("$.obj <= $.arr", false),
        ("$.obj < $.arr", false),
        ("$.obj <= $.obj", true),
        ("$.arr <= $.arr", true),
        ("1 <= $.arr", false),
        ("1 >= $.arr", false),
        ("1 > $.arr", false),
        ("1 < $.arr", false),
        ("true <= true", true),
        ("true > true", false),
        ("true == false", false),
        ("null == null", true),
        ("null == $.absent", false),
        ("null < 1", false),
        ("1.0 == 1", true),
        ("1e2 == 100", true),
        ("-0 == 0", true),
        ("0.1 < 0.10000000000000000000001", true),
        ("9007199254740993 == 9007199254740992", false),
        ("$.s == 'ab'", true),
        ("$.s == \"\\u0061b\"", true),
    ] {
        let selects = !selected(document, &format!("$.at[?{condition}]")).is_empty();
        assert_eq!(selects, expected, "{condition}");
        let negated = !selected(document, &format!("$.at[?!({condition})]")).is_empty();
        assert_eq!(negated, !expected, "{condition}");
    }
}

#[test]
fn of_members_of_one_name_the_last_is_meant() {
    check(
        r#"{"a":1,"b":{"a":2,"\u0061":3},"a":{"a":4},"b":5}"#,
        &[
            ("$.a", r#"{"a":4}"#),
            ("$.b", "5"),
            ("$.b.a", ""),
            ("$.*", r#"1 {"a":2,"\u0061":3} {"a":4} 5"#),
            ("$..a", r#"{"a":4} 3 4"#),
            ("$['b','a']", r#"5 {"a":4}"#),
            ("$[?@.a == 3]", r#"{"a":2,"\u0061":3}"#),
        ],
    );
}

#[test]
fn values_come_as_they_were_written() {
    let document = r#"{"n":[1.0,1e300,-0,1E+2,123456789012345678901234567890,0.10],"s":"\u00e9\/\ud83d\ude00","o":{"z":1,"a":2}}"#;
    check(
        document,
        &[
            (
                "$.n[*]",
                "1.0 1e300 -0 1E+2 123456789012345678901234567890 0.10",
            ),
            ("$.s", r#""\u00e9\/\ud83d\ude00""#),
            ("$.o", r#"{"z":1,"a":2}"#),
        ],
    );
}

#[test]
fn one_path_or_several() {
    let document = br#"{"a":1.0,"b":{"a":[2]},"c\"":3}"#;
    let got = |paths: &[&str]| {
        let paths: Vec<_> = paths.iter().map(|text| path(text)).collect();
        get(document, &paths, &LIMITS).map(text)
    };
    let ok = |text: &str| Ok(text.to_owned());
    assert_eq!(got(&["$..a"]), ok("[1.0,[2]]"));
    assert_eq!(got(&["$.x"]), ok("[]"));
    assert_eq!(got(&["..a"]), ok("1.0"));
    assert_eq!(got(&["b.a"]), ok("[2]"));
    assert_eq!(got(&["."]), ok(std::str::from_utf8(document).unwrap()));
    assert_eq!(got(&["$.a", "$.x"]), ok(r#"{"$.a":[1.0],"$.x":[]}"#));
    assert_eq!(
        got(&["..a", "$.b"]),
        ok(r#"{"..a":[1.0,[2]],"$.b":[{"a":[2]}]}"#)
    );
    assert_eq!(got(&["a", ".b"]), ok(r#"{"a":1.0,".b":{"a":[2]}}"#));
    assert_eq!(got(&["a", "$.x", "a"]), ok(r#"{"a":[1.0],"$.x":[]}"#));
    assert_eq!(
        got(&["[\"c\\\"\"]", "a"]),
        ok(r#"{"[\"c\\\"\"]":3,"a":1.0}"#)
    );
    let missing = |path: &str| {
        Err(Error::Missing {
            path: path.to_owned(),
        })
    };
    assert_eq!(got(&[".x"]), missing(".x"));
    assert_eq!(got(&["a", "x.y"]), missing("x.y"));
    assert_eq!(got(&["x", "$.a"]), ok(r#"{"x":[],"$.a":[1.0]}"#));
}

#[test]
fn types_lengths_and_names() {
    let document = br#"{"a":{},"b":[],"c":"s","d":42,"e":1.2,"f":false,"g":null,"h":18446744073709551616,"i":[1,[2,3],{"x":1,"y\n":2,"x":3}]}"#;
    let names = |text| {
        let types = types(document, &path(text), &LIMITS).unwrap();
        types.into_iter().map(TypeName::as_str).collect::<Vec<_>>()
    };
    assert_eq!(
        names("$.*"),
        [
            "object", "array", "string", "integer", "number", "boolean", "null", "number", "array"
        ]
    );
    assert_eq!(names("$.x"), [""; 0]);
    let lengths = |text| arr_len(document, &path(text), &LIMITS).unwrap();
    assert_eq!(
        lengths("$['a','b','c','i']"),
        [None, Some(0), None, Some(3)]
    );
    assert_eq!(lengths("$.i[*]"), [None, Some(2), None]);
    let keys = |text| obj_keys(document, &path(text), &LIMITS).unwrap();
    let of = |names: &[&'static str]| {
        let name = |name: &&'static str| bytes::Bytes::from_static(name.as_bytes());
        Some(names.iter().map(name).collect::<Vec<_>>())
    };
    assert_eq!(keys("$['a','b']"), [of(&[]), None]);
    assert_eq!(keys("$.i[2]"), [of(&["x", "y\n"])]);
    assert_eq!(
        keys("$"),
        [of(&["a", "b", "c", "d", "e", "f", "g", "h", "i"])]
    );
}
