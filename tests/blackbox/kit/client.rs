//! A caller without an SDK: sends exactly the bytes and headers a test wants, and reads what comes back.

use std::{sync::Once, time::Duration};

use futures_util::StreamExt as _;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

/// No answer of a fake takes longer; the local model has time enough too.
const PATIENCE: Duration = Duration::from_secs(90);

#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    key: String,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: reqwest::header::HeaderMap,
    pub body: String,
}

/// One event of an event stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Sse {
    /// Its `event:` line.
    pub name: Option<String>,
    pub data: String,
}

/// A stream that is read piece by piece.
pub struct Stream {
    response: Response,
    buffer: String,
}

impl Client {
    pub fn new(base: &str, key: &str) -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            rustls::crypto::ring::default_provider().install_default().expect("nobody else installs one");
        });
        let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().expect("a client can be built");
        Self { http, base: base.to_owned(), key: key.to_owned() }
    }

    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    /// A request with nothing but its method and path.
    pub fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    pub async fn get(&self, path: &str) -> Answer {
        send(self.bare(Method::GET, path).bearer_auth(&self.key)).await
    }

    /// `POST` of JSON with the key as a bearer.
    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        let request = self.bare(Method::POST, path).bearer_auth(&self.key);
        request.header("content-type", "application/json").body(body.to_string())
    }

    /// OpenAI's chat completions.
    pub async fn chat(&self, body: &Value) -> Answer {
        send(self.post("/v1/chat/completions", body)).await
    }

    /// OpenAI's responses.
    pub async fn responses(&self, body: &Value) -> Answer {
        send(self.post("/v1/responses", body)).await
    }

    /// Anthropic's messages, with the key where that SDK puts it.
    pub async fn messages(&self, body: &Value) -> Answer {
        send(self.post_message(body)).await
    }

    /// The same, not yet sent.
    pub fn post_message(&self, body: &Value) -> RequestBuilder {
        let request = self.bare(Method::POST, "/v1/messages").header("x-api-key", &self.key);
        let request = request.header("anthropic-version", "2023-06-01").header("content-type", "application/json");
        request.body(body.to_string())
    }

    /// A stream of chat completions, once its head is here.
    pub async fn chat_stream(&self, body: &Value) -> Stream {
        let mut body = body.clone();
        body["stream"] = json!(true);
        let response = self.post("/v1/chat/completions", &body).send().await.expect("the gateway answers");
        assert_eq!(response.status(), 200, "the stream should begin");
        Stream { response, buffer: String::new() }
    }
}

/// Sends `request` and reads the answer to its end.
pub async fn send(request: RequestBuilder) -> Answer {
    try_send(request).await.expect("the gateway answers, and its body comes whole")
}

