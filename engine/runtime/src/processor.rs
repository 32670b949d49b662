//! What the system says of this process and its threads, and how one gives way to the others.

/// What a thread that is held does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// It waits inside of the system, such as for a lock, a sleep or a file.
    Sleeps,
    /// It uses a processor.
    Computes,
    /// The system does not say.
    Unknown,
}

/// The number of this thread; 0 where the system does not say.
pub(crate) fn this_thread() -> u32 {
    let link = std::fs::read_link("/proc/thread-self").ok();
    let name = link.as_ref().and_then(|path| path.file_name()?.to_str());
    name.and_then(|name| name.parse().ok()).unwrap_or(0)
}

/// What a thread of this process does now.
pub(crate) fn doing(thread: u32) -> Doing {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat"));
    // The name before may hold anything.
    let state = stat.ok().and_then(|stat| stat.rsplit(") ").next()?.chars().next());
    match state {
        Some('R') => Doing::Computes,
        Some('S' | 'D') => Doing::Sleeps,
        _ => Doing::Unknown,
    }
}

/// How often a thread of this process has touched memory for the first time since it was given it:
/// how much it takes.
pub(crate) fn faults(thread: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat"));
    let faults =
        stat.ok().and_then(|stat| stat.rsplit(") ").next()?.split(' ').nth(7)?.parse().ok());
    faults.unwrap_or(0)
}

/// Gives a thread what no other thread wants: without rights it is not to be had back.
pub(crate) fn slow_down(thread: u32) -> bool {
    let pid = i32::try_from(thread).ok().and_then(rustix::process::Pid::from_raw);
    // For Linux a process is a thread here.
    pid.is_some_and(|pid| rustix::process::setpriority_process(Some(pid), LOWEST).is_ok())
}

const LOWEST: i32 = 19;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn a_thread_is_seen_and_slowed() {
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
        assert!(slow_down(thread));
        let nice = |thread| {
            let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap();
            stat.rsplit(") ").next().unwrap().split(' ').nth(16).unwrap().to_owned()
        };
        assert_eq!(nice(thread), "19");
        assert_ne!(nice(this_thread()), "19");
        END.store(true, Ordering::Relaxed);
        computes.join().unwrap();
        assert_eq!(doing(thread), Doing::Unknown);
    }
}
