//! The same by other means: paths as trees of their own, followed through values of serde_json by
//! the definitions of RFC 9535, one step after the other.

use proptest::prelude::*;
use serde_json::Value;

/// One segment.
#[derive(Clone, Debug)]
pub(super) struct Seg {
    pub(super) deep: bool,
    pub(super) selectors: Vec<Sel>,
}

/// One selector.
#[derive(Clone, Debug)]
pub(super) enum Sel {
    Name(String),
    Wild,
    Index(i64),
    Slice(Option<i64>, Option<i64>, Option<i64>),
    Filter(Cond),
}

/// One condition; its queries begin at the present value or, if so noted, at the root.
#[derive(Clone, Debug)]
pub(super) enum Cond {
    Exists(bool, Vec<Seg>),
    Compare(bool, Vec<Seg>, &'static str, Value),
    Not(Box<Cond>),
    And(Box<Cond>, Box<Cond>),
    Or(Box<Cond>, Box<Cond>),
}

/// Where a value lies in another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Member(String),
    Element(usize),
}

pub(super) type Place = Vec<Step>;

impl Seg {
    pub(super) fn is_singular(&self) -> bool {
        !self.deep && matches!(self.selectors[..], [Sel::Name(_) | Sel::Index(_)])
    }
}

// ---- as text ----

pub(super) fn written(segments: &[Seg]) -> String {
    segments.iter().map(written_segment).collect()
}

fn written_segment(segment: &Seg) -> String {
    let dots = if segment.deep { ".." } else { "" };
    match &segment.selectors[..] {
        [Sel::Wild] if !segment.deep => ".*".to_owned(),
        [Sel::Name(name)] if name.len() == 1 => {
            let dots = if segment.deep { ".." } else { "." };
            format!("{dots}{name}")
        }
        selectors => {
            let selectors: Vec<_> = selectors.iter().map(written_selector).collect();
            format!("{dots}[{}]", selectors.join(", "))
        }
    }
}

fn written_selector(selector: &Sel) -> String {
    let number = |n: &Option<i64>| n.map(|n| n.to_string()).unwrap_or_default();
    match selector {
        Sel::Name(name) if name.len() % 2 == 0 => Value::from(name.as_str()).to_string(),
        Sel::Name(name) => format!("'{name}'"),
        Sel::Wild => "*".to_owned(),
        Sel::Index(index) => index.to_string(),
        Sel::Slice(start, end, None) => format!("{}:{}", number(start), number(end)),
        Sel::Slice(start, end, step) => {
            format!("{}:{}:{}", number(start), number(end), number(step))
        }
        Sel::Filter(condition) => format!("?{}", written_condition(condition)),
    }
}

fn written_condition(condition: &Cond) -> String {
    let query = |absolute: &bool, segments: &[Seg]| {
        let from = if *absolute { '$' } else { '@' };
        format!("{from}{}", written(segments))
    };
    match condition {
        Cond::Exists(absolute, segments) => query(absolute, segments),
        Cond::Compare(absolute, segments, how, literal) => {
            format!("{} {how} {literal}", query(absolute, segments))
        }
        Cond::Not(condition) => format!("!({})", written_condition(condition)),
        Cond::And(a, b) => format!("({}) && ({})", written_condition(a), written_condition(b)),
        Cond::Or(a, b) => format!("{}||({})", written_condition(a), written_condition(b)),
    }
}

// ---- followed ----

/// The places that the segments select, in their order.
pub(super) fn places(root: &Value, segments: &[Seg]) -> Vec<Place> {
    follow(root, vec![Place::new()], root, segments)
}

fn follow(root: &Value, from: Vec<Place>, base: &Value, segments: &[Seg]) -> Vec<Place> {
    let mut places = from;
    for segment in segments {
        let mut next = Vec::new();
        for place in places {
            let nodes = if segment.deep {
                descendants(place, base)
            } else {
                vec![place]
            };
            for node in nodes {
                for selector in &segment.selectors {
                    next.extend(children(root, &node, base, selector));
                }
            }
        }
        places = next;
    }
    places
}

fn descendants(place: Place, base: &Value) -> Vec<Place> {
    let mut all = vec![place.clone()];
    for child in children(base, &place, base, &Sel::Wild) {
        all.extend(descendants(child, base));
    }
    all
}

