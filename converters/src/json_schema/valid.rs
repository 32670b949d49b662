//! Decides whether a payload is as its schema says (`json.fail.invalid.schema`), keyword by
//! keyword.

use std::collections::{HashMap, HashSet};

use millrace_api::data::json::Number;
use regex::Regex;

use crate::json::{Fault, Node};
use crate::json_schema::documents::{Documents, Place};
use crate::json_schema::formats;

type Result = std::result::Result<(), Fault>;

/// How deep schemas are followed into a payload, whatever refers to what.
const MAX_DEPTH: usize = 100;
/// How many schemas are asked about one payload, and about each of its bytes more: alternatives of
/// alternatives grow without end.
const CHECKS: usize = 10_000;
const CHECKS_A_BYTE: usize = 50;

/// What checks payloads of one schema.
pub(crate) struct Validator<'n> {
    documents: &'n Documents<'n>,
    /// Patterns that were compiled; none cannot be.
    patterns: HashMap<String, Option<Regex>>,
    /// What references mean, by where they stand: finding one may take a walk through all.
    references: HashMap<(usize, &'n str), Option<Place<'n>>>,
    /// How many schemas may still be asked.
    checks: usize,
}

/// Where a value stands, from the inside out.
#[derive(Clone, Copy)]
struct At<'a> {
    outer: Option<&'a At<'a>>,
    step: &'a str,
    depth: usize,
}

impl<'a> At<'a> {
    fn within(&'a self, step: &'a str) -> At<'a> {
        At { outer: Some(self), step, depth: self.depth + 1 }
    }

    /// The same value, by another schema.
    fn deeper(&self) -> Self {
        Self { depth: self.depth + 1, ..*self }
    }

    fn pointer(&self) -> String {
        match self.outer {
            Some(outer) => format!("{}/{}", outer.pointer(), self.step),
            None => "#".to_owned(),
        }
    }

    fn wrong(&self, what: &str) -> Fault {
        Fault::new(format!("the payload is not as its schema says: {}: {what}", self.pointer()))
    }
}

impl<'n> Validator<'n> {
    pub(crate) fn new(documents: &'n Documents<'n>) -> Self {
        Self { documents, patterns: HashMap::new(), references: HashMap::new(), checks: 0 }
    }

    /// # Errors
    ///
    /// What is wrong first, and where.
    pub(crate) fn check(&mut self, payload: &str) -> Result {
        let value = Node::parse(payload)?;
        self.checks = CHECKS + CHECKS_A_BYTE * payload.len();
        let at = At { outer: None, step: "", depth: 0 };
        let checked = self.schema(self.documents.root(), &value, &at);
        match self.checks {
            // Not even what does not fit is known then.
            0 => Err(at.wrong("the schema goes too deep")),
            _ => checked,
        }
    }

    fn schema(&mut self, place: Place<'n>, value: &Node<'_>, at: &At<'_>) -> Result {
        self.checks = self.checks.saturating_sub(1);
        if at.depth > MAX_DEPTH {
            self.checks = 0;
        }
        if self.checks == 0 {
            return Err(at.wrong("the schema goes too deep"));
        }
        match place.node {
            Node::Boolean(false) => return Err(at.wrong("nothing is allowed here")),
            Node::Object(_) => {}
            _ => return Ok(()),
        }
        if let Some(Node::Text(reference)) = place.node.get("$ref") {
            let documents = self.documents;
            let known = self.references.entry((place.document, reference));
            let meant = *known.or_insert_with(|| documents.resolve(place.document, reference));
            let referred = meant.ok_or_else(|| {
                Fault::new(format!("schema refers to {reference}, which is nowhere"))
            })?;
            return self.schema(referred, value, &at.deeper());
        }
        self.kind(place, value, at)?;
        self.combined(place, value, at)?;
        match value {
            Node::Number(number) => numbers(place.node, *number, at),
            Node::Text(text) => self.text(place.node, text, at),
            Node::Array(items) => self.array(place, items, at),
            Node::Object(_) => self.object(place, value, at),
            _ => Ok(()),
        }
    }

