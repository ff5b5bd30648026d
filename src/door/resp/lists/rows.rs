//! The rows of the commands about lists.

use super::waiting::{blmove, blmpop, blpop, brpop, brpoplpush};
use super::{
    lindex, linsert, llen, lmove, lmpop, lpop, lpos, lpush, lpushx, lrange, lrem, lset, ltrim,
    rpop, rpoplpush, rpush, rpushx,
};
use crate::door::resp::table::{Flags, Spec};

pub(super) const COMMANDS: &[Spec] = &[
    Spec::new("blmove", 6, blmove)
        .grow()
        .flags(Flags::BLOCKING)
        .keys(1, 2, 1)
        .about(
            "6.2.0",
            "O(1)",
            "Moves an element from one list to another; does not wait for one.",
        ),
    Spec::new("blmpop", -5, blmpop)
        .write()
        .flags(Flags::BLOCKING)
        .counted(2, 0)
        .about(
            "7.0.0",
            "O(N) in the keys and the elements returned",
            "Takes elements of the first list that has some; does not wait for any.",
        ),
    Spec::new("blpop", -3, blpop)
        .write()
        .flags(Flags::BLOCKING)
        .keys(1, -2, 1)
        .about(
            "2.0.0",
            "O(N) in the keys",
            "Takes the first element of the first list that has some; does not wait for one.",
        ),
    Spec::new("brpop", -3, brpop)
        .write()
        .flags(Flags::BLOCKING)
        .keys(1, -2, 1)
        .about(
            "2.0.0",
            "O(N) in the keys",
            "Takes the last element of the first list that has some; does not wait for one.",
        ),
    Spec::new("brpoplpush", 4, brpoplpush)
        .grow()
        .flags(Flags::BLOCKING)
        .keys(1, 2, 1)
        .about(
            "2.2.0",
            "O(1)",
            "Moves the last element of a list to the front of another; does not wait for one.",
        ),
    Spec::new("lindex", 3, lindex).read().key().about(
        "1.0.0",
        "O(N) in the elements before it, if the list is small, else O(1)",
        "Returns the element at a place.",
    ),
    Spec::new("linsert", 5, linsert).grow().key().about(
        "2.2.0",
        "O(N) in the list",
        "Adds an element before or behind another.",
    ),
    Spec::new("llen", 2, llen).read().fast().key().about(
        "1.0.0",
        "O(1)",
        "Returns how many elements there are.",
    ),
    Spec::new("lmove", 5, lmove).grow().keys(1, 2, 1).about(
        "6.2.0",
        "O(1)",
        "Moves an element from one list to another.",
    ),
    Spec::new("lmpop", -4, lmpop).write().counted(1, 0).about(
        "7.0.0",
        "O(N) in the keys and the elements returned",
        "Takes elements of the first list that has some.",
    ),
    Spec::new("lpop", -2, lpop).write().fast().key().about(
        "1.0.0",
        "O(N) in the elements returned",
        "Takes elements from the front.",
    ),
    Spec::new("lpos", -3, lpos).read().key().about(
        "6.0.6",
        "O(N) in the list",
        "Returns where elements are that equal one.",
    ),
    Spec::new("lpush", -3, lpush).grow().fast().key().about(
        "1.0.0",
        "O(N) in the elements added",
        "Adds elements at the front.",
    ),
    Spec::new("lpushx", -3, lpushx).grow().fast().key().about(
        "2.2.0",
        "O(N) in the elements added",
        "Adds elements at the front of a list that is there.",
    ),
    Spec::new("lrange", 4, lrange).read().key().about(
        "1.0.0",
        "O(N) in the elements returned",
        "Returns the elements from one place to another.",
    ),
    Spec::new("lrem", 4, lrem).write().key().about(
        "1.0.0",
        "O(N) in the list",
        "Removes elements that equal one.",
    ),
    Spec::new("lset", 4, lset).grow().key().about(
        "1.0.0",
        "O(N) in the list, if it is small, else O(1)",
        "Replaces the element at a place.",
    ),
    Spec::new("ltrim", 4, ltrim).write().key().about(
        "1.0.0",
        "O(N) in the elements removed",
        "Keeps the elements from one place to another.",
    ),
    Spec::new("rpop", -2, rpop).write().fast().key().about(
        "1.0.0",
        "O(N) in the elements returned",
        "Takes elements from the end.",
    ),
    Spec::new("rpoplpush", 3, rpoplpush)
        .grow()
        .keys(1, 2, 1)
        .about(
            "1.2.0",
            "O(1)",
            "Moves the last element of a list to the front of another.",
        ),
    Spec::new("rpush", -3, rpush).grow().fast().key().about(
        "1.0.0",
        "O(N) in the elements added",
        "Adds elements at the end.",
    ),
    Spec::new("rpushx", -3, rpushx).grow().fast().key().about(
        "2.2.0",
        "O(N) in the elements added",
        "Adds elements at the end of a list that is there.",
    ),
];
