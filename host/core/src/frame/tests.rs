//! Frames from friendly and hostile hands.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder, StringViewBuilder};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, DictionaryArray, FixedSizeBinaryArray, Int32Array,
    Int64Array, NullArray, StringArray, StructArray,
};
use arrow_schema::Schema;

use super::*;

fn sample() -> RecordBatch {
    let mut list = ListBuilder::new(StringBuilder::new());
    list.append_value([Some("a"), None]);
    list.append_null();
    list.append_value([Some("b")]);
    let mut views = StringViewBuilder::new();
    for text in ["short", "a text that is longer than twelve bytes", ""] {
        views.append_value(text);
    }
    let ints: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
    let structs = StructArray::from(vec![(Arc::new(Field::new("x", DataType::Int64, true)), ints.clone())]);
    RecordBatch::try_from_iter([
        ("int", ints),
        ("text", Arc::new(StringArray::from(vec![Some("one"), None, Some("three")])) as ArrayRef),
        ("bytes", Arc::new(BinaryArray::from(vec![&b"x"[..], b"", b"yz"]))),
        ("bool", Arc::new(BooleanArray::from(vec![true, false, true]))),
        ("decimal", Arc::new(Decimal128Array::from(vec![1, 2, 3]).with_precision_and_scale(10, 2).unwrap())),
        (
            "uuid",
            Arc::new(FixedSizeBinaryArray::try_from_iter([[1u8; 16], [2; 16], [3; 16]].iter()).unwrap()),
        ),
        ("list", Arc::new(list.finish())),
        ("view", Arc::new(views.finish())),
        ("struct", Arc::new(structs)),
        ("null", Arc::new(NullArray::new(3))),
    ])
    .unwrap()
}

fn checked(bytes: impl Into<Bytes>) -> Result<Frame, ConnectorError> {
    Frame::check(bytes.into(), 1 << 20)
}

fn code(bytes: Vec<u8>) -> String {
    checked(bytes).unwrap_err().code
}

/// The bytes of several batches in one stream.
fn stream(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn takes_what_arrow_writes_and_gives_it_back() {
    let batch = sample();
    let frame = checked(Frame::encode(&batch).unwrap().bytes().clone()).unwrap();
    assert_eq!(frame.records(), 3);
    assert_eq!(frame.decode().unwrap(), batch);
    assert_eq!(&frame.schema().unwrap(), batch.schema().as_ref());
    let empty = batch.slice(0, 0);
    assert_eq!(checked(Frame::encode(&empty).unwrap().bytes().clone()).unwrap().records(), 0);
    let schema = encode_schema(&batch.schema()).unwrap();
    assert_eq!(&decode_schema(&schema).unwrap(), batch.schema().as_ref());
}

#[test]
fn refuses_what_is_not_one_plain_batch() {
    let batch = sample();
    assert_eq!(code(stream(&[batch.clone(), batch.clone()])), "frame_malformed");
    assert_eq!(code(encode_schema(&batch.schema()).unwrap().to_vec()), "frame_malformed");
    assert_eq!(code(Vec::new()), "frame_malformed");
    let mut trailing = stream(std::slice::from_ref(&batch));
    trailing.push(0);
    assert_eq!(code(trailing), "frame_malformed");
    let keys = Int32Array::from(vec![0, 0]);
    let dictionary = DictionaryArray::new(keys, Arc::new(StringArray::from(vec!["a"])));
    let batch = RecordBatch::try_from_iter([("d", Arc::new(dictionary) as ArrayRef)]).unwrap();
    assert_eq!(code(stream(&[batch])), "frame_unsupported");
    let large = Frame::encode(&sample()).unwrap().bytes().clone();
    assert_eq!(Frame::check(large, 100).unwrap_err().code, "frame_too_large");
}

/// The bytes of one column of three integers, and where its data buffer (offset, length) stands in the metadata.
fn with_buffer() -> (Vec<u8>, usize) {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let bytes = stream(&[RecordBatch::try_from_iter([("id", ids)]).unwrap()]);
    let metadata = bytes.len();
    let place = (0..metadata - 16).rev().find(|at| {
        let word = |at: usize| i64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        at % 8 == 0 && (0..=64).contains(&word(*at)) && word(*at + 8) == 24
    });
    (bytes, place.unwrap())
}

#[test]
fn refuses_buffers_that_are_elsewhere_or_too_short() {
    let (bytes, place) = with_buffer();
    assert_eq!(checked(bytes.clone()).unwrap().records(), 3);
    let with = |offset: i64, len: i64| {
        let mut bytes = bytes.clone();
        bytes[place..place + 8].copy_from_slice(&offset.to_le_bytes());
        bytes[place + 8..place + 16].copy_from_slice(&len.to_le_bytes());
        checked(bytes)
    };
    for (offset, len, cause) in [
        (1 << 40, 24, "outside the body"),
        (8, i64::MAX, "outside the body"),
        (i64::MAX, i64::MAX, "outside the body"),
        (-8, 24, "negative place"),
        (0, 8, "24 are needed"),
        (0, 0, "24 are needed"),
    ] {
        let error = with(offset, len).unwrap_err();
        assert!(error.message.contains(cause), "{offset} {len}: {error}");
    }
}

/// A batch of no columns whose header says that it is compressed, which our Arrow cannot write.
#[test]
fn refuses_compression() {
    use arrow_ipc::{
        BodyCompression, BodyCompressionArgs, Buffer, FieldNode, Message, MessageArgs, MessageHeader,
        MetadataVersion, RecordBatchArgs,
    };
    let frame = |compressed: bool| {
        let mut builder = flatbuffers::FlatBufferBuilder::new();
        let compression =
            compressed.then(|| BodyCompression::create(&mut builder, &BodyCompressionArgs::default()));
        let nodes = Some(builder.create_vector::<FieldNode>(&[]));
        let buffers = Some(builder.create_vector::<Buffer>(&[]));
        let batch = RecordBatchArgs { length: 1, nodes, buffers, compression, variadicBufferCounts: None };
        let header = Some(arrow_ipc::RecordBatch::create(&mut builder, &batch).as_union_value());
        let message = MessageArgs {
            version: MetadataVersion::V5,
            header_type: MessageHeader::RecordBatch,
            header,
            bodyLength: 0,
            custom_metadata: None,
        };
        let message = Message::create(&mut builder, &message);
        builder.finish(message, None);
        let mut metadata = builder.finished_data().to_vec();
        metadata.resize(metadata.len().next_multiple_of(8), 0);
        let schema = encode_schema(&Schema::empty()).unwrap();
        let (schema, end) = schema.split_at(schema.len() - 8);
        let prefix = [0xffff_ffff, metadata.len() as u32].map(u32::to_le_bytes).concat();
        checked([schema, prefix.as_slice(), metadata.as_slice(), end].concat())
    };
    assert_eq!(frame(false).unwrap().records(), 1);
    let error = frame(true).unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("frame_unsupported", "frames are not compressed")
    );
}

