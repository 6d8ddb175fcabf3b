//! Faults by plan, of every kind, met by real guests: what the guest's caller gets, what the peer sees, what was counted.

mod harness;

use std::sync::Arc;

use harness::*;
use rapidbyte_core::*;
use rapidbyte_wasm::faults::{FaultKind, FaultPlan, Import};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Runs a rig under a plan.
async fn run_with(mut rig: Rig, plan: &str) -> (Result<RunSummary, ConnectorError>, Arc<FaultPlan>) {
    let plan = Arc::new(FaultPlan::parse(plan).unwrap());
    rig.faults = Some(plan.clone());
    let outcome = rig.run().await;
    assert_eq!(plan.fired().len(), plan.to_string().split(',').filter(|fault| !fault.is_empty()).count());
    (outcome.result, plan)
}

async fn code_of(rig: Rig, plan: &str) -> (ErrorCategory, String) {
    let (result, _) = run_with(rig, plan).await;
    let error = result.expect_err(plan);
    (error.category, error.code)
}

fn echo() -> Rig {
    Rig::source("echo").frames([frame_hex(1, 3), frame_hex(4, 5)])
}

/// Sends back what comes; answers its port and how each connection ended for it.
async fn echo_server() -> (u16, tokio::sync::mpsc::UnboundedReceiver<std::io::Result<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (ended, ends) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let ended = ended.clone();
            tokio::spawn(async move {
                let (mut total, mut bytes) = (0, vec![0; 1 << 16]);
                let end = loop {
                    match stream.read(&mut bytes).await {
                        Ok(0) => break Ok(total),
                        Ok(read) => {
                            total += read;
                            if let Err(error) = stream.write_all(&bytes[..read]).await {
                                break Err(error);
                            }
                        }
                        Err(error) => break Err(error),
                    }
                };
                let _ = ended.send(end);
            });
        }
    });
    (port, ends)
}

#[test]
fn without_faults_calls_are_counted() {
    block_on(async {
        let (result, plan) = run_with(echo(), "").await;
        result.unwrap();
        let calls = plan.calls();
        assert_eq!(calls[&Import::BatchEmit], 2);
        assert_eq!(calls[&Import::FrameFromIpc], 2);
        assert_eq!(calls[&Import::TelemetryCheckpoint], 2);
        assert!(!calls.contains_key(&Import::TcpConnect));
        // Everything that the guest uses, broken in every way that it can be.
        for (import, count) in calls {
            for kind in import.kinds() {
                let (result, _) = run_with(echo(), &format!("{}#{count}={kind}", import.name())).await;
                let code = result.map_err(|error| error.code);
                let expected = match kind {
                    FaultKind::Delay { .. } => None,
                    FaultKind::Trap => Some("guest_trapped"),
                    FaultKind::Kill => Some("killed"),
                    FaultKind::Refuse => Some("refused"),
                    FaultKind::HostError => Some("host_error"),
                    FaultKind::Reset | FaultKind::CutShort { .. } => unreachable!("{import:?} is no socket"),
                };
                // What has no error to answer with is not asked for one.
                assert_eq!(code.err().as_deref(), expected, "{import:?} {kind}");
            }
        }
    });
}

#[test]
fn a_connection_is_refused_or_reset_at_once() {
    block_on(async {
        let (port, mut ends) = echo_server().await;
        let rig = || Rig::source("tcp_echo").endpoint("127.0.0.1", port).count(100_000);
        let network = ErrorCategory::TransientNetwork;
        assert_eq!(code_of(rig(), "tcp-connect#1=refuse").await, (network, "connection_refused".to_owned()));
        assert_eq!(code_of(rig(), "tcp-connect#1=reset").await, (network, "connection_reset".to_owned()));
        assert!(ends.recv().await.unwrap().is_err(), "the peer sees a reset");
        run_with(rig(), "tcp-connect#1=delay:30").await.0.unwrap();
        assert!(ends.recv().await.unwrap().is_ok());
    });
}

#[test]
fn a_connection_breaks_in_the_middle() {
    block_on(async {
        let (port, mut ends) = echo_server().await;
        let rig = || Rig::source("tcp_echo").endpoint("127.0.0.1", port).count(100_000);
        let (result, plan) = run_with(rig(), "").await;
        result.unwrap();
        assert!(ends.recv().await.unwrap().is_ok());
        assert!(plan.calls()[&Import::TcpTryWrite] > 0);
        for fault in ["tcp-write#1=reset", "tcp-read#1=reset", "tcp-try-write#1=reset", "tcp-close#1=reset"] {
            let broken = (ErrorCategory::TransientNetwork, "connection_reset".to_owned());
            assert_eq!(code_of(rig(), fault).await, broken, "{fault}");
            assert!(ends.recv().await.unwrap().is_err(), "the peer sees {fault}");
        }
    });
}

#[test]
fn reads_and_writes_are_cut_short() {
    block_on(async {
        let (port, mut ends) = echo_server().await;
        let rig = || Rig::source("tcp_echo").endpoint("127.0.0.1", port).count(100_000);
        // A short read or write is legal: a guest goes on.
        for fault in ["tcp-read#1=cut-short:1", "tcp-try-write#1=cut-short:7"] {
            run_with(rig(), fault).await.0.unwrap();
            assert_eq!(ends.recv().await.unwrap().unwrap(), 100_004, "{fault}");
        }
        // A write of all is all or an error: some bytes have gone out.
        let broken = (ErrorCategory::TransientNetwork, "connection_reset".to_owned());
        assert_eq!(code_of(rig(), "tcp-write#1=cut-short:3").await, broken);
        assert!(ends.recv().await.unwrap().is_err());
    });
}

#[test]
fn a_destination_meets_faults_too() {
    block_on(async {
        for (fault, code) in [
            ("batch-next#2=host-error", "host_error"),
            ("telemetry-checkpoint#1=refuse", "refused"),
            ("batch-next#1=trap", "guest_trapped"),
        ] {
            assert_eq!(code_of(Rig::destination("take_all"), fault).await.1, code);
        }
        run_with(Rig::destination("take_all"), "frame.to-ipc#1=delay:5,frame.records#2=delay:5")
            .await
            .0
            .unwrap();
    });
}

/// Two guests share a plan: when one is killed, the other does nothing any more.
#[test]
fn a_kill_takes_everybody_along() {
    block_on(async {
        let plan = Arc::new(FaultPlan::parse("batch-emit#1=kill").unwrap());
        let mut other = Rig::destination("take_all");
        other.faults = Some(plan.clone());
        let mut other = other.start().await;
        other.open().await.unwrap();

        let mut rig = echo();
        rig.faults = Some(plan.clone());
        let mut outcome = rig.run().await;
        assert_eq!(outcome.result.as_ref().unwrap_err().code, "killed");
        assert!(outcome.emitted().is_empty(), "it was killed before anything was emitted");
        assert!(plan.is_killed());
        plan.killed().await;

        assert_eq!(other.instance.run(other.request.clone()).await.unwrap_err().code, "killed");
        assert!(
            other.services.checkpoints.lock().unwrap().is_empty(),
            "nothing was committed after the kill"
        );
        assert_eq!(other.instance.validate().await.unwrap_err().code, "instance_poisoned");
        the_host_lives(&engine()).await;
    });
}
