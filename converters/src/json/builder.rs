//! The decoder of typed columns: reads payloads straight into growing Arrow columns. It takes what
//! is regular; anything odd, errors too, it leaves to [`to_value`], which defines what is right.
//!
//! [`to_value`]: crate::json::read::to_value

use arrow::array::ArrayRef;
use millrace_api::data::json::{Number, Reader, SyntaxError, Token};
use millrace_api::data::{Kind, SchemaRef, TIME_MILLIS, Value};

use crate::cells;
use crate::cells::{Cells, Unfit, offset, scaled, to_i256};
use crate::json::names::{Named, Names};
use crate::json::node::Node;
use crate::json::read::{check_nulls, may_be_missing, to_value};
use crate::json::text::decode_base64;
use crate::json::unfold::take_room;
use crate::json::value::{is_object, is_union};
use crate::json::{Dialect, ROOM, Rules};

/// The row is not regular: [`to_value`] decides about it.
///
/// [`to_value`]: crate::json::read::to_value
#[derive(Debug)]
pub(crate) struct Odd;

impl From<SyntaxError> for Odd {
    fn from(_: SyntaxError) -> Self {
        Self
    }
}

impl From<Unfit> for Odd {
    fn from(_: Unfit) -> Self {
        Self
    }
}

/// A column in the making.
pub(crate) struct Builder {
    plan: Plan,
    cells: cells::Builder,
}

/// How the cells of a column are read; it has the shape of the column.
struct Plan {
    options: Rules,
    /// Whether each value is read as a tree: what is rare has no other way.
    as_tree: bool,
    parts: Parts,
}

enum Parts {
    None,
    Items(Box<Plan>),
    Entries(Box<Plan>, Box<Plan>),
    Fields(Vec<Plan>, Names),
}

impl Builder {
    /// For columns of this schema with about so many rows; none when Arrow cannot hold it.
    pub(crate) fn new(schema: &SchemaRef, options: Rules, rows: usize) -> Option<Self> {
        let cells = cells::Builder::new(schema, rows)?;
        Some(Self { plan: Plan::new(schema, options)?, cells })
    }

    /// Appends the value of a text, or nothing when it is odd.
    pub(crate) fn append_text(&mut self, text: &str) -> Result<(), Odd> {
        let len = self.cells.len();
        let mut reader = Reader::new(text);
        let appended = reader.peek().map_err(Odd::from).and_then(|token| {
            self.plan.append(&mut reader, &mut self.cells)?;
            reader.finish(token)?;
            Ok(())
        });
        appended.inspect_err(|Odd| self.cells.truncate(len))
    }

    /// Appends the value that `rest` begins with, or nothing when it is odd. `rest` is the end of an
    /// object, and odd too when another member follows.
    pub(crate) fn append_last_member(&mut self, rest: &str) -> Result<(), Odd> {
        let len = self.cells.len();
        let mut reader = Reader::within(rest);
        let appended = self.plan.append(&mut reader, &mut self.cells);
        let appended = appended.and_then(|()| match reader.next_name(&mut false) {
            Ok(None) => Ok(()),
            _ => Err(Odd),
        });
        appended.inspect_err(|Odd| self.cells.truncate(len))
    }

    /// Appends null, whatever the schema says.
    pub(crate) fn append_null(&mut self) {
        self.cells.append_null();
    }

    /// Appends a value that [`to_value`] made. After an error the run is given up.
    ///
    /// [`to_value`]: crate::json::read::to_value
    pub(crate) fn append_value(&mut self, value: &Value) -> Result<(), Unfit> {
        self.cells.append_value(value)
    }

    /// The column.
    pub(crate) fn finish(self) -> ArrayRef {
        self.cells.finish()
    }
}

