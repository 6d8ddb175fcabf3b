//! `rapidbyte connector`: making connectors.

pub mod build;
