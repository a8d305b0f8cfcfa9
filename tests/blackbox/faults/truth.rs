//! Whether a row holds: what the caller saw against what must come of the fault, and the ledger's row against both.

use std::time::Duration;

use serde_json::Value;

use super::{
    saw::{Mode, Said, Saw},
    speech::{PRIMARY, RESCUED, tool_arguments},
    stage::{ATTEMPT, Case, GRACE, SECRET, TOTAL},
    statuses::LEAK,
    table::{End, Spent},
};
use crate::kit::client::Answer;

/// Faults that come before the vendor can have read a question.
const UNREACHED: [&str; 4] = ["dns", "connect_refused", "connect_timeout", "tls"];

/// What happened to one row.
pub struct Happened {
    pub saw: Result<Saw, String>,
    /// `None`: there was no whole answer to read.
    pub answer: Option<Answer>,
    pub took: Duration,
}

/// How the call ended, where that is one of the ways it may.
pub fn end_of(case: &Case, happened: &Happened) -> Result<End, String> {
    let saw = happened.saw.clone()?;
    let end = match &saw {
        Saw::Whole(said) if said.text == RESCUED => End::Rescued,
        Saw::Whole(said) if said.text == PRIMARY => End::Answered,
        Saw::Broken(said) if begins(said) => End::Interrupted,
        Saw::Refused(status) => End::Refused(*status),
        Saw::Whole(said) | Saw::Broken(said) => return Err(format!("a mixed or cut answer: {said:?}")),
    };
    if case.expect.ends.contains(&end) { Ok(end) } else { Err(format!("{end:?}, where {:?}", case.expect.ends)) }
}

/// Something of the primary's, and nothing else.
fn begins(said: &Said) -> bool {
    let text = said.text.is_empty() || PRIMARY.repeat(1 + said.text.len() / PRIMARY.len()).starts_with(&said.text);
    let arguments = tool_arguments().to_string().starts_with(&said.arguments);
    text && arguments
}

/// All that is wrong with the row: nothing, when it holds.
pub fn faults_of(case: &Case, happened: &Happened, row: Option<&Value>) -> Vec<String> {
    let mut wrong = Vec::new();
    let end = end_of(case, happened).map_err(|why| wrong.push(why)).ok();
    if happened.took > TOTAL + GRACE {
        wrong.push(format!("took {:?} of {TOTAL:?}", happened.took));
    }
    let (Some(answer), Some(row)) = (&happened.answer, row) else {
        wrong.push("no answer or no row of the ledger".to_owned());
        return wrong;
    };
    for secret in [LEAK, SECRET, "127.0.0.1", "nowhere.invalid"] {
        if answer.body.contains(secret) || row.to_string().contains(secret) {
            wrong.push(format!("`{secret}` is told"));
        }
    }
    if let Some(end) = end {
        wrong.extend(headers(case, end, answer));
        wrong.extend(ledger(case, end, row, answer));
    }
    if case.elsewhere.as_ref().is_some_and(|other| other.connections() > 0) {
        wrong.push("the other origin was asked".to_owned());
    }
    wrong
}

fn headers(case: &Case, end: End, answer: &Answer) -> Vec<String> {
    let header = |name: &str| answer.header(name).unwrap_or("none").to_owned();
    let (served, fallback) = match end {
        End::Rescued => ("good/fake".to_owned(), "1"),
        End::Answered | End::Interrupted => (format!("{}/fake", case.id), "0"),
        End::Refused(_) => ("none".to_owned(), "none"),
    };
    let mut wrong = Vec::new();
    let mut same = |name: &str, right: &str| {
        if header(name) != right {
            wrong.push(format!("`{name}` is {}, not {right}", header(name)));
        }
    };
    same("x-backstop-served-by", &served);
    same("x-backstop-fallback", fallback);
    wrong
}