    fn kind(&self, place: Place<'n>, value: &Node<'_>, at: &At<'_>) -> Result {
        let fits = |name: &Node<'_>| matches!(name, Node::Text(name) if is_of(value, name));
        let is_right = match place.node.get("type") {
            Some(Node::Array(names)) => names.iter().any(fits),
            Some(name @ Node::Text(_)) => fits(name),
            _ => true,
        };
        if !is_right {
            return Err(at.wrong(&format!("{} is not of the type", value.type_name())));
        }
        match place.node.get("enum") {
            Some(Node::Array(values)) if !values.iter().any(|one| is_same(one, value)) => {
                return Err(at.wrong("the value is not in the enum"));
            }
            _ => {}
        }
        match place.node.get("const") {
            Some(only) if !is_same(only, value) => Err(at.wrong("the value is not the constant")),
            _ => Ok(()),
        }
    }

    fn combined(&mut self, place: Place<'n>, value: &Node<'_>, at: &At<'_>) -> Result {
        let at = &at.deeper();
        if let Some(Node::Array(all)) = place.node.get("allOf") {
            all.iter().try_for_each(|node| self.schema(place.at(node), value, at))?;
        }
        let is_one = |keyword: &str| keyword == "oneOf";
        for keyword in ["anyOf", "oneOf"] {
            let Some(Node::Array(any)) = place.node.get(keyword) else { continue };
            let fitting =
                any.iter().filter(|node| self.schema(place.at(node), value, at).is_ok()).count();
            if fitting == 0 || is_one(keyword) && fitting > 1 {
                let all = any.len();
                return Err(at.wrong(&format!("{fitting} schemas of {all} in {keyword} fit")));
            }
        }
        if let Some(not) = place.node.get("not")
            && self.schema(place.at(not), value, at).is_ok()
        {
            return Err(at.wrong("the value must not be as it is"));
        }
        let Some(condition) = place.node.get("if") else { return Ok(()) };
        let is_met = self.schema(place.at(condition), value, at).is_ok();
        match place.node.get(if is_met { "then" } else { "else" }) {
            Some(node) => self.schema(place.at(node), value, at),
            None => Ok(()),
        }
    }

    fn text(&mut self, node: &Node<'_>, text: &str, at: &At<'_>) -> Result {
        let length = text.chars().count() as i64;
        within_limits(node, ("minLength", "maxLength"), length, at)?;
        if let Some(Node::Text(pattern)) = node.get("pattern")
            && !self.matches(pattern, text)?
        {
            return Err(at.wrong("the text does not match the pattern"));
        }
        match node.get("format") {
            Some(Node::Text(format)) if !formats::is_valid(format, text) => {
                Err(at.wrong(&format!("the text is no {format}")))
            }
            _ => Ok(()),
        }
    }

    fn matches(&mut self, pattern: &str, text: &str) -> std::result::Result<bool, Fault> {
        if !self.patterns.contains_key(pattern) {
            self.patterns.insert(pattern.to_owned(), Regex::new(&as_java(pattern)).ok());
        }
        let compiled = self.patterns[pattern].as_ref().ok_or_else(|| {
            Fault::new(
                "the schema has a pattern that cannot be checked: set \
                        json.fail.invalid.schema to false, or write it without look-around",
            )
        })?;
        Ok(compiled.is_match(text))
    }

