//! `host-io`, function by function: every entry is announced to the engine and handed to who does it.

use wasmtime::Result;
use wasmtime::component::Resource;

use super::{Fault, HeldFrame, batches, network, point, state, telemetry, wait};
use crate::bindings::{host_io, stream_types, telemetry as wt};
use crate::faults::{Import, strike, strike_now};
use crate::network::Socket;
use crate::store::HostState;

impl stream_types::Host for HostState {}
impl wt::Host for HostState {}

/// Announces an entry.
macro_rules! enter {
    ($state:expr, $import:literal) => {
        $state.services.reached(point!($state, $import))
    };
}

/// Of an import that has no error to tell the guest.
fn ended(fault: Fault) -> wasmtime::Error {
    match fault {
        Fault::Trap(error) => error,
        Fault::Refused(error) => wasmtime::format_err!("{error}"),
    }
}

impl host_io::HostFrame for HostState {
    fn from_ipc(&mut self, bytes: Vec<u8>) -> Result<Resource<HeldFrame>, Fault> {
        enter!(self, "frame.from-ipc");
        strike_now(&self.faults, Import::FrameFromIpc)?;
        batches::from_ipc(self, bytes)
    }

    fn from_json(&mut self, schema: Vec<u8>, rows: String) -> Result<Resource<HeldFrame>, Fault> {
        enter!(self, "frame.from-json");
        strike_now(&self.faults, Import::FrameFromJson)?;
        batches::from_json(self, &schema, &rows)
    }

    fn to_ipc(&mut self, frame: Resource<HeldFrame>) -> Result<Vec<u8>> {
        enter!(self, "frame.to-ipc");
        strike_now(&self.faults, Import::FrameToIpc).map_err(ended)?;
        Ok(self.table.get(&frame)?.0.bytes().to_vec())
    }

    fn to_json(&mut self, frame: Resource<HeldFrame>) -> Result<String, Fault> {
        enter!(self, "frame.to-json");
        strike_now(&self.faults, Import::FrameToJson)?;
        batches::to_json(self, &frame)
    }

    fn records(&mut self, frame: Resource<HeldFrame>) -> Result<u64> {
        strike_now(&self.faults, Import::FrameRecords).map_err(ended)?;
        Ok(self.table.get(&frame)?.0.records())
    }

    fn bytes(&mut self, frame: Resource<HeldFrame>) -> Result<u64> {
        strike_now(&self.faults, Import::FrameBytes).map_err(ended)?;
        Ok(self.table.get(&frame)?.0.len_bytes())
    }

    fn drop(&mut self, frame: Resource<HeldFrame>) -> Result<()> {
        batches::take(self, frame)?;
        Ok(())
    }
}

impl host_io::HostSocket for HostState {
    fn drop(&mut self, socket: Resource<Socket>) -> Result<()> {
        network::take(self, socket)?;
        Ok(())
    }
}

impl host_io::Host for HostState {
    async fn batch_emit(&mut self, frame: Resource<HeldFrame>) -> Result<(), Fault> {
        enter!(self, "batch-emit");
        strike(&self.faults, Import::BatchEmit).await?;
        batches::emit(self, frame).await
    }

    fn batch_try_emit(&mut self, frame: Resource<HeldFrame>) -> Result<Option<Resource<HeldFrame>>, Fault> {
        enter!(self, "batch-try-emit");
        strike_now(&self.faults, Import::BatchTryEmit)?;
        batches::try_emit(self, frame)
    }

    async fn batch_next(&mut self) -> Result<host_io::BatchEvent, Fault> {
        enter!(self, "batch-next");
        strike(&self.faults, Import::BatchNext).await?;
        batches::next(self).await
    }

    fn batch_try_next(&mut self) -> Result<Option<host_io::BatchEvent>, Fault> {
        enter!(self, "batch-try-next");
        strike_now(&self.faults, Import::BatchTryNext)?;
        batches::try_next(self)
    }

    async fn wait(&mut self, interests: Vec<host_io::Interest>, timeout_ns: Option<u64>) -> Result<Vec<u32>> {
        enter!(self, "wait");
        strike(&self.faults, Import::Wait).await.map_err(ended)?;
        wait::wait(self, &interests, timeout_ns).await
    }

    fn cancelled(&mut self) -> Result<bool> {
        enter!(self, "cancelled");
        strike_now(&self.faults, Import::Cancelled).map_err(ended)?;
        Ok(self.services.cancelled())
    }

    async fn tcp_connect(
        &mut self,
        host: String,
        port: u16,
        timeout_ms: u32,
    ) -> Result<Resource<Socket>, Fault> {
        enter!(self, "tcp-connect");
        let bent = strike(&self.faults, Import::TcpConnect).await?;
        network::connect(self, &host, port, timeout_ms, bent).await
    }

