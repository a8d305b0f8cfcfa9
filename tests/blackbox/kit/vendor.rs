//! A fake vendor on loopback: HTTP/1.1 by hand, so that it can misbehave in every way a real one does.
//!
//! It keeps every request it got. It ends with the test's runtime, and never reaches further than 127.0.0.1.

mod anthropic;
mod bedrock;
mod cohere;
mod openai;
pub mod place;
mod responses;
pub mod signature;
mod wire;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Notify, watch},
    task::JoinHandle,
};

use wire::read_request;

/// A running fake.
pub struct Vendor {
    address: SocketAddr,
    log: Log,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Log {
    seen: Arc<Mutex<Vec<Seen>>>,
    arrived: Arc<Notify>,
    connections: Arc<AtomicUsize>,
    /// Connections that are open now.
    open: Arc<watch::Sender<usize>>,
    /// Replies that are being sent now.
    busy: Arc<watch::Sender<usize>>,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What the fake does with a request.
pub enum Reply {
    Whole {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    Stream {
        pieces: Vec<Piece>,
        end: End,
    },
    /// The same with a media type of its own.
    StreamOf {
        media_type: &'static str,
        pieces: Vec<Piece>,
        end: End,
    },
    /// Bytes as they are, status line and all.
    Raw {
        pieces: Vec<Piece>,
        end: End,
    },
    /// Reads the request and never says a word.
    Silence,
    /// Drops the connection with a TCP reset.
    Reset,
}

/// A part of a streamed reply, in order.
pub enum Piece {
    /// Bytes of an event stream.
    Text(String),
    /// Bytes of a binary one.
    Bytes(Vec<u8>),
    /// What a slow vendor does.
    Pause(Duration),
    /// Goes on once notified.
    Until(Arc<Notify>),
    /// The same text over and over, so long apart, until the other side hangs up.
    Repeat(String, Duration),
}

/// How a stream ends.
pub enum End {
    /// The last chunk is sent, as HTTP wants it.
    Whole,
    /// The connection closes in the middle.
    Cut,
    /// The same by a TCP reset.
    Reset,
    /// Nothing more comes, and nothing closes.
    Silence,
}

/// What a well-behaved fake answers.
#[derive(Debug, Clone)]
pub enum Say {
    Text(&'static str),
    /// A call of a tool: its name and its arguments.
    Tool(&'static str, Value),
}

impl Vendor {
    /// Answers each request with what `script` makes of it; the number counts requests from 0.
    pub async fn start(script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let log = Log {
            seen: Arc::default(),
            arrived: Arc::new(Notify::new()),
            connections: Arc::default(),
            open: Arc::new(watch::Sender::new(0)),
            busy: Arc::new(watch::Sender::new(0)),
        };
        let task = tokio::spawn(accept(listener, log.clone(), Arc::new(script)));
        Self { address, log, task }
    }

    /// Speaks OpenAI's dialect, streaming when asked to, and always says `say`.
    pub async fn openai(say: Say) -> Self {
        Self::start(move |_, seen| openai::reply(seen, &say)).await
    }

    /// Speaks Anthropic's dialect, streaming when asked to, and always says `say`.
    pub async fn anthropic(say: Say) -> Self {
        Self::start(move |_, seen| anthropic::reply(seen, &say)).await
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.log.seen.lock().expect("no test panics while it holds this").clone()
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.log.connections.load(Ordering::Relaxed)
    }

    pub fn seen_count(&self) -> usize {
        self.log.seen.lock().expect("no test panics while it holds this").len()
    }

    /// Returns once every connection that was made to it is closed by the other side.
    pub async fn all_hung_up(&self) {
        let mut open = self.log.open.subscribe();
        let none = open.wait_for(|open| *open == 0);
        let ended = tokio::time::timeout(Duration::from_secs(20), none).await;
        assert!(ended.is_ok(), "a connection to the vendor is still open after 20 s");
    }

    /// Replies that are being sent now.
    pub fn busy(&self) -> usize {
        *self.log.busy.borrow()
    }

    /// Returns once no reply is under way: each was sent whole, or the other side has hung up on it.
    pub async fn all_replied(&self) {
        let mut busy = self.log.busy.subscribe();
        let none = busy.wait_for(|busy| *busy == 0);
        let ended = tokio::time::timeout(Duration::from_secs(20), none).await.is_ok();
        assert!(ended, "{} replies of the vendor are still listened to after 20 s", *self.log.busy.borrow());
    }

    /// The only request it got.
    pub fn only(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "the vendor should have been asked exactly once: {seen:#?}");
        seen.remove(0)
    }

    /// Returns once `count` requests have arrived in all.
    pub async fn asked(&self, count: usize) {
        let all = async {
            loop {
                let arrived = self.log.arrived.notified();
                if self.seen_count() >= count {
                    return;
                }
                arrived.await;
            }
        };
        let asked = tokio::time::timeout(Duration::from_secs(60), all).await;
        asked.unwrap_or_else(|_| panic!("{} of {count} requests arrived in 60 s", self.seen_count()));
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seen {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("the vendor got no JSON: {error}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn wants_stream(&self) -> bool {
        self.json()["stream"] == Value::Bool(true)
    }
}

impl Reply {
    pub fn json(status: u16, body: &Value) -> Self {
        Self::Whole {
            status,
            headers: vec![("content-type", "application/json".into())],
            body: body.to_string().into(),
        }
    }

    /// As [`Reply::json`], with one more header.
    pub fn json_with(status: u16, header: (&'static str, &str), body: &Value) -> Self {
        let headers = vec![("content-type", "application/json".into()), (header.0, header.1.to_owned())];
        Self::Whole { status, headers, body: body.to_string().into() }
    }

    /// Events of a well-formed stream that ends as `end`.
    pub fn events(events: &[String], end: End) -> Self {
        Self::Stream { pieces: events.iter().cloned().map(Piece::Text).collect(), end }
    }

    /// OpenAI's answer to a question that wants `say`, streamed when the question asks for it.
    pub fn openai(seen: &Seen, say: &Say) -> Self {
        openai::reply(seen, say)
    }

    pub fn anthropic(seen: &Seen, say: &Say) -> Self {
        anthropic::reply(seen, say)
    }

    /// Bedrock's answer, streamed when the path asks for it.
    pub fn bedrock(seen: &Seen, say: &Say) -> Self {
        bedrock::reply(seen, say)
    }

    /// Messages of an AWS event stream that ends as `end`.
    pub fn aws_stream(messages: Vec<Vec<u8>>, end: End) -> Self {
        bedrock::stream(messages, end)
    }

    /// Cohere's answer, streamed when the question asks for it.
    pub fn cohere(seen: &Seen, say: &Say) -> Self {
        cohere::reply(seen, say)
    }

    /// As OpenAI's `/responses` answers.
    pub fn responses(seen: &Seen, say: &Say) -> Self {
        responses::reply(seen, say)
    }

    pub fn openai_error(status: u16, kind: &str) -> Self {
        Self::json(status, &openai::error(kind))
    }

    pub fn anthropic_error(status: u16, kind: &str) -> Self {
        Self::json(status, &anthropic::error(kind))
    }
}

/// The frames of an OpenAI stream that says `text`, in order, `[DONE]` last.
pub fn openai_frames(text: &str) -> Vec<String> {
    openai::frames(&Say::Text(text.to_owned().leak()), true)
}

/// The events of a response that says `text`, in order, `response.completed` last.
pub fn responses_frames(text: &str) -> Vec<String> {
    responses::frames(&Say::Text(text.to_owned().leak()))
}

/// The events of an Anthropic stream that says `text`, in order, `message_stop` last.
pub fn anthropic_frames(text: &str) -> Vec<String> {
    anthropic::frames(&Say::Text(text.to_owned().leak()))
}

/// The events of a Cohere stream that says `text`, in order, `message-end` last.
pub fn cohere_frames(text: &str) -> Vec<String> {
    cohere::frames(&Say::Text(text.to_owned().leak()))
}

/// The messages of a Bedrock stream that says `text`, in order, `metadata` last.
pub fn bedrock_messages(text: &str) -> Vec<Vec<u8>> {
    bedrock::messages(&Say::Text(text.to_owned().leak()))
}

/// A message of a Bedrock stream that is this exception.
pub fn bedrock_exception(name: &str) -> Vec<u8> {
    bedrock::exception(name)
}

/// A URL on loopback where nothing listens.
pub async fn closed_port() -> String {
    let socket = TcpSocket::new_v4().expect("a socket can be made");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("loopback has a free port");
    let address = socket.local_addr().expect("a bound socket has an address");
    // Bound as long as the tests run: a port that is free is the next fake's.
    std::mem::forget(socket);
    format!("http://{address}")
}

type Script = dyn Fn(usize, &Seen) -> Reply + Send + Sync;

async fn accept(listener: TcpListener, log: Log, script: Arc<Script>) {
    // Connections end with this task: the set aborts them when it is dropped.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        // What a fake says is on its way at once, whatever it says next.
        let _ = stream.set_nodelay(true);
        log.connections.fetch_add(1, Ordering::Relaxed);
        let (log, script) = (log.clone(), Arc::clone(&script));
        connections.spawn(async move {
            log.open.send_modify(|open| *open += 1);
            // A caller that hangs up in the middle is part of many tests.
            let _ = converse(stream, &log, &*script).await;
            log.open.send_modify(|open| *open -= 1);
        });
    }
}

async fn converse(mut stream: TcpStream, log: &Log, script: &Script) -> io::Result<()> {
    while let Some(request) = read_request(&mut stream).await? {
        let reply = {
            let mut all = log.seen.lock().expect("no test panics while it holds this");
            let reply = script(all.len(), &request);
            all.push(request);
            reply
        };
        log.arrived.notify_waiters();
        log.busy.send_modify(|busy| *busy += 1);
        let sent = wire::send(&mut stream, reply).await;
        log.busy.send_modify(|busy| *busy -= 1);
        if !sent? {
            return Ok(());
        }
    }
    Ok(())
}
