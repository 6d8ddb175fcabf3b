//! A source that puts the guest's executor through one scenario per run; the stream's name says which, the configuration
//! where the peer listens. What it measures goes into the log as fields, for the test to judge.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rapidbyte_sdk::arrow::array::{Int64Array, RecordBatch};
use rapidbyte_sdk::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task;
use tokio::time::{sleep, timeout};

/// Where the peer is.
#[derive(serde::Deserialize, ConfigSchema)]
pub struct Config {
    #[config(default = "127.0.0.1")]
    host: String,
    #[config(default = 1)]
    port: u16,
    /// Kept out of sight.
    #[config(secret)]
    #[allow(dead_code)]
    password: Option<String>,
}

#[connector(source)]
pub struct Executor {
    config: Config,
    runs: u32,
    /// Counts on while no call runs it: a task spawned in `open` that must survive into `run`.
    background: mpsc::UnboundedSender<oneshot::Sender<&'static str>>,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

impl Source for Executor {
    type Config = Config;

    async fn open(config: Config) -> Result<(Self, OpenInfo), ConnectorError> {
        let (background, mut questions) = mpsc::unbounded_channel::<oneshot::Sender<&'static str>>();
        tokio::spawn(async move {
            while let Some(answer) = questions.recv().await {
                let _nobody_asks_any_more = answer.send("alive");
            }
        });
        let capabilities = Capabilities { full_refresh: true, projection: true, ..Capabilities::default() };
        Ok((Executor { config, runs: 0, background }, OpenInfo::new(connector_id!(), capabilities)))
    }

    async fn validate(config: &Config) -> Result<ValidationReport, ConnectorError> {
        Ok(ValidationReport::success(format!("port {}", config.port)))
    }

    async fn run(&mut self, ctx: &Context, request: RunRequest) -> Result<RunSummary, ConnectorError> {
        self.runs += 1;
        let stream = request.stream()?;
        match stream.name.as_str() {
            "idle" => idle(ctx).await,
            "timers" => timers(ctx).await,
            "timeout_on_silence" => self.timeout_on_silence(ctx).await?,
            "dribble" => self.dribble(ctx).await?,
            "ping_pong" => self.ping_pong(ctx).await?,
            "unflushed" => self.unflushed().await?,
            "many_sockets" => self.many_sockets(ctx).await?,
            "fairness" => self.fairness(ctx).await?,
            "spawn_and_select" => spawn_and_select(ctx).await,
            "bulk" => self.bulk(ctx).await?,
            "sleep_blocking" => sleep_blocking(ctx),
            "emit_while_ticking" => emit_while_ticking(ctx, stream).await?,
            "until_cancelled" => until_cancelled(ctx).await,
            "half_closed" => self.half_closed().await?,
            "refused" => self.refused().await?,
            "background" => self.background().await?,
            "runs" => ctx.log().info("runs", &[("runs", self.runs.into())]),
            "panic" => panic!("told to by the test"),
            other => {
                return Err(ConnectorError::internal("unknown_scenario", format!("no scenario `{other}`")));
            }
        }
        Ok(RunSummary::read(ctx.read_summary()))
    }

