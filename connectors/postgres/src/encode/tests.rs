//! Rows are checked as a server would read them: field count, then a length and that many bytes per field.

use std::sync::Arc;

use arrow_array::builder::{FixedSizeBinaryBuilder, StringViewBuilder};
use arrow_array::types::{Decimal128Type, IntervalMonthDayNano};
use arrow_array::*;
use arrow_buffer::i256;
use arrow_schema::{Field, Schema};

use super::*;

type Fields = Vec<Option<Vec<u8>>>;

fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
    let fields: Vec<Field> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| Field::new(format!("c{index}"), column.data_type().clone(), true))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn spec(form: BinaryForm) -> ColumnSpec {
    ColumnSpec { form, required: false, infinities: false }
}

/// Encodes with messages of at most `bytes_max` and reads the rows back.
fn rows_of(encoder: &mut Encoder, batch: &RecordBatch, bytes_max: usize) -> Result<Vec<Fields>, EncodeError> {
    let mut rows = encoder.batch(batch)?;
    let mut all = Vec::new();
    // What an earlier use left in the buffer must not show.
    let mut buffer = vec![0xAA; 100];
    loop {
        let filled = rows.fill(&mut buffer, bytes_max)?;
        if filled == 0 {
            break;
        }
        assert!(filled <= bytes_max || rows_in(&buffer[..filled]).len() == 1, "{filled} bytes in a message");
        all.extend(rows_in(&buffer[..filled]));
    }
    assert_eq!(rows.rows_left(), 0);
    Ok(all)
}

fn rows_in(mut bytes: &[u8]) -> Vec<Fields> {
    let mut rows = Vec::new();
    while let Some((count, mut rest)) = bytes.split_first_chunk::<2>() {
        let mut fields = Vec::new();
        for _ in 0..i16::from_be_bytes(*count) {
            let (length, after) = rest.split_first_chunk::<4>().expect("a length");
            rest = after;
            fields.push(usize::try_from(i32::from_be_bytes(*length)).ok().map(|length| {
                let (value, after) = rest.split_at(length);
                rest = after;
                value.to_vec()
            }));
        }
        rows.push(fields);
        bytes = rest;
    }
    rows
}

/// The values of a single column.
fn values(array: impl Array + 'static, spec: ColumnSpec) -> Result<Fields, EncodeError> {
    let batch = batch(vec![Arc::new(array)]);
    let rows = rows_of(&mut Encoder::new(vec![spec], false), &batch, 1 << 20)?;
    Ok(rows.into_iter().map(|mut fields| fields.remove(0)).collect())
}

fn value(array: impl Array + 'static, form: BinaryForm) -> Result<Vec<u8>, Refusal> {
    match values(array, spec(form)) {
        Ok(fields) => Ok(fields[0].clone().expect("not NULL")),
        Err(error) => Err(error.refusal),
    }
}

/// Sign, weight, scale and digits of a numeric.
fn numeric(text: &str) -> (u16, i16, u16, Vec<i16>) {
    parts(&value(StringArray::from(vec![text]), BinaryForm::Numeric).unwrap())
}