    fn array(&mut self, place: Place<'n>, items: &[Node<'_>], at: &At<'_>) -> Result {
        let node = place.node;
        within_limits(node, ("minItems", "maxItems"), items.len() as i64, at)?;
        let (first, rest) = match (node.get("prefixItems"), node.get("items")) {
            (Some(Node::Array(first)), rest) => (&first[..], rest),
            (_, Some(Node::Array(first))) => (&first[..], node.get("additionalItems")),
            (_, rest) => (&[][..], rest),
        };
        for (i, item) in items.iter().enumerate() {
            if let Some(schema) = first.get(i).or(rest) {
                let step = i.to_string();
                self.schema(place.at(schema), item, &at.within(&step))?;
            }
        }
        if let Some(Node::Boolean(true)) = node.get("uniqueItems") {
            let mut seen = HashSet::new();
            if !items.iter().all(|item| seen.insert(format!("{item:?}"))) {
                return Err(at.wrong("two items are equal"));
            }
        }
        match node.get("contains") {
            Some(schema)
                if !items
                    .iter()
                    .any(|i| self.schema(place.at(schema), i, &at.deeper()).is_ok()) =>
            {
                Err(at.wrong("no item is as one must be"))
            }
            _ => Ok(()),
        }
    }

    fn object(&mut self, place: Place<'n>, value: &Node<'_>, at: &At<'_>) -> Result {
        let (node, Node::Object(members)) = (place.node, value) else { return Ok(()) };
        within_limits(node, ("minProperties", "maxProperties"), members.len() as i64, at)?;
        has_all(node.get("required"), value, at)?;
        let properties = node.get("properties");
        let patterns = members_of(node.get("patternProperties"));
        for (name, member) in members {
            let at = at.within(name);
            let mut is_known = false;
            if let Some(schema) = properties.and_then(|properties| properties.get(name)) {
                is_known = true;
                self.schema(place.at(schema), member, &at)?;
            }
            for (pattern, schema) in patterns {
                if self.matches(pattern, name)? {
                    is_known = true;
                    self.schema(place.at(schema), member, &at)?;
                }
            }
            match node.get("additionalProperties") {
                Some(Node::Boolean(false)) if !is_known => {
                    return Err(at.wrong("the schema does not allow this name"));
                }
                Some(schema) if !is_known => self.schema(place.at(schema), member, &at)?,
                _ => {}
            }
            if let Some(schema) = node.get("propertyNames") {
                let name = Node::Text(name.as_ref().into());
                self.schema(place.at(schema), &name, &at)?;
            }
        }
        self.dependencies(place, value, at)
    }

    fn dependencies(&mut self, place: Place<'n>, value: &Node<'_>, at: &At<'_>) -> Result {
        for keyword in ["dependencies", "dependentRequired", "dependentSchemas"] {
            for (name, wanted) in members_of(place.node.get(keyword)) {
                match wanted {
                    _ if value.get(name).is_none() => {}
                    Node::Array(_) => has_all(Some(wanted), value, at)?,
                    schema => self.schema(place.at(schema), value, &at.deeper())?,
                }
            }
        }
        Ok(())
    }
}

fn members_of<'n>(node: Option<&'n Node<'n>>) -> &'n [(std::borrow::Cow<'n, str>, Node<'n>)] {
    match node {
        Some(Node::Object(members)) => members,
        _ => &[],
    }
}

fn has_all(names: Option<&Node<'_>>, value: &Node<'_>, at: &At<'_>) -> Result {
    let Some(Node::Array(names)) = names else { return Ok(()) };
    for name in names {
        if let Node::Text(name) = name
            && value.get(name).is_none()
        {
            return Err(at.wrong(&format!("{name} is missing")));
        }
    }
    Ok(())
}

fn is_of(value: &Node<'_>, kind: &str) -> bool {
    match (kind, value) {
        ("null", Node::Null | Node::Missing)
        | ("boolean", Node::Boolean(_))
        | ("number", Node::Number(_))
        | ("string", Node::Text(_))
        | ("array", Node::Array(_))
        | ("object", Node::Object(_)) => true,
        ("integer", Node::Number(number)) => number.is_integer(),
        _ => false,
    }
}

fn is_same(a: &Node<'_>, b: &Node<'_>) -> bool {
    match (a, b) {
        (Node::Number(a), Node::Number(b)) => compare(*a, *b).is_eq(),
        (Node::Array(a), Node::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
        }
        (Node::Object(own), Node::Object(other)) => {
            own.len() == other.len()
                && own.iter().all(|(name, a)| b.get(name).is_some_and(|b| is_same(a, b)))
        }
        (a, b) => a == b,
    }
}

