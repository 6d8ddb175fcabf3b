use rapidbyte_sdk::prelude::*;

pub struct Misplaced;

#[connector(source)]
impl Misplaced {}

fn main() {}
