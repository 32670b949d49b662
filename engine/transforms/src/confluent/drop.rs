//! `Drop`: makes each key or value null, and decides what becomes of its schema.

use millrace_api::config::{Config, ConfigEnum};
use millrace_api::data::{Column, Records, RowError, Value};
use millrace_api::{Error, Props, Result, Transformation};

use crate::each_value::refuse_all;
use crate::refused::Refused;
use crate::side::Side;

#[derive(Clone, Copy, Debug, PartialEq, ConfigEnum)]
#[config(ignore_case)]
pub(crate) enum SchemaBehavior {
    Nullify,
    Retain,
    Validate,
    #[config(name = "force_optional")]
    ForceOptional,
}

#[derive(Config, Debug)]
pub(crate) struct DropConfig {
    /// What becomes of a schema. <code>nullify</code>: there is none any more. <code>retain</code>:
    /// it is kept as it is, optional or not. <code>validate</code>: it is kept if it is optional,
    /// else the record is refused. <code>force_optional</code>: it becomes optional.
    #[config(key = "schema.behavior", default = SchemaBehavior::Nullify)]
    schema_behavior: SchemaBehavior,
}

pub(crate) struct Drop {
    side: Side,
    behavior: SchemaBehavior,
}

impl Drop {
    pub(crate) fn open(side: Side, props: &Props) -> Result<Box<dyn Transformation>> {
        let behavior = DropConfig::parse(props)?.schema_behavior;
        Ok(Box::new(Self { side, behavior }))
    }
}

impl Transformation for Drop {
    fn apply(&mut self, records: Records, failed: &mut Vec<RowError>) -> Result<Vec<Records>> {
        let schema = self.side.column(&records).schema().cloned();
        let schema = match (schema, self.behavior) {
            (None, _) | (_, SchemaBehavior::Nullify) => None,
            (Some(schema), SchemaBehavior::ForceOptional) if !schema.is_optional() => {
                Some(schema.to_builder().optional().build())
            }
            (Some(schema), SchemaBehavior::Validate) if !schema.is_optional() => {
                let side = self.side.name();
                let error = Error::data(format!(
                    "the {side} cannot be dropped: its schema is not optional, and \
                     schema.behavior is validate; take retain, nullify or force_optional"
                ));
                let mut refused = Refused::default();
                refuse_all(records.len(), &error, &mut refused);
                return Ok(refused.leave_out(records, 0, failed).into_iter().collect());
            }
            (schema, _) => schema,
        };
        let nulls = Column::from_values(schema, vec![Value::Null; records.len()]);
        Ok(vec![self.side.replace(records, nulls)])
    }
}
