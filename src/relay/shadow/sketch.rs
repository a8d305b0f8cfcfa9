//! What of an answer is compared: figures, none of its words. Pure.

use std::time::Duration;

use backstop_models::chat::{Answer, Finish, Part};
use serde::de::IgnoredAny;

use crate::{
    dialect,
    domain::{Dialect, RouteId},
};

/// One answer's figures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sketch {
    pub finish: &'static str,
    /// Of its text.
    pub bytes: usize,
    /// Whether the text is one JSON document.
    pub is_json: bool,
    /// The tools that it calls, in alphabetical order.
    pub tools: Vec<String>,
    pub is_refusal: bool,
    pub took: Duration,
}

/// A canary's answer beside the one that the caller got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    pub route: RouteId,
    pub release: u32,
    /// `None`: it gave none.
    pub canary: Option<Sketch>,
    /// `None`: the caller got no whole answer either, or it was not asked at all.
    pub served: Option<Sketch>,
    /// It was not asked, because too many were under way.
    pub was_dropped: bool,
}

impl Compared {
    pub(super) fn of((route, release): (RouteId, Option<u32>), canary: Option<Sketch>, served: Option<Sketch>) -> Self {
        Self { route, release: release.unwrap_or(0), canary, served, was_dropped: false }
    }

    pub(super) fn dropped(route: RouteId, release: Option<u32>) -> Self {
        Self { was_dropped: true, ..Self::of((route, release), None, None) }
    }
}

impl Sketch {
    pub fn of(answer: &Answer) -> Self {
        let (mut text, mut tools, mut is_refusal) = (String::new(), Vec::new(), answer.finish == Finish::ContentFilter);
        for part in &answer.content {
            match part {
                Part::Text(more) => text.push_str(more),
                Part::Refusal(more) => {
                    is_refusal = true;
                    text.push_str(more);
                }
                Part::ToolCall(call) => tools.push(call.name.clone()),
                Part::Reasoning(_) | Part::Image(_) | Part::ToolResult(_) => {}
            }
        }
        tools.sort();
        let (finish, is_json) = (word(&answer.finish), is_json(&text));
        Self { finish, bytes: text.len(), is_json, tools, is_refusal, took: Duration::ZERO }
    }

    /// Of a whole answer in a dialect; `None`: it cannot be read.
    pub(crate) fn of_body(dialect: Dialect, body: &[u8]) -> Option<Self> {
        dialect::read_answer(dialect.into(), body).ok().map(|answer| Self::of(&answer))
    }

    /// The target refused the question for its content.
    pub(super) fn refusal() -> Self {
        Self { finish: word(&Finish::ContentFilter), is_refusal: true, ..Self::default() }
    }

    #[must_use]
    pub fn took(self, took: Duration) -> Self {
        Self { took, ..self }
    }
}

fn word(finish: &Finish) -> &'static str {
    match finish {
        // Not every vendor tells the two apart.
        Finish::Stop | Finish::StopSequence(_) => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::ContentFilter => "content_filter",
    }
}

/// A bare number or word is text that happens to be JSON.
fn is_json(text: &str) -> bool {
    let text = text.trim();
    text.starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str) -> Sketch {
        Sketch::of_body(Dialect::OpenaiChat, body.as_bytes()).expect("reads")
    }

    #[test]
    fn an_answer_is_told_by_its_figures() {
        let text = of(r#"{"choices": [{"message": {"content": " {\"a\": [1]} "}, "finish_reason": "stop"}]}"#);
        assert_eq!((text.finish, text.bytes, text.is_json, text.is_refusal), ("stop", 12, true, false));
        let cut = of(r#"{"choices": [{"message": {"content": "{\"a\": [1"}, "finish_reason": "length"}]}"#);
        assert_eq!((cut.finish, cut.is_json), ("length", false));
        let call = |name: &str| {
            format!(r#"{{"id": "c{name}", "type": "function", "function": {{"name": "{name}", "arguments": "{{}}"}}}}"#)
        };
        let calls = format!(
            r#"{{"choices": [{{"message": {{"content": null, "tool_calls": [{}, {}]}}, "finish_reason": "tool_calls"}}]}}"#,
            call("b"),
            call("a")
        );
        assert_eq!((of(&calls).finish, of(&calls).tools), ("tool_calls", vec!["a".to_owned(), "b".to_owned()]));
        let no = of(r#"{"choices": [{"message": {"content": null, "refusal": "no"}, "finish_reason": "stop"}]}"#);
        assert!(
            no.is_refusal && !of(r#"{"choices": [{"message": {"content": "7"}, "finish_reason": "stop"}]}"#).is_json
        );
    }
}
