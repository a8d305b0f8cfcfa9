//! What is known of a caller before anything is read: where it comes from. An address that has sent many requests without a
//! valid key is turned away before its next key is looked at, unless that one begins like a key that exists: so whoever
//! guesses keys does not lock out those who share an address with it.

use std::{net::IpAddr, sync::Arc};

use super::{
    Limiter,
    account::{Account, Ask},
    address::network_of,
    refusal::Refusal,
    subject::Subject,
};
use crate::{
    clock,
    config::{Doors, Limits},
};

/// A request that was let in; its place is free again when this is dropped.
#[derive(Debug)]
pub struct Entered(Option<Arc<Account>>);

/// A connection that is open.
#[derive(Debug)]
pub struct Line(Option<Arc<Account>>);

const ONE: Ask = Ask { at_unix_ms: 0, requests: 0, tokens: 0, in_flight: 1 };

impl Limiter {
    /// Lets a request in, or says why not. `begins_like_a_key`: whether what it presents does.
    pub fn enter(
        &self,
        doors: &Doors,
        from: IpAddr,
        begins_like_a_key: impl FnOnce() -> bool,
    ) -> Result<Entered, Refusal> {
        let (network, now) = (network_of(from), clock::unix_ms());
        let one = Ask { at_unix_ms: now, requests: 1, ..ONE };
        let strangers = Subject::Strangers(network);
        if let Some(account) = self.books.addresses.known(&strangers)
            && let Err(denied) = account.check(&of_strangers(doors), &one)
            && !begins_like_a_key()
        {
            return Err(Refusal::of(&strangers, denied, &one));
        }
        let limits = Limits { tokens_per_minute: None, tokens_per_day: None, ..doors.per_ip };
        if limits.is_none() {
            return Ok(Entered(None));
        }
        let subject = Subject::Address(network);
        let Some(account) = self.account(&subject, &limits, now) else { return Ok(Entered(None)) };
        account.take(&limits, &one).map_err(|denied| Refusal::of(&subject, denied, &one))?;
        Ok(Entered(Some(account)))
    }

    /// A request from there had no valid key.
    pub fn turned_away(&self, doors: &Doors, from: IpAddr) {
        let now = clock::unix_ms();
        if let Some(account) = self.account(&Subject::Strangers(network_of(from)), &Limits::NONE, now) {
            let one = Ask { at_unix_ms: now, requests: 1, ..Ask::default() };
            // Past the limit there is nothing more to count.
            let _ = account.take(&of_strangers(doors), &one);
        }
    }

    /// Takes a connection on; `None`: there are too many from that address.
    pub fn connect(&self, doors: &Doors, peer: IpAddr) -> Option<Line> {
        let limits = Limits { concurrency: Some(doors.connections_per_ip), ..Limits::NONE };
        let subject = Subject::Lines(network_of(peer));
        let Some(account) = self.account(&subject, &limits, clock::unix_ms()) else { return Some(Line(None)) };
        account.take(&limits, &ONE).ok()?;
        Some(Line(Some(account)))
    }
}

fn of_strangers(doors: &Doors) -> Limits {
    Limits { requests_per_minute: Some(doors.failed_auth_per_minute), ..Limits::NONE }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(account) = &self.0 {
            account.finish(&ONE, 0, clock::unix_ms());
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(account) = &self.0 {
            account.finish(&ONE, 0, clock::unix_ms());
        }
    }
}
