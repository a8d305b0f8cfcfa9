//! Bounds for items that are not independent draws: paraphrases of one question, questions on one document, turns of one
//! conversation.
//!
//! The draw is the cluster, since that is what was sampled: a hundred paraphrases of one question are nearer to one item
//! than to a hundred. Both bounds therefore depend on the number of clusters first, and say nothing when there are too few.

use std::collections::BTreeMap;

use super::{ALPHA, beta_quantile, lower_bound, random::SplitMix64};

/// With fewer clusters than this [`cluster_lower_bound`] knows no bound: the least a resample can give is the mean of the
/// worst cluster, and of G clusters all lie above a symmetric centre with probability 2^−G, which is below [`ALPHA`] from 5
/// on.
pub const FEWEST_CLUSTERS: usize = 5;

/// Fewer resamples than this leave the wanted percentile to chance.
pub const FEWEST_DRAWS: usize = 1_000;

/// The one-sided 95 % lower bound of a mean whose values come in clusters, by the cluster bootstrap: `draws` times as many
/// clusters as there are, drawn with replacement and each taken whole, the mean over their values, and of these means the
/// low percentile. −∞ with fewer than [`FEWEST_CLUSTERS`] clusters. For paired scores that are not binary, the values are
/// the differences new − old, item by item.
///
/// The same input gives the same bound on every machine and in every version, whatever the order of the input: the
/// generator and the way it draws are fixed here. Source: C. A. Field and A. H. Welsh, "Bootstrapping clustered data", Journal
/// of the Royal Statistical Society B 69 (2007), 369–390. The percentile is not 5 % but the expanded one of T. C. Hesterberg,
/// "What teachers should know about the bootstrap", The American Statistician 69 (2015), 371–386: Φ(−√(G/(G − 1)) t), with t
/// the 0.95-quantile of Student's distribution of G − 1 degrees of freedom. The plain one is too narrow for few clusters,
/// which would let a gate pass too often (5 clusters of normal values: in 11 % instead of 5 %; with many the two agree).
///
/// No resample holds what the sample does not: equal differences have their own value as the bound. Where few clusters carry
/// the loss, this bound is too high until there are many: when one cluster in ten loses everything, it covers in 65 % (10
/// clusters), 87 % (20) or 90 % (40) instead of 95 % of the samples. Let a gate ask [`cluster_share_lower_bound`] beside it,
/// with "not worse than the incumbent by more than …" as what an item must pass: that bound is exact. On few clusters see also
/// A. C. Cameron, J. B. Gelbach and D. L. Miller, "Bootstrap-based improvements for inference with clustered errors", Review
/// of Economics and Statistics 90 (2008), 414–427.
///
/// # Panics
/// When a value is not finite, or `draws` is below [`FEWEST_DRAWS`].
pub fn cluster_lower_bound<C: Ord>(differences: &[(C, f64)], seed: u64, draws: usize) -> f64 {
    assert!(draws >= FEWEST_DRAWS, "{draws} draws: the percentile needs {FEWEST_DRAWS} or more");
    assert!(differences.iter().all(|(_, value)| value.is_finite()), "a difference is not a finite number");
    let (lowest, clusters) = totals(differences);
    if clusters.len() < FEWEST_CLUSTERS {
        return f64::NEG_INFINITY;
    }
    let mut random = SplitMix64::new(seed);
    let mut means: Vec<f64> = (0..draws).map(|_| resampled_mean(&clusters, &mut random)).collect();
    means.sort_by(f64::total_cmp);
    // The rank of A. C. Davison and D. V. Hinkley, "Bootstrap Methods and their Application" (1997), §5.2.1, rounded down.
    let rank = (percentile(clusters.len()) * (draws + 1) as f64) as usize;
    lowest + means[rank.max(1) - 1]
}

