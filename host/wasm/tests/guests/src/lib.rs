//! What the three guests share: their configuration and the list of behaviours.

pub mod names;

use serde::Deserialize;

/// A guest's configuration: what to do, and with what.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    pub behaviour: String,
    /// Frames as hexadecimal Arrow IPC.
    #[serde(default)]
    pub frames: Vec<String>,
    /// A schema as hexadecimal Arrow IPC.
    #[serde(default)]
    pub schema: String,
    #[serde(default)]
    pub host: String,
    #[serde(default)]
    pub port: u16,
    /// A number whose meaning the behaviour knows.
    #[serde(default)]
    pub count: u64,
    #[serde(default)]
    pub text: String,
    #[serde(default)]
    pub paths: Vec<String>,
}

impl Config {
    pub fn frame(&self, index: usize) -> Vec<u8> {
        from_hex(&self.frames[index])
    }

    pub fn schema(&self) -> Vec<u8> {
        from_hex(&self.schema)
    }
}

pub fn from_hex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// A small generator, seeded.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
