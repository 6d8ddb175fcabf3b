//! From the standard `OTEL_*` variables and the user's settings to what is exported where. Variables win over settings, those
//! of a signal over the general ones.

use std::collections::BTreeMap;
use std::time::Duration;

use rapidbyte_core::telemetry::TelemetrySettings;

use crate::limits::EXPORT_TIMEOUT;

/// What is exported where.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub traces: Option<Endpoint>,
    pub metrics: Option<Endpoint>,
    pub logs: Option<Endpoint>,
    /// `service.name` and whatever `OTEL_RESOURCE_ATTRIBUTES` holds.
    pub resource: BTreeMap<String, String>,
    /// The share of runs whose trace is exported, where no parent decides.
    pub sample: f64,
    /// The W3C trace context of whoever started this process.
    pub traceparent: Option<String>,
}

/// Where one signal goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// With the signal's path: `http://localhost:4318/v1/traces`.
    pub url: String,
    /// May hold secrets.
    pub headers: BTreeMap<String, String>,
    pub timeout: Duration,
}

/// A setting that cannot be followed. The run goes on without telemetry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} is `{value}`: {why}")]
pub struct ConfigError {
    pub name: String,
    pub value: String,
    pub why: String,
}

#[derive(Clone, Copy)]
struct Signal {
    /// As in `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`.
    word: &'static str,
    path: &'static str,
}

const TRACES: Signal = Signal { word: "TRACES", path: "v1/traces" };
const METRICS: Signal = Signal { word: "METRICS", path: "v1/metrics" };
const LOGS: Signal = Signal { word: "LOGS", path: "v1/logs" };

type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Config {
    /// None: telemetry is off, because nobody says where it should go or because it was switched off. `variable` looks up
    /// an environment variable.
    pub fn resolve(
        settings: &TelemetrySettings,
        variable: Variable<'_>,
    ) -> Result<Option<Self>, ConfigError> {
        let variable: Variable<'_> =
            &|name| variable(name).map(|value| value.trim().to_owned()).filter(|it| !it.is_empty());
        if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let traces = Endpoint::resolve(TRACES, settings, variable)?;
        let metrics = Endpoint::resolve(METRICS, settings, variable)?;
        let logs = Endpoint::resolve(LOGS, settings, variable)?;
        if traces.is_none() && metrics.is_none() && logs.is_none() {
            return Ok(None);
        }
        let sample = settings.sample.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&sample) {
            return Err(refuse("telemetry.sample", &sample.to_string(), "it is a share, 0 to 1"));
        }
        let mut resource = match variable("OTEL_RESOURCE_ATTRIBUTES") {
            Some(text) => pairs("OTEL_RESOURCE_ATTRIBUTES", &text)?,
            None => BTreeMap::new(),
        };
        if let Some(name) = variable("OTEL_SERVICE_NAME") {
            resource.insert("service.name".to_owned(), name);
        }
        resource.entry("service.name".to_owned()).or_insert_with(|| "rapidbyte".to_owned());
        Ok(Some(Config { traces, metrics, logs, resource, sample, traceparent: variable("TRACEPARENT") }))
    }

    /// Headers hold tokens: what must never be shown.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let endpoints = [&self.traces, &self.metrics, &self.logs].into_iter().flatten();
        endpoints.flat_map(|endpoint| endpoint.headers.values()).map(String::as_str)
    }
}

impl Endpoint {
    fn resolve(
        signal: Signal,
        settings: &TelemetrySettings,
        variable: Variable<'_>,
    ) -> Result<Option<Self>, ConfigError> {
        let of_signal = |what: &str| format!("OTEL_EXPORTER_OTLP_{}_{what}", signal.word);
        // The signal's own variable, else the general one, with the name under which it was found.
        let either = |what: &str| {
            [of_signal(what), format!("OTEL_EXPORTER_OTLP_{what}")]
                .into_iter()
                .find_map(|name| variable(&name).map(|value| (name, value)))
        };
        let exporter = format!("OTEL_{}_EXPORTER", signal.word);
        match variable(&exporter).as_deref() {
            None | Some("otlp") => {}
            Some("none") => return Ok(None),
            Some(other) => return Err(refuse(&exporter, other, "it can be `otlp` or `none`")),
        }
        let joined = |base: &str| format!("{}/{}", base.trim_end_matches('/'), signal.path);
        let (name, url) = if let Some(url) = variable(&of_signal("ENDPOINT")) {
            (of_signal("ENDPOINT"), url)
        } else if let Some(base) = variable("OTEL_EXPORTER_OTLP_ENDPOINT") {
            ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), joined(&base))
        } else if let Some(base) = &settings.endpoint {
            ("telemetry.endpoint".to_owned(), joined(base))
        } else {
            return Ok(None);
        };
        if let Some((name, protocol)) = either("PROTOCOL")
            && protocol != "http/protobuf"
        {
            return Err(refuse(
                &name,
                &protocol,
                "only `http/protobuf` is spoken; collectors take it on port 4318",
            ));
        }
        let is_http = reqwest::Url::parse(&url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !is_http {
            return Err(refuse(&name, &url, "it is no address like `http://localhost:4318`"));
        }
        let timeout = match either("TIMEOUT") {
            None => EXPORT_TIMEOUT,
            Some((name, text)) => match text.parse() {
                Ok(ms) => Duration::from_millis(ms),
                Err(_) => return Err(refuse(&name, &text, "it is a number of milliseconds")),
            },
        };
        let mut headers = settings.headers.clone();
        for name in ["OTEL_EXPORTER_OTLP_HEADERS".to_owned(), of_signal("HEADERS")] {
            if let Some(text) = variable(&name) {
                // The value may be a token, so that it is not repeated in a message.
                headers.extend(pairs(&name, &text).map_err(|error| refuse(&name, "…", &error.why))?);
            }
        }
        Ok(Some(Endpoint { url, headers, timeout }))
    }
}

