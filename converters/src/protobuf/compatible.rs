//! Decides whether readers of one schema can read what is written with another.

use protox::prost_reflect::{FieldDescriptor, FileDescriptor, Kind, MessageDescriptor};

use crate::protobuf::plan::Scalar;

/// Whether readers of `reader` understand all messages of `writer`.
pub(crate) fn reads(reader: &FileDescriptor, writer: &FileDescriptor) -> bool {
    writer.messages().all(|message| {
        let same = |known: &MessageDescriptor| known.full_name() == message.full_name();
        reader.messages().find(same).is_some_and(|known| reads_message(&known, &message))
    })
}

fn reads_message(reader: &MessageDescriptor, writer: &MessageDescriptor) -> bool {
    let fields = writer.fields().all(|field| {
        reader.get_field(field.number()).is_none_or(|known| reads_field(&known, &field))
    });
    // What is required is missed by its readers.
    let required = reader
        .fields()
        .filter(FieldDescriptor::is_required)
        .all(|field| writer.get_field(field.number()).is_some());
    let inner = writer.child_messages().all(|message| {
        let same = |known: &MessageDescriptor| known.name() == message.name();
        reader.child_messages().find(same).is_none_or(|known| reads_message(&known, &message))
    });
    fields && required && inner && keeps_choices(reader, writer)
}

/// Of a choice (`oneof`) readers keep one: no two may come into it that were there together. Nor may
/// one of the choices be lost.
fn keeps_choices(reader: &MessageDescriptor, writer: &MessageDescriptor) -> bool {
    let number = |field: FieldDescriptor| field.number();
    let real = |message: &MessageDescriptor| -> Vec<Vec<u32>> {
        let real = message.oneofs().filter(|oneof| !oneof.is_synthetic());
        real.map(|oneof| oneof.fields().map(number).collect()).collect()
    };
    let ours = real(writer);
    let none_meet = real(reader).iter().all(|choice| {
        let is_there = |number: &&u32| writer.get_field(**number).is_some();
        let together = ours.iter().any(|own| choice.iter().any(|number| own.contains(number)));
        together || choice.iter().filter(is_there).count() <= 1
    });
    none_meet && ours.iter().flatten().all(|number| reader.get_field(*number).is_some())
}

fn reads_field(reader: &FieldDescriptor, writer: &FieldDescriptor) -> bool {
    let kinds = match (reader.kind(), writer.kind()) {
        (Kind::Message(a), Kind::Message(b)) => a.name() == b.name(),
        (a, b) => class(&a).is_some_and(|a| class(&b) == Some(a)),
    };
    kinds && reader.is_list() == writer.is_list() && reader.is_map() == writer.is_map()
}

/// Types of one class read each other's values.
fn class(kind: &Kind) -> Option<u8> {
    match (kind, Scalar::of(kind)) {
        (Kind::Enum(_), _) => Some(0),
        (_, Some(scalar)) => Some(match scalar {
            Scalar::Int32 | Scalar::Int64 | Scalar::Uint32 | Scalar::Uint64 | Scalar::Bool => 0,
            Scalar::Sint32 | Scalar::Sint64 => 1,
            Scalar::Fixed32 | Scalar::Sfixed32 => 2,
            Scalar::Fixed64 | Scalar::Sfixed64 => 3,
            Scalar::Float => 4,
            Scalar::Double => 5,
            Scalar::String | Scalar::Bytes => 6,
        }),
        _ => None,
    }
}
