//! What is read of each vendor's headers, and what follows from it for the next call.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
/// 2026-01-02 03:04:00 UTC.
const NOW: i64 = 1_767_323_040_000;

fn said(headers: &[(&str, &str)]) -> RateHeaders {
    read(|name| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value), NOW)
}

fn call(input: u64, output: u64) -> Estimate {
    Estimate { input, output }
}

fn meter(limit: u64, remaining: u64, reset: Option<Duration>, refill: Refill) -> MeterHeaders {
    MeterHeaders { limit: Some(limit), remaining: Some(remaining), reset, refill }
}

/// Whoever looks through an answer's headers first passes over none that matter.
#[test]
fn every_header_that_is_asked_for_is_known_by_its_name() {
    let asked = std::cell::RefCell::new(Vec::new());
    let header = |name: &str| {
        asked.borrow_mut().push(name.to_owned());
        None
    };
    assert_eq!(read(header, 0), RateHeaders::default());
    let asked = asked.into_inner();
    assert!(asked.len() > 50 && asked.iter().all(|name| concerns(name)), "{asked:?}");
    assert!(!concerns("content-type") && !concerns("x-request-id"));
}

#[test]
fn openai_and_groq_tell_spans() {
    let headers = said(&[
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-limit-tokens", "150000"),
        ("x-ratelimit-remaining-requests", "59"),
        ("x-ratelimit-remaining-tokens", "149984"),
        ("x-ratelimit-reset-requests", "1s"),
        ("x-ratelimit-reset-tokens", "6m0s"),
    ]);
    assert_eq!(headers.requests, meter(60, 59, Some(SECOND), Refill::Continuous));
    assert_eq!(headers.tokens, meter(150_000, 149_984, Some(360 * SECOND), Refill::Continuous));
    assert_eq!(headers.input_tokens, MeterHeaders::default());
}

#[test]
fn anthropic_tells_times_of_day_against_its_own_clock() {
    let headers = said(&[
        ("date", "Fri, 02 Jan 2026 03:05:00 GMT"),
        ("anthropic-ratelimit-requests-limit", "50"),
        ("anthropic-ratelimit-requests-remaining", "0"),
        ("anthropic-ratelimit-requests-reset", "2026-01-02T03:05:30Z"),
        ("anthropic-ratelimit-input-tokens-limit", "30000"),
        ("anthropic-ratelimit-input-tokens-remaining", "12000"),
        ("anthropic-ratelimit-input-tokens-reset", "2026-01-02T03:05:36Z"),
        ("anthropic-ratelimit-output-tokens-remaining", "8000"),
        ("retry-after", "17"),
    ]);
    assert_eq!(headers.requests, meter(50, 0, Some(30 * SECOND), Refill::Continuous));
    assert_eq!(headers.input_tokens, meter(30_000, 12_000, Some(36 * SECOND), Refill::Continuous));
    assert_eq!(headers.output_tokens.remaining, Some(8_000));
    assert_eq!(headers.retry_after, Some(17 * SECOND));
}

#[test]
fn azure_mistral_and_others_tell_seconds_or_nothing() {
    let azure = said(&[
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "8"),
        ("x-ratelimit-limit-tokens", "-1"),
        ("x-ratelimit-remaining-tokens", "900.0"),
    ]);
    assert_eq!((azure.requests.remaining, azure.requests.reset), (Some(0), Some(8 * SECOND)));
    assert_eq!(azure.requests.refill, Refill::AtReset);
    assert_eq!((azure.tokens.limit, azure.tokens.remaining, azure.tokens.reset), (None, Some(900), None));

    let mistral = said(&[
        ("ratelimitbysize-limit", "500000"),
        ("ratelimitbysize-remaining", "499000"),
        ("ratelimitbysize-reset", "34"),
        ("x-ratelimit-remaining-req-minute", "4"),
        ("x-ratelimit-limit-req-minute", "5"),
    ]);
    assert_eq!(mistral.tokens, meter(500_000, 499_000, Some(34 * SECOND), Refill::AtReset));
    assert_eq!(mistral.requests, meter(5, 4, None, Refill::AtReset));
}

