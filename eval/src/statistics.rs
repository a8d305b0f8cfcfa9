//! How sure a count of right answers makes us: the exact binomial bound that every gate is decided by, the bounds of
//! comparisons with an incumbent and of items that come in clusters, and how many items a gate needs.
//!
//! Pure numbers. A gate passes when the lower bound, not the estimate, reaches its threshold, so few items can never prove
//! much: `n` right answers out of `n` have the bound `0.05^(1/n)` (20 → 0.861, 59 → 0.950, 299 → 0.990).

mod agreement;
mod binomial;
mod clusters;
mod paired;
mod plan;
mod random;

pub use agreement::{Agreement, agreement};
pub use binomial::{interval, upper_bound};
pub use clusters::{FEWEST_CLUSTERS, FEWEST_DRAWS, cluster_lower_bound, cluster_share_lower_bound};
pub use paired::paired_lower_bound;
pub use plan::{
    MOST_ITEMS, MOST_PAIRS, PairsPlan, Plan, items_for_zero_misses, items_needed, items_power, pairs_needed,
    pairs_power,
};

/// One minus the confidence of every bound here: one-sided 95 %.
pub const ALPHA: f64 = 0.05;

/// The one-sided 95 % Clopper–Pearson lower bound of a proportion, given `k` successes in `n` trials.
///
/// It is the `p` at which `k` or more successes have probability [`ALPHA`], which is the [`ALPHA`]-quantile of
/// Beta(k, n − k + 1); 0 when `k` is 0. Source: C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits
/// illustrated in the case of the binomial", Biometrika 26 (1934), 404–413; in beta form NIST Engineering Statistics Handbook
/// §7.2.4.1.
///
/// # Panics
/// When `k > n`.
pub fn lower_bound(k: usize, n: usize) -> f64 {
    assert!(k <= n, "{k} successes in {n} trials");
    if k == 0 {
        return 0.0;
    }
    beta_quantile(ALPHA, k as f64, (n - k + 1) as f64)
}

/// The fewest right answers out of `n` whose bound reaches `threshold`; `None` when not even `n` of `n` do.
pub fn needed(n: usize, threshold: f64) -> Option<usize> {
    (0..=n).find(|&k| lower_bound(k, n) >= threshold)
}

/// The x at which I_x(a, b) is `probability`, never above it.
fn beta_quantile(probability: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    // I_x(a, b) grows with x, so halving finds its root; 60 halvings are below one f64 step at 1.
    for _ in 0..60 {
        let middle = low.midpoint(high);
        if incomplete_beta(middle, a, b) < probability { low = middle } else { high = middle }
    }
    // The lower end: rounding must never lift a bound over a threshold.
    low
}

/// The regularized incomplete beta function I_x(a, b) for `a`, `b` > 0 and 0 ≤ `x` ≤ 1.
///
/// By the continued fraction DLMF 8.17.22 (<https://dlmf.nist.gov/8.17.E22>), which converges fast for
/// x < (a + 1)/(a + b + 2), and by the symmetry I_x(a, b) = 1 − I_{1−x}(b, a) (DLMF 8.17.4) elsewhere.
pub fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    (ln_beta_front(x, a, b).exp() / (a * beta_fraction(x, a, b))).clamp(0.0, 1.0)
}

/// ln Iₓ(a, b), also where [`incomplete_beta`] is too small for a number.
pub fn ln_incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x > (a + 1.0) / (a + b + 2.0) {
        return incomplete_beta(x, a, b).ln();
    }
    (ln_beta_front(x, a, b) - a.ln() - beta_fraction(x, a, b).ln()).min(0.0)
}

/// ln of xᵃ(1 − x)ᵇ / B(a, b).
fn ln_beta_front(x: f64, a: f64, b: f64) -> f64 {
    a * x.ln() + b * (-x).ln_1p() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b)
}

/// 1 + d₁/(1 + d₂/(1 + …)) of DLMF 8.17.22, by the modified Lentz method (Thompson and Barnett, J. Comput. Phys. 64 (1986),
/// 490–509).
fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut fraction, mut c, mut d) = (1.0, 1.0, 0.0);
    for term in 1..=10_000_u32 {
        let m = f64::from(term / 2);
        let coefficient = if term % 2 == 0 {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        };
        d = 1.0 / away_from_zero(1.0 + coefficient * d);
        c = away_from_zero(1.0 + coefficient / c);
        fraction *= c * d;
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

/// ln B(a, b) for `a`, `b` > 0 (DLMF 5.12.1, <https://dlmf.nist.gov/5.12.E1>).
pub fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

/// ln Γ(x) for `x` > 0, to about 1e-15 relative.
///
/// Stirling's series (DLMF 5.11.1, <https://dlmf.nist.gov/5.11.E1>) at `x` ≥ 15, reached by Γ(x + 1) = x Γ(x).
fn ln_gamma(x: f64) -> f64 {
    let mut shifted = x;
    let mut below = 0.0;
    while shifted < 15.0 {
        below += shifted.ln();
        shifted += 1.0;
    }
    let inverse = 1.0 / shifted;
    let square = inverse * inverse;
    let series = inverse
        * (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square * (1.0 / 1680.0 - square / 1188.0))));
    (shifted - 0.5) * shifted.ln() - shifted + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - below
}

#[cfg(test)]
mod tests;
