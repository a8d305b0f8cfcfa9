//! The fault suite: everything that can go wrong with a primary, whole and streamed, for callers and vendors of both
//! dialects. The caller gets one whole, unmixed answer or one honest error, within its budget, and the ledger tells the truth.
//!
//! The rows are data (`connecting`, `http`, `statuses`, `bodies`, `openings`, `breaks`); each says what must come of it by
//! the issue and DESIGN, never what came of it last time. A run leaves a table per quadrant in `target/test-logs`.

pub mod bodies;
pub mod breaks;
pub mod connecting;
pub mod gzip;
pub mod http;
pub mod openings;
pub mod saw;
pub mod speech;
pub mod stage;
pub mod statuses;
pub mod table;
pub mod truth;

use std::{fmt::Write as _, fs, path::Path};

use saw::Mode;
use speech::Speech;
use stage::{Case, install, play, set_up};
use table::Fault;
use truth::{Happened, end_of, faults_of};

use super::ledger::Rows;

/// Above the bounds of all answers that are held at the same time, and far below what a bomb would unpack to.
const MEMORY: u64 = 700 << 20;

fn table() -> Vec<Fault> {
    [connecting::faults(), http::faults(), statuses::faults(), bodies::faults(), openings::faults(), breaks::faults()]
        .into_iter()
        .flatten()
        .collect()
}

async fn quadrant(caller: Speech, vendor: Speech) {
    let cases = set_up(&table(), vendor).await;
    let (home, _good) = install(&cases, vendor).await;
    let gateway = home.serve();
    let happened = play(&gateway, &cases, caller).await;
    let resident = gateway.resident();
    let metrics = gateway.client().get("/metrics").await.body;
    let log = gateway.stop();
    let rows = Rows::of(&home);
    let judged: Vec<Vec<String>> =
        cases.iter().zip(&happened).map(|(case, happened)| judge(case, happened, &rows)).collect();
    let (report, mut failing) = tell(caller, vendor, (&cases, &happened, &judged), &rows);
    keep(&format!("faults-{caller:?}-{vendor:?}.txt"), &report);
    println!("{report}");
    let mut hold = |holds: bool, what: String| {
        if !holds {
            failing.push(what);
        }
    };
    hold(rows.count() == cases.len(), format!("{} rows in the ledger for {} calls", rows.count(), cases.len()));
    hold(metrics.contains("backstop_calls_in_flight 0\n"), "a call is left over".to_owned());
    hold(resident < MEMORY, format!("{} MiB resident", resident >> 20));
    for secret in [stage::SECRET, statuses::LEAK] {
        hold(!log.contains(secret), format!("the log tells `{secret}`"));
    }
    assert!(
        failing.is_empty(),
        "{} of {} rows do not hold, or all of them together:\n{}",
        failing.len(),
        cases.len(),
        failing.join("\n")
    );
}

fn judge(case: &Case, happened: &Happened, rows: &Rows) -> Vec<String> {
    let id = happened.answer.as_ref().and_then(|answer| answer.header("x-request-id"));
    let row = id.map(|id| rows.all_of(id)).filter(|rows| rows.len() == 1).map(|rows| rows[0]);
    faults_of(case, happened, row)
}

/// The table of what happened, and the rows that do not hold.
fn tell(
    caller: Speech,
    vendor: Speech,
    all: (&[Case], &[Happened], &[Vec<String>]),
    rows: &Rows,
) -> (String, Vec<String>) {
    let (cases, happened, judged) = all;
    let mut report = format!("{caller:?} caller, {vendor:?} vendor\n");
    let mut failing = Vec::new();
    for ((case, happened), wrong) in cases.iter().zip(happened).zip(judged) {
        let mode = if case.mode == Mode::Whole { "whole" } else { "streamed" };
        let end = end_of(case, happened).map_or_else(|_| "NOT HONEST".to_owned(), |end| format!("{end:?}"));
        let id = happened.answer.as_ref().and_then(|answer| answer.header("x-request-id"));
        let attempts = id.map(|id| attempts(rows, id)).unwrap_or_default();
        let took = happened.took.as_millis();
        let verdict = if wrong.is_empty() { "holds" } else { "FAILS" };
        let line = format!("{:<42} {mode:<9} {end:<14} {took:>5} ms  {verdict}  {attempts}", case.name);
        let _ = writeln!(report, "{line}");
        if !wrong.is_empty() {
            let _ = writeln!(report, "    {}", wrong.join("\n    "));
            failing.push(format!("{line}\n    {}", wrong.join("\n    ")));
        }
    }
    let _ = writeln!(report, "{} rows, {} do not hold", cases.len(), failing.len());
    (report, failing)
}

/// The attempts of a call, in short.
fn attempts(rows: &Rows, id: &str) -> String {
    let told = |attempt: &serde_json::Value| {
        let fault = attempt["fault"].as_str().unwrap_or("ok");
        let target = attempt["target"].as_str().unwrap_or_default();
        format!(
            "{}: {fault} ({})",
            target.trim_end_matches("/fake"),
            attempt["usage_source"].as_str().unwrap_or_default()
        )
    };
    let attempts = rows.all_of(id).into_iter().filter_map(|row| row["attempts"].as_array()).flatten();
    attempts.map(told).collect::<Vec<_>>().join(", ")
}

fn keep(name: &str, report: &str) {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../test-logs");
    fs::create_dir_all(&directory)
        .and_then(|()| fs::write(directory.join(name), report))
        .expect("the build directory can be written");
}

#[test]
fn the_suite_is_as_wide_as_it_says() {
    let table = table();
    let both = table.iter().filter(|fault| fault.whole.is_some() && fault.streamed.is_some()).count();
    assert!(both >= 40, "only {both} faults are both whole and streamed");
    let mut names: Vec<&str> = table.iter().map(|fault| fault.name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "two faults of one name: {names:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_an_openai_vendor_for_an_openai_caller() {
    quadrant(Speech::OpenAi, Speech::OpenAi).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_an_openai_vendor_for_an_anthropic_caller() {
    quadrant(Speech::Anthropic, Speech::OpenAi).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_an_anthropic_vendor_for_an_openai_caller() {
    quadrant(Speech::OpenAi, Speech::Anthropic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_an_anthropic_vendor_for_an_anthropic_caller() {
    quadrant(Speech::Anthropic, Speech::Anthropic).await;
}
