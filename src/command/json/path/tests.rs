//! Facts about paths, by what they are about.

mod bounds;
mod model;
mod parsing;
mod properties;
mod selecting;
mod writing;

use super::*;
use crate::command::Limits;

const LIMITS: Limits = Limits {
    value_bytes_max: 1 << 20,
    collection_bytes_max: 1 << 20,
    json_depth_max: 128,
    work_max: usize::MAX,
};

fn path(text: &str) -> Path {
    Path::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// What a path selects, as one text.
fn selected(document: &str, text: &str) -> String {
    let values = select(document.as_bytes(), &path(text));
    let values = values.unwrap_or_else(|error| panic!("{text}: {error}"));
    let texts: Vec<_> = values
        .into_iter()
        .map(|value| std::str::from_utf8(value).unwrap())
        .collect();
    texts.join(" ")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}
