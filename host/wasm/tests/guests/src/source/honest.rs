//! What a source should do.

use rapidbyte_test_guests::from_hex;

use crate::common::*;

fn done(records: u64) -> Outcome {
    Ok(summary(ConnectorRole::Source, records, 0))
}

/// Discovers one stream, or emits every frame with a checkpoint behind it.
pub fn echo(request: &RunRequest) -> Outcome {
    let config = config();
    if request.phase == RunPhase::Discover {
        let mut summary = summary(ConnectorRole::Source, 0, 0);
        summary.catalog = Some(Catalog {
            streams: vec![CatalogStream {
                name: "numbers".into(),
                schema: config.schema(),
                primary_key: vec!["id".into()],
                cursor_fields: vec!["id".into()],
                sync_modes: vec![SyncMode::FullRefresh],
                estimated_rows: Some(3),
                estimated_bytes: None,
            }],
        });
        return Ok(summary);
    }
    let mut records = 0;
    for (index, frame) in config.frames.iter().enumerate() {
        let frame = Frame::from_ipc(&from_hex(frame))?;
        records += frame.records();
        batch_emit(frame)?;
        checkpoint(CheckpointKind::Source, 0, int_cursor(index as i64))?;
    }
    Ok(summary(ConnectorRole::Source, records, config.frames.len() as u64))
}

pub fn forged_session(request: &RunRequest) -> Outcome {
    echo(request)
}

pub fn from_json(_: &RunRequest) -> Outcome {
    let config = config();
    let frame = Frame::from_json(&config.schema(), &config.text)?;
    let records = frame.records();
    batch_emit(frame)?;
    done(records)
}

pub fn state(_: &RunRequest) -> Outcome {
    let scope = StateScope::Stream;
    assert_eq!(state_get(scope, "k")?, None);
    assert!(state_compare_and_swap(scope, "k", None, b"one")?);
    assert!(!state_compare_and_swap(scope, "k", None, b"two")?);
    assert!(!state_compare_and_swap(scope, "k", Some(b"other"), b"two")?);
    assert!(state_compare_and_swap(scope, "k", Some(b"one"), b"two")?);
    assert_eq!(state_get(scope, "k")?.as_deref(), Some(&b"two"[..]));
    state_put(scope, "k", b"three")?;
    assert_eq!(state_get(scope, "k")?.as_deref(), Some(&b"three"[..]));
    assert_eq!(state_get(StateScope::Pipeline, "k")?, None);
    done(0)
}

/// Writes `count` bytes to a server that sends them back, reading and writing at once, never blocking but in `wait`.
fn exchange(socket: &Socket, count: usize) -> Result<(), ConnectorError> {
    let sent: Vec<u8> = (0..count).map(|index| (index % 251) as u8).collect();
    let mut received = Vec::new();
    let mut written = 0;
    while received.len() < count {
        let mut moved = false;
        if written < count {
            let end = (written + 256 * 1024).min(count);
            let n = tcp_try_write(socket, &sent[written..end])? as usize;
            written += n;
            moved |= n > 0;
        }
        if let Some(bytes) = tcp_try_read(socket, 1 << 20)? {
            assert!(!bytes.is_empty(), "the server closed early");
            received.extend_from_slice(&bytes);
            moved = true;
        }
        if !moved {
            let mut interests = vec![Interest::Readable(socket)];
            if written < count {
                interests.push(Interest::Writable(socket));
            }
            assert!(!wait(&interests, None).is_empty());
        }
    }
    assert!(received == sent, "what came back is not what was sent");
    Ok(())
}

pub fn tcp_echo(_: &RunRequest) -> Outcome {
    let config = config();
    let socket = tcp_connect(&config.host, config.port, 5_000)?;
    assert_eq!(tcp_try_read(&socket, 10)?, None, "nothing is there yet");
    tcp_write(&socket, b"ping")?;
    let mut pong = Vec::new();
    while pong.len() < 4 {
        pong.extend(tcp_read(&socket, 2)?);
    }
    assert_eq!(pong, b"ping");
    exchange(&socket, config.count as usize)?;
    tcp_close(socket)?;
    done(config.count)
}

