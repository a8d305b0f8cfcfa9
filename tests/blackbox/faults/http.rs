//! Faults of HTTP itself: what comes is no reply, never ends, says two things, or points elsewhere.

use std::time::Duration;

use super::{
    gzip,
    speech::{Speech, body, json_text, raw, stream, until_close},
    table::{
        ANSWERED, CUT, Fault, NO_ANSWER, NOT_JSON, Primary, TOO_LARGE, TOO_LATE, answered_or_rescued, interrupted,
        rescued,
    },
};
use crate::kit::vendor::{End, Piece, Reply};

const NO_HTTP: &[&str] = &["malformed"];
const HEAD_BOUND: &[&str] = &["malformed", "too_large"];
const REDIRECTED: &[&str] = &["redirected"];

pub fn faults() -> Vec<Fault> {
    vec![
        Fault::both(
            "garbage for a status line",
            |_| raw("\u{1}\u{2} what is this\r\n\r\n", End::Cut),
            rescued(NO_HTTP),
        ),
        Fault::both("a head that ends early", |_| raw("HTTP/1.1 200 OK\r\ncontent-ty", End::Cut), rescued(CUT)),
        Fault::split("a head that never ends", endless_head, rescued(HEAD_BOUND), rescued(HEAD_BOUND)),
        Fault::both("a thousand headers", thousand_headers, rescued(HEAD_BOUND)),
        Fault::split("early hints forever", early_hints, TOO_LATE[0], TOO_LATE[1]),
        Fault::both("reset after the head", |_| stream(vec![], &[], End::Reset), rescued(CUT)),
        Fault::whole("reset in the middle of the body", reset_in_the_middle, rescued(CUT)),
        Fault::both("two lengths", |_| raw(TWO_LENGTHS, End::Silence), rescued(NO_HTTP)),
        Fault::both("no content", |_| raw("HTTP/1.1 204 No Content\r\n\r\n", End::Whole), rescued(NO_ANSWER)),
        Fault::whole("a chunk without a size", |speech| bad_chunk(&speech.whole().to_string()), rescued(NO_HTTP))
            .and_streamed(|speech| bad_chunk(&speech.begun(3).concat()), interrupted(NO_HTTP)),
        Fault::at("302 to another origin", Primary::SendsElsewhere(302), rescued(REDIRECTED)),
        Fault::at("307 to another origin", Primary::SendsElsewhere(307), rescued(REDIRECTED)),
        Fault::both("301 to itself", |_| redirect(301), rescued(REDIRECTED)),
        Fault::both(
            "308 without a place",
            |_| Reply::Whole { status: 308, headers: vec![], body: vec![] },
            rescued(REDIRECTED),
        ),
        Fault::whole("gzip that nobody asked for", zipped, answered_or_rescued(NOT_JSON))
            .and_streamed(zipped_stream, answered_or_rescued(NO_ANSWER)),
        Fault::whole(
            "gzip bomb",
            |_| bomb("application/json"),
            rescued(&["malformed", "too_large", "attempt_timeout"]),
        )
        .and_streamed(|_| bomb("text/event-stream"), rescued(&["malformed", "truncated", "too_large"])),
        Fault::whole("larger than the bound, and says so", large_and_says_so, rescued(TOO_LARGE))
            .and_streamed(|_| body("text/event-stream", vec![b'x'; 5 << 20]), rescued(TOO_LARGE)),
        Fault::split(
            "larger than any bound",
            |_| forever(vec![b' '; 256 << 10], 0),
            rescued(&["too_large", "attempt_timeout"]),
            rescued(&["too_large", "first_token_timeout"]),
        ),
        Fault::whole("a drip of JSON", |speech| drip(&speech.whole().to_string()), TOO_LATE[0])
            .and_streamed(|speech| drip(&speech.frames().concat()), TOO_LATE[1]),
        Fault::whole("HTTP/1.0", |speech| old(speech.whole().to_string(), "application/json"), ANSWERED)
            .and_streamed(|speech| old(speech.frames().concat(), "text/event-stream"), ANSWERED),
        Fault::whole("a 100 first", |speech| hinted(&speech.whole().to_string(), "application/json"), ANSWERED)
            .and_streamed(|speech| hinted(&speech.frames().concat(), "text/event-stream"), ANSWERED),
        Fault::whole(
            "ends with the connection",
            |speech| closing(&speech.whole().to_string(), "application/json"),
            ANSWERED,
        )
        .and_streamed(|speech| closing(&speech.frames().concat(), "text/event-stream"), ANSWERED),
    ]
}

