use rapidbyte_sdk::prelude::*;

#[connector(source)]
pub struct Unfinished;

fn main() {}
