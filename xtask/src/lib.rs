//! What development tools and tests share: a real PostgreSQL server for as long as it is needed.

pub mod postgres;
