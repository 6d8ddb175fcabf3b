use rapidbyte_sdk::prelude::*;

#[connector]
pub struct Nothing;

fn main() {}
