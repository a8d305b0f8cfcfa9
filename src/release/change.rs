//! What a promotion changes for customers: computed from the evaluations of the old and the new primary, their prices, contexts and
//! latencies. What cannot be computed is said, and counts as material: nobody is told that nothing changed on no evidence.

use std::path::Path;

use backstop_eval::report::{Comparison, RecordedFinish, RecordedPart, Report, Runs};
use serde::Serialize;

use crate::{
    clock,
    config::Settings,
    domain::{RouteId, TargetId, TokenUsage},
};

/// A gate without a margin of its own is held to this.
const MARGIN: f64 = 0.02;
/// Shares of answers (refusals, cut answers) that differ by more are told.
const SHARE: f64 = 0.02;
/// Lengths, prices and latencies that differ by more than this factor are told.
const FACTOR: f64 = 1.2;

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    pub old: TargetId,
    pub new: TargetId,
    pub suite: String,
    pub material: bool,
    /// Why it is, in words.
    pub reasons: Vec<String>,
    pub gates: Vec<GateChange>,
    /// The runs that were compared, by digest.
    pub runs: Option<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GateChange {
    pub gate: String,
    pub old_passed: usize,
    pub new_passed: usize,
    pub items: usize,
    /// New less old, by pairs.
    pub difference: f64,
    pub margin: f64,
}

/// Blocks on files.
pub fn change(settings: &Settings, eval: &Path, route: &RouteId, (old, new): (&TargetId, &TargetId)) -> Change {
    let suite = settings.routes.get(route).map(|route| route.suite.clone()).unwrap_or_default();
    let mut change = Change {
        old: old.clone(),
        new: new.clone(),
        suite: suite.clone(),
        material: false,
        reasons: Vec::new(),
        gates: Vec::new(),
        runs: None,
    };
    if old == new {
        return change;
    }
    let runs = Runs::in_dir(eval);
    let both =
        runs.last(&new.to_string(), &suite).and_then(|new| Ok((runs.find_beside(&old.to_string(), &new.report)?, new)));
    match both {
        Ok((old, new)) => {
            let sides = ((&old.report, old.digest.as_str()), (&new.report, new.digest.as_str()));
            match Comparison::between(sides.0, sides.1, None) {
                Ok(comparison) => change.compare(&comparison),
                Err(why) => change.reasons.push(format!("the two evaluations cannot be compared: {why}")),
            }
            change.answers(&old.report, &new.report);
            change.runs = Some((old.digest, new.digest));
        }
        Err(why) => change.reasons.push(format!("there is no evaluation of both over `{suite}`: {why}")),
    }
    change.terms(settings);
    change.material = !change.reasons.is_empty();
    change
}

impl Change {
    fn compare(&mut self, comparison: &Comparison) {
        for gate in &comparison.gates {
            let margin = gate.paired.margin.unwrap_or(MARGIN);
            let difference = gate.paired.estimate;
            if difference.abs() > margin {
                let way = if difference < 0.0 { "worse" } else { "better" };
                self.reasons.push(format!("{} is {way} by {:.1} %", gate.id, difference.abs() * 100.0));
            }
            self.gates.push(GateChange {
                gate: gate.id.clone(),
                old_passed: gate.old.items_passed,
                new_passed: gate.new.items_passed,
                items: gate.new.items,
                difference,
                margin,
            });
        }
    }

    fn answers(&mut self, old: &Report, new: &Report) {
        let (old_shape, new_shape) = (Shape::of(old), Shape::of(new));
        for (what, old, new) in
            [("refusals", old_shape.refused, new_shape.refused), ("cut answers", old_shape.cut, new_shape.cut)]
        {
            if (new - old).abs() > SHARE {
                self.reasons.push(format!("{what}: {:.1} % of the answers, before {:.1} %", new * 100.0, old * 100.0));
            }
        }
        self.factor("the length of answers", old_shape.characters, new_shape.characters);
        let latency = |report: &Report| report.latency_ms(0.5).map_or(0.0, |ms| ms as f64);
        self.factor("the median latency in the evaluation (ms)", latency(old), latency(new));
    }

    fn terms(&mut self, settings: &Settings) {
        let (old, new) = (terms(settings, &self.old), terms(settings, &self.new));
        self.factor("the price of input tokens", old.0, new.0);
        self.factor("the price of output tokens", old.1, new.1);
        match (old.2, new.2) {
            (Some(old), Some(new)) if old != new => {
                self.reasons.push(format!("the context is of {new} tokens, before {old}"));
            }
            _ => {}
        }
    }

    fn factor(&mut self, what: &str, old: f64, new: f64) {
        if old > 0.0 && new > 0.0 && (new / old > FACTOR || old / new > FACTOR) {
            self.reasons.push(format!("{what} is {:.2} times what it was", new / old));
        } else if (old > 0.0) != (new > 0.0) && what.starts_with("the price") {
            self.reasons.push(format!("{what} is {new:.2} $ per million, before {old:.2} $"));
        }
    }
}

/// Prices in dollars per million tokens, now, and the context.
pub fn terms(settings: &Settings, target: &TargetId) -> (f64, f64, Option<u32>) {
    let (input, output) = dollars(settings, target).unwrap_or((0.0, 0.0));
    (input, output, settings.capabilities(target).context_tokens)
}

/// What a million tokens cost now, in and out, in dollars; `None`: no price is known.
pub fn dollars(settings: &Settings, target: &TargetId) -> Option<(f64, f64)> {
    let prices = settings.prices_of(target)?;
    let of = |usage: TokenUsage| Some(prices.quote(&usage, clock::unix_ms())?.cost.micros as f64 / 1e6);
    let input = of(TokenUsage { input: 1_000_000, ..TokenUsage::default() })?;
    let output = of(TokenUsage { output: 1_000_000, ..TokenUsage::default() })?;
    Some((input, output))
}

/// What a run's answers are like.
struct Shape {
    refused: f64,
    cut: f64,
    characters: f64,
}

impl Shape {
    fn of(report: &Report) -> Self {
        let (mut count, mut refused, mut cut, mut characters) = (0_usize, 0_usize, 0_usize, 0_usize);
        for answer in report.items.iter().flat_map(|item| &item.answers) {
            count += 1;
            let refuses = |part: &RecordedPart| matches!(part, RecordedPart::Refusal(_));
            refused +=
                usize::from(answer.finish == RecordedFinish::ContentFilter || answer.content.iter().any(refuses));
            cut += usize::from(answer.finish == RecordedFinish::Length);
            let texts = answer.content.iter().filter_map(|part| match part {
                RecordedPart::Text(text) => Some(text.chars().count()),
                _ => None,
            });
            characters += texts.sum::<usize>();
        }
        let all = count.max(1) as f64;
        Self { refused: refused as f64 / all, cut: cut as f64 / all, characters: characters as f64 / all }
    }
}
