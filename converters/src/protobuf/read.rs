//! Reads messages straight into growing columns.

use std::collections::HashSet;

use arrow::datatypes::i256;
use millrace_api::data::{Decimal, civil_from_days};
use num_bigint::BigInt;

use crate::cells::{Builder, Cells, Unfit, offset, to_i256};
use crate::json::Fault;
use crate::protobuf::plan::{Absent, FieldPlan, MessagePlan, Output, Plan, Scalar, Shape, Symbols};
use crate::protobuf::wire::{Input, Raw};
use crate::room::{Room, too_wide};
use crate::varint::from_zigzag;

type Result<T> = std::result::Result<T, Fault>;

/// What of a field was found in a message.
enum Slot<'a> {
    Absent,
    Found(Raw<'a>),
    /// Entries of a map, or pieces of a message that came in several.
    Many(Vec<&'a [u8]>),
}

/// Memory that is used again and again: what was found in the messages that are being read.
#[derive(Default)]
pub(crate) struct Scratch<'a> {
    slots: Vec<Slot<'a>>,
    /// How many cells more the message may become.
    room: usize,
}

impl Scratch<'_> {
    /// Takes room for the cells of an item of a list or map.
    #[inline]
    fn take_room(&mut self, cells: usize) -> Result<()> {
        self.room = self.room.checked_sub(cells).ok_or_else(|| too_wide("lists and maps"))?;
        Ok(())
    }
}

impl Plan {
    /// Appends a whole message; after an error the builder is as it was.
    pub(crate) fn append_whole<'a>(
        &self,
        payload: &'a [u8],
        builder: &mut Builder,
        (scratch, room): (&mut Scratch<'a>, &mut Room),
    ) -> Result<()> {
        let len = builder.len();
        scratch.slots.clear();
        scratch.room = room.open(payload.len());
        self.append(Raw::Bytes(payload), builder, scratch)
            .inspect(|()| room.close(scratch.room))
            .inspect_err(|_| builder.truncate(len))
    }

    fn accepts(&self, raw: Raw<'_>) -> bool {
        match (self, raw) {
            (Self::Scalar(scalar), raw) => scalar.is_of(raw),
            (Self::Enum(symbols), Raw::Varint(number)) => {
                let number = number as i32;
                symbols.closed.as_ref().is_none_or(|known| known.contains(&number))
            }
            (Self::Enum(_), _) => false,
            (_, raw) => matches!(raw, Raw::Bytes(_)),
        }
    }

    /// Appends a value. After an error the caller truncates.
    fn append<'a>(
        &self,
        raw: Raw<'a>,
        builder: &mut Builder,
        scratch: &mut Scratch<'a>,
    ) -> Result<()> {
        match (self, raw) {
            (Self::Message(plan), Raw::Bytes(payload)) => {
                return plan.append(payload, builder, scratch);
            }
            (Self::Scalar(scalar), raw) => push_scalar(*scalar, raw, &mut builder.cells)?,
            (Self::Enum(symbols), Raw::Varint(number)) => {
                push_symbol(symbols, number as i32, &mut builder.cells);
            }
            (Self::Wrapped(scalar), Raw::Bytes(payload)) => {
                let raw = wrapped(*scalar, payload)?;
                push_scalar(*scalar, raw, &mut builder.cells)?;
            }
            (plan, Raw::Bytes(payload)) => push_logical(plan, payload, &mut builder.cells)?,
            _ => unreachable!("only what a plan accepts is appended"),
        }
        builder.end_cell();
        Ok(())
    }
}

