//! Remembers what became of a schema, so that a run costs a pointer comparison.

use std::collections::VecDeque;
use std::sync::Arc;

use millrace_api::Result;
use millrace_api::data::SchemaRef;

/// As many as Java remembers; topics rarely hold more than a few.
const MAX_SCHEMAS: usize = 16;

/// Schemas before a transformation and what was made of them, the latest first.
#[derive(Debug)]
pub(crate) struct SchemaCache<T = SchemaRef>(VecDeque<(SchemaRef, T)>);

impl<T> Default for SchemaCache<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Clone> SchemaCache<T> {
    /// What became of a schema.
    pub(crate) fn get(
        &mut self,
        schema: &SchemaRef,
        make: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let known = self.0.iter().position(|(old, _)| Arc::ptr_eq(old, schema));
        let known = known.or_else(|| self.0.iter().position(|(old, _)| old == schema));
        if let Some(place) = known {
            return Ok(self.0[place].1.clone());
        }
        let made = make()?;
        self.0.truncate(MAX_SCHEMAS - 1);
        self.0.push_front((Arc::clone(schema), made.clone()));
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use millrace_api::data::{Kind, Schema};

    use super::*;

    #[test]
    fn equal_schemas_are_made_once_and_old_ones_forgotten() {
        let mut cache = SchemaCache::default();
        let mut made = 0;
        let mut get = |version: i32| {
            let schema = Schema::builder(Kind::Int8).version(version).build();
            let make = || {
                made += 1;
                Ok(Schema::string(false))
            };
            cache.get(&schema, make).unwrap();
            made
        };
        assert_eq!((get(0), get(0)), (1, 1));
        assert_eq!((1..=16).map(&mut get).last(), Some(17));
        assert_eq!((get(16), get(2), get(0)), (17, 17, 18));
    }
}
