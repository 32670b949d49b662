//! What the system says of this process and its threads, and how one makes room for the others.

/// What a thread that is held does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It waits inside of the system, such as for a lock, a sleep or a file.
    Sleeps,
    /// It uses a processor.
    Computes,
    /// The system does not say.
    Unknown,
}

/// The number of this thread; 0 where the system does not say.
pub fn this_thread() -> u32 {
    let link = std::fs::read_link("/proc/thread-self").ok();
    let name = link.as_ref().and_then(|path| path.file_name()?.to_str());
    name.and_then(|name| name.parse().ok()).unwrap_or(0)
}

/// Fields of a thread's `stat`, by their numbers in proc(5).
const STATE: usize = 3;
const MINOR_FAULTS: usize = 10;
const POLICY: usize = 41;

/// What the system says of a thread of this process in one of these fields.
fn stat(thread: u32, field: usize) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).ok()?;
    // The name before may hold anything.
    let mut fields = stat.rsplit(") ").next()?.split(' ');
    fields.nth(field - STATE).map(str::to_owned)
}

/// What a thread of this process does now.
pub fn doing(thread: u32) -> Doing {
    match stat(thread, STATE).as_deref() {
        Some("R") => Doing::Computes,
        Some("S" | "D") => Doing::Sleeps,
        _ => Doing::Unknown,
    }
}

/// How often a thread of this process has touched memory for the first time since it was given it:
/// how much it takes.
pub fn faults(thread: u32) -> u64 {
    stat(thread, MINOR_FAULTS).and_then(|faults| faults.parse().ok()).unwrap_or(0)
}

/// Puts a thread of this process into Linux's idle class (sched(7)), and whatever it starts from
/// then on: it runs where no other wants to, and makes room at once for one that does. There is no
/// way back without rights. Answers whether the system did so.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "no crate has this call but for the calling thread")]
pub fn make_idle(thread: u32) -> bool {
    let Ok(thread) = libc::pid_t::try_from(thread) else { return false };
    if thread == 0 {
        // That would be the caller.
        return false;
    }
    // Linux's `sched_param`, which has no more than this. musl's function of the name refuses.
    let priority: libc::c_int = 0;
    // SAFETY: the system only reads the parameter, which outlives the call.
    let answer = unsafe {
        libc::syscall(libc::SYS_sched_setscheduler, thread, libc::SCHED_IDLE, &raw const priority)
    };
    answer == 0
}

/// Other systems have no such class.
#[cfg(not(target_os = "linux"))]
pub fn make_idle(_thread: u32) -> bool {
    false
}

/// Whether a thread of this process is in the idle class.
pub fn is_idle(thread: u32) -> bool {
    const IDLE: &str = "5";
    stat(thread, POLICY).as_deref() == Some(IDLE)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn a_thread_is_seen_and_made_idle() {
        static END: AtomicBool = AtomicBool::new(false);
        let (sender, receiver) = sync_channel(1);
        let computes = std::thread::spawn(move || {
            sender.send(this_thread()).unwrap();
            while !END.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let thread = receiver.recv().unwrap();
        assert_ne!(thread, this_thread());
        assert_eq!(doing(thread), Doing::Computes);
        assert!(!is_idle(thread));
        assert!(make_idle(thread));
        assert!(is_idle(thread) && !is_idle(this_thread()));
        assert!(!make_idle(0), "that is the one who asks");
        END.store(true, Ordering::Relaxed);
        computes.join().unwrap();
        assert_eq!(doing(thread), Doing::Unknown);
    }
}