/// As exactly as it gets without digits of any length.
fn compare(a: Number<'_>, b: Number<'_>) -> std::cmp::Ordering {
    match (a.is_integer() && b.is_integer(), a.to_f64().total_cmp(&b.to_f64())) {
        (true, std::cmp::Ordering::Equal) => a.to_i64().cmp(&b.to_i64()),
        (_, order) => order,
    }
}

fn numbers(node: &Node<'_>, value: Number<'_>, at: &At<'_>) -> Result {
    let limit = |name: &str| match node.get(name) {
        Some(Node::Number(limit)) => Some(compare(value, *limit)),
        _ => None,
    };
    // Before draft 6 these were no limits but said how those are meant.
    let is_strict = |name: &str| matches!(node.get(name), Some(Node::Boolean(true)));
    let too_small = limit("minimum")
        .is_some_and(|order| order.is_lt() || order.is_eq() && is_strict("exclusiveMinimum"))
        || limit("exclusiveMinimum").is_some_and(std::cmp::Ordering::is_le);
    let too_large = limit("maximum")
        .is_some_and(|order| order.is_gt() || order.is_eq() && is_strict("exclusiveMaximum"))
        || limit("exclusiveMaximum").is_some_and(std::cmp::Ordering::is_ge);
    if too_small || too_large {
        let what = if too_small { "too small" } else { "too large" };
        return Err(at.wrong(&format!("the number is {what}")));
    }
    match node.get("multipleOf") {
        Some(Node::Number(step)) if !is_multiple(value, *step) => {
            Err(at.wrong("the number is no multiple of what it must be"))
        }
        _ => Ok(()),
    }
}

fn is_multiple(value: Number<'_>, step: Number<'_>) -> bool {
    let quotient = value.to_f64() / step.to_f64();
    (quotient - quotient.round()).abs() < 1e-9 * quotient.abs().max(1.0)
}

fn within_limits(node: &Node<'_>, (least, most): (&str, &str), count: i64, at: &At<'_>) -> Result {
    let limit = |name: &str| match node.get(name) {
        Some(Node::Number(limit)) => Some(limit.to_i64()),
        _ => None,
    };
    if limit(least).is_some_and(|least| count < least) {
        return Err(at.wrong(&format!("less than {least} allows")));
    }
    if limit(most).is_some_and(|most| count > most) {
        return Err(at.wrong(&format!("more than {most} allows")));
    }
    Ok(())
}

/// A pattern whose classes hold what Java's hold: ASCII.
fn as_java(pattern: &str) -> String {
    let mut ours = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let escaped = (c == '\\').then(|| chars.next()).flatten();
        match escaped {
            Some('d') => ours.push_str("[0-9]"),
            Some('D') => ours.push_str("[^0-9]"),
            Some('w') => ours.push_str("[0-9A-Za-z_]"),
            Some('W') => ours.push_str("[^0-9A-Za-z_]"),
            Some('s') => ours.push_str(r"[\t\n\x0B\f\r ]"),
            Some('S') => ours.push_str(r"[^\t\n\x0B\f\r ]"),
            Some('b') => ours.push_str(r"(?-u:\b)"),
            escaped => {
                ours.push(c);
                ours.extend(escaped);
            }
        }
    }
    ours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_ascii_as_in_java() {
        let matches =
            |pattern: &str, text: &str| Regex::new(&as_java(pattern)).unwrap().is_match(text);
        for (pattern, good, bad) in [
            (r"^\d+$", "12", "\u{661}\u{662}"),
            (r"^\w+$", "e_1", "\u{e9}"),
            (r"^[\w-]+$", "a-b", "\u{e9}"),
            (r"^\D+$", "\u{661}", "1"),
            (r"^a\\d$", r"a\d", "a1"),
        ] {
            assert!(matches(pattern, good) && !matches(pattern, bad), "{pattern}");
        }
    }
}
