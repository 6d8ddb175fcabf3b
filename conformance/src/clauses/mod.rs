//! One file for each promise of the contract, in a folder for each role. `registry` lists them.

pub mod common;
pub mod destination;
pub mod source;
pub mod transform;
