//! JSON objects of a run by their members, so that a chain of transformations reads them once.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, StringViewArray, StringViewBuilder};
use arrow::buffer::ScalarBuffer;
use arrow::compute;

use crate::Result;
use crate::data::Value;
use crate::data::column::{byte_length, keep, keep_texts};
use crate::data::json::{Reader, SyntaxError, Token, WrittenName, check, parse};

/// Objects without schema, a column of JSON texts a member.
///
/// A row has some of the members, in their order, or is null. The texts as they came stay the
/// backing of the members that nobody changed: reading them has copied nothing.
#[derive(Clone, Debug)]
pub struct JsonObjects {
    /// The rows as they came, each one object, or null for no value at all.
    texts: StringViewArray,
    /// Of distinct names.
    members: Vec<JsonMember>,
    /// Whether the members still are those of the texts.
    is_as_it_came: bool,
}

/// The values of one name.
#[derive(Clone, Debug)]
pub struct JsonMember {
    name: Arc<str>,
    values: Values,
}

#[derive(Clone, Debug)]
enum Values {
    /// Parts of the rows' texts.
    Within(ScalarBuffer<u64>),
    /// Texts of their own; null for none.
    Own(StringViewArray),
    /// The same for every row that is not null.
    Same(Arc<str>),
}

impl JsonMember {
    /// So called, with the same JSON text in every row that is not null.
    pub fn same(name: Arc<str>, text: impl Into<Arc<str>>) -> Self {
        Self { name, values: Values::Same(text.into()) }
    }

    /// So called, with a JSON text a row; null where the row has no such member.
    pub fn own(name: Arc<str>, texts: StringViewArray) -> Self {
        Self { name, values: Values::Own(texts) }
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The same values by another name.
    #[must_use]
    pub fn renamed(&self, name: Arc<str>) -> Self {
        Self { name, values: self.values.clone() }
    }

    /// The text, if all rows that are not null have the same.
    pub fn constant(&self) -> Option<&str> {
        match &self.values {
            Values::Same(text) => Some(text),
            _ => None,
        }
    }
}

impl JsonObjects {
    /// From so many names on a run stays text: looking through them would cost more than it spares.
    const MAX_NAMES: usize = 256;

    /// So many parts a run may have beyond one for two bytes of text: where every row has other
    /// names, parts would take more room than text.
    const FREE_PARTS: usize = 16 << 10;

