//! What a vendor, or a proxy before it, gets wrong about HTTP and event streams: forms that are odd and whole, floods, and
//! what comes after an answer that has ended.

use std::time::Duration;

use super::{
    fault::{Fault, Got, Mode, Place, Scene, Wire, body, fault, frames, frames_and_ever, raw, unreachable},
    gzip,
};
use crate::vendor::{End, Piece, Reply};

const COMMENT: &str = ": keep-alive\n\n";
const NOT_HTTP: &str = "malformed";
const HEAD_TOO_LARGE: &str = "malformed|too_large|reset";
/// A flood is cut off by whichever bound it meets first.
const FLOODED: &str = "late|too_large";
/// Whole with what came before its finish reason, or broken by what came after: never more than it said before.
const ENDED: &[Got] = &[Got::Answered, Got::Interrupted, Got::ErrorAfterFinish];
/// The whole call ends before an answer that comes letter by letter.
const SHORT: &str = "{ connect: 300ms, first_token: 1s, idle: 1s, attempt: 1500ms, total: 2s }";

pub fn all() -> Vec<Fault> {
    [http(), odd_and_whole(), floods(), broken(), after_the_end()].into_iter().flatten().collect()
}

fn http() -> Vec<Fault> {
    vec![
        unreachable("self-signed-certificate", Place::SelfSigned).rescued("tls"),
        fault("two-lengths", |_| {
            raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 20\r\n\r\n{}", End::Silence)
        })
        .rescued(NOT_HTTP),
        fault("a-thousand-headers", |scene| {
            let (many, good) = ((0..1000).map(|number| format!("x-{number}: y\r\n")).collect::<String>(), scene.good());
            raw(format!("HTTP/1.1 200 OK\r\n{many}content-length: {}\r\n\r\n{good}", good.len()), End::Cut)
        })
        // The fake closes at once: its reset may overtake the end of the head.
        .rescued(HEAD_TOO_LARGE),
        fault("early-hints-for-ever", |_| {
            let hint = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".to_owned();
            Reply::Raw { pieces: vec![Piece::Repeat(hint, Duration::from_millis(50))], end: End::Cut }
        })
        .rescued("late"),
        fault("no-content-204", |_| raw("HTTP/1.1 204 No Content\r\n\r\n", End::Cut)).rescued("malformed|empty_answer"),
        fault("redirect-to-nowhere", |_| Reply::Whole { status: 308, headers: vec![], body: vec![] })
            .rescued("redirected"),
        fault("a-chunk-without-a-size", |scene| {
            let good = if scene.mode == Mode::Streamed { scene.wire.said().concat() } else { scene.good() };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {}\r\n", scene.media_type());
            let chunk = format!("{:x}\r\n{good}\r\nzzz\r\noops\r\n", good.len());
            raw(format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}"), End::Silence)
        })
        .whole(&[Got::Rescued], NOT_HTTP)
        .streamed(&[Got::Interrupted], NOT_HTTP),
        // 64 MiB of zeros in 400 KiB.
        fault("gzip-bomb", |scene| {
            let headers =
                vec![("content-type", scene.media_type().to_owned()), ("content-encoding", "gzip".to_owned())];
            Reply::Whole { status: 200, headers, body: gzip::zeros(64 << 20) }
        })
        .large()
        .rescued("malformed|truncated|too_large"),
    ]
}

/// As unusual as they are, these are answers.
fn odd_and_whole() -> Vec<Fault> {
    let answered = |fault: Fault| fault.streamed(&[Got::Answered], "");
    vec![
        fault("http-1.0", |scene| {
            raw(format!("HTTP/1.0 200 OK\r\ncontent-type: {}\r\n\r\n{}", scene.media_type(), scene.good()), End::Cut)
        })
        .answered(),
        fault("ends-with-its-connection", |scene| {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {}\r\nconnection: close\r\n\r\n", scene.media_type());
            raw(head + &scene.good(), End::Cut)
        })
        .answered(),
        answered(fault("lines-that-end-in-crlf", |scene| rewritten(&scene, "\n", "\r\n"))),
        answered(fault("lines-that-end-in-cr", |scene| rewritten(&scene, "\n", "\r"))),
        answered(fault("no-space-after-the-colon", |scene| rewritten(&scene, "data: ", "data:"))),
        answered(fault("comments-in-between", |scene| rewritten(&scene, "\n\n", "\n\n: keep-alive\n\n"))),
        answered(fault("a-byte-order-mark", |scene| body(scene.media_type(), format!("\u{feff}{}", scene.good())))),
    ]
}

