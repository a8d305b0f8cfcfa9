//! Kappa against published tables, and the cases in which it means nothing.

use super::*;

/// The pairs of a table of counts: rows are the first rater's labels, columns the second's.
fn pairs<const L: usize>(table: [[usize; L]; L]) -> Vec<(usize, usize)> {
    let cells = (0..L).flat_map(|row| (0..L).map(move |column| (row, column)));
    cells.flat_map(|(row, column)| vec![(row, column); table[row][column]]).collect()
}

/// J. L. Fleiss, B. Levin and M. C. Paik, "Statistical Methods for Rates and Proportions", 3rd ed. (2003), table 18.1
/// (100 patients, two raters, three diagnoses): p_o = 0.89, p_e = 0.66, kappa = 0.68.
#[test]
fn kappa_agrees_with_the_textbook() {
    let found = agreement(&pairs([[75, 1, 4], [5, 4, 1], [0, 0, 10]]));
    assert_eq!(found.share, 0.89);
    assert_eq!(found.lower_bound, lower_bound(89, 100));
    let kappa = found.kappa.expect("the raters use several labels");
    assert!((kappa - 0.23 / 0.34).abs() < 1e-15 && (kappa - 0.68).abs() < 0.005, "{kappa}");
}

/// The printout of SAS PROC FREQ that the tests of statsmodels' `cohens_kappa` hold: 0.4842.
#[test]
fn kappa_agrees_with_another_program() {
    let kappa = agreement(&pairs([[0, 4, 1], [0, 8, 0], [0, 1, 5]])).kappa.expect("the raters use several labels");
    assert!((kappa - 0.4842).abs() < 5e-5, "{kappa}");
}

#[test]
fn kappa_is_one_for_equal_zero_for_unrelated_and_negative_for_opposed_labels() {
    assert_eq!(agreement(&pairs([[30, 0], [0, 20]])).kappa, Some(1.0));
    assert_eq!(agreement(&pairs([[36, 24], [24, 16]])).kappa, Some(0.0));
    assert_eq!(agreement(&pairs([[0, 25], [25, 0]])).kappa, Some(-1.0));
}

#[test]
fn a_judge_that_always_passes_agrees_often_and_proves_nothing() {
    let found = agreement(&pairs([[95, 0], [5, 0]]));
    assert_eq!((found.share, found.kappa), (0.95, Some(0.0)));
}

#[test]
fn one_label_throughout_has_no_kappa_and_few_items_have_a_low_bound() {
    let found = agreement(&[("pass", "pass"); 3]);
    assert_eq!((found.share, found.kappa), (1.0, None));
    assert_eq!(found.lower_bound, lower_bound(3, 3));
    assert_eq!(agreement::<&str>(&[]), Agreement { share: 0.0, lower_bound: 0.0, kappa: None });
}
