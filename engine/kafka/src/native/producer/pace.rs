//! Decides how far a caller may be ahead of the broker with one partition.
//!
//! More than the sender can have in flight, and what follows at once, gains nothing: it only takes
//! memory. So a caller that is further ahead waits until half of that has arrived. A broker that
//! does not answer for a while is another matter: `buffer.memory` is there to get over that, and
//! other partitions may go on meanwhile.

use std::time::Duration;

use crate::native::settings::ProducerSettings;

/// How long a caller waits for a broker that does not answer before it fills the buffer.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// A caller may always be so many bytes ahead: small batches come in bursts.
const LEAST: usize = 1 << 20;

/// How many bytes of batches one partition may have waiting: half are those in flight and the one
/// that goes next.
pub(super) fn most_ahead(settings: &ProducerSettings) -> usize {
    let batches = settings.in_flight.saturating_add(1).saturating_mul(2);
    settings.batch_bytes.saturating_mul(batches).max(LEAST)
}

/// Where one partition stands.
#[derive(Debug)]
pub(super) struct Pace {
    most: usize,
    /// The bytes of batches that were closed or sent, and are not settled.
    ahead: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    /// The caller has to wait.
    Behind,
    /// The caller waits no more: nothing has come of it.
    Stuck,
}

impl Pace {
    pub(super) fn new(most: usize) -> Self {
        Self { most, ahead: 0, state: State::Free }
    }

    pub(super) fn has_to_wait(&self) -> bool {
        self.state == State::Behind
    }

    /// A batch waits, or is larger than it was.
    pub(super) fn add(&mut self, bytes: usize) {
        self.ahead += bytes;
        if self.state == State::Free && self.ahead > self.most {
            self.state = State::Behind;
        }
    }

    /// A batch is settled, or smaller than it was. True when the caller need not wait any more.
    pub(super) fn settle(&mut self, bytes: usize) -> bool {
        self.ahead = self.ahead.saturating_sub(bytes);
        let before = self.state;
        self.state = match before {
            State::Behind | State::Stuck if self.ahead > self.most / 2 => State::Behind,
            _ => State::Free,
        };
        before == State::Behind && self.state == State::Free
    }

    /// The caller has waited for long enough.
    pub(super) fn give_up_waiting(&mut self) {
        self.state = State::Stuck;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_waits_until_half_has_arrived() {
        let mut pace = Pace::new(100);
        pace.add(100);
        assert!(!pace.has_to_wait());
        assert!(!pace.settle(1), "nobody waits");
        pace.add(2);
        assert!(pace.has_to_wait());
        assert!(!pace.settle(50));
        assert!(pace.has_to_wait(), "51 are ahead");
        assert!(pace.settle(1));
        assert!(!pace.has_to_wait());
    }

    #[test]
    fn a_broker_that_does_not_answer_is_not_waited_for_until_it_does() {
        let mut pace = Pace::new(100);
        pace.add(101);
        pace.give_up_waiting();
        pace.add(1_000);
        assert!(!pace.has_to_wait());
        pace.settle(101);
        assert!(pace.has_to_wait());
        pace.give_up_waiting();
        pace.settle(950);
        assert!(!pace.has_to_wait());
    }

    #[test]
    fn twice_what_is_in_flight_may_wait() {
        let most = |batch: &str, in_flight: &str| {
            let pairs = [
                ("bootstrap.servers", "b:1"),
                ("enable.idempotence", "false"),
                ("batch.size", batch),
                ("max.in.flight.requests.per.connection", in_flight),
            ];
            let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
            most_ahead(&ProducerSettings::new(&pairs.map(own).into()).unwrap())
        };
        assert_eq!(most("524288", "1"), 4 * 524_288);
        assert_eq!(most("1000000", "5"), 12_000_000);
        assert_eq!(most("16384", "5"), 1 << 20);
        assert_eq!(most("0", "1"), 1 << 20);
    }
}
