//! Checks a configuration as this worker would use it: with the values of its variables, which the
//! answer does not show.

use millrace_api::config::ConfigInfos;
use millrace_api::{Props, Result};

use super::validate::validate;
use crate::worker::Worker;

/// Checks a connector's configuration as it was written. Every message and value in the answer is
/// about what was written, too.
pub(crate) async fn check(worker: &Worker, raw: &Props) -> Result<ConfigInfos> {
    let resolved = worker.config.variables.resolve_aside(raw).await?;
    match validate(&worker.catalog, &worker.config, &resolved.props) {
        Ok(infos) => Ok(resolved.redaction.infos(infos)),
        Err(e) => Err(resolved.redaction.error(e)),
    }
}
