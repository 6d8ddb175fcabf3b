use rapidbyte_sdk::prelude::*;

#[connector(sink)]
pub struct Sink;

fn main() {}
