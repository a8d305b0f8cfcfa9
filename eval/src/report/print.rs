//! A report for programs: JSON lines, and JUnit's XML as CI systems read it.

use std::fmt::Write as _;

use serde::Serialize;

use super::{GateResult, ItemResult, Report, Verdict};

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    Item(&'a ItemResult),
    Gate(&'a GateResult),
    Run(Summary<'a>),
}

#[derive(Serialize)]
struct Summary<'a> {
    target: &'a str,
    engine: Option<&'a str>,
    suite: &'a str,
    version: &'a str,
    digest: &'a str,
    attempt: u64,
    verdict: Verdict,
    why: &'a [String],
    errors: usize,
    errors_allowed: usize,
    cost_micros: Option<u64>,
    seconds: f64,
}

impl Report {
    /// A line `{"item": …}` for each item, `{"gate": …}` for each gate, and `{"run": …}` last.
    pub fn to_jsonl(&self) -> Result<String, serde_json::Error> {
        let summary = Summary {
            target: &self.target,
            engine: self.engine.as_deref(),
            suite: &self.suite.name,
            version: &self.suite.version,
            digest: &self.suite.digest,
            attempt: self.attempt,
            verdict: self.verdict,
            why: &self.why,
            errors: self.errors,
            errors_allowed: self.errors_allowed,
            cost_micros: self.cost_micros,
            seconds: (self.finished_at - self.started_at).as_seconds_f64(),
        };
        let lines = self.items.iter().map(Line::Item).chain(self.gates.iter().map(Line::Gate));
        let mut text = String::new();
        for line in lines.chain([Line::Run(summary)]) {
            text.push_str(&serde_json::to_string(&line)?);
            text.push('\n');
        }
        Ok(text)
    }

    /// A `testsuite` for each gate with a `testcase` for each of its items, and one for the verdict: a gate can pass with items
    /// that miss, and only the suite `verdict` says whether it did.
    pub fn to_junit(&self) -> String {
        let name = escaped(&format!("{} {}", self.suite.name, self.target));
        let mut xml = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"{name}\">\n");
        xml.push_str(&self.verdict_suite());
        for gate in &self.gates {
            xml.push_str(&self.gate_suite(gate));
        }
        xml.push_str("</testsuites>\n");
        xml
    }

    /// A case for each gate, and one for the run: with too many errors it is inconclusive though every gate may have passed.
    fn verdict_suite(&self) -> String {
        let gates = self.gates.iter().map(|gate| (gate.id.as_str(), gate.verdict, gate.describe()));
        let run = ("run", self.verdict, format!("{}: {}", self.verdict, self.why.join("; ")));
        let cases: Vec<_> = gates.chain([run]).collect();
        let missed = cases.iter().filter(|(_, verdict, _)| *verdict != Verdict::Pass).count();
        let mut xml =
            format!("  <testsuite name=\"verdict\" tests=\"{}\" failures=\"{missed}\" errors=\"0\">\n", cases.len());
        for (name, verdict, said) in &cases {
            let failure = (*verdict != Verdict::Pass).then_some(("failure", said.as_str()));
            xml.push_str(&case("verdict", name, failure));
        }
        xml.push_str("  </testsuite>\n");
        xml
    }

    fn gate_suite(&self, gate: &GateResult) -> String {
        let mut cases = String::new();
        let (mut tests, mut failures, mut errors) = (0, 0, 0);
        for item in &self.items {
            let Some(score) = item.scores.get(&gate.id) else { continue };
            tests += 1;
            let said = score.why.join("; ");
            let outcome = match (&item.error, score.passed) {
                (Some(error), _) => {
                    errors += 1;
                    Some(("error", error.as_str()))
                }
                (None, false) => {
                    failures += 1;
                    Some(("failure", said.as_str()))
                }
                (None, true) => None,
            };
            cases.push_str(&case(&gate.id, &item.id, outcome));
        }
        let id = escaped(&gate.id);
        format!(
            "  <testsuite name=\"{id}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\">\n{cases}  </testsuite>\n"
        )
    }
}

fn case(class: &str, name: &str, outcome: Option<(&str, &str)>) -> String {
    let mut xml = format!("    <testcase classname=\"{}\" name=\"{}\"", escaped(class), escaped(name));
    let _ = match outcome {
        Some((tag, what)) => writeln!(xml, "><{tag} message=\"{}\"/></testcase>", escaped(what)),
        None => writeln!(xml, "/>"),
    };
    xml
}

/// For an attribute; what XML 1.0 cannot carry at all becomes a replacement character.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\r' | '\t' => {
                let _ = write!(out, "&#{};", c as u32);
            }
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
