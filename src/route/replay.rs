//! The past under other conditions: calls of the ledger planned anew, one after the other, by the routes, certificates, prices
//! and share cap of now. Pure.
//!
//! What a call used is what it used in truth, wherever it goes. Nothing fails and nothing is slow here: a call goes to the
//! first target that its plan lets it go to. Budgets, rates and breakers are not replayed.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Need, Plan, Standings, TargetHealth, object_to_shares, plan};
use crate::{
    config::Settings,
    domain::{Fault, FaultKind, Money, Rate, TargetId, Task, Volume},
    limit::share::{Book, Draw, Parties, Reach, Rule},
    store::Replayed,
};

/// What is not as it was.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Only the config and the certificates.
    Nothing,
    /// The vendor is gone: by its name in the config, or all whose models it runs.
    Without(String),
    /// Nothing that it runs may be used, through whomever.
    Forbid(String),
    /// It costs so many times as much.
    Price(String, f64),
}

/// How long a target takes; ms.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Timing {
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// A replay under way.
pub struct Replay<'a> {
    settings: &'a Settings,
    standings: &'a Standings,
    change: Change,
    book: Book,
    before: Tally,
    after: Tally,
    calls: u64,
    moved: u64,
    /// Calls of routes that the config does not have any more.
    without_route: u64,
}

/// What a replay found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReplayReport {
    pub calls: u64,
    /// Calls that another vendor would serve, or nobody.
    pub moved: u64,
    /// Left out: their routes are not in the config any more.
    pub without_route: u64,
    pub before: Side,
    pub after: Side,
}

/// How it was, or would be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Side {
    pub served: u64,
    pub refused: u64,
    /// By the kind of fault.
    pub refused_by: BTreeMap<String, u64>,
    /// Of those with a known price.
    pub cost_micros: i64,
    pub cost_usd: String,
    pub unpriced_calls: u64,
    /// The mean over its calls of what their targets take; `null`: not known of any.
    pub timing: Option<Timing>,
    pub targets: Vec<TargetSide>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TargetSide {
    pub target: TargetId,
    /// Who runs it; `null`: our own hardware.
    pub vendor: Option<String>,
    pub calls: u64,
    pub tokens: u64,
    /// Of all volume in the cap's unit, 0 to 1.
    pub share: f64,
    pub cost_usd: String,
}

#[derive(Debug, Default)]
struct Tally {
    targets: BTreeMap<TargetId, Sum>,
    refused: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
struct Sum {
    /// Whole answers, streams.
    calls: [u64; 2],
    volume: Volume,
    unpriced: u64,
    cost: Money,
}

impl<'a> Replay<'a> {
    pub fn new(settings: &'a Settings, standings: &'a Standings, change: Change) -> Self {
        let book = Book::new(Rule::of(settings), Parties::of(settings));
        let (before, after) = (Tally::default(), Tally::default());
        Self { settings, standings, change, book, before, after, calls: 0, moved: 0, without_route: 0 }
    }

    /// The next call, in the order in which they began.
    pub fn call(&mut self, call: &Replayed) {
        if call.task == Task::CountTokens {
            return;
        }
        let settings = self.settings;
        let Some(route) = settings.routes.get(&call.route) else {
            self.without_route += 1;
            return;
        };
        self.calls += 1;
        match call.target.as_ref().filter(|_| call.answered) {
            Some(target) => self.before.serve(target, call, call.cost_micros.map(Money::from_micros)),
            None => self.before.refuse("not_answered"),
        }
        let need = Need {
            task: if call.streamed { Task::Stream } else { call.task },
            max_tokens: u32::try_from(call.usage.output).ok(),
            ..Need::default()
        };
        // The lower half of a UUIDv7 is random but for its first two bits.
        let place = ((call.call.0.as_u128() as u64) << 2) as f64 / u64::MAX as f64;
        let mut health: Vec<TargetHealth> = route.targets.iter().map(|target| self.health(&target.id)).collect();
        let draws: Vec<Draw> = route.targets.iter().map(|target| self.draw(&target.id, call)).collect();
        let look = |(target, draw): (&crate::config::Target, &Draw)| {
            self.book.look(&target.id.vendor, *draw, place, call.at_unix_ms)
        };
        let looks: Vec<_> = route.targets.iter().zip(&draws).map(look).collect();
        object_to_shares(&mut health, &looks);
        let planned = plan(route, self.standings, settings.enforcement).narrowed(route, &need, &health).shared(&looks);
        let server = self.first(&planned, &draws, call);
        let operator =
            |target: &TargetId| (!settings.is_own_hardware(target)).then(|| settings.operator(target).to_owned());
        let was = call.target.as_ref().filter(|_| call.answered).map(operator);
        match server {
            Ok(target) => {
                self.moved += u64::from(was != Some(operator(&target)));
                let cost = self.cost(&target, call);
                self.after.serve(&target, call, cost);
            }
            Err(kind) => {
                self.moved += u64::from(was.is_some());
                self.after.refuse(kind.as_str());
            }
        }
    }

