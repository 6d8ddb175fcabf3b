use rapidbyte_sdk::prelude::*;

#[connector(source, destination)]
pub struct Both;

fn main() {}
