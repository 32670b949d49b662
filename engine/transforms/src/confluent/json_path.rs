//! Decides what a JSON path leads to, as the library JsonPath 2.9 (com.jayway.jsonpath) does: steps
//! to members and items, `*`, and conditions.

mod condition;
mod parse;

use millrace_api::Result;
use millrace_api::config::invalid_value;
use millrace_api::data::Value;

use self::condition::Condition;

/// A path. Those that are not supported, above all `..`, slices, unions and functions, are refused
/// when read.
#[derive(Clone, Debug)]
pub(crate) struct JsonPath(Steps);

/// Why a path leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Nothing {
    /// What it names is not there (`PathNotFoundException`).
    Missing,
    /// It puts a condition to what has no members (`InvalidPathException`): of which class.
    Primitive(&'static str),
}

#[derive(Clone, Debug, Default)]
struct Steps(Vec<Step>);

#[derive(Clone, Debug)]
enum Step {
    Member(String),
    /// Counted from the end if negative.
    Item(i64),
    All,
    If(Condition),
}

impl Step {
    /// Whether it leads to one place at the most.
    fn is_definite(&self) -> bool {
        matches!(self, Self::Member(_) | Self::Item(_))
    }
}

impl JsonPath {
    /// Reads a path, the value of a key.
    pub(crate) fn parse(key: &str, path: &str) -> Result<Self> {
        parse::path(path).map(Self).map_err(|reason| {
            let reason = format!(
                "{reason}; paths are as in https://github.com/json-path/JsonPath, and \
                 `docs/transformations.md` says what there is of them"
            );
            invalid_value(key, path, reason)
        })
    }

    /// What it leads to. A path that could lead to many places may find none of them.
    pub(crate) fn select<'v>(&self, root: &'v Value) -> Result<Vec<&'v Value>, Nothing> {
        let mut found = Vec::new();
        self.0.walk(0, true, Context { root, value: root }, &mut found)?;
        if found.is_empty() && self.0.0.iter().all(Step::is_definite) {
            return Err(Nothing::Missing);
        }
        Ok(found)
    }
}

/// Where a path stands.
#[derive(Clone, Copy)]
struct Context<'v> {
    root: &'v Value,
    value: &'v Value,
}

impl Steps {
    /// Goes on from step `at`. So far the path is definite or not: a definite one that ends too
    /// early is an error, another just finds nothing there.
    fn walk<'v>(
        &self,
        at: usize,
        definite: bool,
        context: Context<'v>,
        found: &mut Vec<&'v Value>,
    ) -> Result<(), Nothing> {
        let Some(step) = self.0.get(at) else {
            found.push(context.value);
            return Ok(());
        };
        let go_on = |value, found: &mut Vec<&'v Value>| {
            self.walk(at + 1, definite && step.is_definite(), Context { value, ..context }, found)
        };
        let missing = || if definite { Err(Nothing::Missing) } else { Ok(()) };
        match step {
            Step::Member(name) => match member(context.value, name) {
                Some(Some(value)) => go_on(value, found),
                // At its end a path finds nothing; on its way it is an error.
                Some(None) if at + 1 == self.0.len() => Ok(()),
                _ => missing(),
            },
            Step::Item(place) => match context.value {
                Value::Array(items) => match item(items, *place) {
                    Some(value) => go_on(value, found),
                    None => Ok(()),
                },
                _ => missing(),
            },
            Step::All => {
                for value in children(context.value) {
                    go_on(value, found)?;
                }
                Ok(())
            }
            Step::If(condition) => {
                let holds = |value| condition.holds(Context { value, ..context });
                match context.value {
                    Value::Array(items) => {
                        for value in items.iter().filter(|value| holds(value)) {
                            go_on(value, found)?;
                        }
                        Ok(())
                    }
                    Value::Map(_) | Value::Struct(_) if holds(context.value) => {
                        go_on(context.value, found)
                    }
                    Value::Map(_) | Value::Struct(_) => Ok(()),
                    other if definite => Err(Nothing::Primitive(other.java_class())),
                    _ => Ok(()),
                }
            }
        }
    }

    /// The one place that a definite path leads to.
    fn single<'v>(&self, context: Context<'v>) -> Option<&'v Value> {
        let mut found = Vec::new();
        self.walk(0, true, context, &mut found).ok()?;
        found.first().copied()
    }
}

/// None when the value has no members, and none in it when it does not have this one.
pub(super) fn member<'v>(value: &'v Value, name: &str) -> Option<Option<&'v Value>> {
    match value {
        Value::Struct(fields) => Some(fields.get(name)),
        Value::Map(entries) => {
            let is = |entry: &&(Value, Value)| matches!(&entry.0, Value::String(k) if **k == *name);
            Some(entries.iter().find(is).map(|(_, value)| value))
        }
        _ => None,
    }
}

fn item(items: &[Value], place: i64) -> Option<&Value> {
    let place = match usize::try_from(place) {
        Ok(place) => place,
        Err(_) => items.len().checked_sub(usize::try_from(place.unsigned_abs()).ok()?)?,
    };
    items.get(place)
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Map(entries) => Box::new(entries.iter().map(|(_, value)| value)),
        Value::Struct(fields) => {
            let names = fields.schema().fields().iter();
            Box::new(names.filter_map(|field| fields.get(&field.name)))
        }
        _ => Box::new(std::iter::empty()),
    }
}

#[cfg(test)]
mod tests;
