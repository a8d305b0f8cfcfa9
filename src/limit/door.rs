//! What is known of a caller before anything is read: where it comes from. An address that has sent many requests without a
//! valid key is turned away before its next key is looked at, unless that one begins like a key that exists: so whoever
//! guesses keys does not lock out those who share an address with it.

use std::{cell::LazyCell, net::IpAddr, sync::Arc};

use super::{
    Limiter,
    account::{Account, Ask, Denied},
    address::network_of,
    addresses::{Place, of_crowd, wider},
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
pub struct Line(Arc<Account>);

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
        let addresses = &self.books.addresses;
        addresses.bound(doors);
        let begins_like_a_key = LazyCell::new(begins_like_a_key);
        let strangers = Subject::Strangers(network);
        if let Some(place) = addresses.known(&strangers, network)
            && let Err(denied) = place.check(&of_strangers(doors), &one)
            && !*begins_like_a_key
        {
            return Err(Refusal::of(&strangers, denied, &one));
        }
        let limits = Limits { tokens_per_minute: None, tokens_per_day: None, ..doors.per_ip };
        if limits.is_none() {
            return Ok(Entered(None));
        }
        let subject = Subject::Address(network);
        let place = addresses.place(&subject, network, now);
        match place.take(&limits, &one) {
            Ok(account) => Ok(Entered(Some(account))),
            // Its key has limits of its own.
            Err(_) if place.is_crowd() && *begins_like_a_key => Ok(Entered(None)),
            Err(denied) => Err(Refusal::of(&place.subject(&subject), denied, &one)),
        }
    }

    /// A request from there had no valid key.
    pub fn turned_away(&self, doors: &Doors, from: IpAddr) {
        let (network, now) = (network_of(from), clock::unix_ms());
        let place = self.books.addresses.place(&Subject::Strangers(network), network, now);
        let one = Ask { at_unix_ms: now, requests: 1, ..Ask::default() };
        // Past the limit there is nothing more to count.
        let _ = place.take(&of_strangers(doors), &one);
    }

    /// Takes a connection on; `None`: there are too many from that address.
    pub fn connect(&self, doors: &Doors, peer: IpAddr) -> Option<Line> {
        let limits = Limits { concurrency: Some(doors.connections_per_ip), ..Limits::NONE };
        let network = network_of(peer);
        self.books.addresses.bound(doors);
        let place = self.books.addresses.place(&Subject::Lines(network), network, clock::unix_ms());
        Some(Line(place.take(&limits, &ONE).ok()?))
    }
}

impl Place {
    fn check(&self, limits: &Limits, ask: &Ask) -> Result<(), Denied> {
        match self {
            Self::Own(account) => account.check(limits, ask),
            Self::Crowd(account) => account.check(&of_crowd(limits), ask),
        }
    }

    fn take(&self, limits: &Limits, ask: &Ask) -> Result<Arc<Account>, Denied> {
        match self {
            Self::Own(account) => account.take(limits, ask).map(|_| Arc::clone(account)),
            Self::Crowd(account) => account.take(&of_crowd(limits), ask).map(|_| Arc::clone(account)),
        }
    }

    fn is_crowd(&self) -> bool {
        matches!(self, Self::Crowd(_))
    }

    /// Who is refused: the address itself, or the network that it is counted with.
    fn subject(&self, own: &Subject) -> Subject {
        match (self, own.network()) {
            (Self::Crowd(_), Some(network)) => Subject::Address(wider(network)),
            _ => own.clone(),
        }
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
        self.0.finish(&ONE, 0, clock::unix_ms());
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use tokio::sync::mpsc;

    use super::*;
    use crate::limit::addresses::CROWD;

    fn doors(most_addresses: u64) -> Doors {
        let per_ip = Limits { requests_per_minute: Some(2), ..Limits::NONE };
        Doors { per_ip, failed_auth_per_minute: 3, connections_per_ip: 2, most_addresses }
    }

    /// Many networks of one provider: the `number`th /64 of 2001:db8::/32.
    fn of_provider(number: u32) -> IpAddr {
        Ipv6Addr::from((0x2001_0db8_u128 << 96) | (u128::from(number) << 64) | 7).into()
    }

    /// The `number`th address, each in a network of its own.
    fn anywhere(number: u32) -> IpAddr {
        Ipv4Addr::from(0x0b00_0000_u32.wrapping_add(number << 16)).into()
    }

    fn enters(limiter: &Limiter, doors: &Doors, from: IpAddr, has_key: bool) -> bool {
        limiter.enter(doors, from, || has_key).is_ok()
    }

    #[test]
    fn whoever_has_many_addresses_of_one_network_crowds_out_himself_and_nobody_else() {
        let (limiter, doors) = (Limiter::new(mpsc::channel(1).0), doors(1 << 12));
        let known: IpAddr = Ipv4Addr::new(192, 0, 2, 1).into();
        assert!(enters(&limiter, &doors, known, false) && enters(&limiter, &doors, known, false));
        // Each of them sends one request, and is within its own limit.
        let passed = (0..200_000).filter(|number| enters(&limiter, &doors, of_provider(*number), false)).count();
        assert!(passed <= (1 << 11) + 64 + 2 * CROWD as usize, "{passed} of 200,000 came in");
        assert!(limiter.books.addresses.count() <= (1 << 12) + 64, "{} are kept", limiter.books.addresses.count());
        // Who was counted is counted still, who comes new from elsewhere has limits of its own, and a key opens anywhere.
        assert!(!enters(&limiter, &doors, known, false));
        for number in 0..500 {
            let new = anywhere(number);
            assert!(enters(&limiter, &doors, new, false) && enters(&limiter, &doors, new, false), "{new}");
            assert!(!enters(&limiter, &doors, new, true), "{new} has its own account: a key does not widen it");
        }
        assert!(enters(&limiter, &doors, of_provider(300_000), true));
        assert!(!enters(&limiter, &doors, of_provider(300_000), false));
    }

    #[test]
    fn from_everywhere_at_once_those_with_keys_still_come_in_and_memory_is_bounded() {
        let (limiter, doors) = (Limiter::new(mpsc::channel(1).0), doors(1 << 10));
        let flood = |number: u32| IpAddr::from(Ipv6Addr::from(u128::from(number) << 96 | 1 << 90));
        (0..100_000).for_each(|number| _ = enters(&limiter, &doors, flood(number), false));
        assert!(limiter.books.addresses.count() <= (1 << 10) + 64);
        assert!((0..1000).all(|number| enters(&limiter, &doors, flood(200_000 + number), true)));
        // Guessers of keys share a bound where they are not told apart.
        for number in 0..100_000 {
            limiter.turned_away(&doors, of_provider(number));
        }
        assert!(!enters(&limiter, &doors, of_provider(500_000), false), "the guessers' network is full");
        assert!(limiter.books.addresses.count() <= 2 * ((1 << 10) + 64));
        let lines: Vec<Line> = (0..10_000).filter_map(|number| limiter.connect(&doors, of_provider(number))).collect();
        assert!(lines.len() <= 512 + 64 + 2 * CROWD as usize, "{} connections", lines.len());
        drop(lines);
        assert!(limiter.connect(&doors, of_provider(20_000)).is_some(), "places that were given back are free");
    }
}
