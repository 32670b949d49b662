//! Decides what `#[derive(ConfigEnum)]` expands to: the list of variants and how each is written.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, LitStr, Result, Variant};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "only enums can derive ConfigEnum"));
    };
    if data.variants.is_empty() {
        return Err(Error::new_spanned(
            &input.ident,
            "an enum without variants has no valid value",
        ));
    }
    let mut ignore_case = false;
    for attribute in input.attrs.iter().filter(|a| a.path().is_ident("config")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("ignore_case") {
                ignore_case = true;
                return Ok(());
            }
            Err(meta.error("unknown attribute; an enum has: ignore_case"))
        })?;
    }
    let idents: Vec<_> = data.variants.iter().map(|variant| &variant.ident).collect();
    let texts = data.variants.iter().map(text).collect::<Result<Vec<_>>>()?;
    for (i, text) in texts.iter().enumerate() {
        if texts[..i].iter().any(|earlier| same(earlier, text, ignore_case)) {
            return Err(Error::new(text.span(), "another variant is written so"));
        }
    }
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::millrace_api::config::ConfigEnum
            for #name #type_generics #where_clause
        {
            const VARIANTS: &'static [(&'static str, Self)] = &[#((#texts, Self::#idents)),*];
            const IGNORE_CASE: bool = #ignore_case;

            fn as_text(self) -> &'static str {
                match self {
                    #(Self::#idents => #texts,)*
                }
            }
        }
    })
}

fn same(a: &LitStr, b: &LitStr, ignore_case: bool) -> bool {
    let (a, b) = (a.value(), b.value());
    a == b || ignore_case && a.to_uppercase() == b.to_uppercase()
}

/// How a variant is written: `name`, or else its identifier in lower case.
fn text(variant: &Variant) -> Result<LitStr> {
    if !matches!(variant.fields, Fields::Unit) {
        return Err(Error::new_spanned(variant, "a variant of a ConfigEnum has no fields"));
    }
    let ident = &variant.ident;
    let mut text = LitStr::new(&ident.to_string().to_lowercase(), ident.span());
    for attribute in variant.attrs.iter().filter(|a| a.path().is_ident("config")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                text = meta.value()?.parse()?;
                return Ok(());
            }
            Err(meta.error("unknown attribute; a variant has: name = \"…\""))
        })?;
    }
    Ok(text)
}
