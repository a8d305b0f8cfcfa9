//! What follows from the looks of one rule at one version: nothing, until enough of them in a row and for long enough have found it
//! breached; then its action, once. Pure.

use crate::config::Rule;

/// What one look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Fine,
    Breached,
    /// There are too few samples, or no baseline.
    Undecided,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Nothing,
    Act,
    /// It has not been able to decide for too long: say so.
    SayUndecided,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Course {
    breached: u32,
    breached_since_unix_ms: Option<i64>,
    undecided: u32,
    acted: bool,
    refused: bool,
}

impl Course {
    pub fn take(&mut self, rule: &Rule, look: Look, now_unix_ms: i64) -> Deed {
        match look {
            Look::Fine => *self = Self { acted: self.acted, ..Self::default() },
            Look::Undecided => {
                self.undecided = self.undecided.saturating_add(1);
                if self.undecided == rule.inconclusive_limit {
                    return Deed::SayUndecided;
                }
            }
            Look::Breached => {
                self.undecided = 0;
                self.breached = self.breached.saturating_add(1);
                let since = *self.breached_since_unix_ms.get_or_insert(now_unix_ms);
                let held =
                    u128::try_from(now_unix_ms.saturating_sub(since)).is_ok_and(|ms| ms >= rule.hold.as_millis());
                if self.breached >= rule.failure_limit && held && !self.acted {
                    self.acted = true;
                    return Deed::Act;
                }
            }
        }
        Deed::Nothing
    }

    /// Nothing came of its action for a reason that may pass: while it is breached it acts once more.
    pub fn again(&mut self) {
        (self.acted, self.refused) = (false, true);
    }

    /// Whether its action is one more.
    pub fn was_refused(&self) -> bool {
        self.refused
    }

    pub fn has_acted(&self) -> bool {
        self.acted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::config::RuleAction;

    fn rule() -> Rule {
        Rule {
            name: "r".to_owned(),
            routes: Vec::new(),
            when: "error_rate > 0.1".parse().expect("reads"),
            alpha: 0.01,
            window: Duration::from_secs(1),
            watch: Duration::from_secs(1),
            min_samples: 1,
            hold: Duration::from_millis(100),
            failure_limit: 3,
            inconclusive_limit: 4,
            action: RuleAction::Rollback,
        }
    }

    #[test]
    fn it_acts_once_after_so_many_looks_and_so_long() {
        let (rule, mut course) = (rule(), Course::default());
        let deeds: Vec<Deed> = [0, 10, 20, 90, 100, 110].map(|at| course.take(&rule, Look::Breached, at)).into();
        assert_eq!(deeds.iter().position(|deed| *deed == Deed::Act), Some(4));
        assert_eq!(deeds.iter().filter(|deed| **deed == Deed::Act).count(), 1);
    }

    #[test]
    fn a_good_look_starts_it_anew_and_indecision_is_said_once() {
        let (rule, mut course) = (rule(), Course::default());
        for at in [0, 200] {
            assert_eq!(course.take(&rule, Look::Breached, at), Deed::Nothing);
        }
        course.take(&rule, Look::Fine, 300);
        assert_eq!(course.take(&rule, Look::Breached, 400), Deed::Nothing);
        let undecided = (0..10).filter(|_| course.take(&rule, Look::Undecided, 500) == Deed::SayUndecided);
        assert_eq!(undecided.count(), 1);
    }

    #[test]
    fn what_came_to_nothing_is_done_once_more_while_it_is_breached() {
        let (rule, mut course) = (rule(), Course::default());
        let acts = |course: &mut Course, at| course.take(&rule, Look::Breached, at) == Deed::Act;
        assert_eq!([0, 100, 200].map(|at| acts(&mut course, at)), [false, false, true]);
        course.again();
        assert!(course.was_refused() && acts(&mut course, 300) && !acts(&mut course, 400));
        course.again();
        course.take(&rule, Look::Fine, 500);
        assert!(!course.was_refused() && !acts(&mut course, 600), "it begins anew");
    }

    proptest! {
        #[test]
        fn it_never_acts_twice_nor_without_its_limit(looks in prop::collection::vec(0_u8..3, 0..60)) {
            let (rule, mut course) = (rule(), Course::default());
            let (mut acts, mut in_a_row) = (0, 0);
            for (at, look) in looks.into_iter().enumerate() {
                let look = [Look::Fine, Look::Breached, Look::Undecided][usize::from(look)];
                in_a_row = match look { Look::Fine => 0, Look::Breached => in_a_row + 1, Look::Undecided => in_a_row };
                if course.take(&rule, look, at as i64 * 50) == Deed::Act {
                    acts += 1;
                    prop_assert!(in_a_row >= rule.failure_limit);
                }
            }
            prop_assert!(acts <= 1);
        }
    }
}
