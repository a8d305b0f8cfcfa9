//! What a user would notice of the cluster bounds: who counts, what a few clusters can show, and how often they are wrong.

use proptest::prelude::*;

use super::*;
use crate::statistics::paired::NORMAL_95;

const DRAWS: usize = 1_000;

fn close(found: f64, published: f64, tolerance: f64) -> bool {
    (found - published).abs() <= tolerance
}

/// Values of the standard normal distribution (G. E. P. Box and M. E. Muller, Annals of Mathematical Statistics 29 (1958)).
fn normal(random: &mut SplitMix64) -> f64 {
    let uniform = |random: &mut SplitMix64| ((random.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    (-2.0 * uniform(random).ln()).sqrt() * (2.0 * std::f64::consts::PI * uniform(random)).cos()
}

/// Quantiles of every table: P(Z > 1.644854) = 0.05, P(Z > 1.959964) = 0.025, P(Z > 3.090232) = 0.001; Student's 0.95-quantile
/// is 2.131847 at 4 and 1.833113 at 9 degrees of freedom.
#[test]
fn the_percentile_agrees_with_tables() {
    assert!(close(normal_tail(NORMAL_95), 0.05, 1e-15) && close(normal_tail(1.959_964), 0.025, 1e-8));
    assert!(close(normal_tail(3.090_232), 0.001, 1e-8));
    assert!(close(percentile(5), normal_tail(1.25_f64.sqrt() * 2.131_847), 1e-7));
    assert!(close(percentile(10), normal_tail((10.0_f64 / 9.0).sqrt() * 1.833_113), 1e-7));
    assert!(close(percentile(1_000_000), ALPHA, 1e-6));
}

/// Samples of ten clusters from a normal distribution of mean 0: the bound exceeds the mean in about 5 % of them. The count of
/// 3,000 samples has a standard deviation of 0.4 %.
#[test]
fn the_bound_covers_the_mean_in_95_percent_of_the_samples() {
    let mut random = SplitMix64::new(11);
    let above = (0..3_000)
        .filter(|&sample| {
            let values: Vec<(usize, f64)> = (0..10).map(|cluster| (cluster, normal(&mut random))).collect();
            cluster_lower_bound(&values, sample, DRAWS) > 0.0
        })
        .count();
    assert!((0.038..=0.062).contains(&(above as f64 / 3_000.0)), "{above} of 3,000");
}

/// The docs' warning: one cluster in ten loses everything, and samples that happen to hold no such cluster, or too few, bound
/// the mean loss of 0.1 too well.
#[test]
fn a_loss_that_few_clusters_carry_is_bounded_too_well() {
    let mut random = SplitMix64::new(13);
    for (clusters, covered) in [(10_usize, 0.65), (20, 0.87), (40, 0.90)] {
        let above = (0..1_500)
            .filter(|&sample| {
                let loss = |random: &mut SplitMix64| if random.below(10) == 0 { -1.0 } else { 0.0 };
                let values: Vec<(usize, f64)> = (0..clusters).map(|cluster| (cluster, loss(&mut random))).collect();
                cluster_lower_bound(&values, sample, DRAWS) > -0.1
            })
            .count();
        assert!(close(1.0 - above as f64 / 1_500.0, covered, 0.04), "{clusters} clusters: {above} of 1,500");
    }
}

/// With many clusters the bound is the one of the normal distribution: mean − 1.645 standard errors.
#[test]
fn many_clusters_have_the_textbook_bound() {
    let mut random = SplitMix64::new(5);
    let values: Vec<(usize, f64)> = (0..2_000).map(|cluster| (cluster, normal(&mut random))).collect();
    let mean = values.iter().map(|&(_, value)| value).sum::<f64>() / 2_000.0;
    let variance = values.iter().map(|&(_, value)| (value - mean).powi(2)).sum::<f64>() / 1_999.0;
    let textbook = mean - NORMAL_95 * (variance / 2_000.0).sqrt();
    let found = cluster_lower_bound(&values, 1, 20_000);
    assert!(close(found, textbook, 0.001), "{found}, textbook {textbook}");
}

/// Twenty questions in ten paraphrases, all paraphrases of one question scored alike: 200 items, but no more than 20 draws.
#[test]
fn paraphrases_add_nothing_to_their_question() {
    let questions: Vec<(usize, f64)> =
        (0..20).map(|question| (question, f64::from(question as u32 % 4) - 1.0)).collect();
    let paraphrased: Vec<(usize, f64)> = questions.iter().flat_map(|&question| [question; 10]).collect();
    let independent: Vec<(usize, f64)> =
        paraphrased.iter().enumerate().map(|(item, &(_, value))| (item, value)).collect();
    let bound = cluster_lower_bound(&paraphrased, 3, DRAWS);
    assert!(close(bound, cluster_lower_bound(&questions, 3, DRAWS), 1e-12));
    assert!(bound < cluster_lower_bound(&independent, 3, DRAWS) - 0.2);
}

#[test]
fn fewer_than_five_clusters_show_nothing() {
    let differences: Vec<(usize, f64)> = (0..400).map(|item| (item % 4, 1.0)).collect();
    assert_eq!(cluster_lower_bound(&differences, 1, DRAWS), f64::NEG_INFINITY);
    assert_eq!(cluster_lower_bound::<u8>(&[], 1, DRAWS), f64::NEG_INFINITY);
}

/// A change here means that reports of the past can no longer be recomputed.
#[test]
fn a_seed_gives_the_same_bound_for_good() {
    let differences: Vec<(usize, f64)> =
        (0..60).map(|item| (item / 3, (item * item * 7 % 101) as f64 / 101.0 - 0.5)).collect();
    assert_eq!(cluster_lower_bound(&differences, 42, 2_000), SEED_42);
    assert_ne!(cluster_lower_bound(&differences, 43, 2_000), SEED_42);
}
const SEED_42: f64 = -0.097_854_785_478_547_81;

#[test]
#[should_panic(expected = "not a finite number")]
fn a_score_that_is_no_number_is_refused() {
    cluster_lower_bound(&[("a", 0.5), ("b", f64::NAN)], 1, DRAWS);
}

#[test]
#[should_panic(expected = "999 draws")]
fn too_few_draws_are_refused() {
    cluster_lower_bound(&[("a", 0.5)], 1, 999);
}

/// 59 whole clusters show 95 %, as 59 items would, however many items they hold; one item missed breaks its cluster only.
#[test]
fn a_cluster_passes_only_whole() {
    let mut items: Vec<(usize, bool)> = (0..590).map(|item| (item % 59, true)).collect();
    assert_eq!(cluster_share_lower_bound(&items), lower_bound(59, 59));
    items[3].1 = false;
    assert_eq!(cluster_share_lower_bound(&items), lower_bound(58, 59));
    items[3 + 59].1 = false;
    assert_eq!(cluster_share_lower_bound(&items), lower_bound(58, 59));
    assert_eq!(cluster_share_lower_bound::<u8>(&[]), 0.0);
}

fn items() -> impl Strategy<Value = Vec<(u8, f64)>> {
    prop::collection::vec((0_u8..12, -1.0_f64..1.0), 20..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn neither_order_nor_names_of_the_input_matter(
        (items, shuffled) in items().prop_flat_map(|items| (Just(items.clone()), Just(items).prop_shuffle())),
        seed: u64,
    ) {
        let bound = cluster_lower_bound(&items, seed, DRAWS);
        prop_assert_eq!(bound, cluster_lower_bound(&shuffled, seed, DRAWS));
        let renamed: Vec<(String, f64)> = items.iter().map(|&(cluster, value)| (format!("{:03}", 255 - cluster), value)).collect();
        prop_assert_eq!(bound, cluster_lower_bound(&renamed, seed, DRAWS));
    }

    #[test]
    fn equal_differences_have_exactly_their_value(value in -1.0_f64..1.0, items in 5_usize..60, seed: u64) {
        let differences: Vec<(usize, f64)> = (0..items).map(|item| (item % 5, value)).collect();
        prop_assert_eq!(cluster_lower_bound(&differences, seed, DRAWS), value);
    }

    #[test]
    fn the_bound_lies_between_the_worst_cluster_and_the_mean(items in items(), seed: u64) {
        let (_, clusters) = totals(&items);
        prop_assume!(clusters.len() >= FEWEST_CLUSTERS);
        let lowest = items.iter().map(|&(_, value)| value).fold(f64::INFINITY, f64::min);
        let worst = clusters.iter().map(|total| total.sum / total.items).fold(f64::INFINITY, f64::min);
        let mean = items.iter().map(|&(_, value)| value).sum::<f64>() / items.len() as f64;
        let bound = cluster_lower_bound(&items, seed, DRAWS);
        prop_assert!(lowest + worst <= bound + 1e-12 && bound <= mean + 1e-12, "{} {} {}", lowest + worst, bound, mean);
    }

    /// The same items four times, as clusters of their own: the mean stays, and more clusters show it better.
    #[test]
    fn fewer_clusters_have_a_lower_bound(items in items(), seed: u64) {
        let (_, clusters) = totals(&items);
        prop_assume!(clusters.len() >= FEWEST_CLUSTERS);
        let more: Vec<((u8, u8), f64)> =
            (0..4).flat_map(|copy| items.iter().map(move |&(cluster, value)| ((copy, cluster), value))).collect();
        prop_assert!(cluster_lower_bound(&items, seed, DRAWS) < cluster_lower_bound(&more, seed, DRAWS));
    }

    #[test]
    fn the_share_of_whole_clusters_is_bounded_below_the_share_of_items(
        items in prop::collection::vec((0_u8..30, prop::bool::weighted(0.9)), 1..120),
    ) {
        let clusters: std::collections::BTreeSet<u8> = items.iter().map(|&(cluster, _)| cluster).collect();
        // The mean share of passed items of a cluster.
        let mean = clusters.iter().map(|&cluster| {
            let own: Vec<bool> = items.iter().filter(|&&(of, _)| of == cluster).map(|&(_, passed)| passed).collect();
            own.iter().filter(|&&passed| passed).count() as f64 / own.len() as f64
        }).sum::<f64>() / clusters.len() as f64;
        let bound = cluster_share_lower_bound(&items);
        prop_assert!(bound <= mean, "bound {} mean {}", bound, mean);
    }
}
