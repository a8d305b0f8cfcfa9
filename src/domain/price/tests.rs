//! What usage costs, worked out by hand, and what holds for any of it.

use proptest::prelude::*;

use super::*;
use crate::domain::{Service, ToolUses};

fn rate(usd: f64) -> Rate {
    Rate::from_usd(usd).expect("a rate")
}

fn row(rates: &[(Meter, f64)]) -> PriceRow {
    let rates = rates.iter().fold(Rates::default(), |all, (meter, usd)| all.with(*meter, rate(*usd)));
    PriceRow::always("test", rates)
}

fn cost(row: PriceRow, usage: &TokenUsage) -> (i64, PriceState) {
    let quote = Prices::new(vec![row]).quote(usage, 0).expect("a row");
    (quote.cost.micros, quote.state)
}

#[test]
fn each_kind_of_token_has_its_rate_and_the_whole_is_rounded_once() {
    let claude = row(&[
        (Meter::Input, 3.0),
        (Meter::CachedInput, 0.3),
        (Meter::CacheWrite5m, 3.75),
        (Meter::CacheWrite1h, 6.0),
        (Meter::Output, 15.0),
    ]);
    let usage = TokenUsage {
        input: 10_000,
        cached_input: 4000,
        cache_write: 3000,
        cache_write_1h: 1000,
        output: 500,
        reasoning: 200,
        ..TokenUsage::default()
    };
    // 3000 × 3 + 4000 × 0.3 + 2000 × 3.75 + 1000 × 6 + 500 × 15
    assert_eq!(cost(claude, &usage), (9000 + 1200 + 7500 + 6000 + 7500, PriceState::Valid));
    // Three kinds at 0.4 micro-dollars: once rounded 1, each for itself 0.
    let small = row(&[(Meter::Input, 0.4), (Meter::CachedInput, 0.4), (Meter::Output, 0.4)]);
    let usage = TokenUsage { input: 2, cached_input: 1, output: 1, ..TokenUsage::default() };
    assert_eq!(cost(small, &usage).0, 1);
    let half = row(&[(Meter::Input, 0.5), (Meter::Output, 1.0)]);
    assert_eq!(cost(half.clone(), &TokenUsage { input: 1, ..TokenUsage::default() }).0, 1, "half up");
    let deepseek = row(&[(Meter::Input, 0.0028), (Meter::Output, 0.28)]);
    assert_eq!(cost(deepseek, &TokenUsage { input: 1_000_000, ..TokenUsage::default() }).0, 2800);
}

#[test]
fn each_use_of_a_vendors_tool_has_its_fee_or_is_said_to_have_none() {
    let openai =
        row(&[(Meter::Input, 1.0), (Meter::Output, 2.0), (Meter::WebSearch, 0.01), (Meter::FileSearch, 0.0025)]);
    let used = |web_searches, file_searches, code_sessions| {
        let tools = ToolUses { web_searches, file_searches, code_sessions };
        TokenUsage { input: 1000, tools, ..TokenUsage::default() }
    };
    assert_eq!(cost(openai.clone(), &used(3, 2, 0)), (1000 + 30_000 + 5000, PriceState::Valid));
    // Its fee is not known: the rest is, and the row says so.
    assert_eq!(cost(openai.clone(), &used(1, 0, 1)), (11_000, PriceState::Partial));
    // A discount on tokens is none on fees.
    let half = PriceRow { batch: Factor::from_number(0.5), ..openai.clone() };
    assert_eq!(cost(half, &TokenUsage { service: Service::Batch, ..used(1, 0, 0) }), (10_500, PriceState::Valid));
    // A tenth of a micro-dollar.
    let small = row(&[(Meter::Input, 0.0), (Meter::Output, 0.0), (Meter::WebSearch, 0.000_000_1)]);
    assert_eq!((cost(small.clone(), &used(4, 0, 0)).0, cost(small, &used(5, 0, 0)).0), (0, 1));
    let most = |tools| Most { input: 0, output: 0, machine_us: 0, tools };
    let prices = Prices::new(vec![openai]);
    assert_eq!(prices.worst(&most(used(5, 0, 0).tools), 0), Some(Money::from_micros(50_000)));
    assert_eq!(prices.worst(&most(used(0, 0, 1).tools), 0), None);
}

#[test]
fn long_prompts_cost_more_as_a_whole() {
    let mut gemini = row(&[(Meter::Input, 1.25), (Meter::CachedInput, 0.125), (Meter::Output, 10.0)]);
    let long = Rates::default().with(Meter::Input, rate(2.5)).with(Meter::Output, rate(15.0));
    gemini.tiers = vec![Tier { above: 200_000, rates: long }];
    let usage = |input| TokenUsage { input, output: 1000, ..TokenUsage::default() };
    assert_eq!(cost(gemini.clone(), &usage(200_000)).0, 250_000 + 10_000);
    assert_eq!(cost(gemini.clone(), &usage(200_001)).0, 500_003 + 15_000);
    // What the tier does not name stays as it is.
    let cached = TokenUsage { cached_input: 200_001, ..usage(200_001) };
    assert_eq!(cost(gemini, &cached).0, 25_000 + 15_000);
}

