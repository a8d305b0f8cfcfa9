//! Turns at the cores: of all models, one computes a step at a time.
//!
//! A step of a more important class goes first, so that it never waits for more than the one step that is being computed. What is
//! passed over three times goes right after a more important step, so that nobody starves. A step that keeps its turn for
//! very long has lost it: what hangs must not take the other models with it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::schedule::Class;

/// A step that takes longer shares the cores with the next.
const LONGEST: Duration = Duration::from_secs(10);
/// So often a step is passed over by more important ones.
const PATIENCE: u32 = 3;
/// A model that had no turn for so long is idle.
const LATELY: Duration = Duration::from_secs(2);

/// The turns of all models; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    line: Mutex<Line>,
    changed: Condvar,
    seats: AtomicU64,
}

/// One model's place at the cores.
#[derive(Debug)]
pub(crate) struct Seat {
    shared: Arc<Shared>,
    number: u64,
}

/// The right to compute; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    shared: &'a Shared,
    ticket: u64,
}

/// Who computes and who waits. Pure.
#[derive(Debug, Default)]
struct Line {
    tickets: u64,
    holder: Option<Holder>,
    waiting: Vec<Waiting>,
    /// Of the turn that was given last.
    last: Option<Class>,
    /// When each model computed last.
    seen: Vec<(u64, Instant)>,
}

#[derive(Debug, Clone, Copy)]
struct Holder {
    ticket: u64,
    seat: u64,
    since: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    ticket: u64,
    seat: u64,
    class: Class,
    passed: u32,
}

impl Turns {
    pub(crate) fn seat(&self) -> Seat {
        let number = self.shared.seats.fetch_add(1, Ordering::Relaxed);
        Seat { shared: Arc::clone(&self.shared), number }
    }
}

impl Seat {
    /// Waits for a turn, for a step that matters as much as `class` says.
    pub(crate) fn turn(&self, class: Class) -> Turn<'_> {
        let shared = &*self.shared;
        let mut line = shared.line();
        let ticket = line.join(self.number, class);
        while !line.enter(ticket, Instant::now()) {
            // The time is for a holder that hangs; an end wakes at once.
            line = shared.changed.wait_timeout(line, LONGEST / 10).unwrap_or_else(PoisonError::into_inner).0;
        }
        Turn { shared, ticket }
    }

    /// Whether no other model computes, waits to, or did so lately.
    pub(crate) fn is_alone(&self) -> bool {
        let (line, now) = (self.shared.line(), Instant::now());
        let lately = |(seat, at): &(u64, Instant)| *seat != self.number && now.saturating_duration_since(*at) < LATELY;
        !line.seen.iter().any(lately) && line.waiting.iter().all(|waiting| waiting.seat == self.number)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.line().seen.retain(|(seat, _)| *seat != self.number);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.shared.line().leave(self.ticket);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn line(&self) -> MutexGuard<'_, Line> {
        // Nothing under the lock can panic half way.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn join(&mut self, seat: u64, class: Class) -> u64 {
        let ticket = self.tickets;
        self.tickets += 1;
        self.waiting.push(Waiting { ticket, seat, class, passed: 0 });
        ticket
    }

    /// Whether the turn is `ticket`'s now.
    fn enter(&mut self, ticket: u64, now: Instant) -> bool {
        let Some(place) = self.waiting.iter().position(|waiting| waiting.ticket == ticket) else { return false };
        let Waiting { seat, class, .. } = self.waiting[place];
        let hangs = |holder: Holder| now.saturating_duration_since(holder.since) >= LONGEST;
        // A model asks for a second turn only once it has given up the thread that has its first.
        if self.holder.is_some_and(|holder| !hangs(holder) && holder.seat != seat) || self.next() != Some(ticket) {
            return false;
        }
        self.waiting.remove(place);
        self.waiting.iter_mut().for_each(|waiting| waiting.passed += 1);
        self.last = Some(class);
        self.seen.retain(|(other, _)| *other != seat);
        self.seen.push((seat, now));
        self.holder = Some(Holder { ticket, seat, since: now });
        true
    }

    fn leave(&mut self, ticket: u64) {
        // One that lost its turn has none to give back.
        self.holder = self.holder.filter(|holder| holder.ticket != ticket);
    }

    fn next(&self) -> Option<u64> {
        let first = self.waiting.iter().min_by_key(|waiting| (waiting.class, waiting.ticket))?;
        // Only behind a more important step: behind any other, that one would wait for two.
        let may = |waiting: &&Waiting| waiting.passed >= PATIENCE && self.last.is_some_and(|last| last < waiting.class);
        let tired = self.waiting.iter().filter(may).min_by_key(|waiting| waiting.ticket);
        Some(tired.unwrap_or(first).ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who gets which turn, when everyone wants the next one at once after its own.
    fn order(seats: &[Class], turns: usize) -> Vec<u64> {
        let (mut line, now) = (Line::default(), Instant::now());
        let mut tickets: Vec<u64> = seats.iter().zip(0..).map(|(class, seat)| line.join(seat, *class)).collect();
        let mut order = Vec::new();
        for _ in 0..turns {
            let seat = (0..seats.len()).find(|seat| line.enter(tickets[*seat], now)).expect("somebody has the turn");
            assert!(tickets.iter().all(|ticket| !line.enter(*ticket, now)), "one at a time");
            order.push(seat as u64);
            line.leave(tickets[seat]);
            tickets[seat] = line.join(seat as u64, seats[seat]);
        }
        order
    }

    #[test]
    fn equals_take_turns() {
        assert_eq!(order(&[Class::Standard, Class::Standard], 6), [0, 1, 0, 1, 0, 1]);
    }

    #[test]
    fn a_critical_step_waits_for_one_other_at_most_and_nobody_starves() {
        let order = order(&[Class::Batch, Class::Critical, Class::Standard], 40);
        assert!(order.windows(2).all(|two| two.contains(&1)), "{order:?}");
        for seat in 0..3 {
            assert!(order.iter().filter(|turn| **turn == seat).count() >= 4, "{order:?}");
        }
    }

    #[test]
    fn a_critical_step_goes_before_a_tired_one_behind_a_less_important_one() {
        let (mut line, now) = (Line::default(), Instant::now());
        let tired = line.join(0, Class::Batch);
        line.waiting.iter_mut().for_each(|waiting| waiting.passed = PATIENCE);
        line.last = Some(Class::Batch);
        let critical = line.join(2, Class::Critical);
        assert!(!line.enter(tired, now) && line.enter(critical, now));
    }

    #[test]
    fn what_hangs_loses_its_turn() {
        let (mut line, now) = (Line::default(), Instant::now());
        let (hung, next) = (line.join(0, Class::Critical), line.join(1, Class::Batch));
        assert!(line.enter(hung, now) && !line.enter(next, now + LONGEST / 2) && line.enter(next, now + LONGEST));
        line.leave(hung);
        let third = line.join(2, Class::Critical);
        assert!(!line.enter(third, now + LONGEST), "the turn is the second's still");
    }

    #[test]
    fn turns_are_waited_for_across_threads() {
        let turns = Turns::default();
        let busy = Mutex::new(());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let seat = turns.seat();
                let busy = &busy;
                scope.spawn(move || {
                    for _ in 0..200 {
                        let turn = seat.turn(Class::Standard);
                        let computes = busy.try_lock().expect("nobody else computes");
                        drop((computes, turn));
                    }
                });
            }
        });
        let (one, other) = (turns.seat(), turns.seat());
        assert!(one.is_alone());
        drop(one.turn(Class::Batch));
        assert!(one.is_alone() && !other.is_alone());
    }
}
