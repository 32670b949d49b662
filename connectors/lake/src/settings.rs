//! Decides what a configuration comes to: the parts that a task is made of.

use std::path::PathBuf;

use millrace_api::config::ConfigError;
use millrace_api::{Error, Result};

use crate::config::{LakeSinkConfig, NullValues};
use crate::format::{Format, JsonLines, Parquet};
use crate::naming::Naming;
use crate::rotation::Policy;
use crate::rules::{FormatName, directory_of, format_of};

/// The configuration of a task, understood.
pub(crate) struct Settings {
    pub(crate) root: PathBuf,
    pub(crate) naming: Naming,
    pub(crate) policy: Policy,
    pub(crate) format: Format,
    pub(crate) null_values: NullValues,
}

impl Settings {
    /// Fails with the first thing that is wrong.
    pub(crate) fn new(config: &LakeSinkConfig) -> Result<Self> {
        if let Some(wrong) = check(config).into_iter().next() {
            return Err(Error::config(wrong.message));
        }
        let root = directory_of(&config.store_url).map_err(Error::config)?;
        let format = format(config)?;
        Ok(Self {
            root,
            naming: naming(config, &format),
            policy: policy(config),
            format,
            null_values: config.behavior_on_null_values,
        })
    }
}

/// What is wrong with the keys together.
pub(crate) fn check(config: &LakeSinkConfig) -> Vec<ConfigError> {
    let mut wrong = Vec::new();
    if config.rotate_schedule_interval_ms > 0 && config.timezone.is_empty() {
        wrong.push(ConfigError {
            key: "timezone".into(),
            message: "timezone must be set when rotate.schedule.interval.ms is: write UTC".into(),
        });
    }
    wrong
}

fn format(config: &LakeSinkConfig) -> Result<Format> {
    Ok(match format_of(config.format_class.as_str()).map_err(Error::config)? {
        FormatName::Parquet => {
            let precision = u8::try_from(config.parquet_decimal_precision).unwrap_or(38);
            Format::Parquet(Parquet::new(config.parquet_codec, precision))
        }
        FormatName::Json => Format::JsonLines(JsonLines::new()),
    })
}

fn naming(config: &LakeSinkConfig, format: &Format) -> Naming {
    Naming {
        topics_dir: config.topics_dir.trim_matches('/').to_owned(),
        directory_delim: config.directory_delim.clone(),
        file_delim: config.file_delim.clone(),
        offset_width: usize::try_from(config.filename_offset_zero_pad_width).unwrap_or(0),
        extension: format.extension(),
    }
}

fn policy(config: &LakeSinkConfig) -> Policy {
    let positive = |ms: i64| Some(ms).filter(|ms| *ms > 0);
    Policy {
        flush_size: usize::try_from(config.flush_size).unwrap_or(1).max(1),
        interval_ms: positive(config.rotate_interval_ms),
        schedule_ms: positive(config.rotate_schedule_interval_ms),
    }
}
