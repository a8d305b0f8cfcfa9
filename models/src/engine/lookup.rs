//! Guesses the next tokens by looking up where the text said the like before: prompt-lookup speculation (Saxena, 2023).
//!
//! A guess costs rows in a step and never changes an answer: each guessed token is drawn as it would be without, from the same
//! logits with the same random number, and what follows the first wrong guess is thrown away. Pure. Guesses grow as they come
//! true, and rest as they do not, longer and longer.

/// Tokens that must agree: a long stretch is looked for first.
const AGREE: [usize; 2] = [8, 3];
/// How far back it looks.
const BACK: usize = 1 << 14;
/// The first guess: with the token before it, as many rows as read the weights at the price of about one.
const FIRST: usize = 3;
/// The longest rest, in tokens.
const LONGEST_REST: u32 = 64;

/// One answer's guesses.
#[derive(Debug)]
pub(super) struct Lookup {
    /// The next guess has so many tokens.
    size: usize,
    /// Guesses in a row of which nothing came true.
    misses: u32,
    /// Tokens to be drawn before the next guess.
    rest: u32,
    pub so_far: Guesses,
}

/// Tokens that were guessed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Guesses {
    pub made: u64,
    pub right: u64,
}

impl Default for Lookup {
    fn default() -> Self {
        Self { size: FIRST, misses: 0, rest: 0, so_far: Guesses::default() }
    }
}

impl Lookup {
    /// The tokens that may follow `tokens`, `most` at most.
    pub(super) fn guess<'a>(&mut self, tokens: &'a [u32], most: usize) -> &'a [u32] {
        if self.rest > 0 {
            self.rest -= 1;
            return &[];
        }
        let tokens = &tokens[tokens.len().saturating_sub(BACK)..];
        let found = AGREE.iter().find_map(|agree| {
            let (before, end) = tokens.split_at_checked(tokens.len().checked_sub(*agree)?)?;
            // The latest place, which is not the end itself.
            let at = tokens[..tokens.len() - 1].windows(*agree).rposition(|window| window == end)?;
            (!before.is_empty()).then_some(at + agree)
        });
        let Some(start) = found else { return &[] };
        &tokens[start..tokens.len().min(start + self.size.min(most))]
    }

    /// Of a guess of `guessed` tokens, the first `right` came true.
    pub(super) fn learn(&mut self, guessed: usize, right: usize) {
        self.so_far.add(Guesses { made: guessed as u64, right: right as u64 });
        if right == 0 {
            self.misses += 1;
            self.rest = 1u32.checked_shl(self.misses).unwrap_or(LONGEST_REST).min(LONGEST_REST);
            self.size = FIRST;
            return;
        }
        self.misses = 0;
        self.size = if right == guessed { 2 * self.size.max(guessed) + 1 } else { right.max(FIRST) };
    }
}

impl Guesses {
    pub(super) fn add(&mut self, more: Self) {
        self.made += more.made;
        self.right += more.right;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_before_is_guessed_again() {
        let mut lookup = Lookup::default();
        assert_eq!(lookup.guess(&[1, 2, 3, 4, 5, 6, 1, 2, 3], 8), [4, 5, 6]);
        assert_eq!(lookup.guess(&[1, 2, 3, 4, 5, 6, 1, 2, 3], 2), [4, 5]);
        assert_eq!(lookup.guess(&[1, 2, 3, 4, 9, 2, 3, 7, 1, 2, 3], 1), [4], "three must agree");
        assert_eq!(lookup.guess(&[1, 2, 3, 8, 1, 2, 3, 9, 1, 2, 3], 1), [9], "the latest");
        assert_eq!(lookup.guess(&[7, 7, 7, 7], 3), [7], "no further than the text goes");
        for tokens in [&[][..], &[1], &[1, 2, 3], &[3, 2, 1, 1, 2, 3]] {
            assert!(lookup.guess(tokens, 8).is_empty(), "{tokens:?}");
        }
    }

    #[test]
    fn guesses_grow_as_they_come_true_and_rest_as_they_do_not() {
        let text: Vec<u32> = (0..40).chain(0..8).collect();
        let mut lookup = Lookup::default();
        let mut sizes = Vec::new();
        for _ in 0..3 {
            let guess = lookup.guess(&text, 15).len();
            sizes.push(guess);
            lookup.learn(guess, guess);
        }
        assert_eq!(sizes, [3, 7, 15]);
        lookup.learn(15, 4);
        assert_eq!(lookup.guess(&text, 15).len(), 4);
        let mut rests = Vec::new();
        for _ in 0..8 {
            lookup.learn(3, 0);
            rests.push((0..).take_while(|_| lookup.guess(&text, 15).is_empty()).count());
        }
        assert_eq!(rests, [2, 4, 8, 16, 32, 64, 64, 64]);
    }
}