#[test]
fn audio_images_requests_batches_and_machines_are_paid_for() {
    let mut audio = row(&[
        (Meter::Input, 2.5),
        (Meter::AudioInput, 40.0),
        (Meter::Output, 10.0),
        (Meter::AudioOutput, 80.0),
        (Meter::ImageOutput, 30.0),
        (Meter::Request, 0.005),
    ]);
    audio.batch = Factor::from_number(0.5);
    let usage = TokenUsage {
        input: 1000,
        audio_input: 600,
        image_input: 100,
        output: 300,
        audio_output: 200,
        image_output: 50,
        ..TokenUsage::default()
    };
    // 400 at 2.5 (images as text), 600 at 40, 50 at 10, 200 at 80, 50 at 30, and half a cent.
    let whole = 1000 + 24_000 + 500 + 16_000 + 1500 + 5000;
    assert_eq!(cost(audio.clone(), &usage), (whole, PriceState::Valid));
    let batch = TokenUsage { service: Service::Batch, ..usage };
    assert_eq!(cost(audio.clone(), &batch), (whole / 2, PriceState::Valid));
    let priority = TokenUsage { service: Service::Priority, ..usage };
    assert_eq!(cost(audio, &priority), (whole, PriceState::Partial));
    // A quarter of an hour at 2 dollars.
    let machine = row(&[(Meter::Machine, 2.0)]);
    let usage = TokenUsage { input: 5, machine_us: 900_000_000, ..TokenUsage::default() };
    assert_eq!(cost(machine, &usage), (500_000, PriceState::Valid));
}

#[test]
fn a_kind_without_a_rate_counts_as_what_it_is_part_of_and_says_so() {
    let plain = row(&[(Meter::Input, 1.0), (Meter::Output, 2.0)]);
    let of = |usage| cost(plain.clone(), &usage);
    let base = TokenUsage { input: 1000, output: 1000, ..TokenUsage::default() };
    assert_eq!(of(TokenUsage { audio_input: 500, ..base }), (3000, PriceState::Partial));
    assert_eq!(of(TokenUsage { cache_write: 500, cache_write_1h: 500, ..base }), (3000, PriceState::Partial));
    let known = TokenUsage { cached_input: 10, cache_write: 10, reasoning: 10, image_input: 10, ..base };
    assert_eq!(of(known), (3000, PriceState::Valid));
    assert_eq!(of(TokenUsage { unbilled_input: 100, unbilled_output: 1000, ..base }), (900, PriceState::Valid));
}

#[test]
fn the_row_of_the_calls_time_counts_and_an_ended_one_is_stale() {
    let at = |from, until, usd| PriceRow { from_ms: from, until_ms: until, ..row(&[(Meter::Input, usd)]) };
    let prices =
        Prices::new(vec![at(Some(200), Some(300), 3.0), at(None, Some(100), 1.0), at(Some(100), Some(200), 2.0)]);
    let usage = TokenUsage { input: 1_000_000, ..TokenUsage::default() };
    let of = |ms| prices.quote(&usage, ms).map(|quote| (quote.cost.micros / 1_000_000, quote.state));
    assert_eq!(of(99), Some((1, PriceState::Valid)));
    assert_eq!((of(100), of(199)), (Some((2, PriceState::Valid)), Some((2, PriceState::Valid))));
    assert_eq!((of(200), of(300)), (Some((3, PriceState::Valid)), Some((3, PriceState::Stale))));
    let later = Prices::new(vec![at(Some(200), None, 3.0)]);
    assert_eq!(later.quote(&usage, 199), None, "nobody knows what it cost before");
}

#[test]
fn hours_of_the_day_multiply_all_rates_and_a_factor_makes_another_list() {
    let peak = Hours { from_min: 60, until_min: 240, factor: Factor { millionths: 2_000_000 } };
    let row = PriceRow { hours: vec![peak], ..row(&[(Meter::Input, 1.0), (Meter::Request, 0.5)]) };
    let usage = TokenUsage { input: 1_000_000, ..TokenUsage::default() };
    let prices = Prices::new(vec![row]);
    let of = |prices: &Prices, hour: i64| prices.quote(&usage, hour * 3_600_000).map(|quote| quote.cost.micros);
    assert_eq!([0, 1, 3, 4, 25].map(|hour| of(&prices, hour)), [1, 2, 2, 1, 2].map(|of| Some(of * 1_500_000)));
    let dearer = prices.times(Factor { millionths: 1_100_000 });
    assert_eq!((of(&dearer, 0), of(&dearer, 1)), (Some(1_650_000), Some(3_300_000)));
    assert!(dearer.rows()[0].name.ends_with("×1.1"), "{}", dearer.rows()[0].name);
}