#[test]
fn refuses_every_truncation() {
    let bytes = stream(&[sample()]);
    for len in 0..bytes.len() {
        assert_eq!(code(bytes[..len].to_vec()), "frame_malformed", "cut at {len}");
    }
}

/// Whatever the bytes, checking and decoding end in an answer. `FRAME_SEED` replays one seed.
#[test]
fn survives_seeded_mutations() {
    let bytes = stream(&[sample()]);
    let only = std::env::var("FRAME_SEED").ok().map(|seed| seed.parse::<u64>().expect("a number"));
    let seeds = only.map_or(0..20_000, |seed| seed..seed + 1);
    let (mut refused, mut decoded) = (0, 0);
    // Every panic would print; the decoder's are caught on purpose.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    for seed in seeds {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut bytes = bytes.clone();
        for _ in 0..1 + next() % 4 {
            let at = (next() % bytes.len() as u64) as usize;
            match next() % 4 {
                0 => bytes[at] ^= 1 << (next() % 8),
                1 => bytes[at] = next() as u8,
                2 => bytes[at] = if next() % 2 == 0 { 0xff } else { 0x7f },
                _ => {
                    let from = (next() % bytes.len() as u64) as usize;
                    let len = (next() % 16) as usize;
                    let end = (from + len).min(bytes.len());
                    let copy = bytes[from..end].to_vec();
                    let room = copy.len().min(bytes.len() - at);
                    bytes[at..at + room].copy_from_slice(&copy[..room]);
                }
            }
        }
        let outcome = std::panic::catch_unwind(|| match checked(bytes.clone()) {
            Ok(frame) => {
                let _ = frame.schema();
                Some(frame.decode().is_ok())
            }
            Err(error) => {
                assert_eq!(error.category, crate::ErrorCategory::Frame);
                None
            }
        });
        match outcome {
            Ok(None) => refused += 1,
            Ok(Some(_)) => decoded += 1,
            Err(_) => {
                std::panic::set_hook(hook);
                panic!("FRAME_SEED={seed} panicked");
            }
        }
    }
    std::panic::set_hook(hook);
    if only.is_none() {
        assert!(refused > 5_000 && decoded > 1_000, "refused {refused}, passed {decoded}");
    }
}

#[test]
fn records_cannot_outgrow_the_bytes() {
    let schema = Arc::new(Schema::empty());
    let rows = |rows| arrow_array::RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = |n| RecordBatch::try_new_with_options(schema.clone(), vec![], &rows(n)).unwrap();
    assert_eq!(checked(stream(&[batch(1000)])).unwrap().records(), 1000);
    assert_eq!(code(stream(&[batch(1 << 40)])), "frame_malformed");
}

#[test]
fn names_the_first_difference() {
    let field = |name: &str, kind, nullable| Field::new(name, kind, nullable);
    let a = Schema::new(vec![field("id", DataType::Int64, false), field("t", DataType::Utf8, true)]);
    let same = a.clone().with_metadata([("k".to_owned(), "v".to_owned())].into());
    assert_eq!(schema_difference(&a, &same), None);
    let cases = [
        (vec![field("id", DataType::Int64, false)], "column `t` is missing"),
        (
            vec![field("id", DataType::Int32, false), field("t", DataType::Utf8, true)],
            "column `id` is Int32, not Int64",
        ),
        (
            vec![field("id", DataType::Int64, true), field("t", DataType::Utf8, true)],
            "column `id` is nullable, not `not null`",
        ),
        (vec![field("x", DataType::Int64, false)], "column 0 is `x`, not `id`"),
    ];
    for (fields, sentence) in cases {
        assert_eq!(schema_difference(&a, &Schema::new(fields)).as_deref(), Some(sentence));
    }
}