fn children(root: &Value, place: &Place, base: &Value, selector: &Sel) -> Vec<Place> {
    let value = at(base, place).unwrap();
    let below = |step: Step| [&place[..], &[step]].concat();
    let elements: Vec<Place> = match value {
        Value::Array(elements) => (0..elements.len())
            .map(|i| below(Step::Element(i)))
            .collect(),
        _ => Vec::new(),
    };
    match selector {
        Sel::Name(name) => {
            let member = value.as_object().and_then(|members| members.get(name));
            member
                .map(|_| below(Step::Member(name.clone())))
                .into_iter()
                .collect()
        }
        Sel::Index(index) => {
            let index = if *index < 0 {
                elements.len() as i64 + index
            } else {
                *index
            };
            let index = usize::try_from(index).ok();
            index
                .and_then(|i| elements.get(i).cloned())
                .into_iter()
                .collect()
        }
        Sel::Slice(start, end, step) => {
            let indices = sliced(*start, *end, step.unwrap_or(1), elements.len() as i64);
            indices.into_iter().map(|i| elements[i].clone()).collect()
        }
        Sel::Wild | Sel::Filter(_) => {
            let mut all = elements;
            if let Value::Object(members) = value {
                all.extend(members.keys().map(|name| below(Step::Member(name.clone()))));
            }
            if let Sel::Filter(condition) = selector {
                all.retain(|place| holds(root, at(base, place).unwrap(), condition));
            }
            all
        }
    }
}

/// The loops of RFC 9535, section 2.3.4.2.2.
fn sliced(start: Option<i64>, end: Option<i64>, step: i64, length: i64) -> Vec<usize> {
    let normalized = |i: i64| if i >= 0 { i } else { length + i };
    let mut indices = Vec::new();
    if step > 0 {
        let lower = normalized(start.unwrap_or(0)).max(0).min(length);
        let upper = normalized(end.unwrap_or(length)).max(0).min(length);
        let mut i = lower;
        while i < upper {
            indices.push(i as usize);
            i += step;
        }
    } else if step < 0 {
        let upper = normalized(start.unwrap_or(length - 1))
            .max(-1)
            .min(length - 1);
        let lower = normalized(end.unwrap_or(-length - 1))
            .max(-1)
            .min(length - 1);
        let mut i = upper;
        while lower < i {
            indices.push(i as usize);
            i += step;
        }
    }
    indices
}

fn holds(root: &Value, value: &Value, condition: &Cond) -> bool {
    let query = |absolute: &bool, segments: &[Seg]| {
        let base = if *absolute { root } else { value };
        let places = follow(root, vec![Place::new()], base, segments);
        let values = places.iter().map(|place| at(base, place).unwrap().clone());
        values.collect::<Vec<_>>()
    };
    match condition {
        Cond::Exists(absolute, segments) => !query(absolute, segments).is_empty(),
        Cond::Compare(absolute, segments, how, literal) => {
            compares(query(absolute, segments).first(), how, literal)
        }
        Cond::Not(condition) => !holds(root, value, condition),
        Cond::And(a, b) => holds(root, value, a) && holds(root, value, b),
        Cond::Or(a, b) => holds(root, value, a) || holds(root, value, b),
    }
}

fn compares(left: Option<&Value>, how: &str, right: &Value) -> bool {
    let equal = left == Some(right);
    let ordering = match (left, right) {
        (Some(Value::Number(a)), Value::Number(b)) => {
            a.as_i64().zip(b.as_i64()).map(|(a, b)| a.cmp(&b))
        }
        (Some(Value::String(a)), Value::String(b)) => Some(a.chars().cmp(b.chars())),
        _ => None,
    };
    let less = ordering.is_some_and(|ordering| ordering.is_lt());
    let greater = ordering.is_some_and(|ordering| ordering.is_gt());
    match how {
        "==" => equal,
        "!=" => !equal,
        "<" => less,
        "<=" => less || equal,
        ">" => greater,
        ">=" => greater || equal,
        _ => panic!("{how}"),
    }
}

pub(super) fn at<'v>(value: &'v Value, place: &[Step]) -> Option<&'v Value> {
    place.iter().try_fold(value, |value, step| match step {
        Step::Member(name) => value.as_object()?.get(name),
        Step::Element(index) => value.as_array()?.get(*index),
    })
}

