//! The services whose values have parts: sets, hashes and lists.

use super::bodies::{Fields, Hash, Item, List, Set};
use super::common::{
    FirstLife, Gone, Miss, Named, NotRead, NotTaken, NotWritten, OtherType, Read, Write,
};

/// Read a set
///
/// All members, unless the query asks for less. A set that is not there is an empty one, and
/// `X-Cache: MISS`. The members come in no order.
#[utoipa::path(get, path = "/sets/{key}", tag = "sets",
    params(
        Named, Read,
        ("item" = Option<String>, Query, description = "Whether this is a member; may be given several times"),
        ("length" = Option<bool>, Query, description = "How many members there are"),
        ("random" = Option<bool>, Query, description = "Members at random"),
        ("count" = Option<u64>, Query, description = "With `random`: so many, 1 by default, each once"),
    ),
    responses((status = 200, body = Set, description = "What was asked for"), NotRead, OtherType))]
pub(super) fn get_set() {}

/// Add to a set
///
/// The members are in the query or in the body. The answer has all members that there are then, unless
/// the request says `Prefer: return=minimal`.
#[utoipa::path(put, path = "/sets/{key}", tag = "sets",
    params(
        Named, Write,
        ("item" = Option<String>, Query, description = "A member; may be given several times"),
        ("replace" = Option<bool>, Query, description = "Make the set just these members"),
        ("Prefer" = Option<String>, Header, description = "`return=minimal`: answer without the members"),
        FirstLife,
    ),
    request_body(content((Vec<Item> = "application/json"), (Vec<u8> = "application/octet-stream"), (String = "text/plain"))),
    responses((status = 200, body = Set, description = "They are members"), NotWritten, NotTaken, OtherType))]
pub(super) fn put_set() {}

/// Take members from a set
#[utoipa::path(post, path = "/sets/{key}", tag = "sets",
    params(
        Named, Write,
        ("pop" = bool, Query, description = "Remove members at random, and answer with them"),
        ("count" = Option<u64>, Query, description = "So many, 1 by default"),
    ),
    responses((status = 200, body = Set, description = "They were members"), NotWritten, OtherType))]
pub(super) fn post_set() {}

/// Remove from a set, or delete it
///
/// With members the answer is that of adding them. Without any the whole value goes, of whatever type,
/// and the answer is that of other deletes. There is no body.
#[utoipa::path(delete, path = "/sets/{key}", tag = "sets",
    params(
        Named, Write,
        ("item" = Option<String>, Query, description = "A member; may be given several times"),
        ("Prefer" = Option<String>, Header, description = "`return=minimal`: answer without the members"),
    ),
    responses(Gone, NotWritten, OtherType))]
pub(super) fn delete_set() {}

/// Read a hash
///
/// All fields, unless the query asks for less. A hash that is not there is an empty one, and
/// `X-Cache: MISS`; one field that is not there is 404.
#[utoipa::path(get, path = "/hashes/{key}", tag = "hashes",
    params(
        Named, Read,
        ("field" = Option<String>, Query, description = "The value of this; may be given several times"),
        ("length" = Option<bool>, Query, description = "How many fields there are"),
        ("names" = Option<bool>, Query, description = "The fields without their values"),
    ),
    responses((status = 200, body = Hash, description = "What was asked for"), Miss, NotRead, OtherType))]
pub(super) fn get_hash() {}

/// Set fields of a hash
///
/// One that the query names, whose value is there or is the body; or all that are in the body. Or adds
/// to the number that a field holds; one that is not there stands at 0.
#[utoipa::path(put, path = "/hashes/{key}", tag = "hashes",
    params(
        Named, Write,
        ("field" = Option<String>, Query, description = "The one field"),
        ("value" = Option<String>, Query, description = "Its value, unless it is the body"),
        ("increment" = Option<f64>, Query, description = "What to add to it instead"),
        ("replace" = Option<bool>, Query, description = "Make the hash just these fields"),
        FirstLife,
    ),
    request_body(content(
        (Fields = "application/json"), (Vec<u8> = "application/octet-stream"), (String = "text/plain"),
    )),
    responses((status = 200, body = Hash, description = "They are set"), NotWritten, NotTaken, OtherType))]
