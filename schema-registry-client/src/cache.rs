//! Decides what is remembered of a registry's answers, and that nobody asks what somebody is
//! asking already.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;
use tracing::Instrument;

use crate::{Error, Result};

/// An answer, and when it came.
type Question<V> = Shared<BoxFuture<'static, (Result<V>, Instant)>>;

/// So long an answer is kept for who has asked for it, went away, and comes again.
const UNHEARD_LIFE: Duration = Duration::from_secs(300);
/// So many answers that nobody has come for may there be.
const UNHEARD: usize = 1000;

/// Answers by what was asked.
pub(crate) struct Cache<K, V>(Mutex<Table<K, V>>);

struct Table<K, V> {
    known: Recent<K, V>,
    /// What there is not.
    missing: Recent<K, Error>,
    /// Questions that are on their way, and those whose answers nobody has heard yet.
    asked: HashMap<K, Question<V>>,
}

impl<K: Clone + Eq + Hash, V: Clone + Send + Sync + 'static> Cache<K, V> {
    pub(crate) fn new(known: Recent<K, V>, missing: Recent<K, Error>) -> Self {
        Self(Mutex::new(Table { known, missing, asked: HashMap::new() }))
    }

    /// What is known, or what `ask` brings. All who come while it is asked get the same answer,
    /// an error too. A question goes on when its askers give up: who comes again hears the answer.
    pub(crate) async fn get<F>(&self, key: K, ask: impl FnOnce() -> F) -> Result<V>
    where
        F: Future<Output = Result<V>> + Send + 'static,
    {
        let question = {
            let mut table = self.lock();
            if let Some(answer) = table.remembered(&key) {
                return answer;
            }
            table.question(&key, ask)
        };
        let (answer, _) = question.clone().await;
        self.lock().heard(key, &question, &answer);
        answer
    }

    /// Forgets what `stale` says, and does not remember what is being asked of it.
    pub(crate) fn forget(&self, stale: impl Fn(&K) -> bool) {
        let mut table = self.lock();
        table.known.entries.retain(|key, _| !stale(key));
        table.missing.entries.retain(|key, _| !stale(key));
        table.asked.retain(|key, _| !stale(key));
    }

    /// Forgets what there was not. Who is asking now will hear what there is now.
    pub(crate) fn forget_missing(&self) {
        let mut table = self.lock();
        table.missing.entries.clear();
        table.asked.retain(|_, question| question.peek().is_none());
    }

    fn lock(&self) -> MutexGuard<'_, Table<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash, V: Clone + Send + Sync + 'static> Table<K, V> {
    fn remembered(&mut self, key: &K) -> Option<Result<V>> {
        let known = self.known.get(key).map(Ok);
        known.or_else(|| self.missing.get(key).map(Err))
    }

    fn question<F>(&mut self, key: &K, ask: impl FnOnce() -> F) -> Question<V>
    where
        F: Future<Output = Result<V>> + Send + 'static,
    {
        let is_of_use = |question: &Question<V>| {
            question.peek().is_none_or(|(_, at)| at.elapsed() < UNHEARD_LIFE)
        };
        if let Some(asked) = self.asked.get(key).filter(|question| is_of_use(question)) {
            return asked.clone();
        }
        if self.asked.len() >= UNHEARD {
            self.asked.retain(|_, question| question.peek().is_none());
        }
        let asking = ask().in_current_span();
        let question = async move { (asking.await, Instant::now()) }.boxed().shared();
        tokio::spawn(question.clone());
        self.asked.insert(key.clone(), question.clone());
        question
    }

    fn heard(&mut self, key: K, question: &Question<V>, answer: &Result<V>) {
        if !self.asked.get(&key).is_some_and(|asked| asked.ptr_eq(question)) {
            return;
        }
        self.asked.remove(&key);
        match answer {
            Ok(answer) => self.known.insert(key, answer.clone()),
            Err(error) if error.is_not_found() => self.missing.insert(key, error.clone()),
            Err(_) => {}
        }
    }
}

/// What was learnt last: so many at most, for so long.
pub(crate) struct Recent<K, V> {
    capacity: usize,
    /// None: for ever.
    life: Option<Duration>,
    clock: u64,
    entries: HashMap<K, Entry<V>>,
}

struct Entry<V> {
    value: V,
    until: Option<Instant>,
    used: u64,
}