pub(super) fn at_mut<'v>(value: &'v mut Value, place: &[Step]) -> Option<&'v mut Value> {
    place.iter().try_fold(value, |value, step| match step {
        Step::Member(name) => value.as_object_mut()?.get_mut(name),
        Step::Element(index) => value.as_array_mut()?.get_mut(*index),
    })
}

/// Each once, and in ascending order.
pub(super) fn each_once(mut places: Vec<Place>) -> Vec<Place> {
    places.sort();
    places.dedup();
    places
}

/// Each once, without those that lie in others.
pub(super) fn outermost(places: Vec<Place>) -> Vec<Place> {
    let places = each_once(places);
    let lies_in_another =
        |place: &Place| (0..place.len()).any(|length| places.contains(&place[..length].to_vec()));
    let outer = places.iter().filter(|place| !lies_in_another(place));
    outer.cloned().collect()
}

pub(super) fn remove(value: &mut Value, place: &[Step]) {
    let Some((last, parent)) = place.split_last() else {
        panic!("the root is not removed");
    };
    let parent = at_mut(value, parent).unwrap();
    match last {
        Step::Member(name) => drop(parent.as_object_mut().unwrap().remove(name)),
        Step::Element(index) => drop(parent.as_array_mut().unwrap().remove(*index)),
    }
}

// ---- made up ----

fn any_name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "", "é", "x y", "b\\n", "0"])
        .prop_map(|name| name.replace("\\n", "-"))
}

/// Documents in which few names, numbers and texts meet again and again.
pub(super) fn any_document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3..6_i64).prop_map(Value::from),
        prop::sample::select(vec!["", "a", "b", "é", "\"\\\n"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((any_name(), inner), 0..5)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

fn any_singular() -> impl Strategy<Value = Seg> {
    let selector = prop_oneof![
        3 => any_name().prop_map(Sel::Name),
        1 => (-3..4_i64).prop_map(Sel::Index),
    ];
    selector.prop_map(|selector| Seg {
        deep: false,
        selectors: vec![selector],
    })
}

/// Paths that lead to one value at most.
pub(super) fn any_singular_path() -> impl Strategy<Value = Vec<Seg>> {
    proptest::collection::vec(any_singular(), 1..4)
}

pub(super) fn any_path() -> impl Strategy<Value = Vec<Seg>> {
    path_with(any_condition(
        path_with(Just(Cond::Exists(false, Vec::new())).boxed()).boxed(),
    ))
}

fn path_with(condition: BoxedStrategy<Cond>) -> BoxedStrategy<Vec<Seg>> {
    let bound = || prop::option::of(-6..7_i64);
    let selector = prop_oneof![
        4 => any_name().prop_map(Sel::Name),
        2 => Just(Sel::Wild),
        2 => (-4..5_i64).prop_map(Sel::Index),
        2 => (bound(), bound(), prop::option::of(-3..4_i64))
            .prop_map(|(start, end, step)| Sel::Slice(start, end, step)),
        2 => condition.prop_map(Sel::Filter),
    ];
    let segment = (
        prop::bool::weighted(0.25),
        proptest::collection::vec(selector, 1..3),
    )
        .prop_map(|(deep, selectors)| Seg { deep, selectors });
    proptest::collection::vec(segment, 1..4).boxed()
}

fn any_condition(query: BoxedStrategy<Vec<Seg>>) -> BoxedStrategy<Cond> {
    let how = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let literal = prop_oneof![
        (-3..6_i64).prop_map(Value::from),
        prop::sample::select(vec!["", "a", "é"]).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    let singular = proptest::collection::vec(any_singular(), 0..3);
    let absolute = || prop::bool::weighted(0.2);
    let simple = prop_oneof![
        (absolute(), query).prop_map(|(absolute, query)| Cond::Exists(absolute, query)),
        (absolute(), singular, how, literal).prop_map(|(absolute, query, how, literal)| {
            Cond::Compare(absolute, query, how, literal)
        }),
    ];
    simple
        .prop_recursive(2, 4, 2, |inner| {
            prop_oneof![
                inner.clone().prop_map(|a| Cond::Not(Box::new(a))),
                (inner.clone(), inner.clone())
                    .prop_map(|(a, b)| Cond::And(Box::new(a), Box::new(b))),
                (inner.clone(), inner).prop_map(|(a, b)| Cond::Or(Box::new(a), Box::new(b))),
            ]
        })
        .boxed()
}
