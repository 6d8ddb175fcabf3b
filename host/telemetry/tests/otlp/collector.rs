//! A collector on the loopback that speaks OTLP over HTTP and keeps what it was sent, decoded.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;

/// What it answers.
#[derive(Clone, Copy)]
pub enum Answer {
    Takes,
    Refuses(StatusCode),
    /// Takes the connection and never says a word.
    Silent,
}

#[derive(Default)]
pub struct Received {
    pub traces: Vec<ExportTraceServiceRequest>,
    pub metrics: Vec<ExportMetricsServiceRequest>,
    pub logs: Vec<ExportLogsServiceRequest>,
    /// Of every request, with its path.
    pub headers: Vec<(String, BTreeMap<String, String>)>,
    /// Every body as it came, for looking for what must not be in it.
    pub bodies: Vec<Vec<u8>>,
}

pub struct Collector {
    pub address: SocketAddr,
    received: Arc<Mutex<Received>>,
    _runtime: tokio::runtime::Runtime,
}

impl Collector {
    pub fn start(answer: Answer) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Received::default()));
        let keep = received.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let keep = keep.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| take(request, keep.clone(), answer));
                    // A client that goes away is its own business.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Collector { address, received, _runtime: runtime }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn received(&self) -> std::sync::MutexGuard<'_, Received> {
        self.received.lock().unwrap()
    }
}

async fn take(
    request: Request<Incoming>,
    keep: Arc<Mutex<Received>>,
    answer: Answer,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let headers = request.headers().iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
    let headers: BTreeMap<String, String> = headers.collect();
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let status = {
        let mut keep = keep.lock().unwrap();
        keep.headers.push((path.clone(), headers));
        keep.bodies.push(body.to_vec());
        match answer {
            Answer::Takes => {
                match path.as_str() {
                    "/v1/traces" => keep.traces.push(Message::decode(body).unwrap()),
                    "/v1/metrics" => keep.metrics.push(Message::decode(body).unwrap()),
                    "/v1/logs" => keep.logs.push(Message::decode(body).unwrap()),
                    other => panic!("no place of the protocol: {other}"),
                }
                StatusCode::OK
            }
            Answer::Refuses(status) => status,
            Answer::Silent => StatusCode::OK,
        }
    };
    if matches!(answer, Answer::Silent) {
        std::future::pending::<()>().await;
    }
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    Ok(response)
}

impl Received {
    pub fn spans(&self) -> Vec<Span> {
        let resources = self.traces.iter().flat_map(|request| &request.resource_spans);
        resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
    }

    pub fn log_records(&self) -> Vec<LogRecord> {
        let resources = self.logs.iter().flat_map(|request| &request.resource_logs);
        resources
            .flat_map(|resource| &resource.scope_logs)
            .flat_map(|scope| scope.log_records.clone())
            .collect()
    }

    /// As of the last export.
    pub fn last_metrics(&self) -> BTreeMap<String, Metric> {
        let resources = self.metrics.last().into_iter().flat_map(|request| &request.resource_metrics);
        let metrics =
            resources.flat_map(|resource| &resource.scope_metrics).flat_map(|scope| scope.metrics.clone());
        metrics.map(|metric| (metric.name.clone(), metric)).collect()
    }

    /// One of every signal.
    pub fn resources(&self) -> Vec<Resource> {
        let traces = self.traces.iter().flat_map(|it| &it.resource_spans).map(|it| it.resource.clone());
        let metrics = self.metrics.iter().flat_map(|it| &it.resource_metrics).map(|it| it.resource.clone());
        let logs = self.logs.iter().flat_map(|it| &it.resource_logs).map(|it| it.resource.clone());
        traces.chain(metrics).chain(logs).flatten().collect()
    }
}

/// Attributes as words.
pub fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    pairs.iter().map(|pair| (pair.key.clone(), pair.value.as_ref().map(word).unwrap_or_default())).collect()
}

pub fn word(value: &AnyValue) -> String {
    match &value.value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => value.to_string(),
        other => format!("{other:?}"),
    }
}

/// A metric's points: attributes as `name=value` words, and the value (of a histogram: how many).
pub fn points(metric: &Metric) -> Vec<(String, u64)> {
    let of = |pairs: &[KeyValue]| {
        let words = attributes(pairs).into_iter().map(|(name, value)| format!("{name}={value}"));
        words.collect::<Vec<_>>().join(" ")
    };
    let number = |value: &Option<number_data_point::Value>| match value {
        Some(number_data_point::Value::AsInt(value)) => *value as u64,
        Some(number_data_point::Value::AsDouble(value)) => *value as u64,
        None => panic!("a point without a value"),
    };
    let mut points: Vec<(String, u64)> = match metric.data.as_ref().unwrap() {
        Data::Sum(sum) => sum.data_points.iter().map(|it| (of(&it.attributes), number(&it.value))).collect(),
        Data::Gauge(gauge) => {
            gauge.data_points.iter().map(|it| (of(&it.attributes), number(&it.value))).collect()
        }
        Data::Histogram(histogram) => {
            histogram.data_points.iter().map(|it| (of(&it.attributes), it.count)).collect()
        }
        other => panic!("unexpected {other:?}"),
    };
    points.sort();
    points
}
