//! A JSON text as a tree, for everything that is not worth a way of its own.

use std::borrow::Cow;

use millrace_api::data::json::{Number, Reader, SyntaxError, Token};

/// A value in a JSON text.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Node<'a> {
    /// There is no value: the text is blank.
    Missing,
    #[default]
    Null,
    Boolean(bool),
    Number(Number<'a>),
    Text(Cow<'a, str>),
    Array(Vec<Node<'a>>),
    /// Names are unique.
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

impl<'a> Node<'a> {
    /// The value of a whole text; what follows it is ignored, as Java does.
    pub(crate) fn parse(text: &'a str) -> Result<Self, SyntaxError> {
        let mut reader = Reader::new(text);
        if reader.is_at_end() {
            return Ok(Self::Missing);
        }
        let token = reader.peek()?;
        let node = Self::read(&mut reader)?;
        reader.finish(token)?;
        Ok(node)
    }

    /// The value that comes next.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, SyntaxError> {
        Ok(match reader.peek()? {
            Token::Text => Self::Text(reader.take_text()?),
            Token::Number => Self::Number(reader.take_number()?),
            Token::Array => Self::Array(Self::read_items(reader)?),
            Token::Object => Self::Object(Self::read_members(reader)?),
            word => {
                reader.take_word(word)?;
                match word {
                    Token::Null => Self::Null,
                    word => Self::Boolean(word == Token::True),
                }
            }
        })
    }

    fn read_items(reader: &mut Reader<'a>) -> Result<Vec<Self>, SyntaxError> {
        reader.enter()?;
        let mut items = Vec::new();
        let mut first = true;
        while reader.next_item(&mut first)? {
            items.push(Self::read(reader)?);
        }
        Ok(items)
    }

    fn read_members(reader: &mut Reader<'a>) -> Result<Vec<(Cow<'a, str>, Self)>, SyntaxError> {
        reader.enter()?;
        let mut members = Vec::new();
        let mut first = true;
        while let Some(name) = reader.next_name(&mut first)? {
            members.push((name, Self::read(reader)?));
        }
        unique(&mut members);
        Ok(members)
    }

    /// An object's member.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(n, _)| n == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// An object's member that is probably the `i`th.
    pub(crate) fn get_near(&self, i: usize, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => match members.get(i) {
                Some((n, node)) if n == name => Some(node),
                _ => self.get(name),
            },
            _ => None,
        }
    }

    /// What Java's messages call this type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Missing => "MISSING",
            Self::Null => "NULL",
            Self::Boolean(_) => "BOOLEAN",
            Self::Number(_) => "NUMBER",
            Self::Text(_) => "STRING",
            Self::Array(_) => "ARRAY",
            Self::Object(_) => "OBJECT",
        }
    }
}

/// A name that comes again keeps its place and takes the later value.
fn unique<T: Default>(members: &mut Vec<(Cow<'_, str>, T)>) {
    use std::collections::HashMap;
    let mut places: HashMap<Cow<'_, str>, usize> = HashMap::with_capacity(members.len());
    let mut kept = 0;
    for at in 0..members.len() {
        match places.get(&members[at].0) {
            Some(place) => members[*place].1 = std::mem::take(&mut members[at].1),
            None => {
                places.insert(members[at].0.clone(), kept);
                members.swap(kept, at);
                kept += 1;
            }
        }
    }
    members.truncate(kept);
}
