//! The way down a plan: one rung after the other, until a target has begun to answer or nobody is left.
//!
//! A ladder owns the call, so that a broken stream can climb on (`mid_stream: restart`). A target is asked again only
//! when that can help and its retry budget allows it: at once when no connection came to stand, or at the end of the
//! ladder when it said how long to wait and the call's time covers that.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use rand::Rng as _;

use super::{
    Relay, SnapshotRoute, SnapshotTarget,
    admit::{Admitted, Planned},
    attempt::{Begun, Trial, attempt},
    call::{Call, Slot},
    health::Asked,
    held,
    meter::Meter,
    question::Question,
};
use crate::{
    clock,
    config::{Capabilities, Hedge, OnCallerFault, Route},
    domain::{Fault, FaultKind, Retry, Role, Task},
    limit::{Shape, share::Reach},
    route::{CallKind, Decision, Need, Step, backoff},
};

/// How much of its time a call must have left after a wait, for the wait to make sense.
const WORTH_A_WAIT: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Ladder {
    pub(super) relay: Arc<Relay>,
    pub(super) question: Question,
    pub(super) route: Arc<SnapshotRoute>,
    pub(super) call: Call,
    pub(super) steps: VecDeque<Step>,
    /// In the order in which they came; skipped targets have theirs too.
    pub(super) faults: Vec<Fault>,
    pub(super) roll: f64,
    pub(super) need: Need,
    pub(super) shape: Shape,
    /// Those that would fit into their vendor's share were it not for calls under way.
    pub(super) held: Vec<Step>,
    /// The target that said the shortest wait, and when that is over.
    again: Option<(Step, std::time::Instant)>,
}

/// A target that has begun to answer, and its place in the outcome.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) begun: Begun,
    pub(super) slot: Slot,
    pub(super) meter: Meter,
}

/// What follows from a rung.
pub(super) enum Rung {
    Served(Served),
    /// The next one.
    Next,
    /// Nobody: the fault is the caller's, or the time is over.
    End,
}

impl Ladder {
    pub(super) fn new(relay: &Arc<Relay>, admitted: Admitted) -> Self {
        let Admitted { question, route, call, planned: Planned { plan, need, roll, shape, .. }, .. } = admitted;
        let (relay, steps) = (Arc::clone(relay), plan.steps.into());
        let (faults, held) = (Vec::new(), Vec::new());
        Self { relay, question, route, call, steps, faults, roll, need, shape, held, again: None }
    }

    /// Climbs until somebody answers; `None`: nobody does, and `faults` says why.
    pub(super) async fn climb(&mut self, role: Role) -> Option<Served> {
        while let Some(step) = self.steps.pop_front() {
            // Before the in-process model, whose time is worth more.
            if step.target.is_local() && step.decision.is_attempted() {
                match self.ask_over_the_edge(role).await {
                    Rung::Served(served) => return Some(served),
                    Rung::Next => {}
                    Rung::End => return None,
                }
            }
            match self.rung(step, role, Reach::Within).await {
                Rung::Served(served) => return Some(served),
                Rung::Next => {}
                Rung::End => return None,
            }
        }
        match self.ask_those_held(role).await {
            Rung::Served(served) => Some(served),
            Rung::Next => self.wait_and_ask_again().await,
            Rung::End => None,
        }
    }

    pub(super) async fn rung(&mut self, step: Step, role: Role, reach: Reach) -> Rung {
        if let Decision::Skip(fault) = &step.decision {
            return self.pass_over(&step, fault.clone());
        }
        if let Some(fault) = self.need.objection(self.can(&step)) {
            return self.pass_over(&step, fault);
        }
        if self.call.remaining().is_zero() {
            self.faults.push(Fault::new(FaultKind::TotalTimeout, "the call's whole time was spent"));
            return Rung::End;
        }
        let asked = match self.admit(&step, reach) {
            Ok(asked) => asked,
            Err(fault) if held::is_held(&fault) => return self.hold_back(step, fault, reach),
            Err(fault) => return self.pass_over(&step, fault),
        };
        asked.cell().earn_retry();
        self.caution(&step);
        if let Some(after) = self.hedge_after(&step)
            && let Some(next) = self.next_attempted()
        {
            return self.race((step, asked), next, after).await;
        }
        match self.attempt(&step, role, asked).await {
            Ok(served) => Rung::Served(served),
            Err(fault) if fault.kind.is_connect() && self.target(&step).cell.take_retry() => {
                let pause = backoff(0, rand::rng().random()).min(self.call.remaining());
                self.pause(pause).await;
                match self.admit(&step, reach) {
                    Ok(asked) => match self.attempt(&step, Role::Retry, asked).await {
                        Ok(served) => Rung::Served(served),
                        Err(fault) => self.fell(&step, fault),
                    },
                    Err(_) => self.fell(&step, fault),
                }
            }
            Err(fault) => self.fell(&step, fault),
        }
    }

    /// One attempt, recorded; the fault is not taken over yet.
    pub(super) async fn attempt(&mut self, step: &Step, role: Role, asked: Asked) -> Result<Served, Fault> {
        let has_others = !self.held.is_empty() || self.steps.iter().any(|step| self.is_able(step));
        let Self { relay, question, route, call, .. } = self;
        let target = &route.targets[step.index];
        let (slot, meter) = call.begin(step.index, &step.target, role, asked);
        let deadline = call.deadline();
        let trial = Trial { relay, question, route, target, meter: &meter, deadline, has_others };
        match attempt(trial).await {
            Ok(begun) => Ok(Served { begun, slot, meter }),
            Err(fault) => {
                call.end_attempt(slot, &fault);
                Err(fault)
            }
        }
    }

