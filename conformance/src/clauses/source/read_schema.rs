//! `read-schema`: Every batch has exactly the columns of the catalog, by name, type and order, and no NULL where there can be none.

use arrow_array::Array;
use rapidbyte_host::core::frame::{decode_schema, schema_difference};

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "read-schema",
    role: Some(ConnectorRole::Source),
    severity: Severity::Critical,
    explanation: "Every batch has exactly the columns of the catalog, by name, type and order, and no NULL \
                  where there can be none.",
    hint: "Build batches and catalog from one list of columns.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    for stream in subject.streams().await? {
        let announced = decode_schema(&stream.schema)?;
        let run = subject.read(&ReadPlan::full(&stream)).await?;
        if let Err(error) = &run.result {
            return broken(format!("`{}` cannot be read: {}: {}", stream.name, error.kind(), error.message));
        }
        for frame in run.frames() {
            let batch = frame.decode()?;
            if let Some(difference) = schema_difference(&announced, &batch.schema()) {
                return broken(format!("a batch of `{}`: {difference}", stream.name));
            }
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                ensure(field.is_nullable() || column.null_count() == 0, || {
                    format!("`{}` of `{}` has NULLs and cannot have any", field.name(), stream.name)
                })?;
            }
        }
    }
    Ok(())
}
