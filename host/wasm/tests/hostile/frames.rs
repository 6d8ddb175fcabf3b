//! Frames that are no frames, handles that are no handles, batches where none belong.

use super::*;

#[test]
pub fn frame_too_large() {
    let rig = Rig::source("frame_too_large").count(4 * MIB + 1);
    let (error, _) = fails_with(rig, "frame_too_large");
    assert_eq!(error.category, ErrorCategory::Frame);
}

/// More than the host takes in one call at all.
#[test]
pub fn call_too_large() {
    let mut rig = Rig::source("call_too_large").count(100 * MIB);
    rig.memory_bytes_max = 256 * MIB;
    let (error, _) = fails_with(rig, "guest_trapped");
    assert!(error.message.contains("handed over more than"), "{error}");
}

#[test]
pub fn aliased_labels() {
    fails_with(Rig::source("aliased_labels"), "guest_trapped");
}

#[test]
pub fn frame_mutations() {
    let mut rig = Rig::source("frame_mutations").frames([frame_hex(1, 20)]).count(3_000);
    rig.limits.max_batch_bytes = MIB;
    let (_, mut outcome) = succeeds(rig);
    let said = outcome.services.messages().join(" ");
    let numbers: Vec<u64> = said.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!(numbers[0] > 500 && numbers[1] > 100, "{said}");
    assert_eq!(outcome.emitted().len(), 1);
}

#[test]
pub fn bad_frame() {
    let bytes = frame(1, 3).bytes().to_vec();
    let two = {
        let mut writer = arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &schema()).unwrap();
        writer.write(&batch(1, 3)).unwrap();
        writer.write(&batch(4, 3)).unwrap();
        writer.finish().unwrap();
        writer.into_inner().unwrap()
    };
    for bad in [two, bytes[..bytes.len() / 2].to_vec(), Vec::new(), vec![0xff; 1000]] {
        let (error, mut outcome) =
            fails_with(Rig::source("bad_frame").frames([hex(&bad)]), "frame_malformed");
        assert_eq!(error.category, ErrorCategory::Frame);
        assert!(outcome.emitted().is_empty());
    }
}

#[test]
pub fn other_schema() {
    use arrow_array::{ArrayRef, Int32Array, RecordBatch};
    let ids: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let other = Frame::encode(&RecordBatch::try_from_iter([("id", ids)]).unwrap()).unwrap();
    // Another one than the first.
    let frames = [frame_hex(1, 3), hex(other.bytes())];
    let (error, mut outcome) = fails_with(Rig::source("other_schema").frames(frames), "schema_mismatch");
    assert!(error.message.contains("column `id` is Int32, not Int64"), "{error}");
    assert_eq!(outcome.emitted().len(), 1);
    // Another one than was announced.
    let mut rig = Rig::source("other_schema").frames([hex(other.bytes())]);
    rig.announced = Some(schema());
    let (error, mut outcome) = fails_with(rig, "schema_mismatch");
    assert_eq!(error.category, ErrorCategory::Frame);
    assert!(outcome.emitted().is_empty());
    // The same.
    let mut rig = Rig::source("other_schema").frames([frame_hex(1, 3), frame_hex(4, 3)]);
    rig.announced = Some(schema());
    assert_eq!(succeeds(rig).1.emitted().len(), 2);
}

#[test]
pub fn many_frames() {
    fails_with(Rig::source("many_frames").frames([frame_hex(1, 3)]), "too_many_frames");
    // Few, but large together.
    let mut rig = Rig::source("many_frames").frames([frame_hex(1, 3)]);
    rig.limits.max_batch_bytes = 2 * 1024;
    let (error, _) = fails_with(rig, "too_many_frames");
    assert!(!error.message.contains("64 frames"), "{error}");
}

#[test]
pub fn forged_frame() {
    for handle in [0, 1, 2, 4711, u64::from(u32::MAX)] {
        fails_with(Rig::source("forged_frame").count(handle), "guest_trapped");
    }
}

#[test]
pub fn forged_socket() {
    for handle in [0, 1, 4711] {
        fails_with(Rig::source("forged_socket").count(handle), "guest_trapped");
    }
}

#[test]
pub fn used_twice() {
    fails_with(Rig::source("used_twice").frames([frame_hex(1, 3)]), "guest_trapped");
}

#[test]
pub fn emit_in_open() {
    let (error, _) = fails_with(Rig::source("emit_in_open").frames([frame_hex(1, 3)]), "wrong_role");
    assert_eq!(error.category, ErrorCategory::Permission);
}

#[test]
pub fn emit_in_close() {
    let (_, mut outcome) = fails_with(Rig::source("emit_in_close").frames([frame_hex(1, 3)]), "wrong_role");
    assert!(outcome.emitted().is_empty());
}

#[test]
pub fn emits_as_destination() {
    fails_with(Rig::destination("emits_as_destination").frames([frame_hex(1, 3)]), "wrong_role");
}

#[test]
pub fn reads_as_source() {
    fails_with(Rig::source("reads_as_source"), "wrong_role");
}
