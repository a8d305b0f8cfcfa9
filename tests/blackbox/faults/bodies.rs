//! Faults inside a 200 that was to be one whole body, and what a stream makes of the same.

use std::time::Duration;

use serde_json::{Value, json};

use super::fault::{Fault, Got, Mode, Scene, Wire, body, fault, frames, raw};
use crate::vendor::{End, Piece, Reply};

/// One more than the bound on an answer.
const MIB: usize = 1 << 20;
const TOO_MANY_MIB: usize = 33;

pub fn all() -> Vec<Fault> {
    [nonsense(), hollow(), sizes(), mismatched()].into_iter().flatten().collect()
}

fn nonsense() -> Vec<Fault> {
    vec![
        fault("error-inside-a-200", |scene| Reply::json(200, &scene.wire.server_error()))
            .rescued("error_in_body|server_error"),
        fault("html-inside-a-200", |_| body("text/html", "<html><body>It works!</body></html>"))
            .whole(&[Got::Rescued], "malformed")
            .streamed(&[Got::Rescued], "malformed|truncated"),
        fault("empty-200", |scene| body(scene.media_type(), ""))
            .whole(&[Got::Rescued], "empty_answer|malformed")
            .streamed(&[Got::Rescued], "truncated|empty_answer"),
        fault("white-space-200", |scene| body(scene.media_type(), "\n\n   \n\n"))
            .whole(&[Got::Rescued], "empty_answer|malformed")
            .streamed(&[Got::Rescued], "truncated|empty_answer"),
        fault("broken-json", |scene| body("application/json", &scene.wire.answer().to_string()[..60]))
            .rescued("malformed"),
        fault("truncated-body", |scene| {
            let good = scene.good();
            let part = &good[..if scene.mode == Mode::Whole { good.len() / 2 } else { 20 }];
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {}\r\ncontent-length: ", scene.media_type());
            raw(format!("{head}{}\r\n\r\n{part}", good.len()), End::Cut)
        })
        .rescued("reset|truncated"),
        fault("json-of-the-wrong-type", |_| Reply::json(200, &json!(["answer"]))).rescued("malformed|empty_answer"),
        fault("json-null", |_| Reply::json(200, &Value::Null)).rescued("malformed|empty_answer"),
        fault("json-of-something-else", |_| Reply::json(200, &json!({"ok": true}))).rescued("malformed|empty_answer"),
        fault("two-answers-in-one-body", |scene| {
            let good = scene.wire.answer().to_string();
            body("application/json", [good.clone(), good].concat())
        })
        .rescued("malformed"),
        fault("json-of-endless-depth", |_| body("application/json", "[".repeat(100_000))).rescued("malformed"),
        fault("invalid-utf8", |scene| {
            let good = scene.wire.answer().to_string();
            let (before, after) = good.split_once("primary").expect("it says so");
            body("application/json", [before.as_bytes(), b"prim\xffary", after.as_bytes()].concat())
        })
        .rescued("malformed"),
        fault("gzip-that-nobody-asked-for", |scene| Reply::Whole {
            status: 200,
            headers: vec![("content-type", scene.media_type().into()), ("content-encoding", "gzip".into())],
            body: b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b\x4c\x4a\x06\x00\xc2\x41\x24\x35\x03\x00\x00\x00"
                .to_vec(),
        })
        .whole(&[Got::Rescued], "malformed")
        .streamed(&[Got::Rescued], "malformed|truncated"),
    ]
}

fn hollow() -> Vec<Fault> {
    vec![
        hollowed("no-content", |wire, answer| match wire {
            Wire::Openai => answer["choices"] = json!([]),
            Wire::Anthropic => answer["content"] = json!([]),
        }),
        hollowed("empty-text", |wire, answer| match wire {
            Wire::Openai => answer["choices"][0]["message"]["content"] = json!(""),
            Wire::Anthropic => answer["content"][0]["text"] = json!(""),
        }),
        hollowed("null-content", |wire, answer| match wire {
            Wire::Openai => answer["choices"][0]["message"]["content"] = Value::Null,
            Wire::Anthropic => answer["content"] = Value::Null,
        }),
        hollowed("no-finish-reason", |wire, answer| match wire {
            Wire::Openai => answer["choices"][0]["finish_reason"] = Value::Null,
            Wire::Anthropic => answer["stop_reason"] = Value::Null,
        }),
    ]
}

/// An answer that lacks something, whole where a whole one was asked for; as a whole one, wrong where a stream was.
fn hollowed(name: &'static str, spoil: fn(Wire, &mut Value)) -> Fault {
    fault(name, move |scene| {
        let mut answer = scene.wire.answer();
        spoil(scene.wire, &mut answer);
        Reply::json(200, &answer)
    })
    .rescued("empty_answer|malformed|truncated")
}

fn sizes() -> Vec<Fault> {
    vec![
        fault("body-above-the-bound", |scene| {
            let letters = vec![b' '; MIB];
            let pieces = (0..TOO_MANY_MIB).map(|_| Piece::Bytes(letters.clone())).collect();
            Reply::StreamOf { media_type: scene.media_type(), pieces, end: End::Whole }
        })
        .large()
        .rescued("too_large"),
        fault("length-above-the-bound", |_| {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99000000000\r\n\r\n";
            raw(head, End::Silence)
        })
        .at_once()
        .rescued("too_large"),
        fault("slow-drip", |scene| slow_drip(&scene)).rescued("late"),
        fault("slow-drip-of-white-space", |scene| {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {}\r\n\r\n", scene.media_type());
            let ever = Piece::Repeat(" ".into(), Duration::from_millis(20));
            Reply::Raw { pieces: vec![Piece::Text(head), ever], end: End::Cut }
        })
        .rescued("late"),
    ]
}

/// A good answer, or a stream's first frame, a byte at a time.
fn slow_drip(scene: &Scene<'_>) -> Reply {
    let good = scene.good();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {}\r\ncontent-length: ", scene.media_type());
    let mut pieces = vec![Piece::Text(format!("{head}{}\r\n\r\n", good.len()))];
    for byte in good.bytes() {
        pieces.push(Piece::Bytes(vec![byte]));
        pieces.push(Piece::Pause(Duration::from_millis(20)));
    }
    Reply::Raw { pieces, end: End::Whole }
}

/// A good answer in the wrong wrapping. Where it can be read without guessing, it counts.
fn mismatched() -> Vec<Fault> {
    vec![
        fault("plain-text-type", |scene| body("text/plain", scene.good())).answered(),
        fault("no-type-at-all", |scene| Reply::Whole { status: 200, headers: vec![], body: scene.good().into() })
            .answered(),
        fault("length-without-chunks", |scene| body(scene.media_type(), scene.good())).answered(),
        fault("stream-where-a-body-was-asked-for", |scene| {
            frames([scene.wire.finished(), vec![scene.wire.done()]].concat(), &[], End::Whole)
        })
        .whole(&[Got::Rescued], "malformed"),
        fault("body-where-a-stream-was-asked-for", |scene| Reply::json(200, &scene.wire.answer()))
            .streamed(&[Got::Rescued], "malformed"),
        // Neither is right and either is honest: the type says one thing, the bytes another.
        fault("stream-that-is-called-json", |scene| body("application/json", scene.good()))
            .streamed(&[Got::Rescued, Got::Answered], "malformed"),
    ]
}
