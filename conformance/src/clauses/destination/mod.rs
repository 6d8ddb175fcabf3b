//! Promises of destinations, judged by what is read back.

pub mod checkpoints_confirmed;
pub mod checkpoints_repeated;
pub mod dead_letters;
pub mod evolve_new_column;
pub mod evolve_nullability;
pub mod evolve_removed_column;
pub mod evolve_type_change;
pub mod replace_interrupted;
pub mod resume_from_receipt;
pub mod write_append;
pub mod write_dry_run;
pub mod write_empty_batches;
pub mod write_merge;
pub mod write_nulls;
pub mod write_odd_identifiers;
pub mod write_replace;
pub mod write_summary;
pub mod write_types;
pub mod write_upsert;
