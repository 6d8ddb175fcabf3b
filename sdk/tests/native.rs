//! The in-memory host and the native backend, from the outside as a connector's own tests use them.

use std::sync::Arc;
use std::time::Duration;

use rapidbyte_sdk::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use rapidbyte_sdk::arrow::schema::{DataType, Field, Schema, SchemaRef};
use rapidbyte_sdk::prelude::*;
use rapidbyte_sdk::testing::{self, EmittedEvent, PipeBounds, TestHost};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
}

fn batch(rows: std::ops::Range<i64>) -> RecordBatch {
    RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from_iter_values(rows)) as ArrayRef]).unwrap()
}

fn stream() -> StreamContext {
    let limits = Limits { checkpoint_interval_rows: 25, ..Limits::default() };
    StreamContext { limits, ..StreamContext::new("numbers", schema()) }
}

#[derive(serde::Deserialize, ConfigSchema)]
struct CounterConfig {
    #[config(default = 100)]
    to: i64,
    #[serde(default)]
    fail_at: Option<i64>,
}

/// Emits ten rows at a time, with a checkpoint whenever one is due, and stops when asked to.
#[connector(source)]
struct Counter(CounterConfig);

impl Source for Counter {
    type Config = CounterConfig;

    async fn open(config: CounterConfig) -> Result<(Self, OpenInfo), ConnectorError> {
        Ok((Counter(config), OpenInfo::new("counter@1.0.0", Capabilities::default())))
    }

    async fn run(&mut self, ctx: &Context, request: RunRequest) -> Result<RunSummary, ConnectorError> {
        request.expect_phase(&[RunPhase::Read])?;
        let mut next = match request.stream()?.position {
            Some(CursorValue::Int64(position)) => position + 1,
            _ => 0,
        };
        while next < self.0.to && !ctx.is_cancelled() {
            if self.0.fail_at.is_some_and(|at| next >= at) {
                return Err(ConnectorError::transient_db("lost", "the server went away"));
            }
            ctx.emit(&batch(next..next + 10)).await?;
            next += 10;
            if ctx.checkpoint_due() {
                ctx.checkpoint(Cursor::new("n", CursorValue::Int64(next - 1))).await?;
            }
        }
        if ctx.is_cancelled() {
            ctx.checkpoint(Cursor::new("n", CursorValue::Int64(next - 1))).await?;
        }
        Ok(RunSummary::read(ctx.read_summary()))
    }
}

/// Commits checkpoints, refuses rows divisible by 50, remembers the last receipt in its state.
#[connector(destination)]
struct Sink;

impl Destination for Sink {
    type Config = NoConfig;

    async fn open(_: NoConfig) -> Result<(Self, OpenInfo), ConnectorError> {
        Ok((Sink, OpenInfo::new("sink@1.0.0", Capabilities::default())))
    }

    async fn run(&mut self, ctx: &Context, _: RunRequest) -> Result<RunSummary, ConnectorError> {
        let state = ctx.state(StateScope::Stream);
        if let Some(id) = state.get("receipt").await? {
            let id = u64::from_le_bytes(id.try_into().unwrap());
            let receipt = Receipt { id, cursor: None, complete: false };
            if ctx.report_receipt(&receipt).await? == Continuation::Restart {
                ctx.log().warn("starting over", &[("id", id.into())]);
            }
        }
        loop {
            match ctx.next().await? {
                Event::Batch(batch) => {
                    let column = batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
                    for (row, value) in column.values().iter().enumerate() {
                        if value % 50 == 0 {
                            let error = RecordError::new(0, "fifty", format!("row {row}"));
                            ctx.dead_letters(&batch.slice(row, 1), vec![error]).await?;
                        }
                    }
                }
                Event::Checkpoint(checkpoint) => {
                    state.put("receipt", &checkpoint.id.to_le_bytes()).await?;
                    ctx.commit_checkpoint(&checkpoint).await?;
                    ctx.counter("commits", 1, &[("stream", "numbers")]);
                }
                Event::End => return Ok(RunSummary::write(ctx.write_summary())),
            }
        }
    }
}

