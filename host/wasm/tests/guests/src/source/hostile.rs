//! What a source should not do.

use std::fs;
use std::hint::black_box;
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};

use rapidbyte_test_guests::Random;

use crate::common::*;

fn done(records: u64) -> Outcome {
    Ok(summary(ConnectorRole::Source, records, 0))
}

pub fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

pub fn emit_frame(bytes: &[u8]) -> Result<(), ConnectorError> {
    batch_emit(Frame::from_ipc(bytes)?)
}

pub fn endless_loop(_: &RunRequest) -> Outcome {
    spin()
}

pub fn endless_loop_in_open(_: &RunRequest) -> Outcome {
    done(0)
}

pub fn memory_growth(_: &RunRequest) -> Outcome {
    let mut hoard = Vec::new();
    loop {
        hoard.push(black_box(vec![1_u8; 1 << 20]));
    }
}

pub fn frame_too_large(_: &RunRequest) -> Outcome {
    Frame::from_ipc(&vec![0; config().count as usize])?;
    done(0)
}

pub fn call_too_large(_: &RunRequest) -> Outcome {
    Frame::from_ipc(&vec![0; config().count as usize])?;
    done(0)
}

/// Many labels that are all the same memory: small for the guest, huge for a host that copies them.
pub fn aliased_labels(_: &RunRequest) -> Outcome {
    let text = "x".repeat(1 << 20);
    // SAFETY: the strings are only read by the lowering of the call and forgotten after it.
    let alias = || unsafe { String::from_raw_parts(text.as_ptr().cast_mut(), text.len(), text.len()) };
    let labels = (0..10_000).map(|_| (alias(), alias())).collect();
    let event = MetricEvent { name: "m".into(), value: MetricValue::Counter(1), labels };
    telemetry_metric(&event);
    std::mem::forget(event);
    done(0)
}

pub fn frame_mutations(_: &RunRequest) -> Outcome {
    let config = config();
    let original = config.frame(0);
    let (mut refused, mut passed) = (0, 0);
    for seed in 0..config.count {
        let mut random = Random::new(seed);
        let mut bytes = original.clone();
        for _ in 0..1 + random.below(4) {
            let at = random.below(bytes.len());
            match random.below(5) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes[at] = random.next() as u8,
                2 => bytes[at] = 0xff,
                3 => bytes.truncate(at.max(1)),
                _ => bytes.extend_from_slice(&original[at.min(original.len())..]),
            }
        }
        match Frame::from_ipc(&bytes) {
            Ok(frame) => {
                passed += 1;
                let _ = frame.to_json();
            }
            Err(error) if error.category == ErrorCategory::Frame => refused += 1,
            Err(error) => return Err(error),
        }
    }
    say(format!("refused {refused} passed {passed}"));
    emit_frame(&original)?;
    done(1)
}

pub fn bad_frame(_: &RunRequest) -> Outcome {
    emit_frame(&config().frame(0))?;
    done(0)
}

pub fn other_schema(_: &RunRequest) -> Outcome {
    let config = config();
    for index in 0..config.frames.len() {
        emit_frame(&config.frame(index))?;
    }
    done(0)
}

pub fn forged_frame(_: &RunRequest) -> Outcome {
    // SAFETY: none, that is the point; the host has to notice.
    batch_emit(unsafe { Frame::from_handle(config().count as u32) })?;
    done(0)
}

pub fn forged_socket(_: &RunRequest) -> Outcome {
    // SAFETY: as above.
    let socket = unsafe { Socket::from_handle(config().count as u32) };
    tcp_read(&socket, 10)?;
    done(0)
}

pub fn used_twice(_: &RunRequest) -> Outcome {
    let frame = Frame::from_ipc(&config().frame(0))?;
    let handle = frame.take_handle();
    // SAFETY: the first is right, the second is the forgery.
    batch_emit(unsafe { Frame::from_handle(handle) })?;
    batch_emit(unsafe { Frame::from_handle(handle) })?;
    done(0)
}

pub fn connect(_: &RunRequest) -> Outcome {
    let config = config();
    tcp_connect(&config.host, config.port, 2_000)?;
    say("connected");
    done(0)
}

pub fn connect_many(_: &RunRequest) -> Outcome {
    let config = config();
    let mut sockets = Vec::new();
    for _ in 0..config.count {
        sockets.push(tcp_connect(&config.host, config.port, 2_000)?);
    }
    done(0)
}

