use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const KINDS: [Kind; 3] = [Kind::Set, Kind::Hash, Kind::List];

fn item() -> impl Strategy<Value = Bytes> {
    // Few and short, so that they meet again; and some that are long or no text.
    prop_oneof![
        8 => "[a-d]{0,2}".prop_map(Bytes::from),
        1 => vec(any::<u8>(), 0..300).prop_map(Bytes::from),
    ]
}

fn delta(kind: Kind) -> BoxedStrategy<Delta> {
    let items = || vec(item(), 0..6);
    match kind {
        Kind::Set => (items(), items())
            .prop_map(|(removed, added)| Delta::Set { removed, added })
            .boxed(),
        Kind::Hash => (items(), vec((item(), item()), 0..6))
            .prop_map(|(removed, set)| Delta::Hash { removed, set })
            .boxed(),
        _ => {
            let splice = (0..8u64, 0..4u64, items()).prop_map(|(at, removed, inserted)| Splice {
                at,
                removed,
                inserted,
            });
            vec(splice, 0..4).prop_map(Delta::List).boxed()
        }
    }
}

fn deltas() -> impl Strategy<Value = (Kind, Vec<Delta>)> {
    let kind = prop::sample::select(&KINDS[..]);
    kind.prop_flat_map(|kind| (Just(kind), vec(delta(kind), 0..12)))
}

/// What a collection is, the simple way: its items in order.
fn apply_to_model(model: &mut Vec<(Bytes, Bytes)>, delta: &Delta) {
    let none = Bytes::new();
    let swap_remove = |model: &mut Vec<(Bytes, Bytes)>, item: &Bytes| {
        if let Some(place) = model.iter().position(|(present, _)| present == item) {
            model.swap_remove(place);
        }
    };
    match delta {
        Delta::Expiry(_) => {}
        Delta::Set { removed, added } => {
            removed.iter().for_each(|item| swap_remove(model, item));
            for item in added {
                if model.iter().all(|(present, _)| present != item) {
                    model.push((item.clone(), none.clone()));
                }
            }
        }
        Delta::Hash { removed, set } => {
            removed.iter().for_each(|item| swap_remove(model, item));
            for (field, value) in set {
                match model.iter_mut().find(|(present, _)| present == field) {
                    Some((_, place)) => *place = value.clone(),
                    None => model.push((field.clone(), value.clone())),
                }
            }
        }
        Delta::List(splices) => {
            for splice in splices {
                let (at, removed) = (splice.at as usize, splice.removed as usize);
                if at + removed <= model.len() {
                    let inserted = splice.inserted.iter();
                    let inserted = inserted.map(|item| (item.clone(), none.clone()));
                    model.splice(at..at + removed, inserted.collect::<Vec<_>>());
                }
            }
        }
    }
}

fn items(view: View<'_>) -> Vec<(Bytes, Bytes)> {
    let bytes = Bytes::copy_from_slice;
    let items = view.iter();
    let items = items.map(|(item, value)| (bytes(item), bytes(value.unwrap_or_default())));
    items.collect()
}

proptest! {
    #[test]
    fn deltas_do_what_they_say_and_both_forms_read_the_same((kind, deltas) in deltas()) {
        let mut collection = Collection::new(kind).unwrap();
        let mut model = Vec::new();
        for delta in &deltas {
            collection.apply(delta);
            apply_to_model(&mut model, delta);
        }
        let packed = collection.pack();
        prop_assert_eq!(packed.len(), collection.packed_bytes());
        let bytes: usize = model.iter().map(|(item, value)| item.len() + value.len()).sum();
        prop_assert_eq!(collection.item_bytes(), bytes);
        prop_assert!(collection.memory_bytes() >= bytes);
        prop_assert_eq!(check(kind, &packed), !model.is_empty());
        let again = Collection::unpack(kind, &packed).unwrap();
        prop_assert_eq!(&again, &collection);
        prop_assert_eq!(again.packed_bytes(), collection.packed_bytes());
        let of_packed = match kind {
            Kind::Hash => View::of_pairs(&packed),
            _ => View::of_items(&packed),
        };
        for view in [View::Open(&collection), of_packed] {
            prop_assert_eq!(items(view), &model[..]);
            prop_assert_eq!(view.len(), model.len());
            prop_assert_eq!(view.packed_bytes(), packed.len());
            for place in 0..model.len() + 1 {
                let found = view.nth(place).map(|(item, _)| Bytes::copy_from_slice(item));
                prop_assert_eq!(found, model.get(place).map(|(item, _)| item.clone()));
                let range: Vec<&[u8]> = view.range(place, 2).collect();
                let expected = model.iter().skip(place).take(2);
                prop_assert_eq!(range, expected.map(|(item, _)| &item[..]).collect::<Vec<_>>());
            }
            for (item, value) in &model {
                prop_assert!(view.contains(item));
                if kind == Kind::Hash {
                    prop_assert_eq!(view.value(item), Some(&value[..]));
                }
            }
            prop_assert!(!view.contains(b"nobody"));
        }
    }

    #[test]
    fn what_is_no_packed_form_is_refused(kind in prop::sample::select(&KINDS[..]), bytes: Vec<u8>) {
        if let Some(collection) = Collection::unpack(kind, &bytes) {
            let items = collection.len() * if kind == Kind::Hash { 2 } else { 1 };
            prop_assert!(items <= bytes.len());
            prop_assert!(collection.is_empty() || check(kind, &bytes));
        }
    }
}

#[test]
fn a_claimed_count_reserves_nothing() {
    // 2^62 items, and then the end.
    let claim = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40];
    for kind in KINDS {
        assert!(Collection::unpack(kind, &claim).is_none());
        assert!(!check(kind, &claim));
    }
    assert!(Collection::unpack(Kind::Json, &[0]).is_none());
}

#[test]
fn members_come_once() {
    let mut packer = Packer::new(2);
    packer.push(b"a");
    packer.push(b"a");
    let twice = packer.finish();
    assert!(Collection::unpack(Kind::Set, &twice).is_none());
    assert!(Collection::unpack(Kind::List, &twice).is_some());
}

#[test]
fn room_is_given_back() {
    let mut list = Collection::new(Kind::List).unwrap();
    let inserted = vec![Bytes::from_static(b"element"); 100_000];
    let push = Splice {
        at: 0,
        removed: 0,
        inserted,
    };
    list.apply(&Delta::List(vec![push]));
    let full = list.memory_bytes();
    let cut = Splice {
        at: 10,
        removed: 99_990,
        inserted: Vec::new(),
    };
    list.apply(&Delta::List(vec![cut]));
    assert_eq!(list.len(), 10);
    assert!(list.memory_bytes() * 100 < full);
}
