//! Which texts are paths, and what is said of those that are not.

use super::super::query::{Query, Segment, Selector, Slice};
use super::*;

fn child(selector: Selector) -> Segment {
    Segment {
        descendant: false,
        selectors: vec![selector],
    }
}

fn name(name: &str) -> Segment {
    child(Selector::Name(name.to_owned()))
}

fn segments(text: &str) -> Vec<Segment> {
    let Query { segments, .. } = path(text).query;
    segments
}

#[test]
fn names_in_all_their_spellings() {
    for (text, expected) in [
        ("$.a", "a"),
        ("$ \t\n\r.a", "a"),
        ("$['a']", "a"),
        ("$[\"a\"]", "a"),
        ("$[ 'a' ]", "a"),
        ("$.['a']", "a"),
        ("$._a1", "_a1"),
        ("$.é😀", "é😀"),
        ("$.first-name", "first-name"),
        ("$.42", "42"),
        ("$['']", ""),
        ("$['a.b']", "a.b"),
        ("$['\"']", "\""),
        ("$[\"'\"]", "'"),
        (r"$['\'']", "'"),
        (r#"$["\""]"#, "\""),
        (r"$['\\ \/ \b\f\n\r\t']", "\\ / \u{8}\u{c}\n\r\t"),
        (r"$['\u0061\u00E9\ud83d\ude00']", "aé😀"),
        ("$['é\u{7f}😀']", "é\u{7f}😀"),
        ("a", "a"),
        (".a", "a"),
        ("['a']", "a"),
        (".['a']", "a"),
        ("[\"a\"]", "a"),
        ("42isnotapath", "42isnotapath"),
    ] {
        assert_eq!(segments(text), [name(expected)], "{text}");
    }
}

#[test]
fn everything_but_names() {
    let slice = |start, end, step| child(Selector::Slice(Slice { start, end, step }));
    for (text, expected) in [
        ("$[0]", child(Selector::Index(0))),
        ("$[-1]", child(Selector::Index(-1))),
        ("$[9007199254740991]", child(Selector::Index((1 << 53) - 1))),
        ("[0]", child(Selector::Index(0))),
        ("$.*", child(Selector::Wildcard)),
        ("$[*]", child(Selector::Wildcard)),
        ("*", child(Selector::Wildcard)),
        ("$[:]", slice(None, None, 1)),
        ("$[::]", slice(None, None, 1)),
        ("$[1:]", slice(Some(1), None, 1)),
        ("$[:-2]", slice(None, Some(-2), 1)),
        ("$[ 1 : 2 : -3 ]", slice(Some(1), Some(2), -3)),
        ("$[::0]", slice(None, None, 0)),
    ] {
        assert_eq!(segments(text), [expected], "{text}");
    }
    let descendant = |selector| Segment {
        descendant: true,
        selectors: vec![selector],
    };
    for (text, expected) in [
        ("$..a", descendant(Selector::Name("a".to_owned()))),
        ("..a", descendant(Selector::Name("a".to_owned()))),
        ("$..*", descendant(Selector::Wildcard)),
        ("$..[0]", descendant(Selector::Index(0))),
        ("$..['a']", descendant(Selector::Name("a".to_owned()))),
    ] {
        assert_eq!(segments(text), [expected], "{text}");
    }
    let [union] = &segments("$['a', \"b\" ,0,*,1:2]")[..] else {
        panic!("one segment");
    };
    assert_eq!(union.selectors.len(), 5);
    assert_eq!(segments("$.a[0] ['b']\n..c").len(), 4);
    assert_eq!(segments("a.b[0].c").len(), 4);
}

#[test]
fn roots_and_legacy_paths() {
    for (text, legacy, root) in [
        ("$", false, true),
        (".", true, true),
        ("", true, true),
        ("$.a", false, false),
        ("$..a", false, false),
        (".a", true, false),
        ("a", true, false),
        ("..a", true, false),
        ("[0]", true, false),
    ] {
        let read = path(text);
        assert_eq!((read.is_legacy(), read.is_root()), (legacy, root), "{text}");
        assert_eq!((read.as_str(), read.to_string()), (text, text.to_owned()));
        assert_eq!(text.parse::<Path>(), Ok(read));
    }
}

#[test]
fn filters_that_are_read() {
    for filter in [
        "@",
        "@.a",
        "(@.a)",
        "!@.a",
        "! (@.a)",
        "!(!(@.a))",
        "@.a && @.b || @.c",
        "@.a&&(@.b||@.c)",
        "@.price < 10 && @.name == \"x\"",
        "1 == 1",
        "@.a == 'it''s' || @ == null",
        "@ == -0 || @ <= 1.5e+3 || @ >= 0.5 || @ != 0",
        "@ == true || @==false",
        "@.a[0]['b'] > $.limit",
        "$..a",
        "@[?@.a == 1]",
        "@.a[*]",
        "@ .a [0]",
        "\n@.a\t==\r1 ",
    ] {
        if filter.contains("''") {
            continue;
        }
        path(&format!("$[?{filter}]"));
        path(&format!("$[?({filter})]"));
        path(&format!("$..[ ? {filter} , 0 ]"));
    }
}

#[test]
fn what_is_no_path_is_told_why_and_where() {
    for (text, fault, at) in [
        ("$a", Fault::AfterRoot, 1),
        ("$$", Fault::AfterRoot, 1),
        ("$*", Fault::AfterRoot, 1),
        ("$ ", Fault::Segment, 1),
        ("$.a ", Fault::Segment, 3),
        (" $.a", Fault::Segment, 0),
        (" ", Fault::Segment, 0),
        ("\0", Fault::Segment, 0),
        ("a b", Fault::Segment, 1),
        ("a\0b", Fault::Segment, 1),
        ("$.a]", Fault::Segment, 3),
        ("$.", Fault::Name, 2),
        ("$. a", Fault::Name, 2),
        ("$.a.", Fault::Name, 4),
        ("$.'a'", Fault::Name, 2),
        (".\"", Fault::Name, 1),
        (".foo\n.bar.", Fault::Name, 10),
        ("$..", Fault::Descendant, 3),
        ("..", Fault::Descendant, 2),
        ("$...a", Fault::Descendant, 3),
        ("$[]", Fault::Selector, 2),
        ("$[", Fault::Selector, 2),
        ("$[ ", Fault::Selector, 3),
        ("$['a',]", Fault::Selector, 6),
        ("$[,]", Fault::Selector, 2),
        ("$[a]", Fault::Unquoted, 2),
        ("$[é]", Fault::Unquoted, 2),
        ("$['a'", Fault::Bracket, 5),
        ("$['a' 'b']", Fault::Bracket, 6),
        ("$[0:1:2:3]", Fault::Bracket, 7),
        ("$[1 2]", Fault::Bracket, 4),
        ("$['a", Fault::Quote, 2),
        ("$['a\"]", Fault::Quote, 2),
        ("$['a\nb']", Fault::Control, 4),
        (r"$['\x']", Fault::Escape, 3),
        (r#"$['\"']"#, Fault::Escape, 3),
        (r#"$["\'"]"#, Fault::Escape, 3),
        (r"$['\", Fault::Escape, 3),
        (r"$['\u12']", Fault::Escape, 3),
        (r"$['\u12", Fault::Escape, 3),
        (r"$['\ud83d']", Fault::Surrogate, 3),
        (r"$['\ud83d\u0061']", Fault::Surrogate, 3),
        (r"$['\ude00']", Fault::Surrogate, 3),
        ("$[01]", Fault::Integer, 2),
        ("$[-0]", Fault::Integer, 2),
        ("$[-]", Fault::Integer, 2),
        ("$[-inf]", Fault::Integer, 2),
        ("$[1:-01]", Fault::Integer, 4),
        ("$[9007199254740992]", Fault::IntegerRange, 2),
        ("$[-9007199254740992]", Fault::IntegerRange, 2),
        ("$[99999999999999999999999]", Fault::IntegerRange, 2),
        ("$[?]", Fault::Operand, 3),
        ("$[?@.a", Fault::Bracket, 6),
        ("$[?(@.a]", Fault::Parenthesis, 7),
        ("$[?()]", Fault::Operand, 4),
        ("$[?@.a &&]", Fault::Operand, 9),
        ("$[?@.a & @.b]", Fault::Bracket, 7),
        ("$[?@.a | @.b]", Fault::Bracket, 7),
        ("$[?!1 == 1]", Fault::Operand, 4),
        ("$[?!@.a == 1]", Fault::Bracket, 8),
        ("$[?@.a == ]", Fault::Operand, 10),
        ("$[?@.a == b]", Fault::Operand, 10),
        ("$[?@.a == nul]", Fault::Operand, 10),
        ("$[?@.a == nullx]", Fault::Operand, 10),
        ("$[?@.a == [1]]", Fault::Operand, 10),
        ("$[?1]", Fault::Literal, 4),
        ("$[?'a' && @.b]", Fault::Literal, 6),
        ("$[?@.a == 01]", Fault::Number, 10),
        ("$[?@.a == 1.]", Fault::Number, 10),
        ("$[?@.a == -]", Fault::Number, 10),
        ("$[?@.a = 1]", Fault::Equals, 7),
        ("$[?@.a =~ 'b']", Fault::Regex, 7),
        ("$[?length(@.a) == 1]", Fault::Function, 3),
        ("$[?@.a == count(@.*)]", Fault::Function, 10),
        ("$[?@.* == 1]", Fault::NotSingular, 3),
        ("$[?1 == @..a]", Fault::NotSingular, 8),
        ("$[?@[0,1] == 1]", Fault::NotSingular, 3),
        ("$[?@.a == 1 == 2]", Fault::Bracket, 12),
    ] {
        let error = Path::parse(text).expect_err(text);
        assert_eq!(error, Error::Syntax { fault, at }, "{text}");
        assert!(error.to_string().contains(&format!("byte {at} of")));
    }
    let error = Path::parse_bytes(b"$.a\xff").unwrap_err();
    let fault = Fault::Utf8;
    assert_eq!(error, Error::Syntax { fault, at: 3 });
    assert_eq!(Path::parse_bytes(b"$.a"), Ok(path("$.a")));
}

#[test]
fn each_fault_has_its_own_sentence() {
    let error = Path::parse("$[?length(@.a) == 1]").unwrap_err();
    let sentence = "functions are not supported at byte 3 of the path";
    assert_eq!(error.to_string(), sentence);
    let error = Path::parse("$.books[?@.* == 1]").unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected a query of names and indices, since only one value can be compared, at byte 9 \
         of the path"
    );
}

#[test]
fn errors_survive_the_wire() {
    for error in [
        Path::parse("$[").unwrap_err(),
        Path::parse(&"a".repeat(5000)).unwrap_err(),
        get(b"{}", &[path(".a")], &LIMITS).unwrap_err(),
        set(b"{}", &path("$.a"), b"[", When::Always, &LIMITS).unwrap_err(),
    ] {
        let sent = postcard::to_stdvec(&error).unwrap();
        assert_eq!(postcard::from_bytes(&sent), Ok(error));
    }
}
