//! Builds the test guests, once per test process; cargo's own lock keeps processes apart.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The component of a guest crate.
pub fn component(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build).join("wasm32-wasip2/release").join(name).with_extension("wasm")
}

fn build() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests/Cargo.toml");
    let target = match std::env::var_os("RAPIDBYTE_SDK_GUESTS_TARGET_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("sdk-guests"),
    };
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--locked", "--target", "wasm32-wasip2", "--manifest-path"])
        .arg(&manifest)
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .expect("cargo runs");
    assert!(status.success(), "the guests of {} do not build", manifest.display());
    target
}
