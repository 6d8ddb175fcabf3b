use rapidbyte_sdk::ConfigSchema;

#[derive(serde::Deserialize, ConfigSchema)]
pub enum Auth {
    None,
    Password { user: String },
}

fn main() {}