/// What comes without end and says nothing is bounded by time or by size.
fn floods() -> Vec<Fault> {
    let flood = |name, text: &'static str, times| {
        fault(name, move |_| {
            let pieces = vec![Piece::Repeat(text.repeat(times), Duration::from_millis(1))];
            Reply::Stream { pieces, end: End::Silence }
        })
        .streamed(&[Got::Rescued], FLOODED)
    };
    vec![
        flood("a-flood-of-comments", COMMENT, 400),
        flood("a-flood-of-blank-lines", "\n", 4000),
        flood("a-flood-without-a-line", "y", 64 << 10),
    ]
}

fn broken() -> Vec<Fault> {
    vec![
        fault("opening-then-html", |scene| {
            frames(scene.wire.opening(), &["<html><body>gone</body></html>\n\n"], End::Whole)
        })
        .streamed(&[Got::Rescued], "malformed|truncated|empty_answer"),
        fault("content-then-html", |scene| frames(scene.wire.said(), &["<html>bad gateway</html>"], End::Whole))
            .streamed(&[Got::Interrupted], "malformed|truncated"),
        // What some servers do: say that it failed, and end as if it had not.
        fault("content-then-error-and-end-mark", |scene| {
            frames(scene.wire.said(), &[&scene.wire.error_event(), &scene.wire.done()], End::Whole)
        })
        .streamed(&[Got::Interrupted], "error_in_body|server_error"),
        // Figures are no content.
        fault("content-then-usage-for-ever", |scene| frames_and_ever(scene.wire.said(), usage(scene.wire)))
            .streamed(&[Got::Interrupted], "idle_timeout"),
        Fault {
            deadlines: SHORT,
            ..fault("content-that-outlasts-the-call", |scene| {
                let letters = scene.wire.said().split_off(scene.wire.opening().len());
                let pause = || Piece::Pause(Duration::from_millis(400));
                let slowly = letters.into_iter().flat_map(|frame| [Piece::Text(frame), pause()]);
                let pieces = scene.wire.opening().into_iter().map(Piece::Text).chain(slowly).collect();
                Reply::Stream { pieces, end: End::Silence }
            })
        }
        .streamed(&[Got::Interrupted], "total_timeout"),
    ]
}

/// After the finish reason nothing is part of the answer any more, whatever it is.
fn after_the_end() -> Vec<Fault> {
    vec![
        fault("finish-then-comments-for-ever", |scene| frames_and_ever(scene.wire.finished(), COMMENT.into()))
            .at_once()
            .streamed(&[Got::Answered], ""),
        fault("finish-then-broken-json", |scene| frames(scene.wire.finished(), &["data: {\"x\"\n\n"], End::Whole))
            .streamed(ENDED, "malformed"),
        fault("finish-then-content", |scene| {
            let content = scene.wire.said()[scene.wire.opening().len()..].concat();
            frames(scene.wire.finished(), &[&content, &scene.wire.done()], End::Whole)
        })
        .streamed(ENDED, "malformed"),
        fault("finish-then-another-answer", |scene| frames(scene.wire.finished(), &[&scene.good()], End::Whole))
            .streamed(ENDED, "malformed"),
    ]
}

fn rewritten(scene: &Scene<'_>, from: &str, to: &str) -> Reply {
    frames(vec![scene.good().replace(from, to)], &[], End::Whole)
}

/// What a stream has used so far, and nothing else.
fn usage(wire: Wire) -> String {
    match wire {
        Wire::Openai => {
            let usage = "{\"prompt_tokens\":11,\"completion_tokens\":7,\"total_tokens\":18}";
            let id = "\"id\":\"chatcmpl-fake\",\"object\":\"chat.completion.chunk\"";
            format!("data: {{{id},\"choices\":[],\"usage\":{usage}}}\n\n")
        }
        Wire::Anthropic => {
            let data = "{\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":7}}";
            format!("event: message_delta\ndata: {data}\n\n")
        }
    }
}
