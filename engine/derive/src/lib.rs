//! Decides how `#[derive(Config)]` and `#[derive(ConfigEnum)]` are written. The macros only list
//! keys: parsing, rules and wording are ordinary functions in `millrace_api::config`.
//!
//! The contract is `README.md` beside this crate.

mod attributes;
mod config;
mod config_enum;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Derives `millrace_api::config::Config` for a struct with named fields, one key a field.
///
/// See the README of this crate for every attribute.
#[proc_macro_derive(Config, attributes(config))]
pub fn derive_config(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    config::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Derives `millrace_api::config::ConfigEnum` for an enum of plain variants.
///
/// See the README of this crate for every attribute.
#[proc_macro_derive(ConfigEnum, attributes(config))]
pub fn derive_config_enum(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    config_enum::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
