//! Reads payloads straight into growing columns. It must equal the way by values, to which it
//! leaves what is not regular.

use crate::avro::input::Input;
use crate::avro::reader::{Entries, Items, Plan, Resolved, Step};
use crate::avro::stop::{Stop, misfit, unfit, within};
use crate::avro::values::{branch, decimal, symbol, time};
use crate::cells::{Builder, Cells, offset, to_i256};
use crate::room::Room;

impl Plan {
    /// Appends a whole payload; after an error the builder is as it was.
    pub(crate) fn append_whole(
        &self,
        payload: &[u8],
        builder: &mut Builder,
        room: &mut Room,
    ) -> Result<(), Box<Stop>> {
        let len = builder.len();
        let mut input = Input::new(payload, room.open(payload.len()));
        input.take_room(builder.width()).ok_or_else(unfit)?;
        let read = self.append(&mut input, builder).and_then(|()| input.end());
        let Err(stop) = read else {
            room.close(input.room());
            return Ok(());
        };
        builder.truncate(len);
        if !matches!(*stop, Stop::Irregular) {
            return Err(stop);
        }
        let value = self.whole_value(Some(&builder.schema), payload, room)?;
        let mut input = Input::new(payload, room.open(payload.len()));
        input.take_room(builder.cells_of(&value)).ok_or_else(unfit)?;
        room.close(input.room());
        Ok(builder.append_value(&value)?)
    }

    /// Appends the value that comes next. After an error the caller truncates.
    fn append(&self, input: &mut Input<'_>, builder: &mut Builder) -> Result<(), Box<Stop>> {
        match (&mut builder.cells, self) {
            (_, Self::Optional(plan, null)) => {
                if branch(2, input)? as i64 == *null {
                    builder.append_null();
                    return Ok(());
                }
                return plan.append(input, builder);
            }
            (Cells::Text(cells), Self::Text) => cells.push(input.text()?.as_bytes()),
            (Cells::Int64(cells), Self::Int64) => cells.push(input.long()?),
            (Cells::Int32(cells), Self::Int32) => cells.push(input.int()?),
            (Cells::Float64(cells), Self::Float64) => cells.push(input.double()?),
            (Cells::Timestamp(cells), Self::Timestamp) => cells.push(input.long()?),
            (Cells::Boolean(cells), Self::Boolean) => cells.push(input.boolean()?),
            (Cells::Struct(_), Self::Struct(plans)) => append_struct(plans, input, builder)?,
            (Cells::Int8(cells), Self::Int8) => cells.push(input.int()? as i8),
            (Cells::Int16(cells), Self::Int16) => cells.push(input.int()? as i16),
            (Cells::Date(cells), Self::Date) => cells.push(input.int()?),
            (Cells::Time(cells), Self::Time) => cells.push(time(input)?),
            (Cells::Float32(cells), Self::Float32) => cells.push(input.float()?),
            (Cells::Bytes(cells), Self::Bytes) => cells.push(input.bytes()?),
            (Cells::Bytes(cells), Self::Fixed(size)) => cells.push(input.take(*size)?),
            (Cells::Text(cells), Self::Enum(symbols)) => {
                cells.push(symbol(symbols, input)?.as_bytes());
            }
            (Cells::Decimal(cells, _), Self::Decimal(_, size)) => {
                cells.push(to_i256(decimal(*size, input)?).ok_or_else(unfit)?);
            }
            (Cells::List(ends, cells), Self::List(items)) => {
                append_items(items, input, cells)?;
                ends.push(offset(cells.len())?);
            }
            (Cells::Map(ends, keys, values), Self::Map(items)) => {
                append_map(items, input, keys, values)?;
                ends.push(offset(keys.len())?);
            }
            (Cells::Map(ends, keys, values), Self::Entries(entries)) => {
                append_entries(entries, input, keys, values)?;
                ends.push(offset(keys.len())?);
            }
            (_, Self::Only(plan)) => {
                branch(1, input)?;
                return plan.append(input, builder);
            }
            (Cells::Struct(_), Self::Union(branches)) => {
                return append_choice(branches, input, builder);
            }
            (_, Self::Null) => {
                builder.append_null();
                return Ok(());
            }
            (_, Self::Alternatives(plans)) => {
                return plans[branch(plans.len(), input)?].append(input, builder);
            }
            (_, Self::Misfit(why)) => return Err(misfit(why)),
            (Cells::Struct(_), Self::Member(taken, plan)) => {
                return append_member(*taken, plan, input, builder);
            }
            (Cells::Struct(_), Self::Resolved(resolved)) => {
                append_resolved(resolved, input, builder)?;
            }
            (Cells::Int64(cells) | Cells::Timestamp(cells), Self::Widened(_)) => {
                cells.push(input.int()?.into());
            }
            (Cells::Float32(cells), Self::Widened(narrow)) => cells.push(narrow.float(input)?),
            (Cells::Float64(cells), Self::Widened(narrow)) => cells.push(narrow.double(input)?),
            _ => unreachable!("plan and column are made for one schema"),
        }
        builder.end_cell();
        Ok(())
    }
}