#[test]
fn rates_are_shown_as_they_were_written() {
    for text in ["0.15", "3", "0.003625", "1000000000", "0.000000001"] {
        assert_eq!(rate(text.parse().expect("a number")).to_string(), text);
    }
    assert_eq!((Rate::from_usd(-1.0), Rate::from_usd(f64::NAN), Rate::from_usd(2e9)), (None, None, None));
    assert_eq!(Factor::from_number(0.5), Some(Factor { millionths: 500_000 }));
}

fn usages() -> impl Strategy<Value = TokenUsage> {
    let small = 0u64..300_000;
    let service = prop::sample::select(vec![Service::Standard, Service::Batch, Service::Priority]);
    (prop::array::uniform15(small), service, 0u64..10_000_000_000).prop_map(|(of, service, machine_us)| TokenUsage {
        input: of[0],
        output: of[1],
        cached_input: of[2],
        cache_write: of[3],
        cache_write_1h: of[4],
        reasoning: of[5],
        audio_input: of[6],
        audio_output: of[7],
        image_input: of[8],
        image_output: of[9],
        unbilled_input: of[10],
        unbilled_output: of[11],
        machine_us,
        tools: ToolUses { web_searches: of[12], file_searches: of[13], code_sessions: of[14] },
        service,
    })
}

fn rows() -> impl Strategy<Value = PriceRow> {
    let nanos = prop::option::of(0u64..50_000_000_000);
    let rates = prop::array::uniform15(nanos).prop_map(|nanos| {
        let mut rates = Rates::default();
        for (meter, nanos) in Meter::ALL.into_iter().zip(nanos) {
            rates.set(meter, nanos.map(|nanos| Rate { nanos }));
        }
        rates
    });
    let factor = prop::option::of((0u32..3_000_000).prop_map(|millionths| Factor { millionths }));
    let hours = (0u16..1440, 0u16..1440, 0u32..3_000_000).prop_map(|(from_min, until_min, millionths)| Hours {
        from_min,
        until_min,
        factor: Factor { millionths },
    });
    let hours = prop::collection::vec(hours, 0..3);
    (rates.clone(), prop::collection::vec((0u64..300_000, rates), 0..3), factor.clone(), factor, hours).prop_map(
        |(rates, mut tiers, batch, priority, hours)| {
            tiers.sort_by_key(|(above, _)| *above);
            let tiers = tiers.into_iter().map(|(above, rates)| Tier { above, rates }).collect();
            PriceRow { tiers, batch, priority, hours, ..PriceRow::always("any", rates) }
        },
    )
}

proptest! {
    /// Whatever is used within the bounds costs no more than was set aside, and no token is paid for twice.
    #[test]
    fn nothing_costs_more_than_its_worst_case(usage in usages(), row in rows(), more in 0u64..1000, at in 0i64..200_000_000) {
        let most = Most { input: usage.input + more, output: usage.output, machine_us: usage.machine_us, tools: usage.tools };
        let (lines, _) = row.lines(&usage, at);
        let sum = |kinds: fn(Meter) -> bool| lines.iter().filter(|line| kinds(line.meter)).map(|line| line.quantity).sum::<u64>();
        prop_assert!(sum(|meter| meter < Meter::Output) <= usage.input);
        prop_assert!(sum(|meter| (Meter::Output..=Meter::ImageOutput).contains(&meter)) <= usage.output);
        let prices = Prices::new(vec![row]);
        let quote = prices.quote(&usage, at).expect("a row");
        match prices.worst(&most, at) {
            Some(worst) => prop_assert!(quote.cost <= worst, "{quote:?} {worst}"),
            // A tool without a fee.
            None => prop_assert!(quote.state > PriceState::Valid && usage.tools.total() > 0),
        }
    }

    /// Absurd numbers stay numbers.
    #[test]
    fn nothing_overflows(tokens in any::<u64>(), nanos in any::<u64>()) {
        let rates = Meter::ALL.into_iter().fold(Rates::default(), |all, meter| all.with(meter, Rate { nanos }));
        let usage = TokenUsage { input: tokens, output: tokens, machine_us: tokens, ..TokenUsage::default() };
        let quote = Prices::new(vec![PriceRow::always("absurd", rates)]).quote(&usage, 0).expect("a row");
        prop_assert!(quote.cost.micros >= 0);
    }
}
