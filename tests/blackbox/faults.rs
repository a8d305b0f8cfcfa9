//! Every fault that a vendor is known to have, streamed and not, from both dialects to both: the caller gets one whole
//! answer or one honest error, in time, and the ledger tells what happened.
//!
//! One gateway for each pair of dialects, one vendor and one route for each row, so that no breaker that one row opens,
//! no limit that it learns and no connection that it leaves behind touches another. All rows run; what fails is told
//! together. The table of what happened is printed and kept in `target/test-logs/faults.txt`.

pub mod bodies;
pub mod fault;
pub mod gzip;
pub mod judge;
pub mod oddities;
pub mod reach;
pub mod statuses;
pub mod streams;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use serde_json::json;
use tokio::sync::Mutex;

use self::fault::{Fault, Got, Mode, Place, RESCUED, Scene, Wire};
use super::{
    client::{Answer, anthropic_question, question, try_send},
    config::Config,
    gateway::Gateway,
    home::Home,
    ledger::Rows,
    vendor::{
        Say, Seen, Vendor, closed_port,
        place::{BlackHole, Blunt, SelfSigned},
    },
};

/// Rows that are asked side by side.
const AT_ONCE: usize = 16;

/// A key that must not leave for another origin.
const KEY: &str = "sk-canary-fault-suite";
const REDIRECTS: [&str; 2] = ["redirect-302", "redirect-307"];

