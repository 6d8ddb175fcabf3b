//! Dates, times, timestamps and intervals in PostgreSQL's binary form: counted from 2000-01-01, in microseconds.

use super::Refusal;

/// 2000-01-01 in days since 1970-01-01.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * DAY_MICROS;
const DAY_MICROS: i64 = 86_400_000_000;
const DAY_MILLIS: i64 = 86_400_000;

/// Julian day 0 and the day behind the last one, in days since 2000-01-01 (`DATETIME_MIN_JULIAN`, `DATE_END_JULIAN`).
const DATE_MIN: i32 = -2_451_545;
const DATE_END: i32 = 2_147_483_494 - 2_451_545;
/// The same for timestamps, in microseconds since 2000-01-01 (`MIN_TIMESTAMP`, `END_TIMESTAMP`).
const TIMESTAMP_MIN: i64 = -211_813_488_000_000_000;
const TIMESTAMP_END: i64 = 9_223_371_331_200_000_000;

/// Days since 1970.
#[inline(always)]
pub(super) fn date(days: i32, infinities: bool) -> Result<[u8; 4], Refusal> {
    if infinities && (days == i32::MAX || days == i32::MIN) {
        return Ok(days.to_be_bytes());
    }
    match days.checked_sub(EPOCH_DAYS) {
        Some(days) if (DATE_MIN..DATE_END).contains(&days) => Ok(days.to_be_bytes()),
        _ => Err(Refusal::DateRange),
    }
}

/// Milliseconds since 1970, which must be whole days.
#[inline(always)]
pub(super) fn date_of_millis(millis: i64) -> Result<[u8; 4], Refusal> {
    if millis % DAY_MILLIS != 0 {
        return Err(Refusal::PartOfDay);
    }
    date(i32::try_from(millis / DAY_MILLIS).map_err(|_| Refusal::DateRange)?, false)
}

/// Microseconds since midnight. PostgreSQL knows 24:00.
#[inline(always)]
pub(super) fn time(micros: i64) -> Result<[u8; 8], Refusal> {
    if (0..=DAY_MICROS).contains(&micros) { Ok(micros.to_be_bytes()) } else { Err(Refusal::TimeRange) }
}

/// Microseconds since 1970.
#[inline(always)]
pub(super) fn timestamp(micros: i64, infinities: bool) -> Result<[u8; 8], Refusal> {
    if infinities && (micros == i64::MAX || micros == i64::MIN) {
        return Ok(micros.to_be_bytes());
    }
    match micros.checked_sub(EPOCH_MICROS) {
        Some(micros) if (TIMESTAMP_MIN..TIMESTAMP_END).contains(&micros) => Ok(micros.to_be_bytes()),
        _ => Err(Refusal::TimestampRange),
    }
}

/// A count of coarser units since 1970.
#[inline(always)]
pub(super) fn timestamp_of(count: i64, unit_micros: i64) -> Result<[u8; 8], Refusal> {
    timestamp(count.checked_mul(unit_micros).ok_or(Refusal::TimestampRange)?, false)
}

#[inline(always)]
pub(super) fn interval(months: i32, days: i32, micros: i64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&micros.to_be_bytes());
    bytes[8..12].copy_from_slice(&days.to_be_bytes());
    bytes[12..].copy_from_slice(&months.to_be_bytes());
    bytes
}

/// A count of units as an interval of nothing but time.
#[inline(always)]
pub(super) fn duration_of(count: i64, unit_micros: i64) -> Result<[u8; 16], Refusal> {
    Ok(interval(0, 0, count.checked_mul(unit_micros).ok_or(Refusal::IntervalRange)?))
}

#[inline(always)]
pub(super) fn whole_micros(nanos: i64) -> Result<i64, Refusal> {
    if nanos % 1_000 == 0 { Ok(nanos / 1_000) } else { Err(Refusal::PartOfMicrosecond) }
}
