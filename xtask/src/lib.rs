//! What tests and benchmarks of more than one crate need: PostgreSQL servers of their own, the tools of other languages. The
//! chores are in `main.rs`.

pub mod guests;
pub mod postgres;
