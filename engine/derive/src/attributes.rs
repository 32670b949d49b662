//! Decides what may stand in `#[config(…)]` on a field, and reads `///` text.

use syn::meta::ParseNestedMeta;
use syn::{Attribute, Error, Expr, ExprLit, Field, Ident, Lit, LitStr, Meta, Result};

/// What stands on one field.
pub(crate) enum FieldKind {
    Key(Box<KeyAttributes>),
    Nested { prefix: String },
}

/// All that can be said about one key.
pub(crate) struct KeyAttributes {
    pub(crate) key: LitStr,
    pub(crate) documentation: String,
    pub(crate) given: Given,
}

/// The attributes of a field, each absent until it is given.
#[derive(Default)]
pub(crate) struct Given {
    key: Option<LitStr>,
    nested: Option<()>,
    prefix: Option<LitStr>,
    pub(crate) importance: Option<Ident>,
    pub(crate) default: Option<Expr>,
    pub(crate) validate: Option<Expr>,
    pub(crate) group: Option<Expr>,
    pub(crate) order: Option<Expr>,
    pub(crate) width: Option<Ident>,
    pub(crate) display: Option<Expr>,
    pub(crate) dependents: Option<Expr>,
    pub(crate) recommender: Option<Expr>,
    pub(crate) internal: Option<()>,
}

const KNOWN: &str = "key, importance, default, validate, group, order, width, display, \
                     dependents, recommender, internal, nested, prefix";

impl Given {
    fn read(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
        match name.as_str() {
            "key" => set(&mut self.key, meta, meta.value()?.parse()?),
            "nested" => set(&mut self.nested, meta, ()),
            "prefix" => set(&mut self.prefix, meta, meta.value()?.parse()?),
            "importance" => {
                let word = one_of(meta.value()?.parse()?, &["High", "Medium", "Low"])?;
                set(&mut self.importance, meta, word)
            }
            "width" => {
                let word = one_of(meta.value()?.parse()?, &["None", "Short", "Medium", "Long"])?;
                set(&mut self.width, meta, word)
            }
            "default" => set(&mut self.default, meta, meta.value()?.parse()?),
            "validate" => set(&mut self.validate, meta, meta.value()?.parse()?),
            "group" => set(&mut self.group, meta, meta.value()?.parse()?),
            "order" => set(&mut self.order, meta, meta.value()?.parse()?),
            "display" => set(&mut self.display, meta, meta.value()?.parse()?),
            "dependents" => set(&mut self.dependents, meta, meta.value()?.parse()?),
            "recommender" => set(&mut self.recommender, meta, meta.value()?.parse()?),
            "internal" => set(&mut self.internal, meta, ()),
            _ => Err(meta.error(format!("unknown attribute; there are: {KNOWN}"))),
        }
    }

    /// The first attribute that makes no sense beside `nested`.
    fn beside_nested(&self) -> Option<&'static str> {
        let given = [
            ("key", self.key.is_some()),
            ("importance", self.importance.is_some()),
            ("default", self.default.is_some()),
            ("validate", self.validate.is_some()),
            ("group", self.group.is_some()),
            ("order", self.order.is_some()),
            ("width", self.width.is_some()),
            ("display", self.display.is_some()),
            ("dependents", self.dependents.is_some()),
            ("recommender", self.recommender.is_some()),
            ("internal", self.internal.is_some()),
        ];
        given.iter().find(|(_, is_given)| *is_given).map(|(name, _)| *name)
    }
}

fn set<T>(slot: &mut Option<T>, meta: &ParseNestedMeta<'_>, value: T) -> Result<()> {
    if slot.replace(value).is_some() {
        return Err(meta.error("this attribute is given twice"));
    }
    Ok(())
}

fn one_of(word: Ident, words: &[&str]) -> Result<Ident> {
    if words.iter().any(|known| word == known) {
        return Ok(word);
    }
    Err(Error::new(word.span(), format!("write one of: {}", words.join(", "))))
}

impl FieldKind {
    pub(crate) fn read(field: &Field) -> Result<Self> {
        let mut given = Given::default();
        for attribute in field.attrs.iter().filter(|a| a.path().is_ident("config")) {
            attribute.parse_nested_meta(|meta| given.read(&meta))?;
        }
        if given.nested.is_some() {
            if let Some(name) = given.beside_nested() {
                let message = format!("`{name}` cannot stand beside `nested`");
                return Err(Error::new_spanned(field, message));
            }
            let prefix = given.prefix.map(|prefix| prefix.value()).unwrap_or_default();
            return Ok(Self::Nested { prefix });
        }
        if let Some(prefix) = &given.prefix {
            return Err(Error::new(prefix.span(), "`prefix` goes with `nested`"));
        }
        let Some(key) = given.key.take() else {
            let message = "write #[config(key = \"…\")], or #[config(nested)] for a struct that \
                           derives Config";
            return Err(Error::new_spanned(field, message));
        };
        if key.value().trim().is_empty() || key.value().trim() != key.value() {
            return Err(Error::new(key.span(), "a key is a word without blanks around it"));
        }
        if let (Some(order), None) = (&given.order, &given.group) {
            return Err(Error::new_spanned(order, "`order` is a place in a `group`"));
        }
        let documentation = documentation(&field.attrs)?;
        if documentation.is_empty() {
            let message = "say with `///` above the field what the key does: users read it";
            return Err(Error::new(key.span(), message));
        }
        Ok(Self::Key(Box::new(KeyAttributes { key, documentation, given })))
    }
}

/// The `///` lines joined by blanks; an empty line is a line break.
fn documentation(attributes: &[Attribute]) -> Result<String> {
    let mut text = String::new();
    for attribute in attributes.iter().filter(|a| a.path().is_ident("doc")) {
        let Meta::NameValue(doc) = &attribute.meta else {
            continue;
        };
        let Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) = &doc.value else {
            return Err(Error::new_spanned(&doc.value, "write the documentation as plain text"));
        };
        let line = line.value();
        if line.trim().is_empty() {
            text.push('\n');
        } else {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push(' ');
            }
            text.push_str(line.trim());
        }
    }
    Ok(text.trim().to_owned())
}
