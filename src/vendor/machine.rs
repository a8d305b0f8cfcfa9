//! Whose time this machine's time is: while several calls are answered at once, each has an equal part of every moment.
//!
//! The shares of all calls add up to the time in which at least one was answered, less what is rounded off below a
//! microsecond; time in which nobody was answered is nobody's.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::clock;

/// This machine, shared by all local models. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Machine {
    shares: Arc<Mutex<Shares>>,
}

/// One call's turn at the machine; over when dropped.
#[derive(Debug)]
pub struct Turn {
    machine: Machine,
    begun_ps: u128,
}

/// What somebody who was there from the beginning would have had, in picoseconds; it runs the slower the more share.
#[derive(Debug)]
struct Shares {
    share_ps: u128,
    active: u32,
    at: Instant,
}

impl Default for Machine {
    fn default() -> Self {
        Self { shares: Arc::new(Mutex::new(Shares { share_ps: 0, active: 0, at: clock::now() })) }
    }
}

impl Machine {
    pub fn turn(&self) -> Turn {
        let begun_ps = self.shares().enter(clock::now());
        Turn { machine: self.clone(), begun_ps }
    }

    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// The call's share so far, in microseconds.
    pub fn used_us(&self) -> u64 {
        let now_ps = self.machine.shares().until(clock::now());
        u64::try_from((now_ps - self.begun_ps) / 1_000_000).unwrap_or(u64::MAX)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.machine.shares().leave(clock::now());
    }
}

impl Shares {
    fn until(&mut self, now: Instant) -> u128 {
        let passed_ps = now.saturating_duration_since(self.at).as_nanos() * 1000;
        self.at = self.at.max(now);
        if self.active > 0 {
            self.share_ps += passed_ps / u128::from(self.active);
        }
        self.share_ps
    }

    fn enter(&mut self, now: Instant) -> u128 {
        let begun = self.until(now);
        self.active += 1;
        begun
    }

    fn leave(&mut self, now: Instant) {
        self.until(now);
        self.active = self.active.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_is_answered_at_once_shares_and_nobody_pays_for_an_idle_machine() {
        let start = clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut shares = Shares { share_ps: 0, active: 0, at: start };
        let ms = |ps: u128| ps / 1_000_000_000;
        // Idle for 100 ms; a alone for 100; a and b for 100; b alone for 100; idle again.
        let a = shares.enter(at(100));
        let b = shares.enter(at(200));
        let a_had = shares.until(at(300)) - a;
        shares.leave(at(300));
        let b_had = shares.until(at(400)) - b;
        shares.leave(at(400));
        assert_eq!((ms(a_had), ms(b_had)), (150, 150), "300 ms were computed, together");
        let c = shares.enter(at(900));
        assert_eq!(ms(shares.until(at(901)) - c), 1);
    }
}