#[test]
fn a_source_is_recorded_in_order() {
    testing::block_on(async {
        let host = TestHost::new();
        let mut counter = host.source::<Counter>(json!({ "to": 50 })).await.unwrap();
        assert_eq!(counter.info().connector_id, "counter@1.0.0");
        assert_eq!(counter.validate().await.unwrap().status, ValidationStatus::Success);
        let summary = counter.run(RunRequest::read(stream())).await.unwrap().read.unwrap();
        assert_eq!((summary.records, summary.batches, summary.checkpoints), (50, 5, 1));
        let kinds: Vec<_> = host
            .emitted()
            .iter()
            .map(|event| match event {
                EmittedEvent::Batch(batch) => format!("{} rows", batch.num_rows()),
                EmittedEvent::Checkpoint(checkpoint) => {
                    format!(
                        "#{} {:?} {}",
                        checkpoint.id,
                        checkpoint.cursor.as_ref().unwrap().value,
                        checkpoint.records
                    )
                }
            })
            .collect();
        assert_eq!(kinds, ["10 rows", "10 rows", "10 rows", "#1 Int64(29) 30", "10 rows", "10 rows"]);
        counter.close().await.unwrap();
    });
}

#[test]
fn a_source_resumes_behind_its_position_and_stops_when_asked() {
    testing::block_on(async {
        let host = TestHost::new();
        host.cancel_after_batches(2);
        let mut counter = host.source::<Counter>(json!({})).await.unwrap();
        let stream = StreamContext { position: Some(CursorValue::Int64(9)), ..stream() };
        counter.run(RunRequest::read(stream)).await.unwrap();
        assert_eq!(host.emitted_batches(), [batch(10..20), batch(20..30)]);
        let last = host.emitted_checkpoints().pop().unwrap();
        assert_eq!(last.cursor.unwrap().value, CursorValue::Int64(29));
        assert!(!last.complete);
    });
}

#[test]
fn a_bad_configuration_is_refused_before_open() {
    testing::block_on(async {
        let error = TestHost::new().source::<Counter>(json!({ "too": 1 })).await.err().unwrap();
        assert_eq!(error.message, "config field `too`: unknown field, did you mean `to`?");
    });
}

#[test]
fn a_destination_commits_refuses_and_remembers() {
    testing::block_on(async {
        let host = TestHost::new();
        host.feed_batch(&batch(0..100));
        host.feed_checkpoint(Some(Cursor::new("n", CursorValue::Int64(99))));
        host.feed_batch(&batch(101..103));
        let last = host.feed_end();
        assert_eq!(last.cursor.as_ref().unwrap().value, CursorValue::Int64(99));
        let mut sink = host.destination::<Sink>(json!({})).await.unwrap();
        let summary = sink.run(RunRequest::write(stream())).await.unwrap().write.unwrap();
        assert_eq!((summary.records, summary.failed, summary.checkpoints), (100, 2, 2));
        let committed: Vec<_> = host.committed_checkpoints().iter().map(|c| (c.id, c.complete)).collect();
        assert_eq!(committed, [(1, false), (2, true)]);
        let dead: Vec<_> =
            host.dead_letters().into_iter().map(|(batch, errors)| (batch, errors[0].code.clone())).collect();
        assert_eq!(dead, [(batch(0..1), "fifty".to_owned()), (batch(50..51), "fifty".to_owned())]);
        assert_eq!(host.state(StateScope::Stream, "receipt").unwrap(), 2_u64.to_le_bytes());
        assert_eq!(host.metrics().len(), 2);

        // A second run reports the receipt and is told to start over.
        host.set_continuation(Continuation::Restart);
        host.feed_end_of_stopped_source();
        sink.run(RunRequest::write(stream())).await.unwrap();
        assert_eq!(host.receipts(), [Receipt { id: 2, cursor: None, complete: false }]);
        assert_eq!(host.logs()[0].message, "starting over");
    });
}

#[test]
fn refused_dead_letters_end_the_run() {
    testing::block_on(async {
        let host = TestHost::new();
        host.refuse_dead_letters(ConnectorError::data("fifty", "policy is `fail`"));
        host.feed_batch(&batch(0..1));
        let mut sink = host.destination::<Sink>(json!({})).await.unwrap();
        let error = sink.run(RunRequest::write(stream())).await.unwrap_err();
        assert_eq!(error.code, "fifty");
    });
}

