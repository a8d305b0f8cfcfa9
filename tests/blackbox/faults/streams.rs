//! Faults of a stream: before its first content, where the fallback answers in silence, and after it, where only an error
//! is honest.

use serde_json::json;

use super::fault::{Fault, Got, THOUGHT, Wire, fault, frames, frames_and_ever};
use crate::vendor::{End, Piece, Reply};

const COMMENT: &str = ": keep-alive\n\n";
const BROKEN: &str = "data: {\"choices\": [\n\n";
const FRAME_TOO_LARGE: usize = (4 << 20) + 1;

pub fn all() -> Vec<Fault> {
    [before(), endless(), after(), finished(), tools()].into_iter().flatten().collect()
}

fn rescued(fault: Fault, kinds: &'static str) -> Fault {
    fault.streamed(&[Got::Rescued], kinds)
}

fn interrupted(fault: Fault, kinds: &'static str) -> Fault {
    fault.streamed(&[Got::Interrupted], kinds)
}

fn before() -> Vec<Fault> {
    vec![
        rescued(
            fault("opening-then-error", |scene| frames(scene.wire.opening(), &[&scene.wire.error_event()], End::Whole)),
            "error_in_body|server_error",
        ),
        rescued(
            fault("error-first", |scene| frames(vec![scene.wire.error_event()], &[], End::Whole)),
            "error_in_body|server_error",
        ),
        rescued(overloaded("opening-then-overloaded", "overloaded_error"), "overloaded"),
        rescued(overloaded("opening-then-limited", "rate_limit_error"), "rate_limited"),
        rescued(fault("opening-then-silence", |scene| frames(scene.wire.opening(), &[], End::Silence)), "late"),
        rescued(
            fault("opening-then-end", |scene| frames(scene.wire.opening(), &[], End::Whole)),
            "truncated|empty_answer",
        ),
        rescued(fault("opening-then-cut", |scene| frames(scene.wire.opening(), &[], End::Cut)), "reset|truncated"),
        rescued(fault("opening-then-reset", |scene| frames(scene.wire.opening(), &[], End::Reset)), "reset|truncated"),
        rescued(
            fault("opening-then-end-mark", |scene| frames(scene.wire.opening(), &[&scene.wire.done()], End::Whole)),
            "truncated|empty_answer",
        ),
        rescued(
            fault("end-mark-alone", |scene| frames(vec![scene.wire.done()], &[], End::Whole)),
            "truncated|empty_answer",
        ),
        rescued(
            fault("opening-then-broken-json", |scene| frames(scene.wire.opening(), &[BROKEN], End::Whole)),
            "malformed",
        ),
        rescued(
            fault("finish-without-content", |scene| {
                let all = scene.wire.finished();
                let finish = all[scene.wire.said().len()..].concat();
                frames(scene.wire.opening(), &[&finish, &scene.wire.done()], End::Whole)
            }),
            "empty_answer",
        ),
        rescued(
            fault("usage-alone", |scene| frames(vec![usage(scene.wire)], &[&scene.wire.done()], End::Whole)),
            "truncated|empty_answer",
        ),
        rescued(
            fault("frame-above-the-bound", |scene| {
                frames(scene.wire.opening(), &["data: ", &"x".repeat(FRAME_TOO_LARGE), "\n\n"], End::Whole)
            })
            .large(),
            "too_large",
        ),
        rescued(
            fault("reasoning-then-cut", |scene| frames(scene.wire.opening(), &[&reasoning(scene.wire)], End::Cut)),
            "reset|truncated",
        ),
        rescued(
            fault("reasoning-then-silence", |scene| {
                frames(scene.wire.opening(), &[&reasoning(scene.wire)], End::Silence)
            }),
            "idle_timeout",
        ),
    ]
}

/// An error of this kind after the opening.
fn overloaded(name: &'static str, kind: &'static str) -> Fault {
    fault(name, move |scene| {
        let error = scene.wire.error(kind, json!(null), "not now");
        let event = match scene.wire {
            Wire::Openai => format!("data: {error}\n\n"),
            Wire::Anthropic => format!("event: error\ndata: {error}\n\n"),
        };
        frames(scene.wire.opening(), &[&event], End::Whole)
    })
}

