//! Tells whom a contract names that its stream's records broke it.

use std::time::Duration;

use rapidbyte_engine::RunReport;
use rapidbyte_pipeline::Pipeline;
use rapidbyte_pipeline::spec::Notify;
use rapidbyte_telemetry::webhook;

/// Nobody waits longer for a run because somebody does not listen.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Sends what each contract has to tell. What cannot be told is a warning.
pub(crate) async fn notify(pipeline: &Pipeline, report: &mut RunReport) {
    for contract in &pipeline.contracts {
        let Some(notify) = &contract.notify else { continue };
        let stream = contract.stream.value.as_str();
        let Some(found) = report.streams.iter().find(|it| it.stream == stream && !it.violations.is_empty())
        else {
            continue;
        };
        let counts =
            found.violations.iter().map(|it| format!("{} of `{}` ({})", it.records, it.column, it.rule));
        let text = format!(
            "Pipeline {}, stream {stream}: records broke the contract: {}",
            report.pipeline,
            counts.collect::<Vec<_>>().join(", ")
        );
        let body = match notify {
            Notify::SlackWebhook(_) => serde_json::json!({ "text": text }),
            Notify::Webhook(_) => serde_json::json!({
                "pipeline": report.pipeline,
                "stream": stream,
                "status": found.status.as_str(),
                "text": text,
                "violations": found.violations,
            }),
        };
        if let Err(why) = webhook::post(notify.url().expose(), body.to_string(), TIMEOUT).await {
            report
                .warnings
                .push(format!("nobody could be told that stream `{stream}` broke its contract: {why}"));
        }
    }
}
