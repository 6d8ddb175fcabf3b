//! How long one row of twelve mixed columns takes to decode: `cargo run --release --example decode_rate`.

use std::hint::black_box;
use std::time::Instant;

use rapidbyte_postgres::decode::Decoder;
use rapidbyte_postgres::types::Codec;

const ROWS: usize = 2_000_000;
const ROWS_PER_BATCH: usize = 16_384;
const ROUNDS: usize = 5;

fn main() {
    let codecs = [
        Codec::Int64,
        Codec::Int32,
        Codec::Int16,
        Codec::Bool,
        Codec::Float64,
        Codec::NumericText,
        Codec::Utf8,
        Codec::Utf8,
        Codec::TimestampTz,
        Codec::Date,
        Codec::Uuid,
        Codec::Jsonb,
    ];
    let numeric = [0, 2, 0, 1, 0, 0, 0, 2, 0, 12, 13, 72];
    let mut row = 12_u16.to_be_bytes().to_vec();
    let values: [&[u8]; 12] = [
        &[1; 8],
        &[2; 4],
        &[3; 2],
        &[1],
        &[64; 8],
        &numeric.map(|byte: u8| byte),
        b"a customer's name",
        b"somebody@example.com",
        &[0, 1, 2, 3, 4, 5, 6, 7],
        &[0, 0, 32, 1],
        &[7; 16],
        b"\x01{\"key\": \"value\"}",
    ];
    for value in values {
        row.extend_from_slice(&u32::try_from(value.len()).unwrap_or(0).to_be_bytes());
        row.extend_from_slice(value);
    }
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let mut decoder = Decoder::new(codecs);
        let started = Instant::now();
        for number in 1..=ROWS {
            if decoder.push(black_box(&row)).is_err() {
                eprintln!("the row is malformed");
                return;
            }
            if number % ROWS_PER_BATCH == 0 {
                black_box(decoder.finish().is_ok());
            }
        }
        best = best.min(started.elapsed().as_secs_f64() * 1e9 / ROWS as f64);
    }
    println!("{best:.1} ns per row of {} bytes", row.len());
}