    /// Takes a fault over: whether the ladder goes on after it.
    pub(super) fn fell(&mut self, step: &Step, fault: Fault) -> Rung {
        let stop = stops(&self.route.route, step.index, &fault);
        if fault.kind == FaultKind::ContextLength {
            self.need.more_context_than = self.need.more_context_than.max(self.can(step).context_tokens);
        }
        // The in-process model refuses what it could not take up in time: that is told at once, not after a wait.
        let shed = fault.kind == FaultKind::Busy && step.target.is_local();
        if let Some(wait) = fault.retry_after().filter(|_| !shed) {
            let at = clock::now() + wait;
            let sooner = self.again.as_ref().is_none_or(|(_, before)| at < *before);
            if sooner && at + WORTH_A_WAIT < self.call.deadline() {
                self.again = Some((step.clone(), at));
            }
        }
        self.faults.push(fault);
        if stop { Rung::End } else { Rung::Next }
    }

    pub(super) fn pass_over(&mut self, step: &Step, fault: Fault) -> Rung {
        self.call.skip(step.index, &step.target, &fault);
        self.faults.push(fault);
        Rung::Next
    }

    pub(super) fn admit(&mut self, step: &Step, reach: Reach) -> Result<Asked, Fault> {
        self.call.cover(step.index)?;
        let hold = held::take(&self.relay, self.target(step), &self.shape, reach)?;
        let cell = &self.target(step).cell;
        let asked = match step.decision {
            Decision::LastResort { .. } => cell.admit_anyway(self.kind()),
            _ => cell.admit(self.kind(), self.roll, self.need.estimate())?,
        };
        Ok(asked.holding(hold))
    }

    pub(super) fn target(&self, step: &Step) -> &SnapshotTarget {
        &self.route.targets[step.index]
    }

    fn can(&self, step: &Step) -> &Capabilities {
        &self.route.route.targets[step.index].can
    }

    /// Whether it is asked when its turn comes, and can take the question.
    fn is_able(&self, step: &Step) -> bool {
        step.decision.is_attempted() && self.need.objection(self.can(step)).is_none()
    }

    pub(super) fn kind(&self) -> CallKind {
        self.question.kind()
    }

    pub(super) fn caution(&mut self, step: &Step) {
        let (id, target) = (self.call.id(), &step.target);
        match &step.decision {
            Decision::AttemptDespite { reason } => {
                tracing::warn!(request_id = %id, %target, %reason, "attempted though strict enforcement or its share would not let it");
                self.call.caution(reason.to_string());
            }
            Decision::LastResort { reason } => {
                tracing::warn!(request_id = %id, %target, %reason, "attempted because no other target is left");
            }
            Decision::Attempt | Decision::Skip(_) => {}
        }
    }

    /// The next target that can take the question, taken out of the ladder; those before it that cannot are passed over.
    fn next_attempted(&mut self) -> Option<Step> {
        let at = self.steps.iter().position(|step| self.is_able(step))?;
        // The local tier is no racer: its work is not free.
        if self.steps[at].target.is_local() {
            return None;
        }
        for _ in 0..at {
            let passed = self.steps.pop_front()?;
            if let Decision::Skip(fault) = &passed.decision {
                self.pass_over(&passed, fault.clone());
            }
        }
        self.steps.pop_front()
    }

    fn hedge_after(&self, step: &Step) -> Option<Duration> {
        // A count is no answer that somebody waits for word by word; two of them would only be twice the work.
        if step.target.is_local() || self.need.task == Task::CountTokens {
            return None;
        }
        match self.route.route.hedge? {
            Hedge::P95 => self.target(step).cell.threshold(self.kind()).p95,
            Hedge::After(after) => Some(after),
        }
    }

    /// Nobody answered, but somebody said when to come back, and the call's time covers that.
    async fn wait_and_ask_again(&mut self) -> Option<Served> {
        let (step, at) = self.again.take()?;
        let callers = self.faults.last().is_some_and(|fault| matches!(fault.retry, Retry::Never));
        if callers || !self.target(&step).cell.take_retry() {
            return None;
        }
        self.pause(at.saturating_duration_since(clock::now())).await;
        // Its limit is over by its own word; a breaker may have opened meanwhile.
        let asked = self.admit(&step, Reach::Within).ok()?;
        match self.attempt(&step, Role::Retry, asked).await {
            Ok(served) => Some(served),
            Err(fault) => {
                self.faults.push(fault);
                None
            }
        }
    }

    async fn pause(&mut self, how_long: Duration) {
        tokio::time::sleep(how_long).await;
        self.call.waited(how_long);
    }
}

/// Whether a fault of the target at `index` ends the ladder: the caller's own, unless the route says otherwise, or the end
/// of the call's time. A prompt that is too long for a fallback says nothing of the target that was to answer and failed.
pub(super) fn stops(route: &Route, index: usize, fault: &Fault) -> bool {
    match fault.kind {
        FaultKind::ContextLength => route.on_context_length == OnCallerFault::Refuse && index == 0,
        FaultKind::ContentPolicy => route.on_content_policy == OnCallerFault::Refuse,
        _ => matches!(fault.retry, Retry::Never),
    }
}
