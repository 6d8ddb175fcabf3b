//! Promises of transforms.

pub mod transform_accounts;
pub mod transform_checkpoints;
pub mod transform_deterministic;
pub mod transform_order;
pub mod transform_schema;
