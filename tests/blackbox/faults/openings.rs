//! Streams that go wrong before their first content: nothing has left, so the caller gets the fallback's answer and never
//! learns of it.

use super::{
    speech::{Speech, body, endless, stream, until_close},
    table::{ANSWERED, CUT, Fault, NO_ANSWER, NOT_JSON, SAID_ERROR, TOO_LARGE, TOO_LATE, answered_or_rescued, rescued},
};
use crate::kit::vendor::{End, Piece, Reply};

const COMMENT: &str = ": keep-alive\n\n";
const ENDED: &[&str] = &["truncated", "empty_answer"];
const FLOOD: &[&str] = &["too_large", "first_token_timeout"];

pub fn faults() -> Vec<Fault> {
    [broken(), idle(), odd_but_whole()].into_iter().flatten().collect()
}

fn broken() -> Vec<Fault> {
    let (ended, cut, said) = (rescued(ENDED), rescued(CUT), rescued(SAID_ERROR));
    vec![
        Fault::streamed(
            "error event first",
            |speech| stream(vec![], &[speech.error_frame().as_bytes()], End::Whole),
            said,
        ),
        Fault::streamed("role, then error event", |speech| then(speech, &speech.error_frame(), End::Whole), said),
        Fault::streamed(
            "role, then error event and silence",
            |speech| then(speech, &speech.error_frame(), End::Silence),
            said,
        ),
        Fault::streamed("role, then silence", |speech| stream(speech.begun(0), &[], End::Silence), TOO_LATE[1]),
        Fault::streamed("role, then the end", |speech| stream(speech.begun(0), &[], End::Whole), ended),
        Fault::streamed("role, then cut", |speech| stream(speech.begun(0), &[], End::Cut), cut),
        Fault::streamed("role, then reset", |speech| stream(speech.begun(0), &[], End::Reset), cut),
        Fault::streamed("role, then the end mark", |speech| then(speech, &speech.end_mark(), End::Whole), ended),
        Fault::streamed(
            "nothing but the end mark",
            |speech| stream(vec![], &[speech.end_mark().as_bytes()], End::Whole),
            ended,
        ),
        Fault::streamed("usage only", |speech| then(speech, &speech.usage_frame(), End::Whole), ended),
        Fault::streamed(
            "a finish reason and no content",
            |speech| stream(speech.frames_saying(""), &[], End::Whole),
            rescued(&["empty_answer"]),
        ),
        Fault::streamed(
            "broken frame first",
            |_| stream(vec![], &[b"data: {\"id\": \"x\n\n"], End::Whole),
            rescued(NOT_JSON),
        ),
        Fault::streamed(
            "role, then a broken frame",
            |speech| then(speech, "data: {\"choices\": [{\n\n", End::Whole),
            rescued(NOT_JSON),
        ),
        Fault::streamed(
            "role, then garbage",
            |speech| stream(speech.begun(0), &[&[0, 159, 146, 150, 13, 7]], End::Whole),
            rescued(NO_ANSWER),
        ),
        Fault::streamed("no UTF-8 in the first letter", no_text, rescued(NOT_JSON)),
        Fault::streamed(
            "a frame above the bound",
            |_| stream(vec![], &[&vec![b'x'; 5 << 20]], End::Whole),
            rescued(TOO_LARGE),
        ),
        Fault::streamed(
            "role, then HTML",
            |speech| then(speech, "<html><body>gone</body></html>\n\n", End::Whole),
            rescued(NO_ANSWER),
        ),
        Fault::streamed(
            "half a frame, then the end",
            |speech| then(speech, "data: {\"choices\":[{\"ind", End::Whole),
            rescued(NO_ANSWER),
        ),
    ]
}

