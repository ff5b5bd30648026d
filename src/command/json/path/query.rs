//! What a path means, once it has been read.
//!
//! The words are those of RFC 9535: a query is a row of segments, each of which goes from values to
//! some of their children (or of all their descendants), picked by its selectors.

/// A row of segments, and where it starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// Its number among the queries that start from the root of the document, in filters.
    /// `None` starts from the present value (`@`).
    pub(super) absolute: Option<usize>,
    pub(super) segments: Vec<Segment>,
}

impl Query {
    /// Whether it selects one value at most.
    pub(super) fn is_singular(&self) -> bool {
        self.segments.iter().all(Segment::is_singular)
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Whether it looks at the children of all descendants too (`..`).
    pub(super) descendant: bool,
    pub(super) selectors: Vec<Selector>,
}

impl Segment {
    /// Whether it leads to one child at most.
    pub(super) fn is_singular(&self) -> bool {
        let one = matches!(self.selectors[..], [Selector::Name(_) | Selector::Index(_)]);
        one && !self.descendant
    }

    /// Whether the length of an array must be known before its elements are looked at.
    pub(super) fn needs_length(&self) -> bool {
        self.selectors.iter().any(|selector| match selector {
            Selector::Index(index) => *index < 0,
            Selector::Slice(slice) => slice.needs_length(),
            Selector::Name(_) | Selector::Wildcard | Selector::Filter(_) => false,
        })
    }
}

/// Which children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selector {
    /// The member of this name.
    Name(String),
    /// All.
    Wildcard,
    /// The element at this index; counted from the end if negative.
    Index(i64),
    /// Some elements.
    Slice(Slice),
    /// Those for which this holds.
    Filter(Condition),
}

/// `[start:end:step]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) start: Option<i64>,
    pub(super) end: Option<i64>,
    pub(super) step: i64,
}

impl Slice {
    fn needs_length(&self) -> bool {
        self.step < 0 || self.start.is_some_and(|n| n < 0) || self.end.is_some_and(|n| n < 0)
    }

    /// Whether it selects the element at `index` of an array that is `length` long, by the
    /// arithmetic of RFC 9535, section 2.3.4.2.2. A length is only needed where
    /// [`needs_length`](Segment::needs_length) says so; any greater than `index` will do otherwise.
    pub(super) fn selects(&self, index: i64, length: i64) -> bool {
        let absolute = |n: i64| if n < 0 { length.saturating_add(n) } else { n };
        if self.step > 0 {
            let lower = absolute(self.start.unwrap_or(0)).clamp(0, length);
            let upper = absolute(self.end.unwrap_or(length)).clamp(0, length);
            (lower..upper).contains(&index) && (index - lower) % self.step == 0
        } else if self.step < 0 {
            let upper = absolute(self.start.unwrap_or(length - 1)).clamp(-1, length - 1);
            let lower = match self.end {
                Some(end) => absolute(end).clamp(-1, length - 1),
                None => -1,
            };
            lower < index && index <= upper && (upper - index) % self.step == 0
        } else {
            false
        }
    }
}

/// What a filter asks of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// One of them holds.
    Any(Vec<Condition>),
    /// All of them hold.
    All(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
    /// The query selects something.
    Exists(Query),
    /// Two values compare so.
    Compare(Operand, Comparison, Operand),
}

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    /// A string, number, `true`, `false` or `null`, as JSON text.
    Literal(Vec<u8>),
    /// The value that a query selects, if any.
    Query(Query),
}

/// How.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}
