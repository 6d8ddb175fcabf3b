//! The suite judged: first-party connectors pass it, rogue ones are caught by the very clause they break.

mod cassettes;
mod connectors;
mod rogues;
mod support;