/// What keeps a connection busy is not progress.
fn endless() -> Vec<Fault> {
    vec![
        rescued(fault("comments-for-ever", |_| frames_and_ever(vec![], COMMENT.into())), "late"),
        rescued(fault("pings-for-ever", |scene| frames_and_ever(scene.wire.opening(), ping(scene.wire))), "late"),
        rescued(
            fault("openings-for-ever", |scene| frames_and_ever(vec![], scene.wire.opening().concat())),
            "late|malformed",
        ),
        interrupted(
            fault("content-then-comments-for-ever", |scene| frames_and_ever(scene.wire.said(), COMMENT.into())),
            "idle_timeout",
        ),
        interrupted(
            fault("content-then-pings-for-ever", |scene| frames_and_ever(scene.wire.said(), ping(scene.wire))),
            "idle_timeout",
        ),
        interrupted(
            fault("content-then-nothings-for-ever", |scene| frames_and_ever(scene.wire.said(), nothing(scene.wire))),
            "idle_timeout",
        ),
    ]
}

fn after() -> Vec<Fault> {
    vec![
        interrupted(fault("content-then-cut", |scene| frames(scene.wire.said(), &[], End::Cut)), "reset|truncated"),
        interrupted(fault("content-then-reset", |scene| frames(scene.wire.said(), &[], End::Reset)), "reset|truncated"),
        interrupted(
            fault("content-then-silence", |scene| frames(scene.wire.said(), &[], End::Silence)),
            "idle_timeout",
        ),
        interrupted(fault("content-then-end", |scene| frames(scene.wire.said(), &[], End::Whole)), "truncated"),
        interrupted(
            fault("content-then-error", |scene| frames(scene.wire.said(), &[&scene.wire.error_event()], End::Whole)),
            "error_in_body|server_error",
        ),
        interrupted(
            fault("content-then-end-mark", |scene| frames(scene.wire.said(), &[&scene.wire.done()], End::Whole)),
            "truncated",
        ),
        interrupted(
            fault("content-then-broken-json", |scene| frames(scene.wire.said(), &[BROKEN], End::Whole)),
            "malformed",
        ),
        interrupted(
            fault("content-then-garbage", |scene| {
                let said = scene.wire.said().into_iter().map(Piece::Text);
                let garbage = Piece::Bytes((0..=255).collect());
                Reply::Stream { pieces: said.chain([garbage]).collect(), end: End::Whole }
            }),
            "malformed|truncated",
        ),
        interrupted(
            fault("content-then-invalid-utf8", |scene| {
                let mut all = scene.wire.finished();
                let last = all.remove(scene.wire.said().len() - 1).into_bytes();
                // The last letter of what it says.
                let at = last.windows(3).position(|bytes| bytes == b"\"y\"").expect("the frame has its letter");
                let broken = [&last[..=at], b"\xff\xfe", &last[at + 2..]].concat();
                let rest = all.split_off(scene.wire.said().len() - 1);
                let pieces = all.into_iter().map(Piece::Text).chain([Piece::Bytes(broken)]);
                let pieces = pieces.chain(rest.into_iter().chain([scene.wire.done()]).map(Piece::Text));
                Reply::Stream { pieces: pieces.collect(), end: End::Whole }
            }),
            "malformed",
        ),
        interrupted(
            fault("content-then-frame-above-the-bound", |scene| {
                frames(scene.wire.said(), &["data: ", &"x".repeat(FRAME_TOO_LARGE), "\n\n"], End::Whole)
            })
            .large(),
            "too_large",
        ),
        interrupted(
            fault("content-then-half-a-frame", |scene| {
                let next = scene.wire.finished().swap_remove(scene.wire.said().len());
                frames(scene.wire.said(), &[&next[..next.len() / 2]], End::Whole)
            }),
            "truncated|malformed",
        ),
    ]
}

/// Once the finish reason is here, the answer is whole.
fn finished() -> Vec<Fault> {
    let answered = |fault: Fault| fault.streamed(&[Got::Answered], "");
    vec![
        answered(fault("a-byte-at-a-time", |scene| {
            let pieces = scene.good().bytes().map(|byte| Piece::Bytes(vec![byte])).collect();
            Reply::Stream { pieces, end: End::Whole }
        })),
        answered(fault("events-of-the-future", |scene| {
            let (mut all, at) = (scene.wire.finished(), scene.wire.said().len());
            all.insert(at, future(scene.wire));
            all.insert(1, future(scene.wire));
            frames(all, &[&scene.wire.done()], End::Whole)
        })),
        answered(fault("more-after-the-end-mark", |scene| {
            let again = scene.wire.said().concat();
            frames(scene.wire.finished(), &[&scene.wire.done(), &again], End::Whole)
        })),
        answered(fault("finish-then-cut", |scene| frames(scene.wire.finished(), &[], End::Cut))),
        answered(fault("finish-then-reset", |scene| frames(scene.wire.finished(), &[], End::Reset))),
        answered(fault("finish-then-end", |scene| frames(scene.wire.finished(), &[], End::Whole))),
        answered(fault("finish-then-silence", |scene| frames(scene.wire.finished(), &[], End::Silence)).at_once()),
        answered(
            fault("end-mark-then-silence", |scene| frames(scene.wire.finished(), &[&scene.wire.done()], End::Silence))
                .at_once(),
        ),
        // A clean end and an error are both honest; one after the other would not be.
        fault("finish-then-error", |scene| frames(scene.wire.finished(), &[&scene.wire.error_event()], End::Whole))
            .streamed(&[Got::Answered, Got::Interrupted, Got::ErrorAfterFinish], "error_in_body|server_error"),
    ]
}

