//! The bounded line of calls before the engine, by class.
//!
//! Pushing never waits. A call whose caller has gone gives its place away, so that the impatient cannot keep others out.
//! Part of the line is kept for those that matter more.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::schedule::Class;

/// First in, first out, within a class.
pub(super) struct Queue<T> {
    line: Mutex<Line<T>>,
    changed: Condvar,
    bound: usize,
    /// Of the prompts of all that wait.
    tokens: usize,
}

/// Why a call was not queued.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// There is room for it once so many of those in the line have left it.
    Full {
        before: usize,
    },
    Closed,
}

/// What came of waiting for a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<T> {
    Item(T),
    /// None came in time.
    Nothing,
    /// None will come.
    Closed,
}

struct Line<T> {
    waiting: VecDeque<Waiting<T>>,
    /// How many the worker would take at once.
    takes: usize,
    is_closed: bool,
}

struct Waiting<T> {
    item: T,
    class: Class,
    tokens: usize,
}

impl<T> Queue<T> {
    /// A line of at most `bound` calls whose prompts have at most `tokens`, besides those being served.
    pub(super) fn new(bound: usize, tokens: usize) -> Self {
        let line = Line { waiting: VecDeque::new(), takes: 0, is_closed: false };
        Self { line: Mutex::new(line), changed: Condvar::new(), bound, tokens }
    }

    /// Queues `item`, whose prompt has about `tokens`; those that `is_gone` are forgotten first when the line is full.
    pub(super) fn push(
        &self,
        item: T,
        (class, tokens): (Class, usize),
        is_gone: impl Fn(&T) -> bool,
    ) -> Result<(), Refused> {
        let mut line = self.lock();
        if line.is_closed {
            return Err(Refused::Closed);
        }
        let (bound, most) = (class.share_of(self.bound) + line.takes, class.share_of(self.tokens));
        // A prompt longer than the whole bound is taken when it is the only one: the model's context bounds it.
        let is_full = |line: &Line<T>| {
            let waiting: usize = line.waiting.iter().map(|waiting| waiting.tokens).sum();
            line.waiting.len() >= bound || (!line.waiting.is_empty() && waiting + tokens > most)
        };
        if is_full(&line) {
            line.waiting.retain(|waiting| !is_gone(&waiting.item));
        }
        if is_full(&line) {
            // The line is left from its front.
            let mut tokens_left: usize = line.waiting.iter().map(|waiting| waiting.tokens).sum();
            let leave = line.waiting.iter().enumerate().position(|(gone, waiting)| {
                tokens_left -= waiting.tokens;
                let left = line.waiting.len() - gone - 1;
                left < bound && (left == 0 || tokens_left + tokens <= most)
            });
            return Err(Refused::Full { before: leave.map_or(line.waiting.len(), |last| last + 1) });
        }
        // Behind all that matter as much.
        let place = line.waiting.iter().rposition(|other| other.class <= class).map_or(0, |place| place + 1);
        line.waiting.insert(place, Waiting { item, class, tokens });
        self.changed.notify_one();
        Ok(())
    }