impl MessagePlan {
    fn append<'a>(
        &self,
        payload: &'a [u8],
        builder: &mut Builder,
        scratch: &mut Scratch<'a>,
    ) -> Result<()> {
        let base = scratch.slots.len();
        scratch.slots.resize_with(base + self.fields.len(), || Slot::Absent);
        let Cells::Struct(columns) = &mut builder.cells else {
            unreachable!("a message is a struct")
        };
        let mut input = Input::new(payload);
        while let Some((number, raw)) = input.field()? {
            if let Some(place) = self.places.get(&number) {
                let found = self.take(*place, raw, (columns, scratch, base));
                found.map_err(|fault| fault.within(&self.fields[*place].name))?;
            }
        }
        for (column, output) in columns.iter_mut().zip(&self.columns) {
            match output {
                Output::Field(place) => self.end(*place, column, scratch, base)?,
                Output::Union(places) => self.end_union(places, column, scratch, base)?,
            }
        }
        scratch.slots.truncate(base);
        builder.end_cell();
        Ok(())
    }

    /// Keeps what was found of a field; items of a list are appended at once.
    fn take<'a>(
        &self,
        place: usize,
        raw: Raw<'a>,
        (columns, scratch, base): (&mut [Builder], &mut Scratch<'a>, usize),
    ) -> Result<()> {
        let field = &self.fields[place];
        match (&field.shape, raw) {
            (Shape::List, raw) => {
                let Cells::List(_, items) = &mut columns[field.column].cells else {
                    unreachable!("a repeated field is a list")
                };
                return append_items(&field.plan, raw, items, scratch);
            }
            (Shape::Map(_), Raw::Bytes(entry)) => {
                match &mut scratch.slots[base + place] {
                    Slot::Many(entries) => entries.push(entry),
                    slot => *slot = Slot::Many(vec![entry]),
                }
                return Ok(());
            }
            (Shape::Single(_), raw) if field.plan.accepts(raw) => {}
            // Another type than the schema's: an unknown field.
            _ => return Ok(()),
        }
        if let Some(group) = field.group {
            for other in self.groups[group].iter().filter(|other| **other != place) {
                scratch.slots[base + other] = Slot::Absent;
            }
        }
        let is_message = !matches!(field.plan, Plan::Scalar(_) | Plan::Enum(_));
        match (&mut scratch.slots[base + place], raw) {
            (Slot::Many(pieces), Raw::Bytes(piece)) => pieces.push(piece),
            (slot @ Slot::Found(_), Raw::Bytes(piece)) if is_message => {
                let Slot::Found(Raw::Bytes(first)) = *slot else {
                    unreachable!("a message is bytes")
                };
                *slot = Slot::Many(vec![first, piece]);
            }
            (slot, raw) => *slot = Slot::Found(raw),
        }
        Ok(())
    }

    fn end<'a>(
        &self,
        place: usize,
        column: &mut Builder,
        scratch: &mut Scratch<'a>,
        base: usize,
    ) -> Result<()> {
        let field = &self.fields[place];
        let slot = std::mem::replace(&mut scratch.slots[base + place], Slot::Absent);
        let ended = match &field.shape {
            Shape::List => end_list(column),
            Shape::Map(entry) => append_map(entry, slot, column, scratch),
            Shape::Single(absent) => append_single(field, absent, slot, (column, scratch)),
        };
        ended.map_err(|fault| fault.within(&field.name))
    }

    fn end_union<'a>(
        &self,
        places: &[usize],
        column: &mut Builder,
        scratch: &mut Scratch<'a>,
        base: usize,
    ) -> Result<()> {
        let is_absent = |place: &usize| matches!(scratch.slots[base + place], Slot::Absent);
        if places.iter().all(is_absent) {
            column.append_null();
            return Ok(());
        }
        let Cells::Struct(members) = &mut column.cells else { unreachable!("a union is a struct") };
        for (place, member) in places.iter().zip(members) {
            self.end(*place, member, scratch, base)?;
        }
        column.end_cell();
        Ok(())
    }
}

fn end_list(column: &mut Builder) -> Result<()> {
    let Cells::List(ends, items) = &mut column.cells else {
        unreachable!("a repeated field is a list")
    };
    ends.push(offset(items.len()).map_err(|Unfit| too_many())?);
    column.end_cell();
    Ok(())
}

#[cold]
fn too_many() -> Fault {
    Fault::new("a list or map has more than 2^31 items in one run")
}

