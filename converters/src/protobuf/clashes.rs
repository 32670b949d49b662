//! Lets enums that stand beside each other have symbols of one name: Java writes such schemas,
//! though the language knows symbols as neighbours of their enum, not as parts of it.

use std::collections::HashSet;

use protox::file::File;
use protox::prost_reflect::prost_types::{DescriptorProto, EnumDescriptorProto};

/// What stands between a symbol and what makes it unlike others: no name has it.
const MARK: char = '\u{1}';

/// The file with symbols that differ from all others of their scope.
pub(crate) fn told_apart(file: File) -> File {
    let descriptor = file.file_descriptor_proto();
    let top = &descriptor.enum_type;
    if !has_clash(top) && !descriptor.message_type.iter().any(message_has_clash) {
        return file;
    }
    let mut descriptor = descriptor.clone();
    tell_apart(&mut descriptor.enum_type);
    descriptor.message_type.iter_mut().for_each(tell_apart_within);
    File::from_file_descriptor_proto(descriptor)
}

/// The symbol as it stands in the text.
pub(crate) fn symbol(name: &str) -> &str {
    name.split(MARK).next().unwrap_or(name)
}

fn has_clash(enums: &[EnumDescriptorProto]) -> bool {
    let mut all = HashSet::new();
    enums.iter().any(|one| one.value.iter().filter(|value| !all.insert(value.name())).count() > 0)
}

fn message_has_clash(message: &DescriptorProto) -> bool {
    has_clash(&message.enum_type) || message.nested_type.iter().any(message_has_clash)
}

fn tell_apart_within(message: &mut DescriptorProto) {
    tell_apart(&mut message.enum_type);
    message.nested_type.iter_mut().for_each(tell_apart_within);
}

/// Symbols of one enum stay as they are: two of one name are an error.
fn tell_apart(enums: &mut [EnumDescriptorProto]) {
    let mut before: HashSet<String> = HashSet::new();
    for (i, one) in enums.iter_mut().enumerate() {
        let own: Vec<String> = one.value.iter().map(|value| value.name().to_owned()).collect();
        for value in one.value.iter_mut().filter(|value| before.contains(value.name())) {
            value.name = Some(format!("{}{MARK}{i}", value.name()));
        }
        before.extend(own);
    }
}
