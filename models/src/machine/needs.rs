//! What models need, and who of them gets how much: pure.

use super::memory::Short;

/// What one model needs, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// Weights, tables, and the rows of the largest step.
    pub running: u64,
    /// At most, before it runs.
    pub loading: u64,
    /// The smallest cache that it can work with: one sequence of its whole context.
    pub least_cache: u64,
    /// The cache that the config wants for it.
    pub wanted_cache: u64,
    /// Whether the cache is in other memory than is counted: on a GPU.
    pub cache_is_apart: bool,
}

impl Needs {
    /// With a cache of `cache` bytes.
    pub fn with_cache(&self, cache: u64) -> u64 {
        self.running.saturating_add(if self.cache_is_apart { 0 } else { cache }).max(self.loading)
    }

    /// The largest cache, up to the wanted one, with which it needs no more than `bytes`.
    ///
    /// # Errors
    /// When even the smallest is too large.
    pub fn cache_within(&self, bytes: u64) -> Option<u64> {
        if self.with_cache(self.least_cache) > bytes {
            return None;
        }
        let wanted = self.wanted_cache.max(self.least_cache);
        Some(if self.cache_is_apart { wanted } else { wanted.min(bytes - self.running) })
    }
}

/// Divides `total` among models, the first first: each gets what it needs with the smallest cache before any gets a larger
/// one. The cache of each, or what it lacks.
pub fn divide(total: u64, models: &[Needs]) -> Vec<Result<u64, Short>> {
    let mut left = total;
    let fits: Vec<Result<u64, Short>> = models
        .iter()
        .map(|needs| {
            let least = needs.with_cache(needs.least_cache);
            if least > left {
                return Err(Short { needs: least, left, total });
            }
            left -= least;
            Ok(least)
        })
        .collect();
    let enlarge = |(needs, least): (&Needs, Result<u64, Short>)| {
        let least = least?;
        let cache = needs.cache_within(least + left).unwrap_or(needs.least_cache);
        left -= needs.with_cache(cache) - least;
        Ok(cache)
    };
    models.iter().zip(fits).map(enlarge).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn needs(running: u64, loading: u64, least_cache: u64, wanted_cache: u64) -> Needs {
        Needs { running, loading, least_cache, wanted_cache, cache_is_apart: false }
    }

    #[test]
    fn caches_shrink_before_a_model_is_left_out_and_the_first_grow_first() {
        let models = [needs(100, 0, 20, 200), needs(300, 0, 20, 200)];
        assert_eq!(divide(1000, &models), [Ok(200), Ok(200)]);
        assert_eq!(divide(700, &models), [Ok(200), Ok(100)]);
        assert_eq!(divide(440, &models), [Ok(20), Ok(20)]);
        assert_eq!(divide(439, &models), [Ok(200), Err(Short { needs: 320, left: 319, total: 439 })]);
        let after = [needs(100, 0, 20, 200), needs(500, 0, 0, 0), needs(50, 0, 0, 0)];
        assert_eq!(divide(200, &after), [Ok(50), Err(Short { needs: 500, left: 80, total: 200 }), Ok(0)]);
    }

    #[test]
    fn a_cache_elsewhere_is_as_large_as_it_is_wanted() {
        let on_a_gpu = Needs { cache_is_apart: true, ..needs(100, 150, 20, 500) };
        assert_eq!(divide(270, &[on_a_gpu, needs(50, 0, 20, 90)]), [Ok(500), Ok(70)]);
        assert_eq!(divide(149, &[on_a_gpu]), [Err(Short { needs: 150, left: 149, total: 149 })]);
    }

    #[test]
    fn loading_may_need_more_than_running_does() {
        assert_eq!(divide(150, &[needs(100, 150, 10, 30)]), [Ok(30)]);
        assert_eq!(divide(149, &[needs(100, 150, 10, 30)]), [Err(Short { needs: 150, left: 149, total: 149 })]);
    }

    proptest! {
        #[test]
        fn no_more_is_given_than_there_is(total in 0u64..2000, models in proptest::collection::vec((0u64..500, 0u64..500, 0u64..100, 0u64..500), 0..6)) {
            let models: Vec<Needs> = models.into_iter().map(|(a, b, c, d)| needs(a, b, c, d)).collect();
            let shares = divide(total, &models);
            let given: u64 = models.iter().zip(&shares).filter_map(|(needs, cache)| Some(needs.with_cache(cache.ok()?))).sum();
            prop_assert!(given <= total);
            for (needs, share) in models.iter().zip(&shares) {
                match share {
                    Ok(cache) => prop_assert!(*cache >= needs.least_cache && *cache <= needs.wanted_cache.max(needs.least_cache)),
                    Err(short) => prop_assert!(short.needs > short.left),
                }
            }
        }
    }
}
