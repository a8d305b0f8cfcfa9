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
    held: Vec<(Arc<Account>, Limits)>,
    reserved: Money,
    standing: Standing,
}

impl Permit {
    pub(super) fn new(limiter: Limiter, ask: Ask) -> Self {
        Self { limiter, ask, held: Vec::with_capacity(4), reserved: Money::ZERO, standing: Standing::default() }
    }

    pub(super) fn take(&mut self, account: Arc<Account>, limits: Limits) -> Result<(), Refusal> {
        let standing =
            account.take(&limits, &self.ask).map_err(|denied| Refusal::of(account.subject(), denied, &self.ask))?;
        self.standing = self.standing.and(standing);
        self.held.push((account, limits));
        Ok(())
    }

    /// What is left of the rates that apply.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether a budget of those that it concerns must never be overspent.
    pub fn has_hard_budget(&self) -> bool {
        self.held.iter().any(|(_, limits)| limits.has_hard_budget())
    }

    /// Whose that is; the tenant's where there is none.
    pub fn hard_payer(&self) -> Subject {
        let payer = self.held.iter().find(|(_, limits)| limits.has_hard_budget()).or(self.held.first());
        payer.map_or_else(|| Subject::Tenant(TenantId::new("unknown")), |(account, _)| account.subject().clone())
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
        let at = self.ask.at_unix_ms;
        let payers = || self.held.iter().filter(|(account, _)| account.subject().pays());
        for (place, (account, limits)) in payers().enumerate() {
            if let Err((spent, limit)) = account.reserve(limits, at, more) {
                payers().take(place).for_each(|(account, _)| account.release(at, more));
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
        for (account, limits) in std::mem::take(&mut self.held) {
            account.finish(&self.ask, tokens, now);
            if !account.subject().pays() {
                continue;
            }
            for reached in account.spend(&limits, self.ask.at_unix_ms, (self.reserved, cost)) {
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
        for (account, _) in self.held.drain(..) {
            account.give_back(&self.ask);
            if account.subject().pays() {
                account.release(self.ask.at_unix_ms, self.reserved);
            }
        }
    }
}
