//! The operations of the command line, one call each: [`run`], [`check`], [`schema`], [`state`], and
//! [`build`](crate::connector::build::build) for `connector build`.

pub mod check;
pub mod document;
pub mod run;
pub mod schema;
pub mod state;
