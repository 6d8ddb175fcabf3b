//! The binary form of `numeric` → exact text or a 128-bit integer.

use crate::limits::DECIMAL128_PRECISION_MAX;

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xc000;
const INFINITY: u16 = 0xd000;
const NEGATIVE_INFINITY: u16 = 0xf000;
/// Decimal digits of one base-10000 digit.
const GROUP_DIGITS: i32 = 4;

/// Header and digit groups of one value.
struct Parts<'a> {
    weight: i32,
    sign: u16,
    display_scale: usize,
    groups: &'a [[u8; 2]],
}

fn parse(value: &[u8]) -> Option<Parts<'_>> {
    let (header, digits) = value.split_first_chunk::<8>()?;
    let word = |index: usize| u16::from_be_bytes([header[index], header[index + 1]]);
    let (groups, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() || groups.len() != usize::from(word(0)) {
        return None;
    }
    Some(Parts {
        weight: i32::from(word(2).cast_signed()),
        sign: word(4),
        display_scale: usize::from(word(6)),
        groups,
    })
}

/// Appends the value as PostgreSQL writes it: with its display scale, or `NaN`, `Infinity`, `-Infinity`. None: not a
/// numeric.
pub(super) fn append_text(value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let parts = parse(value)?;
    match parts.sign {
        0 => {}
        NEGATIVE => out.push(b'-'),
        NAN => {
            out.extend_from_slice(b"NaN");
            return Some(());
        }
        INFINITY => {
            out.extend_from_slice(b"Infinity");
            return Some(());
        }
        NEGATIVE_INFINITY => {
            out.extend_from_slice(b"-Infinity");
            return Some(());
        }
        _ => return None,
    }
    let group = |index: i32| -> u16 {
        usize::try_from(index)
            .ok()
            .and_then(|index| parts.groups.get(index))
            .map_or(0, |bytes| u16::from_be_bytes(*bytes))
    };
    if parts.weight < 0 {
        out.push(b'0');
    } else {
        let first = group(0);
        let digits = four_digits(first)?;
        let leading_zeros = digits.iter().take(3).take_while(|digit| **digit == b'0').count();
        out.extend_from_slice(&digits[leading_zeros..]);
        for index in 1..=parts.weight {
            out.extend_from_slice(&four_digits(group(index))?);
        }
    }
    if parts.display_scale > 0 {
        out.push(b'.');
        let end = out.len() + parts.display_scale;
        let mut index = parts.weight + 1;
        while out.len() < end {
            out.extend_from_slice(&four_digits(group(index))?);
            index += 1;
        }
        out.truncate(end);
    }
    Some(())
}

/// None: not a base-10000 digit.
fn four_digits(group: u16) -> Option<[u8; 4]> {
    if group > 9999 {
        return None;
    }
    let digit = |value: u16| b'0' + (value % 10).to_le_bytes()[0];
    Some([digit(group / 1000), digit(group / 100), digit(group / 10), digit(group)])
}

/// Why a value is no 128-bit decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotDecimal {
    Malformed,
    /// `NaN` or an infinity.
    NotFinite,
    /// More digits than the column declares.
    Overflow,
}

/// The value times ten to the power of `scale`.
pub(super) fn to_decimal128(value: &[u8], precision: u8, scale: i8) -> Result<i128, NotDecimal> {
    let parts = parse(value).ok_or(NotDecimal::Malformed)?;
    let negative = match parts.sign {
        0 => false,
        NEGATIVE => true,
        NAN | INFINITY | NEGATIVE_INFINITY => return Err(NotDecimal::NotFinite),
        _ => return Err(NotDecimal::Malformed),
    };
    let mut total: i128 = 0;
    // Power of ten of the last digit taken so far, relative to the scale.
    let mut exponent = 0;
    let mut position = parts.weight * GROUP_DIGITS + i32::from(scale);
    for bytes in parts.groups {
        let group = i128::from(u16::from_be_bytes(*bytes));
        if position >= 0 {
            total = shift(total, GROUP_DIGITS)?.checked_add(group).ok_or(NotDecimal::Overflow)?;
            exponent = position;
        } else if position > -GROUP_DIGITS {
            // The point of the scale lies inside this group.
            let dropped = 10_i128.pow(position.unsigned_abs());
            if group % dropped != 0 {
                return Err(NotDecimal::Overflow);
            }
            total = shift(total, GROUP_DIGITS + position)?
                .checked_add(group / dropped)
                .ok_or(NotDecimal::Overflow)?;
            exponent = 0;
        } else if group != 0 {
            return Err(NotDecimal::Overflow);
        }
        position -= GROUP_DIGITS;
    }
    total = shift(total, exponent)?;
    let bound = 10_i128.pow(u32::from(precision.min(DECIMAL128_PRECISION_MAX)));
    if total >= bound {
        return Err(NotDecimal::Overflow);
    }
    Ok(if negative { -total } else { total })
}

