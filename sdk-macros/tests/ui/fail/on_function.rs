use rapidbyte_sdk::prelude::*;

#[connector(transform)]
pub fn run() {}

fn main() {}
