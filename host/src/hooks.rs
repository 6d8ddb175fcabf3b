//! Hooks: the commands that a document wants run when its run has ended. Each is given to `sh -c` in the document's folder with
//! what became of the run in variables; what it prints goes to the log, line by line, through the redactor. A hook that fails is
//! a warning: the records have moved.
//!
//! Refuses to know: how a run goes, and what its report looks like to people.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rapidbyte_core::ports::RunStatus;
use rapidbyte_core::redact::Redactor;
use rapidbyte_engine::RunReport;
use rapidbyte_pipeline::{Hook, HooksSpec};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use crate::error::HostError;
use crate::operations::document::Document;
use crate::settings::Host;

/// A longer line is shown in parts.
const LINE_BYTES_MAX: usize = 8 * 1024;
/// What a hook has left in the background may hold its output open; nobody waits for that.
const OUTPUT_GRACE: Duration = Duration::from_secs(1);

/// What hooks are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFacts {
    pub status: RunStatus,
    pub records_read: u64,
    pub records_written: u64,
    pub duration_ms: u64,
    pub failed_streams: Vec<String>,
}

impl RunFacts {
    /// Of a run that took place.
    pub fn of(report: &RunReport) -> Self {
        let counters = report.counters();
        let mut failed_streams: Vec<String> = Vec::new();
        for stream in report.streams.iter().filter(|stream| stream.status == RunStatus::Failed) {
            // A stream in partitions is in the report several times.
            if !failed_streams.contains(&stream.stream) {
                failed_streams.push(stream.stream.clone());
            }
        }
        RunFacts {
            status: report.status(),
            records_read: counters.records_read,
            records_written: counters.records_written,
            duration_ms: report.duration_ms,
            failed_streams,
        }
    }

    /// Of a run that did not begin.
    pub fn refused(status: RunStatus) -> Self {
        RunFacts { status, records_read: 0, records_written: 0, duration_ms: 0, failed_streams: Vec::new() }
    }

    fn variables(&self, pipeline: &str) -> [(&'static str, String); 6] {
        [
            ("RAPIDBYTE_PIPELINE", pipeline.to_owned()),
            ("RAPIDBYTE_STATUS", self.status.as_str().to_owned()),
            ("RAPIDBYTE_RECORDS_READ", self.records_read.to_string()),
            ("RAPIDBYTE_RECORDS_WRITTEN", self.records_written.to_string()),
            ("RAPIDBYTE_DURATION_MS", self.duration_ms.to_string()),
            ("RAPIDBYTE_FAILED_STREAMS", self.failed_streams.join(",")),
        ]
    }
}

impl Host {
    /// Runs the hooks of a document that fit what became of its run: those for success or for failure, then always those for the
    /// end. Answers what went wrong with them.
    pub async fn run_hooks(&self, document: &Document, facts: &RunFacts) -> Vec<String> {
        let pipeline = &document.pipeline;
        let runner = Runner {
            folder: document.folder(),
            variables: facts.variables(&pipeline.name),
            redactor: &self.settings.redactor,
        };
        let mut warnings = Vec::new();
        for (place, hooks) in due(&pipeline.hooks, facts.status) {
            for (index, hook) in hooks.iter().enumerate() {
                let place = format!("{place}[{index}]");
                if let Err(why) = runner.run(&place, hook).await {
                    warnings.push(format!("hook `{place}` {why}"));
                }
            }
        }
        warnings
    }
}

impl Host {
    /// Runs the hooks of a run that has ended, and puts what went wrong with them to its report.
    pub(crate) async fn after_run(
        &self,
        document: &Document,
        outcome: Result<RunReport, HostError>,
    ) -> Result<RunReport, HostError> {
        match outcome {
            Ok(mut report) => {
                report.warnings.extend(self.run_hooks(document, &RunFacts::of(&report)).await);
                Ok(report)
            }
            // There was no run that could have failed.
            Err(error @ HostError::UnknownStream { .. }) => Err(error),
            Err(error) => {
                let status = match error {
                    HostError::Cancelled => RunStatus::Stopped,
                    _ => RunStatus::Failed,
                };
                for warning in self.run_hooks(document, &RunFacts::refused(status)).await {
                    tracing::warn!("{warning}");
                }
                Err(error)
            }
        }
    }
}

/// The lists of hooks for an outcome. What was asked to stop has neither succeeded nor failed.
fn due(hooks: &HooksSpec, status: RunStatus) -> impl Iterator<Item = (&'static str, &[Hook])> {
    let outcome = match status {
        RunStatus::Succeeded => Some(("on_success", hooks.on_success.as_slice())),
        RunStatus::Failed | RunStatus::Crashed => Some(("on_failure", hooks.on_failure.as_slice())),
        RunStatus::Stopped | RunStatus::Running => None,
    };
    outcome.into_iter().chain([("on_complete", hooks.on_complete.as_slice())])
}

struct Runner<'a> {
    folder: &'a Path,
    variables: [(&'static str, String); 6],
    redactor: &'a Redactor,
}

impl Runner<'_> {
    /// Runs one hook to its end, or until it has taken too long.
    async fn run(&self, place: &str, hook: &Hook) -> Result<(), String> {
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(&hook.exec.value)
            .current_dir(self.folder)
            .envs(self.variables.iter().map(|(name, value)| (*name, value.as_str())))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // A group of its own, so that a hook that takes too long ends with everything that it has started.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| format!("cannot be started: {error}"))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let output = async {
            tokio::join!(self.log(place, "stdout", stdout), self.log(place, "stderr", stderr));
        };
        tokio::pin!(output);
        let limit = Duration::from_millis(hook.timeout_ms);
        let ended = tokio::time::timeout(limit, async {
            let mut read = false;
            let status = loop {
                tokio::select! {
                    () = &mut output, if !read => read = true,
                    status = child.wait() => break status,
                }
            };
            if !read {
                let _ = tokio::time::timeout(OUTPUT_GRACE, &mut output).await;
            }
            status
        })
        .await;
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(said(status)),
            Ok(Err(error)) => Err(format!("cannot be waited for: {error}")),
            Err(_) => {
                end(&mut child).await;
                Err(format!("was ended: it took longer than {} s", limit.as_secs_f64()))
            }
        }
    }

    /// Writes what a hook prints to the log.
    async fn log(&self, place: &str, stream: &'static str, output: Option<impl AsyncRead + Unpin>) {
        let Some(mut output) = output else { return };
        let mut lines = Lines::default();
        let mut bytes = [0; 4096];
        loop {
            let read = match output.read(&mut bytes).await {
                Ok(0) | Err(_) => break,
                Ok(read) => read,
            };
            lines.take(&bytes[..read], &mut |line| self.log_line(place, stream, line));
        }
        lines.finish(&mut |line| self.log_line(place, stream, line));
    }

    fn log_line(&self, place: &str, stream: &'static str, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let text = self.redactor.redact(text.trim_end_matches('\r'));
        tracing::info!(hook = place, output = stream, "{text}");
    }
}

