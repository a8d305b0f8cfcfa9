//! The money of one call: set aside for the dearest target of its plan before the first is asked, and raised before a
//! further one is asked where an earlier one has cost something. So a hard budget is never overspent, whatever falls over.

use std::time::Duration;

use super::{SnapshotRoute, SnapshotTarget, allow::Allowed, meter::longest_turn};
use crate::{
    config::{OnBudget, Settings},
    domain::{Fault, FaultKind, Money},
    limit::{Permit, Refusal, Shape, Standing, Subject, Unsaid, Why},
    route::{Decision, Plan},
};

#[derive(Debug)]
pub(super) struct Purse {
    permit: Permit,
    /// What an attempt costs at worst, by the target's place in the route; `None`: its price is not known.
    bounds: Vec<Option<Money>>,
    rule: Rule,
    text_bytes: usize,
    unsaid: Unsaid,
}

/// Whether what attempts may cost at worst matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Free,
    Bounded,
}

impl Purse {
    /// Sets aside what the plan may cost at worst; where a hard budget does not cover that, the plan becomes what the route
    /// says. Targets that a limit rules out are passed over with their reason.
    pub(super) fn open(
        allowed: Allowed,
        route: &SnapshotRoute,
        settings: &Settings,
        plan: &mut Plan,
    ) -> Result<Self, Refusal> {
        let Allowed { permit, shape, cost_per_call, began_unix_ms, tool_of_unknown_cost } = allowed;
        let hard = permit.has_hard_budget();
        let rule = if hard || cost_per_call.is_some() { Rule::Bounded } else { Rule::Free };
        let mut bounds = if rule == Rule::Free { Vec::new() } else { bounds(route, &shape, began_unix_ms) };
        if tool_of_unknown_cost.is_some() {
            let at_vendors = bounds.iter_mut().zip(&route.targets).filter(|(_, target)| !target.id.is_local());
            at_vendors.for_each(|(bound, _)| *bound = None);
        }
        let (text_bytes, unsaid) = (shape.text_bytes(), shape.unsaid());
        let mut purse = Self { permit, bounds, rule, text_bytes, unsaid };
        if rule == Rule::Bounded {
            purse.drop_unpriced(plan, tool_of_unknown_cost)?;
            if let Some(ceiling) = cost_per_call {
                purse.drop_dear(plan, ceiling)?;
            }
        }
        if hard {
            purse.set_aside(route, settings, plan)?;
        }
        Ok(purse)
    }

    /// A price that is not known may be any.
    fn drop_unpriced(&self, plan: &mut Plan, tool: Option<String>) -> Result<(), Refusal> {
        let what =
            tool.as_ref().map_or_else(|| "its price".to_owned(), |kind| format!("what the tool `{kind}` costs there"));
        let why = format!("{what} is not known, and the call has a hard budget or may cost so much at most");
        let dropped = pass_over(plan, &why, |index| self.bound(index).is_none());
        if dropped && !plan.steps.iter().any(|step| step.decision.is_attempted()) {
            let why = tool.map_or(Why::NoPrice, |kind| Why::ToolWithoutPrice { kind });
            return Err(Refusal::new(self.payer(), why, 0));
        }
        Ok(())
    }

    fn drop_dear(&self, plan: &mut Plan, (limit, subject): (Money, Subject)) -> Result<(), Refusal> {
        let least = self.attempted(plan).filter_map(|index| self.bound(index)).min();
        let why = format!("the call may cost more there than the {limit} USD that one may cost");
        let dropped = pass_over(plan, &why, |index| self.bound(index).is_some_and(|bound| bound > limit));
        match least {
            Some(needs) if dropped && needs > limit => Err(Refusal::new(subject, Why::CostPerCall { limit, needs }, 0)),
            _ => Ok(()),
        }
    }

    fn set_aside(&mut self, route: &SnapshotRoute, settings: &Settings, plan: &mut Plan) -> Result<(), Refusal> {
        let Some(dearest) = self.attempted(plan).filter_map(|index| self.bound(index)).max() else { return Ok(()) };
        let Err(refusal) = self.permit.reserve(dearest) else { return Ok(()) };
        let kept: Vec<usize> = match route.route.on_budget {
            OnBudget::Refuse => return Err(refusal),
            OnBudget::Cheapest => self.attempted(plan).min_by_key(|index| self.bound(*index)).into_iter().collect(),
            OnBudget::Local => {
                self.attempted(plan).filter(|index| settings.is_own_hardware(&route.targets[*index].id)).collect()
            }
        };
        let Some(needs) = kept.iter().filter_map(|index| self.bound(*index)).max() else { return Err(refusal) };
        if self.permit.reserve(needs).is_err() {
            return Err(refusal);
        }
        pass_over(plan, &refusal.to_string(), |index| !kept.contains(&index));
        Ok(())
    }

    /// Makes sure that an attempt at the target in that place is covered, beside what the call's other attempts have cost
    /// or may.
    pub(super) fn cover(&mut self, others: Money, index: usize) -> Result<(), Fault> {
        if self.rule == Rule::Free || !self.permit.has_hard_budget() {
            return Ok(());
        }
        let over = |why: String| Fault::new(FaultKind::OverBudget, why);
        let Some(bound) = self.bound(index) else { return Err(over("its price is not known".to_owned())) };
        self.permit
            .reserve(others + bound)
            .map_err(|refusal| over(refusal.to_string()).with_retry_after(refusal.retry_after))
    }

    /// What an attempt at the target in that place may cost at worst.
    pub(super) fn bound(&self, index: usize) -> Option<Money> {
        self.bounds.get(index).copied().flatten()
    }

    /// Bytes of the body, where all of the prompt is text that is in it; else 0.
    pub(super) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// What an attempt counts as of which nobody says what it used.
    pub(super) fn unsaid(&self) -> Unsaid {
        self.unsaid
    }

    pub(super) fn standing(&self) -> Standing {
        self.permit.standing()
    }

    /// The call is over.
    pub(super) fn settle(self, tokens: u64, cost: Money) {
        self.permit.settle(tokens, cost);
    }

    fn attempted<'a>(&self, plan: &'a Plan) -> impl Iterator<Item = usize> + use<'a> {
        plan.steps.iter().filter(|step| step.decision.is_attempted()).map(|step| step.index)
    }

    /// Whose hard budget it is.
    fn payer(&self) -> Subject {
        self.permit.hard_payer()
    }
}

fn bounds(route: &SnapshotRoute, shape: &Shape, began_unix_ms: i64) -> Vec<Option<Money>> {
    let machine = longest_turn(route.route.deadlines.total);
    let bound = |target: &SnapshotTarget| {
        let most = shape.most(if target.id.is_local() { machine } else { Duration::ZERO });
        target.prices.as_ref()?.worst(&most, began_unix_ms)
    };
    route.targets.iter().map(bound).collect()
}

/// Passes over what would be attempted in these places; whether there was any.
fn pass_over(plan: &mut Plan, why: &str, which: impl Fn(usize) -> bool) -> bool {
    let mut any = false;
    for step in plan.steps.iter_mut().filter(|step| step.decision.is_attempted() && which(step.index)) {
        step.decision = Decision::Skip(Fault::new(FaultKind::OverBudget, why));
        any = true;
    }
    any
}