fn append_single<'a>(
    field: &FieldPlan,
    absent: &Absent,
    slot: Slot<'a>,
    (column, scratch): (&mut Builder, &mut Scratch<'a>),
) -> Result<()> {
    let raw = match (slot, absent) {
        (Slot::Found(raw), _) => raw,
        (Slot::Many(pieces), _) => {
            // Pieces of a message mean the same as all of them in a row.
            let whole = pieces.concat();
            let mut whole_scratch = Scratch { room: scratch.room, ..Scratch::default() };
            let appended = field.plan.append(Raw::Bytes(&whole), column, &mut whole_scratch);
            scratch.room = whole_scratch.room;
            return appended;
        }
        (Slot::Absent, Absent::Null) => {
            column.append_null();
            return Ok(());
        }
        (Slot::Absent, Absent::Required) => {
            return Err(Fault::new("message lacks a required field"));
        }
        (Slot::Absent, Absent::Number(number)) => default(&field.plan, *number),
        (Slot::Absent, Absent::Bytes(bytes)) => {
            let mut scratch = Scratch::default();
            return field.plan.append(Raw::Bytes(bytes), column, &mut scratch);
        }
    };
    field.plan.append(raw, column, scratch)
}

fn default(plan: &Plan, number: u64) -> Raw<'static> {
    match plan {
        Plan::Scalar(scalar) => match scalar.wire_type() {
            1 => Raw::Fixed64(number),
            5 => Raw::Fixed32(number as u32),
            _ => Raw::Varint(number),
        },
        _ => Raw::Varint(number),
    }
}

fn append_items<'a>(
    plan: &Plan,
    raw: Raw<'a>,
    items: &mut Builder,
    scratch: &mut Scratch<'a>,
) -> Result<()> {
    if plan.accepts(raw) {
        scratch.take_room(items.width())?;
        return plan.append(raw, items, scratch);
    }
    let wire_type = match plan {
        Plan::Scalar(scalar) => scalar.wire_type(),
        Plan::Enum(_) => 0,
        _ => return Ok(()),
    };
    let Raw::Bytes(packed) = raw else {
        return Ok(());
    };
    let mut input = Input::new(packed);
    while !input.is_empty() {
        let raw = match wire_type {
            0 => Raw::Varint(input.varint()?),
            1 => Raw::Fixed64(input.fixed64()?),
            _ => Raw::Fixed32(input.fixed32()?),
        };
        if plan.accepts(raw) {
            plan.append(raw, items, scratch)?;
        }
    }
    Ok(())
}

fn append_map<'a>(
    (key, value): &(FieldPlan, FieldPlan),
    slot: Slot<'a>,
    column: &mut Builder,
    scratch: &mut Scratch<'a>,
) -> Result<()> {
    let Cells::Map(ends, keys, values) = &mut column.cells else { unreachable!("a map is a map") };
    let entries = match slot {
        Slot::Many(entries) => entries,
        _ => Vec::new(),
    };
    let mut parts = entries.into_iter().map(entry_parts).collect::<Result<Vec<_>>>()?;
    if parts.len() > 1 {
        keep_last(&mut parts);
    }
    for (key_slot, value_slot) in parts {
        scratch.take_room(keys.width() + values.width())?;
        let parts = [(key, key_slot, &mut *keys), (value, value_slot, &mut *values)];
        for (field, slot, column) in parts {
            let Shape::Single(absent) = &field.shape else {
                unreachable!("parts of an entry are not repeated")
            };
            let slot = match slot {
                Slot::Found(raw) if !field.plan.accepts(raw) => Slot::Absent,
                slot => slot,
            };
            append_single(field, absent, slot, (column, scratch))
                .map_err(|fault| fault.within(&field.name))?;
        }
        if keys.ends_with_null() {
            return Err(Fault::new("an entry of a map has no key"));
        }
    }
    ends.push(offset(keys.len()).map_err(|Unfit| too_many())?);
    column.end_cell();
    Ok(())
}

type Entry<'a> = (Slot<'a>, Slot<'a>);

fn entry_parts(entry: &[u8]) -> Result<Entry<'_>> {
    let (mut key, mut value) = (Slot::Absent, Slot::Absent);
    let mut input = Input::new(entry);
    while let Some((number, raw)) = input.field()? {
        match number {
            1 => key = Slot::Found(raw),
            2 => value = Slot::Found(raw),
            _ => {}
        }
    }
    Ok((key, value))
}