fn append_struct(
    plans: &[Plan],
    input: &mut Input<'_>,
    builder: &mut Builder,
) -> Result<(), Box<Stop>> {
    let Cells::Struct(columns) = &mut builder.cells else { unreachable!("the caller has matched") };
    for (i, (column, plan)) in columns.iter_mut().zip(plans).enumerate() {
        if let Err(stop) = plan.append(input, column) {
            return Err(within(stop, &builder.schema.fields()[i].name));
        }
    }
    Ok(())
}

fn append_choice(
    branches: &[Option<(usize, Plan)>],
    input: &mut Input<'_>,
    builder: &mut Builder,
) -> Result<(), Box<Stop>> {
    let Some((taken, plan)) = &branches[branch(branches.len(), input)?] else {
        builder.append_null();
        return Ok(());
    };
    append_member(*taken, plan, input, builder)
}

fn append_member(
    taken: usize,
    plan: &Plan,
    input: &mut Input<'_>,
    builder: &mut Builder,
) -> Result<(), Box<Stop>> {
    let Cells::Struct(columns) = &mut builder.cells else { unreachable!("the caller has matched") };
    for (i, column) in columns.iter_mut().enumerate() {
        if i == taken {
            let read = plan.append(input, column);
            read.map_err(|stop| within(stop, &builder.schema.fields()[i].name))?;
        } else {
            column.append_null();
        }
    }
    builder.end_cell();
    Ok(())
}

fn append_resolved(
    resolved: &Resolved,
    input: &mut Input<'_>,
    builder: &mut Builder,
) -> Result<(), Box<Stop>> {
    let Cells::Struct(columns) = &mut builder.cells else { unreachable!("the caller has matched") };
    for step in &resolved.steps {
        match step {
            Step::Read(i, plan) => {
                let read = plan.append(input, &mut columns[*i]);
                read.map_err(|stop| within(stop, &builder.schema.fields()[*i].name))?;
            }
            Step::Skip(skip) => skip.pass(input)?,
        }
    }
    take_room(1, resolved.cells, input)?;
    for (i, default) in &resolved.defaults {
        columns[*i].append_value(default)?;
    }
    Ok(())
}

/// A run that unfolds to far more than its payloads goes as values.
#[inline]
fn take_room(items: usize, width: usize, input: &mut Input<'_>) -> Result<(), Box<Stop>> {
    input.take_room(items.saturating_mul(width)).ok_or_else(unfit)
}

fn append_items(
    items: &Items,
    input: &mut Input<'_>,
    cells: &mut Builder,
) -> Result<(), Box<Stop>> {
    loop {
        let count = input.block(items.least_bytes)?;
        if count == 0 {
            return Ok(());
        }
        take_room(count, cells.width(), input)?;
        for _ in 0..count {
            items.plan.append(input, cells)?;
        }
    }
}

fn append_map(
    items: &Items,
    input: &mut Input<'_>,
    keys: &mut Builder,
    values: &mut Builder,
) -> Result<(), Box<Stop>> {
    let start = keys.len();
    loop {
        let count = input.block(items.least_bytes)?;
        if count == 0 {
            break;
        }
        take_room(count, 1 + values.width(), input)?;
        for _ in 0..count {
            Plan::Text.append(input, keys)?;
            items.plan.append(input, values)?;
        }
    }
    match &keys.cells {
        Cells::Text(cells) if cells.has_duplicates(start) => Err(Box::new(Stop::Irregular)),
        _ => Ok(()),
    }
}

fn append_entries(
    entries: &Entries,
    input: &mut Input<'_>,
    keys: &mut Builder,
    values: &mut Builder,
) -> Result<(), Box<Stop>> {
    let start = keys.len();
    loop {
        let count = input.block(entries.least_bytes)?;
        if count == 0 {
            return Ok(());
        }
        // Whether two keys are equal is for the way by values to say.
        if keys.len() - start + count > 1 {
            return Err(Box::new(Stop::Irregular));
        }
        take_room(count, keys.width() + values.width(), input)?;
        if !entries.key_comes_first {
            entries.value.append(input, values)?;
        }
        entries.key.append(input, keys)?;
        if keys.ends_with_null() {
            return Err(unfit());
        }
        if entries.key_comes_first {
            entries.value.append(input, values)?;
        }
    }
}
