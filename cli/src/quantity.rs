//! Numbers for people: counts, sizes, times and rates.

use std::fmt::{self, Display};
use std::time::Duration;

/// `1,234,567`
pub struct Count(pub u64);

impl Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut out = String::with_capacity(digits.len() * 4 / 3 + 1);
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                out.push(',');
            }
            out.push(digit);
        }
        f.pad(&out)
    }
}

/// `512 B`, `4.2 kB`, `42 MB`: powers of 1,000, as disks and networks count.
pub struct Bytes(pub u64);

impl Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
        if self.0 < 1000 {
            return f.pad(&format!("{} B", self.0));
        }
        let mut value = self.0 as f64 / 1000.0;
        let mut unit = 0;
        // What would be rounded to 1000 is one of the next unit.
        while value >= 999.5 && unit + 1 < UNITS.len() {
            value /= 1000.0;
            unit += 1;
        }
        let digits = if value < 9.95 { 1 } else { 0 };
        f.pad(&format!("{value:.digits$} {}", UNITS[unit]))
    }
}

/// `8ms`, `0.41s`, `12.3s`, `3m 05s`, `2h 00m`
pub struct Elapsed(pub Duration);

impl Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        let whole = seconds.round() as u64;
        let text = match seconds {
            s if s < 0.0995 => format!("{}ms", self.0.as_millis()),
            s if s < 9.995 => format!("{s:.2}s"),
            s if s < 59.95 => format!("{s:.1}s"),
            s if s < 3600.0 => format!("{}m {:02}s", whole / 60, whole % 60),
            _ => format!("{}h {:02}m", whole / 3600, whole / 60 % 60),
        };
        f.pad(&text)
    }
}

/// `2026-11-21T03:35:12Z`, of seconds since the epoch.
pub fn instant(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| format!("{seconds}s"), |instant| instant.to_string())
}

/// So many a second; 0 where no time has passed.
pub fn per_second(amount: u64, elapsed: Duration) -> u64 {
    let seconds = elapsed.as_secs_f64();
    if seconds > 0.0 { (amount as f64 / seconds) as u64 } else { 0 }
}

/// `1 row`, `2 rows`
pub fn plural(count: u64, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", Count(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_separators() {
        let shown = [0, 7, 999, 1_000, 12_345, 1_234_567].map(|count| Count(count).to_string());
        assert_eq!(shown, ["0", "7", "999", "1,000", "12,345", "1,234,567"]);
        assert_eq!(format!("{:>6}", Count(1000)), " 1,000");
    }

    #[test]
    fn sizes_have_two_digits_at_least() {
        let sizes = [0, 999, 1_000, 4_249, 9_949, 9_951, 42_000_000, 999_600, u64::MAX];
        let shown = sizes.map(|bytes| Bytes(bytes).to_string());
        assert_eq!(
            shown,
            ["0 B", "999 B", "1.0 kB", "4.2 kB", "9.9 kB", "10 kB", "42 MB", "1.0 MB", "18447 PB"]
        );
    }

    #[test]
    fn times_grow_their_units() {
        let times = [8, 99, 100, 9_990, 12_340, 59_960, 185_000, 7_260_000];
        let shown = times.map(|ms| Elapsed(Duration::from_millis(ms)).to_string());
        assert_eq!(shown, ["8ms", "99ms", "0.10s", "9.99s", "12.3s", "1m 00s", "3m 05s", "2h 01m"]);
        assert_eq!(per_second(100, Duration::from_millis(500)), 200);
        assert_eq!(per_second(100, Duration::ZERO), 0);
    }

    #[test]
    fn nouns_follow_their_number() {
        assert_eq!(plural(1, "row"), "1 row");
        assert_eq!(plural(2_000, "row"), "2,000 rows");
        assert_eq!(instant(0), "1970-01-01T00:00:00Z");
    }
}
