//! A fixed set of threads that share one loop at a time.
//!
//! The caller works too. A worker that sleeps is woken and joins late; nobody waits for one that never joined, so a busy
//! core costs its share of the work and no more. Between loops a worker spins for some microseconds, since the next loop of a
//! forward pass follows at once, and then sleeps: an idle pool costs nothing.

use std::any::Any;
use std::cell::UnsafeCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::level::Level;

/// How often a worker looks before it sleeps: some ten microseconds.
const SPINS: u32 = 4000;
/// Set in [`Shared::state`] while a loop takes workers; the rest counts those inside.
const OPEN: u32 = 1 << 31;

/// Threads, and what they may compute with.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    turn: Mutex<()>,
    level: Level,
}

type Body<'a> = dyn Fn(usize) + Sync + 'a;

struct Shared {
    state: AtomicU32,
    next: AtomicUsize,
    sleeping: AtomicUsize,
    stop: AtomicBool,
    job: UnsafeCell<Option<Job>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

#[derive(Clone, Copy)]
struct Job {
    body: *const Body<'static>,
    count: usize,
}

// SAFETY: `job` is written only while no worker is inside (`state` is 0 and stays so until the writer opens it), and read
// only by workers that are inside; `state` orders both. What it points to is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: as above; a `Job` is a pointer to something `Sync`.
unsafe impl Send for Shared {}

impl Pool {
    /// A pool of `threads`, the caller included; at least 1.
    pub(crate) fn new(threads: usize) -> Self {
        Self::with_level(threads, Level::detect())
    }

    /// As [`Self::new`], computing with `level`, which this machine must have.
    pub(crate) fn with_level(threads: usize, level: Level) -> Self {
        let shared = Arc::new(Shared {
            state: AtomicU32::new(0),
            next: AtomicUsize::new(0),
            sleeping: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            job: UnsafeCell::new(None),
            panic: Mutex::new(None),
        });
        // A thread that cannot be had is done without.
        let workers = (1..threads)
            .map_while(|number| {
                let theirs = Arc::clone(&shared);
                std::thread::Builder::new().name(format!("backstop-math-{number}")).spawn(move || theirs.work()).ok()
            })
            .collect();
        Self { shared, workers, turn: Mutex::new(()), level }
    }

    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    pub(crate) fn level(&self) -> Level {
        self.level
    }

    /// Runs `body(i)` once for each `i` in `0..count` and returns when all are done. Must not be called from a `body`.
    ///
    /// # Panics
    /// When a `body` does, with its panic.
    pub(crate) fn each(&self, count: usize, body: impl Fn(usize) + Sync) {
        if self.workers.is_empty() || count < 2 {
            (0..count).for_each(body);
            return;
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = &*self.shared;
        let short: *const Body<'_> = &body;
        // SAFETY: only the lifetime changes. No worker looks at `body` once `close` has returned, and this function does
        // not return or unwind before that.
        let long: *const Body<'static> = unsafe { std::mem::transmute(short) };
        // SAFETY: nobody is inside, and nobody gets inside before `state` is opened below.
        unsafe { *shared.job.get() = Some(Job { body: long, count }) };
        shared.next.store(0, Ordering::Relaxed);
        shared.state.store(OPEN, Ordering::SeqCst);
        if shared.sleeping.load(Ordering::SeqCst) > 0 {
            self.workers.iter().for_each(|worker| worker.thread().unpark());
        }
        let own = catch_unwind(AssertUnwindSafe(|| shared.take(&body, count)));
        shared.close();
        let theirs = shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = own.err().or(theirs) {
            resume_unwind(panic);
        }
    }

    /// As [`Self::each`], by runs: long ones first, and shorter ones the less is left, but not shorter than `least`, so that nobody
    /// waits long for the last (Polychronopoulos and Kuck, "Guided Self-Scheduling", 1987).
    pub(crate) fn guided(&self, count: usize, least: usize, body: impl Fn(Range<usize>) + Sync) {
        let threads = self.threads();
        if threads == 1 {
            return body(0..count);
        }
        let next = AtomicUsize::new(0);
        let run = |left: usize| (left / (2 * threads)).max(least.max(1)).min(left);
        let end = |first: usize| (first < count).then(|| first + run(count - first));
        self.each(threads.min(count), |_| {
            while let Ok(first) = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, end) {
                body(first..end(first).unwrap_or(count));
            }
        });
    }

    /// Splits `out`, rows of `width`, into runs of whole rows and calls `body(first row, the rows)` for each.
    pub(crate) fn rows(&self, out: &mut [f32], width: usize, body: impl Fn(usize, &mut [f32]) + Sync) {
        let rows = out.len() / width;
        let run = rows.div_ceil(self.threads() * 2).max(1);
        let parts = Parts::new(out);
        self.each(rows.div_ceil(run), |index| {
            let first = index * run;
            let last = rows.min(first + run);
            // SAFETY: each index has its own rows.
            body(first, unsafe { parts.part(first * width, (last - first) * width) });
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker catches the panics of what it runs, so there is none to pass on.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn work(&self) {
        let mut looked = 0;
        while !self.stop.load(Ordering::SeqCst) {
            if self.enter() {
                // SAFETY: this worker is inside, so the writer waits for it.
                if let Some(Job { body, count }) = unsafe { *self.job.get() } {
                    // SAFETY: as above; the caller's `body` lives until every worker is out.
                    let body = unsafe { &*body };
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.take(body, count))) {
                        *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
                    }
                }
                self.state.fetch_sub(1, Ordering::AcqRel);
                looked = 0;
            } else if looked < SPINS {
                looked += 1;
                std::hint::spin_loop();
            } else {
                self.sleeping.fetch_add(1, Ordering::SeqCst);
                // A loop that was opened before we counted as asleep has not woken us.
                if self.state.load(Ordering::SeqCst) & OPEN == 0 && !self.stop.load(Ordering::SeqCst) {
                    std::thread::park();
                }
                self.sleeping.fetch_sub(1, Ordering::SeqCst);
                looked = 0;
            }
        }
    }

    /// Whether the worker is inside an open loop now.
    fn enter(&self) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        state & OPEN != 0 && self.state.compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    fn take(&self, body: &Body<'_>, count: usize) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                // Nothing is left: others need not come in.
                self.state.fetch_and(!OPEN, Ordering::AcqRel);
                return;
            }
            body(index);
        }
    }

