use rapidbyte_sdk::ConfigSchema;

#[derive(serde::Deserialize, ConfigSchema)]
pub struct Config {
    timeout: std::time::Duration,
}

fn main() {}