impl Plan {
    fn new(schema: &SchemaRef, options: Rules) -> Option<Self> {
        let inner = |schema: Option<&SchemaRef>| Some(Box::new(Self::new(schema?, options)?));
        let parts = match schema.kind() {
            Kind::Array => Parts::Items(inner(schema.value_schema())?),
            Kind::Map => Parts::Entries(inner(schema.key_schema())?, inner(schema.value_schema())?),
            Kind::Struct => {
                let fields = schema.fields().iter().map(|f| Self::new(&f.schema, options));
                Parts::Fields(fields.collect::<Option<_>>()?, Names::new(schema))
            }
            _ => Parts::None,
        };
        let as_tree = is_union(schema, options)
            || (options.dialect == Dialect::JsonSchema
                && schema.key_schema().is_some_and(|key| !is_object(key, options)));
        Some(Self { options, as_tree, parts })
    }

    /// Appends the value that comes next. After an error the caller truncates.
    fn append(&self, reader: &mut Reader<'_>, to: &mut cells::Builder) -> Result<(), Odd> {
        let token = reader.peek()?;
        if token == Token::Null {
            reader.take_word(token)?;
            return self.append_missing(to);
        }
        if self.as_tree {
            return self.append_tree(reader, to);
        }
        let row = to.len();
        match (&mut to.cells, token) {
            (Cells::Struct(columns), Token::Object) => {
                append_struct(reader, self.fields(), columns, row)?;
            }
            (Cells::List(ends, items), Token::Array) => {
                let plan = self.items();
                reader.enter()?;
                let mut first = true;
                while reader.next_item(&mut first)? {
                    plan.append_item(reader, items)?;
                }
                ends.push(offset(items.len())?);
            }
            (Cells::Map(ends, keys, values), Token::Object | Token::Array) => {
                self.append_map(reader, token, [keys, values])?;
                ends.push(offset(keys.len())?);
            }
            (Cells::Text(cells), Token::Text) => cells.push(reader.take_text()?.as_bytes()),
            (Cells::Bytes(cells), Token::Text) => {
                let text = reader.take_text()?;
                cells.push_with(|bytes| decode_base64(&text, bytes)).map_err(|_| Odd)?;
            }
            (Cells::Decimal(cells, _), Token::Text) => {
                let mut bytes = Vec::new();
                decode_base64(&reader.take_text()?, &mut bytes).map_err(|_| Odd)?;
                cells.push(to_i256(&bytes).ok_or(Odd)?);
            }
            (Cells::Boolean(cells), Token::True | Token::False) => {
                reader.take_word(token)?;
                cells.push(token == Token::True);
            }
            (cells, Token::Number) => append_number(cells, reader.take_number()?)?,
            _ => return Err(Odd),
        }
        to.end_cell();
        Ok(())
    }

    /// Appends an item of an array or map, unless there are very many.
    fn append_item(&self, reader: &mut Reader<'_>, to: &mut cells::Builder) -> Result<(), Odd> {
        if !to.is_roomy() {
            return Err(Odd);
        }
        self.append(reader, to)
    }

    /// Those of a column of structs.
    fn fields(&self) -> (&[Plan], &Names) {
        match &self.parts {
            Parts::Fields(plans, names) => (plans, names),
            _ => unreachable!("plans have the shape of their columns"),
        }
    }

    /// That of a column of arrays.
    fn items(&self) -> &Plan {
        match &self.parts {
            Parts::Items(plan) => plan,
            _ => unreachable!("plans have the shape of their columns"),
        }
    }

    /// Those of a column of maps.
    fn entries(&self) -> [&Plan; 2] {
        match &self.parts {
            Parts::Entries(keys, values) => [keys, values],
            _ => unreachable!("plans have the shape of their columns"),
        }
    }

    fn append_tree(&self, reader: &mut Reader<'_>, to: &mut cells::Builder) -> Result<(), Odd> {
        let node = Node::read(reader)?;
        take_room(&to.schema, &node, &mut ROOM.clone()).ok_or(Odd)?;
        let value = to_value(&to.schema, Some(&node), self.options).map_err(|_| Odd)?;
        check_nulls(&value, &to.schema, &String::new).map_err(|_| Odd)?;
        Ok(to.append_value(&value)?)
    }

