//! Decides what names become that Avro does not allow (`schema.name.adjustment.mode`).

use millrace_api::config::Validator;

/// What is done to names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Adjustment {
    None,
    /// An underscore for each character that is not allowed.
    Avro,
    /// Its number instead.
    AvroUnicode,
}

/// The words for them.
pub(super) fn mode() -> Validator {
    Validator::new("none, avro or avro_unicode", |value| {
        let known = Adjustment::parse(value.as_str().unwrap_or_default());
        let words = "Value must be one of none, avro, avro_unicode";
        known.map(|_| ()).ok_or_else(|| words.to_owned())
    })
}

impl Adjustment {
    pub(super) fn parse(word: &str) -> Option<Self> {
        match word.trim().to_ascii_lowercase().as_str() {
            "none" => Some(Self::None),
            "avro" => Some(Self::Avro),
            "avro_unicode" => Some(Self::AvroUnicode),
            _ => None,
        }
    }

    /// The name of a schema: its parts are separated by dots.
    pub(super) fn schema_name(self, name: &str) -> String {
        self.adjust(name, true)
    }

    /// The name of a field.
    pub(super) fn field_name(self, name: &str) -> String {
        self.adjust(name, false)
    }

    fn adjust(self, name: &str, dots: bool) -> String {
        if self == Self::None {
            return name.to_owned();
        }
        let mut adjusted = String::with_capacity(name.len());
        // Java counts UTF-16 units.
        for (place, unit) in name.encode_utf16().enumerate() {
            let c = char::from_u32(u32::from(unit)).unwrap_or('\u{fffd}');
            let is_first = c.is_ascii_alphabetic() || c == '_' && self == Self::Avro;
            let is_later = c.is_ascii_digit() || c == '.' && dots;
            if is_first || is_later && place > 0 {
                adjusted.push(c);
            } else if self == Self::Avro {
                adjusted.push('_');
                if place == 0 && c.is_ascii_digit() {
                    adjusted.push(c);
                }
            } else {
                let digits = format!("{unit:x}");
                let zeros = if digits.len() <= 2 { "00" } else { "" };
                adjusted.push_str(&format!("_u{zeros}{digits}"));
            }
        }
        adjusted
    }
}