    async fn close(&mut self) -> Result<(), ConnectorError> {
        if self.runs == 13 { Err(ConnectorError::internal("superstition", "thirteen runs")) } else { Ok(()) }
    }
}

/// Nothing but time passes.
async fn idle(ctx: &Context) {
    let start = Instant::now();
    sleep(Duration::from_millis(300)).await;
    ctx.log().info("idle", &[("slept_us", micros(start.elapsed()))]);
}

/// Thousands of timers: none early, all in order.
async fn timers(ctx: &Context) {
    const TIMERS: u64 = 5_000;
    let start = Instant::now();
    let (sender, mut receiver) = mpsc::unbounded_channel();
    for index in 0..TIMERS {
        // Spread over half a second in an order that is not that of creation.
        let delay = Duration::from_millis((index * 7_919) % 500 + 1);
        let sender = sender.clone();
        tokio::spawn(async move {
            let begun = Instant::now();
            sleep(delay).await;
            let _receiver_lives = sender.send((delay, begun.elapsed(), start.elapsed()));
        });
    }
    drop(sender);
    let (mut fired, mut early, mut late_us, mut unordered) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut last = Duration::ZERO;
    while let Some((delay, elapsed, _)) = receiver.recv().await {
        fired += 1;
        early += u64::from(elapsed < delay);
        late_us = late_us.max(elapsed.saturating_sub(delay).as_micros() as u64);
        // Timers begin within the time it takes to spawn them all; far beyond that is out of order.
        unordered += u64::from(delay + Duration::from_millis(250) < last);
        last = last.max(delay);
    }
    ctx.log().info(
        "timers",
        &[
            ("fired", fired.into()),
            ("early", early.into()),
            ("unordered", unordered.into()),
            ("late_us", late_us.into()),
        ],
    );
}

async fn spawn_and_select(ctx: &Context) {
    let ticks = Rc::new(Cell::new(0_u64));
    let counter = ticks.clone();
    // `spawn_local` takes what is not `Send`.
    let ticking = task::spawn_local(async move {
        loop {
            sleep(Duration::from_millis(2)).await;
            counter.set(counter.get() + 1);
        }
    });
    let slow = tokio::spawn(async {
        sleep(Duration::from_millis(40)).await;
        7_u64
    });
    let winner = tokio::select! {
        answer = slow => answer.unwrap_or(0),
        () = sleep(Duration::from_secs(3_600)) => 0,
    };
    ticking.abort();
    let cancelled = ticking.await.is_err_and(|error| error.is_cancelled());
    ctx.log().info(
        "spawn_and_select",
        &[("winner", winner.into()), ("ticks", ticks.get().into()), ("aborted", cancelled.into())],
    );
}

/// A blocking sleep sleeps to its end, though something is ready all the time.
fn sleep_blocking(ctx: &Context) {
    let start = Instant::now();
    std::thread::sleep(Duration::from_millis(50));
    std::thread::sleep(Duration::ZERO);
    ctx.log().info("sleep_blocking", &[("slept_us", micros(start.elapsed()))]);
}

/// The channel fills up; another task must go on meanwhile.
async fn emit_while_ticking(ctx: &Context, stream: &StreamContext) -> Result<(), ConnectorError> {
    let ticks = Rc::new(Cell::new(0_u64));
    let counter = ticks.clone();
    let ticking = task::spawn_local(async move {
        loop {
            sleep(Duration::from_millis(1)).await;
            counter.set(counter.get() + 1);
        }
    });
    for batch in 0..10 {
        let column = Int64Array::from_iter_values(batch * 100..batch * 100 + 100);
        ctx.emit(&RecordBatch::try_new(stream.schema.clone(), vec![Arc::new(column)])?).await?;
    }
    ctx.checkpoint(Cursor::new("n", CursorValue::Int64(999))).await?;
    ticking.abort();
    ctx.log().info("emit_while_ticking", &[("ticks", ticks.get().into())]);
    Ok(())
}

async fn until_cancelled(ctx: &Context) {
    let before = ctx.is_cancelled();
    ctx.cancelled().await;
    ctx.log().info("until_cancelled", &[("before", before.into()), ("after", ctx.is_cancelled().into())]);
}

impl Executor {
    async fn connect(&self) -> Result<HostTcpStream, ConnectorError> {
        HostTcpStream::connect(&self.config.host, self.config.port, CONNECT_TIMEOUT).await
    }

    /// The peer accepts and never says anything.
    async fn timeout_on_silence(&self, ctx: &Context) -> Result<(), ConnectorError> {
        let mut stream = self.connect().await?;
        let start = Instant::now();
        let mut byte = [0];
        let timed_out = timeout(Duration::from_millis(120), stream.read_exact(&mut byte)).await.is_err();
        ctx.log().info(
            "timeout_on_silence",
            &[("timed_out", timed_out.into()), ("after_us", micros(start.elapsed()))],
        );
        Ok(())
    }

    /// The peer sends byte by byte, with pauses.
    async fn dribble(&self, ctx: &Context) -> Result<(), ConnectorError> {
        let mut stream = self.connect().await?;
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await?;
        let text = String::from_utf8_lossy(&received).into_owned();
        ctx.log().info("dribble", &[("received", text.into())]);
        Ok(())
    }

