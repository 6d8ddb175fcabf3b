//! From the checked pipeline document to the engine's input. The only file of the engine that knows the document's types.

use rapidbyte_core::ErrorCategory;
use rapidbyte_core::sql::{Operation, Rule};
use rapidbyte_pipeline as document;
use rapidbyte_pipeline::spec::names;
use rapidbyte_pipeline::{OperationSpec, Pipeline, RetryableError, Spanned, Streams};

use crate::breaker::BreakerPolicy;
use crate::retry::{Backoff, RetryPolicy};
use crate::spec::{
    ContractRule, ContractSpec, OnViolation, PipelineSpec, RequiredColumn, ResourceSpec, Selection,
    StreamSpec, TransformKind, TransformSpec,
};

impl PipelineSpec {
    /// What a document asks for.
    pub fn from_document(document: &Pipeline) -> Self {
        let streams = match &document.source.streams {
            Streams::Listed(streams) => Selection::Listed(streams.iter().map(stream).collect()),
            Streams::All { write, .. } => Selection::All(write.plan()),
        };
        let transforms = document.transforms.iter().map(|transform| TransformSpec {
            stream: transform.stream.as_ref().map(|stream| stream.value.clone()),
            kind: match &transform.kind {
                document::TransformKind::Connector(_) => TransformKind::Connector,
                document::TransformKind::Operations { operations } => {
                    TransformKind::Operations(operations.iter().map(|it| operation(&it.value)).collect())
                }
            },
        });
        let (policies, on_error) = match &document.source.streams {
            Streams::All { policies, on_error, .. } => (*policies, *on_error),
            Streams::Listed(_) => (document.destination.policies, document.errors.on_error.value),
        };
        PipelineSpec {
            name: document.name.value.clone(),
            streams,
            transforms: transforms.collect(),
            transforms_from: 0,
            contracts: document.contracts.iter().enumerate().map(contract).collect(),
            policies,
            on_error,
            retry: retry(&document.errors.retry),
            breaker: document.errors.circuit_breaker.as_ref().map(|breaker| BreakerPolicy {
                error_threshold: breaker.error_threshold,
                error_rate: breaker.error_rate,
                cooldown_ms: breaker.cooldown_ms,
            }),
            resources: resources(document),
        }
    }
}

fn stream(stream: &document::StreamSpec) -> StreamSpec {
    StreamSpec {
        name: stream.name.value.clone(),
        sync_mode: stream.sync_mode.value,
        cursor: stream.cursor.as_ref().map(document::CursorDecl::spec),
        columns: stream.column_names(),
        filter: stream.filter.as_ref().map(|filter| filter.value.clone()),
        write: stream.write.plan(),
        policies: stream.policies,
        on_error: stream.on_error,
        partitions: stream.partitions.as_ref().map(|partitions| partitions.value),
        partition_key: stream.partition_key.as_ref().map(|key| key.value.clone()),
    }
}

fn operation(spec: &OperationSpec) -> Operation {
    match spec {
        OperationSpec::RenameColumn { from, to } => {
            Operation::RenameColumn { from: from.value.clone(), to: to.value.clone() }
        }
        OperationSpec::AddColumn { name, expression } => {
            Operation::AddColumn { name: name.value.clone(), expression: expression.value.clone() }
        }
        OperationSpec::CastColumn { column, to } => {
            Operation::CastColumn { column: column.value.clone(), to: to.value.clone() }
        }
        OperationSpec::DropColumns(columns) => Operation::DropColumns { columns: names(columns) },
        OperationSpec::Filter(predicate) => Operation::Filter { predicate: predicate.value.clone() },
        OperationSpec::Sql(query) => Operation::Sql { query: query.value.clone() },
    }
}

fn contract((index, contract): (usize, &document::ContractSpec)) -> ContractSpec {
    let action = |on_violation: document::OnViolation| match on_violation {
        document::OnViolation::Fail => OnViolation::Fail,
        document::OnViolation::Warn => OnViolation::Warn,
        document::OnViolation::DropRow => OnViolation::DropRow,
    };
    let required = contract.required_columns.iter().map(|column| RequiredColumn {
        name: column.name.value.clone(),
        data_type: column.data_type.as_ref().map(|data_type| data_type.value.clone()),
        nullable: column.nullable.as_ref().map(|nullable| nullable.value),
    });
    let rules = contract.column_rules.iter().map(|rule| ContractRule {
        rule: Rule { column: rule.column.value.clone(), check: rule.check.value.clone() },
        on_violation: action(rule.on_violation.value),
    });
    ContractSpec {
        index,
        stream: contract.stream.value.clone(),
        required: required.collect(),
        rules: rules.collect(),
        on_violation: action(contract.on_violation.value),
    }
}

fn retry(retry: &document::RetrySpec) -> RetryPolicy {
    let words = retry.retryable_errors.iter().flat_map(|kind| match &kind.value {
        // An error of a server is a database's, or one that HTTP has a number for.
        RetryableError::Category(ErrorCategory::TransientDb) => {
            vec![ErrorCategory::TransientDb.as_str().to_owned(), "http_server_error".to_owned()]
        }
        RetryableError::Category(category) => vec![category.as_str().to_owned()],
        RetryableError::Code(code) => vec![code.clone()],
    });
    RetryPolicy {
        max_attempts: retry.max_attempts,
        backoff: match retry.backoff {
            document::Backoff::Exponential => Backoff::Exponential,
            document::Backoff::Linear => Backoff::Linear,
            document::Backoff::Fixed => Backoff::Fixed,
        },
        initial_delay_ms: retry.initial_delay_ms,
        max_delay_ms: retry.max_delay_ms,
        jitter: retry.jitter,
        retryable_errors: words.collect(),
    }
}

fn resources(document: &Pipeline) -> ResourceSpec {
    fn stated<T: Copy>(value: &Spanned<T>) -> Option<T> {
        value.is_stated().then_some(value.value)
    }
    let resources = &document.resources;
    ResourceSpec {
        max_memory_bytes: resources.max_memory_bytes.value,
        parallelism: resources.parallelism.value,
        max_batch_bytes: stated(&resources.max_batch_bytes),
        max_record_bytes: stated(&resources.max_record_bytes),
        checkpoint_interval_bytes: stated(&resources.checkpoint_interval_bytes),
        checkpoint_interval_rows: stated(&resources.checkpoint_interval_rows),
        checkpoint_interval_seconds: stated(&resources.checkpoint_interval_seconds),
    }
}
