//! Clients at work while brokers fail: no gap, no repetition, no change of order, and nothing of a
//! transaction that was not committed. The long form is `integration/drill`.

use millrace_integration::client::Client;
use millrace_integration::drill::faults::Fault;
use millrace_integration::drill::{self, Plan, Protocol, Weakness};
use std::str::FromStr;
use std::time::Duration;

/// A value of the environment, which `integration/drill` sets.
fn variable<T: FromStr>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}: {value} is not a number")))
}

fn seed() -> u64 {
    variable("MILLRACE_DRILL_SEED").unwrap_or_else(|| fastrand::u64(0..1_000_000))
}

/// The seed decides how groups share partitions out, unless the environment does.
fn protocol(seed: u64) -> Protocol {
    let protocols = Protocol::ALL.len();
    Protocol::ALL[variable("MILLRACE_DRILL_PROTOCOL").unwrap_or(seed as usize) % protocols]
}

/// One fault of each kind, for all clients at once.
#[test]
fn brokers_fail_and_nothing_is_lost() {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut broker = || random.usize(0..3);
    let faults = vec![
        Fault::Kill(broker(), Duration::from_millis(3_000)),
        Fault::Pause(broker(), Duration::from_millis(5_000)),
        Fault::CutOff(broker(), Duration::from_millis(5_000)),
        Fault::MoveLeaders,
    ];
    let (clients, protocol, weakness) = (Client::all(), protocol(seed), None);
    let plan = Plan { clients, brokers: 3, faults, java_members: 1, protocol, seed, weakness };
    let report = drill::run(&plan);
    println!("{report}");
    assert!(report.violations.is_empty(), "seed {seed}: {report}");
}

/// As many faults as `integration/drill` asks for. With a weakness it passes when that is found.
#[test]
#[ignore = "minutes to hours: integration/drill runs it"]
fn long() {
    let seed = seed();
    let brokers = variable("MILLRACE_DRILL_BROKERS").unwrap_or(3);
    let rounds = variable("MILLRACE_DRILL_ROUNDS").unwrap_or(60);
    let weakness = match std::env::var("MILLRACE_DRILL_WEAKNESS").unwrap_or_default().as_str() {
        "" => None,
        "not-idempotent" => Some(Weakness::NotIdempotent),
        "commits-ahead" => Some(Weakness::CommitsAhead),
        "commits-after-lost" => Some(Weakness::CommitsAfterLost),
        "forgets-commits" => Some(Weakness::ForgetsCommits),
        other => panic!("no such weakness: {other}"),
    };
    let faults = Fault::schedule(rounds, brokers, seed);
    let java_members = variable("MILLRACE_DRILL_JAVA").unwrap_or(2);
    let (clients, protocol) = (Client::all(), protocol(seed));
    let plan = Plan { clients, brokers, faults, java_members, protocol, seed, weakness };
    let report = drill::run(&plan);
    println!("{report}");
    assert_eq!(report.violations.is_empty(), weakness.is_none(), "seed {seed}: {report}");
}
