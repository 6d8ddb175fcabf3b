//! From the checked pipeline document to the engine's input. The only file of the engine that knows the document's types.

use rapidbyte_core::Policies;
use rapidbyte_pipeline::{Pipeline, Spanned, Streams};

use crate::spec::{PipelineSpec, ResourceSpec, Selection, StreamSpec, TransformSpec};

impl PipelineSpec {
    /// What a document asks for.
    pub fn from_document(document: &Pipeline) -> Self {
        let streams = match &document.source.streams {
            Streams::Listed(streams) => Selection::Listed(streams.iter().map(stream).collect()),
            Streams::All { write, .. } => Selection::All(write.plan()),
        };
        let transforms = document.transforms.iter().map(|transform| TransformSpec {
            stream: transform.stream.as_ref().map(|stream| stream.value.clone()),
        });
        PipelineSpec {
            name: document.name.value.clone(),
            streams,
            transforms: transforms.collect(),
            policies: Policies::default(),
            resources: resources(document),
        }
    }
}

fn stream(stream: &rapidbyte_pipeline::StreamSpec) -> StreamSpec {
    StreamSpec {
        name: stream.name.value.clone(),
        sync_mode: stream.sync_mode.value,
        cursor: stream.cursor.as_ref().map(rapidbyte_pipeline::CursorDecl::spec),
        columns: stream.column_names(),
        filter: None,
        write: stream.write.plan(),
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
