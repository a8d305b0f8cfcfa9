//! Prices that depend on the vendor's region and on the hour.

use super::{read, told};
use crate::domain::{TargetId, TokenUsage, parse_day};

#[test]
fn a_vendor_may_be_dearer_than_its_list_and_by_the_hour() {
    let text = |factor: &str, hours: &str| {
        format!(
            "vendors: {{ eu: {{ kind: openai, price_factor: {factor} }} }}\nmodels:\n  \
             eu/own: {{ prices: [{{ input_per_mtok: 1, output_per_mtok: 2, hours: [{hours}] }}] }}\n\
             routes: {{ r: {{ targets: [eu/gpt-4o-mini, eu/own] }} }}"
        )
    };
    let good = text(
        "1.1",
        "{ from: \"22:00\", until: \"01:00\", factor: 3 }, { from: \"01:00\", until: \"02:00\", factor: 0.5 }",
    );
    let settings = read(&good).unwrap_or_else(|findings| panic!("{}", told(&findings))).settings;
    let usage = TokenUsage { input: 1_000_000, ..TokenUsage::default() };
    let cost = |target: &str, hour: i64| {
        let prices = settings.prices_of(&TargetId::parse(target).expect("a target")).expect("a price");
        let quote = prices.quote(&usage, parse_day("2026-11-01").expect("a day") + hour * 3_600_000).expect("a row");
        (quote.cost.micros, quote.row.to_string())
    };
    // A tenth more than the built-in 0.15 USD.
    assert_eq!(cost("eu/gpt-4o-mini", 0), (165_000, "shipped:openai/gpt-4o-mini@always×1.1".to_owned()));
    assert_eq!(
        [0, 1, 2, 23].map(|hour| cost("eu/own", hour).0),
        [3, 0, 1, 3].map(|usd| if usd == 0 { 500_000 } else { usd * 1_000_000 })
    );
    for (factor, hours, word) in [
        ("-1", "", "a factor is from 0 to 100"),
        ("1", "{ from: \"8:00\", until: \"09:00\", factor: 2 }", "not a time of the day"),
        ("1", "{ from: \"08:00\", until: \"08:00\", factor: 2 }", "ends when it begins"),
        (
            "1",
            "{ from: \"08:00\", until: \"10:00\", factor: 2 }, { from: \"09:00\", until: \"11:00\", factor: 2 }",
            "at the same time",
        ),
        ("1", "{ from: \"08:00\", until: \"10:00\" }", "factor"),
    ] {
        let said = told(&read(&text(factor, hours)).expect_err("is faulty"));
        assert!(said.contains(word), "{hours}: {said}");
    }
}
