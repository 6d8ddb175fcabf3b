//! `rapidbyte connector`: making connectors.

pub mod build;
pub mod scaffold;
pub mod sdk;
pub mod test;
