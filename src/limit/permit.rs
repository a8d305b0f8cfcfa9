//! What one call has reserved: given back when it is dropped, turned into what was used when it is settled.

use std::sync::Arc;

use super::{
    BudgetMark, Limiter,
    account::{Account, Ask, Standing},
    refusal::{Refusal, Why},
    subject::Subject,
};
use crate::{
    clock,
    config::Limits,
    domain::{Money, TenantId},
};

/// A call's place in all accounts that it concerns.
#[derive(Debug)]
pub struct Permit {
    limiter: Limiter,
    ask: Ask,
    held: Vec<Held>,
    reserved: Money,
    standing: Standing,
}

/// One of those accounts.
#[derive(Debug)]
struct Held {
    account: Arc<Account>,
    limits: Limits,
    /// When the call counts as begun there.
    at_unix_ms: i64,
}

impl Permit {
    pub(super) fn new(limiter: Limiter, ask: Ask) -> Self {
        Self { limiter, ask, held: Vec::with_capacity(4), reserved: Money::ZERO, standing: Standing::default() }
    }

    pub(super) fn take(&mut self, account: Arc<Account>, limits: Limits) -> Result<(), Refusal> {
        let standing =
            account.take(&limits, &self.ask).map_err(|denied| Refusal::of(account.subject(), denied, &self.ask))?;
        self.standing = self.standing.and(standing);
        let at_unix_ms =
            if account.subject().pays() { account.counts_at(self.ask.at_unix_ms) } else { self.ask.at_unix_ms };
        self.held.push(Held { account, limits, at_unix_ms });
        Ok(())
    }

    /// What is left of the rates that apply.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether a budget of those that it concerns must never be overspent.
    pub fn has_hard_budget(&self) -> bool {
        self.held.iter().any(|held| held.limits.has_hard_budget())
    }

    /// Whose that is; the tenant's where there is none.
    pub fn hard_payer(&self) -> Subject {
        let payer = self.held.iter().find(|held| held.limits.has_hard_budget()).or(self.held.first());
        payer.map_or_else(|| Subject::Tenant(TenantId::new("unknown")), |held| held.account.subject().clone())
    }

    /// What is set aside for it.
    pub fn reserved(&self) -> Money {
        self.reserved
    }

    /// Sets money aside until it is `total`, or says which budget it does not fit in and changes nothing.
    pub fn reserve(&mut self, total: Money) -> Result<(), Refusal> {
        let more = Money::from_micros(total.micros - self.reserved.micros);
        if more.micros <= 0 {
            return Ok(());
        }
        let payers = || self.held.iter().filter(|held| held.account.subject().pays());
        for (place, Held { account, limits, at_unix_ms }) in payers().enumerate() {
            if let Err((spent, limit)) = account.reserve(limits, *at_unix_ms, more) {
                payers().take(place).for_each(|held| held.account.release(held.at_unix_ms, more));
                let why = Why::Budget { spent, limit, needs: total };
                return Err(Refusal::new(account.subject().clone(), why, clock::unix_ms()));
            }
        }
        self.reserved = total;
        Ok(())
    }

    /// The call is over, and has used so much.
    pub fn settle(mut self, tokens: u64, cost: Money) {
        let now = clock::unix_ms();
        for Held { account, limits, at_unix_ms } in std::mem::take(&mut self.held) {
            account.finish(&self.ask, tokens, now);
            if !account.subject().pays() {
                continue;
            }
            for reached in account.spend(&limits, at_unix_ms, (self.reserved, cost)) {
                let mark = BudgetMark { subject: account.subject().clone(), reached };
                tracing::warn!(
                    subject = %mark.subject, period = %reached.of.period, percent = reached.percent,
                    spent_usd = %reached.of.spent, budget_usd = %reached.limit, "a budget has reached a mark"
                );
                // Nobody listens while the gateway stops; the log has it.
                let _ = self.limiter.books.marks.try_send(mark);
            }
        }
    }
}

