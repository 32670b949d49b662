//! Reads values of PostgreSQL that consist of others: arrays, `hstore`, and network addresses with
//! their size.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::decode::Decode;
use crate::calendar::Calendar;
use crate::cells::{Cells, Misfit, not_utf8};

/// The rest of a value.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Misfit> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(broken)?;
        self.0 = rest;
        Ok(taken)
    }

    fn int4(&mut self) -> Result<i32, Misfit> {
        let bytes = self.take(4)?;
        Ok(i32::from_be_bytes(bytes.try_into().expect("four were taken")))
    }

    /// What stands behind its length; none is NULL.
    fn field(&mut self) -> Result<Option<&'a [u8]>, Misfit> {
        match self.int4()? {
            -1 => Ok(None),
            length => self.take(usize::try_from(length).map_err(|_| broken())?).map(Some),
        }
    }

    fn text(&mut self) -> Result<Option<&'a str>, Misfit> {
        let field = self.field()?;
        field.map(|bytes| std::str::from_utf8(bytes).map_err(|_| not_utf8())).transpose()
    }
}

fn broken() -> Misfit {
    Misfit::new("a value that is cut off or not of its type's form")
}

/// Appends an array: the number of dimensions, whether there are nulls, the type, each dimension's
/// length and first index, and the items.
pub(super) fn array(
    bytes: &[u8],
    (item, dimensions): (&Decode, u8),
    cells: &mut Cells,
    calendar: Calendar,
) -> Result<(), Misfit> {
    let mut rest = Bytes(bytes);
    let found = rest.int4()?;
    rest.take(8)?;
    // An empty array has none.
    if found == 0 {
        return cells.lists()?.end();
    }
    if found != i32::from(dimensions) {
        return Err(Misfit::new(format!(
            "an array of {found} dimensions, where the column is declared with {dimensions}; \
             declare the column with as many brackets as its arrays have, or cast it to text in a \
             query"
        )));
    }
    let mut lengths = [0; 6];
    let lengths = lengths.get_mut(..usize::from(dimensions)).ok_or_else(broken)?;
    for length in &mut *lengths {
        *length = rest.int4()?;
        rest.take(4)?;
    }
    // None is empty where there are any, and each item has its length: so there are no more of them
    // than bytes.
    let count = lengths.iter().try_fold(1usize, |product, length| {
        product.checked_mul(usize::try_from(*length).ok().filter(|l| *l > 0)?)
    });
    if count.is_none_or(|count| count > rest.0.len() / 4) {
        return Err(broken());
    }
    items(&mut rest, lengths, item, cells, calendar)
}

/// Appends a list, or in the innermost dimension an item.
fn items(
    rest: &mut Bytes<'_>,
    lengths: &[i32],
    item: &Decode,
    cells: &mut Cells,
    calendar: Calendar,
) -> Result<(), Misfit> {
    let Some((length, inner)) = lengths.split_first() else {
        return match rest.field()? {
            None => {
                cells.null();
                Ok(())
            }
            Some(bytes) => item.read(bytes, cells, calendar),
        };
    };
    let lists = cells.lists()?;
    for _ in 0..*length {
        items(rest, inner, item, lists.items(), calendar)?;
    }
    lists.end()
}

/// The pairs of an `hstore`: their number, then each text behind its length.
fn pairs(bytes: &[u8]) -> Result<Vec<(&str, Option<&str>)>, Misfit> {
    let mut rest = Bytes(bytes);
    let count = usize::try_from(rest.int4()?).map_err(|_| broken())?;
    let mut pairs = Vec::with_capacity(count.min(rest.0.len() / 8));
    for _ in 0..count {
        pairs.push((rest.text()?.ok_or_else(broken)?, rest.text()?));
    }
    Ok(pairs)
}

/// Appends an `hstore` as a map.
pub(super) fn hstore_map(bytes: &[u8], cells: &mut Cells) -> Result<(), Misfit> {
    cells.map(&pairs(bytes)?)
}

/// Appends an `hstore` as the text of a JSON object.
pub(super) fn hstore_json(bytes: &[u8], cells: &mut Cells) -> Result<(), Misfit> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let pair = |(key, value): &(&str, Option<&str>)| {
        format!("{}:{}", quoted(key), value.map_or_else(|| "null".to_owned(), quoted))
    };
    let pairs: Vec<String> = pairs(bytes)?.iter().map(pair).collect();
    cells.text(&format!("{{{}}}", pairs.join(",")))
}

/// Appends an address as the server prints it: the family, the bits of its network, whether it is
/// one, and its bytes.
pub(super) fn address(bytes: &[u8], cells: &mut Cells) -> Result<(), Misfit> {
    let [_, bits, is_network, _, address @ ..] = bytes else { return Err(broken()) };
    let text = match (<[u8; 4]>::try_from(address), <[u8; 16]>::try_from(address)) {
        (Ok(four), _) => Ipv4Addr::from(four).to_string(),
        (_, Ok(sixteen)) => Ipv6Addr::from(sixteen).to_string(),
        _ => return Err(broken()),
    };
    if *is_network == 0 && usize::from(*bits) == address.len() * 8 {
        cells.text(&text)
    } else {
        cells.text(&format!("{text}/{bits}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::form::Form;

    fn cells(form: Form, dimensions: u8) -> Cells {
        let mut schema = form.schema(true);
        for _ in 0..dimensions {
            schema = millrace_api::data::Schema::array_builder(schema).build();
        }
        Cells::of(form, dimensions, &schema, 1)
    }

    #[test]
    fn other_dimensions_than_declared_are_said() {
        let two = [0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 23];
        let read = array(&two, (&Decode::Int4, 1), &mut cells(Form::Int32, 1), Calendar::default());
        let text = read.unwrap_err().to_string();
        assert!(text.contains("2 dimensions") && text.contains("brackets"), "{text}");
    }

    proptest! {
        /// In time and memory that go with the bytes.
        #[test]
        fn any_bytes_are_survived(
            dimensions in 1u8..7,
            head in vec(prop_oneof![Just(0i32), Just(1), Just(2), any::<i32>()], 0..16),
            tail in vec(any::<u8>(), 0..40),
        ) {
            let mut bytes = i32::from(dimensions).to_be_bytes().to_vec();
            bytes.extend(head.iter().flat_map(|n| n.to_be_bytes()));
            bytes.extend(tail);
            let calendar = Calendar::default();
            let mut lists = cells(Form::Int32, dimensions);
            let _ = array(&bytes, (&Decode::Int4, dimensions), &mut lists, calendar);
            let _ = hstore_map(&bytes[4..], &mut cells(Form::Map, 0));
            let _ = hstore_json(&bytes[4..], &mut cells(Form::String, 0));
            let _ = address(&bytes, &mut cells(Form::String, 0));
        }
    }
}
