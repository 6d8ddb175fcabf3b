use rapidbyte_sdk::ConfigSchema;

#[derive(serde::Deserialize, ConfigSchema)]
pub struct Config<T> {
    value: T,
}

fn main() {}
