use rapidbyte_sdk::ConfigSchema;

#[derive(serde::Deserialize, ConfigSchema)]
pub struct Config {
    #[config(default = 70000)]
    port: u16,
    #[config(default = "yes")]
    tls: bool,
}

fn main() {}