    /// Reads texts that are strict JSON objects whose members come in one order, though not every
    /// row has each. Rows that are no JSON at all are refused, and null. None where a row is
    /// otherwise: all of it had better stay text.
    pub fn read(
        texts: &StringViewArray,
        mut refuse: impl FnMut(usize, SyntaxError),
    ) -> Option<Self> {
        let mut shape = Shape::of(texts);
        let mut refused = Vec::new();
        for (row, text) in texts.iter().enumerate() {
            let Some(text) = text else { continue };
            if shape.read(row, text).is_none() {
                // A byte order mark is no JSON, and allowed all the same.
                let error = check(text).err().filter(|_| !text.starts_with('\u{feff}'))?;
                shape.forget(row);
                refuse(row, error);
                refused.push(row);
            }
        }
        let member = |known: Known| JsonMember {
            name: known.name,
            values: Values::Within(ScalarBuffer::from(known.parts)),
        };
        let members = shape.names.into_iter().map(member).collect();
        Some(Self { texts: with_nulls_at(texts, &refused), members, is_as_it_came: true })
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether a row is no object but null.
    pub fn is_null(&self, row: usize) -> bool {
        self.texts.is_null(row)
    }

    /// Whether any row is no object but null.
    pub fn has_nulls(&self) -> bool {
        self.texts.null_count() > 0
    }

    /// The members, in order.
    pub fn members(&self) -> &[JsonMember] {
        &self.members
    }

    /// The member of a name, if any row has it.
    pub fn member(&self, name: &str) -> Option<&JsonMember> {
        self.members.iter().find(|member| *member.name == *name)
    }

    /// The text of a row's member; none where the row does not have it. The member is one of these
    /// objects, or was before.
    #[inline(always)]
    pub fn text<'a>(&'a self, member: &'a JsonMember, row: usize) -> Option<&'a str> {
        match &member.values {
            Values::Within(parts) => {
                let part = range(parts[row]);
                if part.is_empty() { None } else { self.texts.value(row).get(part) }
            }
            _ if self.texts.is_null(row) => None,
            Values::Own(texts) => (!texts.is_null(row)).then(|| texts.value(row)),
            Values::Same(text) => Some(text),
        }
    }

    /// Whether every row that is not null has a member.
    pub fn is_everywhere(&self, member: &JsonMember) -> bool {
        let has_it = |row: usize| self.is_null(row) || self.text(member, row).is_some();
        match &member.values {
            Values::Same(_) => true,
            Values::Within(parts) if !self.has_nulls() => !parts.contains(&ABSENT),
            _ => (0..self.len()).all(has_it),
        }
    }

    /// The rows with other members, of distinct names: some of these, renamed ones, new ones.
    ///
    /// # Panics
    ///
    /// When a member has more or fewer rows.
    #[must_use]
    pub fn with_members(&self, members: Vec<JsonMember>) -> Self {
        let is_of_all = |member: &JsonMember| match &member.values {
            Values::Within(parts) => parts.len() == self.len(),
            Values::Own(texts) => texts.len() == self.len(),
            Values::Same(_) => true,
        };
        assert!(members.iter().all(is_of_all), "a text a row");
        Self { texts: self.texts.clone(), members, is_as_it_came: false }
    }

    /// The texts of one member, null where a row does not have it.
    pub fn column(&self, member: &JsonMember) -> StringViewArray {
        match &member.values {
            Values::Own(texts) if !self.has_nulls() => texts.clone(),
            _ => (0..self.len()).map(|row| self.text(member, row)).collect(),
        }
    }

    /// The rows as JSON texts.
    pub fn texts(&self) -> StringViewArray {
        if self.is_as_it_came {
            return self.texts.clone();
        }
        let quoted = |member: &JsonMember| format!("{}:", serde_json::Value::from(&*member.name));
        let names: Vec<String> = self.members.iter().map(quoted).collect();
        let mut texts = StringViewBuilder::with_capacity(self.len());
        let mut object = String::new();
        for row in 0..self.len() {
            if self.is_null(row) {
                texts.append_null();
                continue;
            }
            object.clear();
            let mut before = '{';
            for (member, name) in self.members.iter().zip(&names) {
                if let Some(text) = self.text(member, row) {
                    object.push(std::mem::replace(&mut before, ','));
                    object.push_str(name);
                    object.push_str(text);
                }
            }
            if object.is_empty() {
                object.push('{');
            }
            object.push('}');
            texts.append_value(&object);
        }
        texts.finish()
    }

    /// One row as a value.
    pub fn value(&self, row: usize) -> Result<Value> {
        if self.is_null(row) {
            return Ok(Value::Null);
        }
        if self.is_as_it_came {
            return parse(self.texts.value(row));
        }
        let texts = self.members.iter().filter_map(|m| Some((m, self.text(m, row)?)));
        let entry = |(member, text): (&JsonMember, &str)| {
            Ok((Value::String(Arc::clone(&member.name)), parse(text)?))
        };
        texts.map(entry).collect::<Result<_>>().map(Value::Map)
    }

    /// The rows where the mask is true.
    pub(crate) fn filter(&self, mask: &BooleanArray) -> Self {
        let parts = |parts: &ScalarBuffer<u64>| ScalarBuffer::from(keep(parts, mask));
        self.each(|texts| keep_texts(texts, mask), parts)
    }

    /// Rows `offset..offset + len`; shares the buffers.
    pub(crate) fn slice(&self, offset: usize, len: usize) -> Self {
        self.each(|texts| texts.slice(offset, len), |parts| parts.slice(offset, len))
    }

    fn each(
        &self,
        texts: impl Fn(&StringViewArray) -> StringViewArray,
        parts: impl Fn(&ScalarBuffer<u64>) -> ScalarBuffer<u64>,
    ) -> Self {
        let values = |values: &Values| match values {
            Values::Within(within) => Values::Within(parts(within)),
            Values::Own(own) => Values::Own(texts(own)),
            Values::Same(text) => Values::Same(Arc::clone(text)),
        };
        let member =
            |m: &JsonMember| JsonMember { name: m.name.clone(), values: values(&m.values) };
        Self {
            texts: texts(&self.texts),
            members: self.members.iter().map(member).collect(),
            is_as_it_came: self.is_as_it_came,
        }
    }
}

/// The texts with null in these rows; shares the buffers.
///
/// # Panics
///
/// When there is no such row.
pub fn with_nulls_at(texts: &StringViewArray, rows: &[usize]) -> StringViewArray {
    if rows.is_empty() {
        return texts.clone();
    }
    let mut mask = vec![false; texts.len()];
    for row in rows {
        mask[*row] = true;
    }
    let left = compute::nullif(texts, &mask.into()).expect("lengths are equal");
    StringViewArray::from(left.to_data())
}

/// The empty part, where a row does not have the member.
const ABSENT: u64 = 0;

/// Start and end of a part, in one number.
fn packed(part: Range<usize>) -> Option<u64> {
    let (start, end) = (u32::try_from(part.start).ok()?, u32::try_from(part.end).ok()?);
    Some(u64::from(start) << 32 | u64::from(end))
}

fn range(packed: u64) -> Range<usize> {
    (packed >> 32) as usize..packed as u32 as usize
}

/// The names seen so far, in the one order that fits all rows.
struct Shape {
    names: Vec<Known>,
    rows: usize,
    max_names: usize,
}

struct Known {
    name: Arc<str>,
    /// None when something in it has to be escaped.
    written: Option<WrittenName>,
    parts: Vec<u64>,
}

impl Shape {
    fn of(texts: &StringViewArray) -> Self {
        let parts = JsonObjects::FREE_PARTS + byte_length(texts) / 2;
        let max_names = JsonObjects::MAX_NAMES.min(parts / texts.len().max(1));
        Self { names: Vec::new(), rows: texts.len(), max_names }
    }

