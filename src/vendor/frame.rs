//! A streamed answer as it comes in: frames of the vendor's own bytes, each with what it means.

use backstop_models::chat::Event;
use bytes::Bytes;
use reqwest::Response;

use super::{
    http::{answer_fault, transport_fault},
    local::LocalFrames,
};
use crate::{
    dialect::{StreamReader, sse},
    domain::{Fault, FaultKind, Wire},
};

/// The largest frame, in bytes.
const FRAME_LIMIT: usize = 4 * 1024 * 1024;

/// One step of a streamed answer.
#[derive(Debug)]
pub struct Frame {
    /// As the vendor sent it, in its dialect; empty from the local tier.
    pub raw: Bytes,
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
    splitter: sse::Splitter,
    reader: StreamReader,
    finished: bool,
    /// The body is over.
    ended: bool,
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

impl HttpFrames {
    pub fn new(wire: Wire, response: Response) -> Self {
        let splitter = sse::Splitter::new(FRAME_LIMIT);
        Self { response, splitter, reader: StreamReader::new(wire), finished: false, ended: false }
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
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.splitter.push(&chunk),
                Ok(None) => self.end(),
                Err(_) if self.finished => self.end(),
                Err(error) => return Err(transport_fault(&error)),
            }
        }
    }

    fn end(&mut self) {
        self.splitter.end();
        self.ended = true;
    }

    /// The next frame among the bytes that are here. Comments and keep-alives are not frames.
    fn split(&mut self) -> Result<Option<Frame>, Fault> {
        while let Some(event) = self.splitter.next() {
            let event = event.map_err(|long| Fault::new(FaultKind::TooLarge, long.to_string()))?;
            if event.keep_alive {
                continue;
            }
            let mut events = Vec::new();
            self.reader.read(&event, &mut events).map_err(answer_fault)?;
            self.finished |= events.iter().any(|event| matches!(event, Event::Finish(_)));
            let last = self.reader.done();
            if last && !self.finished {
                return Err(truncated());
            }
            return Ok(Some(Frame { raw: Bytes::copy_from_slice(event.raw), events, last }));
        }
        Ok(None)
    }
}

fn truncated() -> Fault {
    Fault::new(FaultKind::Truncated, "the stream ended without a finish reason")
}
