//! Decides which faults a drill has, in which order, and how each is done and undone.

use super::say;
use crate::brokers::Brokers;
use crate::wait_until;
use std::fmt;
use std::time::{Duration, Instant};

/// Something that happens to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A broker is killed, and starts again after this time.
    Kill(usize, Duration),
    /// A broker is frozen for this time.
    Pause(usize, Duration),
    /// No packet comes to a broker or from it for this time.
    CutOff(usize, Duration),
    /// Every partition gets another leader, coordinators included.
    MoveLeaders,
    /// Each broker is stopped and started in turn.
    Roll,
}

use Fault::{CutOff, Kill, MoveLeaders, Pause, Roll};

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kill(broker, time) => write!(f, "broker {broker} killed for {time:.1?}"),
            Pause(broker, time) => write!(f, "broker {broker} paused for {time:.1?}"),
            CutOff(broker, time) => write!(f, "broker {broker} cut off for {time:.1?}"),
            MoveLeaders => write!(f, "leaders moved"),
            Roll => write!(f, "rolling restart"),
        }
    }
}

impl Fault {
    /// `rounds` faults of a broker; and, where there are several brokers, after every sixth a move
    /// of all leaders and a rolling restart.
    pub fn schedule(rounds: usize, brokers: u8, seed: u64) -> Vec<Self> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut faults = Vec::new();
        for round in 0..rounds {
            let broker = random.usize(0..usize::from(brokers));
            // Short ones are over before anybody is missed; long ones outlast sessions.
            let time = Duration::from_millis(match random.u8(0..3) {
                0 => random.u64(100..1_000),
                1 => random.u64(1_000..4_000),
                _ => random.u64(4_000..9_000),
            });
            faults.push([Kill, Pause, CutOff][round % 3](broker, time));
            if brokers > 1 && round % 6 == 5 {
                faults.extend([MoveLeaders, Roll]);
            }
        }
        faults
    }

    /// Does it, and undoes it: afterwards the cluster is whole again.
    pub fn strike(self, brokers: &Brokers) {
        match self {
            Kill(broker, time) => {
                brokers.kill(broker);
                hold(time);
                brokers.start_again(broker);
            }
            Pause(broker, time) => {
                brokers.pause(broker);
                hold(time);
                brokers.unpause(broker);
            }
            CutOff(broker, time) => {
                brokers.cut_off(broker);
                hold(time);
                brokers.join(broker);
            }
            MoveLeaders => say(&format!("{} leaders moved", brokers.move_leaders())),
            Roll => brokers.roll(),
        }
    }
}

/// The time that a fault lasts is the condition.
fn hold(time: Duration) {
    let start = Instant::now();
    wait_until("the end of a fault", 2 * time + Duration::from_secs(60), || {
        (start.elapsed() >= time).then_some(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let faults = Fault::schedule(60, 3, 7);
        assert_eq!(faults, Fault::schedule(60, 3, 7));
        assert_ne!(faults, Fault::schedule(60, 3, 8));
        let rolls = faults.iter().filter(|fault| **fault == Roll).count();
        assert_eq!((faults.len(), rolls), (80, 10));
    }

    #[test]
    fn one_broker_has_no_leaders_to_move() {
        assert_eq!(Fault::schedule(60, 1, 7).len(), 60);
    }
}
