//! How much was used over a sliding span, in slices. Pure: time is an argument.
//!
//! Slices, not a bucket that refills (GCRA): a bucket lets nearly twice its limit pass in one span, first all it holds and
//! then what it refills, and a limit that somebody pays for must hold for every span, however it lies. A slice counts
//! until all of it is older than the span, so what is counted errs to the safe side, by one slice at most. What was
//! reserved can be taken back from the slice it was put in, which a bucket cannot.

/// How long a window is, and how finely it forgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub slice_ms: i64,
    pub slices: usize,
}

impl Span {
    pub const MINUTE: Self = Self { slice_ms: 2000, slices: 30 };
    pub const DAY: Self = Self { slice_ms: 3_600_000, slices: 24 };

    pub fn ms(self) -> i64 {
        self.slice_ms * self.slices as i64
    }

    fn slice(self, unix_ms: i64) -> i64 {
        unix_ms.div_euclid(self.slice_ms)
    }
}

/// Sums by slices: those of the span, and the one that has just begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    span: Span,
    /// By the slice's number, modulo their count.
    sums: Box<[u64]>,
    newest: i64,
    total: u64,
}

impl Window {
    pub fn new(span: Span) -> Self {
        Self { span, sums: vec![0; span.slices + 1].into(), newest: i64::MIN, total: 0 }
    }

    /// What was used in the span before `now`.
    pub fn total(&mut self, now_unix_ms: i64) -> u64 {
        self.advance(now_unix_ms);
        self.total
    }

    /// Counts `amount` as used now.
    pub fn add(&mut self, now_unix_ms: i64, amount: u64) {
        self.advance(now_unix_ms);
        self.put(self.newest, amount);
    }

    /// Counts `amount` as used at an earlier moment, unless that is forgotten already.
    pub fn restore(&mut self, at_unix_ms: i64, amount: u64) {
        self.advance(at_unix_ms);
        let slice = self.span.slice(at_unix_ms);
        if slice >= self.oldest() {
            self.put(slice, amount);
        }
    }

    fn put(&mut self, slice: i64, amount: u64) {
        let place = self.place(slice);
        let before = self.sums[place];
        self.sums[place] = before.saturating_add(amount);
        self.total = self.total.saturating_add(self.sums[place] - before);
    }

    /// Takes back what was put into the slice of `at`.
    pub fn take_back(&mut self, at_unix_ms: i64, amount: u64) {
        if let Some(sum) = self.kept(at_unix_ms) {
            let taken = amount.min(*sum);
            *sum -= taken;
            self.total = self.total.saturating_sub(taken);
        }
    }

    /// The first moment from `now` on at which `amount` fits under `limit`, if nothing else comes. `None`: never.
    pub fn fits_at(&mut self, now_unix_ms: i64, amount: u64, limit: u64) -> Option<i64> {
        self.advance(now_unix_ms);
        if amount > limit {
            return None;
        }
        let mut left = self.total;
        if left.saturating_add(amount) <= limit {
            return Some(now_unix_ms);
        }
        for slice in self.oldest()..=self.newest {
            left = left.saturating_sub(self.sums[self.place(slice)]);
            if left.saturating_add(amount) <= limit {
                return Some(self.forgotten_at(slice).max(now_unix_ms));
            }
        }
        None
    }

    /// When all of it is forgotten, if nothing else comes; `now` when it is empty.
    pub fn empty_at(&mut self, now_unix_ms: i64) -> i64 {
        self.advance(now_unix_ms);
        let last = (self.oldest()..=self.newest).rev().find(|slice| self.sums[self.place(*slice)] > 0);
        last.map_or(now_unix_ms, |slice| self.forgotten_at(slice))
    }

