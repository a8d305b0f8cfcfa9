//! Streams that go wrong once content has left: the caller keeps what it has and gets an error in the stream, never a clean
//! end. And what comes after a finish reason, when the answer is whole already.

use super::{
    speech::{Speech, endless, stream},
    table::{
        ANSWERED, CUT, Expect, Fault, NOT_JSON, SAID_ERROR, Spent, TOO_LARGE, answered_or_interrupted, interrupted,
    },
};
use crate::kit::vendor::{End, Piece, Reply};

const COMMENT: &str = ": keep-alive\n\n";
const IDLE: Expect = interrupted(&["idle_timeout"]);
const BOUNDED: Expect = interrupted(&["idle_timeout", "total_timeout", "too_large"]);
const TRUNCATED: Expect = interrupted(&["truncated"]);
/// Its finish reason has come. OpenAI's usage, which comes later, has not.
const WHOLE: Expect = ANSWERED.spent(Spent::AsFarAsTold);
const GARBLED: &[&str] = &["malformed", "truncated"];

pub fn faults() -> Vec<Fault> {
    [broken(), idle(), after_the_finish()].into_iter().flatten().collect()
}

fn broken() -> Vec<Fault> {
    vec![
        Fault::streamed("content, then cut", |speech| stream(speech.begun(3), &[], End::Cut), interrupted(CUT)),
        Fault::streamed("content, then reset", |speech| stream(speech.begun(3), &[], End::Reset), interrupted(CUT)),
        Fault::streamed("content, then the end", |speech| stream(speech.begun(3), &[], End::Whole), TRUNCATED),
        Fault::streamed("all content, then the end", |speech| stream(speech.begun(7), &[], End::Whole), TRUNCATED),
        Fault::streamed(
            "content, then error event",
            |speech| then(speech, &speech.error_frame(), End::Whole),
            interrupted(SAID_ERROR),
        ),
        Fault::streamed("content, then error event and end mark", error_and_end_mark, interrupted(SAID_ERROR)),
        Fault::streamed("content, then the end mark", |speech| then(speech, &speech.end_mark(), End::Whole), TRUNCATED),
        Fault::streamed(
            "content, then a broken frame",
            |speech| then(speech, "data: {\"choices\": [{]\n\n", End::Whole),
            interrupted(NOT_JSON),
        ),
        Fault::streamed(
            "content, then garbage",
            |speech| stream(speech.begun(3), &[&[0, 159, 146, 150, 13, 7]], End::Whole),
            interrupted(GARBLED),
        ),
        Fault::streamed("content, then no UTF-8", no_text, interrupted(NOT_JSON)),
        Fault::streamed("content, then half a frame", half_a_frame, interrupted(GARBLED)),
        Fault::streamed(
            "content, then a frame above the bound",
            |speech| stream(speech.begun(3), &[&vec![b'x'; 5 << 20]], End::Whole),
            interrupted(TOO_LARGE),
        ),
        Fault::streamed(
            "content, then HTML",
            |speech| then(speech, "<html>bad gateway</html>", End::Whole),
            interrupted(GARBLED),
        ),
        Fault::streamed(
            "a tool call cut in its arguments",
            |speech| stream(speech.half_a_tool_call(), &[], End::Cut),
            interrupted(CUT),
        ),
        Fault::streamed(
            "a tool call that ends in its arguments",
            |speech| stream(speech.half_a_tool_call(), &[], End::Whole),
            TRUNCATED,
        ),
    ]
}

fn idle() -> Vec<Fault> {
    vec![
        Fault::streamed("content, then silence", |speech| stream(speech.begun(3), &[], End::Silence), IDLE),
        Fault::streamed("content, then comments forever", |speech| endless(speech.begun(3), COMMENT, 20), IDLE),
        Fault::streamed(
            "content, then pings forever",
            |speech| endless(speech.begun(3), &speech.idle_frame(), 20),
            IDLE,
        ),
        Fault::streamed(
            "content, then usage forever",
            |speech| endless(speech.begun(3), &speech.usage_frame(), 20),
            IDLE,
        ),
        Fault::streamed("content without end", without_end, BOUNDED),
        Fault::streamed(
            "a tool call, then silence",
            |speech| stream(speech.half_a_tool_call(), &[], End::Silence),
            IDLE,
        ),
    ]
}