#[test]
fn a_source_that_dies_is_not_an_end() {
    testing::block_on(async {
        let host = TestHost::new();
        host.feed_batch(&batch(1..2));
        host.feed_failure();
        let mut sink = host.destination::<Sink>(json!({})).await.unwrap();
        assert_eq!(sink.run(RunRequest::write(stream())).await.unwrap_err().code, "upstream_gone");
    });
}

#[test]
fn waiting_for_cancellation_wakes_up() {
    testing::block_on(async {
        let host = TestHost::new();
        let ctx = host.context(&RunRequest::read(stream()));
        let waiting = tokio::task::spawn_local(async move { ctx.cancelled().await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        host.cancel();
        waiting.await.unwrap();
    });
}

#[test]
fn compare_and_swap_compares() {
    testing::block_on(async {
        let host = TestHost::new();
        let state = host.context(&RunRequest::discover()).state(StateScope::Pipeline);
        assert!(!state.compare_and_swap("k", Some(b"x"), b"y").await.unwrap());
        assert!(state.compare_and_swap("k", None, b"x").await.unwrap());
        assert!(!state.compare_and_swap("k", None, b"y").await.unwrap());
        assert!(state.compare_and_swap("k", Some(b"x"), b"y").await.unwrap());
        assert_eq!(state.get("k").await.unwrap().unwrap(), b"y");
        assert_eq!(host.state(StateScope::Stream, "k"), None);
    });
}

#[test]
fn a_pipe_is_bounded_and_ends_with_a_complete_marker() {
    let (upstream, downstream) = testing::pipe(PipeBounds { bytes_max: 1, frames_max: 1 });
    testing::block_on(async {
        let mut counter = upstream.source::<Counter>(json!({ "to": 200 })).await.unwrap();
        let mut sink = downstream.destination::<Sink>(json!({})).await.unwrap();
        let (read, written) =
            tokio::join!(counter.run(RunRequest::read(stream())), sink.run(RunRequest::write(stream())));
        assert_eq!(read.unwrap().read.unwrap().records, 200);
        assert_eq!(written.unwrap().write.unwrap().records, 196);
        let committed = downstream.committed_checkpoints();
        assert!(committed.iter().rev().skip(1).all(|checkpoint| !checkpoint.complete));
        let last = committed.last().unwrap();
        assert!(last.complete);
        assert_eq!(last.cursor.as_ref().unwrap().value, CursorValue::Int64(179));
    });
}

#[test]
fn a_pipe_passes_failures_on_in_both_directions() {
    testing::block_on(async {
        let (upstream, downstream) = testing::pipe(PipeBounds::default());
        let mut counter = upstream.source::<Counter>(json!({ "fail_at": 30 })).await.unwrap();
        let mut sink = downstream.destination::<Sink>(json!({})).await.unwrap();
        let (read, written) =
            tokio::join!(counter.run(RunRequest::read(stream())), sink.run(RunRequest::write(stream())));
        assert_eq!(read.unwrap_err().code, "lost");
        assert_eq!(written.unwrap_err().code, "upstream_gone");
        assert_eq!(downstream.committed_checkpoints().len(), 1);

        let (upstream, downstream) = testing::pipe(PipeBounds { bytes_max: 1, frames_max: 1 });
        downstream.refuse_dead_letters(ConnectorError::data("fifty", "policy is `fail`"));
        let mut counter = upstream.source::<Counter>(json!({})).await.unwrap();
        let mut sink = downstream.destination::<Sink>(json!({})).await.unwrap();
        let (read, written) =
            tokio::join!(counter.run(RunRequest::read(stream())), sink.run(RunRequest::write(stream())));
        assert_eq!(read.unwrap_err().code, "downstream_gone");
        assert_eq!(written.unwrap_err().code, "fifty");
    });
}

/// Passes on every other batch.
#[connector(transform)]
struct EveryOther;

impl Transform for EveryOther {
    type Config = NoConfig;

    async fn open(_: NoConfig) -> Result<(Self, OpenInfo), ConnectorError> {
        Ok((EveryOther, OpenInfo::new("every-other@1.0.0", Capabilities::default())))
    }

    async fn run(&mut self, ctx: &Context, _: RunRequest) -> Result<RunSummary, ConnectorError> {
        let mut pass = true;
        loop {
            match ctx.next().await? {
                Event::Batch(batch) if pass => {
                    ctx.emit(&batch).await?;
                    pass = false;
                }
                Event::Batch(_) => pass = true,
                Event::Checkpoint(checkpoint) => ctx.forward_checkpoint(&checkpoint).await?,
                Event::End => return Ok(RunSummary::transform(ctx.transform_summary())),
            }
        }
    }
}

#[test]
fn a_transform_stands_between() {
    let (upstream, between, downstream) =
        testing::pipe_through_transform(PipeBounds { bytes_max: 1, frames_max: 1 });
    testing::block_on(async {
        let mut counter = upstream.source::<Counter>(json!({})).await.unwrap();
        let mut every_other = between.transform::<EveryOther>(json!({})).await.unwrap();
        let mut sink = downstream.destination::<Sink>(json!({})).await.unwrap();
        let (read, changed, written) = tokio::join!(
            counter.run(RunRequest::read(stream())),
            every_other.run(RunRequest::transform(stream())),
            sink.run(RunRequest::write(stream())),
        );
        assert_eq!(read.unwrap().read.unwrap().records, 100);
        let changed = changed.unwrap().transform.unwrap();
        assert_eq!((changed.records_in, changed.records_out), (100, 50));
        assert_eq!(written.unwrap().write.unwrap().batches, 5);
        let ids: Vec<_> = downstream.committed_checkpoints().iter().map(|c| (c.id, c.complete)).collect();
        assert_eq!(ids, [(1, false), (2, false), (3, false), (4, true)]);
    });
}

// ---- Sockets --------------------------------------------------------------------------------------

#[test]
fn connecting_fails_with_the_hosts_codes() {
    testing::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = HostTcpStream::connect("127.0.0.1", port, Duration::from_secs(30)).await.unwrap_err();
        assert_eq!(error.code, "connection_refused");
        assert!(error.message.starts_with(&format!("`127.0.0.1:{port}`: ")), "{error}");
    });
}