#[test]
fn of_several_windows_the_tightest_counts() {
    let cerebras = said(&[
        ("x-ratelimit-limit-requests-day", "14400"),
        ("x-ratelimit-remaining-requests-day", "2"),
        ("x-ratelimit-reset-requests-day", "33011.38"),
        ("x-ratelimit-limit-requests-minute", "30"),
        ("x-ratelimit-remaining-requests-minute", "20"),
    ]);
    assert_eq!(cerebras.requests.remaining, Some(2));
}

#[test]
fn both_forms_of_the_internet_draft_are_read() {
    for text in ["limit=100, remaining=3, reset=9", r#""burst";r=50;t=60, "a,r=0;day";r=3;t=9"#] {
        let headers = said(&[("ratelimit", text)]);
        assert_eq!((headers.requests.remaining, headers.requests.reset), (Some(3), Some(9 * SECOND)), "{text}");
    }
    let headers = said(&[("ratelimit-limit", "100, 100;w=60"), ("ratelimit-remaining", "3"), ("ratelimit-reset", "9")]);
    assert_eq!(headers.requests, meter(100, 3, Some(9 * SECOND), Refill::AtReset));
}

#[test]
fn a_limit_is_seen_coming() {
    let now = Instant::now();
    let mut quota = Quota::new();
    quota.observe(now, &said(&[("x-ratelimit-remaining-requests", "2"), ("x-ratelimit-reset-requests", "30")]));
    for _ in 0..2 {
        assert_eq!(quota.objection(now, call(10, 10)), None);
        quota.spend(now, call(10, 10));
    }
    let wait = quota.objection(now + SECOND, call(10, 10)).expect("none are left");
    assert_eq!(wait.for_, 29 * SECOND);
    assert!(wait.why.starts_with("no requests"));
    assert_eq!(quota.objection(now + 30 * SECOND, call(10, 10)), None, "known until its reset");
}

#[test]
fn a_bucket_is_waited_for_only_as_long_as_the_call_needs() {
    let now = Instant::now();
    let mut quota = Quota::new();
    let tokens = meter(60_000, 0, Some(60 * SECOND), Refill::Continuous);
    quota.observe(now, &RateHeaders { tokens, ..RateHeaders::default() });
    let wait = quota.objection(now, call(2_000, 1_000)).expect("none are left").for_;
    assert!(wait >= 3 * SECOND && wait < 4 * SECOND, "1,000 a second come back: {wait:?}");
    quota.spend(now + 5 * SECOND, call(4_000, 0));
    assert_eq!(quota.objection(now + 5 * SECOND, call(1_000, 0)), None);
    assert!(quota.objection(now + 5 * SECOND, call(1_100, 0)).is_some());
    let whole = quota.objection(now + 5 * SECOND, call(1_000_000, 0)).expect("more than there is").for_;
    assert_eq!(whole, 59 * SECOND, "a call larger than the limit waits for a full bucket, not for ever");
}

#[test]
fn a_word_is_believed_for_an_hour_however_much_is_spent() {
    let now = Instant::now();
    let mut quota = Quota::new();
    let requests = meter(100, 1, Some(31 * 86_400 * SECOND), Refill::Continuous);
    quota.observe(now, &RateHeaders { requests, ..RateHeaders::default() });
    for minute in 0..60 {
        quota.spend(now + minute * 60 * SECOND, call(1, 1));
    }
    assert!(quota.objection(now + LONGEST - SECOND, call(1, 1)).is_some());
    assert_eq!(quota.objection(now + LONGEST, call(1, 1)), None);
}

#[test]
fn a_large_prompt_goes_elsewhere_while_small_ones_are_served() {
    let now = Instant::now();
    let mut quota = Quota::new();
    let input_tokens = meter(30_000, 5_000, Some(36 * SECOND), Refill::Continuous);
    quota.observe(now, &RateHeaders { input_tokens, ..RateHeaders::default() });
    assert_eq!(quota.objection(now, call(5_000, 64_000)), None);
    assert!(quota.objection(now, call(5_001, 0)).is_some_and(|wait| wait.why.contains("input")));
}

