//! Splits a server-sent event stream into its frames, whatever the chunks it arrives in.
//!
//! Follows the WHATWG algorithm (CR, LF, CRLF, BOM, multi-line data, comments). The frames' raw bytes, put together, are
//! the stream's bytes, so that a relay can forward them untouched. A frame is bounded; a longer one is an error.

use std::borrow::Cow;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// One frame, with the blank line that ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// The `event:` field, where the frame has one.
    pub event: Option<&'a str>,
    /// The `data:` lines, joined by newlines; what is not UTF-8 is replaced.
    pub data: Cow<'a, str>,
    /// The frame's own bytes.
    pub raw: &'a [u8],
    /// No data: a comment, a bare `event:` or `retry:`. Not progress.
    pub keep_alive: bool,
}

/// A frame is longer than the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than {limit} bytes")]
pub struct Oversized {
    pub limit: usize,
}

/// Takes chunks, gives frames.
#[derive(Debug)]
pub struct Splitter {
    limit: usize,
    buffer: Vec<u8>,
    /// Where the frame in the making begins.
    start: usize,
    /// Where its current line begins.
    line: usize,
    /// How far it has been looked at.
    seen: usize,
    /// Whether anything was taken out yet: a byte order mark may only stand before that.
    begun: bool,
    ended: bool,
}

impl Splitter {
    /// `limit`: the most bytes a frame may have.
    pub fn new(limit: usize) -> Self {
        Self { limit, buffer: Vec::new(), start: 0, line: 0, seen: 0, begun: false, ended: false }
    }

    /// Adds a chunk. Take all frames out with [`Self::next`] before the next one, so that the buffer holds one frame at
    /// most beside the chunk.
    pub fn push(&mut self, chunk: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.line -= self.start;
            self.seen -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(chunk);
    }

    /// The stream is over: a last frame whose lines are whole counts although its blank line is missing. Take all frames out
    /// with [`Self::next`] before.
    pub fn end(&mut self) {
        let blank: &[u8] = match self.buffer.get(self.start..).and_then(<[u8]>::last) {
            _ if self.ended => b"",
            Some(b'\n') => b"\n",
            // A CR that no LF follows ends its line after all; a line that is nothing else is the blank one.
            Some(b'\r') if self.line + 1 < self.buffer.len() => b"\r",
            _ => b"",
        };
        self.push(blank);
        self.ended = true;
    }

    /// The next whole frame.
    #[expect(clippy::should_implement_trait, reason = "it lends from the buffer, which an Iterator cannot")]
    pub fn next(&mut self) -> Option<Result<Event<'_>, Oversized>> {
        let Some(end) = self.find_end() else {
            return (self.buffer.len() - self.start > self.limit).then_some(Err(Oversized { limit: self.limit }));
        };
        if end - self.start > self.limit {
            return Some(Err(Oversized { limit: self.limit }));
        }
        let first = !self.begun;
        let raw = &self.buffer[self.start..end];
        self.begun = true;
        self.start = end;
        self.line = end;
        self.seen = end;
        Some(Ok(parse(raw, if first { raw.strip_prefix(BOM).unwrap_or(raw) } else { raw })))
    }

    /// The index past the blank line that ends the current frame.
    fn find_end(&mut self) -> Option<usize> {
        while let Some(&byte) = self.buffer.get(self.seen) {
            if !matches!(byte, b'\n' | b'\r') {
                self.seen += 1;
                continue;
            }
            let mut after = self.seen + 1;
            if byte == b'\r' {
                match self.buffer.get(after) {
                    Some(b'\n') => after += 1,
                    Some(_) => {}
                    None if self.ended => {}
                    // The other half of a CRLF may be in the next chunk.
                    None => return None,
                }
            }
            let blank = self.line == self.seen;
            self.line = after;
            self.seen = after;
            if blank {
                return Some(after);
            }
        }
        None
    }
}

fn parse<'a>(raw: &'a [u8], text: &'a [u8]) -> Event<'a> {
    let mut event = None;
    let mut data: Option<Cow<'a, str>> = None;
    for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => event = std::str::from_utf8(value).ok().filter(|name| !name.is_empty()),
            b"data" => {
                let value = String::from_utf8_lossy(value);
                match &mut data {
                    None => data = Some(value),
                    Some(before) => {
                        let before = before.to_mut();
                        before.push('\n');
                        before.push_str(&value);
                    }
                }
            }
            _ => {}
        }
    }
    let keep_alive = data.is_none();
    Event { event, data: data.unwrap_or_default(), raw, keep_alive }
}

#[cfg(test)]
mod tests;