const TWO_LENGTHS: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 20\r\n\r\n{}";

fn endless_head(_: Speech) -> Reply {
    let header = format!("x-filler: {}\r\n", "y".repeat(4000));
    let pieces =
        vec![Piece::Bytes(b"HTTP/1.1 200 OK\r\n".to_vec()), Piece::Forever(header.into(), Duration::from_millis(1))];
    Reply::Raw { pieces, end: End::Cut }
}

fn thousand_headers(speech: Speech) -> Reply {
    let many: String = (0..1000).map(|number| format!("x-{number}: y\r\n")).collect();
    let text = speech.whole().to_string();
    raw(format!("HTTP/1.1 200 OK\r\n{many}content-length: {}\r\n\r\n{text}", text.len()), End::Whole)
}

fn early_hints(_: Speech) -> Reply {
    let again = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".to_vec();
    Reply::Raw { pieces: vec![Piece::Forever(again, Duration::from_millis(50))], end: End::Cut }
}

fn reset_in_the_middle(speech: Speech) -> Reply {
    let text = speech.whole().to_string();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", text.len());
    raw(head + &text[..text.len() / 2], End::Reset)
}

/// One good chunk, then one whose size is no number.
fn bad_chunk(text: &str) -> Reply {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    raw(format!("{head}{:x}\r\n{text}\r\nzzz\r\noops\r\n", text.len()), End::Silence)
}

fn redirect(status: u16) -> Reply {
    let here = "/v1/chat/completions".to_owned();
    Reply::Whole { status, headers: vec![("location", here)], body: vec![] }
}

fn zipped(speech: Speech) -> Reply {
    encoded("application/json", gzip::stored(speech.whole().to_string().as_bytes()))
}

fn zipped_stream(speech: Speech) -> Reply {
    encoded("text/event-stream", gzip::stored(speech.frames().concat().as_bytes()))
}

/// 64 MiB of zeros in 400 KiB.
fn bomb(media_type: &str) -> Reply {
    encoded(media_type, gzip::zeros(64 << 20))
}

fn encoded(media_type: &str, body: Vec<u8>) -> Reply {
    let headers = vec![("content-type", media_type.to_owned()), ("content-encoding", "gzip".to_owned())];
    Reply::Whole { status: 200, headers, body }
}

fn large_and_says_so(_: Speech) -> Reply {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", 64 << 20);
    raw(head, End::Silence)
}

/// The same bytes again and again in a chunked body.
fn forever(bytes: Vec<u8>, pause_ms: u64) -> Reply {
    Reply::Stream { pieces: vec![Piece::Forever(bytes, Duration::from_millis(pause_ms))], end: End::Whole }
}

/// A letter every tenth of a second.
fn drip(text: &str) -> Reply {
    let letter = |letter: char| [Piece::Text(letter.to_string()), Piece::Pause(Duration::from_millis(100))];
    Reply::Stream { pieces: text.chars().flat_map(letter).collect(), end: End::Whole }
}

fn old(text: String, media_type: &str) -> Reply {
    raw(format!("HTTP/1.0 200 OK\r\ncontent-type: {media_type}\r\n\r\n{text}"), End::Cut)
}

fn hinted(text: &str, media_type: &str) -> Reply {
    let length = text.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n\r\n{text}");
    raw(format!("HTTP/1.1 100 Continue\r\n\r\n{head}"), End::Whole)
}

fn closing(text: &str, media_type: &str) -> Reply {
    until_close(media_type, text.as_bytes(), End::Cut)
}

/// JSON of the primary's with a length that promises more.
pub fn short_of_its_length(speech: Speech) -> Reply {
    let text = speech.whole().to_string();
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", text.len() + 9);
    raw(format!("{head}{text}"), End::Cut)
}

/// Whole JSON in a chunked body whose end never comes.
pub fn chunks_cut(speech: Speech) -> Reply {
    let piece = Piece::Text(speech.whole().to_string());
    Reply::StreamOf { media_type: "application/json", pieces: vec![piece], end: End::Cut }
}

/// Half of the JSON, as if that were all.
pub fn half_of_it(speech: Speech) -> Reply {
    let text = speech.whole().to_string();
    json_text(&text.as_bytes()[..text.len() / 2])
}