    /// `timing`: what a target takes for streams or for whole answers.
    pub fn finish(self, timing: &dyn Fn(&TargetId, Streamed) -> Option<Timing>) -> ReplayReport {
        let rule = Rule::of(self.settings);
        let side = |tally: &Tally| tally.side(self.settings, rule, timing);
        ReplayReport {
            calls: self.calls,
            moved: self.moved,
            without_route: self.without_route,
            before: side(&self.before),
            after: side(&self.after),
        }
    }

    /// Who serves: the first of the plan that its share lets it; else one over the edge, as in truth.
    fn first(&mut self, plan: &Plan, draws: &[Draw], call: &Replayed) -> Result<TargetId, FaultKind> {
        for reach in [Reach::Within, Reach::Edge] {
            for step in plan.steps.iter().filter(|step| step.decision.is_attempted()) {
                let (vendor, draw) = (&step.target.vendor, draws[step.index]);
                if let Ok(taken) = self.book.take(vendor, draw, reach, call.at_unix_ms) {
                    self.book.settle(vendor, taken, draw.bound, call.at_unix_ms);
                    return Ok(step.target.clone());
                }
            }
        }
        let passed = plan.steps.iter().filter_map(|step| match &step.decision {
            super::Decision::Skip(fault) => Some(fault.kind),
            _ => None,
        });
        let kinds: Vec<FaultKind> = passed.collect();
        let share = kinds.contains(&FaultKind::VendorShare);
        Err(if share { FaultKind::VendorShare } else { kinds.last().copied().unwrap_or(FaultKind::VendorShare) })
    }

    fn health(&self, target: &TargetId) -> TargetHealth {
        let runs = |name: &String| !target.is_local() && *self.settings.operator(target) == **name;
        let objection = match &self.change {
            Change::Without(name) if runs(name) || target.vendor.as_str() == name => {
                Some(Fault::new(FaultKind::VendorOpen, format!("`{name}` is gone in this replay")))
            }
            Change::Forbid(name) if runs(name) => {
                Some(Fault::new(FaultKind::BreaksInvariant, format!("`{name}` is forbidden in this replay")))
            }
            _ => None,
        };
        TargetHealth { objection, answers_at_times: false }
    }

    fn cost(&self, target: &TargetId, call: &Replayed) -> Option<Money> {
        if target.is_local() {
            let is_free = self.settings.local.usd_per_hour.is_none_or(|usd| usd == Rate::ZERO);
            return match call.target.as_ref() == Some(target) {
                true => call.cost_micros.map(Money::from_micros),
                // How long another's call would have taken here, nobody knows.
                false => is_free.then_some(Money::ZERO),
            };
        }
        let cost = self.settings.prices.get(target)?.quote(&call.usage, call.at_unix_ms)?.cost;
        match &self.change {
            Change::Price(name, times) if *self.settings.operator(target) == **name => {
                Some(Money::from_micros((cost.micros as f64 * times).round() as i64))
            }
            _ => Some(cost),
        }
    }

    fn draw(&self, target: &TargetId, call: &Replayed) -> Draw {
        let cost = self.cost(target, call);
        let volume = Volume {
            tokens: call.usage.input.saturating_add(call.usage.output),
            requests: 1,
            cost_micros: cost.map_or(0, |cost| u64::try_from(cost.micros).unwrap_or(0)),
        };
        Draw { bound: volume, likely: volume, unpriced: cost.is_none() }
    }
}

/// How an answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Streamed {
    No,
    Yes,
}

