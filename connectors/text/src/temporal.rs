//! Dates, times and timestamps as ISO 8601 text and back, over the whole range of the Arrow types. It knows the proleptic
//! Gregorian calendar and no time zones but fixed offsets.

use std::fmt::Write;

const SECONDS_PER_DAY: i64 = 86_400;
const MICROS_PER_SECOND: i64 = 1_000_000;
const NANOS_PER_SECOND: u32 = 1_000_000_000;

/// Year, month and day of a day counted from 1970-01-01.
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    // Eras of 400 years that begin on 1 March, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u32, day as u32)
}

/// The day counted from 1970-01-01; the month and day must exist.
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn days_of_month(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

// Writing to a `String` cannot fail, so the results of `write!` below carry nothing.

/// `2024-02-29`.
pub fn write_date(days: i64, out: &mut String) {
    let (year, month, day) = civil_from_days(days);
    let _ = match year {
        0..=9999 => write!(out, "{year:04}-{month:02}-{day:02}"),
        _ => write!(out, "{year:+05}-{month:02}-{day:02}"),
    };
}

/// `13:05:09.25`.
pub fn write_time(second_of_day: i64, nanos: u32, out: &mut String) {
    let (hours, minutes, seconds) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    let _ = write!(out, "{hours:02}:{minutes:02}:{seconds:02}");
    write_fraction(nanos, out);
}

/// The fraction of a second, nothing for zero.
pub(crate) fn write_fraction(nanos: u32, out: &mut String) {
    if nanos > 0 {
        let _ = write!(out, ".{nanos:09}");
        out.truncate(out.trim_end_matches('0').len());
    }
}

/// `2024-02-29T13:05:09.25`, with `Z` behind it for an instant.
pub fn write_timestamp(seconds: i64, nanos: u32, instant: bool, out: &mut String) {
    write_date(seconds.div_euclid(SECONDS_PER_DAY), out);
    out.push('T');
    write_time(seconds.rem_euclid(SECONDS_PER_DAY), nanos, out);
    if instant {
        out.push('Z');
    }
}

/// Reads a text from the front.
struct Scanner<'a>(&'a [u8]);

impl Scanner<'_> {
    fn eat(&mut self, byte: u8) -> Option<()> {
        let (first, rest) = self.0.split_first()?;
        (*first == byte).then(|| self.0 = rest)
    }

    /// Exactly `count` digits.
    fn digits(&mut self, count: usize) -> Option<u32> {
        let (head, rest) = self.0.split_at_checked(count)?;
        let mut value = 0;
        for byte in head {
            value = value * 10 + u32::from(byte.is_ascii_digit().then(|| byte - b'0')?);
        }
        self.0 = rest;
        Some(value)
    }

    /// Four digits, or a sign and four to seven.
    fn year(&mut self) -> Option<i64> {
        let negative = match self.0.first()? {
            b'+' => false,
            b'-' => true,
            _ => return self.digits(4).map(i64::from),
        };
        self.0 = &self.0[1..];
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let year = i64::from(self.digits((4..=7).contains(&count).then_some(count)?)?);
        Some(if negative { -year } else { year })
    }

    /// Days since 1970-01-01.
    fn date(&mut self) -> Option<i64> {
        let year = self.year()?;
        self.eat(b'-')?;
        let month = self.digits(2)?;
        self.eat(b'-')?;
        let day = self.digits(2)?;
        let exists = (1..=12).contains(&month) && (1..=days_of_month(year, month)).contains(&day);
        exists.then(|| days_from_civil(year, month, day))
    }

    /// Microseconds since midnight; seconds and fraction may be left out. A seventh digit of the fraction must be zero.
    fn time(&mut self) -> Option<i64> {
        let hours = self.digits(2)?;
        self.eat(b':')?;
        let minutes = self.digits(2)?;
        let (mut seconds, mut micros) = (0, 0);
        if self.eat(b':').is_some() {
            seconds = self.digits(2)?;
            if self.eat(b'.').is_some() {
                let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let (fraction, rest) = self.0.split_at(count);
                if fraction.is_empty() || fraction.iter().skip(6).any(|digit| *digit != b'0') {
                    return None;
                }
                for place in 0..6 {
                    micros = micros * 10 + fraction.get(place).map_or(0, |digit| i64::from(digit - b'0'));
                }
                self.0 = rest;
            }
        }
        let exists = hours < 24 && minutes < 60 && seconds < 60;
        exists.then(|| i64::from(hours * 3600 + minutes * 60 + seconds) * MICROS_PER_SECOND + micros)
    }

    /// Seconds east of UTC: `Z`, `+01`, `+0100`, `+01:00`; none where there is no offset.
    fn offset(&mut self) -> Option<Option<i64>> {
        let sign = match self.0.first() {
            None => return Some(None),
            Some(b'Z' | b'z') => {
                self.0 = &self.0[1..];
                return Some(Some(0));
            }
            Some(b'+') => 1,
            Some(b'-') => -1,
            Some(_) => return None,
        };
        self.0 = &self.0[1..];
        let hours = self.digits(2)?;
        let minutes = match self.0.first() {
            None => 0,
            Some(b':') => {
                self.0 = &self.0[1..];
                self.digits(2)?
            }
            Some(_) => self.digits(2)?,
        };
        (hours < 24 && minutes < 60).then(|| Some(sign * i64::from(hours * 3600 + minutes * 60)))
    }

    fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

