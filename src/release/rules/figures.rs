//! What a rule's comparison is at one moment: the baseline before a version served, what was seen since, and the evidence between them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    course::Look,
    sequential::{
        Seen, evidence_of_mean, evidence_of_rate, mean_within, mean_within_always, place_above, place_above_always,
        rate_at_most, rate_at_most_always,
    },
};
use crate::{
    config::{Comparison, Metric, Rule, Side},
    domain::RouteId,
    store::{CallSums, CallsOf, ShareOf, Store, StoreError, SumFilter},
};

/// The share of calls that may be slower than a P99.
const TAIL: f64 = 0.01;

/// Since when a version serves, and until when it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub since_unix_ms: i64,
    pub until_unix_ms: i64,
    pub of: Watched,
}

/// Whose calls are looked at, and with what they are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watched {
    /// All of the route's, with all that came before.
    Route,
    /// A release that serves, with what others answered before.
    Release(u32),
    /// A canary, with what the others answer at the same time.
    Canary(u32),
}

/// How a baseline came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Baseline {
    /// It is over.
    Before,
    /// It grows while it is looked at, so its own uncertainty must hold at every look.
    Beside,
}

/// One comparison, as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    pub comparison: String,
    pub samples: u64,
    /// Of the metric since the version serves; of `p99_ms` the share of calls that are slower than the bound.
    pub value: Option<f64>,
    /// What was measured before it did; `null`: nothing, or it is not asked.
    pub baseline: Option<f64>,
    /// What it is compared with, the baseline's own uncertainty allowed for.
    pub bound: Option<f64>,
    /// How surely it is worse than the bound: 1/alpha is enough. At most 1e12.
    pub evidence: f64,
    /// `fine`, `breached` or `undecided`.
    pub look: String,
}

/// What was measured of one comparison.
struct Measured {
    samples: u64,
    value: Option<f64>,
    baseline: Option<f64>,
    bound: Option<f64>,
    /// Natural logarithm.
    evidence: f64,
}

/// One look of a rule at a route: its comparisons, and what they come to.
pub async fn look(store: &Store, rule: &Rule, route: &RouteId, span: Span) -> Result<(Look, Vec<Finding>), StoreError> {
    let alpha = rule.alpha / rule.when.comparisons().max(1) as f64;
    let (mut findings, mut any) = (Vec::new(), Look::Fine);
    for all in &rule.when.any {
        let mut looks = Vec::new();
        for comparison in all {
            let measured = measure(store, rule, comparison, (route, span), alpha / 2.0).await?;
            // A bound that had to be measured has taken its half of alpha.
            let enough = (2.0 / alpha).ln();
            let look = match measured.bound {
                None => Look::Undecided,
                Some(_) if measured.samples < rule.min_samples => Look::Undecided,
                Some(_) if measured.evidence >= enough => Look::Breached,
                Some(_) => Look::Fine,
            };
            looks.push(look);
            findings.push(Finding {
                comparison: comparison.to_string(),
                samples: measured.samples,
                value: measured.value,
                baseline: measured.baseline,
                bound: measured.bound,
                evidence: measured.evidence.exp().min(1e12),
                look: named(look).to_owned(),
            });
        }
        any = either(any, every(&looks));
    }
    Ok((any, findings))
}

fn named(look: Look) -> &'static str {
    match look {
        Look::Fine => "fine",
        Look::Breached => "breached",
        Look::Undecided => "undecided",
    }
}

fn every(looks: &[Look]) -> Look {
    if looks.contains(&Look::Fine) {
        Look::Fine
    } else if looks.contains(&Look::Undecided) {
        Look::Undecided
    } else {
        Look::Breached
    }
}

fn either(one: Look, other: Look) -> Look {
    match (one, other) {
        (Look::Breached, _) | (_, Look::Breached) => Look::Breached,
        (Look::Undecided, _) | (_, Look::Undecided) => Look::Undecided,
        _ => Look::Fine,
    }
}

