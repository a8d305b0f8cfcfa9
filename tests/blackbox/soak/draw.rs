//! What a soak draws: each call's route, dialect and patience, and each reply's length, pauses and fault.
//!
//! All of it follows from the seed and the call's number alone, whatever order the machine does things in.

use std::time::Duration;

/// Who answers, by the `model` that is asked for. The first of a route is flaky, the other one mostly steady.
pub(super) const FLAKY: &str = "flaky";
pub(super) const STEADY: &str = "steady";

/// Every route: its name, its ladder, what it does beside the deadlines.
pub(super) const ROUTES: [(&str, [&str; 2], &str); 8] = [
    ("error-near", ["near/flaky", "far/steady"], "mid_stream: error"),
    ("error-far", ["far/flaky", "near/steady"], "mid_stream: error"),
    ("buffer-near", ["near/flaky", "far/steady"], "mid_stream: buffer"),
    ("buffer-far", ["far/flaky", "near/steady"], "mid_stream: buffer"),
    ("restart-near", ["near/flaky", "far/steady"], "mid_stream: restart"),
    ("restart-far", ["far/flaky", "near/steady"], "mid_stream: restart"),
    ("hedge-near", ["near/flaky", "far/steady"], "hedge: { after: 50ms }"),
    ("hedge-far", ["far/flaky", "near/steady"], "hedge: { after: 50ms }"),
];

/// The ways in which a reply is bad.
const FAULTS: [Fault; 7] =
    [Fault::ServerError, Fault::RateLimited, Fault::Reset, Fault::Silence, Fault::Cut, Fault::Stall, Fault::ErrorEvent];

/// A share of all, in percent.
const FLAKY_FAULTS: u64 = 25;
const STEADY_FAULTS: u64 = 3;
const LEAVERS: u64 = 20;

/// The seed of a soak.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seed(pub(super) u64);

/// One call, as its caller makes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Goes through the question, the answer and the ledger.
    pub(super) number: u64,
    pub(super) route: &'static str,
    pub(super) dialect: Dialect,
    /// After how long the caller hangs up, wherever the answer is then.
    pub(super) leaves: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Openai,
    Anthropic,
}

/// One reply of a vendor.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) fault: Option<Fault>,
    /// Between two letters.
    pub(super) pause: Duration,
    /// After how many letters a fault in the middle comes; at least one.
    pub(super) breaks_after: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    ServerError,
    RateLimited,
    Reset,
    /// Not a byte.
    Silence,
    /// After content, the connection closes.
    Cut,
    /// After content, nothing more.
    Stall,
    /// After content, an error as the vendor's dialect has it.
    ErrorEvent,
}

/// SplitMix64 (Steele, Lea and Flood, 2014): a dozen good numbers from any seed.
struct Dice(u64);

impl Plan {
    pub(super) fn of(seed: Seed, number: u64) -> Self {
        let mut dice = Dice::new(seed, number, 0);
        let route = ROUTES[dice.below(ROUTES.len() as u64) as usize].0;
        let dialect = if dice.percent(50) { Dialect::Openai } else { Dialect::Anthropic };
        let leaves = dice.percent(LEAVERS).then(|| Duration::from_millis(dice.below(2500)));
        Self { number, route, dialect, leaves }
    }
}

impl Script {
    /// What the vendor `who` does with call `number` when asked for `model`.
    pub(super) fn of(seed: Seed, number: u64, (who, model): (&str, &str)) -> Self {
        let mut dice = Dice::new(seed, number, salt(who, model));
        let share = if model == FLAKY { FLAKY_FAULTS } else { STEADY_FAULTS };
        let fault = dice.percent(share).then(|| FAULTS[dice.below(FAULTS.len() as u64) as usize]);
        let pause = Duration::from_millis(20 + dice.below(80));
        let breaks_after = 1 + dice.below(letters(seed, number, (who, model)) / 2) as usize;
        Self { fault, pause, breaks_after }
    }
}

/// The whole answer of `who` as `model` to call `number`: nobody else gives it, and no call gets it twice.
pub(super) fn answer(seed: Seed, number: u64, who: (&str, &str)) -> String {
    let letters = (0..letters(seed, number, who)).map(|place| char::from(b'a' + (place % 26) as u8));
    format!("{number} {} {}: {}.", who.0, who.1, letters.collect::<String>())
}

fn letters(seed: Seed, number: u64, (who, model): (&str, &str)) -> u64 {
    4 + Dice::new(seed, number, salt(who, model) ^ 0xff).below(40)
}

fn salt(who: &str, model: &str) -> u64 {
    let bytes = who.bytes().chain(model.bytes());
    bytes.fold(1, |salt, byte| salt * 31 % 1_000_003 + u64::from(byte)) << 8
}

impl Dice {
    fn new(seed: Seed, number: u64, salt: u64) -> Self {
        let mut dice = Self(seed.0);
        let mixed = dice.roll() ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt.wrapping_mul(0xd6e8_feb8_6659_fd93);
        Self(mixed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }
}
