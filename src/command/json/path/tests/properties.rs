//! Properties: whatever the document and the path, the outcome is that of the model.

use bytes::Bytes;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::Value;

use super::model::*;
use super::*;
use crate::command::json::compact;

fn read(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap()
}

/// The JSONPath and the legacy path of these segments.
fn paths(segments: &[Seg]) -> (Path, Path) {
    let written = written(segments);
    (path(&format!("${written}")), path(&written))
}

/// What a write left is one compact text, and means this.
fn is_left(left: &[u8], expected: &Value) -> Result<(), TestCaseError> {
    let bytes = Bytes::copy_from_slice(left);
    prop_assert_eq!(compact(&bytes, 128), Ok(bytes));
    prop_assert_eq!(&read(left), expected, "{}", left.escape_ascii());
    Ok(())
}

/// RFC 7396, section 2.
fn merged(target: &Value, patch: &Value) -> Value {
    let Value::Object(changes) = patch else {
        return patch.clone();
    };
    let mut members = target.as_object().cloned().unwrap_or_default();
    for (name, change) in changes {
        if change.is_null() {
            members.remove(name);
        } else {
            let old = members.remove(name).unwrap_or_default();
            members.insert(name.clone(), merged(&old, change));
        }
    }
    Value::Object(members)
}

/// The member that a path of names and indices could create: its object and its name.
fn creatable(document: &Value, segments: &[Seg]) -> Option<(Place, String)> {
    let (last, parents) = segments.split_last()?;
    let [Sel::Name(name)] = &last.selectors[..] else {
        return None;
    };
    let parent = places(document, parents).into_iter().next()?;
    let is_object = at(document, &parent)?.is_object();
    is_object.then(|| (parent, name.clone()))
}