pub fn read_environment(_: &RunRequest) -> Outcome {
    for (name, value) in std::env::vars() {
        say(format!("{name}={value}"));
    }
    say(format!("{} arguments", std::env::args().count()));
    done(0)
}

pub fn read_files(_: &RunRequest) -> Outcome {
    for path in config().paths {
        match fs::read_to_string(&path) {
            Ok(text) => say(format!("{path}: {text}")),
            Err(cause) => say(format!("{path}: refused {:?}", cause.kind())),
        }
    }
    done(0)
}

pub fn write_files(_: &RunRequest) -> Outcome {
    for path in config().paths {
        match fs::write(&path, "written") {
            Ok(()) => say(format!("{path}: written")),
            Err(cause) => say(format!("{path}: refused {:?}", cause.kind())),
        }
    }
    done(0)
}

pub fn wasi_sockets(_: &RunRequest) -> Outcome {
    let config = config();
    let refused =
        |what: &str, failed: bool| say(format!("{what}: {}", if failed { "refused" } else { "worked" }));
    refused("connect", TcpStream::connect(("127.0.0.1", config.port)).is_err());
    refused("bind", UdpSocket::bind("127.0.0.1:0").is_err());
    refused("lookup", "localhost:80".to_socket_addrs().is_err());
    done(0)
}

pub fn leak_secrets(_: &RunRequest) -> Outcome {
    let secret = config().text;
    say(format!("the password is {secret}"));
    eprintln!("stderr has {secret}");
    telemetry_log(&LogEvent {
        level: LogLevel::Warn,
        message: "fields".into(),
        fields: vec![
            ("password".into(), FieldValue::Text(secret.clone())),
            (secret.clone(), FieldValue::Int(1)),
        ],
    });
    telemetry_metric(&MetricEvent {
        name: format!("m.{secret}"),
        value: MetricValue::Gauge(1.0),
        labels: vec![(secret.clone(), secret.clone())],
    });
    let mut leak = error(&format!("code_{secret}"), &format!("cannot log in with {secret}"));
    leak.details = Some(serde_json::json!({ "password": secret }).to_string());
    Err(leak)
}

pub fn traps(_: &RunRequest) -> Outcome {
    say("about to trap");
    core::arch::wasm32::unreachable()
}

pub fn panics(_: &RunRequest) -> Outcome {
    panic!("the cupboard is bare: {}", config().text)
}

/// Not a loop to any optimiser, and nothing on the stack that lies in linear memory.
#[inline(never)]
fn deeper(depth: u64) -> u64 {
    if depth == u64::MAX { 0 } else { deeper(depth + 1).wrapping_mul(31) ^ depth.rotate_left(7) }
}

pub fn overflows_stack(_: &RunRequest) -> Outcome {
    done(deeper(black_box(0)))
}

pub fn exits(_: &RunRequest) -> Outcome {
    std::process::exit(3)
}

pub fn emit_in_open(_: &RunRequest) -> Outcome {
    done(0)
}

pub fn emit_in_close(_: &RunRequest) -> Outcome {
    done(0)
}

pub fn commits_as_source(_: &RunRequest) -> Outcome {
    checkpoint(CheckpointKind::Destination, 1, int_cursor(1))?;
    done(0)
}

pub fn huge_texts(_: &RunRequest) -> Outcome {
    let text = "é".repeat(5 << 20);
    say(text.clone());
    let fields =
        (0..1000).map(|index| (format!("field{index}"), FieldValue::Text("y".repeat(10_000)))).collect();
    telemetry_log(&LogEvent { level: LogLevel::Info, message: "fields".into(), fields });
    let mut long = error(&text, &text);
    long.details = Some(text);
    Err(long)
}

pub fn log_flood(_: &RunRequest) -> Outcome {
    for index in 0..config().count {
        say(format!("line {index}"));
    }
    done(0)
}

pub fn output_flood(_: &RunRequest) -> Outcome {
    for index in 0..config().count {
        println!("line {index}");
    }
    print!("{}", "z".repeat(1 << 20));
    done(0)
}

pub fn wait_for_thousands(_: &RunRequest) -> Outcome {
    let interests: Vec<_> = (0..config().count).map(|_| Interest::BatchEmit).collect();
    say(format!("{} ready", wait(&interests, Some(0)).len()));
    done(0)
}

pub fn many_frames(_: &RunRequest) -> Outcome {
    let bytes = config().frame(0);
    let mut frames = Vec::new();
    loop {
        frames.push(Frame::from_ipc(&bytes)?);
    }
}