fn idle() -> Vec<Fault> {
    let late = TOO_LATE[1];
    vec![
        Fault::streamed("comments forever", |_| endless(vec![], COMMENT, 20), late),
        Fault::streamed("role, then comments forever", |speech| endless(speech.begun(0), COMMENT, 20), late),
        Fault::streamed("pings forever", |speech| endless(vec![], &speech.idle_frame(), 20), late),
        Fault::streamed("openings forever", |speech| endless(vec![], &speech.begun(0).concat(), 20), late),
        Fault::streamed(
            "a flood of openings",
            |speech| endless(vec![], &speech.begun(0).concat().repeat(40), 1),
            rescued(FLOOD),
        ),
        Fault::streamed("blank lines forever", |_| endless(vec![], "\n", 20), late),
        Fault::streamed("a flood of comments", |_| endless(vec![], &COMMENT.repeat(400), 1), rescued(FLOOD)),
        Fault::streamed(
            "a flood of pings",
            |speech| endless(vec![], &speech.idle_frame().repeat(40), 1),
            rescued(FLOOD),
        ),
        Fault::streamed("a flood without a line", |_| endless(vec![], &"y".repeat(64 << 10), 0), rescued(FLOOD)),
    ]
}

/// Streams of unusual make that are whole all the same.
fn odd_but_whole() -> Vec<Fault> {
    vec![
        Fault::streamed("lines end in CRLF", |speech| stream(swapped(speech, "\r\n"), &[], End::Whole), ANSWERED),
        Fault::streamed("lines end in CR", |speech| stream(swapped(speech, "\r"), &[], End::Whole), ANSWERED),
        Fault::streamed("a few bytes a chunk", in_crumbs, ANSWERED),
        Fault::streamed(
            "a byte order mark",
            |speech| stream(vec!["\u{feff}".into()], &[speech.frames().concat().as_bytes()], End::Whole),
            ANSWERED,
        ),
        Fault::streamed(
            "comments in between",
            |speech| stream(vec![speech.frames().join(COMMENT)], &[], End::Whole),
            ANSWERED,
        ),
        Fault::streamed(
            "no space after the colon",
            |speech| stream(vec![speech.frames().concat().replace(": {", ":{")], &[], End::Whole),
            ANSWERED,
        ),
        Fault::streamed(
            "no last blank line",
            |speech| until_close("text/event-stream", speech.frames().concat().trim_end().as_bytes(), End::Cut),
            answered_or_rescued(CUT),
        ),
        Fault::streamed(
            "all at once, with its length",
            |speech| body("text/event-stream", speech.frames().concat()),
            ANSWERED,
        ),
        Fault::streamed(
            "garbage after the end mark",
            |speech| stream(speech.frames(), &[b"data: {\"oops\"\n\n\xff\xfe<html>"], End::Cut),
            ANSWERED,
        ),
        Fault::streamed("silence after the end mark", |speech| stream(speech.frames(), &[], End::Silence), ANSWERED),
    ]
}

fn then(speech: Speech, more: &str, end: End) -> Reply {
    stream(speech.begun(0), &[more.as_bytes()], end)
}

/// The whole stream with other line ends.
fn swapped(speech: Speech, end: &str) -> Vec<String> {
    speech.frames().iter().map(|frame| frame.replace('\n', end)).collect()
}

/// A stream with a byte in its first letter that no text has.
fn no_text(speech: Speech) -> Reply {
    let opening = speech.begun(0);
    let letter = speech.begun(1)[opening.len()].replace("\"p\"", "\"\u{0}\"");
    let letter: Vec<u8> = letter.bytes().map(|byte| if byte == 0 { 0xff } else { byte }).collect();
    let rest = speech.frames()[opening.len() + 1..].concat();
    stream(opening, &[&letter, rest.as_bytes()], End::Whole)
}

fn in_crumbs(speech: Speech) -> Reply {
    let bytes = speech.frames().concat().into_bytes();
    Reply::Stream { pieces: bytes.chunks(31).map(|crumb| Piece::Bytes(crumb.to_vec())).collect(), end: End::Whole }
}