    /// The most important item, if there is one; waits for one for `patience`. `takes`: how many more the worker would take.
    pub(super) fn pop(&self, takes: usize, patience: Duration) -> Next<T> {
        let until = Instant::now() + patience;
        let mut line = self.lock();
        loop {
            if let Some(waiting) = line.waiting.pop_front() {
                line.takes = takes.saturating_sub(1);
                return Next::Item(waiting.item);
            }
            if line.is_closed {
                return Next::Closed;
            }
            line.takes = takes;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::Nothing;
            }
            line = self.changed.wait_timeout(line, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The class of the next item.
    pub(super) fn next_class(&self) -> Option<Class> {
        self.lock().waiting.front().map(|waiting| waiting.class)
    }

    /// How many calls wait that go before a new one of `class`, and how many tokens their prompts have.
    pub(super) fn ahead(&self, class: Class) -> (usize, usize) {
        let line = self.lock();
        let ahead = line.waiting.iter().filter(|waiting| waiting.class <= class);
        ahead.fold((0, 0), |(calls, tokens), waiting| (calls + 1, tokens + waiting.tokens))
    }

    /// Takes no more; what is queued is still served.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// How many wait of which `counts` holds.
    pub(super) fn waiting(&self, counts: impl Fn(&T) -> bool) -> usize {
        self.lock().waiting.iter().filter(|waiting| counts(&waiting.item)).count()
    }

    fn lock(&self) -> MutexGuard<'_, Line<T>> {
        // Every change under the lock is one step, so a panic elsewhere leaves the line sound.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Duration = Duration::ZERO;
    const STANDARD: (Class, usize) = (Class::Standard, 1);

    #[test]
    fn a_full_line_refuses_and_the_gone_make_room() {
        let queue = Queue::new(2, 1000);
        assert_eq!(queue.push(1, STANDARD, |_| false), Ok(()));
        assert_eq!(queue.push(2, STANDARD, |_| false), Ok(()));
        assert_eq!(queue.push(3, STANDARD, |_| false), Err(Refused::Full { before: 1 }));
        assert_eq!(queue.push(3, STANDARD, |item| *item == 1), Ok(()));
        assert_eq!(queue.pop(0, AT_ONCE), Next::Item(2));
        assert_eq!(queue.pop(0, AT_ONCE), Next::Item(3));
        assert_eq!(queue.pop(1, AT_ONCE), Next::Nothing);
    }

    #[test]
    fn those_that_matter_more_go_first_and_find_room() {
        let queue = Queue::new(4, 1000);
        assert_eq!(queue.push(1, (Class::Batch, 10), |_| false), Ok(()));
        assert_eq!(queue.push(2, (Class::Batch, 10), |_| false), Ok(()));
        assert_eq!(queue.push(3, (Class::Batch, 10), |_| false), Err(Refused::Full { before: 1 }));
        assert_eq!(queue.push(4, (Class::Critical, 5), |_| false), Ok(()));
        assert_eq!(queue.push(5, (Class::Critical, 5), |_| false), Ok(()));
        assert_eq!(queue.ahead(Class::Standard), (2, 10));
        assert_eq!(queue.ahead(Class::Batch), (4, 30));
        let order: Vec<_> = (0..4).map(|_| queue.pop(0, AT_ONCE)).collect();
        assert_eq!(order, [Next::Item(4), Next::Item(5), Next::Item(1), Next::Item(2)]);
    }

    #[test]
    fn tokens_fill_a_line_as_calls_do() {
        let queue = Queue::new(10, 100);
        assert_eq!(queue.push(1, (Class::Standard, 500), |_| false), Ok(()), "alone it is taken");
        assert_eq!(queue.push(2, (Class::Critical, 1), |_| false), Err(Refused::Full { before: 1 }));
        assert_eq!(queue.pop(0, AT_ONCE), Next::Item(1));
        assert_eq!(queue.push(3, (Class::Batch, 50), |_| false), Ok(()));
        assert_eq!(queue.push(4, (Class::Batch, 1), |_| false), Err(Refused::Full { before: 1 }), "half of it");
        assert_eq!(queue.push(5, (Class::Standard, 30), |_| false), Ok(()), "four fifths of it");
        assert_eq!(queue.push(6, (Class::Standard, 1), |_| false), Err(Refused::Full { before: 1 }));
        assert_eq!(queue.push(7, (Class::Critical, 20), |_| false), Ok(()));
        assert_eq!(queue.push(8, (Class::Critical, 1), |item| *item == 3), Ok(()), "the gone make room");
    }

    #[test]
    fn who_is_refused_hears_how_many_are_before_it() {
        let queue = Queue::new(4, 100);
        for item in 1..=4 {
            assert_eq!(queue.push(item, (Class::Critical, 20), |_| false), Ok(()));
        }
        assert_eq!(queue.push(5, (Class::Critical, 20), |_| false), Err(Refused::Full { before: 1 }));
        assert_eq!(queue.push(5, (Class::Batch, 1), |_| false), Err(Refused::Full { before: 3 }), "two may wait");
        assert_eq!(
            queue.push(5, (Class::Batch, 500), |_| false),
            Err(Refused::Full { before: 4 }),
            "alone it is taken"
        );
    }

    #[test]
    fn a_closed_line_is_served_to_its_end() {
        let queue = Queue::new(2, 1000);
        assert_eq!(queue.push(1, STANDARD, |_| false), Ok(()));
        queue.close();
        assert_eq!(queue.push(2, STANDARD, |_| false), Err(Refused::Closed));
        assert_eq!(queue.pop(0, AT_ONCE), Next::Item(1));
        assert_eq!(queue.pop(0, AT_ONCE), Next::Closed);
    }
}
