//! What is wrong with a configuration that no single key shows.

use millrace_api::config::{ConfigError, Props};

use super::{DEFAULT_PROVIDER, PkMode, SinkConfig};
use crate::dialect::target::Action;
use crate::settings::Problems;

impl SinkConfig {
    /// What is wrong that no single key shows. Opens nothing.
    pub(crate) fn problems(&self) -> Vec<ConfigError> {
        let mut problems = Problems(Vec::new());
        problems.add_where(
            self.credentials_provider.as_str() != DEFAULT_PROVIDER,
            "jdbc.credentials.provider.class",
            "this value of jdbc.credentials.provider.class is not supported; set connection.user \
             and connection.password",
        );
        self.check_keys(&mut problems);
        let dialect = self.dialect(&Props::new());
        let mark = dialect.as_ref().map_or('"', |dialect| dialect.quote_mark());
        problems.add_error("connection.url", dialect);
        problems.add_error("db.timezone", self.calendar());
        let names = self.table_names(mark);
        if let Ok(names) = &names {
            problems.add_error("exactly.once.table", names.parse(self.offsets_table()));
        }
        problems.add_error("table.name.map", names);
        problems.0
    }

    fn check_keys(&self, problems: &mut Problems) {
        let pk_mode = self.pk_mode();
        problems.add_where(
            self.delete_enabled && pk_mode != PkMode::RecordKey,
            "delete.enabled",
            "Deletes are only supported for pk.mode record_key",
        );
        problems.add_where(
            pk_mode == PkMode::Kafka && !matches!(self.pk_fields.len(), 0 | 3),
            "pk.fields",
            "pk.mode=kafka needs three names, for topic, partition and offset, or none",
        );
        let needs_key = match self.action() {
            Action::Upsert => "insert.mode=upsert needs to know the key: set pk.mode",
            Action::Update => {
                "insert.mode=update without a key would change every row: set pk.mode"
            }
            Action::Insert | Action::Delete => "",
        };
        let without_key = !needs_key.is_empty() && pk_mode == PkMode::None;
        problems.add_where(without_key, "pk.mode", needs_key);
    }
}