    /// None when the text is no strict JSON object, or its members come in another order.
    fn read(&mut self, row: usize, text: &str) -> Option<()> {
        let mut reader = Reader::new(text);
        if reader.peek().ok()? != Token::Object {
            return None;
        }
        reader.enter().ok()?;
        let (mut first, mut next) = (true, 0);
        loop {
            let expected = self.names.get(next).and_then(|known| known.written.as_ref());
            if !expected.is_some_and(|name| reader.take_written_name(name, &mut first)) {
                let Some(name) = reader.next_name(&mut first).ok()? else { break };
                next = self.place(&name, next)?;
            }
            reader.peek().ok()?;
            let start = reader.position();
            reader.skip().ok()?;
            self.names[next].parts[row] = packed(start..reader.position())?;
            next += 1;
        }
        let goes_on = reader.finish(Token::Object).ok()?;
        (!goes_on && !reader.saw_leading_zeros()).then_some(())
    }

    /// A row has no members after all.
    fn forget(&mut self, row: usize) {
        for known in &mut self.names {
            known.parts[row] = ABSENT;
        }
    }

    /// Where a name belongs whose row has none of those from `next` on so far; none when it stands
    /// before.
    fn place(&mut self, name: &str, next: usize) -> Option<usize> {
        let (before, behind) = self.names.split_at(next);
        let is_it = |known: &Known| *known.name == *name;
        if let Some(place) = behind.iter().position(is_it) {
            return Some(next + place);
        }
        if before.iter().any(is_it) || self.names.len() == self.max_names {
            return None;
        }
        let written = WrittenName::of(name);
        self.names
            .insert(next, Known { name: name.into(), written, parts: vec![ABSENT; self.rows] });
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[Option<&str>]) -> Option<JsonObjects> {
        let texts = texts.iter().copied().collect();
        JsonObjects::read(&texts, |row, error| panic!("row {row} is refused: {error}"))
    }

    fn names(objects: &JsonObjects) -> Vec<&str> {
        objects.members().iter().map(|member| &**member.name()).collect()
    }

