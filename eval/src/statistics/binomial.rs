//! Upper and two-sided bounds of one proportion, for reports: what the lower bound that gates use leaves out.

use super::{ALPHA, beta_quantile, lower_bound};

/// The one-sided 95 % Clopper–Pearson upper bound of a proportion, given `k` successes in `n` trials; 1 when `k` is `n`.
///
/// The failures' lower bound seen from the other side, so it has the same source as [`lower_bound`].
///
/// # Panics
/// When `k > n`.
pub fn upper_bound(k: usize, n: usize) -> f64 {
    assert!(k <= n, "{k} successes in {n} trials");
    1.0 - lower_bound(n - k, n)
}

/// The two-sided 95 % Clopper–Pearson interval of a proportion: lower and upper limit, each exceeded with probability
/// [`ALPHA`] / 2. No gate is decided by it, since a gate asks about one side only.
///
/// # Panics
/// When `k > n`.
pub fn interval(k: usize, n: usize) -> (f64, f64) {
    assert!(k <= n, "{k} successes in {n} trials");
    let lower = |k: usize| if k == 0 { 0.0 } else { beta_quantile(ALPHA / 2.0, k as f64, (n - k + 1) as f64) };
    (lower(k), 1.0 - lower(n - k))
}

#[cfg(test)]
mod tests;