    fn append_map(
        &self,
        reader: &mut Reader<'_>,
        token: Token,
        [keys, values]: [&mut cells::Builder; 2],
    ) -> Result<(), Odd> {
        let [key_plan, value_plan] = self.entries();
        let start = keys.len();
        let mut first = true;
        if let Cells::Text(_) = keys.cells {
            if token != Token::Object {
                return Err(Odd);
            }
            reader.enter()?;
            while let Some(name) = reader.next_name(&mut first)? {
                keys.append_text(&name);
                value_plan.append_item(reader, values)?;
            }
            return match &keys.cells {
                Cells::Text(names) if names.has_duplicates(start) => Err(Odd),
                _ => Ok(()),
            };
        }
        if token != Token::Array {
            return Err(Odd);
        }
        reader.enter()?;
        while reader.next_item(&mut first)? {
            // Whether two keys are equal is for the row-wise way to say.
            if keys.len() > start {
                return Err(Odd);
            }
            append_pair(reader, [key_plan, value_plan], [keys, values])?;
        }
        Ok(())
    }

    /// Appends what stands for null, or for a field that is not there.
    fn append_missing(&self, to: &mut cells::Builder) -> Result<(), Odd> {
        if self.options.replace_null_with_default
            && let Some(default) = to.schema.default().cloned()
        {
            return Ok(to.append_value(&default)?);
        }
        if !to.schema.is_optional() {
            return Err(Odd);
        }
        to.append_null();
        Ok(())
    }
}

fn append_struct(
    reader: &mut Reader<'_>,
    (plans, names): (&[Plan], &Names),
    columns: &mut [cells::Builder],
    row: usize,
) -> Result<(), Odd> {
    reader.enter()?;
    let mut first = true;
    // Fields mostly come in the order of the schema.
    let mut next = 0;
    while let Some(named) = names.next(reader, next, &mut first)? {
        let Named::Field(place) = named else {
            reader.skip()?;
            continue;
        };
        let column = &mut columns[place];
        if column.len() > row {
            return Err(Odd);
        }
        plans[place].append(reader, column)?;
        next = place + 1;
    }
    for (plan, column) in plans.iter().zip(columns) {
        if column.len() > row {
            continue;
        }
        if may_be_missing(&column.schema, plan.options) {
            column.append_null();
        } else {
            plan.append_missing(column)?;
        }
    }
    Ok(())
}

fn append_number(cells: &mut Cells, number: Number<'_>) -> Result<(), Odd> {
    let integer = || number.is_integer().then(|| number.to_i64()).ok_or(Odd);
    match cells {
        Cells::Int8(cells) => cells.push(integer()? as i8),
        Cells::Int16(cells) => cells.push(integer()? as i16),
        Cells::Int32(cells) => cells.push(integer()? as i32),
        Cells::Int64(cells) | Cells::Timestamp(cells) => cells.push(integer()?),
        Cells::Date(cells) => cells.push(number.to_i32_exact().ok_or(Odd)?),
        Cells::Time(cells) => {
            let millis = number.to_i32_exact().ok_or(Odd)?;
            if !TIME_MILLIS.contains(&millis) {
                return Err(Odd);
            }
            cells.push(millis);
        }
        Cells::Float32(cells) => cells.push(number.to_f32()),
        Cells::Float64(cells) => cells.push(number.to_f64()),
        Cells::Decimal(cells, scale) => cells.push(scaled(&number.to_decimal(), *scale)?),
        _ => return Err(Odd),
    }
    Ok(())
}

fn append_pair(
    reader: &mut Reader<'_>,
    [key, value]: [&Plan; 2],
    [keys, values]: [&mut cells::Builder; 2],
) -> Result<(), Odd> {
    if reader.peek()? != Token::Array {
        return Err(Odd);
    }
    reader.enter()?;
    let mut first = true;
    if !reader.next_item(&mut first)? {
        return Err(Odd);
    }
    key.append(reader, keys)?;
    if keys.ends_with_null() || !reader.next_item(&mut first)? {
        return Err(Odd);
    }
    value.append(reader, values)?;
    if reader.next_item(&mut first)? {
        return Err(Odd);
    }
    Ok(())
}
