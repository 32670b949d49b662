//! `Filter`: keeps or drops the records that a JSON path finds something in.

use arrow::array::BooleanArray;
use millrace_api::config::{Config, ConfigEnum};
use millrace_api::data::{Records, RowError, Value};
use millrace_api::{Error, Props, Result, Transformation};

use super::json_path::{JsonPath, Nothing};
use crate::refused::{no_map, no_struct};
use crate::side::Side;

#[derive(Clone, Copy, Debug, PartialEq, ConfigEnum)]
#[config(ignore_case)]
pub(crate) enum FilterType {
    Include,
    Exclude,
}

#[derive(Clone, Copy, Debug, PartialEq, ConfigEnum)]
#[config(ignore_case)]
pub(crate) enum Missing {
    Fail,
    Include,
    Exclude,
}

#[derive(Config, Debug)]
pub(crate) struct FilterConfig {
    /// The JSON path that decides: a record matches when it finds something there. What is to be
    /// true of it stands in brackets as a condition.
    #[config(
        key = "filter.condition",
        importance = High,
        width = Long,
        display = "Filter Condition"
    )]
    condition: String,
    /// What is done with the records that match: <code>include</code> keeps them and drops all
    /// others, <code>exclude</code> drops them.
    #[config(key = "filter.type", importance = High, width = Short, display = "Filter Type")]
    filter_type: FilterType,
    /// What is done with a record in which the path leads nowhere, since a field on the way is
    /// missing: <code>fail</code> refuses it, <code>include</code> keeps it, <code>exclude</code>
    /// drops it. Inside of <code>[?(…)]</code> missing fields just do not match.
    #[config(
        key = "missing.or.null.behavior",
        default = Missing::Fail,
        width = Short,
        display = "Handle Missing Or Null Fields"
    )]
    missing: Missing,
}

pub(crate) struct Filter {
    side: Side,
    path: JsonPath,
    config: FilterConfig,
}

impl Filter {
    pub(crate) fn open(side: Side, props: &Props) -> Result<Box<dyn Transformation>> {
        let config = FilterConfig::parse(props)?;
        let path = JsonPath::parse("filter.condition", &config.condition)?;
        Ok(Box::new(Self { side, path, config }))
    }

    /// Whether a key or value is kept, which is not null.
    fn keeps(&self, value: &Value, has_schema: bool) -> Result<bool> {
        if has_schema && !matches!(value, Value::Struct(_)) {
            return Err(no_struct("filtering record with schema", value));
        }
        if !has_schema && !matches!(value, Value::Map(_)) {
            return Err(no_map("filtering record without schema", value));
        }
        match self.path.select(value) {
            Ok(found) => {
                let matches = !found.is_empty();
                Ok(matches == (self.config.filter_type == FilterType::Include))
            }
            Err(Nothing::Missing) => match self.config.missing {
                Missing::Include => Ok(true),
                Missing::Exclude => Ok(false),
                Missing::Fail => Err(Error::data(format!(
                    "the path {} leads nowhere in this record; set missing.or.null.behavior to \
                     include or exclude to keep or drop such records",
                    self.config.condition
                ))
                .as_java("com.jayway.jsonpath.PathNotFoundException")),
            },
            Err(Nothing::Primitive(class)) => Err(Error::data(format!(
                "Filter: [?] can not be applied to primitives, found: {class}"
            ))
            .as_java("com.jayway.jsonpath.InvalidPathException")),
        }
    }
}

impl Transformation for Filter {
    fn apply(&mut self, records: Records, failed: &mut Vec<RowError>) -> Result<Vec<Records>> {
        let column = self.side.column(&records);
        let schema = column.schema();
        let mut keep = Vec::with_capacity(records.len());
        for (row, value) in column.rows()?.iter().enumerate() {
            let kept = if value.is_null() { Ok(true) } else { self.keeps(value, schema.is_some()) };
            keep.push(kept.unwrap_or_else(|error| {
                failed.push(RowError { row, error });
                false
            }));
        }
        if keep.iter().all(|keep| *keep) {
            return Ok(vec![records]);
        }
        if keep.iter().all(|keep| !*keep) {
            return Ok(Vec::new());
        }
        Ok(vec![records.filter(&BooleanArray::from(keep))])
    }
}
