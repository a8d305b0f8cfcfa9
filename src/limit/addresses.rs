//! Accounts of addresses: what callers, strangers and connections from there have used. How many there are is in nobody's
//! hands but the world's, so there is room for so many and no more.
//!
//! An address that finds no room, because all that are there are in use, is counted together with others of its wider network
//! (its *crowd*), which may do what [`CROWD`] addresses may. What is counted already stays: nobody is forgotten to make room for
//! others. No wider network takes the room of all: past half, each may have an eighth. So whoever has many addresses
//! of one network crowds out himself, and whoever has them everywhere can turn away those who come new and have no key, and nobody
//! else: a crowd refuses no one whose key begins like one that exists, for keys have limits of their own.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};

use ipnet::IpNet;

use super::{account::Account, book::Book, subject::Subject};
use crate::config::{Doors, Limits};

/// How many addresses' limits a crowd has.
pub(super) const CROWD: u64 = 16;
/// Crowds of one kind; networks share them by chance.
const CROWDS: usize = 1024;
/// How often it is said that addresses are not told apart any more, in ms.
const TOLD_EVERY_MS: i64 = 60_000;

#[derive(Debug)]
pub(super) struct Addresses {
    callers: Kind,
    strangers: Kind,
    lines: Kind,
    most: AtomicUsize,
    told_unix_ms: AtomicI64,
}

/// One book each, so that strangers do not take the room of callers.
#[derive(Debug)]
struct Kind {
    book: Book,
    crowds: Box<[OnceLock<Arc<Account>>]>,
    hasher: RandomState,
}

/// Where something that comes from an address is counted.
#[derive(Debug)]
pub(super) enum Place {
    Own(Arc<Account>),
    Crowd(Arc<Account>),
}

impl Addresses {
    pub(super) fn new() -> Self {
        let most = AtomicUsize::new(usize::try_from(Doors::default().most_addresses).unwrap_or(usize::MAX));
        let told_unix_ms = AtomicI64::new(i64::MIN);
        Self { callers: Kind::new(), strangers: Kind::new(), lines: Kind::new(), most, told_unix_ms }
    }

    /// Takes up how many there may be.
    pub(super) fn bound(&self, doors: &Doors) {
        let most = usize::try_from(doors.most_addresses).unwrap_or(usize::MAX);
        if self.most.load(Ordering::Relaxed) != most {
            self.most.store(most, Ordering::Relaxed);
        }
    }

    /// Where `subject`, of that network, is counted from now on.
    pub(super) fn place(&self, subject: &Subject, network: IpNet, now_unix_ms: i64) -> Place {
        match self.account(subject, network, now_unix_ms) {
            Some(account) => Place::Own(account),
            None => {
                self.tell(network, now_unix_ms);
                Place::Crowd(self.kind(subject).crowd(wider(network)))
            }
        }
    }

    /// Where it was counted so far; `None`: it was not.
    pub(super) fn known(&self, subject: &Subject, network: IpNet) -> Option<Place> {
        let kind = self.kind(subject);
        let crowd = || kind.crowds[kind.slot(wider(network))].get().cloned().map(Place::Crowd);
        kind.book.known(subject).map(Place::Own).or_else(crowd)
    }

    /// Its own account; `None`: there is no room for one.
    pub(super) fn account(&self, subject: &Subject, network: IpNet, now_unix_ms: i64) -> Option<Arc<Account>> {
        let wide = wider(network);
        let is_kin = |known: &Subject| known.network().is_some_and(|known| wider(known) == wide);
        self.kind(subject).book.account_beside(subject, (self.most.load(Ordering::Relaxed), now_unix_ms), is_kin)
    }

    fn kind(&self, subject: &Subject) -> &Kind {
        match subject {
            Subject::Strangers(_) => &self.strangers,
            Subject::Lines(_) => &self.lines,
            _ => &self.callers,
        }
    }

    fn tell(&self, network: IpNet, now_unix_ms: i64) {
        let told = self.told_unix_ms.load(Ordering::Relaxed);
        let is_due = now_unix_ms.saturating_sub(told) >= TOLD_EVERY_MS;
        let mine = || self.told_unix_ms.compare_exchange(told, now_unix_ms, Ordering::Relaxed, Ordering::Relaxed);
        if is_due && mine().is_ok() {
            let (most, network) = (self.most.load(Ordering::Relaxed), wider(network));
            tracing::warn!(
                most, %network,
                "more addresses are in use than `limits.most_addresses`: new ones are counted together, by network"
            );
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        [&self.callers, &self.strangers, &self.lines].into_iter().map(|kind| kind.book.all().len()).sum()
    }
}

impl Kind {
    fn new() -> Self {
        let crowds = (0..CROWDS).map(|_| OnceLock::new()).collect();
        Self { book: Book::new(), crowds, hasher: RandomState::new() }
    }

    fn crowd(&self, wide: IpNet) -> Arc<Account> {
        Arc::clone(self.crowds[self.slot(wide)].get_or_init(|| Arc::new(Account::new(Subject::Address(wide)))))
    }

    fn slot(&self, wide: IpNet) -> usize {
        self.hasher.hash_one(wide) as usize % self.crowds.len()
    }
}

/// What a crowd may do where one address may do `limits`.
pub(super) fn of_crowd(limits: &Limits) -> Limits {
    let all = |limit: Option<u64>| limit.map(|limit| limit.saturating_mul(CROWD));
    Limits {
        requests_per_minute: all(limits.requests_per_minute),
        requests_per_day: all(limits.requests_per_day),
        concurrency: all(limits.concurrency),
        ..Limits::NONE
    }
}

/// The network that providers and companies are given: a /16 of IPv4, a /32 of IPv6.
pub(super) fn wider(network: IpNet) -> IpNet {
    let bits = if network.addr().is_ipv4() { 16 } else { 32 };
    IpNet::new(network.addr(), bits).map_or(network, |wide| wide.trunc())
}
