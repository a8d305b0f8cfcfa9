//! What the share cap makes of a plan: who is passed over, and who is asked later than the route says. Pure.
//!
//! A target whose vendor is near its cap goes behind those that are not, for as many calls as that takes, and one that does not
//! fit just now behind all that do. Both stay in front of the in-process model, whose time is worth more than an even share.
//! One that an override lets through goes behind everybody. Where a target is moved, the plan says why.

use std::sync::Arc;

use super::{Decision, Plan, Step, TargetHealth};
use crate::limit::share::Look;

/// Notes on targets whose share is used up that they are left alone. `looks`: by the targets' places in the route.
pub fn object_to_shares(health: &mut [TargetHealth], looks: &[Look]) {
    for (health, look) in health.iter_mut().zip(looks) {
        if matches!(look, Look::Capped(_) | Look::Unpriced) && health.objection.is_none() {
            health.objection = look.fault();
        }
    }
}

/// How late a target is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Usual,
    Steered,
    /// The one with the least to do first.
    Held {
        load: u64,
    },
    Overridden,
}

impl Plan {
    /// The plan in the order that the shares allow.
    pub fn shared(self, looks: &[Look]) -> Self {
        let turn = |step: &Step| match looks.get(step.index) {
            _ if !step.decision.is_attempted() => Turn::Usual,
            Some(Look::Steered(_)) => Turn::Steered,
            Some(Look::Held { load, .. }) => Turn::Held { load: *load },
            Some(Look::Overridden(..)) => Turn::Overridden,
            _ => Turn::Usual,
        };
        if self.steps.iter().all(|step| turn(step) == Turn::Usual) {
            return self;
        }
        let is_usual = |step: &Step| turn(step) == Turn::Usual && step.decision.is_attempted();
        let elsewhere = self.steps.iter().any(|step| is_usual(step) && !step.target.is_local());
        let of_vendors = self.steps.iter().filter(|step| step.decision.is_attempted() && !step.target.is_local());
        let best = of_vendors.map(turn).min();
        let (mut front, mut later) = (Vec::with_capacity(self.steps.len() + 2), Vec::new());
        for mut step in self.steps {
            let turn = turn(&step);
            if turn == Turn::Usual {
                front.push(step);
                continue;
            }
            let moves = match turn {
                Turn::Steered => elsewhere,
                // Among those held, it is only the order.
                _ => best < Some(Turn::Held { load: 0 }),
            };
            let look = &looks[step.index];
            if let (true, Some(fault)) = (moves, look.fault()) {
                front.push(Step { decision: Decision::Skip(fault), ..step.clone() });
            }
            if let Look::Overridden(figures, _) = look {
                let reason = format!("the share cap of `{}` is overridden", figures.operator);
                step.decision = Decision::AttemptDespite { reason: Arc::from(reason) };
            }
            later.push((turn, step));
        }
        later.sort_by_key(|(turn, _)| *turn);
        let sooner = later.iter().take_while(|(turn, _)| *turn < Turn::Overridden).count();
        let last = later.split_off(sooner);
        let local = front.iter().position(|step| step.decision.is_attempted() && step.target.is_local());
        let place = local.unwrap_or(front.len());
        front.splice(place..place, later.into_iter().map(|(_, step)| step));
        front.extend(last.into_iter().map(|(_, step)| step));
        Self { steps: front }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::ShareUnit, domain::TargetId, limit::share::Figures};

    fn plan(targets: &[&str]) -> Plan {
        let step = |(index, target): (usize, &&str)| Step {
            index,
            target: TargetId::parse(target).expect("a target"),
            decision: Decision::Attempt,
        };
        Plan { steps: targets.iter().enumerate().map(step).collect() }
    }

    fn figures() -> Figures {
        Figures {
            operator: Arc::from("a"),
            share: 0.66,
            with_call: 0.67,
            max: 0.7,
            soft: 0.65,
            unit: ShareUnit::Tokens,
            window_hours: 720,
            warming_up: false,
            fits_in: None,
        }
    }

    /// `!` before what is passed over.
    fn told(plan: &Plan) -> Vec<String> {
        let mark = |step: &Step| if step.decision.is_attempted() { "" } else { "!" };
        plan.steps.iter().map(|step| format!("{}{}", mark(step), step.target)).collect()
    }

    #[test]
    fn a_steered_target_goes_behind_other_vendors_and_before_the_model_in_the_process() {
        let looks = [Look::Steered(figures()), Look::Open, Look::Free];
        assert_eq!(told(&plan(&["a/x", "b/y", "local/z"]).shared(&looks)), ["!a/x", "b/y", "a/x", "local/z"]);
        let looks = [Look::Steered(figures()), Look::Free];
        assert_eq!(told(&plan(&["a/x", "local/z"]).shared(&looks)), ["a/x", "local/z"]);
        assert_eq!(told(&plan(&["a/x", "vllm/z"]).shared(&looks)), ["!a/x", "vllm/z", "a/x"]);
    }

    #[test]
    fn what_does_not_fit_now_goes_last_the_least_loaded_first() {
        let held = |load| Look::Held { figures: figures(), load };
        let looks = [held(9), held(4), Look::Free];
        assert_eq!(told(&plan(&["a/x", "b/y", "local/z"]).shared(&looks)), ["b/y", "a/x", "local/z"]);
        assert_eq!(told(&plan(&["a/x", "b/y"]).shared(&[held(4), held(9)])), ["a/x", "b/y"]);
    }

    #[test]
    fn an_override_lets_through_behind_everybody_and_says_so() {
        let plan = plan(&["a/x", "b/y"]).shared(&[Look::Overridden(figures(), 0), Look::Open]);
        assert_eq!(told(&plan), ["b/y", "a/x"]);
        assert!(
            matches!(&plan.steps[1].decision, Decision::AttemptDespite { reason } if reason.contains("overridden"))
        );
    }
}
