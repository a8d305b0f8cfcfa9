//! A streamed answer as it comes in: frames of the vendor's own bytes, each with what it means.

use std::time::{Duration, Instant};

use backstop_models::chat::Event;
use bytes::Bytes;
use reqwest::Response;

use super::{
    http::{answer_fault, transport_fault},
    local::LocalFrames,
};
use crate::{
    clock,
    dialect::{StreamReader, event_stream, sse},
    domain::{Fault, FaultKind, Wire},
};

/// The largest frame, in bytes.
const FRAME_LIMIT: usize = 4 * 1024 * 1024;
/// How long what follows the finish reason may take: a whole answer is not held up by a vendor that forgets to close.
const REST: Duration = Duration::from_secs(1);

/// One step of a streamed answer.
#[derive(Debug)]
pub struct Frame {
    /// As the vendor sent it, in its dialect; empty from the local tier.
    pub raw: Bytes,
    /// Which of the answers it is of; a vendor's frame is of all that are in it, and only the first's are looked at.
    pub choice: u32,
    pub events: Vec<Event>,
    /// The dialect's own end mark: nothing comes after it.
    pub last: bool,
}

/// Where the frames come from.
#[derive(Debug)]
pub enum Frames {
    Http(Box<HttpFrames>),
    Local(Box<LocalFrames>),
}

/// Frames out of a vendor's event stream.
#[derive(Debug)]
pub struct HttpFrames {
    response: Response,
    framing: Framing,
    reader: StreamReader,
    finished: bool,
    /// The finish reason has come: how long the rest of the stream (usage, the end mark) is waited for.
    rest_until: Option<Instant>,
    /// The body is over.
    ended: bool,
}

/// How a vendor cuts its stream.
#[derive(Debug)]
enum Framing {
    /// Server-sent events.
    Sse(sse::Splitter),
    /// AWS's binary event stream.
    Binary(event_stream::Splitter),
}

impl Framing {
    fn of(wire: Wire) -> Self {
        match wire {
            Wire::BedrockConverse => Self::Binary(event_stream::Splitter::new(FRAME_LIMIT)),
            _ => Self::Sse(sse::Splitter::new(FRAME_LIMIT)),
        }
    }

    fn push(&mut self, chunk: &[u8]) {
        match self {
            Self::Sse(splitter) => splitter.push(chunk),
            Self::Binary(splitter) => splitter.push(chunk),
        }
    }

    /// The body is over. A binary message that is not whole by then never was.
    fn end(&mut self) {
        match self {
            Self::Sse(splitter) => splitter.end(),
            Self::Binary(_) => {}
        }
    }

    fn next(&mut self) -> Option<Result<sse::Event<'_>, Fault>> {
        match self {
            Self::Sse(splitter) => splitter.next().map(|event| match event {
                // The bytes may be forwarded as they are, and a letter that is lost makes another answer.
                Ok(event) if std::str::from_utf8(event.raw).is_err() => {
                    Err(Fault::new(FaultKind::Malformed, "an event of the stream is not UTF-8"))
                }
                Ok(event) => Ok(event),
                Err(long) => Err(Fault::new(FaultKind::TooLarge, long.to_string())),
            }),
            Self::Binary(splitter) => splitter.next().map(|event| event.map_err(broken)),
        }
    }
}

fn broken(error: event_stream::Broken) -> Fault {
    let kind = match error {
        event_stream::Broken::Oversized { .. } => FaultKind::TooLarge,
        event_stream::Broken::Malformed(_) => FaultKind::Malformed,
    };
    Fault::new(kind, error.to_string())
}

impl Frames {
    /// The next frame; `None` after a whole answer. Cancel-safe: a frame is not lost when the wait for it is given up.
    ///
    /// # Errors
    /// Whatever ends the answer early, [`FaultKind::Truncated`] when the stream ends without a finish reason.
    pub async fn next(&mut self) -> Result<Option<Frame>, Fault> {
        match self {
            Self::Http(frames) => frames.next().await,
            Self::Local(frames) => frames.next().await,
        }
    }
}

impl Frames {
    /// The next frame, where its bytes are here already.
    pub fn buffered(&mut self) -> Option<Result<Frame, Fault>> {
        match self {
            Self::Http(frames) => frames.split().transpose(),
            Self::Local(_) => None,
        }
    }

    /// Whether the finish reason has come: what is missing then is usage and the end mark at most.
    pub fn is_finished(&self) -> bool {
        match self {
            Self::Http(frames) => frames.finished,
            Self::Local(frames) => frames.is_finished(),
        }
    }
}

impl HttpFrames {
    pub fn new(wire: Wire, response: Response) -> Self {
        let (framing, reader) = (Framing::of(wire), StreamReader::new(wire));
        Self { response, framing, reader, finished: false, rest_until: None, ended: false }
    }

    async fn next(&mut self) -> Result<Option<Frame>, Fault> {
        loop {
            if let Some(frame) = self.split()? {
                return Ok(Some(frame));
            }
            if self.ended {
                // The finish reason has come, so the answer is whole; only its end mark is missing.
                return if self.finished { Ok(None) } else { Err(truncated()) };
            }
            let chunk = self.response.chunk();
            let next = match self.rest_until {
                Some(until) => tokio::time::timeout_at(until.into(), chunk).await.unwrap_or(Ok(None)),
                None => chunk.await,
            };
            match next {
                Ok(Some(chunk)) => self.framing.push(&chunk),
                Ok(None) => self.end(),
                Err(_) if self.finished => self.end(),
                Err(error) => return Err(transport_fault(&error)),
            }
        }
    }

    fn end(&mut self) {
        self.framing.end();
        self.ended = true;
    }

    /// The next frame among the bytes that are here. Comments and keep-alives are not frames.
    fn split(&mut self) -> Result<Option<Frame>, Fault> {
        while let Some(event) = self.framing.next() {
            let event = event?;
            if event.keep_alive {
                continue;
            }
            let mut events = Vec::new();
            self.reader.read(&event, &mut events).map_err(answer_fault)?;
            let last = self.reader.done();
            let mut raw = Bytes::copy_from_slice(event.raw);
            if self.finished && !events.iter().all(|event| matches!(event, Event::Usage(_))) {
                // After the finish reason there is usage and the end mark; whatever else comes is no part of the answer.
                events.retain(|event| matches!(event, Event::Usage(_)));
                raw = Bytes::new();
                if events.is_empty() && !last {
                    continue;
                }
            }
            self.finished |= events.iter().any(|event| matches!(event, Event::Finish(_)));
            if self.finished {
                self.rest_until.get_or_insert_with(|| clock::now() + REST);
            }
            if last && !self.finished {
                return Err(truncated());
            }
            return Ok(Some(Frame { raw, choice: 0, events, last }));
        }
        Ok(None)
    }
}

fn truncated() -> Fault {
    Fault::new(FaultKind::Truncated, "the stream ended without a finish reason")
}