    /// A clock that was set back moves nothing: its time counts as the newest there was.
    fn advance(&mut self, now_unix_ms: i64) {
        let now = self.span.slice(now_unix_ms);
        if now <= self.newest {
            return;
        }
        let steps = now.saturating_sub(self.newest).min(self.sums.len() as i64);
        for slice in now - steps + 1..=now {
            let place = self.place(slice);
            self.total = self.total.saturating_sub(std::mem::take(&mut self.sums[place]));
        }
        self.newest = now;
    }

    fn kept(&mut self, at_unix_ms: i64) -> Option<&mut u64> {
        let slice = self.span.slice(at_unix_ms).min(self.newest);
        if slice < self.oldest() {
            return None;
        }
        let place = self.place(slice);
        self.sums.get_mut(place)
    }

    fn oldest(&self) -> i64 {
        self.newest.saturating_sub(self.span.slices as i64)
    }

    fn forgotten_at(&self, slice: i64) -> i64 {
        slice.saturating_add(self.sums.len() as i64).saturating_mul(self.span.slice_ms)
    }

    fn place(&self, slice: i64) -> usize {
        slice.rem_euclid(self.sums.len() as i64) as usize
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: i64 = 1_795_000_000_123;

    proptest! {
        /// Whatever comes when: no span, however it lies, holds more than the limit; and the wait that is told is true.
        #[test]
        fn no_span_holds_more_than_the_limit(
            limit in 1u64..40,
            calls in proptest::collection::vec((0i64..9000, 1u64..12), 1..120),
        ) {
            let mut window = Window::new(Span::MINUTE);
            let (mut now, mut taken) = (START, Vec::new());
            for (pause, amount) in calls {
                now += pause;
                match window.fits_at(now, amount, limit) {
                    Some(at) if at <= now => {
                        window.add(now, amount);
                        taken.push((now, amount));
                    }
                    Some(at) => {
                        prop_assert!(at - now <= Span::MINUTE.ms() + Span::MINUTE.slice_ms);
                        prop_assert!(window.clone().fits_at(at, amount, limit) == Some(at), "the wait is long enough");
                        prop_assert!(window.clone().fits_at(at - 1, amount, limit) == Some(at), "and no longer");
                    }
                    None => prop_assert!(amount > limit),
                }
            }
            for (start, _) in &taken {
                let inside = |at: &i64| (*start..*start + Span::MINUTE.ms()).contains(at);
                let sum: u64 = taken.iter().filter(|(at, _)| inside(at)).map(|(_, amount)| amount).sum();
                prop_assert!(sum <= limit, "{sum} of {limit} in the span from {start}");
            }
        }

        /// What is taken back leaves no trace, in any order, and never more than was there.
        #[test]
        fn what_is_taken_back_was_never_there(
            calls in proptest::collection::vec((0i64..5000, 1u64..100, any::<bool>()), 1..60),
        ) {
            let (mut all, mut kept) = (Window::new(Span::MINUTE), Window::new(Span::MINUTE));
            let (mut now, mut back) = (START, Vec::new());
            for (pause, amount, stays) in calls {
                now += pause;
                all.add(now, amount);
                if stays {
                    kept.add(now, amount);
                } else {
                    back.push((now, amount));
                }
            }
            for (at, amount) in back {
                all.take_back(at, amount);
            }
            prop_assert_eq!(all.total(now), kept.total(now));
            prop_assert_eq!(all.total(now + 70_000), 0);
        }
    }

    #[test]
    fn a_clock_that_is_set_back_frees_nothing() {
        let mut window = Window::new(Span::MINUTE);
        window.add(START, 5);
        assert_eq!(window.total(START - 3_600_000), 5);
        window.add(START - 3_600_000, 1);
        assert_eq!(window.total(START), 6);
    }

    #[test]
    fn a_window_says_when_it_is_empty() {
        let mut window = Window::new(Span::MINUTE);
        assert_eq!(window.empty_at(START), START);
        window.add(START, 5);
        let at = window.empty_at(START);
        assert!((60_000..=62_000).contains(&(at - START)), "{}", at - START);
        assert_eq!((window.clone().total(at - 1), window.total(at)), (5, 0));
    }
}