/// Of entries with the same key the last counts.
fn keep_last(entries: &mut Vec<Entry<'_>>) {
    let mut seen: HashSet<(u8, u64, Vec<u8>)> = HashSet::with_capacity(entries.len());
    let key = |slot: &Slot<'_>| match slot {
        Slot::Found(Raw::Bytes(bytes)) => (0, 0, bytes.to_vec()),
        // Zero and nothing are the same key.
        Slot::Found(Raw::Varint(0) | Raw::Fixed32(0) | Raw::Fixed64(0)) => (0, 0, Vec::new()),
        Slot::Found(Raw::Varint(number) | Raw::Fixed64(number)) => (1, *number, Vec::new()),
        Slot::Found(Raw::Fixed32(number)) => (1, u64::from(*number), Vec::new()),
        _ => (0, 0, Vec::new()),
    };
    entries.reverse();
    entries.retain(|(slot, _)| seen.insert(key(slot)));
    entries.reverse();
}

/// The value in a wrapper message.
fn wrapped(scalar: Scalar, payload: &[u8]) -> Result<Raw<'_>> {
    let mut found = match scalar.wire_type() {
        1 => Raw::Fixed64(0),
        5 => Raw::Fixed32(0),
        2 => Raw::Bytes(b""),
        _ => Raw::Varint(0),
    };
    let mut input = Input::new(payload);
    while let Some((number, raw)) = input.field()? {
        if number == 1 && scalar.is_of(raw) {
            found = raw;
        }
    }
    Ok(found)
}

fn push_symbol(symbols: &Symbols, number: i32, cells: &mut Cells) {
    match (cells, &symbols.by_number) {
        (Cells::Int32(cells), _) => cells.push(number),
        (Cells::Text(cells), Some(by_number)) => match by_number.get(&number) {
            Some(symbol) => cells.push(symbol.as_bytes()),
            // The name that Java gives to numbers without one.
            None => {
                let name = format!("UNKNOWN_ENUM_VALUE_{}_{number}", symbols.name);
                cells.push(name.as_bytes());
            }
        },
        _ => unreachable!("an enum is text or a number"),
    }
}

#[inline]
fn push_scalar(scalar: Scalar, raw: Raw<'_>, cells: &mut Cells) -> Result<()> {
    match (cells, raw) {
        (Cells::Text(cells), Raw::Bytes(bytes)) => {
            std::str::from_utf8(bytes)
                .map_err(|e| Fault::new(format!("not UTF-8 at byte {}", e.valid_up_to())))?;
            cells.push(bytes);
        }
        (Cells::Bytes(cells), Raw::Bytes(bytes)) => cells.push(bytes),
        (Cells::Boolean(cells), Raw::Varint(number)) => cells.push(number != 0),
        (Cells::Float64(cells), Raw::Fixed64(bits)) => cells.push(f64::from_bits(bits)),
        (Cells::Float32(cells), Raw::Fixed32(bits)) => cells.push(f32::from_bits(bits)),
        (Cells::Int64(cells), raw) => cells.push(integer(scalar, raw)),
        (Cells::Int32(cells), raw) => cells.push(integer(scalar, raw) as i32),
        (Cells::Int16(cells), raw) => cells.push(integer(scalar, raw) as i16),
        (Cells::Int8(cells), raw) => cells.push(integer(scalar, raw) as i8),
        _ => unreachable!("the column was made for the field"),
    }
    Ok(())
}

/// Unsigned numbers of 64 bits keep their bits, as in Java.
fn integer(scalar: Scalar, raw: Raw<'_>) -> i64 {
    match (raw, scalar) {
        (Raw::Varint(n), Scalar::Int32) => i64::from(n as i32),
        (Raw::Varint(n), Scalar::Uint32) => i64::from(n as u32),
        (Raw::Varint(n), Scalar::Sint32) => from_zigzag(u64::from(n as u32)),
        (Raw::Varint(n), Scalar::Sint64) => from_zigzag(n),
        (Raw::Varint(n) | Raw::Fixed64(n), _) => n.cast_signed(),
        (Raw::Fixed32(n), Scalar::Sfixed32) => i64::from(n.cast_signed()),
        (Raw::Fixed32(n), _) => i64::from(n),
        (Raw::Bytes(_), _) => 0,
    }
}

