//! Turns a panic of a plugin into an error: one bad plugin must not take others along.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use millrace_api::{Error, Result};

use crate::activity::panicked as panicked_in;

/// Runs a plugin's call. What panicked is dropped, and must not be called again.
pub(crate) async fn contain<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    caught(future).await?
}

/// As [`contain`], with the panic apart from what the call itself has answered.
pub(crate) async fn caught<T>(future: impl Future<Output = T>) -> Result<T> {
    let panicked = |panic: Box<dyn Any + Send>| {
        let error = Error::fatal("the plugin panicked").context("panic", words(&*panic));
        match panicked_in() {
            Some(callback) => error.context("callback", callback),
            None => error,
        }
    };
    AssertUnwindSafe(future).catch_unwind().await.map_err(panicked)
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "?".into())
}
