//! What tests and benchmarks of more than one crate need: PostgreSQL servers of their own. The chores are in `main.rs`.

pub mod postgres;
