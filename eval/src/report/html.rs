//! A run as one HTML page that stands alone: no script, no font, no picture from elsewhere.
//!
//! A model under test is no friend: whatever it said, and whatever a suite's author wrote, is escaped by the template engine, and the
//! page's own Content-Security-Policy lets a browser run or load nothing at all. The page says what the report says; it decides
//! nothing.

use minijinja::{AutoEscape, Environment, Error, ErrorKind};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Comparison, GateResult, Report, StoredRun};
use crate::{
    jinja::seen,
    run::dollars,
    suite::{Severity, Suite},
};

mod beside;
mod plot;
mod referees;
mod transcript;

use beside::Beside;
use plot::Plot;
use referees::Row;
use transcript::Transcript;

const PAGE: &str = include_str!("html/page.html");
const STYLE: &str = include_str!("html/page.css");

/// What a page is made of.
#[derive(Debug)]
pub struct Page<'a> {
    pub run: &'a StoredRun,
    /// The suite that was run, where its very bytes are at hand: without it the questions cannot be shown.
    pub suite: Option<&'a Suite>,
    /// Beside another run, with that run's report where it is at hand.
    pub beside: Option<(&'a Comparison, Option<&'a Report>)>,
    /// What is wrong with the report as it is kept.
    pub warnings: &'a [String],
}

/// What the template sees.
#[derive(Serialize)]
struct View<'a> {
    style: &'static str,
    run: &'a Report,
    digest: &'a str,
    verdict: String,
    split: &'static str,
    purpose: Option<&'a str>,
    use_cases: &'a [String],
    started: String,
    finished: String,
    seconds: String,
    cost: Option<String>,
    referees: Vec<Row>,
    latency: Option<Latency>,
    tokens: (u64, u64),
    answer_count: usize,
    warnings: &'a [String],
    severities: Vec<SeverityRow>,
    gates: Vec<GateView<'a>>,
    missed: Vec<Transcript<'a>>,
    beside: Option<Beside<'a>>,
    has_questions: bool,
}

/// In milliseconds.
#[derive(Serialize)]
struct Latency {
    median: u64,
    p95: u64,
    most: u64,
}

#[derive(Serialize)]
struct SeverityRow {
    name: &'static str,
    missed: usize,
    items: usize,
}

#[derive(Serialize)]
struct GateView<'a> {
    result: &'a GateResult,
    verdict: String,
    about: Option<&'a str>,
    described: String,
    plot: Plot<'a>,
}

impl Page<'_> {
    pub fn render(&self) -> Result<String, Error> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.add_filter("percent", |share: f64| format!("{:.1} %", share * 100.0));
        environment.add_filter("signed_percent", |share: f64| format!("{:+.1} %", share * 100.0));
        environment.add_filter("shown", visible);
        environment.add_template("page.html", PAGE)?;
        let view = serde_json::to_value(self.view())
            .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))?;
        environment.get_template("page.html")?.render(seen(&view))
    }

    fn view(&self) -> View<'_> {
        let report = &self.run.report;
        let mut missed: Vec<_> = report.items.iter().filter(|item| !item.passed()).collect();
        // The gravest first, else in the order of the suite.
        missed.sort_by_key(|item| std::cmp::Reverse(item.severity));
        let answers = || report.items.iter().flat_map(|item| &item.answers);
        View {
            style: STYLE,
            run: report,
            digest: &self.run.digest,
            verdict: report.verdict.to_string(),
            split: report.split.name(),
            purpose: self.suite.map(|suite| suite.purpose.as_str()),
            use_cases: self.suite.map_or(&[][..], |suite| suite.use_cases.as_slice()),
            started: moment(report.started_at),
            finished: moment(report.finished_at),
            seconds: format!("{:.1}", (report.finished_at - report.started_at).as_seconds_f64()),
            cost: report.cost_micros.map(dollars),
            referees: Row::of_run(report),
            latency: Latency::of(report),
            tokens: (
                answers().filter_map(|answer| answer.input_tokens).sum(),
                answers().filter_map(|answer| answer.output_tokens).sum(),
            ),
            answer_count: answers().count(),
            warnings: self.warnings,
            severities: severities(report),
            gates: report.gates.iter().map(|gate| self.gate(gate)).collect(),
            missed: missed.into_iter().map(|item| Transcript::of(item, self.suite)).collect(),
            beside: self.beside.map(|(comparison, old)| Beside::of(comparison, report, old)),
            has_questions: self.suite.is_some(),
        }
    }

    fn gate<'a>(&'a self, result: &'a GateResult) -> GateView<'a> {
        let gate = self.suite.and_then(|suite| suite.gates.iter().find(|gate| gate.id == result.id));
        GateView {
            result,
            verdict: result.verdict.to_string(),
            about: gate.map(|gate| gate.about.as_str()),
            described: result.describe(),
            plot: Plot::of(result),
        }
    }
}

impl Latency {
    fn of(report: &Report) -> Option<Self> {
        let at = |share| report.latency_ms(share);
        Some(Self { median: at(0.5)?, p95: at(0.95)?, most: at(1.0)? })
    }
}

fn severities(report: &Report) -> Vec<SeverityRow> {
    let row = |severity: Severity| {
        let items = || report.items.iter().filter(move |item| item.severity == severity);
        SeverityRow {
            name: severity.name(),
            missed: items().filter(|item| !item.passed()).count(),
            items: items().count(),
        }
    };
    let rows = [Severity::Critical, Severity::Major, Severity::Minor].map(row);
    rows.into_iter().filter(|row| row.items > 0).collect()
}

/// Characters that cannot be seen, or that turn the text around them, as their code points: what is read must be what was said.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let is_hidden =
            matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if is_hidden || (c.is_control() && !matches!(c, '\n' | '\t')) {
            out.push_str(&format!("\u{27e8}U+{:04X}\u{27e9}", c as u32));
        } else {
            out.push(c);
        }
    }
    out
}

fn moment(time: OffsetDateTime) -> String {
    let to_seconds = time.replace_nanosecond(0).unwrap_or(time);
    to_seconds.format(&Rfc3339).unwrap_or_else(|_| time.to_string())
}

#[cfg(test)]
mod tests;
