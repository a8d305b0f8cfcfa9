//! The two dialects, and what a primary says in each: whole, in frames, and the parts of a stream that faults are made of.

use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::vendor::{
    End, Piece, Reply, Say, anthropic_frames, anthropic_said, anthropic_whole, openai_frames, openai_said, openai_whole,
};

/// What the primary says when it can.
pub const PRIMARY: &str = "primary";
/// What the fallback says.
pub const RESCUED: &str = "rescued";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    OpenAi,
    Anthropic,
}

impl Speech {
    /// A vendor kind that speaks it.
    pub fn kind(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
        }
    }

    /// The primary's whole answer.
    pub fn whole(self) -> Value {
        let say = Say::Text(PRIMARY);
        match self {
            Self::OpenAi => openai_whole(&say),
            Self::Anthropic => anthropic_whole(&say),
        }
    }

    /// The whole answer as text, with its `text` replaced.
    pub fn whole_saying(self, text: &str) -> String {
        self.whole().to_string().replace(&format!("{PRIMARY:?}"), text)
    }

    /// The primary's whole stream.
    pub fn frames(self) -> Vec<String> {
        self.frames_saying(PRIMARY)
    }

    /// With usage, where the dialect has it only on request.
    pub fn frames_saying(self, text: &str) -> Vec<String> {
        match self {
            Self::OpenAi => openai_frames(text),
            Self::Anthropic => anthropic_frames(text),
        }
    }

    /// The first `letters` of a stream, and all that comes before them.
    pub fn begun(self, letters: usize) -> Vec<String> {
        let opening = match self {
            Self::OpenAi => 1,
            Self::Anthropic => 3,
        };
        self.frames()[..opening + letters].to_vec()
    }

    /// The stream up to its finish reason: no usage of its own frame, no end mark.
    pub fn finished(self) -> Vec<String> {
        let frames = self.frames();
        let after = match self {
            Self::OpenAi => 2,
            Self::Anthropic => 1,
        };
        frames[..frames.len() - after].to_vec()
    }

    /// The whole stream of a vendor that counts no tokens.
    pub fn frames_without_usage(self) -> Vec<String> {
        let frames = match self {
            Self::OpenAi => openai_said(&Say::Text(PRIMARY)),
            Self::Anthropic => self.frames(),
        };
        let forget = |frame: String| {
            let Some((head, data)) = frame.split_once("data: {") else { return frame };
            let mut data: Value = serde_json::from_str(&format!("{{{data}")).expect("every frame but the last is JSON");
            for place in ["", "/message"] {
                if let Some(Value::Object(fields)) = data.pointer_mut(place) {
                    fields.remove("usage");
                }
            }
            format!("{head}data: {data}\n\n")
        };
        frames.into_iter().map(forget).collect()
    }

    /// A stream that breaks off in the middle of a tool call's arguments.
    pub fn half_a_tool_call(self) -> Vec<String> {
        let say = Say::Tool("look", tool_arguments());
        match self {
            Self::OpenAi => openai_said(&say)[..3].to_vec(),
            Self::Anthropic => anthropic_said(&say)[..4].to_vec(),
        }
    }

    /// What says that nothing follows.
    pub fn end_mark(self) -> String {
        self.frames().pop().expect("every stream has an end")
    }

    /// An error as a frame of a stream.
    pub fn error_frame(self) -> String {
        match self {
            Self::OpenAi => format!("data: {}\n\n", self.error("server_error", "api_error", "down")),
            Self::Anthropic => format!("event: error\ndata: {}\n\n", self.error("server_error", "api_error", "down")),
        }
    }

    /// A frame that is neither content nor an end.
    pub fn idle_frame(self) -> String {
        match self {
            Self::OpenAi => {
                let choice = json!({"index": 0, "delta": {}, "finish_reason": null});
                let chunk = json!({"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1, "model": "fake-1", "choices": [choice]});
                format!("data: {chunk}\n\n")
            }
            Self::Anthropic => "event: ping\ndata: {\"type\":\"ping\"}\n\n".to_owned(),
        }
    }

    /// A frame with figures and nothing else.
    pub fn usage_frame(self) -> String {
        let frames = self.frames();
        match self {
            Self::OpenAi => frames[frames.len() - 2].clone(),
            Self::Anthropic => {
                let data = json!({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 2}});
                format!("event: message_delta\ndata: {data}\n\n")
            }
        }
    }

    /// An error object of its dialect.
    pub fn error(self, openai: &str, anthropic: &str, message: &str) -> Value {
        match self {
            Self::OpenAi => json!({"error": {"message": message, "type": openai, "param": null, "code": null}}),
            Self::Anthropic => {
                json!({"type": "error", "error": {"type": anthropic, "message": message}, "request_id": "req_fake"})
            }
        }
    }

    /// An error status with a server's error object.
    pub fn failure(self, status: u16) -> Reply {
        Reply::json(status, &self.error("server_error", "api_error", "it failed"))
    }

    /// The whole answer of the dialect that was not asked for.
    pub fn other(self) -> Self {
        match self {
            Self::OpenAi => Self::Anthropic,
            Self::Anthropic => Self::OpenAi,
        }
    }
}

/// What the primary calls its tool with.
pub fn tool_arguments() -> Value {
    json!({"place": "Paris", "unit": "celsius"})
}

/// `frames`, then `more`, then `end`.
pub fn stream(frames: Vec<String>, more: &[&[u8]], end: End) -> Reply {
    let mut pieces: Vec<Piece> = frames.into_iter().map(Piece::Text).collect();
    pieces.extend(more.iter().map(|bytes| Piece::Bytes(bytes.to_vec())));
    Reply::Stream { pieces, end }
}

/// `frames`, then `again` every `pause_ms` milliseconds.
pub fn endless(frames: Vec<String>, again: &str, pause_ms: u64) -> Reply {
    let mut pieces: Vec<Piece> = frames.into_iter().map(Piece::Text).collect();
    pieces.push(Piece::Forever(again.into(), Duration::from_millis(pause_ms)));
    Reply::Stream { pieces, end: End::Whole }
}

/// A status-200 body of these bytes.
pub fn body(media_type: &str, body: impl Into<Vec<u8>>) -> Reply {
    Reply::Whole { status: 200, headers: vec![("content-type", media_type.to_owned())], body: body.into() }
}

pub fn json_text(text: impl Into<Vec<u8>>) -> Reply {
    body("application/json", text)
}

/// Exactly these bytes, then `end`.
pub fn raw(bytes: impl Into<Vec<u8>>, end: End) -> Reply {
    Reply::Raw { pieces: vec![Piece::Bytes(bytes.into())], end }
}

/// A 200 without a length, so that its body ends with the connection.
pub fn until_close(media_type: &str, bytes: &[u8], end: End) -> Reply {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\nconnection: close\r\n\r\n");
    raw([head.as_bytes(), bytes].concat(), end)
}
