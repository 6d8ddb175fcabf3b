use rapidbyte_sdk::ConfigSchema;

#[derive(serde::Deserialize, ConfigSchema)]
pub struct Config {
    #[serde(flatten)]
    rest: std::collections::HashMap<String, String>,
}

fn main() {}