/// Bytes → lines of bounded length.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn take(&mut self, mut bytes: &[u8], line: &mut dyn FnMut(&[u8])) {
        while !bytes.is_empty() {
            let room = LINE_BYTES_MAX - self.0.len();
            let part = &bytes[..bytes.len().min(room)];
            match part.iter().position(|byte| *byte == b'\n') {
                Some(at) => {
                    self.0.extend_from_slice(&part[..at]);
                    bytes = &bytes[at + 1..];
                    line(&std::mem::take(&mut self.0));
                }
                None => {
                    self.0.extend_from_slice(part);
                    bytes = &bytes[part.len()..];
                    if self.0.len() == LINE_BYTES_MAX {
                        line(&std::mem::take(&mut self.0));
                    }
                }
            }
        }
    }

    fn finish(self, line: &mut dyn FnMut(&[u8])) {
        if !self.0.is_empty() {
            line(&self.0);
        }
    }
}

fn said(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("ended with exit code {code}"),
        None => format!("was ended from outside: {status}"),
    }
}

/// Ends a hook with everything that it has started.
async fn end(child: &mut Child) {
    #[cfg(unix)]
    if let Some(group) =
        child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw)
    {
        // It may be gone already.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let mut seen = Vec::new();
        let mut lines = Lines::default();
        let mut line = |line: &[u8]| seen.push(String::from_utf8_lossy(line).into_owned());
        for chunk in chunks {
            lines.take(chunk, &mut line);
        }
        lines.finish(&mut line);
        seen
    }

    #[test]
    fn output_becomes_lines_of_bounded_length() {
        assert_eq!(lines(&[b"a\nb", b"c\n", b"\nlast"]), ["a", "bc", "", "last"]);
        assert!(lines(&[]).is_empty());
        let long = vec![b'x'; 2 * LINE_BYTES_MAX + 3];
        let lengths: Vec<usize> = lines(&[&long]).iter().map(String::len).collect();
        assert_eq!(lengths, [LINE_BYTES_MAX, LINE_BYTES_MAX, 3]);
    }
}
