//! Takes a connector's transformations apart for people: what each step makes of one record.
//! Nothing is read, sent or committed.

use millrace_api::config::Config;
use millrace_api::data::Records;
use millrace_api::{Error, Props, Result};

use crate::catalog::Catalog;
use crate::config::connector::{CommonConfig, ERROR_KEYS, error_keys};
use crate::config::meant::unknown_keys;
use crate::config::plugins;
use crate::config::redaction::Redaction;
use crate::config::variables::Resolved;
use crate::config::worker::WorkerConfig;
use crate::contain::contain;
use crate::task::chain::Step;

/// The transformations of a connector, whatever its class is.
pub struct Rehearsal {
    steps: Vec<RehearsedStep>,
    redaction: Redaction,
}

/// A transformation by the name that its user gave it.
struct RehearsedStep {
    alias: String,
    /// The predicate's name, as its user reads it.
    condition: Option<String>,
    step: Step,
}

/// What a step did.
#[derive(Debug)]
pub struct StepTaken {
    /// What the user calls the transformation.
    pub alias: String,
    /// Its class.
    pub class: &'static str,
    /// The predicate it depends on, such as `not isTombstone`.
    pub condition: Option<String>,
    /// What became of the record.
    pub outcome: StepOutcome,
}

/// What became of a record in a step.
#[derive(Debug)]
pub enum StepOutcome {
    /// The predicate left it alone.
    Skipped,
    /// The records that came out; nearly always one.
    Changed(Vec<Records>),
    /// Nothing came out.
    Dropped,
    /// The transformation, or its predicate, refused it.
    Failed(Error),
}

impl Rehearsal {
    /// Opens the transformations that a configuration names; only its keys of transformations and
    /// predicates count. Variables stand for what the worker's providers say.
    pub async fn open(worker: &WorkerConfig, catalog: &Catalog, raw: &Props) -> Result<Self> {
        let Resolved { props, redaction } = worker.variables.resolve_aside(raw).await?;
        let steps = contain(async { opened(catalog, &props) }).await;
        Ok(Self { steps: steps.map_err(|e| redaction.error(e))?, redaction })
    }

    /// What there is to say of keys that have no effect where others were meant.
    pub fn unknown_keys(catalog: &Catalog, props: &Props) -> Vec<String> {
        let mut known = plugins::chain_keys(catalog, props);
        known.extend(error_keys());
        let ours = ["transforms.", "predicates.", ERROR_KEYS];
        let keys = props.keys().filter(|key| ours.iter().any(|prefix| key.starts_with(prefix)));
        unknown_keys(&known, keys)
    }

    /// Whether there is no transformation at all.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Takes one record through the steps, as far as it gets.
    pub async fn of(&mut self, record: Records) -> Vec<StepTaken> {
        assert_eq!(record.len(), 1, "one record at a time");
        let mut taken = Vec::new();
        let mut records = vec![record];
        for RehearsedStep { alias, condition, step } in &mut self.steps {
            let outcome = match contain(async { outcome(step, &records) }).await {
                Ok(outcome) => outcome,
                Err(error) => StepOutcome::Failed(self.redaction.error(error)),
            };
            if let StepOutcome::Changed(changed) = &outcome {
                records = changed.clone();
            }
            let is_over = matches!(outcome, StepOutcome::Dropped | StepOutcome::Failed(_));
            let (alias, condition) = (alias.clone(), condition.clone());
            taken.push(StepTaken { alias, class: step.class, condition, outcome });
            if is_over {
                break;
            }
        }
        taken
    }
}

fn opened(catalog: &Catalog, props: &Props) -> Result<Vec<RehearsedStep>> {
    let of_chain = |key: &str| {
        let rest = ["transforms", "predicates"].iter().find_map(|list| key.strip_prefix(list));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let mut own: Props =
        props.iter().filter(|(k, _)| of_chain(k)).map(|(k, v)| (k.clone(), v.clone())).collect();
    // Any connector will do.
    own.extend(["name", "connector.class"].map(|key| (key.to_owned(), "rehearsal".to_owned())));
    let common = CommonConfig::parse(&own)?;
    let step = |alias: &String| {
        let step = plugins::step(catalog, alias, &own)?;
        let predicate = own.get(&format!("transforms.{alias}.predicate")).map(|name| name.trim());
        let condition = predicate.zip(step.predicate.as_ref()).map(|(name, (_, negate))| {
            if *negate { format!("not {name}") } else { name.to_owned() }
        });
        Ok(RehearsedStep { alias: alias.clone(), condition, step })
    };
    common.transforms.iter().map(step).collect()
}

fn outcome(step: &mut Step, records: &[Records]) -> Result<StepOutcome> {
    let (mut changed, mut failed, mut selected) = (Vec::new(), Vec::new(), false);
    for run in records {
        if let Some((predicate, negate)) = &mut step.predicate
            && predicate.test(run)?.value(0) == *negate
        {
            changed.push(run.clone());
            continue;
        }
        selected = true;
        let runs = step.transformation.apply(run.clone(), &mut failed)?;
        changed.extend(
            runs.into_iter()
                .flat_map(|run| (0..run.len()).map(|row| run.slice(row, 1)).collect::<Vec<_>>()),
        );
    }
    Ok(match failed.into_iter().next() {
        Some(row) => StepOutcome::Failed(row.error),
        None if !selected => StepOutcome::Skipped,
        None if changed.is_empty() => StepOutcome::Dropped,
        None => StepOutcome::Changed(changed),
    })
}