#[test]
fn a_limit_without_a_time_is_guessed_longer_each_time() {
    let mut now = Instant::now();
    let mut quota = Quota::new();
    let mut guesses = Vec::new();
    for _ in 0..8 {
        quota.limited(now, None);
        // Those that were out at the same time.
        quota.limited(now, None);
        let wait = quota.objection(now, call(1, 1)).expect("limited").for_;
        guesses.push(wait.as_secs());
        now += wait;
        assert_eq!(quota.objection(now, call(1, 1)), None);
    }
    assert_eq!(guesses, [1, 2, 4, 8, 16, 32, 60, 60]);
    quota.limited(now + CALM, Some(Duration::ZERO));
    assert_eq!(quota.objection(now + CALM, call(1, 1)).map(|wait| wait.for_), Some(SECOND));
}

#[test]
fn a_wait_is_never_shortened() {
    let now = Instant::now();
    let mut quota = Quota::new();
    quota.limited(now, Some(90 * SECOND));
    quota.limited(now, Some(SECOND));
    quota.limited(now, None);
    assert_eq!(quota.objection(now, call(1, 1)).map(|wait| wait.for_), Some(90 * SECOND));
    quota.limited(now, Some(Duration::MAX));
    assert_eq!(quota.objection(now, call(1, 1)).map(|wait| wait.for_), Some(LONGEST));
}

#[derive(Debug, Clone)]
enum Act {
    Observe(Box<RateHeaders>),
    Limited(Option<Duration>),
    Spend(Estimate),
    Pass(Duration),
}

fn estimate() -> impl Strategy<Value = Estimate> {
    (0_u64..3_000, prop_oneof![4 => 0_u64..3_000, 1 => any::<u64>()])
        .prop_map(|(input, output)| Estimate { input, output })
}

fn act() -> impl Strategy<Value = Act> {
    let amount = || proptest::option::of(prop_oneof![4 => 0_u64..5_000, 1 => any::<u64>()]);
    let refill = prop_oneof![Just(Refill::Continuous), Just(Refill::AtReset)];
    let wait = || proptest::option::of((0_u64..10_000_000).prop_map(Duration::from_millis));
    let meter = (amount(), amount(), wait(), refill).prop_map(|(limit, remaining, reset, refill)| MeterHeaders {
        limit,
        remaining,
        reset,
        refill,
    });
    let observed = [(); 4].map(|()| meter.clone()).prop_map(|[requests, tokens, input_tokens, output_tokens]| {
        Act::Observe(Box::new(RateHeaders { requests, tokens, input_tokens, output_tokens, retry_after: None }))
    });
    prop_oneof![
        observed,
        wait().prop_map(Act::Limited),
        estimate().prop_map(Act::Spend),
        (0_u64..100_000).prop_map(|ms| Act::Pass(Duration::from_millis(ms))),
    ]
}

proptest! {
    #[test]
    fn after_the_wait_it_told_nothing_objects(acts in proptest::collection::vec(act(), 1..60), asks in estimate()) {
        let (mut quota, mut now) = (Quota::new(), Instant::now());
        for act in acts {
            match act {
                Act::Observe(headers) => quota.observe(now, &headers),
                Act::Limited(retry_after) => quota.limited(now, retry_after),
                Act::Spend(estimate) => {
                    let before = quota.objection(now, asks).map(|wait| wait.for_);
                    quota.spend(now, estimate);
                    prop_assert!(quota.objection(now, asks).map(|wait| wait.for_) >= before, "spending frees nothing");
                }
                Act::Pass(by) => now += by,
            }
            if let Some(wait) = quota.objection(now, asks) {
                prop_assert!(wait.for_ > Duration::ZERO && wait.for_ <= LONGEST);
                prop_assert_eq!(quota.objection(now + wait.for_, asks), None);
            }
        }
        prop_assert_eq!(quota.objection(now + LONGEST, asks), None, "an hour is the longest that anything is believed");
    }

    #[test]
    fn no_header_makes_it_panic(text in r"\PC{0,40}", now: i64) {
        let headers = read(|_| Some(text.as_str()), now);
        let mut quota = Quota::new();
        let now = Instant::now();
        quota.observe(now, &headers);
        quota.limited(now, headers.retry_after);
        quota.spend(now, call(u64::MAX, u64::MAX));
        quota.objection(now, call(u64::MAX, u64::MAX));
    }
}