fn refuse(name: &str, value: &str, why: &str) -> ConfigError {
    ConfigError { name: name.to_owned(), value: value.to_owned(), why: why.to_owned() }
}

/// `key1=value1,key2=value2` with percent-encoded values, as the specification has it.
fn pairs(name: &str, text: &str) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut found = BTreeMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let decoded =
            pair.split_once('=').and_then(|(key, value)| Some((key.trim(), percent_decode(value.trim())?)));
        match decoded {
            Some((key, value)) if !key.is_empty() => found.insert(key.to_owned(), value),
            _ => {
                return Err(refuse(
                    name,
                    text,
                    "it is written `key=value,key=value`, values percent-encoded",
                ));
            }
        };
    }
    Ok(found)
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        bytes.push((digit(rest.next())? * 16 + digit(rest.next())?) as u8);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(
        settings: &TelemetrySettings,
        variables: &[(&str, &str)],
    ) -> Result<Option<Config>, ConfigError> {
        Config::resolve(settings, &|name| {
            variables.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn of(variables: &[(&str, &str)]) -> Config {
        resolve(&TelemetrySettings::default(), variables).unwrap().unwrap()
    }

    #[test]
    fn without_an_endpoint_or_switched_off_there_is_none() {
        let off = TelemetrySettings::default();
        assert_eq!(resolve(&off, &[]), Ok(None));
        assert_eq!(
            resolve(&off, &[("OTEL_SERVICE_NAME", "x"), ("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]),
            Ok(None)
        );
        let on = TelemetrySettings { endpoint: Some("http://c:4318".into()), ..off };
        assert!(resolve(&on, &[]).unwrap().is_some());
        assert_eq!(resolve(&on, &[("OTEL_SDK_DISABLED", "TRUE")]), Ok(None));
        let none = ["OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"]
            .map(|name| (name, "none"));
        assert_eq!(resolve(&on, &none), Ok(None));
        assert!(
            resolve(&on, &none[..2])
                .unwrap()
                .is_some_and(|config| config.traces.is_none() && config.logs.is_some())
        );
    }

    #[test]
    fn a_signals_variable_wins_over_the_general_one_and_that_over_the_settings() {
        let settings = TelemetrySettings {
            endpoint: Some("http://settings:1/".into()),
            headers: BTreeMap::from([("a".into(), "settings".into()), ("b".into(), "settings".into())]),
            sample: Some(0.25),
        };
        let config = resolve(
            &settings,
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://general:2/base"),
                ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "https://logs:3/custom"),
                ("OTEL_EXPORTER_OTLP_HEADERS", "b=general, c=with%20space"),
                ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "c=logs"),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
                ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "7"),
                ("OTEL_RESOURCE_ATTRIBUTES", "service.name=ignored,deployment.environment.name=ci"),
                ("OTEL_SERVICE_NAME", "nightly"),
            ],
        );
        let config = config.unwrap().unwrap();
        let (traces, logs) = (config.traces.unwrap(), config.logs.unwrap());
        assert_eq!(traces.url, "http://general:2/base/v1/traces");
        assert_eq!(logs.url, "https://logs:3/custom", "a signal's address is taken as it is");
        assert_eq!(traces.headers["a"], "settings");
        assert_eq!(traces.headers["b"], "general");
        assert_eq!((traces.headers["c"].as_str(), logs.headers["c"].as_str()), ("with space", "logs"));
        assert_eq!(traces.timeout, Duration::from_millis(1500));
        assert_eq!(config.metrics.unwrap().timeout, Duration::from_millis(7));
        assert_eq!(config.sample, 0.25);
        assert_eq!(config.resource["service.name"], "nightly");
        assert_eq!(config.resource["deployment.environment.name"], "ci");
        assert_eq!(of(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c")]).resource["service.name"], "rapidbyte");
    }

    #[test]
    fn what_cannot_be_followed_is_said_by_name_and_without_tokens() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        for (wrong, said) in [
            (
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
                "OTEL_EXPORTER_OTLP_PROTOCOL is `grpc`: only `http/protobuf`",
            ),
            (("OTEL_TRACES_EXPORTER", "zipkin"), "OTEL_TRACES_EXPORTER is `zipkin`: it can be"),
            (("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"), "OTEL_EXPORTER_OTLP_TIMEOUT is `10s`: it is a number"),
            (
                ("OTEL_EXPORTER_OTLP_HEADERS", "token-without-name"),
                "OTEL_EXPORTER_OTLP_HEADERS is `…`: it is written",
            ),
            (("OTEL_EXPORTER_OTLP_HEADERS", "a=%zz"), "OTEL_EXPORTER_OTLP_HEADERS is `…`: it is written"),
            (("OTEL_RESOURCE_ATTRIBUTES", "=x"), "OTEL_RESOURCE_ATTRIBUTES is `=x`: it is written"),
            (("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4317"), "it is no address like"),
        ] {
            let error = resolve(&TelemetrySettings::default(), &[endpoint, wrong]).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let sample = TelemetrySettings { sample: Some(1.5), ..TelemetrySettings::default() };
        assert!(resolve(&sample, &[endpoint]).unwrap_err().to_string().contains("0 to 1"));
    }
}
