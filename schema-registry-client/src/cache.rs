//! Decides what is remembered of a registry's answers, and that nobody asks what somebody is
//! asking already.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tokio::time::Instant;

use crate::Result;

type Question<V> = Shared<BoxFuture<'static, Result<V>>>;

/// Answers by what was asked; at most so many, the longest unused go.
pub(crate) struct Cache<K, V> {
    capacity: usize,
    ttl: Option<Duration>,
    missing_ttl: Option<Duration>,
    table: Mutex<Table<K, V>>,
}

struct Table<K, V> {
    clock: u64,
    known: HashMap<K, Known<V>>,
    /// A question whose askers have all gone away is not driven by anybody: it is forgotten.
    asked: HashMap<K, WeakShared<BoxFuture<'static, Result<V>>>>,
}

struct Known<V> {
    answer: Result<V>,
    until: Option<Instant>,
    used: u64,
}

impl<K: Clone + Eq + Hash, V: Clone> Cache<K, V> {
    /// `ttl` is how long an answer is believed, `missing_ttl` one that there is nothing; none is
    /// forever for the one and not at all for the other.
    pub(crate) fn new(
        capacity: usize,
        ttl: Option<Duration>,
        missing_ttl: Option<Duration>,
    ) -> Self {
        let table = Table { clock: 0, known: HashMap::new(), asked: HashMap::new() };
        Self { capacity, ttl, missing_ttl, table: Mutex::new(table) }
    }

    /// What is known, or what `ask` brings. All who come while it is asked get the same answer,
    /// an error too.
    pub(crate) async fn get<F>(&self, key: K, ask: impl FnOnce() -> F) -> Result<V>
    where
        F: Future<Output = Result<V>> + Send + 'static,
    {
        let question = {
            let mut table = self.lock();
            if let Some(answer) = table.known(&key) {
                return answer;
            }
            match table.asked.get(&key).and_then(WeakShared::upgrade) {
                Some(question) => question,
                None => {
                    let question = ask().boxed().shared();
                    table.asked.retain(|_, question| question.upgrade().is_some());
                    table.asked.extend(question.downgrade().map(|weak| (key.clone(), weak)));
                    question
                }
            }
        };
        let answer = question.clone().await;
        self.settle(key, &question, &answer);
        answer
    }

    /// Forgets what `stale` says.
    pub(crate) fn forget(&self, stale: impl Fn(&K) -> bool) {
        self.lock().known.retain(|key, _| !stale(key));
    }

    fn settle(&self, key: K, question: &Question<V>, answer: &Result<V>) {
        let mut table = self.lock();
        let asked = table.asked.get(&key).and_then(WeakShared::upgrade);
        if !asked.is_some_and(|asked| asked.ptr_eq(question)) {
            return;
        }
        table.asked.remove(&key);
        match answer {
            Ok(_) => table.insert(key, answer.clone(), self.ttl, self.capacity),
            Err(error) if error.is_not_found() && self.missing_ttl.is_some() => {
                table.insert(key, answer.clone(), self.missing_ttl, self.capacity);
            }
            Err(_) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table<K, V>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Table<K, V> {
    fn known(&mut self, key: &K) -> Option<Result<V>> {
        self.clock += 1;
        let known = self.known.get_mut(key)?;
        if known.until.is_some_and(|until| until <= Instant::now()) {
            self.known.remove(key);
            return None;
        }
        known.used = self.clock;
        Some(known.answer.clone())
    }

    fn insert(&mut self, key: K, answer: Result<V>, ttl: Option<Duration>, capacity: usize) {
        if capacity == 0 {
            return;
        }
        if self.known.len() >= capacity && !self.known.contains_key(&key) {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.used);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.known.remove(&oldest);
            }
        }
        self.clock += 1;
        let until = ttl.map(|ttl| Instant::now() + ttl);
        self.known.insert(key, Known { answer, until, used: self.clock });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::Error;

    static ASKED: AtomicUsize = AtomicUsize::new(0);

    #[tokio::test]
    async fn the_longest_unused_goes_and_who_gives_up_stops_nobody() {
        let cache: Cache<&str, usize> = Cache::new(2, None, None);
        let ask = || async { Ok(ASKED.fetch_add(1, Ordering::Relaxed)) };
        for key in ["a", "b", "a", "c", "a"] {
            cache.get(key, ask).await.unwrap();
        }
        assert_eq!(ASKED.load(Ordering::Relaxed), 3);
        cache.get("b", ask).await.unwrap();
        assert_eq!(ASKED.load(Ordering::Relaxed), 4);

        // The first asks for ever and is dropped: the second asks anew.
        let given_up = cache.get("d", std::future::pending);
        assert!(tokio::time::timeout(Duration::from_millis(5), given_up).await.is_err());
        assert_eq!(cache.get("d", ask).await, Ok(4));
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_believed_for_a_time() {
        let second = Duration::from_secs(1);
        let cache: Cache<u8, usize> = Cache::new(9, Some(second), None);
        assert_eq!(cache.get(1, || async { Ok(1) }).await, Ok(1));
        assert_eq!(cache.get(1, || async { Ok(2) }).await, Ok(1));
        tokio::time::advance(second).await;
        assert_eq!(cache.get(1, || async { Ok(3) }).await, Ok(3));
        cache.forget(|key| *key == 1);
        let failed = || async { Err(Error::Settings("no".into())) };
        assert!(cache.get(1, failed).await.is_err());
        assert_eq!(cache.get(1, || async { Ok(4) }).await, Ok(4));
    }
}
