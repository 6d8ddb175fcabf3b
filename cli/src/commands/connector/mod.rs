//! `rapidbyte connector`: making connectors.

pub mod build;
pub mod test;