fn push_logical(plan: &Plan, payload: &[u8], cells: &mut Cells) -> Result<()> {
    let mut numbers = [0_u64; 5];
    let mut bytes: &[u8] = b"";
    let mut input = Input::new(payload);
    while let Some((number, raw)) = input.field()? {
        match raw {
            Raw::Varint(value) if number < 5 => numbers[number as usize] = value,
            Raw::Bytes(value) if number == 1 => bytes = value,
            _ => {}
        }
    }
    let int = |place: usize| numbers[place] as i32;
    match (plan, cells) {
        (Plan::Decimal(scale), Cells::Decimal(cells, _)) => {
            cells.push(decimal(bytes, int(3), *scale)?);
        }
        (Plan::Date, Cells::Date(cells)) => cells.push(date(int(1), int(2), int(3))?),
        (Plan::Time, Cells::Time(cells)) => cells.push(time([int(1), int(2), int(3), int(4)])?),
        (Plan::Timestamp, Cells::Timestamp(cells)) => {
            cells.push(timestamp(numbers[1].cast_signed(), int(2))?);
        }
        _ => unreachable!("the column was made for the field"),
    }
    Ok(())
}

/// A number with the scale of its field, which must not take digits from it.
fn decimal(unscaled: &[u8], scale: i32, wanted: i32) -> Result<i256> {
    if unscaled.is_empty() {
        return Err(Fault::new("a decimal needs at least one byte"));
    }
    let too_large = || Fault::new("a decimal has more than 76 digits");
    if scale == wanted {
        return to_i256(unscaled).ok_or_else(too_large);
    }
    let misfit = || {
        Fault::new(format!(
            "a decimal has {scale} digits after the point, its field {wanted}: \
             set the scale in confluent.field_meta"
        ))
    };
    let places =
        wanted.checked_sub(scale).filter(|places| places.abs() <= 76).ok_or_else(misfit)?;
    let factor = BigInt::from(10).pow(places.unsigned_abs());
    let number = BigInt::from_signed_bytes_be(unscaled);
    let unscaled = if places > 0 {
        number * factor
    } else if (&number % &factor) == BigInt::ZERO {
        number / factor
    } else {
        return Err(misfit());
    };
    let number = Decimal { unscaled, scale: wanted };
    to_i256(&number.unscaled.to_signed_bytes_be()).ok_or_else(too_large)
}

fn date(year: i32, month: i32, day: i32) -> Result<i32> {
    let wrong = || Fault::new(format!("there is no date {year}-{month}-{day}"));
    if !(1..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return Err(wrong());
    }
    // Days since March of the year 0, counted in years that end with February.
    let (year_from_march, month_from_march) =
        if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year_from_march + year_from_march / 4 - year_from_march / 100
        + year_from_march / 400
        + (153 * month_from_march + 2) / 5
        + day
        - 1
        - 719_468;
    let (y, m, d) = civil_from_days(days.into());
    let is_same = y == i64::from(year) && i64::from(m) == i64::from(month) && d == day as u32;
    if is_same { Ok(days) } else { Err(wrong()) }
}

fn time([hours, minutes, seconds, nanos]: [i32; 4]) -> Result<i32> {
    let is_time = (0..24).contains(&hours)
        && (0..60).contains(&minutes)
        && (0..60).contains(&seconds)
        && (0..1_000_000_000).contains(&nanos);
    if !is_time {
        return Err(Fault::new(format!("there is no time {hours}:{minutes}:{seconds}")));
    }
    Ok(((hours * 60 + minutes) * 60 + seconds) * 1000 + nanos / 1_000_000)
}

/// The years 1 to 9999.
fn timestamp(seconds: i64, nanos: i32) -> Result<i64> {
    if !(-62_135_596_800..=253_402_300_799).contains(&seconds)
        || !(0..1_000_000_000).contains(&nanos)
    {
        return Err(Fault::new(format!("there is no timestamp of {seconds} s and {nanos} ns")));
    }
    Ok(seconds * 1000 + i64::from(nanos) / 1_000_000)
}
