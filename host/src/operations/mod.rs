//! The operations of the command line, one call each.

pub mod check;
pub mod conformance;
pub mod connector;
pub mod dlq;
pub mod doctor;
pub mod document;
pub mod index;
pub mod letters;
pub mod native;
pub mod package;
pub mod publish;
pub mod run;
pub mod scaffold;
pub mod schema;
pub mod state;
