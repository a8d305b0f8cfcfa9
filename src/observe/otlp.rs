//! Traces over OTLP/HTTP, by the GenAI semantic conventions: one span per call, a child per attempt.
//!
//! Spans are built from finished outcomes with their true times, so tracing costs a call nothing. Never any content.
//! Source: OpenTelemetry semantic conventions for generative AI, "inference" spans.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use opentelemetry::{
    Context, KeyValue,
    trace::{Span as _, SpanBuilder, SpanKind, Status, TraceContextExt as _, TracerProvider as _},
};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracer, SdkTracerProvider},
};

use crate::domain::{Attempt, Dialect, Ending, Outcome, Task};

/// Sends finished calls as spans. Drop it (or call [`Traces::shutdown`]) to flush.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Traces {
    /// `endpoint` is the collector's base, e.g. `http://127.0.0.1:4318`; `/v1/traces` is appended. Must be called inside
    /// a tokio runtime, which then carries the exports.
    pub fn start(endpoint: &str, client: reqwest::Client) -> Result<Self, ExporterBuildError> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(OnRuntime { client, runtime: tokio::runtime::Handle::current() })
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(Duration::from_secs(5))
            .build()?;
        let resource = Resource::builder()
            .with_service_name("backstop")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        let tracer = provider.tracer("backstop");
        Ok(Self { provider, tracer })
    }

    /// One span for the call and one below it for each attempt.
    pub fn call(&self, outcome: &Outcome) {
        let operation = operation(outcome);
        let mut attributes = vec![
            KeyValue::new("gen_ai.operation.name", operation),
            KeyValue::new("gen_ai.request.model", outcome.route.to_string()),
            KeyValue::new("gen_ai.request.stream", outcome.streamed),
            KeyValue::new("http.response.status_code", i64::from(outcome.status)),
            KeyValue::new("backstop.request.id", outcome.call.to_string()),
            KeyValue::new("backstop.tenant", outcome.tenant.to_string()),
            KeyValue::new("backstop.ending", outcome.ending.as_str()),
        ];
        if let Some(feature) = &outcome.feature {
            attributes.push(KeyValue::new("backstop.feature", feature.to_string()));
        }
        if let Some(drill) = &outcome.drill {
            attributes.push(KeyValue::new("backstop.drill", drill.to_string()));
        }
        if let Some(served) = outcome.served() {
            attributes.extend(served_attributes(served));
        }
        let start = at(outcome, 0.0);
        let mut span = SpanBuilder::from_name(format!("{operation} {}", outcome.route))
            .with_kind(SpanKind::Server)
            .with_start_time(start)
            .with_attributes(attributes)
            .start(&self.tracer);
        if !matches!(outcome.ending, Ending::Answered | Ending::Cancelled) {
            span.set_status(Status::error(outcome.ending.as_str()));
        }
        let context = Context::new().with_span(span);
        for attempt in &outcome.attempts {
            self.attempt(outcome, attempt, &context);
        }
        context.span().end_with_timestamp(at(outcome, outcome.total_ms));
    }

    /// Sends what is waiting, then stops. Blocks for up to five seconds.
    pub fn shutdown(&self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!(%error, "the last traces could not be exported");
        }
    }

    fn attempt(&self, outcome: &Outcome, attempt: &Attempt, parent: &Context) {
        let mut attributes = vec![
            KeyValue::new("gen_ai.operation.name", operation(outcome)),
            KeyValue::new("gen_ai.provider.name", attempt.target.vendor.to_string()),
            KeyValue::new("gen_ai.request.model", attempt.target.model.to_string()),
            KeyValue::new("backstop.target.index", attempt.target_index as i64),
        ];
        attributes.extend(usage_attributes(attempt));
        if let Some(status) = attempt.status {
            attributes.push(KeyValue::new("http.response.status_code", i64::from(status)));
        }
        if let Some(ttft_ms) = attempt.ttft_ms {
            attributes.push(KeyValue::new("backstop.first_content_ms", ttft_ms));
        }
        if let Some(fault) = attempt.fault {
            attributes.push(KeyValue::new("error.type", fault.as_str()));
        }
        let mut span = SpanBuilder::from_name(format!("{} {}", operation(outcome), attempt.target))
            .with_kind(SpanKind::Client)
            .with_start_time(at(outcome, attempt.started_ms))
            .with_attributes(attributes)
            .start_with_context(&self.tracer, parent);
        if let Some(fault) = attempt.fault {
            span.set_status(Status::error(fault.as_str()));
        }
        span.end_with_timestamp(at(outcome, attempt.started_ms + attempt.duration_ms.unwrap_or(0.0)));
    }
}

/// By the GenAI conventions; they have no word for a count.
fn operation(outcome: &Outcome) -> &'static str {
    match outcome.task {
        Task::Answer | Task::Stream if outcome.dialect == Dialect::OpenaiCompletions => "text_completion",
        Task::Answer | Task::Stream => "chat",
        Task::CountTokens => "count_tokens",
        Task::Embed => "embeddings",
    }
}

fn served_attributes(served: &Attempt) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("gen_ai.provider.name", served.target.vendor.to_string()),
        KeyValue::new("gen_ai.response.model", served.target.model.to_string()),
    ];
    attributes.extend(usage_attributes(served));
    attributes
}

fn usage_attributes(attempt: &Attempt) -> [KeyValue; 2] {
    [
        KeyValue::new("gen_ai.usage.input_tokens", attempt.usage.input as i64),
        KeyValue::new("gen_ai.usage.output_tokens", attempt.usage.output as i64),
    ]
}

fn at(outcome: &Outcome, offset_ms: f64) -> SystemTime {
    let start = UNIX_EPOCH + Duration::from_millis(u64::try_from(outcome.started_unix_ms).unwrap_or(0));
    start + Duration::from_secs_f64(offset_ms.max(0.0) / 1e3)
}

/// The exporter runs on a thread of its own without a reactor; requests go to the runtime that was there at the start.
#[derive(Debug)]
struct OnRuntime {
    client: reqwest::Client,
    runtime: tokio::runtime::Handle,
}

/// The most that is read of a collector's answer, in bytes.
const ANSWER_LIMIT: usize = 64 * 1024;

#[async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        self.runtime.spawn(async move { exchange(client, request).await }).await?
    }
}

async fn exchange(client: reqwest::Client, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let request = reqwest::Request::try_from(request.map(reqwest::Body::from))?;
    let mut answer = client.execute(request).await?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > ANSWER_LIMIT {
            return Err("the collector's answer is too large".into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Response::builder().status(answer.status()).body(Bytes::from(body))?)
}