async fn measure(
    store: &Store,
    rule: &Rule,
    comparison: &Comparison,
    (route, span): (&RouteId, Span),
    alpha: f64,
) -> Result<Measured, StoreError> {
    let (now, before, kind) = sides(rule, comparison, route, span);
    let allowed = (rule.min_samples, alpha, kind);
    match &comparison.metric {
        Metric::ErrorRate | Metric::RefusalRate => {
            let hits = |sums: &CallSums| match comparison.metric {
                Metric::RefusalRate => sums.refused,
                _ => sums.failed,
            };
            let (old, new) = (store.call_sums(before, None).await?, store.call_sums(now, None).await?);
            Ok(of_rate(comparison, (hits(&old), old.calls), (hits(&new), new.calls), allowed))
        }
        Metric::FallbackRate | Metric::Finished(_) | Metric::SchemaValidRate | Metric::SentinelScore => {
            let what = match comparison.metric {
                Metric::FallbackRate => ShareOf::FellBack,
                Metric::Finished(reason) => ShareOf::Finished(reason),
                Metric::SchemaValidRate => ShareOf::ValidJson,
                _ => ShareOf::PassedProbes,
            };
            let (old, new) = (store.share_of(what, before).await?, store.share_of(what, now).await?);
            Ok(of_rate(comparison, (old.hits, old.of), (new.hits, new.of), allowed))
        }
        Metric::P99Ms => {
            let (mut baseline, mut bound) = (None, Some(comparison.offset));
            if comparison.factor != 0.0 {
                let count = store.call_sums(before.clone(), None).await?.answered;
                baseline = store.call_quantile_ms(before.clone(), TAIL).await?;
                let place = match kind {
                    Baseline::Before => place_above(count, TAIL, alpha),
                    Baseline::Beside => place_above_always(count, TAIL, alpha),
                };
                bound = match place.filter(|_| count >= rule.min_samples) {
                    None => None,
                    // The share whose place from the top that is, the middle of it.
                    Some(place) => {
                        let share = (place as f64 - 0.5) / count as f64;
                        let kind = store.call_quantile_ms(before, share).await?;
                        kind.map(|kind| comparison.factor * kind + comparison.offset)
                    }
                };
            }
            let new = store.call_sums(now, bound).await?;
            let value = (new.answered > 0).then(|| new.slower as f64 / new.answered as f64);
            let evidence = if bound.is_some() { evidence_of_rate(new.slower, new.answered, TAIL) } else { 0.0 };
            Ok(Measured { samples: new.answered, value, baseline, bound, evidence })
        }
        Metric::CostPerCall => {
            // In dollars, as the rule is written.
            let of = |sums: CallSums| Seen {
                count: sums.priced,
                sum: sums.cost / 1e6,
                sum_of_squares: sums.cost_of_squares / 1e12,
            };
            let (old, new) = (of(store.call_sums(before, None).await?), of(store.call_sums(now, None).await?));
            Ok(of_mean(comparison, old, new, allowed))
        }
        Metric::Kpi(name) => {
            let seen = |sums: crate::store::KpiSums| Seen {
                count: sums.count,
                sum: sums.sum,
                sum_of_squares: sums.sum_of_squares,
            };
            let old = seen(store.kpi_sums(name.clone(), before).await?);
            let new = seen(store.kpi_sums(name.clone(), now).await?);
            Ok(of_mean(comparison, old, new, allowed))
        }
    }
}

/// What is looked at, and what with.
fn sides(rule: &Rule, comparison: &Comparison, route: &RouteId, span: Span) -> (SumFilter, SumFilter, Baseline) {
    let (since, until) = (span.since_unix_ms, span.until_unix_ms);
    let filter =
        |since_unix_ms, until_unix_ms, calls| SumFilter { route: route.clone(), calls, since_unix_ms, until_unix_ms };
    let earlier = since.saturating_sub(ms(rule.window));
    match span.of {
        // Figures from elsewhere, and probes, do not say which release they are of: they are compared with those from before.
        Watched::Canary(release) if !matches!(comparison.metric, Metric::Kpi(_) | Metric::SentinelScore) => {
            let now = filter(since, until, CallsOf::Only(release));
            (now, filter(since, until, CallsOf::Not(release)), Baseline::Beside)
        }
        Watched::Release(release) => {
            let now = filter(since, until, CallsOf::Serving(release));
            // It may have been tried on some of them.
            (now, filter(earlier, since, CallsOf::Not(release)), Baseline::Before)
        }
        Watched::Canary(_) | Watched::Route => {
            (filter(since, until, CallsOf::Any), filter(earlier, since, CallsOf::Any), Baseline::Before)
        }
    }
}

fn of_rate(
    comparison: &Comparison,
    old: (u64, u64),
    new: (u64, u64),
    (least, alpha, baseline): (u64, f64, Baseline),
) -> Measured {
    let share = |(hits, n): (u64, u64)| (n > 0).then(|| hits as f64 / n as f64);
    let at_most = match baseline {
        Baseline::Before => rate_at_most,
        Baseline::Beside => rate_at_most_always,
    };
    let kind = || match comparison.side {
        Side::Above => at_most(old.0, old.1, alpha),
        Side::Below => 1.0 - at_most(old.1 - old.0, old.1, alpha),
    };
    let bound = match comparison.factor {
        0.0 => Some(comparison.offset),
        factor => (old.1 >= least).then(|| factor * kind() + comparison.offset),
    };
    let bound = bound.map(|bound| bound.clamp(0.0, 1.0));
    let evidence = bound.map_or(0.0, |bound| match comparison.side {
        Side::Above => evidence_of_rate(new.0, new.1, bound),
        Side::Below => evidence_of_rate(new.1 - new.0, new.1, 1.0 - bound),
    });
    let baseline = share(old).filter(|_| comparison.factor != 0.0);
    Measured { samples: new.1, value: share(new), baseline, bound, evidence }
}