pub fn metric_flood(_: &RunRequest) -> Outcome {
    for index in 0..config().count {
        telemetry_metric(&MetricEvent {
            name: "rows".into(),
            value: MetricValue::Counter(1),
            labels: vec![("key".into(), index.to_string())],
        });
    }
    done(0)
}

pub fn state_without_grant(_: &RunRequest) -> Outcome {
    match config().text.as_str() {
        "get" => drop(state_get(StateScope::Pipeline, "k")?),
        "put" => state_put(StateScope::Pipeline, "k", b"v")?,
        _ => drop(state_compare_and_swap(StateScope::Pipeline, "k", None, b"v")?),
    }
    done(0)
}

pub fn state_too_large(_: &RunRequest) -> Outcome {
    if config().text == "key" {
        state_put(StateScope::Pipeline, &"k".repeat(10_000), b"v")?;
    }
    state_put(StateScope::Pipeline, "k", &vec![0; 2 << 20])?;
    done(0)
}

pub fn misplaced_dead_letters(_: &RunRequest) -> Outcome {
    let frame = Frame::from_ipc(&config().frame(0))?;
    telemetry_dlq(frame, &[RecordError { row: 1_000_000, code: "c".into(), message: "m".into() }])?;
    done(0)
}

pub fn garbage_catalog(_: &RunRequest) -> Outcome {
    let mut summary = summary(ConnectorRole::Source, 0, 0);
    summary.catalog = Some(Catalog {
        streams: vec![CatalogStream {
            name: "orders".into(),
            schema: vec![0xff; 64],
            primary_key: vec![],
            cursor_fields: vec![],
            sync_modes: vec![],
            estimated_rows: None,
            estimated_bytes: None,
        }],
    });
    Ok(summary)
}

pub fn no_catalog(_: &RunRequest) -> Outcome {
    done(0)
}

pub fn no_plan(_: &RunRequest) -> Outcome {
    done(0)
}

fn planned(ranges: Vec<PartitionRange>) -> Outcome {
    let plan = PartitionPlan { snapshot: None, ranges };
    Ok(RunSummary { partition_plan: Some(plan), ..summary(ConnectorRole::Source, 0, 0) })
}

fn range(field: String) -> PartitionRange {
    PartitionRange { field, lower: None, upper: None, nulls: true }
}

pub fn too_many_ranges(_: &RunRequest) -> Outcome {
    planned(vec![range("id".into()), range("id".into())])
}

pub fn huge_range(_: &RunRequest) -> Outcome {
    planned(vec![range("x".repeat(1 << 20))])
}

pub fn wrong_role_info(_: &RunRequest) -> Outcome {
    done(0)
}

pub fn wrong_version(_: &RunRequest) -> Outcome {
    done(0)
}

pub fn sleeps_forever(_: &RunRequest) -> Outcome {
    loop {
        std::thread::sleep(std::time::Duration::from_secs(3600));
    }
}

pub fn peer_never_answers(_: &RunRequest) -> Outcome {
    let config = config();
    let socket = tcp_connect(&config.host, config.port, 2_000)?;
    match config.text.as_str() {
        "wait" => loop {
            wait(&[Interest::Readable(&socket)], Some(1_000_000));
        },
        _ => drop(tcp_read(&socket, 10)?),
    }
    done(0)
}

pub fn reads_as_source(_: &RunRequest) -> Outcome {
    batch_next()?;
    done(0)
}

pub fn plain_text_before_tls(_: &RunRequest) -> Outcome {
    let config = config();
    let socket = tcp_connect(&config.host, config.port, 2_000)?;
    match config.text.as_str() {
        "read" => drop(tcp_read(&socket, 10)?),
        "write" => tcp_write(&socket, b"SELECT 1")?,
        "start_tls" => {
            let options = TlsOptions {
                server_name: "localhost".into(),
                verification: TlsVerification::None,
                roots_pem: None,
                alpn: vec![],
            };
            tcp_start_tls(&socket, &options)?;
        }
        // PostgreSQL's way: the request, one byte of answer, and no more.
        _ => {
            tcp_write(&socket, &[0, 0, 0, 8, 4, 210, 22, 47])?;
            say(format!("answer {:?}", tcp_read(&socket, 100)?));
            drop(tcp_read(&socket, 100)?);
        }
    }
    done(0)
}

pub fn huge_cursor(_: &RunRequest) -> Outcome {
    let value = CursorValue::Json("x".repeat(1 << 20));
    checkpoint(CheckpointKind::Source, 0, Some(Cursor { field: "id".into(), value }))?;
    done(0)
}
