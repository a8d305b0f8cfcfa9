//! What a drill showed: a fold of the ledger's calls that were part of it, of what its questions came to, and of the certificates of those who
//! served. It can be made again from the database at any time, so that a restart loses nothing of it.

use std::collections::BTreeMap;

use backstop_eval::{certificate::Certificate, statistics::incomplete_beta};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DrillPlan;
use crate::{
    domain::{Ending, FaultKind, RouteId, TargetId},
    store::{DrillAnswer, DrillSums, FirstContents},
};

/// Of a model that is as certified, so few passes have this probability at most.
const FALSE_ALARM: f64 = 0.01;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    pub drill: String,
    pub plan: DrillPlan,
    /// `finished`, `stopped`, `refused` or `withdrawn`.
    pub outcome: String,
    /// Why it was refused, or what else is to be said.
    pub why: Option<String>,
    pub began_unix_ms: i64,
    pub ended_unix_ms: i64,
    pub routes: Vec<RouteReport>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RouteReport {
    pub route: RouteId,
    /// Calls that saw the vendors as down.
    pub calls: u64,
    pub answered: u64,
    /// What was shed, cut or refused.
    pub not_answered: Vec<NotAnswered>,
    /// Questions of the gateway's own that did not become calls, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Who served, by answered calls.
    pub served: Vec<Served>,
    /// What was wrong with those who were asked, or why they were passed over.
    pub troubles: Vec<Trouble>,
    /// Of the gateway's own questions.
    pub quality: Vec<Quality>,
    /// From admission to the first content, in the drill.
    pub first_content: Times,
    /// The same of all other calls on the route while it was on.
    pub first_content_usual: Times,
    /// What the calls cost, in millionths of a dollar, where prices are known.
    pub cost_micros: i64,
    /// Attempts without a known price.
    pub unpriced: u64,
    /// Every call was answered, and as well as certified.
    pub holds: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotAnswered {
    #[schemars(with = "String")]
    pub ending: Ending,
    /// What the caller got.
    pub status: u16,
    pub calls: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Served {
    pub target: TargetId,
    pub calls: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trouble {
    pub target: TargetId,
    #[schemars(with = "String")]
    pub fault: FaultKind,
    pub attempts: u64,
}

/// How long calls took to their first content, in ms; a whole answer counts with all of its time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Times {
    pub calls: u64,
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
}

/// One gate of the suite, over the questions that one target answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Quality {
    pub target: TargetId,
    pub gate: String,
    /// Questions whose checks were met.
    pub k: usize,
    pub n: usize,
    /// What its certificate says; `None`: it has none.
    pub certified: Option<Certified>,
    /// So few would hardly pass, were it still as certified.
    pub worse: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Certified {
    pub k: usize,
    pub n: usize,
    /// The lower bound of the share that passes.
    pub bound: f64,
    /// What the suite wants of that bound.
    pub threshold: f64,
    /// The certificate's digest.
    pub certificate: String,
}

impl RouteReport {
    /// `certificates`: of those who served.
    pub(super) fn of(
        route: RouteId,
        (sums, answers): (DrillSums, &[DrillAnswer]),
        certificates: &BTreeMap<TargetId, Certificate>,
        (first_content, usual): (FirstContents, FirstContents),
    ) -> Self {
        let is_answered = |ending: &Ending| *ending == Ending::Answered;
        let of = |which: bool| sums.endings.iter().filter(move |(ending, ..)| is_answered(ending) == which);
        let not_answered: Vec<NotAnswered> = of(false)
            .map(|(ending, status, calls)| NotAnswered { ending: *ending, status: *status, calls: *calls })
            .collect();
        let mut refused: BTreeMap<String, u64> = BTreeMap::new();
        for why in answers.iter().filter_map(|answer| answer.refused.clone()) {
            *refused.entry(why).or_default() += 1;
        }
        let quality = quality(answers, certificates);
        let answered = of(true).map(|(.., calls)| calls).sum();
        let holds = answered > 0
            && refused.is_empty()
            && not_answered.iter().all(NotAnswered::is_callers_own)
            && !quality.iter().any(|quality| quality.worse);
        Self {
            route,
            calls: sums.endings.iter().map(|(.., calls)| calls).sum(),
            answered,
            not_answered,
            refused,
            served: sums.served.into_iter().map(|(target, calls)| Served { target, calls }).collect(),
            troubles: sums
                .faults
                .into_iter()
                .map(|(target, fault, attempts)| Trouble { target, fault, attempts })
                .collect(),
            quality,
            first_content: first_content.into(),
            first_content_usual: usual.into(),
            cost_micros: sums.cost_micros,
            unpriced: sums.unpriced,
            holds,
        }
    }
}

impl NotAnswered {
    /// Its caller hung up or asked wrongly: that says nothing of who was left to serve.
    fn is_callers_own(&self) -> bool {
        let asked_wrongly = (400..500).contains(&self.status) && !matches!(self.status, 408 | 429);
        self.ending == Ending::Cancelled || self.ending == Ending::Failed && asked_wrongly
    }
}

impl From<FirstContents> for Times {
    fn from(FirstContents { calls, p50_ms, p95_ms }: FirstContents) -> Self {
        Self { calls, p50_ms, p95_ms }
    }
}

fn quality(answers: &[DrillAnswer], certificates: &BTreeMap<TargetId, Certificate>) -> Vec<Quality> {
    let mut counts: BTreeMap<(&TargetId, &String), (usize, usize)> = BTreeMap::new();
    for answer in answers {
        let Some(target) = &answer.served else { continue };
        for (gate, passed) in &answer.passed {
            let (k, n) = counts.entry((target, gate)).or_default();
            (*k, *n) = (*k + usize::from(*passed), *n + 1);
        }
    }
    let of = |((target, gate), (k, n)): ((&TargetId, &String), (usize, usize))| {
        let certified = certificates.get(target).and_then(|certificate| {
            let found = certificate.predicate().gates.iter().find(|found| found.id == *gate)?;
            Some(Certified {
                k: found.items_passed,
                n: found.items,
                bound: found.bound,
                threshold: found.threshold,
                certificate: certificate.digest().to_owned(),
            })
        });
        let worse = certified.as_ref().is_some_and(|certified| chance_of(k, n, certified.bound) < FALSE_ALARM);
        Quality { target: target.clone(), gate: gate.clone(), k, n, certified, worse }
    };
    counts.into_iter().map(of).collect()
}

/// The probability that of `n` questions `k` or fewer pass, where `share` of all do.
fn chance_of(k: usize, n: usize, share: f64) -> f64 {
    if k == n {
        return 1.0;
    }
    incomplete_beta(1.0 - share, (n - k) as f64, (k + 1) as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_miss_now_and_then_is_as_certified_and_many_are_not() {
        for (k, n, bound, worse) in
            [(40, 40, 0.9, false), (36, 40, 0.9, false), (28, 40, 0.9, true), (0, 3, 0.9, true), (2, 3, 0.9, false)]
        {
            assert_eq!(chance_of(k, n, bound) < FALSE_ALARM, worse, "{k} of {n}: {}", chance_of(k, n, bound));
        }
    }

    fn sums(endings: Vec<(Ending, u16, u64)>) -> DrillSums {
        DrillSums { endings, ..DrillSums::default() }
    }

    fn report(endings: Vec<(Ending, u16, u64)>, answers: &[DrillAnswer]) -> RouteReport {
        let times = (FirstContents::default(), FirstContents::default());
        RouteReport::of(RouteId::new("chat"), (sums(endings), answers), &BTreeMap::new(), times)
    }

    #[test]
    fn one_call_that_nobody_answered_is_no_fallback_that_holds() {
        let answered = (Ending::Answered, 200, 40);
        assert!(report(vec![answered], &[]).holds);
        assert!(report(vec![answered, (Ending::Failed, 400, 1), (Ending::Cancelled, 499, 1)], &[]).holds);
        assert!(!report(vec![answered, (Ending::Failed, 503, 1)], &[]).holds);
        assert!(!report(vec![answered, (Ending::Failed, 429, 1)], &[]).holds);
        assert!(!report(Vec::new(), &[]).holds, "nothing was shown");
    }

    proptest! {
        /// Whatever questions came to, each answered one counts once for each of its gates, and no other does.
        #[test]
        fn questions_are_counted_once(marks in prop::collection::vec((0_u8..3, any::<bool>(), any::<bool>()), 0..60)) {
            let target = |name: u8| TargetId::parse(&format!("v{name}/m")).expect("a target");
            let answers: Vec<DrillAnswer> = marks.iter().enumerate().map(|(at, (who, right, safe))| DrillAnswer {
                route: RouteId::new("chat"),
                item: at.to_string(),
                served: (*who > 0).then(|| target(*who)),
                passed: if *who > 0 { [("right".to_owned(), *right), ("safe".to_owned(), *safe)].into() } else { BTreeMap::new() },
                refused: None,
            }).collect();
            let quality = report(vec![(Ending::Answered, 200, 1)], &answers).quality;
            let served = answers.iter().filter(|answer| answer.served.is_some()).count();
            prop_assert_eq!(quality.iter().map(|quality| quality.n).sum::<usize>(), 2 * served);
            prop_assert!(quality.iter().all(|quality| quality.k <= quality.n && !quality.worse));
        }
    }
}
