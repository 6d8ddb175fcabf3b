//! Every type that a configuration can be made of.

#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::num::NonZeroU16;
use std::path::PathBuf;

use rapidbyte_sdk::ConfigSchema;

/// All of it.
#[derive(serde::Deserialize, ConfigSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Everything {
    flag: bool,
    tiny: u8,
    big: i64,
    size: usize,
    ratio: f64,
    text: String,
    letter: char,
    path: PathBuf,
    port: NonZeroU16,
    maybe: Option<Vec<String>>,
    set: BTreeSet<u32>,
    hash_set: HashSet<String>,
    map: HashMap<String, Option<i32>>,
    tree: BTreeMap<String, Vec<Inner>>,
    any: serde_json::Value,
    inner: Box<Inner>,
    #[serde(default)]
    mode: Mode,
    #[serde(rename = "renamed", alias = "also")]
    original: u32,
    #[config(skip)]
    #[serde(skip)]
    hidden: Option<std::time::Instant>,
    #[config(default = -5)]
    negative: i32,
    #[config(default = 0.5)]
    half: f32,
    #[config(default = true)]
    on: bool,
    #[config(default = "a \"quoted\" text", secret)]
    both: String,
    r#type: String,
}

#[derive(serde::Deserialize, ConfigSchema)]
struct Inner {
    x: i32,
}

#[derive(Default, serde::Deserialize, ConfigSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Mode {
    #[default]
    FirstOne,
    #[serde(rename = "2nd")]
    Second,
}

fn main() {
    let schema: serde_json::Value = serde_json::from_str(Everything::SCHEMA).unwrap();
    assert_eq!(schema["properties"]["hash-set"]["items"]["type"], "string");
}