/// Asks by `wasi:http` for `text` and for whatever its `location` points to; says the status and how long the body was, or
/// the error, of each.
pub fn http_get(_: &RunRequest) -> Outcome {
    let config = config();
    let mut target = config.text.clone();
    let mut bytes = 0;
    loop {
        match get(&target) {
            Ok(answer) => {
                say(&format!("{} {}", answer.status, answer.body.len()));
                bytes += answer.body.len() as u64;
                match answer.location {
                    Some(location) => target = location,
                    None => return done(bytes),
                }
            }
            Err(what) => return Err(error("http_failed", &what)),
        }
    }
}

struct HttpAnswer {
    status: u16,
    location: Option<String>,
    body: Vec<u8>,
}

/// `http://host:port/path`, read to its end.
fn get(target: &str) -> Result<HttpAnswer, String> {
    use wasip2::http::outgoing_handler::handle;
    use wasip2::http::types::{Fields, OutgoingRequest, Scheme};
    use wasip2::io::streams::StreamError;

    let (scheme, rest) = target.split_once("://").expect("a scheme");
    let (authority, path) = rest.split_once('/').expect("a path");
    let request = OutgoingRequest::new(Fields::new());
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    request.set_scheme(Some(&scheme)).expect("a scheme");
    request.set_authority(Some(authority)).expect("an authority");
    request.set_path_with_query(Some(&format!("/{path}"))).expect("a path");
    let future = handle(request, None).map_err(|code| format!("{code:?}"))?;
    future.subscribe().block();
    let answer = future.get().expect("it is there").expect("it was not taken");
    let answer = answer.map_err(|code| format!("{code:?}"))?;
    let location = answer.headers().get("location").pop();
    let body = answer.consume().expect("a body");
    let stream = body.stream().expect("a stream");
    let mut read = Vec::new();
    loop {
        match stream.blocking_read(1 << 16) {
            Ok(bytes) => read.extend(bytes),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(cause)) => {
                let code = wasip2::http::types::http_error_code(&cause);
                return Err(format!("body: {code:?}"));
            }
        }
    }
    Ok(HttpAnswer {
        status: answer.status(),
        location: location.map(|value| String::from_utf8(value).expect("text")),
        body: read,
    })
}

/// Reads to the end, as fast as it goes.
pub fn tcp_download(_: &RunRequest) -> Outcome {
    let config = config();
    let socket = tcp_connect(&config.host, config.port, 5_000)?;
    let mut bytes = 0_u64;
    loop {
        match tcp_try_read(&socket, 1 << 20)? {
            Some(read) if read.is_empty() => break,
            Some(read) => bytes += read.len() as u64,
            None => drop(wait(&[Interest::Readable(&socket)], None)),
        }
    }
    assert_eq!(tcp_read(&socket, 10)?, b"", "the end stays the end");
    done(bytes)
}

fn tls_options() -> TlsOptions {
    let config = config();
    let (verification, name) = config.text.split_once(' ').expect("verification and name");
    TlsOptions {
        server_name: name.into(),
        verification: match verification {
            "full" => TlsVerification::Full,
            "chain" => TlsVerification::Chain,
            _ => TlsVerification::None,
        },
        roots_pem: config.paths.first().cloned(),
        alpn: vec!["rapid".into(), "byte".into()],
    }
}

pub fn tls_echo(_: &RunRequest) -> Outcome {
    let config = config();
    let socket = tcp_connect(&config.host, config.port, 5_000)?;
    let info = tcp_start_tls(&socket, &tls_options())?;
    say(format!("alpn {:?} binding {:?}", info.alpn, info.channel_binding));
    exchange(&socket, config.count as usize)?;
    tcp_close(socket)?;
    done(config.count)
}

