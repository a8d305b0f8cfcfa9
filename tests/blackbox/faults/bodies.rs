//! A 200 that holds no answer, or one that is not what was asked for; and its like in a stream.

use serde_json::{Value, json};

use super::{
    http::{chunks_cut, half_of_it, short_of_its_length},
    speech::{PRIMARY, Speech, body, json_text, stream},
    table::{
        ANSWERED, CUT, Expect, Fault, NO_ANSWER, NOT_JSON, SAID_ERROR, Spent, answered_or_rescued, refused, rescued,
    },
};
use crate::kit::vendor::{End, Reply};

const SSE: &str = "text/event-stream";
const TOO_LONG: Expect = refused(&[super::table::End::Refused(400)], &["context_length"]);

pub fn faults() -> Vec<Fault> {
    [no_answers(), odd_answers()].into_iter().flatten().collect()
}

fn no_answers() -> Vec<Fault> {
    let (nothing, not_json) = (rescued(NO_ANSWER), rescued(NOT_JSON));
    vec![
        Fault::both("error object inside a 200", |speech| speech.failure(200), rescued(SAID_ERROR)),
        Fault::both("too long a prompt, inside a 200", too_long_inside, TOO_LONG),
        Fault::both("HTML inside a 200", |_| body("text/html", "<html><body>busy</body></html>"), nothing),
        Fault::whole("empty 200", |_| json_text(""), nothing).and_streamed(|_| body(SSE, ""), nothing),
        Fault::whole("whitespace 200", |_| json_text(" \n\t \n"), nothing)
            .and_streamed(|_| body(SSE, " \n\n\n \n\n"), nothing),
        Fault::both("empty JSON 200 for either", |_| json_text("{}"), nothing),
        Fault::whole("broken JSON", |_| json_text("{\"choices\": [}"), not_json)
            .and_streamed(|_| body(SSE, "data: {\"choices\": [}\n\n"), not_json),
        Fault::whole("half of the JSON", half_of_it, not_json),
        Fault::whole("shorter than its length", short_of_its_length, rescued(CUT)),
        Fault::whole("chunks without an end", chunks_cut, rescued(CUT)),
        Fault::whole("an array", |_| json_text("[1, 2]"), not_json)
            .and_streamed(|_| body(SSE, "data: [1, 2]\n\n"), nothing),
        Fault::whole("null", |_| json_text("null"), nothing).and_streamed(|_| body(SSE, "data: null\n\n"), nothing),
        Fault::whole("a string", |_| json_text("\"ok\""), not_json)
            .and_streamed(|_| body(SSE, "data: \"ok\"\n\n"), nothing),
        Fault::whole("content of another type", |speech| json_text(speech.whole_saying("7")), not_json),
        Fault::whole("the list is an object", the_list_is_an_object, not_json),
        Fault::whole("no choices", |speech| without(speech, Part::Content), nothing)
            .and_streamed(|speech| stream(vec![], &[no_choices(speech).as_bytes()], End::Whole), nothing),
        Fault::whole("no finish reason", |speech| without(speech, Part::Finish), rescued(NO_ANSWER)),
        Fault::whole("finish without content", finish_without_content, nothing.spent(Spent::ReportedInVain)),
        Fault::whole("the other dialect's answer", |speech| Reply::json(200, &speech.other().whole()), nothing)
            .and_streamed(|speech| stream(speech.other().frames(), &[], End::Whole), nothing),
        Fault::whole("a stream where an answer was asked", |speech| stream(speech.frames(), &[], End::Whole), not_json),
        Fault::whole("two answers in one body", two_answers, not_json),
        Fault::whole("an answer and garbage", |speech| json_text(format!("{}<html>", speech.whole())), not_json),
        Fault::whole("no UTF-8 in the text", no_text, not_json),
    ]
}