    /// Question and answer over a connection that a task of its own drives, as `tokio-postgres` does.
    async fn ping_pong(&self, ctx: &Context) -> Result<(), ConnectorError> {
        const ROUNDS: u32 = 500;
        let stream = self.connect().await?;
        let (questions, mut inbox) = mpsc::channel::<(u32, oneshot::Sender<u32>)>(8);
        let connection = tokio::spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(stream);
            let mut waiting = std::collections::VecDeque::new();
            let mut answer = [0; 4];
            let mut filled = 0;
            loop {
                // Reads are polled before writes, which deadlocks where a read blocks.
                tokio::select! {
                    biased;
                    count = reader.read(&mut answer[filled..]) => {
                        match count? {
                            0 => return Ok::<(), std::io::Error>(()),
                            count => filled += count,
                        }
                        if filled == answer.len() {
                            filled = 0;
                            if let Some(sender) = waiting.pop_front() {
                                let _asker_lives = oneshot::Sender::send(sender, u32::from_be_bytes(answer));
                            }
                        }
                    }
                    question = inbox.recv() => match question {
                        Some((number, sender)) => {
                            waiting.push_back(sender);
                            writer.write_all(&number.to_be_bytes()).await?;
                            writer.flush().await?;
                        }
                        None => {
                            writer.shutdown().await?;
                            return Ok(());
                        }
                    },
                }
            }
        });
        let mut right = 0_u32;
        for number in 0..ROUNDS {
            let (sender, answer) = oneshot::channel();
            if questions.send((number, sender)).await.is_err() {
                break;
            }
            right += u32::from(answer.await.ok() == Some(number + 1));
        }
        drop(questions);
        let ended = connection.await.is_ok_and(|result| result.is_ok());
        ctx.log().info("ping_pong", &[("right", right.into()), ("ended", ended.into())]);
        Ok(())
    }

    /// Writes without a flush arrive, because the connector then waits for the answer.
    async fn unflushed(&self) -> Result<(), ConnectorError> {
        let mut stream = self.connect().await?;
        for number in 0_u32..100 {
            for byte in number.to_be_bytes() {
                stream.write_all(&[byte]).await?;
            }
            let answer = stream.read_u32().await?;
            if answer != number + 1 {
                return Err(ConnectorError::internal("wrong_answer", format!("{answer} to {number}")));
            }
        }
        Ok(())
    }

    /// Dozens of connections at once, each with its own task.
    async fn many_sockets(&self, ctx: &Context) -> Result<(), ConnectorError> {
        let mut tasks = task::JoinSet::new();
        for _ in 0..50 {
            let mut stream = self.connect().await?;
            tasks.spawn(async move {
                let mut right = 0_u32;
                for number in 0_u32..20 {
                    stream.write_u32(number).await?;
                    right += u32::from(stream.read_u32().await? == number + 1);
                }
                Ok::<u32, std::io::Error>(right)
            });
        }
        let mut right = 0;
        while let Some(done) = tasks.join_next().await {
            right += done.map_err(|error| ConnectorError::internal("task", error.to_string()))??;
        }
        ctx.log().info("many_sockets", &[("right", right.into())]);
        Ok(())
    }

    /// A task that never waits must not keep another from its socket.
    async fn fairness(&self, ctx: &Context) -> Result<(), ConnectorError> {
        let mut stream = self.connect().await?;
        let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stop = done.clone();
        let busy = tokio::spawn(async move {
            let mut turns = 0_u64;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                turns += 1;
                task::yield_now().await;
            }
            turns
        });
        let mut right = 0_u32;
        for number in 0_u32..20 {
            stream.write_u32(number).await?;
            stream.flush().await?;
            right += u32::from(stream.read_u32().await? == number + 1);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        let turns = busy.await.unwrap_or(0);
        ctx.log().info("fairness", &[("right", right.into()), ("turns", turns.into())]);
        Ok(())
    }

    /// Megabytes both ways at once, in pieces of every size.
    async fn bulk(&self, ctx: &Context) -> Result<(), ConnectorError> {
        const BYTES: usize = 8 << 20;
        let (mut reader, mut writer) = tokio::io::split(self.connect().await?);
        let writing = tokio::spawn(async move {
            let data: Vec<u8> = (0..BYTES).map(|index| (index * 31 % 251) as u8).collect();
            let (mut rest, mut piece) = (data.as_slice(), 1);
            while !rest.is_empty() {
                let (now, later) = rest.split_at(piece.min(rest.len()));
                writer.write_all(now).await?;
                rest = later;
                piece = (piece * 3) % 400_009 + 1;
            }
            writer.flush().await
        });
        let mut received = vec![0; BYTES];
        reader.read_exact(&mut received).await?;
        let same = received.iter().enumerate().all(|(index, byte)| *byte == (index * 31 % 251) as u8);
        let written = writing.await.is_ok_and(|result| result.is_ok());
        ctx.log().info("bulk", &[("same", same.into()), ("written", written.into())]);
        Ok(())
    }

    /// After a goodbye nothing can be written, and a reader learns of the end.
    async fn half_closed(&self) -> Result<(), ConnectorError> {
        let mut stream = self.connect().await?;
        stream.write_all(&7_u32.to_be_bytes()).await?;
        let answer = stream.read_u32().await?;
        stream.shutdown().await?;
        stream.shutdown().await?;
        let after = stream.write_all(b"x").await;
        let end = stream.read(&mut [0; 8]).await?;
        if answer != 8 || after.is_ok() || end != 0 {
            return Err(ConnectorError::internal("half_closed", format!("{answer} {after:?} {end}")));
        }
        Ok(())
    }

    /// A refused connection is the host's error, unchanged, through `io::Error` and back.
    async fn refused(&self) -> Result<(), ConnectorError> {
        let error = match self.connect().await {
            Ok(_) => return Ok(()),
            Err(error) => std::io::Error::from(error),
        };
        Err(error.into())
    }

    /// A task spawned in `open` lives on.
    async fn background(&self) -> Result<(), ConnectorError> {
        let (sender, answer) = oneshot::channel();
        let sent = self.background.send(sender).is_ok();
        match answer.await {
            Ok("alive") if sent => Ok(()),
            other => Err(ConnectorError::internal("background", format!("{other:?}"))),
        }
    }
}

fn micros(duration: Duration) -> FieldValue {
    (duration.as_micros() as u64).into()
}
