//! Drills as the database keeps them: what was asked for, what questions came to, and sums over the calls that were part of one.

use std::collections::BTreeMap;

use super::{Answer, audit::Record};
use crate::domain::{Ending, FaultKind, RouteId, TargetId};

/// The drills' side of the database.
pub trait Drills {
    /// Puts a drill down together with its entry in the audit log; `false`, and nothing done, while another one is open.
    fn open_drill(&self, new: DrillRow, entry: Record) -> Answer<'_, bool>;

    /// A gateway has taken it up, at that moment; `false` when it is over by now.
    fn take_drill(&self, id: String, at_unix_ms: i64) -> Answer<'_, bool>;

    /// It is to end at that moment, together with the entry that says who wants so; `false`, and nothing done, when it is over.
    fn stop_drill(&self, id: String, at_unix_ms: i64, entry: Record) -> Answer<'_, bool>;

    /// It is over, with its report and its entry in the audit log; `false`, and nothing done, when it was before.
    fn close_drill(&self, end: DrillEnd, entry: Record) -> Answer<'_, bool>;

    /// The one that is open, if one is.
    fn drill_on(&self) -> Answer<'_, Option<DrillRow>>;

    fn find_drill(&self, id: String) -> Answer<'_, Option<DrillRow>>;

    /// The latest first.
    fn drills(&self, limit: u32) -> Answer<'_, Vec<DrillRow>>;

    /// Notes what a question of the gateway's own came to.
    fn put_drill_answer(&self, drill: String, answer: DrillAnswer) -> Answer<'_, ()>;

    /// In the order of routes and items.
    fn drill_answers(&self, drill: String) -> Answer<'_, Vec<DrillAnswer>>;

    /// Sums over the calls on `route` that were part of a drill.
    fn drill_sums(&self, drill: String, route: RouteId) -> Answer<'_, DrillSums>;

    /// How long answered calls on a route took to their first content: of a drill, or of all others that began in a span.
    fn first_contents(&self, route: RouteId, which: Which) -> Answer<'_, FirstContents>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrillRow {
    pub id: String,
    /// JSON.
    pub plan: String,
    pub asked_unix_ms: i64,
    pub ends_unix_ms: i64,
    pub taken_unix_ms: Option<i64>,
    pub ended_unix_ms: Option<i64>,
    /// `finished`, `stopped`, `refused` or `withdrawn`.
    pub outcome: Option<String>,
    /// JSON.
    pub report: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrillEnd {
    pub id: String,
    pub at_unix_ms: i64,
    pub outcome: &'static str,
    pub report: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrillAnswer {
    pub route: RouteId,
    /// Of the suite.
    pub item: String,
    /// Who answered; `None`: nobody.
    pub served: Option<TargetId>,
    /// By gate, whether its checks were met; empty where nobody answered.
    pub passed: BTreeMap<String, bool>,
    /// Why it did not become a call.
    pub refused: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DrillSums {
    /// Calls by how they ended and the status that the caller got.
    pub endings: Vec<(Ending, u16, u64)>,
    /// Answered calls by who served.
    pub served: Vec<(TargetId, u64)>,
    /// What real targets did wrong, or why they were passed over, by attempts; what the drill itself did is not in it.
    pub faults: Vec<(TargetId, FaultKind, u64)>,
    /// Millionths of a dollar, where prices are known.
    pub cost_micros: i64,
    /// Attempts without a price.
    pub unpriced: u64,
}

/// Which calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Of that one, which begins no sooner than then.
    OfDrill(String, i64),
    /// Not of any drill, and begun from the first moment on, before the second.
    Usual(i64, i64),
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct FirstContents {
    pub calls: u64,
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::Outcome,
        store::{CallsOf, Journaled, Store, SumFilter, sample},
    };

    /// One call in four was part of a drill; those failed, or were slow.
    fn calls() -> Vec<Outcome> {
        let call = |at: i64| {
            let drill = (at % 4 == 0).then(|| "d1".into());
            let mut call = if at % 8 == 0 { sample::ended(Ending::Failed) } else { sample::answered() };
            (call.started_unix_ms, call.drill) = (1_795_000_000_000 + at, drill);
            if call.drill.is_some() {
                let skipped = crate::domain::Attempt {
                    duration_ms: None,
                    ..sample::attempt("openai/gpt-4o-mini", Some(FaultKind::Drill))
                };
                call.attempts.insert(0, skipped);
                (call.served_by, call.ttft_ms, call.total_ms) = (Some(1), Some(900.0), 9000.0);
            }
            call
        };
        (0..40).map(call).collect()
    }

    #[tokio::test]
    async fn calls_of_a_drill_are_in_its_sums_and_in_no_rules() {
        let dir = tempfile::tempdir().expect("temp dir");
        let store = Store::open_sqlite(&dir.path().join("db")).await.expect("opens");
        let journaled = calls().into_iter().map(|outcome| Journaled { outcome, journal: "j".into() });
        store.put_calls(journaled.collect()).await.expect("stores");
        let route = RouteId::new("support-chat");
        let (since, until) = (1_795_000_000_000, 1_795_000_001_000);
        let span = SumFilter { route: route.clone(), calls: CallsOf::Any, since_unix_ms: since, until_unix_ms: until };
        let sums = store.call_sums(span.clone(), Some(1000.0)).await.expect("sums");
        assert_eq!((sums.calls, sums.failed, sums.slower), (30, 0, 0));
        assert_eq!(store.call_quantile_ms(span, 0.0).await.expect("a time"), Some(101.5));
        let sums = store.drill_sums("d1".to_owned(), route.clone()).await.expect("sums");
        assert_eq!(sums.endings.iter().map(|(.., calls)| calls).sum::<u64>(), 10);
        assert_eq!((sums.served.len(), sums.served[0].1), (1, 5), "{sums:?}");
        assert_eq!(sums.faults, [], "what the drill itself did is no fault of anybody's");
        let usual = store.first_contents(route.clone(), Which::Usual(since, until)).await.expect("times");
        assert_eq!((usual.calls, usual.p50_ms, usual.p95_ms), (30, Some(11.25), Some(11.25)));
        let drilled = store.first_contents(route, Which::OfDrill("d1".to_owned(), since)).await.expect("times");
        assert_eq!((drilled.calls, drilled.p95_ms), (5, Some(900.0)));
    }
}
