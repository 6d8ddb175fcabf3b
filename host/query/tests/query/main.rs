//! SQL through the front door: operations and rules as the engine uses them, the cache as a run fills it and people ask it.

mod cache;
mod operations;
mod rules;
mod support;
mod values;
mod whole;