fn parts(bytes: &[u8]) -> (u16, i16, u16, Vec<i16>) {
    let words: Vec<i16> = bytes.chunks(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect();
    assert_eq!(words[0] as usize, words.len() - 4);
    (words[2] as u16, words[1], words[3] as u16, words[4..].to_vec())
}

#[test]
fn integers_and_floats_take_the_size_of_their_column() {
    assert_eq!(value(Int8Array::from(vec![-2]), BinaryForm::Int2), Ok((-2i16).to_be_bytes().to_vec()));
    assert_eq!(value(Int16Array::from(vec![-2]), BinaryForm::Int8), Ok((-2i64).to_be_bytes().to_vec()));
    assert_eq!(
        value(UInt16Array::from(vec![65_535]), BinaryForm::Int4),
        Ok(65_535i32.to_be_bytes().to_vec())
    );
    assert_eq!(value(UInt32Array::from(vec![u32::MAX]), BinaryForm::Oid), Ok(vec![0xff; 4]));
    assert_eq!(
        value(UInt32Array::from(vec![u32::MAX]), BinaryForm::Int8),
        Ok(i64::from(u32::MAX).to_be_bytes().to_vec())
    );
    assert_eq!(value(Float32Array::from(vec![1.5]), BinaryForm::Float8), Ok(1.5f64.to_be_bytes().to_vec()));
    assert_eq!(value(BooleanArray::from(vec![true]), BinaryForm::Bool), Ok(vec![1]));
    assert_eq!(value(Int64Array::from(vec![1]), BinaryForm::Int4), Err(Refusal::Type));
    assert_eq!(value(StringArray::from(vec!["x"]), BinaryForm::Bytea), Err(Refusal::Type));
}

#[test]
fn strings_of_every_length_arrive_whole() {
    let strings: Vec<String> = (0..200).map(|length| "abcdefghij".repeat(20)[..length].to_owned()).collect();
    let expected: Fields = strings.iter().map(|text| Some(text.as_bytes().to_vec())).collect();
    assert_eq!(values(StringArray::from(strings.clone()), spec(BinaryForm::Text)), Ok(expected.clone()));
    assert_eq!(values(LargeStringArray::from(strings.clone()), spec(BinaryForm::Text)), Ok(expected.clone()));
    let mut views = StringViewBuilder::new();
    strings.iter().for_each(|text| views.append_value(text));
    assert_eq!(values(views.finish(), spec(BinaryForm::Text)), Ok(expected.clone()));
    let slices: Vec<&[u8]> = strings.iter().map(|text| text.as_bytes()).collect();
    assert_eq!(values(BinaryArray::from(slices), spec(BinaryForm::Bytea)), Ok(expected));
    assert_eq!(value(StringArray::from(vec!["{}"]), BinaryForm::Jsonb), Ok(b"\x01{}".to_vec()));
    let mut uuids = FixedSizeBinaryBuilder::new(16);
    uuids.append_value([7; 16]).unwrap();
    assert_eq!(value(uuids.finish(), BinaryForm::Uuid), Ok(vec![7; 16]));
}

#[test]
fn nul_bytes_are_refused_with_their_row_but_not_under_null() {
    let refused = values(StringArray::from(vec!["a", "b\0", "c"]), spec(BinaryForm::Text)).unwrap_err();
    assert_eq!((refused.row, refused.refusal), (1, Refusal::NulByte));
    let mut views = StringViewBuilder::new();
    views.append_value("a");
    views.append_value("\0");
    assert_eq!(values(views.finish(), spec(BinaryForm::Jsonb)).unwrap_err().row, 1);
    // A slice whose neighbours hold the byte, and a NULL slot with the byte beneath it.
    let sliced = StringArray::from(vec!["\0", "a", "\0"]).slice(1, 1);
    assert_eq!(value(sliced, BinaryForm::Text), Ok(b"a".to_vec()));
    let (offsets, data, _) = StringArray::from(vec!["\0", "a"]).into_parts();
    let hidden = StringArray::new(offsets, data, Some(vec![false, true].into()));
    assert_eq!(values(hidden, spec(BinaryForm::Text)), Ok(vec![None, Some(b"a".to_vec())]));
    // Bytes may be anything.
    assert_eq!(value(BinaryArray::from(vec![&[0u8][..]]), BinaryForm::Bytea), Ok(vec![0]));
}

#[test]
fn dates_and_times_count_from_2000() {
    let date = |days: i32| value(Date32Array::from(vec![days]), BinaryForm::Date);
    assert_eq!(date(10_957), Ok(vec![0; 4]));
    assert_eq!(date(0), Ok((-10_957i32).to_be_bytes().to_vec()));
    assert_eq!(date(-2_451_545 + 10_957), Ok((-2_451_545i32).to_be_bytes().to_vec()));
    for days in [-2_451_546 + 10_957, i32::MIN, i32::MAX] {
        assert_eq!(date(days), Err(Refusal::DateRange), "{days}");
    }
    assert_eq!(value(Date64Array::from(vec![86_400_000]), BinaryForm::Date), date(1));
    assert_eq!(value(Date64Array::from(vec![86_400_001]), BinaryForm::Date), Err(Refusal::PartOfDay));

    let micros = |n: i64| Ok(n.to_be_bytes().to_vec());
    assert_eq!(value(Time32SecondArray::from(vec![1]), BinaryForm::Time), micros(1_000_000));
    assert_eq!(
        value(Time64MicrosecondArray::from(vec![86_400_000_000]), BinaryForm::Time),
        micros(86_400_000_000)
    );
    assert_eq!(value(Time64MicrosecondArray::from(vec![-1]), BinaryForm::Time), Err(Refusal::TimeRange));
    assert_eq!(
        value(Time64NanosecondArray::from(vec![1_500]), BinaryForm::Time),
        Err(Refusal::PartOfMicrosecond)
    );

    const EPOCH_SECONDS: i64 = 946_684_800;
    let timestamp = BinaryForm::Timestamp;
    assert_eq!(value(TimestampSecondArray::from(vec![EPOCH_SECONDS]), timestamp), micros(0));
    assert_eq!(
        value(TimestampMillisecondArray::from(vec![EPOCH_SECONDS * 1_000 + 1]), timestamp),
        micros(1_000)
    );
    assert_eq!(
        value(TimestampNanosecondArray::from(vec![-1_000]), timestamp),
        micros(-EPOCH_SECONDS * 1_000_000 - 1)
    );
    assert_eq!(value(TimestampNanosecondArray::from(vec![1]), timestamp), Err(Refusal::PartOfMicrosecond));
    for extreme in [i64::MIN, i64::MAX] {
        assert_eq!(value(TimestampSecondArray::from(vec![extreme]), timestamp), Err(Refusal::TimestampRange));
    }
    assert_eq!(
        value(TimestampMicrosecondArray::from(vec![i64::MIN]), timestamp),
        Err(Refusal::TimestampRange)
    );
}

#[test]
fn infinities_pass_only_where_they_were_planned() {
    let infinite = |form| ColumnSpec { form, required: false, infinities: true };
    let dates = Date32Array::from(vec![i32::MIN, i32::MAX]);
    let expected = vec![Some(i32::MIN.to_be_bytes().to_vec()), Some(i32::MAX.to_be_bytes().to_vec())];
    assert_eq!(values(dates, infinite(BinaryForm::Date)), Ok(expected));
    let timestamps = TimestampMicrosecondArray::from(vec![i64::MIN, i64::MAX]);
    let expected = vec![Some(i64::MIN.to_be_bytes().to_vec()), Some(i64::MAX.to_be_bytes().to_vec())];
    assert_eq!(values(timestamps, infinite(BinaryForm::Timestamp)), Ok(expected));
}

#[test]
fn intervals_keep_months_days_and_time_apart() {
    let expected = [&5_000i64.to_be_bytes()[..], &2i32.to_be_bytes(), &(-1i32).to_be_bytes()].concat();
    let interval = IntervalMonthDayNano { months: -1, days: 2, nanoseconds: 5_000_000 };
    assert_eq!(value(IntervalMonthDayNanoArray::from(vec![interval]), BinaryForm::Interval), Ok(expected));
    let finer = IntervalMonthDayNano { months: 0, days: 0, nanoseconds: 1 };
    let refused = value(IntervalMonthDayNanoArray::from(vec![finer]), BinaryForm::Interval);
    assert_eq!(refused, Err(Refusal::PartOfMicrosecond));
    let duration = value(DurationSecondArray::from(vec![2]), BinaryForm::Interval).unwrap();
    assert_eq!(duration[..8], 2_000_000i64.to_be_bytes());
    let huge = value(DurationSecondArray::from(vec![i64::MAX]), BinaryForm::Interval);
    assert_eq!(huge, Err(Refusal::IntervalRange));
}

#[test]
fn numerics_are_aligned_at_the_point() {
    let (positive, negative) = (0, 0x4000);
    assert_eq!(numeric("0"), (positive, 0, 0, vec![]));
    assert_eq!(numeric("-0.00"), (positive, 0, 2, vec![]));
    assert_eq!(numeric("1"), (positive, 0, 0, vec![1]));
    assert_eq!(numeric("-12345.678"), (negative, 1, 3, vec![1, 2345, 6780]));
    assert_eq!(numeric("10000"), (positive, 1, 0, vec![1]));
    assert_eq!(numeric("00010000.0000"), (positive, 1, 4, vec![1]));
    assert_eq!(numeric("0.00001"), (positive, -2, 5, vec![1000]));
    assert_eq!(numeric("0.1"), (positive, -1, 1, vec![1000]));
    assert_eq!(numeric(".5"), (positive, -1, 1, vec![5000]));
    assert_eq!(numeric("100000000.00000001"), (positive, 2, 8, vec![1, 0, 0, 0, 1]));
    assert_eq!(numeric("12.50").2, 2, "the scale is kept");
    assert_eq!(numeric("NaN"), (0xC000, 0, 0, vec![]));
    assert_eq!(numeric("Infinity").0, 0xD000);
    assert_eq!(numeric("-Infinity").0, 0xF000);
    for text in ["", "-", ".", "+.", "1e5", "1.2.3", "-NaN", "+NaN", "nan", " 1", "0x1", "１"] {
        let refused = value(StringArray::from(vec![text]), BinaryForm::Numeric);
        assert_eq!(refused, Err(Refusal::NotNumeric), "{text}");
    }
    let long = format!("1.{}", "0".repeat(16_384));
    assert_eq!(value(StringArray::from(vec![long]), BinaryForm::Numeric), Err(Refusal::NumericRange));
}

#[test]
fn short_and_long_numbers_are_written_the_same_way() {
    for integer_digits in [1, 3, 4, 5, 31, 32, 33, 40] {
        for fraction_digits in [0, 1, 4, 7, 31, 32, 33, 40] {
            let digits = "9070000003";
            let integer = digits.repeat(4)[..integer_digits].to_owned();
            let fraction = digits.repeat(4)[..fraction_digits].to_owned();
            let text = format!("-{integer}.{fraction}");
            let found = numeric(&text);
            // The long way, which a number of too many leading zeros takes.
            assert_eq!(found, numeric(&format!("-{}{integer}.{fraction}", "0".repeat(40))), "{text}");
            assert_eq!(found.2 as usize, fraction_digits);
        }
    }
}

#[test]
fn decimals_of_every_width_and_scale_equal_their_text() {
    let decimal = |value: i128, scale: i8| {
        let array = PrimitiveArray::<Decimal128Type>::from(vec![value]).with_precision_and_scale(38, scale);
        parts(&self::value(array.unwrap(), BinaryForm::Numeric).unwrap())
    };
    assert_eq!(decimal(1_234_567, 3), numeric("1234.567"));
    assert_eq!(decimal(-5, 3), numeric("-0.005"));
    assert_eq!(decimal(0, 2), numeric("0.00"));
    assert_eq!(decimal(12, -3), numeric("12000"));
    assert_eq!(decimal(10i128.pow(38) - 1, 19), numeric("9999999999999999999.9999999999999999999"));
    assert_eq!(decimal(-(10i128.pow(37)), 0), numeric(&format!("-1{}", "0".repeat(37))));
    assert_eq!(decimal(10i128.pow(19) * 7 + 3, 0), numeric("70000000000000000003"));
    let wide = Decimal256Array::from(vec![i256::from_i128(-1_250)]).with_precision_and_scale(76, 2).unwrap();
    assert_eq!(parts(&value(wide, BinaryForm::Numeric).unwrap()), numeric("-12.50"));
    let unsigned = value(UInt64Array::from(vec![u64::MAX]), BinaryForm::Numeric).unwrap();
    assert_eq!(parts(&unsigned), numeric("18446744073709551615"));
}

#[test]
fn null_is_null_everywhere_and_refused_where_required() {
    let batch = batch(vec![
        Arc::new(Int32Array::from(vec![Some(1), None])),
        Arc::new(StringArray::from(vec![None, Some("x")])),
        Arc::new(BooleanArray::from(vec![None, Some(true)])),
        Arc::new(StringArray::from(vec![None, Some("1")])),
        Arc::new(NullArray::new(2)),
    ]);
    let forms = [BinaryForm::Int4, BinaryForm::Text, BinaryForm::Bool, BinaryForm::Numeric, BinaryForm::Text];
    let mut specs: Vec<ColumnSpec> = forms.into_iter().map(spec).collect();
    let rows = rows_of(&mut Encoder::new(specs.clone(), false), &batch, 1 << 20).unwrap();
    assert_eq!(rows[0], vec![Some(1i32.to_be_bytes().to_vec()), None, None, None, None]);
    assert_eq!(rows[1][..3], [None, Some(b"x".to_vec()), Some(vec![1])]);
    assert_eq!(rows[1][4], None);
    specs[0].required = true;
    let error = rows_of(&mut Encoder::new(specs.clone(), false), &batch, 1 << 20).unwrap_err();
    assert_eq!(error, EncodeError { column: 0, row: 1, refusal: Refusal::Null });
    specs[0].required = false;
    specs[4].required = true;
    let error = rows_of(&mut Encoder::new(specs, false), &batch, 1 << 20).unwrap_err();
    assert_eq!((error.column, error.row), (4, 0));
}

#[test]
fn messages_are_bounded_and_cut_nothing() {
    let count = 1_000;
    let texts: Vec<Option<String>> =
        (0..count).map(|n| (n % 7 != 0).then(|| "x".repeat(n * 13 % 301))).collect();
    let batch = batch(vec![
        Arc::new(Int64Array::from_iter_values(0..count as i64)),
        Arc::new(StringArray::from(texts.clone())),
        Arc::new(Int16Array::from_iter((0..count as i16).map(|n| (n % 3 != 0).then_some(n)))),
    ]);
    let specs = vec![spec(BinaryForm::Int8), spec(BinaryForm::Text), spec(BinaryForm::Int2)];
    for bytes_max in [1, 50, 1_000, 4_096, 1 << 20] {
        let rows = rows_of(&mut Encoder::new(specs.clone(), false), &batch, bytes_max).unwrap();
        assert_eq!(rows.len(), count);
        for (n, row) in rows.iter().enumerate() {
            assert_eq!(row[0], Some((n as i64).to_be_bytes().to_vec()));
            assert_eq!(row[1], texts[n].as_ref().map(|text| text.as_bytes().to_vec()));
            assert_eq!(row[2], (n % 3 != 0).then(|| (n as i16).to_be_bytes().to_vec()));
        }
    }
}

#[test]
fn ordinals_go_on_over_batches_until_they_restart() {
    let batch = batch(vec![Arc::new(Int16Array::from(vec![7, 7]))]);
    let mut encoder = Encoder::new(vec![spec(BinaryForm::Int2)], true);
    let mut ordinals = |restart: bool| {
        if restart {
            encoder.restart_ordinals();
        }
        let rows = rows_of(&mut encoder, &batch, 1 << 20).unwrap();
        rows.iter().map(|row| row[1].clone().unwrap()[7]).collect::<Vec<u8>>()
    };
    assert_eq!(ordinals(false), [0, 1]);
    assert_eq!(ordinals(false), [2, 3]);
    assert_eq!(ordinals(true), [0, 1]);
}

#[test]
fn slices_of_batches_are_encoded_from_their_own_start() {
    let whole = batch(vec![
        Arc::new(StringArray::from(vec![Some("a"), None, Some("c"), Some("d")])),
        Arc::new(BooleanArray::from(vec![true, false, true, false])),
        Arc::new(StringArray::from(vec!["1", "2", "3", "4"])),
    ]);
    let specs = vec![spec(BinaryForm::Text), spec(BinaryForm::Bool), spec(BinaryForm::Numeric)];
    let all = rows_of(&mut Encoder::new(specs.clone(), false), &whole, 1 << 20).unwrap();
    let part = rows_of(&mut Encoder::new(specs, false), &whole.slice(1, 2), 1 << 20).unwrap();
    assert_eq!(part, all[1..3]);
}

#[test]
fn a_batch_of_other_columns_is_refused() {
    let batch = batch(vec![Arc::new(Int16Array::from(vec![7]))]);
    let error = Encoder::new(vec![spec(BinaryForm::Int2); 2], false).batch(&batch).err().unwrap();
    assert_eq!(error.refusal, Refusal::Type);
    let error = Encoder::new(vec![spec(BinaryForm::Text)], false).batch(&batch).err().unwrap();
    assert_eq!(error.refusal, Refusal::Type);
}
