//! The accounts, by subject: many small maps, so that no two calls wait for each other unless they fall into the same one.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{account::Account, subject::Subject};

const SHARDS: usize = 64;

type Shard = Mutex<HashMap<Subject, Arc<Account>>>;

#[derive(Debug)]
pub(super) struct Book {
    shards: Box<[Shard]>,
    hasher: RandomState,
    /// Of one shard.
    most: usize,
}

impl Book {
    /// For about so many accounts. Past it, those that have nothing to say make room.
    pub(super) fn for_most(most: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, hasher: RandomState::new(), most: most.div_ceil(SHARDS) }
    }

    /// The account of `subject`, made when there is none. `None`: the book is full of accounts that are all in use.
    pub(super) fn account(&self, subject: &Subject, now_unix_ms: i64) -> Option<Arc<Account>> {
        let mut shard = self.shard(subject);
        if let Some(account) = shard.get(subject) {
            return Some(Arc::clone(account));
        }
        if shard.len() >= self.most {
            shard.retain(|_, account| Arc::strong_count(account) > 1 || !account.is_idle(now_unix_ms));
            if shard.len() >= self.most {
                return None;
            }
        }
        let account = Arc::new(Account::new(subject.clone()));
        shard.insert(subject.clone(), Arc::clone(&account));
        Some(account)
    }

    /// Takes an account of another book over, unless there is one of that subject.
    pub(super) fn adopt(&self, account: Arc<Account>) -> Arc<Account> {
        Arc::clone(self.shard(account.subject()).entry(account.subject().clone()).or_insert(account))
    }

    /// The account of `subject`, where there is one.
    pub(super) fn known(&self, subject: &Subject) -> Option<Arc<Account>> {
        self.shard(subject).get(subject).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Account>> {
        let of = |shard: &Mutex<HashMap<_, Arc<Account>>>| -> Vec<Arc<Account>> {
            shard.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
        };
        self.shards.iter().flat_map(of).collect()
    }

    fn shard(&self, subject: &Subject) -> MutexGuard<'_, HashMap<Subject, Arc<Account>>> {
        let place = self.hasher.hash_one(subject) as usize % self.shards.len();
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Limits, limit::account::Ask};

    #[test]
    fn a_full_book_forgets_those_who_are_idle_and_no_others() {
        let book = Book::for_most(SHARDS);
        let subject = |number: usize| Subject::Tenant(crate::domain::TenantId::new(format!("t{number}")));
        let ask = Ask { at_unix_ms: 1_795_000_000_000, in_flight: 1, ..Ask::default() };
        let busy: Vec<_> = (0..200).filter_map(|number| book.account(&subject(number), 0)).collect();
        for account in &busy {
            account.take(&Limits::NONE, &ask).expect("has no limits");
        }
        let held: Vec<_> = busy.iter().map(|account| account.subject().clone()).collect();
        drop(busy);
        (200..400).for_each(|number| _ = book.account(&subject(number), ask.at_unix_ms));
        assert!(book.all().len() <= SHARDS);
        let all: Vec<_> = book.all().iter().map(|account| account.subject().clone()).collect();
        assert!(held.iter().all(|subject| all.contains(subject)));
    }
}
