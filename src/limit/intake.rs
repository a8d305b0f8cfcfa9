//! What callers are sending: bodies that are not here yet, and the memory that large ones take until their calls are over.
//!
//! Both are bounded for each tenant below what the gateway has, so that nobody who sends slowly, or much, can keep others out.

use std::sync::Arc;

use super::{
    Limiter,
    account::{Account, Ask},
    refusal::{Refusal, Why},
    subject::Subject,
};
use crate::{clock, config::Limits, domain::TenantId};

/// Bodies of one tenant that may be under way, where its own `concurrency` is not less: three quarters of all calls.
const MOST_UNDER_WAY: u64 = 6144;
/// A body up to this size is not counted, in bytes.
const SMALL: u64 = 64 << 10;
/// What all large bodies may take, and those of one tenant, in KiB: 1 GiB and half of it.
const MOST_KIB: u64 = 1 << 20;
const MOST_KIB_OF_ONE: u64 = MOST_KIB / 2;

/// One body, from its head on; gives back what it holds when it is dropped.
#[derive(Debug)]
pub struct Intake {
    limiter: Limiter,
    tenant: TenantId,
    waits: Option<Arc<Account>>,
    bytes: u64,
    kib: u64,
}

/// Why no more of a body is taken.
#[derive(Debug)]
pub enum Overfull {
    /// Its tenant sends too much.
    Tenant(Refusal),
    /// All together do.
    Gateway,
}

impl Limiter {
    pub fn intake(&self, tenant: &TenantId) -> Intake {
        Intake { limiter: self.clone(), tenant: tenant.clone(), waits: None, bytes: 0, kib: 0 }
    }
}

impl Intake {
    /// It does not come at once. `concurrency`: the tenant's own.
    pub fn waits(&mut self, concurrency: Option<u64>) -> Result<(), Refusal> {
        if self.waits.is_some() {
            return Ok(());
        }
        let limit = concurrency.unwrap_or(MOST_UNDER_WAY).min(MOST_UNDER_WAY);
        let account = self.limiter.books.under_way.account(&self.subject(), usize::MAX, clock::unix_ms());
        let Some(account) = account else { return Ok(()) };
        let refused = |_| Refusal::new(self.subject(), Why::Bodies { limit }, 0);
        account.take(&of(limit), &units(1)).map_err(refused)?;
        self.waits = Some(account);
        Ok(())
    }

    /// All of it is here.
    pub fn arrived(&mut self) {
        if let Some(account) = self.waits.take() {
            account.finish(&units(1), 0, clock::unix_ms());
        }
    }

    /// So many bytes more have come.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Overfull> {
        self.bytes += bytes as u64;
        let kib = self.bytes.saturating_sub(SMALL).div_ceil(1024);
        let more = kib - self.kib;
        if more == 0 {
            return Ok(());
        }
        let (books, subject) = (&self.limiter.books, self.subject());
        let Some(own) = books.bodies.account(&subject, usize::MAX, clock::unix_ms()) else { return Ok(()) };
        let refused = |_| Refusal::new(subject, Why::Memory { limit_mib: MOST_KIB_OF_ONE >> 10 }, 0);
        own.take(&of(MOST_KIB_OF_ONE), &units(more)).map_err(refused).map_err(Overfull::Tenant)?;
        if books.all_bodies.take(&of(MOST_KIB), &units(more)).is_err() {
            own.give_back(&units(more));
            return Err(Overfull::Gateway);
        }
        self.kib = kib;
        Ok(())
    }

    fn subject(&self) -> Subject {
        Subject::Tenant(self.tenant.clone())
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.arrived();
        if self.kib > 0 {
            let books = &self.limiter.books;
            books.all_bodies.give_back(&units(self.kib));
            if let Some(own) = books.bodies.known(&self.subject()) {
                own.give_back(&units(self.kib));
            }
        }
    }
}

fn of(most: u64) -> Limits {
    Limits { concurrency: Some(most), ..Limits::NONE }
}

fn units(in_flight: u64) -> Ask {
    Ask { in_flight, ..Ask::default() }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn nobody_takes_all_the_memory_and_what_was_held_is_given_back() {
        let limiter = Limiter::new(mpsc::channel(1).0);
        let tenant = |name: &str| TenantId::new(name);
        let send = |name: &str, mib: usize| {
            let mut body = limiter.intake(&tenant(name));
            body.grow(mib * MIB).map(|()| body)
        };
        // Bodies of 30 MiB: 17 of one tenant fit into its half, 17 of another into the other one.
        let first: Vec<Intake> = (0..40).filter_map(|_| send("a", 30).ok()).collect();
        assert_eq!(first.len(), 17);
        assert!(matches!(send("a", 30), Err(Overfull::Tenant(_))));
        let second: Vec<Intake> = (0..40).filter_map(|_| send("b", 30).ok()).collect();
        assert_eq!(second.len(), 17);
        assert!(matches!(send("c", 30), Err(Overfull::Gateway)));
        // Small ones always come in, and a place that is given back is free.
        let mut small = limiter.intake(&tenant("a"));
        assert!((0..64).all(|_| small.grow(1024).is_ok()));
        assert!(matches!(small.grow(30 * MIB), Err(Overfull::Tenant(_))));
        drop(first);
        assert!(send("c", 30).is_ok() && send("a", 30).is_ok());
        drop(second);
        assert_eq!((0..40).filter_map(|_| send("b", 30).ok()).count(), 40, "each is over before the next");
    }

    #[test]
    fn so_many_bodies_of_a_tenant_are_waited_for_and_no_more() {
        let limiter = Limiter::new(mpsc::channel(1).0);
        let wait = |name: &str, concurrency| {
            let mut body = limiter.intake(&TenantId::new(name));
            body.waits(concurrency).map(|()| body)
        };
        let mut waiting: Vec<Intake> = (0..10_000).filter_map(|_| wait("a", None).ok()).collect();
        assert_eq!(waiting.len() as u64, MOST_UNDER_WAY);
        assert!(wait("b", Some(1)).is_ok());
        let _held = wait("b", Some(1)).expect("the other is gone");
        assert!(wait("b", Some(1)).is_err());
        waiting[0].arrived();
        let again = wait("a", None).expect("one has arrived");
        assert!(wait("a", None).is_err());
        drop((waiting, again));
        assert!(wait("a", None).is_ok());
    }
}
