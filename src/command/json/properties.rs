//! Properties of validation, compaction, envelopes and strings, with serde_json as the judge.

use proptest::prelude::*;
use serde_json::Value;

use super::tests::{compacted, without_space};
use super::*;

/// Documents of every shape, their strings rich in what needs care.
pub(super) fn any_json() -> impl Strategy<Value = Value> {
    let text = || {
        prop_oneof![
            "[a-c]{0,3}",
            r#"[ a\\"\u{0}-\u{1f}/é😀]{0,20}"#,
            "[ -~]{0,40}",
        ]
    };
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9f64).prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((text(), inner), 0..6)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// A way to write a document: as serde_json does, short or long, or with white space anywhere.
fn written() -> impl Strategy<Value = Vec<u8>> {
    let spaced = |(value, spaces): (Value, Vec<String>)| {
        let mut spaces = spaces.iter().cycle();
        let (mut in_string, mut escaped) = (false, false);
        let mut out = String::new();
        for character in value.to_string().chars() {
            let structural = !in_string && "{}[],:".contains(character);
            if structural && let Some(space) = spaces.next() {
                out.push_str(space);
            }
            out.push(character);
            match character {
                _ if escaped => escaped = false,
                '\\' if in_string => escaped = true,
                '"' => in_string = !in_string,
                _ => {}
            }
            if structural && let Some(space) = spaces.next() {
                out.push_str(space);
            }
        }
        out.into_bytes()
    };
    prop_oneof![
        any_json().prop_map(|value| serde_json::to_vec(&value).unwrap()),
        any_json().prop_map(|value| serde_json::to_vec_pretty(&value).unwrap()),
        (
            any_json(),
            proptest::collection::vec("[ \t\r\n]{0,20}", 0..9)
        )
            .prop_map(spaced),
    ]
}

/// A change of one place of a text: which place, what to do and with which byte.
fn mutations() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, u8)>> {
    let byte = prop_oneof![
        prop::sample::select(&b"{}[],:\"\\ \n0123456789-+.eEtfnua\x00\x1f\x7f\x80\xc3\xed\xff"[..]),
        any::<u8>(),
    ];
    proptest::collection::vec((any::<prop::sample::Index>(), 0u8..4, byte), 1..4)
}

fn mutate(text: &mut Vec<u8>, changes: &[(prop::sample::Index, u8, u8)]) {
    for (place, how, byte) in changes {
        let at = place.index(text.len() + 1);
        match how {
            0 => text.insert(at, *byte),
            1 => text.truncate(at),
            2 if at < text.len() => text[at] = *byte,
            _ if at < text.len() => drop(text.remove(at)),
            _ => text.push(*byte),
        }
    }
}

/// Accepts and refuses as serde_json does, and keeps every byte that counts.
fn agrees_with_serde_json(text: &[u8]) -> Result<(), TestCaseError> {
    let ours = compacted(text);
    match serde_json::from_slice::<Value>(text) {
        Ok(value) => {
            let ours = ours.map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(&ours[..], without_space(text));
            prop_assert_eq!(serde_json::from_slice::<Value>(&ours).unwrap(), value);
            let again = compact(&ours, 128).unwrap();
            prop_assert_eq!(&again, &ours);
            prop_assert_eq!(again.as_ptr(), ours.as_ptr());
        }
        // A Value holds no numbers beyond f64; text does.
        Err(error) if error.to_string().contains("number out of range") => {}
        Err(error) => prop_assert!(ours.is_err(), "{} refuses: {error}", text.escape_ascii()),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_documents(text in written()) {
        prop_assert!(serde_json::from_slice::<Value>(&text).is_ok());
        agrees_with_serde_json(&text)?;
    }

    #[test]
    fn mutated_documents(mut text in written(), changes in mutations()) {
        mutate(&mut text, &changes);
        agrees_with_serde_json(&text)?;
    }

    #[test]
    fn random_strings(body in r#"([a-z"é\x00-\x20]|\\["\\/bfnrtux]|\\u[dD][89c-f][0-9a-f]{2}|\\u[0-9a-f]{4}|[ -~]{1,12}){0,12}"#) {
        agrees_with_serde_json(format!("\"{body}\"").as_bytes())?;
        let expected = serde_json::from_str::<String>(&format!("\"{body}\"")).ok();
        prop_assert_eq!(string(format!("\"{body}\"").as_bytes()).map(|s| s.into_owned()), expected);
    }

    #[test]
    fn random_bytes(text in proptest::collection::vec(any::<u8>(), 0..64)) {
        agrees_with_serde_json(&text)?;
        let quoted = [b"\"", &text[..], b"\""].concat();
        agrees_with_serde_json(&quoted)?;
    }

    #[test]
    fn strings_written_are_read_back(text in r#"[ -~\x00-\x1f"\\é😀]{0,40}"#) {
        let mut out = Vec::new();
        write_string(&text, &mut out);
        prop_assert_eq!(&serde_json::to_vec(&text).unwrap(), &out);
        let read = string(&out);
        prop_assert_eq!(read.as_deref(), Some(&*text));
        prop_assert_eq!(compacted(&out).unwrap(), out);
    }

    #[test]
    fn envelopes_hold_what_compact_returns(text in written()) {
        let text = Bytes::from(text);
        let object = Object::parse(&text, 128);
        let value: Value = serde_json::from_slice(&text).unwrap();
        match value.as_object() {
            None => prop_assert_eq!(object.unwrap_err().code, Code::NotObject),
            Some(members) => {
                let object = object.unwrap();
                prop_assert_eq!(object.text(), &compact(&text, 128).unwrap());
                prop_assert_eq!(object.len(), members.len());
                for (name, value) in members {
                    let ours = object.get(name).unwrap();
                    prop_assert_eq!(&serde_json::from_slice::<Value>(ours).unwrap(), value);
                    prop_assert_eq!(compacted(ours).unwrap(), ours);
                }
                for (name, value) in object.iter() {
                    prop_assert_eq!(object.get(&name), Some(value));
                }
            }
        }
    }
}