fn odd_answers() -> Vec<Fault> {
    vec![
        Fault::whole(
            "wrong content-type",
            |speech| body("text/html", speech.whole().to_string()),
            answered_or_rescued(NOT_JSON),
        )
        .and_streamed(|speech| body("text/plain", speech.frames().concat()), answered_or_rescued(NO_ANSWER)),
        Fault::streamed(
            "a stream that calls itself JSON",
            |speech| json_text(speech.frames().concat()),
            answered_or_rescued(NOT_JSON),
        ),
        Fault::whole("no content-type", |speech| untyped(speech.whole().to_string()), ANSWERED)
            .and_streamed(|speech| untyped(speech.frames().concat()), ANSWERED),
        Fault::streamed(
            "a whole answer where a stream was asked",
            |speech| Reply::json(200, &speech.whole()),
            answered_or_rescued(NOT_JSON),
        ),
        Fault::streamed(
            "JSON in a stream's clothes",
            |speech| body(SSE, speech.whole().to_string()),
            rescued(NO_ANSWER),
        ),
        Fault::whole("deep JSON beside the answer", deep, ANSWERED),
        Fault::whole("no usage", without_usage, ANSWERED.spent(Spent::Estimated)).and_streamed(
            |speech| stream(speech.frames_without_usage(), &[], End::Whole),
            ANSWERED.spent(Spent::Estimated),
        ),
        Fault::whole(
            "whitespace around the JSON",
            |speech| json_text(format!("\r\n {} \n\n", speech.whole())),
            ANSWERED,
        ),
    ]
}

enum Part {
    Content,
    Finish,
}

/// The whole answer with a part of it emptied.
fn without(speech: Speech, part: Part) -> Reply {
    let mut answer = speech.whole();
    let (place, empty) = match (speech, part) {
        (Speech::OpenAi, Part::Content) => (&mut answer["choices"], json!([])),
        (Speech::Anthropic, Part::Content) => (&mut answer["content"], json!([])),
        (Speech::OpenAi, Part::Finish) => (&mut answer["choices"][0]["finish_reason"], Value::Null),
        (Speech::Anthropic, Part::Finish) => (&mut answer["stop_reason"], Value::Null),
    };
    *place = empty;
    Reply::json(200, &answer)
}

fn the_list_is_an_object(speech: Speech) -> Reply {
    let mut answer = speech.whole();
    match speech {
        Speech::OpenAi => answer["choices"] = json!({"0": "x"}),
        Speech::Anthropic => answer["content"] = json!({"text": "x"}),
    }
    Reply::json(200, &answer)
}

/// A whole stream without a word, finish reason or block in it.
fn no_choices(speech: Speech) -> String {
    let first = speech.begun(0).into_iter().next().expect("every stream begins");
    let first = match speech {
        Speech::OpenAi => "data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"choices\":[]}\n\n".to_owned(),
        Speech::Anthropic => first,
    };
    first + &speech.end_mark()
}

fn finish_without_content(speech: Speech) -> Reply {
    json_text(speech.whole_saying("\"\""))
}

fn two_answers(speech: Speech) -> Reply {
    json_text(format!("{}\n{}", speech.whole(), speech.whole_saying("\"another\"")))
}

fn no_text(speech: Speech) -> Reply {
    let text = speech.whole().to_string();
    let at = text.find(PRIMARY).expect("the answer says it");
    let mut bytes = text.into_bytes();
    bytes[at] = 0xff;
    json_text(bytes)
}

fn too_long_inside(speech: Speech) -> Reply {
    let message = "This model's maximum context length is 8192 tokens, however you requested 9000 tokens";
    Reply::json(200, &speech.error("invalid_request_error", "invalid_request_error", message))
}

fn untyped(body: String) -> Reply {
    Reply::Whole { status: 200, headers: vec![], body: body.into() }
}

fn deep(speech: Speech) -> Reply {
    let (open, close) = ("[".repeat(100), "]".repeat(100));
    let text = speech.whole().to_string();
    json_text(text.replacen('{', &format!("{{\"deep\":{open}{close},"), 1))
}

fn without_usage(speech: Speech) -> Reply {
    let mut answer = speech.whole();
    answer.as_object_mut().expect("an answer is an object").remove("usage");
    Reply::json(200, &answer)
}
