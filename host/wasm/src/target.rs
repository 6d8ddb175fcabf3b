//! Native code for other machines: which platforms there are, and a compiler for each. Code for another platform is made
//! for its oldest processors, because nobody knows which one will run it.
//!
//! Refuses to know: where the code is put and how it travels.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use rapidbyte_core::limits::COMPONENT_BYTES_MAX;

use crate::cache::{Cache, ComponentDigest, engine_name};
use crate::component::{self, ComponentError};
use crate::engine::{Engine, config, does_not_compile};

/// A platform that connectors are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NativeTarget {
    LinuxX86_64,
    LinuxArm64,
    MacosX86_64,
    MacosArm64,
    WindowsX86_64,
    WindowsArm64,
}

impl NativeTarget {
    pub const ALL: [NativeTarget; 6] = [
        NativeTarget::LinuxX86_64,
        NativeTarget::LinuxArm64,
        NativeTarget::MacosX86_64,
        NativeTarget::MacosArm64,
        NativeTarget::WindowsX86_64,
        NativeTarget::WindowsArm64,
    ];

    /// The name that Rust has for it. Code for one C library runs beside any other: it calls none.
    pub fn triple(self) -> &'static str {
        match self {
            NativeTarget::LinuxX86_64 => "x86_64-unknown-linux-gnu",
            NativeTarget::LinuxArm64 => "aarch64-unknown-linux-gnu",
            NativeTarget::MacosX86_64 => "x86_64-apple-darwin",
            NativeTarget::MacosArm64 => "aarch64-apple-darwin",
            NativeTarget::WindowsX86_64 => "x86_64-pc-windows-msvc",
            NativeTarget::WindowsArm64 => "aarch64-pc-windows-msvc",
        }
    }

    pub fn parse(triple: &str) -> Option<Self> {
        NativeTarget::ALL.into_iter().find(|target| target.triple() == triple)
    }

    /// This machine's, if it is one of them.
    pub fn here() -> Option<Self> {
        let system = match std::env::consts::OS {
            "macos" => "apple",
            system => system,
        };
        let fits = |target: &NativeTarget| {
            target.triple().starts_with(std::env::consts::ARCH) && target.triple().contains(system)
        };
        NativeTarget::ALL.into_iter().find(fits)
    }

    fn is_windows(self) -> bool {
        matches!(self, NativeTarget::WindowsX86_64 | NativeTarget::WindowsArm64)
    }
}

impl fmt::Display for NativeTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.triple())
    }
}

/// A component's code for one platform, as [`Engine::compile_for`] gives it.
#[derive(Debug, Clone)]
pub struct NativeCode {
    pub target: NativeTarget,
    /// A Wasmtime artifact. Only an engine of this very version, on this platform, takes it.
    pub bytes: Vec<u8>,
    /// The name of the engine that alone takes it.
    pub engine: String,
    /// How long compiling took. None: it was in the cache.
    pub compiled_in: Option<Duration>,
}

impl Engine {
    /// What code for this machine is called, if others can compile for it: its platform, and the engine that takes it.
    pub fn platform(&self) -> Option<(NativeTarget, String)> {
        let target = NativeTarget::here()?;
        let compiler = compiler(target).ok()?;
        Some((target, engine_name(&compiler)))
    }

    /// Takes code of a component that somebody else has compiled, as if it had been compiled here. Answers whether this engine
    /// on this processor does.
    ///
    /// # Safety
    ///
    /// The code runs as it is, in no sandbox: whoever vouches for it must be trusted like whoever made this program.
    pub unsafe fn adopt(&self, component: &[u8], code: &[u8]) -> bool {
        // SAFETY: the caller vouches for the code. Wasmtime checks that it is of this version and for this processor.
        if let Err(error) = unsafe { wasmtime::component::Component::deserialize(self.wasmtime(), code) } {
            tracing::debug!(%error, "compiled code of others does not fit");
            return false;
        }
        keep(self.cache(), &ComponentDigest::of(component), code);
        self.cache().is_some()
    }

    /// Compiles the component at `path` for a platform, or finds what was compiled before. Blocks for seconds.
    pub fn compile_for(&self, path: &Path, target: NativeTarget) -> Result<NativeCode, ComponentError> {
        let unreadable = |source| ComponentError::Read { path: path.display().to_string(), source };
        let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
        if bytes > COMPONENT_BYTES_MAX {
            return Err(ComponentError::TooLarge { bytes });
        }
        let component = std::fs::read(path).map_err(unreadable)?;
        component::inspect(&component)?;

        let compiler = compiler(target).map_err(does_not_compile)?;
        let cache = self.cache().map(|cache| cache.of_engine(&compiler));
        let digest = ComponentDigest::of(&component);
        let engine = engine_name(&compiler);
        if let Some(bytes) = cache.as_ref().and_then(|cache| cache.read_code(&digest)) {
            return Ok(NativeCode { target, bytes, engine, compiled_in: None });
        }
        let start = Instant::now();
        let bytes = compiler.precompile_component(&component).map_err(does_not_compile)?;
        let compiled_in = Some(start.elapsed());
        keep(cache.as_ref(), &digest, &bytes);
        Ok(NativeCode { target, bytes, engine, compiled_in })
    }
}

fn keep(cache: Option<&Cache>, digest: &ComponentDigest, code: &[u8]) {
    if let Some(cache) = cache
        && let Err(error) = cache.store(digest, code)
    {
        tracing::warn!(%error, "compiled code is not cached");
    }
}

/// An engine that only compiles. Naming a target switches the detection of this machine's processor off.
fn compiler(target: NativeTarget) -> wasmtime::Result<wasmtime::Engine> {
    let mut config = config();
    config.target(target.triple())?;
    config.native_unwind_info(target.is_windows());
    wasmtime::Engine::new(&config)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it would be on this machine: other platforms' code is refused, our own is taken although it was made for older
    /// processors.
    #[test]
    fn only_this_platforms_code_is_taken_here() {
        let component = b"\0asm\x0d\0\x01\0";
        let engine = wasmtime::Engine::new(&config()).unwrap();
        let mut taken = Vec::new();
        for target in NativeTarget::ALL {
            let code = compiler(target).unwrap().precompile_component(component).unwrap();
            // SAFETY: the code was made a line ago.
            let loaded = unsafe { wasmtime::component::Component::deserialize(&engine, &code) };
            if loaded.is_ok() {
                taken.push(target);
            }
        }
        let here: Vec<_> = NativeTarget::here().into_iter().collect();
        assert_eq!(taken, here);
    }

    #[test]
    fn triples_are_read_back() {
        for target in NativeTarget::ALL {
            assert_eq!(NativeTarget::parse(target.triple()), Some(target));
        }
        assert_eq!(NativeTarget::parse("riscv64gc-unknown-linux-gnu"), None);
    }
}