/// Days since 1970-01-01 of `2024-02-29`, `infinity` or `-infinity`.
pub fn parse_date(text: &str) -> Option<i32> {
    match text {
        "infinity" => return Some(i32::MAX),
        "-infinity" => return Some(i32::MIN),
        _ => {}
    }
    let mut scanner = Scanner(text.as_bytes());
    let days = scanner.date()?;
    // The extremes stand for the infinities.
    let days = i32::try_from(days).ok().filter(|days| *days != i32::MAX && *days != i32::MIN)?;
    scanner.end(days)
}

/// Microseconds since midnight of `13:05:09.25`.
pub fn parse_time(text: &str) -> Option<i64> {
    let mut scanner = Scanner(text.as_bytes());
    let micros = scanner.time()?;
    scanner.end(micros)
}

/// Microseconds since 1970-01-01T00:00:00 of `2024-02-29T13:05:09.25+01:00`, and whether there is an offset; `T` may be a
/// space. `infinity` and `-infinity` are either, so they have none.
pub fn parse_timestamp(text: &str) -> Option<(i64, bool)> {
    match text {
        "infinity" => return Some((i64::MAX, false)),
        "-infinity" => return Some((i64::MIN, false)),
        _ => {}
    }
    let mut scanner = Scanner(text.as_bytes());
    let days = scanner.date()?;
    if scanner.eat(b'T').is_none() {
        scanner.eat(b' ')?;
    }
    let micros_of_day = scanner.time()?;
    let offset = scanner.offset()?;
    let seconds = days * SECONDS_PER_DAY - offset.unwrap_or(0);
    let micros = seconds.checked_mul(MICROS_PER_SECOND)?.checked_add(micros_of_day)?;
    let micros = Some(micros).filter(|micros| *micros != i64::MAX && *micros != i64::MIN)?;
    scanner.end((micros, offset.is_some()))
}

/// Whole seconds and nanoseconds of a count of `per_second` units.
pub(crate) fn split_seconds(value: i64, per_second: i64) -> (i64, u32) {
    let nanos = value.rem_euclid(per_second) * (i64::from(NANOS_PER_SECOND) / per_second);
    (value.div_euclid(per_second), nanos as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date_text(days: i64) -> String {
        let mut out = String::new();
        write_date(days, &mut out);
        out
    }

    #[test]
    fn days_and_dates_agree_over_many_centuries() {
        let mut expected = days_from_civil(-5_000, 1, 1);
        for year in -5_000..6_000 {
            for month in 1..=12 {
                for day in [1, days_of_month(year, month)] {
                    let days = days_from_civil(year, month, day);
                    assert_eq!(civil_from_days(days), (year, month, day));
                    if day == 1 {
                        assert_eq!(days, expected, "{year}-{month}");
                    }
                }
                expected += i64::from(days_of_month(year, month));
            }
        }
    }

    #[test]
    fn dates_round_trip() {
        for text in [
            "1970-01-01",
            "2024-02-29",
            "0001-01-01",
            "0000-12-31",
            "-0044-03-15",
            "+12024-01-01",
            "9999-12-31",
        ] {
            let days = parse_date(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(date_text(i64::from(days)), text);
        }
        assert_eq!(parse_date("1970-01-02"), Some(1));
        assert_eq!(parse_date("infinity"), Some(i32::MAX));
        let farthest = date_text(i64::from(i32::MAX) - 1);
        assert_eq!(parse_date(&farthest), Some(i32::MAX - 1), "{farthest}");
        for text in [
            "2023-02-29",
            "2024-13-01",
            "2024-00-01",
            "2024-1-1",
            "24-01-01",
            "2024-01-01 ",
            "",
            "+5881580-07-11",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn timestamps_round_trip() {
        for (text, micros) in [
            ("1970-01-01T00:00:00", 0),
            ("1970-01-01T00:00:00.000001", 1),
            ("1969-12-31T23:59:59.5", -500_000),
            ("2024-02-29T13:05:09.25", 1_709_211_909_250_000),
            ("-0044-03-15T12:00:00", -63_549_316_800_000_000),
        ] {
            assert_eq!(parse_timestamp(text), Some((micros, false)), "{text}");
            let (seconds, nanos) = split_seconds(micros, MICROS_PER_SECOND);
            let mut out = String::new();
            write_timestamp(seconds, nanos, false, &mut out);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn timestamps_know_offsets() {
        for text in [
            "1970-01-01T01:30:00+01:30",
            "1970-01-01 01:30+0130",
            "1970-01-01T00:00:00Z",
            "1969-12-31T23:00-01",
        ] {
            assert_eq!(parse_timestamp(text), Some((0, true)), "{text}");
        }
        for text in [
            "1970-01-01",
            "1970-01-01T",
            "1970-01-01T24:00:00",
            "1970-01-01T00:60:00",
            "1970-01-01T00:00:60",
            "1970-01-01T00:00:00.",
            "1970-01-01T00:00:00.0000001",
            "1970-01-01T00:00:00+1",
            "1970-01-01T00:00:00 UTC",
            "+999999-01-01T00:00:00",
        ] {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
        assert_eq!(parse_timestamp("1970-01-01T00:00:00.0000010"), Some((1, false)), "a zero loses nothing");
    }

    #[test]
    fn times_round_trip() {
        assert_eq!(parse_time("13:05:09.25"), Some(47_109_250_000));
        assert_eq!(parse_time("13:05"), Some(47_100_000_000));
        assert_eq!(parse_time("24:00:00"), None);
        let mut out = String::new();
        write_time(47_109, 250_000_000, &mut out);
        assert_eq!(out, "13:05:09.25");
    }
}
