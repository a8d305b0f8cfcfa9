//! The plans agree with the gates they plan: what a plan says must be right is what passes, and one less does not.

use super::*;
use crate::statistics::lower_bound;

fn wish() -> Wish {
    Wish::new(0.8, Vec::new(), Vec::new()).unwrap_or_else(|bad| panic!("{bad}"))
}

#[test]
fn every_built_in_gate_can_be_planned() {
    let nowhere = std::path::Path::new("/nonexistent");
    for name in Suite::names(nowhere).unwrap_or_else(|error| panic!("{error}")) {
        let suite = Suite::find(&name, nowhere).unwrap_or_else(|error| panic!("{error}"));
        for gate in &suite.gates {
            let plan = wish().gate(&suite, gate);
            let right = plan.must_be_right.unwrap_or_else(|| panic!("{name} {} can be passed", gate.id));
            assert!(lower_bound(right, plan.draws) >= gate.threshold, "{name}: {plan:?}");
            if !gate.zero_tolerance {
                assert!(lower_bound(right - 1, plan.draws) < gate.threshold, "{name}: {plan:?}");
            }
            let rate = plan.rate_for_power.unwrap_or_else(|| panic!("{name} {}: a perfect model passes", gate.id));
            assert!(rate > gate.threshold, "{name} {}: {rate}", gate.id);
            assert!(plan.rates.windows(2).all(|two| two[0].power <= two[1].power), "{name}: {plan:?}");
            for floor in &plan.floors {
                assert!(floor.must_be_right <= floor.items && floor.items > 0, "{name}: {floor:?}");
            }
        }
    }
}

#[test]
fn the_least_rate_is_where_the_power_is_reached() {
    let nowhere = std::path::Path::new("/nonexistent");
    let suite = Suite::find("stage2-tools", nowhere).unwrap_or_else(|error| panic!("{error}"));
    for gate in &suite.gates {
        let plan = wish().gate(&suite, gate);
        let rate = plan.rate_for_power.unwrap_or_else(|| panic!("it can be passed"));
        let power = |rate: f64| {
            let wish = Wish::new(0.8, vec![rate], Vec::new()).unwrap_or_else(|bad| panic!("{bad}"));
            wish.gate(&suite, gate).rates[0].power.unwrap_or_else(|| panic!("the gate has items"))
        };
        assert!(power(rate) >= 0.8 && power(rate - 0.001) < 0.8, "{rate}: {} {}", power(rate), power(rate - 0.001));
    }
}

#[test]
fn the_rule_of_three_is_told() {
    let told = |threshold| wish().threshold(threshold).map(|plan| plan.without_a_miss);
    assert_eq!((told(0.95), told(0.99)), (Ok(59), Ok(299)));
}

#[test]
fn what_cannot_be_planned_is_refused() {
    for power in [0.0, 0.05, 1.0, f64::NAN] {
        assert!(Wish::new(power, Vec::new(), Vec::new()).is_err(), "power {power}");
    }
    for rate in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert!(Wish::new(0.8, vec![rate], Vec::new()).is_err(), "rate {rate}");
        assert!(Wish::new(0.8, Vec::new(), vec![rate]).is_err(), "discordant {rate}");
        assert!(wish().threshold(rate).is_err() && wish().margin(rate, 0.0).is_err(), "{rate}");
    }
    for difference in [-0.3, 1.1, f64::NAN, f64::INFINITY] {
        assert!(wish().margin(0.05, difference).is_err(), "difference {difference}");
    }
    for edge in [0.0, 1.0, 0.999_999_999] {
        assert!(wish().threshold(edge).is_err(), "threshold {edge}");
    }
}
