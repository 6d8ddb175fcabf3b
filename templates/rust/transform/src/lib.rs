//! `@name@`: trims text columns and changes their case.
//!
//! Everything marked CHANGE is about this one change; the rest is what any transform does.

use std::sync::Arc;

use rapidbyte_sdk::arrow::array::cast::AsArray;
use rapidbyte_sdk::arrow::array::{Array, RecordBatch, StringArray};
use rapidbyte_sdk::arrow::schema::{DataType, Schema};
use rapidbyte_sdk::prelude::*;
use serde::Deserialize;

/// What a pipeline's `config:` says. The doc comments become the schema's descriptions.
#[derive(Debug, Clone, Deserialize, ConfigSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The text columns to change.
    pub columns: Vec<String>,
    /// What to do with upper and lower case.
    #[serde(default)]
    pub case: Case,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ConfigSchema)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    #[default]
    Keep,
    Lower,
    Upper,
}

/// Changes columns.
#[connector(transform)]
pub struct TidyTransform {
    config: Config,
}

impl Transform for TidyTransform {
    type Config = Config;

    async fn open(config: Config) -> Result<(Self, OpenInfo), ConnectorError> {
        if config.columns.is_empty() {
            return Err(ConnectorError::config("columns", "must name a column"));
        }
        Ok((
            TidyTransform { config },
            OpenInfo::new(connector_id!(), Capabilities::default()),
        ))
    }

    async fn run(
        &mut self,
        ctx: &Context,
        request: RunRequest,
    ) -> Result<RunSummary, ConnectorError> {
        request.expect_phase(&[RunPhase::Discover, RunPhase::Transform])?;
        let stream = request.stream()?;
        let columns = self.columns(&stream.schema)?;
        if request.phase == RunPhase::Discover {
            // CHANGE: the schema that flows out. Here it is the one that flows in.
            let out = CatalogStream::new(&stream.name, stream.schema.clone());
            return Ok(RunSummary::catalog(Catalog { streams: vec![out] }));
        }
        loop {
            match ctx.next().await? {
                Event::Batch(batch) => ctx.emit(&self.change(&batch, &columns)?).await?,
                // Everything before it has been emitted.
                Event::Checkpoint(checkpoint) => ctx.forward_checkpoint(&checkpoint).await?,
                Event::End => return Ok(RunSummary::transform(ctx.transform_summary())),
            }
        }
    }
}

impl TidyTransform {
    /// Where the columns are that the config names.
    fn columns(&self, schema: &Schema) -> Result<Vec<usize>, ConnectorError> {
        let place = |name: &String| {
            let (index, field) = schema.column_with_name(name).ok_or_else(|| {
                ConnectorError::config("columns", format!("there is no column `{name}`"))
            })?;
            if *field.data_type() != DataType::Utf8 {
                let message = format!("column `{name}` is `{}`, not text", field.data_type());
                return Err(ConnectorError::config("columns", message));
            }
            Ok(index)
        };
        self.config.columns.iter().map(place).collect()
    }

    /// CHANGE: one batch.
    fn change(
        &self,
        batch: &RecordBatch,
        columns: &[usize],
    ) -> Result<RecordBatch, ConnectorError> {
        let mut changed = batch.columns().to_vec();
        for index in columns {
            let column = changed[*index].as_string::<i32>();
            let values = column
                .iter()
                .map(|value| value.map(|text| self.change_text(text)));
            let values: StringArray = values.collect();
            debug_assert_eq!(values.null_count(), column.null_count());
            changed[*index] = Arc::new(values);
        }
        Ok(RecordBatch::try_new(batch.schema(), changed)?)
    }

    fn change_text(&self, text: &str) -> String {
        match self.config.case {
            Case::Keep => text.trim().to_owned(),
            Case::Lower => text.trim().to_lowercase(),
            Case::Upper => text.trim().to_uppercase(),
        }
    }
}

#[cfg(test)]
mod tests;
