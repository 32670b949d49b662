//! The system's allocator, in which a thread can be made to stand still: the one way to stop a
//! plugin that allocates in a loop and never lets go.
//!
//! A thread that stands still keeps what it has, until the process ends. It holds no lock of the
//! allocator; one of its own it would never give back.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Threads that can be stopped one by one, at once; the first place is nobody's.
const PLACES: usize = 4096;

static TAKEN: [AtomicBool; PLACES] = [const { AtomicBool::new(false) }; PLACES];
static STOPPED: [AtomicBool; PLACES] = [const { AtomicBool::new(false) }; PLACES];
static STANDS: [AtomicBool; PLACES] = [const { AtomicBool::new(false) }; PLACES];

thread_local! {
    static PLACE: Cell<usize> = const { Cell::new(0) };
}

/// To be named as a binary's `#[global_allocator]`.
pub struct Allocator;

/// By which threads are stopped: those that [entered](Self::enter) it.
#[derive(Debug)]
pub struct Place(usize);

impl Place {
    /// One that nobody has; none when there are too many.
    pub fn take() -> Option<Self> {
        let free = |place: &usize| !TAKEN[*place].swap(true, Ordering::AcqRel);
        (1..PLACES).find(free).map(Self)
    }

    /// This thread can be stopped by it from here on.
    pub fn enter(&self) {
        PLACE.set(self.0);
    }

    /// Its threads stand still, for good, once they want memory.
    pub fn stop(&self) {
        STOPPED[self.0].store(true, Ordering::Release);
    }

    /// Whether a thread of it stands still.
    pub fn stands(&self) -> bool {
        STANDS[self.0].load(Ordering::Acquire)
    }
}

/// This thread is nobody's again.
pub fn leave() {
    PLACE.set(0);
}

impl Drop for Place {
    fn drop(&mut self) {
        // What stands still never gives its place back.
        if !STOPPED[self.0].load(Ordering::Acquire) {
            TAKEN[self.0].store(false, Ordering::Release);
        }
    }
}

#[inline]
fn pass() {
    let place = PLACE.get();
    if place != 0 && STOPPED[place].load(Ordering::Relaxed) {
        stand(place);
    }
}

#[cold]
#[allow(clippy::disallowed_methods, reason = "nothing else waits without memory, and for ever")]
fn stand(place: usize) -> ! {
    STANDS[place].store(true, Ordering::Release);
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

#[allow(unsafe_code, reason = "an allocator is an unsafe trait; each call goes on as it came")]
// SAFETY: every method hands its arguments to the system's allocator unchanged, and gives back what
// that gives back; what comes before neither allocates nor unwinds.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        pass();
        // SAFETY: the caller keeps the same contract.
        unsafe { System.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        pass();
        // SAFETY: the caller keeps the same contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the same contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        pass();
        // SAFETY: the caller keeps the same contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::time::Instant;

    use super::*;

    #[global_allocator]
    static ALLOCATOR: Allocator = Allocator;

    #[test]
    fn a_thread_that_is_stopped_stands_still_and_others_go_on() {
        let (place, other) = (Arc::new(Place::take().unwrap()), Place::take().unwrap());
        let made = Arc::new(AtomicUsize::new(0));
        let (counted, its) = (Arc::clone(&made), Arc::clone(&place));
        std::thread::spawn(move || {
            its.enter();
            loop {
                drop(std::hint::black_box(vec![1u8; 100]));
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        let deadline = Instant::now() + Duration::from_secs(20);
        while made.load(Ordering::Relaxed) < 1000 {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
        assert!(!place.stands());
        place.stop();
        while !place.stands() {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
        let before = made.load(Ordering::Relaxed);
        other.enter();
        drop(std::hint::black_box(vec![1u8; 1 << 20]));
        leave();
        assert_eq!(made.load(Ordering::Relaxed), before);
        let number = other.0;
        drop(other);
        assert!(!TAKEN[number].load(Ordering::Relaxed), "it can be had again");
    }
}
