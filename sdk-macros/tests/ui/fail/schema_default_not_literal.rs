use rapidbyte_sdk::ConfigSchema;

#[derive(serde::Deserialize, ConfigSchema)]
pub struct Config {
    #[config(default = default_port())]
    port: u16,
}

fn main() {}