fn of_mean(comparison: &Comparison, old: Seen, new: Seen, (least, alpha, baseline): (u64, f64, Baseline)) -> Measured {
    let sign = if comparison.side == Side::Above { 1.0 } else { -1.0 };
    let within = match baseline {
        Baseline::Before => mean_within,
        Baseline::Beside => mean_within_always,
    };
    let bound = match comparison.factor {
        0.0 => Some(comparison.offset),
        factor => {
            (old.count >= least.max(2)).then(|| factor * (old.mean() + sign * within(&old, alpha)) + comparison.offset)
        }
    };
    let turned = Seen { sum: sign * new.sum, ..new };
    let evidence = bound.map_or(0.0, |bound| evidence_of_mean(&turned, sign * bound));
    let mean = |seen: Seen| (seen.count > 0).then(|| seen.mean());
    let baseline = mean(old).filter(|_| comparison.factor != 0.0);
    Measured { samples: new.count, value: mean(new), baseline, bound, evidence }
}

fn ms(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(text: &str) -> Comparison {
        let condition: crate::config::Condition = text.parse().expect("reads");
        condition.any[0][0].clone()
    }

    #[test]
    fn a_worse_rate_is_evidence_on_its_side_alone() {
        let worse =
            of_rate(&comparison("error_rate > baseline + 0.02"), (10, 1000), (80, 800), (100, 0.005, Baseline::Before));
        assert!(worse.evidence > 200_f64.ln() && worse.bound.is_some_and(|bound| bound > 0.03), "{:?}", worse.bound);
        let better =
            of_rate(&comparison("error_rate > baseline + 0.02"), (10, 1000), (2, 800), (100, 0.005, Baseline::Before));
        assert!(better.evidence < 0.0);
        let without =
            of_rate(&comparison("error_rate > baseline + 0.02"), (1, 10), (80, 800), (100, 0.005, Baseline::Before));
        assert_eq!((without.bound, without.evidence), (None, 0.0));
    }

    #[test]
    fn a_baseline_that_grows_beside_it_is_allowed_more_doubt() {
        let of = |kind| of_rate(&comparison("error_rate > baseline"), (10, 1000), (60, 800), (100, 0.005, kind));
        let (before, beside) = (of(Baseline::Before), of(Baseline::Beside));
        assert!(beside.bound > before.bound && beside.evidence < before.evidence && beside.evidence > 200_f64.ln());
    }

    #[test]
    fn a_rate_that_falls_is_evidence_where_less_is_worse() {
        let fell = of_rate(
            &comparison("schema_valid_rate < baseline - 0.02"),
            (990, 1000),
            (600, 800),
            (100, 0.005, Baseline::Before),
        );
        assert!(fell.evidence > 200_f64.ln() && fell.bound.is_some_and(|bound| bound < 0.98), "{:?}", fell.bound);
        let rose = of_rate(
            &comparison("schema_valid_rate < baseline - 0.02"),
            (900, 1000),
            (795, 800),
            (100, 0.005, Baseline::Before),
        );
        assert!(rose.evidence < 0.0, "{}", rose.evidence);
        let fixed = of_rate(&comparison("sentinel_score < 0.9"), (0, 0), (10, 40), (20, 0.005, Baseline::Before));
        assert!(fixed.evidence > 200_f64.ln() && fixed.baseline.is_none());
    }

    #[test]
    fn a_figure_that_falls_is_evidence() {
        let of = |mean: f64, count: u64| Seen {
            count,
            sum: mean * count as f64,
            sum_of_squares: (mean * mean + 0.25) * count as f64,
        };
        let fell = of_mean(
            &comparison("kpi:csat < baseline - 0.1"),
            of(4.5, 400),
            of(4.0, 200),
            (30, 0.005, Baseline::Before),
        );
        assert!(fell.evidence > 200_f64.ln(), "{}", fell.evidence);
        let rose = of_mean(
            &comparison("kpi:csat < baseline - 0.1"),
            of(4.5, 400),
            of(4.8, 200),
            (30, 0.005, Baseline::Before),
        );
        assert!(rose.evidence <= 0.0);
    }

    #[test]
    fn all_must_hold_and_one_alternative_is_enough() {
        assert_eq!(every(&[Look::Breached, Look::Fine]), Look::Fine);
        assert_eq!(every(&[Look::Breached, Look::Undecided]), Look::Undecided);
        assert_eq!(either(Look::Undecided, Look::Breached), Look::Breached);
        assert_eq!(either(Look::Fine, Look::Undecided), Look::Undecided);
    }
}
