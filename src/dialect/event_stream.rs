//! Splits AWS's binary event stream (`application/vnd.amazon.eventstream`) into its messages, whatever the chunks it arrives in.
//!
//! Gives what [`sse::Splitter`](super::sse::Splitter) gives, so that a reader need not know how its events were framed: the
//! event's name is the `:event-type` or, for an exception, the `:exception-type`; the data is the payload. Both checksums of a
//! message are verified, its length is bounded before it is waited for, and headers of other names and types are passed over.
//!
//! The form (docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html, smithy.io/2.0/aws/amazon-eventstream):
//! total length, length of the headers, CRC-32 of these eight bytes, headers, payload, CRC-32 of all before it; big-endian.

use std::borrow::Cow;

use super::sse::Event;

/// Both lengths and their checksum.
const PRELUDE: usize = 12;
/// The prelude and the message's checksum: a message without headers and payload.
const LEAST: usize = PRELUDE + 4;

/// Why a stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("a message of the stream is longer than {limit} bytes")]
    Oversized { limit: usize },
    /// Not such a stream at all, or damaged on its way.
    #[error("the stream is not an event stream of AWS: {0}")]
    Malformed(&'static str),
}

/// Takes chunks, gives messages.
#[derive(Debug)]
pub struct Splitter {
    limit: usize,
    buffer: Vec<u8>,
    /// Where the message in the making begins.
    start: usize,
}

impl Splitter {
    /// `limit`: the most bytes a message may have.
    pub fn new(limit: usize) -> Self {
        Self { limit, buffer: Vec::new(), start: 0 }
    }

    /// Adds a chunk. Take all messages out with [`Self::next`] before the next one, so that the buffer holds one message at
    /// most beside the chunk.
    pub fn push(&mut self, chunk: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(chunk);
    }

    /// The next whole message. After an error there is no telling where the next one begins: every further call fails too.
    #[expect(clippy::should_implement_trait, reason = "it lends from the buffer, which an Iterator cannot")]
    pub fn next(&mut self) -> Option<Result<Event<'_>, Broken>> {
        let bytes = &self.buffer[self.start..];
        let lengths = match lengths(bytes, self.limit)? {
            Ok(lengths) => lengths,
            Err(broken) => return Some(Err(broken)),
        };
        let message = bytes.get(..lengths.total)?;
        let event = parse(message, lengths.headers);
        if event.is_ok() {
            self.start += lengths.total;
        }
        Some(event)
    }
}

/// In bytes.
struct Lengths {
    total: usize,
    headers: usize,
}

/// What the prelude says, once it is here and its checksum holds.
fn lengths(bytes: &[u8], limit: usize) -> Option<Result<Lengths, Broken>> {
    let prelude = bytes.get(..PRELUDE)?;
    let [total, headers, checksum] = [number(prelude, 0), number(prelude, 4), number(prelude, 8)];
    let (total, headers) = (total as usize, headers as usize);
    Some(if crc32fast::hash(&prelude[..8]) != checksum {
        Err(Broken::Malformed("a message's beginning does not match its checksum"))
    } else if total > limit {
        Err(Broken::Oversized { limit })
    } else if total < LEAST || headers > total - LEAST {
        Err(Broken::Malformed("a message's lengths make no sense"))
    } else {
        Ok(Lengths { total, headers })
    })
}

fn parse(message: &[u8], headers: usize) -> Result<Event<'_>, Broken> {
    let (body, checksum) = message.split_at(message.len() - 4);
    if crc32fast::hash(body) != number(checksum, 0) {
        return Err(Broken::Malformed("a message does not match its checksum"));
    }
    let (headers, payload) = body[PRELUDE..].split_at(headers);
    let said = Headers::read(headers)?;
    let data = String::from_utf8_lossy(payload);
    Ok(match said.message_type {
        Some("exception") => Event { event: said.exception_type, data, raw: message, keep_alive: false },
        // An error that the service did not foresee has no payload: the headers say it.
        Some("error") => {
            let object = serde_json::json!({ "code": said.error_code, "message": said.error_message });
            Event { event: Some("error"), data: Cow::Owned(object.to_string()), raw: message, keep_alive: false }
        }
        _ => Event { event: said.event_type, keep_alive: data.is_empty(), data, raw: message },
    })
}

/// The headers that say what a message is.
#[derive(Debug, Default)]
struct Headers<'a> {
    message_type: Option<&'a str>,
    event_type: Option<&'a str>,
    exception_type: Option<&'a str>,
    error_code: Option<&'a str>,
    error_message: Option<&'a str>,
}

impl<'a> Headers<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Broken> {
        let mut said = Self::default();
        let mut rest = Rest(bytes);
        while !rest.0.is_empty() {
            let length = rest.byte()?;
            let name = rest.take(usize::from(length))?;
            let text = match rest.byte()? {
                // true, false
                0 | 1 => None,
                // a byte, a short, an integer, a long
                kind @ 2..=5 => rest.take(1 << (kind - 2)).map(|_| None)?,
                // bytes
                6 => rest.sized().map(|_| None)?,
                7 => Some(rest.sized()?),
                // a timestamp
                8 => rest.take(8).map(|_| None)?,
                // a UUID
                9 => rest.take(16).map(|_| None)?,
                _ => return Err(Broken::Malformed("a header has a value of an unknown type")),
            };
            let place = match name {
                b":message-type" => &mut said.message_type,
                b":event-type" => &mut said.event_type,
                b":exception-type" => &mut said.exception_type,
                b":error-code" => &mut said.error_code,
                b":error-message" => &mut said.error_message,
                _ => continue,
            };
            *place = text.and_then(|text| std::str::from_utf8(text).ok());
        }
        Ok(said)
    }
}

/// What is still to be read of the headers.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Broken::Malformed("a header is cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Broken> {
        Ok(self.take(1)?[0])
    }

    /// A value with its length, two bytes, before it.
    fn sized(&mut self) -> Result<&'a [u8], Broken> {
        let length = self.take(2)?;
        self.take(usize::from(u16::from_be_bytes([length[0], length[1]])))
    }
}

/// Four bytes at `at`, which are there.
fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
pub(super) mod tests;