/// As [`send`], for a test that goes on after an answer that breaks.
pub async fn try_send(request: RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await?;
    Ok(Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

/// A question in OpenAI's dialect.
pub fn question(route: &str, text: &str) -> Value {
    json!({"model": route, "messages": [{"role": "user", "content": text}]})
}

/// A question to OpenAI's responses.
pub fn responses_question(route: &str, text: &str) -> Value {
    json!({"model": route, "input": text})
}

/// A question in Anthropic's dialect.
pub fn anthropic_question(route: &str, text: &str) -> Value {
    json!({"model": route, "max_tokens": 64, "messages": [{"role": "user", "content": text}]})
}

/// One that the default local model is known to answer with "Tokyo", in OpenAI's dialect; greedy, 16 tokens at most.
pub fn capital_question(route: &str) -> Value {
    let mut body = question(route, "What is the capital of Japan?");
    let system = json!({"role": "system", "content": "You are a helpful assistant."});
    body["messages"].as_array_mut().expect("a list of messages").insert(0, system);
    (body["max_tokens"], body["temperature"]) = (json!(16), json!(0));
    body
}

/// The same in Anthropic's dialect.
pub fn anthropic_capital_question(route: &str) -> Value {
    let mut body = anthropic_question(route, "What is the capital of Japan?");
    body["system"] = json!("You are a helpful assistant.");
    (body["max_tokens"], body["temperature"]) = (json!(16), json!(0));
    body
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}) in {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("our headers are text"))
    }

    /// All of that name.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().expect("our headers are text")).collect()
    }

    /// The header, which must be there.
    pub fn expect_header(&self, name: &str) -> &str {
        self.header(name).unwrap_or_else(|| panic!("no `{name}` in {self:?}"))
    }

    /// This answer, whose status must be `status`.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// The text of a chat completion.
    pub fn chat_text(&self) -> String {
        self.json()["choices"][0]["message"]["content"]
            .as_str()
            .unwrap_or_else(|| panic!("no text in {self:?}"))
            .to_owned()
    }

    /// The events of a stream that was read whole.
    pub fn events(&self) -> Vec<Sse> {
        // A vendor's own line ends and byte order mark are passed on.
        let text = self.body.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
        text.split("\n\n").filter_map(parse).collect()
    }

    /// The events' data as JSON, `[DONE]` left out.
    pub fn data(&self) -> Vec<Value> {
        let data = self.events().into_iter().filter(|event| event.data != "[DONE]");
        data.map(|event| serde_json::from_str(&event.data).unwrap_or_else(|_| panic!("no JSON in {event:?}"))).collect()
    }

    /// The text that a stream of chat completions adds up to.
    pub fn streamed_text(&self) -> String {
        let data = self.data();
        data.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
    }

    /// OpenAI's error object.
    pub fn openai_error(&self) -> Value {
        let error = self.json()["error"].clone();
        for field in ["message", "type", "param", "code"] {
            assert!(error.get(field).is_some(), "an OpenAI error has `{field}`, null where nothing applies: {self:?}");
        }
        error
    }

    /// Anthropic's error object.
    pub fn anthropic_error(&self) -> Value {
        let body = self.json();
        assert_eq!(body["type"], "error", "{self:?}");
        assert!(body["request_id"].is_string(), "an Anthropic error carries its request id: {self:?}");
        body["error"].clone()
    }
}

impl Stream {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name).map(|value| value.to_str().expect("our headers are text"))
    }

    /// The next event; `None` at a clean end of the body.
    pub async fn next(&mut self) -> Option<Sse> {
        loop {
            if let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let (event, rest) = (parse(event), rest.to_owned());
                self.buffer = rest;
                if event.is_some() {
                    return event;
                }
                continue;
            }
            let chunk = self.response.chunk().await.expect("the stream goes on or ends, it does not break")?;
            self.buffer.push_str(&String::from_utf8_lossy(&chunk));
        }
    }

    /// Reads until an event has content, and gives its text.
    pub async fn first_text(&mut self) -> String {
        while let Some(event) = self.next().await {
            let data: Value = serde_json::from_str(&event.data).unwrap_or_default();
            if let Some(text) = data["choices"][0]["delta"]["content"].as_str().filter(|text| !text.is_empty()) {
                return text.to_owned();
            }
        }
        panic!("the stream ended without content")
    }

    /// All that is still to come.
    pub async fn rest(mut self) -> Vec<Sse> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// Sends `count` requests made by `make`, `at_once` at a time, and gives the answers in order of arrival.
pub async fn many(count: usize, at_once: usize, make: impl Fn(usize) -> RequestBuilder) -> Vec<Answer> {
    futures_util::stream::iter((0..count).map(|number| send(make(number)))).buffer_unordered(at_once).collect().await
}

fn parse(event: &str) -> Option<Sse> {
    let mut sse = Sse { name: None, data: String::new() };
    for line in event.lines() {
        if let Some(name) = line.strip_prefix("event:") {
            sse.name = Some(name.trim().to_owned());
        } else if let Some(data) = line.strip_prefix("data:") {
            sse.data.push_str(data.strip_prefix(' ').unwrap_or(data));
        }
    }
    (!sse.data.is_empty()).then_some(sse)
}