fn after_the_finish() -> Vec<Fault> {
    vec![
        Fault::streamed("finish, then cut", |speech| stream(speech.finished(), &[], End::Cut), WHOLE),
        Fault::streamed("finish, then reset", |speech| stream(speech.finished(), &[], End::Reset), WHOLE),
        Fault::streamed("finish, then the end", |speech| stream(speech.finished(), &[], End::Whole), WHOLE),
        Fault::streamed("finish, then silence", |speech| stream(speech.finished(), &[], End::Silence), WHOLE),
        Fault::streamed("finish, then comments forever", |speech| endless(speech.finished(), COMMENT, 20), WHOLE),
        Fault::streamed(
            "finish, then pings forever",
            |speech| endless(speech.finished(), &speech.idle_frame(), 20),
            WHOLE,
        ),
        Fault::streamed(
            "finish, then error event",
            |speech| finished_then(speech, &speech.error_frame()),
            answered_or_interrupted(SAID_ERROR).spent(Spent::AsFarAsTold),
        ),
        Fault::streamed(
            "finish, then a broken frame",
            |speech| finished_then(speech, "data: {\"x\"\n\n"),
            answered_or_interrupted(NOT_JSON).spent(Spent::AsFarAsTold),
        ),
        Fault::streamed(
            "finish, then content",
            |speech| finished_then(speech, &letters(speech)),
            answered_or_interrupted(NOT_JSON).spent(Spent::AsFarAsTold),
        ),
        Fault::streamed(
            "finish, then another answer",
            |speech| finished_then(speech, &speech.frames_saying("another").concat()),
            answered_or_interrupted(NOT_JSON).spent(Spent::AsFarAsTold),
        ),
        Fault::streamed(
            "a whole stream, then another",
            |speech| stream(speech.frames(), &[speech.frames_saying("another").concat().as_bytes()], End::Whole),
            ANSWERED,
        ),
    ]
}

fn then(speech: Speech, more: &str, end: End) -> Reply {
    stream(speech.begun(3), &[more.as_bytes()], end)
}

fn finished_then(speech: Speech, more: &str) -> Reply {
    stream(speech.finished(), &[more.as_bytes()], End::Whole)
}

/// What some servers do: say that it failed, and end as if it had not.
fn error_and_end_mark(speech: Speech) -> Reply {
    then(speech, &(speech.error_frame() + &speech.end_mark()), End::Whole)
}

/// The fourth letter has a byte that no text has; all else is whole.
fn no_text(speech: Speech) -> Reply {
    let (begun, frames) = (speech.begun(3), speech.frames());
    let letter = frames[begun.len()].replace("\"m\"", "\"\u{0}\"");
    let letter: Vec<u8> = letter.bytes().map(|byte| if byte == 0 { 0xff } else { byte }).collect();
    let rest = frames[begun.len() + 1..].concat();
    stream(begun, &[&letter, rest.as_bytes()], End::Whole)
}

fn half_a_frame(speech: Speech) -> Reply {
    let frames = speech.frames();
    let next = &frames[speech.begun(3).len()];
    then(speech, &next[..next.len() / 2], End::Whole)
}

/// The frames of the first two letters, without what opens a stream.
fn letters(speech: Speech) -> String {
    let opening = speech.begun(0).len();
    speech.begun(2)[opening..].concat()
}

/// The whole text again and again: progress each time, and never an end.
fn without_end(speech: Speech) -> Reply {
    let opening = speech.begun(0);
    let text = speech.begun(7)[opening.len()..].concat();
    let mut pieces: Vec<Piece> = opening.into_iter().map(Piece::Text).collect();
    pieces.push(Piece::Forever(text.into(), std::time::Duration::from_millis(200)));
    Reply::Stream { pieces, end: End::Whole }
}
