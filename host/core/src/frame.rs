//! A frame: the Arrow IPC stream of one record batch, shared without copying. The envelope is checked once, when a guest
//! hands it over; columns are decoded only where somebody needs them.

use bytes::Bytes;

/// One record batch as an Arrow IPC stream.
#[derive(Debug, Clone)]
pub struct Frame {
    bytes: Bytes,
    records: u64,
}

impl Frame {
    /// A frame whose envelope the caller has checked: `bytes` is one IPC stream with exactly one batch of `records` rows.
    pub fn from_checked(bytes: Bytes, records: u64) -> Self {
        Frame { bytes, records }
    }

    /// The IPC stream.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub fn records(&self) -> u64 {
        self.records
    }

    /// The footprint in bytes that channels and budgets count: the length of the slice, not the capacity behind it.
    pub fn len_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }
}
