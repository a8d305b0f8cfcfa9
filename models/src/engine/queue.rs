//! The bounded line of calls before the engine.
//!
//! Pushing never waits. A call whose caller has gone gives its place away, so that the impatient cannot keep others out.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// First in, first out.
pub(super) struct Queue<T> {
    line: Mutex<Line<T>>,
    changed: Condvar,
    bound: usize,
}

/// Why a call was not queued.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Full,
    Closed,
}

struct Line<T> {
    waiting: VecDeque<T>,
    /// Whether the worker has nothing to do and takes the next at once.
    is_idle: bool,
    is_closed: bool,
}

impl<T> Queue<T> {
    /// A line of at most `bound`, besides the one being served.
    pub(super) fn new(bound: usize) -> Self {
        let line = Line { waiting: VecDeque::new(), is_idle: false, is_closed: false };
        Self { line: Mutex::new(line), changed: Condvar::new(), bound }
    }

    /// Queues `item`; those that `is_gone` are forgotten first when the line is full.
    pub(super) fn push(&self, item: T, is_gone: impl Fn(&T) -> bool) -> Result<(), Refused> {
        let mut line = self.lock();
        if line.is_closed {
            return Err(Refused::Closed);
        }
        let bound = self.bound + usize::from(line.is_idle);
        if line.waiting.len() >= bound {
            line.waiting.retain(|waiting| !is_gone(waiting));
        }
        if line.waiting.len() >= bound {
            return Err(Refused::Full);
        }
        line.waiting.push_back(item);
        self.changed.notify_one();
        Ok(())
    }

    /// The next item; waits for one. `None` once the queue is closed and empty.
    pub(super) fn pop(&self) -> Option<T> {
        let mut line = self.lock();
        loop {
            if let Some(item) = line.waiting.pop_front() {
                line.is_idle = false;
                return Some(item);
            }
            if line.is_closed {
                return None;
            }
            line.is_idle = true;
            line = self.changed.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes no more; what is queued is still served.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// How many wait of which `counts` holds.
    pub(super) fn waiting(&self, counts: impl Fn(&T) -> bool) -> usize {
        self.lock().waiting.iter().filter(|item| counts(item)).count()
    }

    fn lock(&self) -> MutexGuard<'_, Line<T>> {
        // Every change under the lock is one step, so a panic elsewhere leaves the line sound.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_line_refuses_and_the_gone_make_room() {
        let queue = Queue::new(2);
        assert_eq!(queue.push(1, |_| false), Ok(()));
        assert_eq!(queue.push(2, |_| false), Ok(()));
        assert_eq!(queue.push(3, |_| false), Err(Refused::Full));
        assert_eq!(queue.push(3, |item| *item == 1), Ok(()));
        assert_eq!(queue.pop(), Some(2));
        assert_eq!(queue.pop(), Some(3));
    }

    #[test]
    fn a_closed_line_is_served_to_its_end() {
        let queue = Queue::new(2);
        assert_eq!(queue.push(1, |_| false), Ok(()));
        queue.close();
        assert_eq!(queue.push(2, |_| false), Err(Refused::Closed));
        assert_eq!(queue.pop(), Some(1));
        assert_eq!(queue.pop(), None);
    }
}
