//! Cuts a run where its records get different topics.

use std::sync::Arc;

use millrace_api::Result;
use millrace_api::data::{Records, RowError};

/// Gives each record its own topic; none leaves it where it is, and an error refuses it. The order
/// is kept.
pub(crate) fn route(
    records: Records,
    failed: &mut Vec<RowError>,
    mut topic_of: impl FnMut(usize) -> Result<Option<Arc<str>>>,
) -> Vec<Records> {
    let mut runs: Vec<(usize, usize, Arc<str>)> = Vec::new();
    for row in 0..records.len() {
        let topic = match topic_of(row) {
            Ok(topic) => topic.unwrap_or_else(|| Arc::clone(&records.topic)),
            Err(error) => {
                failed.push(RowError { row, error });
                continue;
            }
        };
        match runs.last_mut() {
            Some((_, end, last)) if *end == row && *last == topic => *end += 1,
            _ => runs.push((row, row + 1, topic)),
        }
    }
    if let [(start, end, topic)] = &runs[..]
        && end - start == records.len()
    {
        return vec![Records { topic: Arc::clone(topic), ..records }];
    }
    let cut = |(start, end, topic)| Records { topic, ..records.slice(start, end - start) };
    runs.into_iter().map(cut).collect()
}
