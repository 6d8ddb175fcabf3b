//! How much memory this process uses. Told by the system, so that it counts everything.

/// Resident memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    pub current_bytes: u64,
    pub peak_bytes: u64,
}

/// What the process uses now and has used at most, where the system tells.
pub fn now() -> Option<Memory> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let current_bytes = bytes(&status, "VmRSS:")?;
    // Both are read at different moments.
    let peak_bytes = bytes(&status, "VmHWM:")?.max(current_bytes);
    Some(Memory { current_bytes, peak_bytes })
}

/// The peak of resident memory in bytes, where the system tells.
pub fn peak_bytes() -> Option<u64> {
    now().map(|memory| memory.peak_bytes)
}

/// A line as Linux has it: `VmHWM:     13412 kB`, where kB means 1,024 bytes.
fn bytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn the_figures_are_plausible() {
        let memory = super::now().expect("Linux tells");
        assert!((100_000..100_000_000_000).contains(&memory.current_bytes), "{memory:?}");
        assert!(memory.peak_bytes >= memory.current_bytes, "{memory:?}");
    }
}
