//! How much of a call's upper bound it will use: what is set aside for it before anybody knows. Pure.
//!
//! A bound (every byte a token, the longest answer) holds always and is mostly far too large: with it, a few calls under
//! way would seem to fill a share. So it is scaled by the largest part of its bound that a call of late has used; until
//! some have been seen, by what such calls usually use.

/// The largest part of late calls fades by this with each call, so that one odd call is not remembered for ever.
const FADE: f64 = 1.0 - 1.0 / 256.0;
/// How fast seen calls replace the usual guess.
const TRUST: f64 = 1.0 - 1.0 / 64.0;

/// What has been seen of one vendor's calls in one unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Guess {
    /// Part of its bound that a call has used at most, of late; above 1 where a vendor counts more than its bound.
    most: f64,
    /// What a call has used at most, of late: past its bound, no call is guessed to use more.
    largest: f64,
    /// 1: nothing was seen yet.
    doubt: f64,
}

impl Default for Guess {
    fn default() -> Self {
        Self { most: 0.0, largest: 0.0, doubt: 1.0 }
    }
}

impl Guess {
    /// What to set aside for a call that uses `bound` at most, and usually `likely`.
    pub(super) fn of(&self, bound: u64, likely: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        let scaled = (self.most * bound as f64).min(self.largest.max(bound as f64));
        let guess = scaled.max(self.doubt * likely as f64).ceil();
        // From a float that is not negative: too large becomes the largest.
        (guess as u64).max(1)
    }

    /// A call with that bound has used `used`. One that used nothing says nothing of those that do.
    pub(super) fn learn(&mut self, used: u64, bound: u64) {
        if used > 0 && bound > 0 {
            self.most = (self.most * FADE).max(used as f64 / bound as f64);
            self.largest = (self.largest * FADE).max(used as f64);
            self.doubt *= TRUST;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_guess_gives_way_to_what_is_seen() {
        let mut guess = Guess::default();
        assert_eq!(guess.of(4230, 280), 280);
        (0..400).for_each(|_| guess.learn(15, 4230));
        assert_eq!(guess.of(4230, 280), 15);
        // A vendor that counts more than the bound is believed at once.
        guess.learn(9000, 4230);
        assert_eq!(guess.of(4230, 280), 9000);
        // But not to count as much more of a call with a far larger bound.
        assert_eq!((guess.of(100, 280), guess.of(50_000, 280)), (213, 50_000));
        assert_eq!(guess.of(0, 0), 0);
    }
}