/// One pair of dialects after the other: side by side they would only wait for each other. The number counts them.
static TURN: Mutex<usize> = Mutex::const_new(0);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openai_callers_survive_every_fault_of_an_openai_vendor() {
    quadrant(Wire::Openai, Wire::Openai).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openai_callers_survive_every_fault_of_an_anthropic_vendor() {
    quadrant(Wire::Openai, Wire::Anthropic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anthropic_callers_survive_every_fault_of_an_openai_vendor() {
    quadrant(Wire::Anthropic, Wire::Openai).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anthropic_callers_survive_every_fault_of_an_anthropic_vendor() {
    quadrant(Wire::Anthropic, Wire::Anthropic).await;
}

#[test]
fn the_table_is_as_large_as_it_should_be() {
    let all = table();
    for mode in [Mode::Whole, Mode::Streamed] {
        let count = all.iter().filter(|fault| fault.expect(mode).is_some()).count();
        assert!(count >= 40, "{count} faults {mode:?}");
    }
    let names: BTreeSet<_> = all.iter().map(|fault| fault.name).collect();
    assert_eq!(names.len(), all.len(), "a name is there twice");
}

fn table() -> Vec<Fault> {
    [reach::all(), statuses::all(), bodies::all(), streams::all(), oddities::all()].into_iter().flatten().collect()
}

/// A question that was asked.
struct Row<'a> {
    fault: &'a Fault,
    mode: Mode,
    answer: Result<Answer, String>,
    took: Duration,
}

/// Where the vendors of a quadrant are.
struct Stage {
    /// One for each row, by the row's name.
    primaries: BTreeMap<String, Vendor>,
    good: Vendor,
    trap: Vendor,
    closed: String,
    hole: BlackHole,
    blunt: Blunt,
    mute: Blunt,
    stranger: SelfSigned,
}

async fn quadrant(caller: Wire, vendor: Wire) {
    let mut turn = TURN.lock().await;
    let (faults, stage) = (table(), Stage::build(vendor).await);
    let home = Home::new(&stage.config(&faults, vendor));
    for name in REDIRECTS {
        for mode in [Mode::Whole, Mode::Streamed] {
            home.secret(&entry(name, mode), KEY);
        }
    }
    let gateway = home.serve();
    let modes = faults.iter().flat_map(|fault| [(fault, Mode::Whole), (fault, Mode::Streamed)]);
    let mut asked: Vec<_> = modes.filter(|(fault, mode)| fault.expect(*mode).is_some()).enumerate().collect();
    // What is large keeps a small machine busy, so it comes last.
    asked.sort_by_key(|(_, (fault, _))| fault.is_large());
    let asked = asked.into_iter();
    let asked = asked.map(async |(number, (fault, mode))| (number, ask(&gateway, caller, fault, mode).await));
    let mut rows: Vec<(usize, Row<'_>)> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
    rows.sort_by_key(|(number, _)| *number);
    let rows: Vec<Row<'_>> = rows.into_iter().map(|(_, row)| row).collect();
    let log = gateway.stop();
    let ledger = Rows::of(&home);
    let mut failed = Vec::new();
    let mut told = format!("\n{} caller, {} vendor: {} rows\n", caller.name(), vendor.name(), rows.len());
    for row in &rows {
        let (line, verdict) = row.judge(caller, &ledger, &stage.seen(row.fault, row.mode));
        let name = format!("{:<9}{}", format!("{:?}", row.mode).to_lowercase(), row.fault.name);
        let right = if verdict.is_ok() { "ok" } else { "WRONG" };
        let _ = writeln!(told, "{name:<46} {line:<52} {:>5} ms  {right}", row.took.as_millis());
        failed.extend(verdict.err().map(|why| format!("{name}: {why}")));
    }
    keep(&told, *turn);
    *turn += 1;
    drop(turn);
    assert_eq!(stage.trap.connections(), 0, "a redirect was followed");
    let seen = stage.primaries.values().flat_map(Vendor::seen);
    let with_key = seen.filter(|seen| seen.headers.iter().any(|(_, value)| value.contains(KEY))).count();
    assert_eq!(with_key, 2 * REDIRECTS.len(), "the key that must not travel is sent where it belongs");
    assert!(!log.contains(KEY) && !log.contains("panicked"), "{log}");
    assert!(failed.is_empty(), "{} of {} rows are wrong:\n{}", failed.len(), rows.len(), failed.join("\n"));
}

/// The vendor's and the route's name.
fn entry(name: &str, mode: Mode) -> String {
    match mode {
        Mode::Whole => format!("w-{name}"),
        Mode::Streamed => format!("s-{name}"),
    }
}

impl Stage {
    async fn build(vendor: Wire) -> Self {
        let trap = Vendor::openai(Say::Text("never")).await;
        let mut primaries = BTreeMap::new();
        for fault in table().into_iter().filter(|fault| fault.place == Place::Fake) {
            for mode in [Mode::Whole, Mode::Streamed] {
                let (name, say, trap_url) = (entry(fault.name, mode), Arc::clone(&fault.say), trap.url());
                let script = move |_: usize, seen: &Seen| {
                    let mode = if seen.wants_stream() { Mode::Streamed } else { Mode::Whole };
                    say(Scene { wire: vendor, mode, trap: &trap_url })
                };
                primaries.insert(name, Vendor::start(script).await);
            }
        }
        let good = match vendor.other() {
            Wire::Openai => Vendor::openai(Say::Text(RESCUED)).await,
            Wire::Anthropic => Vendor::anthropic(Say::Text(RESCUED)).await,
        };
        let blunt = Blunt::saying(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        let (mute, closed, hole) = (Blunt::saying(b"").await, closed_port().await, BlackHole::dig().await);
        let stranger = SelfSigned::start().await;
        Self { primaries, good, trap, closed, hole, blunt, mute, stranger }
    }

    fn config(&self, faults: &[Fault], vendor: Wire) -> String {
        let mut config = Config::warn().vendor("good", vendor.other().name(), &self.good.url());
        for fault in faults {
            for mode in [Mode::Whole, Mode::Streamed] {
                let name = entry(fault.name, mode);
                let url = match fault.place {
                    Place::Fake => self.primaries[&name].url(),
                    Place::Closed => self.closed.clone(),
                    Place::Unresolvable => "http://no-such-host.invalid".to_owned(),
                    Place::BlackHole => self.hole.url(),
                    Place::PlainTls => self.blunt.https_url(),
                    Place::TlsCut => self.mute.https_url(),
                    Place::SelfSigned => self.stranger.https_url(),
                };
                let targets = [format!("{name}/{}", fault.name), "good/fake".to_owned()];
                let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
                config = config.vendor(&name, vendor.name(), &url);
                config = config.route_with(&name, &targets, &format!("deadlines: {}", fault.deadlines));
            }
        }
        config.text()
    }

    /// What the row's own vendor was asked.
    fn seen(&self, fault: &Fault, mode: Mode) -> Vec<Seen> {
        self.primaries.get(&entry(fault.name, mode)).map(Vendor::seen).unwrap_or_default()
    }
}

async fn ask<'a>(gateway: &Gateway, caller: Wire, fault: &'a Fault, mode: Mode) -> Row<'a> {
    let (client, route) = (gateway.client(), entry(fault.name, mode));
    let streamed = json!(mode == Mode::Streamed);
    let request = match caller {
        Wire::Openai => {
            let mut body = question(&route, "hi");
            body["stream"] = streamed;
            client.post("/v1/chat/completions", &body)
        }
        Wire::Anthropic => {
            let mut body = anthropic_question(&route, "hi");
            body["stream"] = streamed;
            client.post_message(&body)
        }
    };
    let begin = Instant::now();
    let answer = try_send(request).await.map_err(|error| format!("the answer broke off: {error}"));
    Row { fault, mode, answer, took: begin.elapsed() }
}

impl Row<'_> {
    /// What happened, in a few words, and what is wrong with it.
    fn judge(&self, caller: Wire, ledger: &Rows, seen: &[Seen]) -> (String, Result<(), String>) {
        let answer = match &self.answer {
            Ok(answer) => answer,
            Err(why) => return ("nothing".into(), Err(why.clone())),
        };
        let id = answer.header("x-request-id").unwrap_or_default();
        let rows = ledger.all_of(id);
        let faults: Vec<String> = rows
            .iter()
            .flat_map(|row| row["attempts"].as_array().into_iter().flatten())
            .map(|attempt| attempt["fault"].as_str().unwrap_or("served").to_owned())
            .collect();
        let got = judge::got(answer, caller, self.mode);
        let line = format!("{} [{}]", got.as_ref().map_or("?".into(), |got| format!("{got:?}")), faults.join(", "));
        let verdict = got.and_then(|got| self.weigh(answer, got, &rows, seen));
        (line, verdict)
    }

    fn weigh(&self, answer: &Answer, got: Got, rows: &[&serde_json::Value], seen: &[Seen]) -> Result<(), String> {
        let Self { fault, mode, took, .. } = self;
        let expect = fault.expect(*mode).expect("only rows that expect something are asked");
        let primary = format!("{}/{}", entry(fault.name, *mode), fault.name);
        if !expect.any.contains(&got) {
            return Err(format!(
                "{got:?}, not {:?}: {}",
                expect.any,
                answer.body.chars().take(300).collect::<String>()
            ));
        }
        if *took > fault.within {
            return Err(format!("took {took:?}, more than {:?}", fault.within));
        }
        let served_by = match got {
            Got::Rescued => Some("good/fake"),
            Got::Refused(_) => None,
            _ => Some(&*primary),
        };
        if answer.header("x-backstop-served-by") != served_by {
            return Err(format!("the answer says it is by {:?}", answer.header("x-backstop-served-by")));
        }
        let [row] = rows else { return Err(format!("{} rows in the ledger", rows.len())) };
        judge::ledger(row, got, expect, *mode, &primary)?;
        let attempts =
            row["attempts"].as_array().map_or(0, |all| all.iter().filter(|it| it["target"] == primary).count());
        let wanted = *mode == Mode::Streamed;
        let asked =
            seen.iter().filter(|seen| seen.json()["model"] == fault.name && seen.wants_stream() == wanted).count();
        if fault.place == Place::Fake && asked != attempts {
            return Err(format!("the primary was asked {asked} times and the ledger knows of {attempts}"));
        }
        Ok(())
    }
}

/// Prints the table and keeps it; the first of a run begins the file anew.
fn keep(table: &str, turn: usize) {
    println!("{table}");
    let logs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-logs");
    std::fs::create_dir_all(&logs).expect("the target directory can be written");
    let mut options = std::fs::OpenOptions::new();
    let file = options.create(true).write(true).truncate(turn == 0).append(turn > 0).open(logs.join("faults.txt"));
    file.and_then(|mut file| file.write_all(table.as_bytes())).expect("the log can be written");
}