impl<K: Clone + Eq + Hash, V: Clone> Recent<K, V> {
    pub(crate) fn new(capacity: usize, life: Option<Duration>) -> Self {
        Self { capacity, life, clock: 0, entries: HashMap::new() }
    }

    fn get(&mut self, key: &K) -> Option<V> {
        self.clock += 1;
        let entry = self.entries.get_mut(key)?;
        if entry.until.is_some_and(|until| until <= Instant::now()) {
            self.entries.remove(key);
            return None;
        }
        entry.used = self.clock;
        Some(entry.value.clone())
    }

    /// The longest unused goes where there is no room.
    fn insert(&mut self, key: K, value: V) {
        if self.capacity == 0 {
            return;
        }
        if self.entries.len() >= self.capacity && !self.entries.contains_key(&key) {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.entries.remove(&oldest);
            }
        }
        self.clock += 1;
        let until = self.life.map(|life| Instant::now() + life);
        self.entries.insert(key, Entry { value, until, used: self.clock });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::Refusal;

    fn cache(capacity: usize, life: Option<Duration>) -> Cache<&'static str, usize> {
        Cache::new(Recent::new(capacity, life), Recent::new(1, Some(Duration::from_secs(1))))
    }

    #[tokio::test]
    async fn the_longest_unused_goes() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let cache = cache(2, None);
        let ask = || async { Ok(ASKED.fetch_add(1, Ordering::Relaxed)) };
        for key in ["a", "b", "a", "c", "a"] {
            cache.get(key, ask).await.unwrap();
        }
        assert_eq!(ASKED.load(Ordering::Relaxed), 3);
        cache.get("b", ask).await.unwrap();
        assert_eq!(ASKED.load(Ordering::Relaxed), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_and_comes_again_hears_the_answer() {
        let second = Duration::from_secs(1);
        let cache = cache(9, None);
        let no = || Error::Token("no".into());
        let slow = || async move {
            tokio::time::sleep(second).await;
            Err(no())
        };
        let given_up = tokio::time::timeout(second / 2, cache.get("a", slow)).await;
        assert!(given_up.is_err());
        tokio::time::sleep(second).await;
        let at_once = tokio::time::timeout(Duration::ZERO, cache.get("a", slow)).await;
        assert_eq!(at_once, Ok(Err(no())));
        // It was no answer to keep; and what nobody came for is not believed for ever.
        assert_eq!(cache.get("a", || async { Ok(1) }).await, Ok(1));
        let given_up = tokio::time::timeout(second / 2, cache.get("b", slow)).await;
        assert!(given_up.is_err());
        tokio::time::sleep(2 * UNHEARD_LIFE).await;
        assert_eq!(cache.get("b", || async { Ok(2) }).await, Ok(2));
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_believed_for_a_time() {
        let second = Duration::from_secs(1);
        let cache = cache(9, Some(second));
        assert_eq!(cache.get("a", || async { Ok(1) }).await, Ok(1));
        assert_eq!(cache.get("a", || async { Ok(2) }).await, Ok(1));
        tokio::time::advance(second).await;
        assert_eq!(cache.get("a", || async { Ok(3) }).await, Ok(3));
        cache.forget(|key| *key == "a");
        assert_eq!(cache.get("a", || async { Ok(4) }).await, Ok(4));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_on_its_way_when_it_was_forgotten_is_not_remembered() {
        let second = Duration::from_secs(1);
        let cache = cache(9, None);
        let old = cache.get("a", || async move {
            tokio::time::sleep(second).await;
            Ok(1)
        });
        let forget = async {
            tokio::time::sleep(second / 2).await;
            cache.forget(|_| true);
        };
        assert_eq!(tokio::join!(old, forget).0, Ok(1));
        assert_eq!(cache.get("a", || async { Ok(2) }).await, Ok(2));
    }

    #[tokio::test(start_paused = true)]
    async fn what_there_is_not_has_a_place_of_its_own() {
        let cache = cache(1, None);
        let none = || async {
            let refusal = Refusal { status: 404, code: 40403, ..Refusal::default() };
            Err(Error::Refused(refusal))
        };
        cache.get("a", || async { Ok(1) }).await.unwrap();
        for key in ["b", "c", "d"] {
            assert!(cache.get(key, none).await.unwrap_err().is_not_found());
        }
        assert_eq!(cache.get("a", none).await, Ok(1));
        assert!(cache.get("d", || async { Ok(2) }).await.is_err());
        cache.forget_missing();
        assert_eq!(cache.get("d", || async { Ok(2) }).await, Ok(2));
    }
}
