//! Decides what a drill keeps of what it saw: violations in words, everything else as counts.

use millrace_api::Error;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Violations beyond these are counted only: one mistake can break every record.
const KEPT: usize = 20;

/// Counts and violations of one crew.
#[derive(Debug, Default)]
pub(super) struct Tally {
    joined: AtomicU64,
    assigned: AtomicU64,
    revoked: AtomicU64,
    lost: AtomicU64,
    commits: AtomicU64,
    refused: Mutex<BTreeMap<String, (u64, String)>>,
    violations: Mutex<(Vec<String>, usize)>,
}

fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tally {
    /// Something that must never be.
    pub(super) fn violation(&self, what: String) {
        let mut violations = open(&self.violations);
        if violations.0.len() < KEPT {
            eprintln!("drill: VIOLATION: {what}");
            violations.0.push(what);
        } else {
            violations.1 += 1;
        }
    }

    /// What must never be and was.
    pub(super) fn violations(&self) -> Vec<String> {
        let violations = open(&self.violations);
        let more = (violations.1 > 0).then(|| format!("and {} more", violations.1));
        violations.0.iter().cloned().chain(more).collect()
    }

    /// A call that failed and will be repeated, or done without. Counted by who it was without
    /// numbers, and by the error's kind.
    pub(super) fn refused(&self, what: &str, error: &Error) {
        self.refused_with(what, &format!("{:?}", error.kind()), &error.trace().to_string());
    }

    pub(super) fn refused_with(&self, what: &str, kind: &str, trace: &str) {
        let what: String = what.chars().filter(|c| !c.is_ascii_digit() && *c != '.').collect();
        let mut refused = open(&self.refused);
        let entry = refused.entry(format!("{what} {kind}")).or_default();
        entry.0 += 1;
        if entry.1.is_empty() {
            entry.1 = trace.lines().take(3).collect::<Vec<_>>().join(" | ");
        }
    }

    pub(super) fn joined(&self) {
        self.joined.fetch_add(1, Relaxed);
    }

    pub(super) fn assigned(&self) {
        self.assigned.fetch_add(1, Relaxed);
    }

    pub(super) fn revoked(&self) {
        self.revoked.fetch_add(1, Relaxed);
    }

    pub(super) fn lost(&self) {
        self.lost.fetch_add(1, Relaxed);
    }

    pub(super) fn committed(&self) {
        self.commits.fetch_add(1, Relaxed);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} members joined; {} assignments, {} revocations, {} losses; {} commits",
            self.joined.load(Relaxed),
            self.assigned.load(Relaxed),
            self.revoked.load(Relaxed),
            self.lost.load(Relaxed),
            self.commits.load(Relaxed),
        )?;
        for (what, (count, example)) in &*open(&self.refused) {
            write!(f, "\n    {count} × {what}: {example}")?;
        }
        Ok(())
    }
}
