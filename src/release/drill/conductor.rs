//! Takes up the drill that is put down, holds it, ends it and reports: one at a time, in the running gateway.
//!
//! All that must last is in the database: a gateway that is started again goes on with a drill before its end, and closes one that is past it.

use std::{collections::BTreeMap, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use backstop_eval::{certificate::Certificate, suite::Suite};
use metrics::gauge;
use serde_json::json;

use super::{
    DrillPlan, Mode, Prospect, TAKEN_WITHIN_MS,
    asking::{Rehearsal, chosen},
    prospect,
    report::{Report, RouteReport},
};
use crate::{
    clock,
    config::{Criticality, Route, Settings, StateDir},
    domain::{Act, Action, Actor, RouteId, TargetId},
    ledger::{self, LedgerError},
    observe::metric,
    relay::{OnDrill, Relay, Snapshot, health::HealthView},
    release::Gate,
    store::{DrillEnd, DrillRow, Record, Store, StoreError, Which},
};

/// How often it is looked for a drill, and for its end.
const LOOK: Duration = Duration::from_millis(250);
/// How long after the end calls of the drill may still be answered, beside their route's own time.
const GRACE: Duration = Duration::from_secs(5);

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Conductor {
    parts: Arc<ConductorParts>,
}

#[derive(Debug)]
pub struct ConductorParts {
    pub relay: Arc<Relay>,
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub store: Store,
    pub gate: Arc<Gate>,
    pub state: StateDir,
}

impl Conductor {
    pub fn new(parts: ConductorParts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// Goes on until aborted.
    pub async fn run(self) {
        loop {
            match self.parts.store.drill_on().await {
                Ok(Some(row)) => self.hold(row).await,
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "it is not known whether a drill is asked for"
                    );
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn hold(&self, row: DrillRow) {
        let now = clock::unix_ms();
        let Some(plan) = DrillPlan::of(&row) else {
            return self
                .close(&row, None, ("refused", Some("its plan cannot be read; use a newer backstop".to_owned())))
                .await;
        };
        if row.taken_unix_ms.is_none() {
            if now > row.asked_unix_ms + TAKEN_WITHIN_MS || now >= row.ends_unix_ms {
                let why = "no gateway was there to take it up in time".to_owned();
                return self.close(&row, Some(&plan), ("withdrawn", Some(why))).await;
            }
            if let Some(why) = self.objection(&plan) {
                return self.close(&row, Some(&plan), ("refused", Some(why))).await;
            }
            if !self.parts.store.take_drill(row.id.clone(), now).await.unwrap_or(false) {
                return;
            }
        }
        let row = DrillRow { taken_unix_ms: row.taken_unix_ms.or(Some(now)), ..row };
        let outcome = if now < row.ends_unix_ms { self.go_on(&row, &plan).await } else { "finished" };
        self.close(&row, Some(&plan), (outcome, None)).await;
    }

    /// Until its end, however it comes; how it came.
    async fn go_on(&self, row: &DrillRow, plan: &DrillPlan) -> &'static str {
        let drills = &self.parts.relay.drills;
        let on = Arc::new(OnDrill {
            id: row.id.as_str().into(),
            routes: plan.routes.iter().cloned().collect(),
            down: plan.down(),
            live_pct: plan.live_pct,
            ends_unix_ms: row.ends_unix_ms,
        });
        let over = Over { relay: &self.parts.relay, routes: &plan.routes };
        drills.put(Some(Arc::clone(&on)));
        let vendors: Vec<String> = plan.vendors.iter().map(ToString::to_string).collect();
        let (vendors, mode) = (vendors.join(", "), plan.mode.as_str());
        tracing::warn!(
            drill = row.id,
            mode,
            live_pct = plan.live_pct,
            vendors,
            "a drill is on: for its calls these vendors are seen as down"
        );
        plan.routes.iter().for_each(|route| gauge!(metric::DRILL_ON, "route" => route.to_string()).set(1.0));
        let mut asking = pin!(self.ask_all(row, plan, &on));
        let outcome = tokio::select! {
            outcome = self.end_of(row) => {
                drills.put(None);
                // A question that was asked is answered.
                asking.await;
                outcome
            }
            () = &mut asking => "finished",
        };
        drop(over);
        let total = |route: &RouteId| self.settings().routes.get(route).map(|route| route.deadlines.total);
        let longest = plan.routes.iter().filter_map(total).max().unwrap_or_default();
        let until = clock::now() + longest + GRACE;
        while Arc::strong_count(&on) > 1 && clock::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        outcome
    }

    /// Returns at the drill's end, or once somebody has stopped or closed it.
    async fn end_of(&self, row: &DrillRow) -> &'static str {
        let mut ends_unix_ms = row.ends_unix_ms;
        while clock::unix_ms() < ends_unix_ms {
            tokio::time::sleep(LOOK).await;
            // While the database is away, the end that is known holds.
            match self.parts.store.find_drill(row.id.clone()).await {
                Ok(Some(now)) if now.ended_unix_ms.is_none() => ends_unix_ms = now.ends_unix_ms,
                Ok(_) => break,
                Err(_) => {}
            }
        }
        if ends_unix_ms < row.ends_unix_ms { "stopped" } else { "finished" }
    }

    /// Asks each route its questions, one after the other, spread over the time that is left. In a live drill others ask.
    async fn ask_all(&self, row: &DrillRow, plan: &DrillPlan, on: &Arc<OnDrill>) {
        if plan.mode == Mode::Live {
            while self.parts.relay.drills.on().is_some() {
                tokio::time::sleep(LOOK).await;
            }
            return;
        }
        let known = self.parts.store.drill_answers(row.id.clone()).await.unwrap_or_default();
        let mut suites: Vec<(&RouteId, Suite)> = Vec::new();
        for route in &plan.routes {
            match self.suite(route) {
                Ok(suite) => suites.push((route, suite)),
                Err(why) => tracing::error!(%route, %why, "the drill has no questions for this route"),
            }
        }
        let mut questions = Vec::new();
        for (route, suite) in &suites {
            let asked = |item: &str| known.iter().any(|answer| answer.route == **route && answer.item == item);
            let left = chosen(suite, plan.questions).into_iter().filter(|item| !asked(&item.id));
            questions.extend(left.enumerate().map(|(at, item)| (at, *route, suite, item)));
        }
        // Each route in turn.
        questions.sort_by_key(|(at, ..)| *at);
        let begun = clock::now();
        let left = u64::try_from(row.ends_unix_ms.saturating_sub(clock::unix_ms())).unwrap_or(0);
        let count = u32::try_from(questions.len().max(1)).unwrap_or(u32::MAX);
        let pace = Duration::from_millis(left) / count;
        for (at, (_, route, suite, item)) in (0..).zip(questions) {
            while clock::now() < begun + pace * at {
                if self.parts.relay.drills.on().is_none() {
                    return;
                }
                tokio::time::sleep(LOOK.min(pace)).await;
            }
            if self.parts.relay.drills.on().is_none() {
                return;
            }
            let (relay, snapshot) = (&self.parts.relay, self.parts.snapshot.load_full());
            let rehearsal = Rehearsal { relay, snapshot, drill: Arc::clone(on), route, suite };
            let answer = rehearsal.ask(item).await;
            if let Err(error) = self.parts.store.put_drill_answer(row.id.clone(), answer).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, %route, "what a question of the drill came to is not stored");
            }
        }
    }

    fn suite(&self, route: &RouteId) -> Result<Suite, String> {
        let settings = self.settings();
        let route = settings.routes.get(route).ok_or("there is no such route any more")?;
        Suite::find(&route.suite, &self.suites()).map_err(|error| error.to_string())
    }

    /// Why the drill is not held: a critical route would have nobody who can serve now.
    fn objection(&self, plan: &DrillPlan) -> Option<String> {
        let (settings, down) = (self.settings(), plan.down());
        let standings = self.parts.relay.standings.load();
        let (local, now) = (self.parts.relay.local.models(), clock::now());
        let health = HealthView::of(&self.parts.relay.health);
        let answers = |target: &TargetId| {
            let loaded = || local.get(&*target.model).is_some_and(|state| state.refusal(now).is_none());
            let well = health.targets.get(target).is_none_or(|seen| seen.health(clock::unix_ms()).objection.is_none());
            well && (!target.is_local() || loaded())
        };
        for name in &plan.routes {
            let Some(route) = settings.routes.get(name) else { return Some(format!("there is no route `{name}`")) };
            if let Some(why) = (plan.mode == Mode::Synthetic).then(|| self.suite(name).err()).flatten() {
                return Some(why);
            }
            let critical = route.criticality == Criticality::Critical;
            let is_left = |route: &Route| {
                let steps = crate::route::plan(route, &standings, settings.enforcement).drilled("", &down).steps;
                steps.iter().any(|step| step.decision.is_attempted() && answers(&step.target))
            };
            match prospect(&settings, &standings, route, &down) {
                Prospect::Nobody if critical => return Some(nobody(name)),
                Prospect::Serves(_) if critical && !is_left(route) => {
                    return Some(format!(
                        "{}: who is left does not answer now, or its local model is not loaded",
                        nobody(name)
                    ));
                }
                Prospect::Nobody | Prospect::Untouched | Prospect::Serves(_) => {}
            }
        }
        None
    }

    /// Writes the report and the end down; tried again for as long as the database is away.
    async fn close(&self, row: &DrillRow, plan: Option<&DrillPlan>, (outcome, why): (&'static str, Option<String>)) {
        loop {
            match self.closed(row, plan, (outcome, why.clone())).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        drill = row.id,
                        "the drill's report waits for the database"
                    );
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn closed(
        &self,
        row: &DrillRow,
        plan: Option<&DrillPlan>,
        (outcome, why): (&'static str, Option<String>),
    ) -> Result<(), LedgerError> {
        let ended_unix_ms = clock::unix_ms();
        let began_unix_ms = row.taken_unix_ms.unwrap_or(row.asked_unix_ms);
        let mut report = None;
        if let Some(plan) = plan {
            ledger::catch_up(&self.parts.state, &self.parts.store).await?;
            let routes = match row.taken_unix_ms {
                Some(_) => self.routes(row, plan, (began_unix_ms, ended_unix_ms)).await?,
                None => Vec::new(),
            };
            let (drill, plan) = (row.id.clone(), plan.clone());
            let (outcome, why) = (outcome.to_owned(), why.clone());
            report = Some(Report { drill, plan, outcome, why, began_unix_ms, ended_unix_ms, routes });
        }
        let routes = report.iter().flat_map(|report| &report.routes).filter(|route| route.holds);
        let holds = routes.map(|route| route.route.as_str()).collect::<Vec<_>>().join(", ");
        tracing::warn!(drill = row.id, outcome, why, holds, "the drill is over");
        let act = Act::new(Actor::gateway(), Action::DrillEnd, ("drill", row.id.as_str()))
            .after(json!({ "outcome": outcome, "report": report }));
        let act = why.into_iter().fold(act, Act::reason);
        let json = |source| StoreError::Unreadable { what: "a drill's report", source };
        let report = report.map(|report| serde_json::to_string(&report)).transpose().map_err(json)?;
        let end = DrillEnd { id: row.id.clone(), at_unix_ms: ended_unix_ms, outcome, report };
        self.parts.store.close_drill(end, Record::of(&act)).await?;
        Ok(())
    }

    async fn routes(
        &self,
        row: &DrillRow,
        plan: &DrillPlan,
        (began, ended): (i64, i64),
    ) -> Result<Vec<RouteReport>, StoreError> {
        let store = &self.parts.store;
        let answers = store.drill_answers(row.id.clone()).await?;
        let mut routes = Vec::new();
        for name in &plan.routes {
            let sums = store.drill_sums(row.id.clone(), name.clone()).await?;
            let of_route: Vec<_> = answers.iter().filter(|answer| answer.route == *name).cloned().collect();
            let served = of_route.iter().filter_map(|answer| answer.served.clone()).collect();
            let certificates = self.certificates(name, served).await;
            let of_drill = Which::OfDrill(row.id.clone(), row.asked_unix_ms);
            let in_drill = store.first_contents(name.clone(), of_drill).await?;
            let usual = store.first_contents(name.clone(), Which::Usual(began, ended)).await?;
            routes.push(RouteReport::of(name.clone(), (sums, &of_route), &certificates, (in_drill, usual)));
        }
        Ok(routes)
    }

    async fn certificates(&self, route: &RouteId, mut targets: Vec<TargetId>) -> BTreeMap<TargetId, Certificate> {
        let settings = self.settings();
        let Some(suite) = settings.routes.get(route).map(|route| route.suite.clone()) else { return BTreeMap::new() };
        targets.sort();
        targets.dedup();
        let gate = Arc::clone(&self.parts.gate);
        let look = move || {
            let of = |target: TargetId| Some((target.clone(), gate.certificate(&settings, &target, &suite)?));
            targets.into_iter().filter_map(of).collect()
        };
        tokio::task::spawn_blocking(look).await.unwrap_or_default()
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.parts.snapshot.load().settings)
    }

    fn suites(&self) -> PathBuf {
        self.parts.state.suites()
    }
}

/// The drill is off when this goes, also where its task is aborted.
struct Over<'a> {
    relay: &'a Relay,
    routes: &'a [RouteId],
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.relay.drills.put(None);
        self.routes.iter().for_each(|route| gauge!(metric::DRILL_ON, "route" => route.to_string()).set(0.0));
    }
}

/// What a critical route is refused with.
pub(super) fn nobody(route: &RouteId) -> String {
    format!("on the critical route `{route}` nobody would be left to serve")
}