fn ledger(case: &Case, end: End, row: &Value, answer: &Answer) -> Vec<String> {
    let ending = match end {
        End::Rescued | End::Answered => "answered",
        End::Interrupted => "interrupted",
        End::Refused(_) => "failed",
    };
    let attempts: Vec<&Value> =
        row["attempts"].as_array().into_iter().flatten().filter(|attempt| !attempt["duration_ms"].is_null()).collect();
    let mut wrong = Vec::new();
    let mut hold = |holds: bool, what: String| {
        if !holds {
            wrong.push(what);
        }
    };
    hold(row["ending"] == ending, format!("the ledger's ending is {}, not {ending}", row["ending"]));
    hold(row["status"] == answer.status, format!("the ledger's status is {}", row["status"]));
    hold(row["streamed"] == (case.mode == Mode::Streamed), "the ledger errs about streaming".to_owned());
    hold(
        answer.header("x-backstop-attempts") == Some(attempts.len().to_string().as_str()),
        format!("{:?} attempts in the header, {} in the ledger", answer.header("x-backstop-attempts"), attempts.len()),
    );
    let (asked, rest): (Vec<&Value>, Vec<&Value>) =
        attempts.iter().partition(|attempt| attempt["target"] == format!("{}/fake", case.id));
    let rescuers = usize::from(end == End::Rescued);
    hold(rest.len() == rescuers, format!("{} attempts at the fallback, not {rescuers}", rest.len()));
    hold(
        (1..=case.expect.tries).contains(&asked.len()),
        format!("{} attempts at the primary, at most {} make sense", asked.len(), case.expect.tries),
    );
    let heard = case.heard();
    hold(heard.is_none_or(|heard| heard == asked.len()), format!("the primary heard {heard:?} questions"));
    for attempt in rest {
        hold(attempt["fault"].is_null(), format!("the fallback's fault is {}", attempt["fault"]));
        hold(attempt["usage_source"] == "reported", format!("the fallback's usage is {}", attempt["usage_source"]));
    }
    for attempt in asked {
        wrong.extend(primary(case, end, attempt));
    }
    wrong
}

/// An attempt at the primary, as the ledger has it.
fn primary(case: &Case, end: End, attempt: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut hold = |holds: bool, what: String| {
        if !holds {
            wrong.push(what);
        }
    };
    let fault = attempt["fault"].as_str();
    let usual = match end {
        End::Answered => "reported",
        End::Interrupted => "estimated",
        End::Rescued | End::Refused(_) => "none",
    };
    if end == End::Answered {
        hold(fault.is_none(), format!("a whole answer with the fault {fault:?}"));
    } else {
        let kinds = case.expect.kinds;
        hold(fault.is_some_and(|fault| kinds.contains(&fault)), format!("the fault is {fault:?}, not of {kinds:?}"));
    }
    // A row that is named after a status is about that status.
    if let Some(status) = case.name.split(' ').next().and_then(|word| word.parse::<u16>().ok()) {
        hold(attempt["status"] == status, format!("its status is {}", attempt["status"]));
    }
    let source = attempt["usage_source"].as_str().unwrap_or_default();
    let tokens = attempt["usage"]["output"].as_u64().unwrap_or(0);
    match case.expect.spent {
        // What half a stream told of its tokens before it broke may be kept as an estimate.
        Spent::Usual if usual == "none" && source == "estimated" && case.mode == Mode::Streamed => {}
        Spent::Usual => hold(source == usual, format!("its usage is {source}, not {usual}")),
        Spent::AsFarAsTold => hold(tokens > 0, format!("its usage is {source}, {tokens} tokens")),
        Spent::Estimated => {
            hold(source == "estimated" && tokens > 0, format!("its usage is {source}, {tokens} tokens"))
        }
        Spent::ReportedInVain => hold(
            source == "reported" && tokens > 0,
            format!("its usage is {source}, {tokens} tokens, and it was billed 7"),
        ),
    }
    if fault.is_some_and(|fault| UNREACHED.contains(&fault)) {
        hold(source == "none" && tokens == 0, format!("{tokens} tokens of a vendor that was never reached"));
    }
    let took = attempt["duration_ms"].as_f64().unwrap_or(f64::MAX);
    let bound = if end == End::Rescued { ATTEMPT } else { TOTAL } + GRACE;
    hold(took <= bound.as_secs_f64() * 1e3, format!("an attempt took {took:.0} ms"));
    wrong
}
