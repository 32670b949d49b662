//! Decides what a lock is worth whose holder panicked: as much as before. What this crate keeps
//! under locks is whole after every statement, and who panicked has failed its own caller.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
