//! Reading a collection in either form.

use super::{Collection, Items, Packed};

/// A collection as commands read it. A key without a value is an empty one.
#[derive(Clone, Copy, Debug)]
pub enum View<'a> {
    /// There is none.
    Empty,
    /// Packed, as it is kept.
    Packed(PackedView<'a>),
    /// Open.
    Open(&'a Collection),
}

/// A member or an element; or a field with its value.
pub type Item<'a> = (&'a [u8], Option<&'a [u8]>);

/// A packed collection of which it is known how many items each entry has.
#[derive(Clone, Copy, Debug)]
pub struct PackedView<'a> {
    items: Packed<'a>,
    is_hash: bool,
}

impl<'a> View<'a> {
    /// Of a packed set or list.
    #[must_use]
    pub fn of_items(data: &'a [u8]) -> View<'a> {
        View::packed(data, false)
    }

    /// Of a packed hash.
    #[must_use]
    pub fn of_pairs(data: &'a [u8]) -> View<'a> {
        View::packed(data, true)
    }

    fn packed(data: &'a [u8], is_hash: bool) -> View<'a> {
        match Packed::new(data) {
            Some(items) => View::Packed(PackedView { items, is_hash }),
            None => View::Empty,
        }
    }

    /// Members, fields or elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            View::Empty => 0,
            View::Packed(view) => view.items.entries(),
            View::Open(collection) => collection.len(),
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the packed form.
    #[must_use]
    pub fn packed_bytes(&self) -> usize {
        match self {
            View::Empty => 0,
            View::Packed(view) => {
                let items = view.items.map(|item| super::packed::item_bytes(item.len()));
                super::packed::number_bytes(view.items.entries()) + items.sum::<usize>()
            }
            View::Open(collection) => collection.packed_bytes(),
        }
    }

    /// Whether this member or field is in it; of lists only whether there is such an element.
    #[must_use]
    pub fn contains(&self, item: &[u8]) -> bool {
        match self {
            View::Empty => false,
            View::Packed(view) => view.pairs().any(|(present, _)| present == item),
            View::Open(collection) => match &collection.items {
                Items::Set(set) => set.contains(item),
                Items::Hash(hash) => hash.contains_key(item),
                Items::List(list) => list.iter().any(|present| &present[..] == item),
            },
        }
    }

    /// The value of a hash's field.
    #[must_use]
    pub fn value(&self, field: &[u8]) -> Option<&'a [u8]> {
        match self {
            View::Open(Collection {
                items: Items::Hash(hash),
                ..
            }) => hash.get(field).map(|value| &value[..]),
            View::Packed(view) => view.pairs().find(|(present, _)| *present == field)?.1,
            _ => None,
        }
    }

    /// The item at a place: of a hash, a field and its value.
    #[must_use]
    pub fn nth(&self, place: usize) -> Option<Item<'a>> {
        match self {
            View::Empty => None,
            View::Packed(view) => view.pairs().nth(place),
            View::Open(collection) => match &collection.items {
                Items::Set(set) => set.get_index(place).map(|member| (&member[..], None)),
                Items::Hash(hash) => {
                    let pair = hash.get_index(place);
                    pair.map(|(field, value)| (&field[..], Some(&value[..])))
                }
                Items::List(list) => list.get(place).map(|element| (&element[..], None)),
            },
        }
    }

    /// All items in order, as [`View::iter`] has them, without noting where they are: for who goes
    /// through a large collection once.
    pub fn items(&self) -> impl Iterator<Item = Item<'a>> + use<'a> {
        let items: Box<dyn Iterator<Item = Item<'a>> + 'a> = match *self {
            View::Packed(view) => Box::new(view.pairs()),
            _ => self.iter(),
        };
        items
    }

    /// All items in order: of a hash, fields with their values.
    pub fn iter(&self) -> Box<dyn DoubleEndedIterator<Item = Item<'a>> + 'a> {
        match *self {
            View::Empty => Box::new(std::iter::empty()),
            View::Packed(view) => Box::new(view.pairs().collect::<Vec<_>>().into_iter()),
            View::Open(collection) => match &collection.items {
                Items::Set(set) => Box::new(set.iter().map(|member| (&member[..], None))),
                Items::Hash(hash) => Box::new(
                    hash.iter()
                        .map(|(field, value)| (&field[..], Some(&value[..]))),
                ),
                Items::List(list) => Box::new(list.iter().map(|element| (&element[..], None))),
            },
        }
    }

    /// The items from a place on, so many at most.
    pub fn range(&self, from: usize, count: usize) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let open: Box<dyn Iterator<Item = &'a [u8]>> = match *self {
            View::Open(Collection {
                items: Items::List(list),
                ..
            }) => {
                let from = from.min(list.len());
                let to = from.saturating_add(count).min(list.len());
                Box::new(list.range(from..to).map(|element| &element[..]))
            }
            _ => Box::new(self.iter().skip(from).take(count).map(|(item, _)| item)),
        };
        open
    }
}

impl<'a> PackedView<'a> {
    fn pairs(self) -> impl Iterator<Item = Item<'a>> + use<'a> {
        let mut items = self.items;
        std::iter::from_fn(move || {
            let item = items.next()?;
            let value = if self.is_hash { items.next() } else { None };
            Some((item, value))
        })
    }
}