    /// Lets nobody in any more, and waits for those inside.
    fn close(&self) {
        let mut waited = 0;
        self.state.fetch_and(!OPEN, Ordering::AcqRel);
        while self.state.load(Ordering::Acquire) != 0 {
            waited += 1;
            if waited % 2048 == 0 {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
    }
}

/// A slice that several threads write, each its own part.
pub(super) struct Parts<T> {
    start: *mut T,
    len: usize,
}

// SAFETY: `Parts` give out nothing by themselves; whoever calls `part` promises that parts do not overlap.
unsafe impl<T: Send> Send for Parts<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Parts<T> {}

impl<T> Parts<T> {
    pub(super) fn new(slice: &mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len() }
    }

    /// Where `len` values from `start` on lie, for who writes some of them.
    ///
    /// # Panics
    /// When they are not all inside.
    pub(super) fn pointer(&self, start: usize, len: usize) -> *mut T {
        assert!(start.checked_add(len).is_some_and(|end| end <= self.len), "what is written lies inside its slice");
        self.start.wrapping_add(start)
    }

    /// `len` values from `start` on.
    ///
    /// # Safety
    /// The slice that this was made of is still borrowed, and no two parts that live at once overlap.
    ///
    /// # Panics
    /// When they are not all inside.
    #[expect(clippy::mut_from_ref, reason = "it hands out disjoint parts, as its safety condition says")]
    pub(super) unsafe fn part(&self, start: usize, len: usize) -> &mut [T] {
        assert!(start.checked_add(len).is_some_and(|end| end <= self.len), "a part lies inside its slice");
        // SAFETY: inside by the assertion; alone by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}

impl<T: Copy> Parts<T> {
    /// Writes `values` to places from `start` on, each `apart` from the one before.
    ///
    /// # Safety
    /// As [`Self::part`], of each of the places.
    ///
    /// # Panics
    /// When they are not all inside.
    pub(super) unsafe fn spread<'a>(&self, start: usize, apart: usize, values: impl ExactSizeIterator<Item = &'a T>)
    where
        T: 'a,
    {
        let last = values.len().checked_sub(1).map(|last| start + last * apart);
        assert!(last.is_none_or(|last| last < self.len), "all places lie inside the slice");
        for (index, value) in values.enumerate() {
            // SAFETY: inside by the assertion; alone by the caller's promise.
            unsafe { self.start.add(start + index * apart).write(*value) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_index_runs_once_however_often_the_pool_is_used() {
        for threads in 1..=4 {
            let pool = Pool::new(threads);
            for count in [0, 1, 2, 3, 17, 200] {
                for _ in 0..200 {
                    let seen: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                    pool.each(count, |index| {
                        seen[index].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(seen.iter().all(|times| times.load(Ordering::Relaxed) == 1));
                }
            }
        }
    }

    #[test]
    fn runs_cover_each_index_once_and_shrink() {
        for threads in 1..=4 {
            let pool = Pool::new(threads);
            for count in [0, 1, 2, 3, 17, 200] {
                let runs = Mutex::new(Vec::new());
                pool.guided(count, 1, |run| runs.lock().expect("no panic").push(run));
                pool.guided(count, 7, |run| assert!(run.len() >= 7 || run.end == count, "{run:?}"));
                let mut runs = runs.into_inner().expect("no panic");
                runs.sort_by_key(|run| run.start);
                assert_eq!(runs.iter().flat_map(Clone::clone).collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
                assert!(runs.is_sorted_by_key(|run| std::cmp::Reverse(run.len())), "{runs:?}");
                assert!(threads == 1 || count < 2 || runs.last().is_some_and(|run| run.len() == 1));
            }
        }
    }

    #[test]
    fn rows_are_split_and_none_is_left_out() {
        let pool = Pool::new(3);
        let mut out = vec![0.0; 7 * 5];
        pool.rows(&mut out, 5, |first, rows| {
            for (index, row) in rows.chunks_exact_mut(5).enumerate() {
                row.fill((first + index) as f32 + 1.0);
            }
        });
        assert!(out.chunks_exact(5).enumerate().all(|(index, row)| row == [index as f32 + 1.0; 5]));
    }

    #[test]
    fn a_panic_comes_out_and_the_pool_goes_on() {
        let pool = Pool::new(2);
        let outcome = catch_unwind(AssertUnwindSafe(|| pool.each(50, |index| assert!(index != 31, "thirty-one"))));
        assert!(outcome.is_err());
        let sum = AtomicUsize::new(0);
        pool.each(10, |index| {
            sum.fetch_add(index, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 45);
    }
}