    #[test]
    fn rows_share_the_order_of_members_that_fits_all() {
        let objects = read(&[
            Some(r#"{"a":1,"d":"x, \"y\""}"#),
            None,
            Some(r#" { "a" : 2 , "b":[{"a":1}],"c":null } "#),
            Some("{}"),
            Some(r#"{"c":{"a":true},"d":-1.5e3,"e":false}"#),
        ]);
        let objects = objects.unwrap();
        assert_eq!(names(&objects), ["a", "b", "c", "d", "e"]);
        let of = |name| {
            let member = objects.member(name).unwrap();
            (0..5).map(|row| objects.text(member, row)).collect::<Vec<_>>()
        };
        assert_eq!(of("a"), [Some("1"), None, Some("2"), None, None]);
        assert_eq!(of("c"), [None, None, Some("null"), None, Some(r#"{"a":true}"#)]);
        assert_eq!(of("d"), [Some(r#""x, \"y\"""#), None, None, None, Some("-1.5e3")]);
        assert!(objects.member("x").is_none());
    }

    #[test]
    fn what_is_otherwise_stays_text() {
        let good = Some(r#"{"a":1,"b":2}"#);
        for other in [
            r#"{"b":1,"a":2}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":01}"#,
            r#"{"a":1}x"#,
            "\u{feff}{}",
            "[1]",
            "null",
            "",
        ] {
            assert!(read(&[good, None, Some(other), good]).is_none(), "{other}");
        }
        let many: Vec<String> =
            (0..=JsonObjects::MAX_NAMES).map(|i| format!("\"{i}\":1")).collect();
        assert!(read(&[Some(&format!("{{{}}}", many.join(",")))]).is_none());
    }

    #[test]
    fn what_is_no_json_is_refused_alone() {
        let texts: StringViewArray =
            [Some(r#"{"a":1}"#), Some(r#"{"a":2,"b":3"#), None, Some("{tru"), Some(r#"{"b":4}"#)]
                .into_iter()
                .collect();
        let mut refused = Vec::new();
        let objects =
            JsonObjects::read(&texts, |row, error| refused.push((row, error.to_string())));
        let expected = [
            (1, "array or object without end at byte 12".to_owned()),
            (3, "expected a name in quotes at byte 1".to_owned()),
        ];
        assert_eq!(refused, expected);
        let objects = objects.unwrap();
        let of = |name| {
            let member = objects.member(name).unwrap();
            (0..5).map(|row| objects.text(member, row)).collect::<Vec<_>>()
        };
        assert_eq!(of("a"), [Some("1"), None, None, None, None]);
        assert_eq!(of("b"), [None, None, None, None, Some("4")]);
        assert!((1..4).all(|row| objects.is_null(row)));
    }

    #[test]
    fn members_are_changed_without_a_look_at_the_others() {
        let objects =
            read(&[Some(r#"{"a":1,"b\n":{"x":[]}}"#), None, Some(r#"{"b\n":2}"#)]).unwrap();
        assert_eq!(objects.texts().value(0), r#"{"a":1,"b\n":{"x":[]}}"#);
        let [a, b] = objects.members() else { panic!("two members") };
        let own = [Some("0"), Some("1"), None].into_iter().collect();
        let changed = objects.with_members(vec![
            JsonMember::same("s".into(), "\"west\""),
            b.clone(),
            a.renamed("c".into()),
            JsonMember::own("o".into(), own),
        ]);
        let texts: Vec<_> = changed.texts().iter().map(|t| t.map(str::to_owned)).collect();
        let first = r#"{"s":"west","b\n":{"x":[]},"c":1,"o":0}"#;
        let last = r#"{"s":"west","b\n":2}"#;
        assert_eq!(texts, [Some(first.to_owned()), None, Some(last.to_owned())]);
        for (row, text) in texts.iter().enumerate() {
            let parsed = text.as_ref().map_or(Value::Null, |text| parse(text).unwrap());
            assert_eq!(changed.value(row).unwrap(), parsed);
            assert_eq!(changed.slice(row, 1).value(0).unwrap(), parsed);
            let mask: Vec<bool> = (0..3).map(|i| i == row).collect();
            assert_eq!(changed.filter(&mask.into()).value(0).unwrap(), parsed);
        }
        assert_eq!(changed.with_members(Vec::new()).texts().value(0), "{}");
    }
}