fn tools() -> Vec<Fault> {
    vec![
        interrupted(
            fault("tool-call-cut-in-its-arguments", |scene| frames(half_a_call(scene.wire), &[], End::Cut)),
            "reset|truncated",
        ),
        interrupted(
            fault("tool-call-that-ends-early", |scene| frames(half_a_call(scene.wire), &[], End::Whole)),
            "truncated",
        ),
    ]
}

fn openai(delta: &serde_json::Value) -> String {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": null});
    let chunk =
        json!({"id": "chatcmpl-fake", "object": "chat.completion.chunk", "model": "fake-1", "choices": [choice]});
    format!("data: {chunk}\n\n")
}

fn anthropic(name: &str, mut data: serde_json::Value) -> String {
    data["type"] = json!(name);
    format!("event: {name}\ndata: {data}\n\n")
}

/// What a vendor sends so that the connection stays.
fn ping(wire: Wire) -> String {
    match wire {
        Wire::Openai => {
            "data: {\"id\":\"chatcmpl-fake\",\"object\":\"chat.completion.chunk\",\"choices\":[]}\n\n".into()
        }
        Wire::Anthropic => anthropic("ping", json!({})),
    }
}

/// What this version has never heard of.
fn future(wire: Wire) -> String {
    match wire {
        Wire::Openai => {
            let chunk =
                json!({"id": "chatcmpl-fake", "object": "chat.completion.chunk", "choices": [], "mood": {"is": 1}});
            format!("event: mood\ndata: {chunk}\n\n")
        }
        Wire::Anthropic => anthropic("mood", json!({"index": 7, "is": [1]})),
    }
}

/// Content of no length.
fn nothing(wire: Wire) -> String {
    match wire {
        Wire::Openai => openai(&json!({"content": ""})),
        Wire::Anthropic => {
            anthropic("content_block_delta", json!({"index": 0, "delta": {"type": "text_delta", "text": ""}}))
        }
    }
}

fn usage(wire: Wire) -> String {
    match wire {
        Wire::Openai => {
            let usage = json!({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18});
            let chunk = json!({"id": "x", "object": "chat.completion.chunk", "choices": [], "usage": usage});
            format!("data: {chunk}\n\n")
        }
        Wire::Anthropic => anthropic("message_delta", json!({"delta": {}, "usage": {"output_tokens": 7}})),
    }
}

fn reasoning(wire: Wire) -> String {
    match wire {
        Wire::Openai => openai(&json!({"reasoning_content": THOUGHT})),
        Wire::Anthropic => [
            anthropic(
                "content_block_start",
                json!({"index": 1, "content_block": {"type": "thinking", "thinking": ""}}),
            ),
            anthropic(
                "content_block_delta",
                json!({"index": 1, "delta": {"type": "thinking_delta", "thinking": THOUGHT}}),
            ),
        ]
        .concat(),
    }
}

/// A tool call up to the middle of its arguments.
fn half_a_call(wire: Wire) -> Vec<String> {
    let half = "{\"city\": \"Par";
    match wire {
        Wire::Openai => {
            let function = json!({"name": "weather", "arguments": ""});
            let begin =
                json!({"tool_calls": [{"index": 0, "id": "call_fake1", "type": "function", "function": function}]});
            let more = json!({"tool_calls": [{"index": 0, "function": {"arguments": half}}]});
            [wire.opening(), vec![openai(&begin), openai(&more)]].concat()
        }
        Wire::Anthropic => {
            let block = json!({"type": "tool_use", "id": "toolu_fake1", "name": "weather", "input": {}});
            let more = json!({"type": "input_json_delta", "partial_json": half});
            let mut opening = wire.opening();
            opening.truncate(1);
            opening.push(anthropic("content_block_start", json!({"index": 0, "content_block": block})));
            opening.push(anthropic("content_block_delta", json!({"index": 0, "delta": more})));
            opening
        }
    }
}
