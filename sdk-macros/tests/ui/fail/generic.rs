use rapidbyte_sdk::prelude::*;

#[connector(source)]
pub struct Generic<T>(T);

fn main() {}