/// A TLS server with a self-signed certificate for `name` that echoes one message; the port and the certificate as PEM.
async fn tls_server(name: &str) -> (u16, String) {
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    let certified = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                let mut message = [0; 5];
                stream.read_exact(&mut message).await?;
                stream.write_all(&message).await?;
                stream.shutdown().await
            });
        }
    });
    (port, certified.cert.pem())
}

async fn handshake(port: u16, options: TlsOptions) -> Result<TlsInfo, ConnectorError> {
    let mut stream = HostTcpStream::connect("127.0.0.1", port, Duration::from_secs(30)).await?;
    let info = stream.start_tls(options).await?;
    stream.write_all(b"hello").await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    assert_eq!(answer, b"hello");
    let twice = stream.start_tls(TlsOptions::new("db.test")).await.unwrap_err();
    assert_eq!(twice.code, "tls_twice");
    Ok(info)
}

#[test]
fn tls_verifies_as_much_as_it_is_told() {
    testing::block_on(async {
        let (port, pem) = tls_server("db.test").await;
        let trusted = TlsOptions {
            roots_pem: Some(pem),
            alpn: vec!["postgresql".into()],
            ..TlsOptions::new("db.test")
        };
        let info = handshake(port, trusted.clone()).await.unwrap();
        assert_eq!(info.alpn.as_deref(), Some("postgresql"));
        assert_eq!(info.channel_binding.unwrap().len(), 32, "a P-256 certificate is signed with SHA-256");

        let other_name = TlsOptions { server_name: "other.test".into(), ..trusted.clone() };
        let error = handshake(port, other_name.clone()).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), ("tls_refused", false));
        handshake(port, TlsOptions { verification: TlsVerification::Chain, ..other_name.clone() })
            .await
            .unwrap();

        let (_, foreign) = tls_server("db.test").await;
        let untrusted = TlsOptions { roots_pem: Some(foreign), ..other_name };
        let chain = TlsOptions { verification: TlsVerification::Chain, ..untrusted.clone() };
        assert_eq!(handshake(port, chain).await.unwrap_err().code, "tls_refused");
        handshake(port, TlsOptions { verification: TlsVerification::None, ..untrusted }).await.unwrap();

        let nonsense = TlsOptions { roots_pem: Some("no certificate".into()), ..trusted };
        assert_eq!(handshake(port, nonsense).await.unwrap_err().code, "bad_roots");
    });
}
