//! How many tokens a target makes of a body's bytes: learned from what it counts itself, for all that its callers send.
//!
//! For targets that no tokenizer is known of: most vendors publish none. A call's real tokens take the estimate's place when it is over.

use std::sync::atomic::{AtomicU32, Ordering};

/// English text, before anything is known: four bytes a token.
pub const USUAL_DENSITY: u32 = 256;
/// What no tokenizer goes below and above: 64 bytes a token, and half a byte.
const LEAST: u32 = 16;
const MOST: u32 = 2048;
/// Shorter bodies are mostly JSON around the text.
const LEAST_BYTES: usize = 1024;
/// How much one call moves it: an eighth of the way.
const WEIGHT: i64 = 8;

/// Tokens in 1024 bytes.
#[derive(Debug)]
pub struct Density(AtomicU32);

impl Default for Density {
    fn default() -> Self {
        Self(AtomicU32::new(USUAL_DENSITY))
    }
}

impl Density {
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// A body of text of so many bytes was counted as so many tokens.
    pub fn learn(&self, bytes: usize, tokens: u64) {
        if bytes < LEAST_BYTES || tokens == 0 {
            return;
        }
        let seen = (tokens.saturating_mul(1024) / bytes as u64).clamp(LEAST.into(), MOST.into());
        // One that is lost to another call at the same moment is one of many.
        let known = self.get();
        let step = (i64::try_from(seen).unwrap_or(0) - i64::from(known)) / WEIGHT;
        self.0.store(u32::try_from(i64::from(known) + step).unwrap_or(USUAL_DENSITY), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_to_what_is_counted_and_nothing_absurd() {
        let density = Density::default();
        assert_eq!(density.get(), 256);
        // Japanese, say: a token for two bytes.
        (0..60).for_each(|_| density.learn(10_000, 5_000));
        assert!((500..=512).contains(&density.get()), "{}", density.get());
        (0..60).for_each(|_| density.learn(2048, u64::MAX));
        assert!((2000..=2048).contains(&density.get()), "{}", density.get());
        (0..200).for_each(|_| density.learn(1 << 30, 1));
        assert!((16..=24).contains(&density.get()), "{}", density.get());
        let before = density.get();
        density.learn(100, 100);
        density.learn(4096, 0);
        assert_eq!(density.get(), before, "from short bodies and silent vendors nothing is learnt");
    }
}
