//! Decides whether a condition in a JSON path, `[?(…)]`, holds. Nothing in it is an error: what is
//! missing is equal to nothing.

use std::borrow::Cow;
use std::cmp::Ordering;

use millrace_api::data::{Decimal, Value, java_double, java_single};
use num_bigint::BigInt;

use super::{Context, Steps};
use crate::java_number::big_decimal;
use crate::pattern::Pattern;

#[derive(Clone, Debug)]
pub(super) enum Condition {
    Any(Vec<Condition>),
    All(Vec<Condition>),
    Not(Box<Condition>),
    /// The path leads to something, if only to null.
    Exists(Path),
    Compare(Operand, Operator, Operand),
    /// Equal to one of these, which are no paths.
    In(Operand, Vec<Operand>),
    /// All of the text matches.
    Matches(Operand, Pattern),
}

/// A definite path from the value that the condition is put to, or from the root.
#[derive(Clone, Debug)]
pub(super) struct Path {
    pub(super) from_root: bool,
    pub(super) steps: Steps,
}

#[derive(Clone, Debug)]
pub(super) enum Operand {
    Path(Path),
    Null,
    Boolean(bool),
    Number(Decimal),
    Text(String),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    /// The type as well.
    Same,
    NotSame,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What an operand stands for.
enum Node<'v> {
    Missing,
    Null,
    Boolean(bool),
    Number(Cow<'v, Decimal>),
    Text(&'v str),
    Other(&'v Value),
}

impl Condition {
    pub(super) fn holds(&self, context: Context<'_>) -> bool {
        match self {
            Self::Any(parts) => parts.iter().any(|part| part.holds(context)),
            Self::All(parts) => parts.iter().all(|part| part.holds(context)),
            Self::Not(part) => !part.holds(context),
            Self::Exists(path) => path.find(context).is_some(),
            Self::Compare(left, operator, right) => {
                operator.holds(&left.node(context), &right.node(context))
            }
            Self::In(operand, list) => {
                let node = operand.node(context);
                list.iter().any(|item| node.equals(&item.node(context)))
            }
            Self::Matches(operand, pattern) => pattern.matches(&operand.node(context).text()),
        }
    }
}

impl Path {
    fn find<'v>(&self, context: Context<'v>) -> Option<&'v Value> {
        let value = if self.from_root { context.root } else { context.value };
        self.steps.single(Context { value, ..context })
    }
}

impl Operand {
    fn node<'v>(&'v self, context: Context<'v>) -> Node<'v> {
        match self {
            Self::Path(path) => path.find(context).map_or(Node::Missing, Node::of),
            Self::Null => Node::Null,
            Self::Boolean(value) => Node::Boolean(*value),
            Self::Number(number) => Node::Number(Cow::Borrowed(number)),
            Self::Text(text) => Node::Text(text),
        }
    }
}

impl<'v> Node<'v> {
    fn of(value: &'v Value) -> Self {
        let integer =
            |n: i64| Self::Number(Cow::Owned(Decimal { unscaled: BigInt::from(n), scale: 0 }));
        let float = |text: String| {
            big_decimal(&text).map_or(Self::Other(value), |number| Self::Number(Cow::Owned(number)))
        };
        match value {
            Value::Null => Self::Null,
            Value::Boolean(value) => Self::Boolean(*value),
            Value::String(text) => Self::Text(text),
            Value::Int8(n) => integer((*n).into()),
            Value::Int16(n) => integer((*n).into()),
            Value::Int32(n) => integer((*n).into()),
            Value::Int64(n) => integer(*n),
            Value::Float32(n) => float(java_single(*n)),
            Value::Float64(n) => float(java_double(*n)),
            Value::Decimal(number) => Self::Number(Cow::Borrowed(number)),
            other => Self::Other(other),
        }
    }

    /// What a pattern is held against.
    fn text(&self) -> Cow<'v, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Number(number) => Cow::Owned(number.to_string()),
            Self::Boolean(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
            Self::Missing | Self::Null | Self::Other(_) => Cow::Borrowed(""),
        }
    }

    /// A text on the right of a number is read as one, a number on the right of a text written.
    fn equals(&self, right: &Self) -> bool {
        match (self, right) {
            (Self::Null, Self::Null) => true,
            (Self::Boolean(a), Self::Boolean(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => order(a, b) == Ordering::Equal,
            (Self::Number(a), Self::Text(b)) => {
                big_decimal(b).is_some_and(|b| order(a, &b) == Ordering::Equal)
            }
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Text(a), Self::Number(b)) => **a == b.to_string(),
            (Self::Other(a), Self::Other(b)) => a == b,
            _ => false,
        }
    }

    fn is_of_the_type_of(&self, right: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(right)
    }

    fn order(&self, right: &Self) -> Option<Ordering> {
        match (self, right) {
            (Self::Number(a), Self::Number(b)) => Some(order(a, b)),
            (Self::Text(a), Self::Text(b)) => Some(a.encode_utf16().cmp(b.encode_utf16())),
            _ => None,
        }
    }
}

impl Operator {
    fn holds(self, left: &Node<'_>, right: &Node<'_>) -> bool {
        match self {
            Self::Equal => left.equals(right),
            Self::NotEqual => !left.equals(right),
            Self::Same => left.is_of_the_type_of(right) && left.equals(right),
            Self::NotSame => !(left.is_of_the_type_of(right) && left.equals(right)),
            Self::Less => left.order(right).is_some_and(Ordering::is_lt),
            Self::LessOrEqual => left.order(right).is_some_and(Ordering::is_le),
            Self::Greater => left.order(right).is_some_and(Ordering::is_gt),
            Self::GreaterOrEqual => left.order(right).is_some_and(Ordering::is_ge),
        }
    }
}

/// Numbers whose scales lie further apart are told apart by their size alone.
const MAX_SHIFT: u32 = 10_000;

/// `BigDecimal.compareTo`.
fn order(a: &Decimal, b: &Decimal) -> Ordering {
    if a.scale == b.scale {
        return a.unscaled.cmp(&b.unscaled);
    }
    let signs = a.unscaled.sign().cmp(&b.unscaled.sign());
    if signs != Ordering::Equal || a.unscaled == BigInt::ZERO {
        return signs;
    }
    let shift = a.scale.abs_diff(b.scale);
    if shift > MAX_SHIFT {
        // Digits before the point, as far as that matters here.
        let size = |n: &Decimal| n.unscaled.bits() as i64 / 3 - i64::from(n.scale);
        let sizes = size(a).cmp(&size(b));
        let is_negative = a.unscaled < BigInt::ZERO;
        return if is_negative { sizes.reverse() } else { sizes };
    }
    let factor = BigInt::from(10).pow(shift);
    match a.scale < b.scale {
        true => (&a.unscaled * factor).cmp(&b.unscaled),
        false => a.unscaled.cmp(&(&b.unscaled * factor)),
    }
}
