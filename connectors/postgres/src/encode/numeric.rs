//! Decimal numbers in the binary form of `numeric`: digits to the base of 10,000, aligned at the decimal point.

use super::Refusal;

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

/// `numeric` ends at 131,072 digits before and 16,383 after the point.
const INTEGER_DIGITS_MAX: usize = 131_072;
const FRACTION_DIGITS_MAX: usize = 16_383;

/// Decimal digits of one digit to the base of 10,000.
const GROUP: usize = 4;

/// Digits before and behind the point up to which a number takes the short way. A multiple of [`GROUP`].
const SHORT_DIGITS: usize = 32;
/// Head and groups of such a number.
const SHORT_BYTES_MAX: usize = 8 + 2 * (2 * SHORT_DIGITS / GROUP);

/// Appends the number that `text` writes: `-12.50`, `NaN`, `Infinity`. The number of digits behind the point is kept.
pub(super) fn push_text(out: &mut Vec<u8>, text: &[u8]) -> Result<(), Refusal> {
    if push_short(out, text) {
        return Ok(());
    }
    let (negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (integer, fraction) = match unsigned.iter().position(|byte| *byte == b'.') {
        Some(point) => (&unsigned[..point], &unsigned[point + 1..]),
        None => (unsigned, &[][..]),
    };
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    if integer.len() + fraction.len() > 0 && digits(integer) && digits(fraction) {
        return push_digits(out, negative, integer, fraction);
    }
    match (negative, unsigned) {
        (false, b"NaN") if text.len() == 3 => push_special(out, NAN),
        (false, b"Infinity") => push_special(out, INFINITY),
        (true, b"Infinity") => push_special(out, NEGATIVE_INFINITY),
        _ => return Err(Refusal::NotNumeric),
    }
    Ok(())
}

/// Appends an ordinary number of few digits, which most are: one pass over the text, one append. False: it is no such
/// number, and nothing was appended.
#[inline]
fn push_short(out: &mut Vec<u8>, text: &[u8]) -> bool {
    let (negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    // Digits as they lie around the point, which is in the middle; zeros around them.
    let mut digits = [0u8; 2 * SHORT_DIGITS];
    let point = unsigned.iter().position(|byte| *byte == b'.').unwrap_or(unsigned.len());
    let (integer, fraction) = (&unsigned[..point], unsigned.get(point + 1..).unwrap_or_default());
    if integer.is_empty() || integer.len() > SHORT_DIGITS || fraction.len() > SHORT_DIGITS {
        return false;
    }
    let first = SHORT_DIGITS - integer.len();
    let mut largest = 0;
    for (digit, byte) in digits[first..].iter_mut().zip(integer) {
        *digit = byte.wrapping_sub(b'0');
        largest = largest.max(*digit);
    }
    for (digit, byte) in digits[SHORT_DIGITS..].iter_mut().zip(fraction) {
        *digit = byte.wrapping_sub(b'0');
        largest = largest.max(*digit);
    }
    if largest > 9 {
        return false;
    }
    let mut bytes = [0u8; SHORT_BYTES_MAX];
    let mut end = 8;
    let mut first_group = 0;
    let groups = first / GROUP..(SHORT_DIGITS + fraction.len()).div_ceil(GROUP);
    // Behind the last group that is not zero.
    let mut kept_end = 8;
    for index in groups {
        let group = &digits[index * GROUP..index * GROUP + GROUP];
        let value = (u16::from(group[0]) * 10 + u16::from(group[1])) * 100
            + u16::from(group[2]) * 10
            + u16::from(group[3]);
        if value == 0 && end == 8 {
            continue;
        }
        if end == 8 {
            first_group = index;
        }
        bytes[end..end + 2].copy_from_slice(&value.to_be_bytes());
        end += 2;
        if value != 0 {
            kept_end = end;
        }
    }
    if kept_end > 8 {
        let weight = (SHORT_DIGITS / GROUP) as i16 - 1 - first_group as i16;
        let sign = if negative { NEGATIVE } else { POSITIVE };
        bytes[..2].copy_from_slice(&(((kept_end - 8) / 2) as u16).to_be_bytes());
        bytes[2..4].copy_from_slice(&weight.to_be_bytes());
        bytes[4..6].copy_from_slice(&sign.to_be_bytes());
    }
    bytes[6..8].copy_from_slice(&(fraction.len() as u16).to_be_bytes());
    out.extend_from_slice(&bytes[..kept_end]);
    true
}

/// Appends `magnitude` × 10^-`scale`.
pub(super) fn push_integer(
    out: &mut Vec<u8>,
    negative: bool,
    magnitude: u128,
    scale: i8,
) -> Result<(), Refusal> {
    // Enough for the 39 digits of the largest u128.
    let mut buffer = [b'0'; 40];
    let mut start = buffer.len();
    let mut rest = magnitude;
    // Divisions of 128 bits are slow, above all in a sandbox: there are at most two of them.
    loop {
        const CHUNK: u128 = 10_000_000_000_000_000_000;
        let last = rest < CHUNK;
        let mut chunk = (rest % CHUNK) as u64;
        let end = start;
        while chunk > 0 {
            start -= 1;
            buffer[start] = b'0' + (chunk % 10) as u8;
            chunk /= 10;
        }
        if last {
            break;
        }
        rest /= CHUNK;
        start = end - 19;
    }
    push_scaled_digits(out, negative, &buffer[start..], scale)
}

/// Appends the integer that `text` writes, × 10^-`scale`.
pub(super) fn push_scaled_text(out: &mut Vec<u8>, text: &str, scale: i8) -> Result<(), Refusal> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    push_scaled_digits(out, negative, digits, scale)
}

fn push_scaled_digits(out: &mut Vec<u8>, negative: bool, digits: &[u8], scale: i8) -> Result<(), Refusal> {
    let Ok(scale) = usize::try_from(scale) else {
        let mut shifted = digits.to_vec();
        shifted.resize(digits.len() + usize::from(scale.unsigned_abs()), b'0');
        return push_digits(out, negative, &shifted, &[]);
    };
    if let Some(point) = digits.len().checked_sub(scale) {
        return push_digits(out, negative, &digits[..point], &digits[point..]);
    }
    // Scale is below 128.
    let mut fraction = [b'0'; 128];
    fraction[scale - digits.len()..scale].copy_from_slice(digits);
    push_digits(out, negative, &[], &fraction[..scale])
}

fn push_special(out: &mut Vec<u8>, sign: u16) {
    push_head(out, 0, 0, sign, 0);
}

fn push_head(out: &mut Vec<u8>, groups: u16, weight: i16, sign: u16, scale: u16) {
    let mut head = [0; 8];
    head[..2].copy_from_slice(&groups.to_be_bytes());
    head[2..4].copy_from_slice(&weight.to_be_bytes());
    head[4..6].copy_from_slice(&sign.to_be_bytes());
    head[6..].copy_from_slice(&scale.to_be_bytes());
    out.extend_from_slice(&head);
}

/// Appends a number given by its decimal digits before and behind the point.
fn push_digits(out: &mut Vec<u8>, negative: bool, integer: &[u8], fraction: &[u8]) -> Result<(), Refusal> {
    let leading = integer.iter().take_while(|digit| **digit == b'0').count();
    let integer = &integer[leading..];
    if integer.len() > INTEGER_DIGITS_MAX || fraction.len() > FRACTION_DIGITS_MAX {
        return Err(Refusal::NumericRange);
    }
    let start = out.len();
    push_head(out, 0, 0, POSITIVE, fraction.len() as u16);
    let digits_start = out.len();

    let (first, whole) = integer.split_at(integer.len() % GROUP);
    if !first.is_empty() {
        out.extend_from_slice(&group(first).to_be_bytes());
    }
    for digits in whole.chunks_exact(GROUP) {
        out.extend_from_slice(&group(digits).to_be_bytes());
    }
    // Limited above, so that it fits.
    let mut weight = (out.len() - digits_start) as i32 / 2 - 1;
    for digits in fraction.chunks(GROUP) {
        let mut value = group(digits);
        for _ in digits.len()..GROUP {
            value *= 10;
        }
        // A number below one begins at its first group that is not zero.
        if value == 0 && out.len() == digits_start {
            weight -= 1;
        } else {
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
    while out.len() > digits_start && out.ends_with(&[0, 0]) {
        out.truncate(out.len() - 2);
    }
    let groups = ((out.len() - digits_start) / 2) as u16;
    if groups > 0 {
        let sign = if negative { NEGATIVE } else { POSITIVE };
        out[start..start + 2].copy_from_slice(&groups.to_be_bytes());
        out[start + 2..start + 4].copy_from_slice(&(weight as i16).to_be_bytes());
        out[start + 4..start + 6].copy_from_slice(&sign.to_be_bytes());
    }
    Ok(())
}

#[inline(always)]
fn group(digits: &[u8]) -> u16 {
    digits.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0'))
}