pub(super) fn put_hash() {}

/// Remove fields of a hash, or delete it
///
/// Without a field the whole value goes, of whatever type. There is no body.
#[utoipa::path(delete, path = "/hashes/{key}", tag = "hashes",
    params(
        Named, Write,
        ("field" = Option<String>, Query, description = "A field; may be given several times"),
    ),
    responses(Gone, NotWritten, OtherType))]
pub(super) fn delete_hash() {}

/// Read a list
///
/// All elements, unless the query asks for less. A list that is not there is an empty one, and
/// `X-Cache: MISS`; one element that is not there is 404. Negative places count from the end.
#[utoipa::path(get, path = "/lists/{key}", tag = "lists",
    params(
        Named, Read,
        ("index" = Option<i64>, Query, description = "The element at this place"),
        ("from" = Option<i64>, Query, description = "The elements from here, 0 by default"),
        ("to" = Option<i64>, Query, description = "to here, -1 by default, both included"),
        ("length" = Option<bool>, Query, description = "How many elements there are"),
    ),
    responses((status = 200, body = List, description = "What was asked for"), Miss, NotRead, OtherType))]
pub(super) fn get_list() {}

/// Add to a list, or take from it
///
/// Pushes the items of the query or the body one after another; or takes elements off an end; or keeps
/// only some.
#[utoipa::path(post, path = "/lists/{key}", tag = "lists",
    params(
        Named, Write,
        ("item" = Option<String>, Query, description = "An element; may be given several times"),
        ("push" = Option<String>, Query, description = "`right`, the default, or `left`"),
        ("pop" = Option<String>, Query, description = "Take elements off, and answer with them: `left` or `right`"),
        ("count" = Option<u64>, Query, description = "With `pop`: so many, 1 by default"),
        ("trim" = Option<bool>, Query, description = "Keep the elements `from` and `to` name"),
        ("from" = Option<i64>, Query, description = "With `trim`: 0 by default"),
        ("to" = Option<i64>, Query, description = "With `trim`: -1 by default, included"),
        FirstLife,
    ),
    request_body(content((Vec<Item> = "application/json"), (Vec<u8> = "application/octet-stream"), (String = "text/plain"))),
    responses((status = 200, body = List, description = "It is done"), NotWritten, NotTaken, OtherType))]
pub(super) fn post_list() {}

/// Replace an element of a list, or all
#[utoipa::path(put, path = "/lists/{key}", tag = "lists",
    params(
        Named, Write,
        ("index" = Option<i64>, Query, description = "The place of the one element"),
        ("replace" = Option<bool>, Query, description = "Make the list just these elements"),
        ("item" = Option<String>, Query, description = "An element; may be given several times"),
        ("ttl" = Option<String>, Query, description = "With `replace`: seconds, or a duration such as `1h`. Absent: for ever"),
    ),
    request_body(content((Vec<Item> = "application/json"), (Vec<u8> = "application/octet-stream"), (String = "text/plain"))),
    responses((status = 200, body = List, description = "It is done"), Miss, NotWritten, NotTaken, OtherType))]
pub(super) fn put_list() {}

/// Remove from a list, or delete it
///
/// Without an item the whole value goes, of whatever type. There is no body.
#[utoipa::path(delete, path = "/lists/{key}", tag = "lists",
    params(
        Named, Write,
        ("item" = Option<String>, Query, description = "Remove elements that equal this"),
        ("count" = Option<u64>, Query, description = "So many from the left; all by default"),
    ),
    responses(Gone, NotWritten, OtherType))]
pub(super) fn delete_list() {}
