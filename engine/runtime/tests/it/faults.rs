//! How the plugins of these tests misbehave when they are told to.

use std::sync::Mutex;
use std::time::Duration;

use millrace_api::{Error, Result};

use crate::plugins::{Shared, lock};

/// A leak takes so much at a time: the allocator has more than 32 MiB from the system, and gives it
/// back when it is let go. What is smaller would stay with the thread that stands.
const CHUNK: usize = 33 << 20;

/// So many chunks a leak takes at most.
const MOST_KEPT: usize = 3_000;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    Retriable,
    Fatal,
    Panic,
    /// Waits without end.
    Hang,
    /// Blocks its thread until it is released.
    Block,
    /// Computes until it is released.
    Loop,
    /// Takes memory for ever, a megabyte for each millisecond; what is then kept can be let go from
    /// outside.
    Leak,
    /// Takes a few megabytes, each time.
    Keep,
}

/// A call of a plugin, which fails if it was told to.
pub(crate) async fn may_fail(shared: &Mutex<Shared>, call: &str) -> Result<()> {
    let fault = lock(shared).fault(call);
    match fault {
        Some(Fault::Hang) => std::future::pending().await,
        fault => fail(shared, call, fault),
    }
}

/// A fault of a call that cannot wait.
pub(crate) fn fails_now(shared: &Mutex<Shared>, call: &str) -> Result<()> {
    let fault = lock(shared).fault(call);
    fail(shared, call, fault)
}

#[allow(clippy::disallowed_methods, reason = "it stands for a plugin that does this")]
fn fail(shared: &Mutex<Shared>, call: &str, fault: Option<Fault>) -> Result<()> {
    let is_held = || !lock(shared).is_released;
    match fault {
        None | Some(Fault::Hang) => Ok(()),
        Some(Fault::Retriable) => Err(Error::retriable(format!("{call} is out of luck"))),
        Some(Fault::Fatal) => Err(Error::fatal(format!("{call} cannot go on"))),
        Some(Fault::Panic) => panic!("{call} panics"),
        Some(Fault::Block) => {
            while is_held() {
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(())
        }
        Some(Fault::Leak) => {
            // Nothing is wanted of the allocator while others may wait for the lock.
            lock(shared).kept.reserve(MOST_KEPT);
            while is_held() && lock(shared).kept.len() < MOST_KEPT {
                let more = std::hint::black_box(vec![1u8; CHUNK]);
                lock(shared).kept.push(more);
                std::thread::sleep(Duration::from_millis(33));
            }
            Ok(())
        }
        Some(Fault::Keep) => {
            lock(shared).kept.push(std::hint::black_box(vec![1u8; 4 << 20]));
            std::thread::sleep(Duration::from_millis(4));
            Ok(())
        }
        Some(Fault::Loop) => {
            while is_held() {
                if lock(shared).rests {
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                }
                (0..100_000).for_each(|n| _ = std::hint::black_box(n));
            }
            Ok(())
        }
    }
}
