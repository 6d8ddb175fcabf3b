//! What is committed of one stream, as it stands on disk. It knows JSON and nothing of when it is written.

use rapidbyte_sdk::prelude::*;
use serde::{Deserialize, Serialize};

/// Version of the file's form.
const VERSION: u32 = 1;

/// The last commit of a (pipeline, stream, partition).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredReceipt {
    version: u32,
    pub pipeline: String,
    pub stream: String,
    pub partition: u32,
    /// The checkpoint.
    pub id: u64,
    pub cursor: Option<StoredCursor>,
    pub complete: bool,
    /// What belongs to the commit and may not have its name yet.
    pub publish: Option<Publication>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCursor {
    pub field: String,
    pub r#type: String,
    pub value: String,
}

/// A file that is durable under one name and is to have another. Relative to the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    pub from: String,
    pub to: String,
}

impl StoredReceipt {
    pub fn new(stream: &StreamContext, checkpoint: &Checkpoint, publish: Option<Publication>) -> Self {
        let cursor = checkpoint.cursor.as_ref().map(|cursor| StoredCursor {
            field: cursor.field.clone(),
            r#type: cursor.value.type_name().to_owned(),
            value: cursor.value.value_text(),
        });
        StoredReceipt {
            version: VERSION,
            pipeline: stream.pipeline.clone(),
            stream: stream.name.clone(),
            partition: stream.partition.index,
            id: checkpoint.id,
            cursor,
            complete: checkpoint.complete,
            publish,
        }
    }

    pub fn to_bytes(&self) -> Result<Vec<u8>, ConnectorError> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| ConnectorError::internal("bad_receipt", error.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads a receipt and holds it against the stream it is to be of. A receipt that cannot be understood is an error:
    /// without it nobody knows what the files hold.
    pub fn from_bytes(bytes: &[u8], path: &str, stream: &StreamContext) -> Result<Self, ConnectorError> {
        let bad = |what: &str| {
            ConnectorError::internal(
                "bad_receipt",
                format!("receipt `{path}` {what}; it was not written by dest-file"),
            )
        };
        let receipt: StoredReceipt =
            serde_json::from_slice(bytes).map_err(|error| bad(&format!("is damaged: {error}")))?;
        if receipt.version != VERSION {
            return Err(bad(&format!("has version {}, this connector knows {VERSION}", receipt.version)));
        }
        let owner = (receipt.pipeline.as_str(), receipt.stream.as_str(), receipt.partition);
        if owner != (stream.pipeline.as_str(), stream.name.as_str(), stream.partition.index) {
            return Err(bad(&format!(
                "is of stream `{}` of pipeline `{}`",
                receipt.stream, receipt.pipeline
            )));
        }
        if let Some(publish) = &receipt.publish {
            for path in [&publish.from, &publish.to] {
                if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
                    return Err(bad("leads out of the folder"));
                }
            }
        }
        receipt.receipt().ok_or_else(|| bad("has a cursor of an unknown type"))?;
        Ok(receipt)
    }

    /// The receipt as the host knows it; none if its cursor is not one.
    pub fn receipt(&self) -> Option<Receipt> {
        let cursor = match &self.cursor {
            None => None,
            Some(cursor) => {
                Some(Cursor::new(&cursor.field, CursorValue::from_parts(&cursor.r#type, &cursor.value)?))
            }
        };
        Some(Receipt { id: self.id, cursor, complete: self.complete })
    }
}
