//! The accounts, by subject: many small maps, so that no two calls wait for each other unless they fall into the same one.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{account::Account, subject::Subject};

const SHARDS: usize = 64;
/// A full shard is not searched for idle accounts again sooner than this, in ms: a flood must not buy a search with each request.
const BETWEEN_SWEEPS_MS: i64 = 1000;
/// Those who belong together may have one part in so many of a shard that is more than half full.
const PART_OF_KIN: usize = 8;

#[derive(Debug)]
pub(super) struct Book {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Shard {
    accounts: HashMap<Subject, Arc<Account>>,
    /// When idle accounts were looked for last, in ms since 1970-01-01 UTC.
    swept_unix_ms: i64,
}

impl Book {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }

    /// The account of `subject`, made when there is none. There is room for about `most`: past it, those that have nothing to
    /// say make room. `None`: all of them are in use.
    pub(super) fn account(&self, subject: &Subject, most: usize, now_unix_ms: i64) -> Option<Arc<Account>> {
        let mut shard = self.shard(subject);
        if let Some(account) = shard.accounts.get(subject) {
            return Some(Arc::clone(account));
        }
        let has_room = |shard: &Shard| shard.accounts.len() < most.div_ceil(SHARDS);
        (has_room(&shard) || shard.sweep(now_unix_ms) && has_room(&shard)).then(|| shard.add(subject))
    }

    /// As [`Self::account`], and those that `is_kin` says belong together cannot take the room of all others.
    pub(super) fn account_beside(
        &self,
        subject: &Subject,
        (most, now_unix_ms): (usize, i64),
        is_kin: impl Fn(&Subject) -> bool,
    ) -> Option<Arc<Account>> {
        let mut shard = self.shard(subject);
        if let Some(account) = shard.accounts.get(subject) {
            return Some(Arc::clone(account));
        }
        let most = most.div_ceil(SHARDS);
        let has_room = |shard: &Shard| {
            let (all, kin) = (shard.accounts.len(), || shard.accounts.keys().filter(|known| is_kin(known)).count());
            all < most && (all < most.div_ceil(2) || kin() < most.div_ceil(PART_OF_KIN))
        };
        (has_room(&shard) || shard.sweep(now_unix_ms) && has_room(&shard)).then(|| shard.add(subject))
    }

    /// Takes an account of another book over, unless there is one of that subject.
    pub(super) fn adopt(&self, account: Arc<Account>) -> Arc<Account> {
        Arc::clone(self.shard(account.subject()).accounts.entry(account.subject().clone()).or_insert(account))
    }

    /// The account of `subject`, where there is one.
    pub(super) fn known(&self, subject: &Subject) -> Option<Arc<Account>> {
        self.shard(subject).accounts.get(subject).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Account>> {
        let of = |shard: &Mutex<Shard>| -> Vec<Arc<Account>> {
            shard.lock().unwrap_or_else(PoisonError::into_inner).accounts.values().cloned().collect()
        };
        self.shards.iter().flat_map(of).collect()
    }

    fn shard(&self, subject: &Subject) -> MutexGuard<'_, Shard> {
        let place = self.hasher.hash_one(subject) as usize % self.shards.len();
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    /// Forgets idle accounts; `false`: that was done a moment ago.
    fn sweep(&mut self, now_unix_ms: i64) -> bool {
        // A clock that was set back does not stop it.
        if (now_unix_ms - self.swept_unix_ms).abs() < BETWEEN_SWEEPS_MS {
            return false;
        }
        self.swept_unix_ms = now_unix_ms;
        self.accounts.retain(|_, account| Arc::strong_count(account) > 1 || !account.is_idle(now_unix_ms));
        true
    }

    fn add(&mut self, subject: &Subject) -> Arc<Account> {
        let account = Arc::new(Account::new(subject.clone()));
        self.accounts.insert(subject.clone(), Arc::clone(&account));
        account
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Limits, limit::account::Ask};

    #[test]
    fn a_full_book_forgets_those_who_are_idle_and_no_others() {
        let book = Book::new();
        let subject = |number: usize| Subject::Tenant(crate::domain::TenantId::new(format!("t{number}")));
        let ask = Ask { at_unix_ms: 1_795_000_000_000, in_flight: 1, ..Ask::default() };
        let busy: Vec<_> = (0..200).filter_map(|number| book.account(&subject(number), SHARDS, 0)).collect();
        for account in &busy {
            account.take(&Limits::NONE, &ask).expect("has no limits");
        }
        let held: Vec<_> = busy.iter().map(|account| account.subject().clone()).collect();
        drop(busy);
        (200..400).for_each(|number| _ = book.account(&subject(number), SHARDS, ask.at_unix_ms));
        assert!(book.all().len() <= SHARDS);
        let all: Vec<_> = book.all().iter().map(|account| account.subject().clone()).collect();
        assert!(held.iter().all(|subject| all.contains(subject)));
    }
}
