//! One message to one address: how people are told of what a contract found. Bounded in time, told once, never a reason for a
//! run to fail.

use std::time::Duration;

/// Posts a JSON document. The error is a sentence without the address, which may be a secret.
pub async fn post(url: &str, body: String, timeout: Duration) -> Result<(), String> {
    let request = crate::client::http()?
        .post(url)
        .timeout(timeout)
        .header("content-type", "application/json")
        .body(body);
    let answer = request.send().await.map_err(|error| error.without_url().to_string())?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(format!("it answered {status}")),
    }
}