    async fn tcp_start_tls(
        &mut self,
        socket: Resource<Socket>,
        options: host_io::TlsOptions,
    ) -> Result<host_io::TlsInfo, Fault> {
        enter!(self, "tcp-start-tls");
        let bent = strike(&self.faults, Import::TcpStartTls).await?;
        network::start_tls(self, &socket, options, bent).await
    }

    async fn tcp_read(&mut self, socket: Resource<Socket>, max_bytes: u32) -> Result<Vec<u8>, Fault> {
        enter!(self, "tcp-read");
        let bent = strike(&self.faults, Import::TcpRead).await?;
        network::read(self, &socket, max_bytes, bent).await
    }

    fn tcp_try_read(&mut self, socket: Resource<Socket>, max_bytes: u32) -> Result<Option<Vec<u8>>, Fault> {
        enter!(self, "tcp-try-read");
        let bent = strike_now(&self.faults, Import::TcpTryRead)?;
        network::try_read(self, &socket, max_bytes, bent)
    }

    async fn tcp_write(&mut self, socket: Resource<Socket>, bytes: Vec<u8>) -> Result<(), Fault> {
        enter!(self, "tcp-write");
        let bent = strike(&self.faults, Import::TcpWrite).await?;
        network::write(self, &socket, &bytes, bent).await
    }

    fn tcp_try_write(&mut self, socket: Resource<Socket>, bytes: Vec<u8>) -> Result<u32, Fault> {
        enter!(self, "tcp-try-write");
        let bent = strike_now(&self.faults, Import::TcpTryWrite)?;
        network::try_write(self, &socket, &bytes, bent)
    }

    async fn tcp_close(&mut self, socket: Resource<Socket>) -> Result<(), Fault> {
        enter!(self, "tcp-close");
        let bent = strike(&self.faults, Import::TcpClose).await?;
        network::close(self, socket, bent).await
    }

    async fn state_get(&mut self, scope: host_io::StateScope, key: String) -> Result<Option<Vec<u8>>, Fault> {
        enter!(self, "state-get");
        strike(&self.faults, Import::StateGet).await?;
        state::get(self, scope, &key).await
    }

    async fn state_put(
        &mut self,
        scope: host_io::StateScope,
        key: String,
        value: Vec<u8>,
    ) -> Result<(), Fault> {
        enter!(self, "state-put");
        strike(&self.faults, Import::StatePut).await?;
        state::put(self, scope, &key, value).await
    }

    async fn state_compare_and_swap(
        &mut self,
        scope: host_io::StateScope,
        key: String,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> Result<bool, Fault> {
        enter!(self, "state-compare-and-swap");
        strike(&self.faults, Import::StateCompareAndSwap).await?;
        state::compare_and_swap(self, scope, &key, expected, value).await
    }

    async fn telemetry_checkpoint(
        &mut self,
        event: wt::CheckpointEvent,
    ) -> Result<wt::CheckpointReply, Fault> {
        enter!(self, "telemetry-checkpoint");
        strike(&self.faults, Import::TelemetryCheckpoint).await?;
        telemetry::checkpoint(self, event).await
    }

    fn telemetry_committed(&mut self) -> Result<Option<wt::CheckpointEvent>> {
        enter!(self, "telemetry-committed");
        strike_now(&self.faults, Import::TelemetryCommitted).map_err(ended)?;
        Ok(self.services.committed().map(Into::into))
    }

    fn telemetry_metric(&mut self, event: wt::MetricEvent) -> Result<()> {
        enter!(self, "telemetry-metric");
        strike_now(&self.faults, Import::TelemetryMetric).map_err(ended)?;
        self.reporter.metric(event);
        Ok(())
    }

    fn telemetry_log(&mut self, event: wt::LogEvent) -> Result<()> {
        enter!(self, "telemetry-log");
        strike_now(&self.faults, Import::TelemetryLog).map_err(ended)?;
        self.reporter.log(event);
        Ok(())
    }

    fn telemetry_progress(&mut self, records: u64, bytes: u64) -> Result<()> {
        enter!(self, "telemetry-progress");
        strike_now(&self.faults, Import::TelemetryProgress).map_err(ended)?;
        self.services.progress(records, bytes);
        Ok(())
    }

    async fn telemetry_dlq(
        &mut self,
        records: Resource<HeldFrame>,
        errors: Vec<wt::RecordError>,
    ) -> Result<(), Fault> {
        enter!(self, "telemetry-dlq");
        strike(&self.faults, Import::TelemetryDlq).await?;
        telemetry::dead_letters(self, records, errors).await
    }
}
