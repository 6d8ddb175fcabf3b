//! How much memory this process has used at most. Told by the system, so that it counts everything.

/// The peak of resident memory in bytes, where the system tells.
pub fn peak_bytes() -> Option<u64> {
    // Linux: `VmHWM:     13412 kB`, where kB means 1,024 bytes.
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn the_peak_is_plausible() {
        let peak = super::peak_bytes().expect("Linux tells");
        assert!((100_000..100_000_000_000).contains(&peak), "{peak}");
    }
}
