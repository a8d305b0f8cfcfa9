//! `routes:`: targets, deadlines and what a route does when something goes wrong.

use std::{collections::BTreeMap, time::Duration};

use super::{Resolver, tenants::Budgets};
use crate::{
    config::{
        Criticality, DEFAULT_SUITE, Deadlines, Hedge, Limits, MidStream, OnBudget, OnCallerFault, Route, Target,
        path::Path, raw, words,
    },
    domain::RouteId,
};

impl Resolver<'_, '_> {
    pub(super) fn routes(&mut self, file: &raw::File) -> BTreeMap<RouteId, Route> {
        let mut routes = BTreeMap::new();
        for (name, raw) in file.routes.iter().flatten() {
            let path = Path::root().key("routes").key(name.as_str());
            self.name(&path, name);
            let route = self.route(&path, name, raw);
            routes.insert(route.id.clone(), route);
        }
        routes
    }

    fn route(&mut self, path: &Path, name: &str, raw: &raw::Route) -> Route {
        let deadlines = raw.deadlines.as_ref().map(|raw| self.deadlines(&path.key("deadlines"), raw));
        let suite = raw.suite.clone().unwrap_or_else(|| DEFAULT_SUITE.to_owned());
        self.name(&path.key("suite"), &suite);
        if let Some(case) = &raw.use_case {
            self.name(&path.key("use_case"), case);
        }
        Route {
            id: RouteId::new(name),
            criticality: match raw.criticality {
                Some(raw::Criticality::Critical) => Criticality::Critical,
                Some(raw::Criticality::Batch) => Criticality::Batch,
                Some(raw::Criticality::Standard) | None => Criticality::Standard,
            },
            targets: self.targets(&path.key("targets"), raw.targets.as_deref()),
            suite,
            use_case: raw.use_case.clone(),
            deadlines: deadlines.unwrap_or_default(),
            steers: Vec::new(),
            release: None,
            canary: None,
            mid_stream: match raw.mid_stream {
                Some(raw::MidStream::Buffer) => MidStream::Buffer,
                Some(raw::MidStream::Restart) => MidStream::Restart,
                Some(raw::MidStream::Error) | None => MidStream::Error,
            },
            hedge: raw.hedge.as_ref().map(|raw| self.hedge(&path.key("hedge"), raw)),
            on_context_length: on_caller_fault(raw.on_context_length),
            on_content_policy: on_caller_fault(raw.on_content_policy),
            log_content: raw.log_content.unwrap_or(false),
            on_budget: match raw.on_budget {
                Some(raw::OnBudget::Cheapest) => OnBudget::Cheapest,
                Some(raw::OnBudget::Local) => OnBudget::Local,
                Some(raw::OnBudget::Refuse) | None => OnBudget::Refuse,
            },
            limits: raw
                .limits
                .as_ref()
                .map_or(Limits::NONE, |raw| self.limits(&path.key("limits"), raw.written(), Budgets::None)),
        }
    }

    fn targets(&mut self, path: &Path, raw: Option<&[raw::TargetText]>) -> Vec<Target> {
        let Some(raw) = raw else { return Vec::new() };
        if raw.is_empty() {
            self.error(
                path,
                "a route has at least one target",
                "e.g. `[openai/gpt-4o-mini, local/smollm2-135m-instruct]`",
            );
        }
        let mut targets: Vec<Target> = Vec::new();
        for (index, text) in raw.iter().enumerate() {
            let here = path.index(index);
            let Some(id) = text.as_str().and_then(|text| self.target(&here, text)) else { continue };
            if let Some(first) = raw[..index].iter().position(|other| other.as_str() == text.as_str()) {
                self.error(&here, format!("`{id}` is already target {first} of this route"), "keep one of them");
            }
            targets.push(Target::unlocated(id));
        }
        targets
    }

    fn hedge(&mut self, path: &Path, raw: &raw::Hedge) -> Hedge {
        match raw.after.as_deref() {
            None | Some("p95") => Hedge::P95,
            Some(text) => match humantime::parse_duration(text) {
                Ok(after) => Hedge::After(after),
                Err(_) => {
                    let message = format!("`{}` is neither `p95` nor a span of time", words::cut(text));
                    self.error(&path.key("after"), message, "e.g. `p95` or `800ms`");
                    Hedge::P95
                }
            },
        }
    }

    /// What is not given has its default, or less where a longer stage was given less.
    fn deadlines(&mut self, path: &Path, raw: &raw::Deadlines) -> Deadlines {
        let mut given = |key: &str, text: Option<&raw::DurationText>| {
            let span = self.duration(&path.key(key), text?)?;
            if span > Duration::from_secs(24 * 3600) {
                self.error(&path.key(key), "a deadline is at most 24h", "");
            }
            Some(span)
        };
        let connect = given("connect", raw.connect.as_ref());
        let first_token = given("first_token", raw.first_token.as_ref());
        let idle = given("idle", raw.idle.as_ref());
        let attempt = given("attempt", raw.attempt.as_ref());
        let total = given("total", raw.total.as_ref());

        let stages = [("connect", connect), ("first_token", first_token), ("idle", idle), ("attempt", attempt)];
        for (key, stage) in stages {
            self.not_longer(path, (key, stage), ("total", total));
        }
        self.not_longer(path, ("connect", connect), ("first_token", first_token));
        self.not_longer(path, ("connect", connect), ("attempt", attempt));

        let usual = Deadlines::default();
        // A stage that was asked to be longer than the usual total makes the total longer, not the other way round.
        let longest = stages.iter().filter_map(|(_, stage)| *stage).max().unwrap_or_default();
        let total = total.unwrap_or(usual.total.max(longest));
        let attempt = attempt.unwrap_or(usual.attempt).min(total);
        let first_token = first_token.unwrap_or(usual.first_token).min(total);
        Deadlines {
            connect: connect.unwrap_or(usual.connect.min(first_token).min(attempt)),
            first_token: first_token.max(connect.unwrap_or_default()),
            idle: idle.unwrap_or(usual.idle).min(total),
            attempt: attempt.max(connect.unwrap_or_default()),
            total,
        }
    }

    fn not_longer(&mut self, path: &Path, stage: (&str, Option<Duration>), whole: (&str, Option<Duration>)) {
        let ((key, Some(part)), (bound_key, Some(bound))) = (stage, whole) else { return };
        if part > bound {
            let (part, bound) = (humantime::format_duration(part), humantime::format_duration(bound));
            self.error(&path.key(key), format!("{part} is longer than `{bound_key}` ({bound})"), "");
        }
    }
}

fn on_caller_fault(raw: Option<raw::CallerFault>) -> OnCallerFault {
    match raw {
        Some(raw::CallerFault::Next) => OnCallerFault::Next,
        Some(raw::CallerFault::Refuse) | None => OnCallerFault::Refuse,
    }
}