impl Tally {
    fn serve(&mut self, target: &TargetId, call: &Replayed, cost: Option<Money>) {
        let sum = self.targets.entry(target.clone()).or_default();
        sum.calls[usize::from(call.streamed)] += 1;
        sum.unpriced += u64::from(cost.is_none());
        let cost = cost.unwrap_or(Money::ZERO);
        sum.cost = sum.cost + cost;
        sum.volume += Volume {
            tokens: call.usage.input.saturating_add(call.usage.output),
            requests: 1,
            cost_micros: u64::try_from(cost.micros).unwrap_or(0),
        };
    }

    fn refuse(&mut self, why: &str) {
        *self.refused.entry(why.to_owned()).or_default() += 1;
    }

    fn side(&self, settings: &Settings, rule: Rule, timing: &dyn Fn(&TargetId, Streamed) -> Option<Timing>) -> Side {
        let total: u64 = self.targets.values().map(|sum| rule.count(sum.volume)).sum();
        let cost: Money = self.targets.values().map(|sum| sum.cost).sum();
        let (mut timed, mut p50, mut p99) = (0, 0.0, 0.0);
        for (target, sum) in &self.targets {
            for (streamed, calls) in [Streamed::No, Streamed::Yes].into_iter().zip(sum.calls) {
                if let (Some(timing), 1..) = (timing(target, streamed), calls) {
                    timed += calls;
                    p50 += timing.p50_ms * calls as f64;
                    p99 += timing.p99_ms * calls as f64;
                }
            }
        }
        let mean = |sum: f64| sum / timed as f64;
        let targets = self.targets.iter().map(|(target, sum)| TargetSide {
            target: target.clone(),
            vendor: (!settings.is_own_hardware(target)).then(|| settings.operator(target).to_owned()),
            calls: sum.calls.iter().sum(),
            tokens: sum.volume.tokens,
            share: rule.count(sum.volume) as f64 / total.max(1) as f64,
            cost_usd: sum.cost.to_string(),
        });
        Side {
            served: self.targets.values().flat_map(|sum| sum.calls).sum(),
            refused: self.refused.values().sum(),
            refused_by: self.refused.clone(),
            cost_micros: cost.micros,
            cost_usd: cost.to_string(),
            unpriced_calls: self.targets.values().map(|sum| sum.unpriced).sum(),
            timing: (timed > 0).then(|| Timing { p50_ms: mean(p50), p99_ms: mean(p99) }),
            targets: targets.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        clock, config,
        domain::{RouteId, TokenUsage},
    };

    #[test]
    fn what_this_machines_time_would_cost_for_anothers_call_is_not_known() {
        for (usd_per_hour, unpriced_calls) in [("0", 0), ("1.2", 1)] {
            let text = format!(
                "enforcement: warn\nvendors: {{ a: {{ kind: openai }} }}\nroutes: {{ chat: {{ targets: [a/x, local/m] }} }}\n\
                 models: {{ a/x: {{ input_per_mtok: 1, output_per_mtok: 2 }} }}\nlocal: {{ usd_per_hour: {usd_per_hour} }}\n"
            );
            let loaded = config::load(&text, Path::new("backstop.yaml"));
            let settings = loaded.unwrap_or_else(|findings| panic!("{findings:?}")).settings;
            let standings = Standings::default();
            let mut replay = Replay::new(&settings, &standings, Change::Without("a".to_owned()));
            replay.call(&Replayed {
                call: clock::call_id(),
                at_unix_ms: 1_795_000_000_000,
                route: RouteId::new("chat"),
                task: Task::Answer,
                streamed: false,
                answered: true,
                target: TargetId::parse("a/x"),
                usage: TokenUsage { input: 1000, output: 10, ..TokenUsage::default() },
                cost_micros: Some(1020),
                waited_ms: None,
            });
            let after = replay.finish(&|_, _| None).after;
            assert_eq!((after.served, after.unpriced_calls), (1, unpriced_calls), "{after:?}");
        }
    }
}