fn shift(value: i128, digits: i32) -> Result<i128, NotDecimal> {
    if value == 0 || digits <= 0 {
        return Ok(value);
    }
    10_i128
        .checked_pow(digits.unsigned_abs())
        .and_then(|factor| value.checked_mul(factor))
        .ok_or(NotDecimal::Overflow)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(weight: i16, sign: u16, display_scale: u16, groups: &[u16]) -> Vec<u8> {
        let mut value = u16::try_from(groups.len()).unwrap().to_be_bytes().to_vec();
        value.extend_from_slice(&weight.to_be_bytes());
        value.extend_from_slice(&sign.to_be_bytes());
        value.extend_from_slice(&display_scale.to_be_bytes());
        groups.iter().for_each(|group| value.extend_from_slice(&group.to_be_bytes()));
        value
    }

    fn text(value: &[u8]) -> Option<String> {
        let mut out = Vec::new();
        append_text(value, &mut out)?;
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn values_are_written_exactly() {
        for (value, expected) in [
            (binary(0, 0, 0, &[]), "0"),
            (binary(0, 0, 2, &[]), "0.00"),
            (binary(0, 0, 2, &[1, 2300]), "1.23"),
            (binary(0, NEGATIVE, 3, &[12, 3450]), "-12.345"),
            (binary(1, 0, 0, &[1, 5]), "10005"),
            (binary(3, 0, 0, &[1]), "1000000000000"),
            (binary(-1, 0, 4, &[1]), "0.0001"),
            (binary(-2, 0, 9, &[1, 2000]), "0.000000012"),
            (binary(0, NAN, 0, &[]), "NaN"),
            (binary(0, INFINITY, 0, &[]), "Infinity"),
            (binary(0, NEGATIVE_INFINITY, 0, &[]), "-Infinity"),
        ] {
            assert_eq!(text(&value).as_deref(), Some(expected));
        }
        assert_eq!(text(&binary(0, 0, 0, &[10_000])), None);
        assert_eq!(text(&binary(0, 0x1234, 0, &[1])), None);
        assert_eq!(text(&[0, 1, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(text(&[]), None);
        assert_eq!(text(&binary(32767, 0, 16383, &[1])).unwrap().len(), 131_069 + 1 + 16_383);
    }

    #[test]
    fn decimals_keep_every_digit_or_refuse() {
        assert_eq!(to_decimal128(&binary(0, 0, 2, &[1, 2300]), 5, 2), Ok(123));
        assert_eq!(to_decimal128(&binary(0, NEGATIVE, 2, &[1, 2300]), 5, 2), Ok(-123));
        assert_eq!(to_decimal128(&binary(1, 0, 0, &[1]), 10, 2), Ok(1_000_000));
        assert_eq!(to_decimal128(&binary(-1, 0, 4, &[1]), 10, 6), Ok(100));
        assert_eq!(to_decimal128(&binary(0, 0, 0, &[]), 10, 6), Ok(0));
        assert_eq!(to_decimal128(&binary(0, 0, 2, &[1, 2300]), 5, 1), Err(NotDecimal::Overflow));
        assert_eq!(to_decimal128(&binary(0, 0, 0, &[1000]), 3, 0), Err(NotDecimal::Overflow));
        assert_eq!(to_decimal128(&binary(0, NAN, 0, &[]), 3, 0), Err(NotDecimal::NotFinite));
        // 38 nines, all behind the point: the last group reaches beyond the scale.
        let mut groups = vec![9999; 9];
        groups.push(9900);
        assert_eq!(to_decimal128(&binary(-1, 0, 38, &groups), 38, 38), Ok(10_i128.pow(38) - 1));
        assert_eq!(to_decimal128(&binary(9, 0, 0, &[100]), 38, 0), Err(NotDecimal::Overflow));
        assert_eq!(to_decimal128(&binary(30_000, 0, 0, &[1]), 38, 0), Err(NotDecimal::Overflow));
    }
}
