//! Why the reading of a row stops.

use std::sync::Arc;

use crate::cells::Unfit;
use crate::json::Fault;

/// Why the reading of a row stops. Boxed where it is returned: rows mostly go on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The row is wrong, and fails.
    Fault(Fault),
    /// A column cannot decide it: the row is read as a value first.
    Irregular,
    /// Arrow cannot hold it: the run goes as values.
    Unfit,
}

/// A row that is wrong.
#[cold]
pub(crate) fn fault(what: &'static str) -> Box<Stop> {
    Box::new(Stop::Fault(Fault::new(what)))
}

/// A row with a value that cannot become what is wanted.
#[cold]
pub(crate) fn misfit(why: &Arc<str>) -> Box<Stop> {
    Box::new(Stop::Fault(Fault::new(why.to_string())))
}

/// A row that Arrow cannot hold.
#[cold]
pub(crate) fn unfit() -> Box<Stop> {
    Box::new(Stop::Unfit)
}

impl From<Unfit> for Box<Stop> {
    fn from(Unfit: Unfit) -> Self {
        unfit()
    }
}

/// Says in which field it is.
#[cold]
pub(crate) fn within(mut stop: Box<Stop>, field: &Arc<str>) -> Box<Stop> {
    *stop = match std::mem::replace(&mut *stop, Stop::Unfit) {
        Stop::Fault(fault) => Stop::Fault(fault.within(field)),
        other => other,
    };
    stop
}