/// Only the handshake.
pub fn tls_probe(_: &RunRequest) -> Outcome {
    let config = config();
    let socket = tcp_connect(&config.host, config.port, 5_000)?;
    tcp_start_tls(&socket, &tls_options())?;
    done(0)
}

pub fn waits(_: &RunRequest) -> Outcome {
    let config = config();
    let socket = tcp_connect(&config.host, config.port, 5_000)?;
    assert!(wait(&[], Some(1_000)).is_empty(), "nothing to wait for but the time");
    assert!(wait(&[Interest::Readable(&socket)], Some(0)).is_empty());
    assert!(wait(&[Interest::Readable(&socket)], Some(1_000_000)).is_empty());
    assert_eq!(wait(&[Interest::Writable(&socket)], None), [0]);
    let interests =
        [Interest::Readable(&socket), Interest::BatchEmit, Interest::Cancelled, Interest::Writable(&socket)];
    assert_eq!(wait(&interests, None), [1, 3]);
    // Both are ready at once, and by an error, where the role has no input.
    assert_eq!(wait(&[Interest::BatchNext, Interest::BatchEmit], None), [0, 1]);
    assert_eq!(wait(&(0..1024).map(|_| Interest::BatchEmit).collect::<Vec<_>>(), None).len(), 1024);
    tcp_write(&socket, b"x")?;
    assert_eq!(wait(&[Interest::Readable(&socket)], None), [0]);
    assert_eq!(tcp_try_read(&socket, 10)?.as_deref(), Some(&b"x"[..]));
    done(0)
}

pub fn waits_for_cancel(_: &RunRequest) -> Outcome {
    assert!(!cancelled());
    say("waiting");
    assert_eq!(wait(&[Interest::Cancelled], None), [0]);
    assert!(cancelled());
    assert_eq!(wait(&[Interest::Cancelled], None), [0]);
    done(0)
}

/// Emits for ever, unless asked to end.
pub fn until_cancelled(_: &RunRequest) -> Outcome {
    let bytes = config().frame(0);
    let mut records = 0;
    while !cancelled() {
        let frame = Frame::from_ipc(&bytes)?;
        records += frame.records();
        batch_emit(frame)?;
    }
    done(records)
}

pub fn try_emit(_: &RunRequest) -> Outcome {
    let bytes = config().frame(0);
    let mut frame = Frame::from_ipc(&bytes)?;
    let (mut emitted, mut full) = (0, 0);
    while emitted < config().count {
        match batch_try_emit(frame)? {
            None => {
                emitted += 1;
                frame = Frame::from_ipc(&bytes)?;
            }
            Some(back) => {
                full += 1;
                frame = back;
                assert_eq!(wait(&[Interest::BatchEmit], None), [0]);
            }
        }
    }
    say(format!("full {}", full > 0));
    done(emitted)
}

pub fn dead_letters(_: &RunRequest) -> Outcome {
    let frame = Frame::from_ipc(&config().frame(0))?;
    let error = RecordError { row: 0, code: "too_old".into(), message: config().text };
    telemetry_dlq(frame, &[error])?;
    done(0)
}

/// Computes for longer than several epoch ticks, then echoes.
pub fn busy_then_echo(request: &RunRequest) -> Outcome {
    let start = std::time::Instant::now();
    let mut turns = 0_u64;
    while start.elapsed() < std::time::Duration::from_millis(config().count) {
        turns = std::hint::black_box(turns + 1);
    }
    echo(request)
}

pub fn telemetry(_: &RunRequest) -> Outcome {
    telemetry_progress(7, 70);
    telemetry_metric(&MetricEvent {
        name: "requests".into(),
        value: MetricValue::Counter(2),
        labels: vec![("status".into(), "200".into())],
    });
    let committed = telemetry_committed();
    say(format!("committed {:?}", committed.map(|event| event.id)));
    done(0)
}
