//! A caller of a soak, on a bare socket: one call to a connection, read to its end or left at a moment of its own.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    draw::{Dialect, Plan},
    judge::Judge,
};

/// Longer than the routes' `total`, by much: a caller that waits so long was forgotten.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a call went, as its caller saw it.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) plan: Plan,
    /// `x-request-id`, once the head is here.
    pub(super) id: Option<String>,
    pub(super) status: Option<u16>,
    pub(super) served_by: Option<String>,
    pub(super) first_content: Option<Duration>,
    pub(super) end: Heeded,
    pub(super) restarts: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heeded {
    Whole,
    /// An error inside the stream.
    Interrupted,
    /// An error instead of a stream.
    Refused,
    Left,
    /// What no caller should ever see, and why.
    Wrong(String),
}

/// Where the gateway is and who asks.
#[derive(Debug, Clone)]
pub(super) struct Door {
    pub(super) address: String,
    pub(super) key: String,
}

/// A reply as it comes in.
struct Reading {
    raw: Vec<u8>,
    head: Option<Head>,
    /// The body, and whether its last chunk is here.
    body: Vec<u8>,
    complete: bool,
    judge: Judge,
    begin: Instant,
    first_content: Option<Duration>,
}

struct Head {
    status: u16,
    id: Option<String>,
    served_by: Option<String>,
    chunked: bool,
}

/// Makes the call and listens for as long as its plan says.
pub(super) async fn call(door: &Door, plan: Plan, judge: Judge) -> Heard {
    let mut reading = Reading {
        raw: Vec::new(),
        head: None,
        body: Vec::new(),
        complete: false,
        judge,
        begin: Instant::now(),
        first_content: None,
    };
    let listening = tokio::time::timeout(plan.leaves.unwrap_or(PATIENCE), reading.listen(door, plan)).await;
    let end = match listening {
        Ok(Ok(())) => reading.verdict(),
        Ok(Err(error)) => Heeded::Wrong(format!("the connection broke: {error}")),
        Err(_) if plan.leaves.is_some() => match reading.judge.wrong() {
            // Even one that leaves must not have heard anything wrong.
            Some(wrong) => Heeded::Wrong(wrong),
            None => Heeded::Left,
        },
        Err(_) => Heeded::Wrong(format!("no end within {PATIENCE:?}")),
    };
    let Reading { head, judge, first_content, .. } = reading;
    let status = head.as_ref().map(|head| head.status);
    let (id, served_by) = head.map_or((None, None), |head| (head.id, head.served_by));
    Heard { plan, id, status, served_by, first_content, end, restarts: judge.restarts() }
}

fn request(door: &Door, plan: Plan) -> String {
    let question = plan.number.to_string();
    let (path, body) = match plan.dialect {
        Dialect::Openai => (
            "/v1/chat/completions",
            json!({"model": plan.route, "stream": true, "messages": [{"role": "user", "content": question}]}),
        ),
        Dialect::Anthropic => (
            "/v1/messages",
            json!({"model": plan.route, "stream": true, "max_tokens": 64,
                   "messages": [{"role": "user", "content": question}]}),
        ),
    };
    let body = body.to_string();
    format!(
        "POST {path} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {}\r\nanthropic-version: 2023-06-01\r\n\
         content-type: application/json\r\nx-backstop-feature: {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        door.key,
        plan.number,
        body.len()
    )
}

impl Reading {
    async fn listen(&mut self, door: &Door, plan: Plan) -> std::io::Result<()> {
        let mut socket = TcpStream::connect(&door.address).await?;
        socket.write_all(request(door, plan).as_bytes()).await?;
        while socket.read_buf(&mut self.raw).await? > 0 {
            self.take_in();
        }
        Ok(())
    }

    fn take_in(&mut self) {
        if self.head.is_none() {
            let Some(end) = self.raw.windows(4).position(|window| window == b"\r\n\r\n") else { return };
            self.head = Some(Head::read(&String::from_utf8_lossy(&self.raw[..end])));
            self.raw.drain(..end + 4);
        }
        if !self.head.as_ref().is_some_and(|head| head.chunked) {
            self.body.append(&mut self.raw);
            return;
        }
        while let Some((size, from)) = chunk_head(&self.raw) {
            let Some(chunk) = self.raw.get(from..from + size + 2) else { return };
            self.body.extend_from_slice(&chunk[..size]);
            self.raw.drain(..from + size + 2);
            self.complete |= size == 0;
        }
        while let Some(end) = self.body.windows(2).position(|window| window == b"\n\n") {
            let event: Vec<u8> = self.body.drain(..end + 2).collect();
            self.judge.hear(&String::from_utf8_lossy(&event));
        }
        if self.judge.has_content() {
            self.first_content.get_or_insert(self.begin.elapsed());
        }
    }

    /// The connection has ended.
    fn verdict(&self) -> Heeded {
        match &self.head {
            None => Heeded::Wrong("the connection ended without a reply".to_owned()),
            Some(Head { status: 200, chunked: true, .. }) if !self.complete => {
                Heeded::Wrong("the stream ended without its last chunk".to_owned())
            }
            Some(Head { status: 200, .. }) => self.judge.verdict(),
            Some(Head { status, .. }) => match serde_json::from_slice::<Value>(&self.body) {
                Ok(body) if body["error"]["message"].is_string() && matches!(status, 429 | 503 | 504 | 529) => {
                    Heeded::Refused
                }
                _ => Heeded::Wrong(format!("{status} with {}", String::from_utf8_lossy(&self.body))),
            },
        }
    }
}

impl Head {
    fn read(text: &str) -> Self {
        let header = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
        };
        Self {
            status: text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0),
            id: header("x-request-id").map(str::to_owned),
            served_by: header("x-backstop-served-by").map(str::to_owned),
            chunked: header("transfer-encoding") == Some("chunked"),
        }
    }
}

/// The size of the chunk that `raw` begins with, and where its bytes begin.
fn chunk_head(raw: &[u8]) -> Option<(usize, usize)> {
    let end = raw.windows(2).position(|window| window == b"\r\n")?;
    let size = usize::from_str_radix(&String::from_utf8_lossy(&raw[..end]), 16).expect("a chunk begins with its size");
    Some((size, end + 2))
}
