//! `TombstoneHandler`: drops records without value, or refuses them.

use arrow::array::BooleanArray;
use millrace_api::config::{Config, ConfigEnum};
use millrace_api::data::{Records, RowError};
use millrace_api::{Error, Props, Result, Transformation};
use tracing::{debug, warn};

#[derive(Clone, Copy, Debug, PartialEq, ConfigEnum)]
#[config(ignore_case)]
pub(crate) enum Behavior {
    Ignore,
    Warn,
    Fail,
}

#[derive(Config, Debug)]
pub(crate) struct TombstoneHandlerConfig {
    /// What is done with a tombstone. <code>ignore</code>: it is dropped, which is logged at DEBUG.
    /// <code>warn</code>: it is dropped, which is logged as a warning. <code>fail</code>: it is
    /// refused.
    #[config(key = "behavior", default = Behavior::Warn)]
    behavior: Behavior,
}

pub(crate) struct TombstoneHandler {
    behavior: Behavior,
}

impl TombstoneHandler {
    pub(crate) fn open(props: &Props) -> Result<Box<dyn Transformation>> {
        Ok(Box::new(Self { behavior: TombstoneHandlerConfig::parse(props)?.behavior }))
    }
}

impl Transformation for TombstoneHandler {
    fn apply(&mut self, records: Records, failed: &mut Vec<RowError>) -> Result<Vec<Records>> {
        let is_tombstone = |row: usize| records.value.is_null(row);
        let keep: Vec<bool> = (0..records.len()).map(|row| !is_tombstone(row)).collect();
        let dropped = keep.iter().filter(|keep| !**keep).count();
        if dropped == 0 {
            return Ok(vec![records]);
        }
        match self.behavior {
            Behavior::Ignore => debug!(dropped, topic = &*records.topic, "tombstones are dropped"),
            Behavior::Warn => warn!(dropped, topic = &*records.topic, "tombstones are dropped"),
            Behavior::Fail => {
                let error =
                    || Error::data("a tombstone is refused: behavior of TombstoneHandler is fail");
                let rows = (0..records.len()).filter(|row| is_tombstone(*row));
                failed.extend(rows.map(|row| RowError { row, error: error() }));
            }
        }
        if dropped == records.len() {
            return Ok(Vec::new());
        }
        Ok(vec![records.filter(&BooleanArray::from(keep))])
    }
}