fn create(document: &Value, segments: &[Seg], value: &Value) -> Option<Value> {
    let (parent, name) = creatable(document, segments)?;
    let mut created = document.clone();
    let parent = at_mut(&mut created, &parent)?;
    parent.as_object_mut()?.insert(name, value.clone());
    Some(created)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn paths_select_the_same_values_in_the_same_order(
        document in any_document(),
        segments in any_path(),
    ) {
        let text = document.to_string();
        let (path, legacy) = paths(&segments);
        let places = places(&document, &segments);
        let expected: Vec<_> = places.iter().map(|place| at(&document, place).unwrap()).collect();
        let selected = select(text.as_bytes(), &path).unwrap();
        let values: Vec<_> = selected.iter().map(|value| read(value)).collect();
        prop_assert_eq!(values.iter().collect::<Vec<_>>(), expected.clone(), "{}", path);
        prop_assert!(legacy.is_legacy());
        prop_assert_eq!(select(text.as_bytes(), &legacy), Ok(selected));

        let answer = read(&get(text.as_bytes(), std::slice::from_ref(&path), &LIMITS).unwrap());
        prop_assert_eq!(answer.as_array().unwrap().iter().collect::<Vec<_>>(), expected.clone());
        let answer = get(text.as_bytes(), std::slice::from_ref(&legacy), &LIMITS).ok();
        let first = answer.map(|answer| read(&answer));
        prop_assert_eq!(first.as_ref(), expected.first().copied());

        let lengths: Vec<_> =
            expected.iter().map(|value| value.as_array().map(Vec::len)).collect();
        prop_assert_eq!(arr_len(text.as_bytes(), &path, &LIMITS), Ok(lengths));
        let names = expected.iter().map(|value| {
            let members = value.as_object()?;
            Some(members.keys().map(|name| Bytes::copy_from_slice(name.as_bytes())).collect())
        });
        prop_assert_eq!(obj_keys(text.as_bytes(), &path, &LIMITS), Ok(names.collect::<Vec<_>>()));
        let types = types(text.as_bytes(), &path, &LIMITS).unwrap();
        prop_assert_eq!(types.len(), expected.len());
    }

    #[test]
    fn values_are_replaced(
        document in any_document(),
        segments in any_path(),
        value in any_document(),
    ) {
        let text = document.to_string();
        let (path, _) = paths(&segments);
        let places = outermost(places(&document, &segments));
        let mut expected = document.clone();
        for place in &places {
            *at_mut(&mut expected, place).unwrap() = value.clone();
        }
        let value = value.to_string();
        let left = set(text.as_bytes(), &path, value.as_bytes(), When::Present, &LIMITS).unwrap();
        match left {
            Some(left) => is_left(&left, &expected)?,
            None => prop_assert!(places.is_empty()),
        }
    }

    #[test]
    fn values_are_created(
        document in any_document(),
        segments in any_singular_path(),
        value in any_document(),
        not_if_present: bool,
    ) {
        let text = document.to_string();
        let (path, _) = paths(&segments);
        let written = value.to_string();
        let when = if not_if_present { When::Absent } else { When::Always };
        let left = set(text.as_bytes(), &path, written.as_bytes(), when, &LIMITS);
        let present = places(&document, &segments);
        let names_member = matches!(segments.last().unwrap().selectors[..], [Sel::Name(_)]);
        match (present.first(), not_if_present) {
            (Some(_), true) => prop_assert_eq!(left, Ok(None)),
            (Some(place), false) => {
                let mut expected = document.clone();
                *at_mut(&mut expected, place).unwrap() = value;
                is_left(&left.unwrap().unwrap(), &expected)?;
            }
            (None, _) if !names_member => prop_assert_eq!(left, Err(Error::IndexOutOfRange)),
            (None, _) => match create(&document, &segments, &value) {
                Some(expected) => {
                    let left = left.unwrap().unwrap();
                    is_left(&left, &expected)?;
                    prop_assert_eq!(selected(&super::text(left), path.as_str()), written);
                }
                None => prop_assert_eq!(left, Ok(None)),
            },
        }
    }

    #[test]
    fn values_are_removed(document in any_document(), segments in any_path()) {
        let text = document.to_string();
        let (path, _) = paths(&segments);
        let places = outermost(places(&document, &segments));
        let mut expected = document.clone();
        for place in places.iter().rev() {
            remove(&mut expected, place);
        }
        match delete(text.as_bytes(), &path, &LIMITS).unwrap() {
            Deleted::Nothing => prop_assert!(places.is_empty()),
            Deleted::Some { count, document } => {
                prop_assert_eq!(count, places.len());
                is_left(&document, &expected)?;
            }
            Deleted::All => prop_assert!(false, "{} is not the root", path),
        }
    }

    #[test]
    fn values_are_merged(
        document in any_document(),
        segments in any_path(),
        patch in any_document(),
    ) {
        let text = document.to_string();
        let (path, _) = paths(&segments);
        let mut places = each_once(places(&document, &segments));
        let left = merge(text.as_bytes(), &path, patch.to_string().as_bytes(), &LIMITS);
        if places.is_empty() {
            if patch.is_null() {
                prop_assert_eq!(left, Ok(None));
            } else if segments.iter().all(Seg::is_singular) {
                let value = merged(&Value::Null, &patch);
                match create(&document, &segments, &value) {
                    Some(expected) => is_left(&left.unwrap().unwrap(), &expected)?,
                    None => prop_assert!(matches!(left, Ok(None) | Err(Error::IndexOutOfRange))),
                }
            } else {
                prop_assert_eq!(left, Err(Error::NotStatic));
            }
            return Ok(());
        }
        let mut expected = document.clone();
        if patch.is_null() {
            places = outermost(places);
        }
        // Inner ones lie behind outer ones, so that they come first from behind.
        for place in places.iter().rev() {
            match place.last().unwrap() {
                Step::Member(_) if patch.is_null() => remove(&mut expected, place),
                _ => {
                    let target = at_mut(&mut expected, place).unwrap();
                    *target = merged(target, &patch);
                }
            }
        }
        is_left(&left.unwrap().unwrap(), &expected)?;
    }

    #[test]
    fn numbers_are_added_to(
        document in any_document(),
        segments in any_path(),
        by in -9..10_i64,
    ) {
        let text = document.to_string();
        let (path, _) = paths(&segments);
        let places = places(&document, &segments);
        let mut expected = document.clone();
        for place in each_once(places.clone()) {
            let target = at_mut(&mut expected, &place).unwrap();
            if let Some(number) = target.as_i64() {
                *target = Value::from(number + by);
            }
        }
        let changed = num_incr_by(text.as_bytes(), &path, by.to_string().as_bytes(), &LIMITS);
        let changed = changed.unwrap();
        let sums = changed.each.iter().map(|sum| sum.as_ref().map(|sum| read(sum)));
        let after = places.iter().map(|place| at(&expected, place).unwrap());
        let after = after.map(|value| value.is_number().then(|| value.clone()));
        prop_assert_eq!(sums.collect::<Vec<_>>(), after.collect::<Vec<_>>());
        match changed.document {
            Some(left) => is_left(&left, &expected)?,
            None => prop_assert_eq!(&document, &expected),
        }
    }

    #[test]
    fn arrays_are_added_to(
        document in any_document(),
        segments in any_path(),
        values in proptest::collection::vec(any_document(), 1..4),
    ) {
        let text = document.to_string();
        let (path, _) = paths(&segments);
        let places = places(&document, &segments);
        let mut expected = document.clone();
        for place in each_once(places.clone()) {
            if let Some(elements) = at_mut(&mut expected, &place).unwrap().as_array_mut() {
                elements.extend(values.iter().cloned());
            }
        }
        let values: Vec<_> = values.iter().map(|value| Bytes::from(value.to_string())).collect();
        let changed = arr_append(text.as_bytes(), &path, &values, &LIMITS).unwrap();
        let after = places.iter().map(|place| at(&expected, place).unwrap());
        let after = after.map(|value| value.as_array().map(Vec::len));
        prop_assert_eq!(changed.each, after.collect::<Vec<_>>());
        match changed.document {
            Some(left) => is_left(&left, &expected)?,
            None => prop_assert_eq!(&document, &expected),
        }
    }

    #[test]
    fn any_text_is_a_path_or_an_error_with_a_place(
        text in r#"(\$|\.|\.\.|\[|\]|'a'|"b"|a|\*|\?|@|\(|\)|!|&&|\|\||==|<|1|-|:|,| |\\|é){0,16}"#,
    ) {
        match Path::parse(&text) {
            Ok(path) => {
                let again = Path::parse(path.as_str());
                prop_assert_eq!(again, Ok(path.clone()));
                select(br#"{"a":[{"a":1,"b":"b"},2],"b":{"a":"a"}}"#, &path).unwrap();
            }
            Err(Error::Syntax { at, .. }) => prop_assert!(at <= text.len(), "{} {}", text, at),
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}

/// Properties of paths that lead nowhere would say little.
#[test]
fn made_up_paths_lead_somewhere_often_enough() {
    let mut runner = TestRunner::deterministic();
    let (mut somewhere, mut to_several, mut to_nested) = (0, 0, 0);
    for _ in 0..1000 {
        let document = any_document().new_tree(&mut runner).unwrap().current();
        let segments = any_path().new_tree(&mut runner).unwrap().current();
        let places = places(&document, &segments);
        let outer = outermost(places.clone()).len();
        somewhere += i32::from(!places.is_empty());
        to_several += i32::from(places.len() > 1);
        to_nested += i32::from(outer < each_once(places).len());
    }
    let counts = format!("{somewhere} {to_several} {to_nested}");
    assert!(
        somewhere > 150 && to_several > 80 && to_nested > 20,
        "{counts}"
    );
}
