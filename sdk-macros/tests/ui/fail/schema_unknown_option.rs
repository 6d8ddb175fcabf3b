use rapidbyte_sdk::ConfigSchema;

#[derive(serde::Deserialize, ConfigSchema)]
pub struct Config {
    #[config(hidden)]
    password: String,
}

fn main() {}
