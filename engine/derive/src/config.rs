//! Decides what `#[derive(Config)]` expands to: a list of `define` and `get` calls.

use crate::attributes::{FieldKind, KeyAttributes};
use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use std::collections::{HashMap, HashSet};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Expr, Field, Fields, Result, Type};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "only structs can derive Config"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new_spanned(&input.ident, "the fields of a Config need names"));
    };
    let mut list = Listing::default();
    let mut errors: Option<Error> = None;
    for field in &fields.named {
        if let Err(error) = list.add(field) {
            match &mut errors {
                Some(errors) => errors.combine(error),
                None => errors = Some(error),
            }
        }
    }
    if let Some(errors) = errors {
        return Err(errors);
    }
    let Listing { defines, gets, .. } = list;
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::millrace_api::config::Config for #name #type_generics #where_clause {
            fn config_def() -> ::millrace_api::config::ConfigDef {
                ::millrace_api::config::ConfigDef::default() #(#defines)*
            }

            fn from_values(
                values: &::millrace_api::config::Values,
            ) -> ::millrace_api::Result<Self> {
                ::core::result::Result::Ok(Self { #(#gets),* })
            }
        }
    })
}

#[derive(Default)]
struct Listing {
    keys: HashSet<String>,
    /// The place that the next key of a group takes, unless it says another.
    next_order: HashMap<String, TokenStream>,
    defines: Vec<TokenStream>,
    gets: Vec<TokenStream>,
}

impl Listing {
    fn add(&mut self, field: &Field) -> Result<()> {
        let kind = FieldKind::read(field)?;
        let (name, ty) = (&field.ident, &field.ty);
        match kind {
            FieldKind::Nested { prefix } => {
                let config = quote_spanned!(ty.span()=> <#ty as ::millrace_api::config::Config>);
                self.defines.push(quote!(.nest(#prefix, #config::config_def())));
                self.gets.push(quote!(#name: #config::from_values(&values.nested(#prefix))?));
            }
            FieldKind::Key(attributes) => {
                let key = &attributes.key;
                if !self.keys.insert(key.value()) {
                    let message = format!("the key `{}` is there already", key.value());
                    return Err(Error::new(key.span(), message));
                }
                let builder = self.builder(&attributes, ty)?;
                self.defines.push(quote!(.define(#builder)));
                self.gets.push(quote_spanned!(ty.span()=> #name: values.get::<#ty>(#key)?));
            }
        }
        Ok(())
    }

    fn builder(&mut self, attributes: &KeyAttributes, ty: &Type) -> Result<TokenStream> {
        let KeyAttributes { key, documentation, given } = attributes;
        let mut calls = quote_spanned!(ty.span()=>
            ::millrace_api::config::ConfigKey::of::<#ty>(#key)
        );
        calls.extend(quote!(.documentation(#documentation)));
        if let Some(word) = &given.importance {
            calls.extend(quote!(.importance(::millrace_api::config::Importance::#word)));
        }
        if let Some(validate) = &given.validate {
            let rule = called(validate);
            calls.extend(quote_spanned!(validate.span()=> .validator(#rule)));
        }
        if let Some(default) = &given.default {
            calls.extend(default_call(default, ty)?);
        }
        if let Some(group) = &given.group {
            let order = self.order(group, given.order.as_ref());
            calls.extend(quote_spanned!(group.span()=> .group(#group, #order)));
        }
        if let Some(word) = &given.width {
            calls.extend(quote!(.width(::millrace_api::config::Width::#word)));
        }
        if let Some(display) = &given.display {
            calls.extend(quote_spanned!(display.span()=> .display_name(#display)));
        }
        if let Some(keys) = &given.dependents {
            calls.extend(quote_spanned!(keys.span()=> .dependents(#keys)));
        }
        if let Some(recommender) = &given.recommender {
            let made = called(recommender);
            calls.extend(quote_spanned!(recommender.span()=> .recommender(#made)));
        }
        if given.internal.is_some() {
            calls.extend(quote!(.internal()));
        }
        Ok(calls)
    }

    fn order(&mut self, group: &Expr, order: Option<&Expr>) -> TokenStream {
        let next = self.next_order.entry(group.to_token_stream().to_string());
        let next = next.or_insert_with(|| quote!(1));
        let order = order.map_or_else(|| next.clone(), ToTokens::to_token_stream);
        *next = quote!(#order + 1);
        order
    }
}

/// `default = None` is null, which only an `Option` can hold; all else has the type of the field.
fn default_call(default: &Expr, ty: &Type) -> Result<TokenStream> {
    if !matches!(default, Expr::Path(path) if path.path.is_ident("None")) {
        return Ok(quote_spanned!(default.span()=> .default_of::<#ty>(#default)));
    }
    let is_option = match ty {
        Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident == "Option"),
        _ => false,
    };
    if is_option {
        Ok(quote!(.default(::millrace_api::config::Setting::Null)))
    } else {
        Err(Error::new_spanned(default, "`None` needs a field of type Option<…>"))
    }
}

/// The name of a function stands for a call without arguments.
fn called(expr: &Expr) -> TokenStream {
    match expr {
        Expr::Path(_) => quote_spanned!(expr.span()=> #expr()),
        _ => expr.to_token_stream(),
    }
}
