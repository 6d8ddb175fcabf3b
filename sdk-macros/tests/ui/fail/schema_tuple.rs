use rapidbyte_sdk::ConfigSchema;

#[derive(serde::Deserialize, ConfigSchema)]
pub struct Config(String);

fn main() {}