/// The call was never made: nothing of it counts.
impl Drop for Permit {
    fn drop(&mut self) {
        for Held { account, at_unix_ms, .. } in self.held.drain(..) {
            account.give_back(&self.ask);
            if account.subject().pays() {
                account.release(at_unix_ms, self.reserved);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        domain::{FeatureId, KeyId},
        limit::{Balance, Limited},
    };

    const LIMIT: Money = Money::from_micros(1_000_000);

    fn whom(key: usize) -> Vec<Limited> {
        let tenant = TenantId::new("acme");
        let budget = Limits { budget_per_day: Some(LIMIT), tokens_per_day: Some(1 << 40), ..Limits::NONE };
        vec![
            Limited { subject: Subject::Tenant(tenant.clone()), limits: budget },
            Limited { subject: Subject::Key(KeyId::new(format!("k{key}"))), limits: Limits::NONE },
            Limited { subject: Subject::Feature(tenant, FeatureId::new("f")), limits: budget },
        ]
    }

    fn balance_of(limiter: &Limiter, now: i64) -> Balance {
        let all = limiter.balances(now);
        all.into_iter().find(|(subject, _)| matches!(subject, Subject::Tenant(_))).expect("has used something").1
    }

    #[test]
    fn ten_thousand_calls_at_once_overspend_a_hard_budget_by_nothing() {
        let limiter = Limiter::new(mpsc::channel(64).0);
        let now = clock::unix_ms();
        let spent: i64 = std::thread::scope(|scope| {
            let caller = |thread: usize| {
                let limiter = limiter.clone();
                move || {
                    let mut held = Vec::new();
                    for call in 0..625 {
                        let ask = Ask { at_unix_ms: now, requests: 1, tokens: 10, in_flight: 1 };
                        let mut permit = limiter.admit(whom(thread), ask).expect("the rates are wide");
                        let bound = Money::from_micros(150 + (call % 7) as i64);
                        if permit.reserve(bound).is_ok() {
                            held.push((permit, bound));
                        }
                    }
                    // All of them are under way; then some cost all they may, some less, some are never made.
                    let mut spent = 0;
                    for (place, (permit, bound)) in held.into_iter().enumerate() {
                        let cost = Money::from_micros(bound.micros / (1 + place as i64 % 2));
                        if place % 5 != 0 {
                            permit.settle(7, cost);
                            spent += cost.micros;
                        }
                    }
                    spent
                }
            };
            let threads: Vec<_> = (0..16).map(|thread| scope.spawn(caller(thread))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no thread panics")).sum()
        });
        let balance = balance_of(&limiter, now);
        let day = balance.spent[0];
        assert_eq!((day.spent.micros, day.reserved, balance.in_flight), (spent, Money::ZERO, 0));
        assert!(day.spent <= LIMIT && spent > 0, "{spent}");
    }

    proptest! {
        /// However the clock is set, forth and back by hours, days, weeks: as much is spent as the days that began have budgets for.
        #[test]
        fn a_clock_that_is_set_back_gives_no_budget_anew(
            steps in proptest::collection::vec((-40i64..40, any::<bool>(), 0i64..4), 1..150),
        ) {
            const HOUR: i64 = 3_600_000;
            let limiter = Limiter::new(mpsc::channel(64).0);
            let whom = || vec![Limited { subject: Subject::Tenant(TenantId::new("acme")), limits: Limits { budget_per_day: Some(LIMIT), ..Limits::NONE } }];
            let (mut now, mut newest, mut days, mut spent) = (1_795_000_000_000, i64::MIN, 0, 0);
            let mut open: Vec<(Permit, Money)> = Vec::new();
            for (hours, far, fourth) in steps {
                now += hours * HOUR * if far { 24 } else { 1 };
                let day = now.div_euclid(24 * HOUR);
                days += i64::from(day > newest);
                newest = newest.max(day);
                let bound = Money::from_micros(LIMIT.micros / 4 * fourth);
                let ask = Ask { at_unix_ms: now, requests: 1, tokens: 1, in_flight: 1 };
                let mut permit = limiter.admit(whom(), ask).expect("has no rates");
                if permit.reserve(bound).is_ok() {
                    open.push((permit, bound));
                }
                if fourth % 2 == 0 && !open.is_empty() {
                    let (permit, bound) = open.remove(0);
                    permit.settle(1, bound);
                    spent += bound.micros;
                }
                prop_assert!(spent <= LIMIT.micros * days, "{spent} of {days} days");
            }
        }
    }

    #[test]
    fn what_one_account_refuses_is_given_back_to_the_others() {
        let limiter = Limiter::new(mpsc::channel(64).0);
        let now = clock::unix_ms();
        let ask = Ask { at_unix_ms: now, requests: 1, tokens: 10, in_flight: 1 };
        let mut last_refuses = whom(0);
        last_refuses[2].limits.requests_per_day = Some(1);
        limiter.admit(last_refuses.clone(), ask).expect("is the first").settle(10, Money::ZERO);
        for _ in 0..3 {
            let refusal = limiter.admit(last_refuses.clone(), ask).expect_err("is one too many");
            assert_eq!(refusal.subject, last_refuses[2].subject);
        }
        let balance = balance_of(&limiter, now);
        assert_eq!((balance.in_flight, balance.used[2].0, balance.used[3].0), (0, 1, 10));
    }
}