/// The one-sided 95 % lower bound of the share of clusters whose every item passes: Clopper–Pearson with the cluster as the
/// trial. 0 when there are no clusters.
///
/// A gate needs a bound that holds whatever the correlation within clusters is. Counting items assumes there is none, and
/// overstates; a design effect (J. N. K. Rao and A. J. Scott, "A simple method for the analysis of clustered binary data",
/// Biometrics 48 (1992), 577–585) estimates it, which fails where gates live, at few or no misses: without a miss the
/// estimate is 0/0. With the cluster as the unit of analysis (A. Donner and N. Klar, "Design and Analysis of Cluster
/// Randomization Trials in Health Research", 2000) the trials are independent and the bound is exact. A cluster passes only
/// as a whole because one miss in a paraphrase is a miss the user meets, as in M. Gardner et al., "Evaluating models' local
/// decision boundaries via contrast sets", Findings of EMNLP 2020, 1307–1323 ("contrast consistency"). The bound then also
/// holds for the mean share of passed items of a cluster, which is never below the share of whole ones. It says nothing
/// of one huge cluster among small ones: clusters count alike, whatever their size.
pub fn cluster_share_lower_bound<C: Ord>(items: &[(C, bool)]) -> f64 {
    let mut whole: BTreeMap<&C, bool> = BTreeMap::new();
    for (cluster, passed) in items {
        *whole.entry(cluster).or_insert(true) &= passed;
    }
    lower_bound(whole.values().filter(|&&passed| passed).count(), whole.len())
}

/// A cluster's number of values and the sum of their distances from the lowest value of all.
struct Total {
    items: f64,
    sum: f64,
}

/// The lowest value and the clusters, in an order that depends on their values only.
///
/// Sums are taken from the lowest value up, so that equal values add to exactly 0, and in the order of size, so that the
/// order of the input cannot change a last digit.
fn totals<C: Ord>(differences: &[(C, f64)]) -> (f64, Vec<Total>) {
    let lowest = differences.iter().map(|&(_, value)| value).fold(f64::INFINITY, f64::min);
    let mut clusters: BTreeMap<&C, Vec<f64>> = BTreeMap::new();
    for (cluster, value) in differences {
        clusters.entry(cluster).or_default().push(value - lowest);
    }
    let mut totals: Vec<Total> = clusters
        .into_values()
        .map(|mut values| {
            values.sort_by(f64::total_cmp);
            Total { items: values.len() as f64, sum: values.iter().sum() }
        })
        .collect();
    totals.sort_by(|a, b| a.sum.total_cmp(&b.sum).then(a.items.total_cmp(&b.items)));
    (lowest, totals)
}

fn resampled_mean(clusters: &[Total], random: &mut SplitMix64) -> f64 {
    let (mut items, mut sum) = (0.0, 0.0);
    for _ in clusters {
        let drawn = &clusters[random.below(clusters.len())];
        items += drawn.items;
        sum += drawn.sum;
    }
    sum / items
}

/// The percentile to read for `clusters` clusters: Hesterberg's expanded one.
fn percentile(clusters: usize) -> f64 {
    let freedom = (clusters - 1) as f64;
    // P(T > t) = I_x(freedom / 2, 1/2) / 2 at x = freedom / (freedom + t²) (DLMF 8.17, with the density of T).
    let x = beta_quantile(2.0 * ALPHA, freedom / 2.0, 0.5);
    let t = (freedom * (1.0 - x) / x).sqrt();
    normal_tail((clusters as f64 / freedom).sqrt() * t)
}

/// P(Z > x) of the standard normal distribution for `x` ≥ 1, by Laplace's continued fraction φ(x) / (x + 1/(x + 2/(x + …)))
/// (DLMF 7.9.1, <https://dlmf.nist.gov/7.9.E1>), cut where it no longer changes.
fn normal_tail(x: f64) -> f64 {
    let fraction = (1..=300_u32).rev().fold(x, |rest, k| x + f64::from(k) / rest);
    (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt() / fraction
}

#[cfg(test)]
mod tests;
