//! One row of prices: rates by kind of token, tiers by the length of the prompt, factors by the vendor's class of service.

use std::{fmt, sync::Arc};

use super::{Factor, Hours, PER_MICRO, PriceState, Rate};
use crate::domain::{Service, TokenUsage, ToolUses};

/// What is counted and paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Meter {
    Input,
    CachedInput,
    /// Into a cache that keeps it for five minutes, or for as long as the vendor usually does.
    CacheWrite5m,
    CacheWrite1h,
    AudioInput,
    ImageInput,
    Output,
    Reasoning,
    AudioOutput,
    ImageOutput,
    Request,
    /// Each use of a tool that the vendor runs.
    WebSearch,
    FileSearch,
    CodeSession,
    /// Time of our own machine, in microseconds.
    Machine,
}

impl Meter {
    pub const ALL: [Self; 15] = [
        Self::Input,
        Self::CachedInput,
        Self::CacheWrite5m,
        Self::CacheWrite1h,
        Self::AudioInput,
        Self::ImageInput,
        Self::Output,
        Self::Reasoning,
        Self::AudioOutput,
        Self::ImageOutput,
        Self::Request,
        Self::WebSearch,
        Self::FileSearch,
        Self::CodeSession,
        Self::Machine,
    ];

    /// The tools of vendors.
    pub const TOOLS: [Self; 3] = [Self::WebSearch, Self::FileSearch, Self::CodeSession];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::CachedInput => "cached_input",
            Self::CacheWrite5m => "cache_write",
            Self::CacheWrite1h => "cache_write_1h",
            Self::AudioInput => "audio_input",
            Self::ImageInput => "image_input",
            Self::Output => "output",
            Self::Reasoning => "reasoning",
            Self::AudioOutput => "audio_output",
            Self::ImageOutput => "image_output",
            Self::Request => "request",
            Self::WebSearch => "web_search",
            Self::FileSearch => "file_search",
            Self::CodeSession => "code_session",
            Self::Machine => "machine",
        }
    }

    /// The kind that this is a part of: its rate counts where this one has none.
    fn whole(self) -> Option<Self> {
        match self {
            Self::CacheWrite1h => Some(Self::CacheWrite5m),
            Self::CachedInput | Self::CacheWrite5m | Self::AudioInput | Self::ImageInput => Some(Self::Input),
            Self::Reasoning | Self::AudioOutput | Self::ImageOutput => Some(Self::Output),
            Self::Input | Self::Output | Self::Request | Self::Machine => None,
            Self::WebSearch | Self::FileSearch | Self::CodeSession => None,
        }
    }

    /// A fee for each use, whatever the class of service and the hour.
    pub fn is_of_a_tool(self) -> bool {
        Self::TOOLS.contains(&self)
    }

    /// Vendors ask more for it than for the whole, so that a row without a rate for it tells too little.
    fn is_dearer(self) -> bool {
        matches!(self, Self::CacheWrite1h | Self::AudioInput | Self::AudioOutput | Self::ImageOutput)
    }
}

/// A rate by meter, where there is one.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates([Option<Rate>; Meter::ALL.len()]);

impl Rates {
    pub fn get(&self, meter: Meter) -> Option<Rate> {
        self.0[meter as usize]
    }

    pub fn set(&mut self, meter: Meter, rate: Option<Rate>) {
        self.0[meter as usize] = rate;
    }

    pub fn with(mut self, meter: Meter, rate: Rate) -> Self {
        self.set(meter, Some(rate));
        self
    }

    /// Those that there are.
    pub fn iter(&self) -> impl Iterator<Item = (Meter, Rate)> + '_ {
        Meter::ALL.into_iter().filter_map(|meter| Some((meter, self.get(meter)?)))
    }
}

impl fmt::Debug for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(meter, rate)| (meter.as_str(), rate))).finish()
    }
}

/// Other rates for the whole call when its prompt has more tokens than `above`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    pub above: u64,
    pub rates: Rates,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceRow {
    /// What the ledger calls it.
    pub name: Arc<str>,
    /// From this moment; `None`: always was.
    pub from_ms: Option<i64>,
    /// Before this moment; `None`: until further notice.
    pub until_ms: Option<i64>,
    pub rates: Rates,
    /// By their lengths.
    pub tiers: Vec<Tier>,
    /// What a batch, or flexible processing, costs of that.
    pub batch: Option<Factor>,
    /// What the vendor's faster class of service costs of that.
    pub priority: Option<Factor>,
    /// When all of that is multiplied; no two hold at once.
    pub hours: Vec<Hours>,
    /// Where it was read; empty where that is for the reader to know.
    pub source: Arc<str>,
    /// When somebody last looked whether it is still so.
    pub checked_ms: Option<i64>,
}

/// A part of an attempt's cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    pub meter: Meter,
    /// Tokens, requests, uses or microseconds.
    pub quantity: u64,
    pub rate: Rate,
}

impl Line {
    /// In units of which [`PER_MICRO`] make a micro-dollar.
    pub fn amount(&self) -> u128 {
        let units = match self.meter {
            // A request at one nano-dollar is a thousandth of a micro-dollar.
            Meter::Request | Meter::WebSearch | Meter::FileSearch | Meter::CodeSession => PER_MICRO / 1000,
            // An hour has 3.6 billion microseconds.
            Meter::Machine => PER_MICRO / 1000 / 3_600_000_000,
            // A million tokens.
            _ => PER_MICRO / 1000 / 1_000_000,
        };
        u128::from(self.rate.nanos).saturating_mul(u128::from(self.quantity)).saturating_mul(units)
    }
}

/// The most that an attempt may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most {
    pub input: u64,
    pub output: u64,
    pub machine_us: u64,
    pub tools: ToolUses,
}

impl PriceRow {
    /// A row that is always valid.
    pub fn always(name: &str, rates: Rates) -> Self {
        Self {
            name: name.into(),
            from_ms: None,
            until_ms: None,
            rates,
            tiers: Vec::new(),
            batch: None,
            priority: None,
            hours: Vec::new(),
            source: "".into(),
            checked_ms: None,
        }
    }

    /// The same at `factor` of every rate; its name says so.
    pub(super) fn times(&self, factor: Factor) -> Self {
        let rates = |rates: &Rates| {
            rates.iter().fold(Rates::default(), |all, (meter, rate)| all.with(meter, rate.times(factor)))
        };
        let tiers = self.tiers.iter().map(|tier| Tier { above: tier.above, rates: rates(&tier.rates) }).collect();
        Self { name: format!("{}×{factor}", self.name).into(), rates: rates(&self.rates), tiers, ..self.clone() }
    }

    /// What all rates are multiplied with in a call that began at `unix_ms`.
    fn at_that_hour(&self, unix_ms: i64) -> Factor {
        self.hours.iter().find(|hours| hours.holds(unix_ms)).map_or(Factor::ONE, |hours| hours.factor)
    }

    /// What `usage` is made of in a call that began at `unix_ms`, and whether the row has a rate for each of it. No token is in
    /// two lines.
    pub fn lines(&self, usage: &TokenUsage, unix_ms: i64) -> (Vec<Line>, PriceState) {
        let hour = self.at_that_hour(unix_ms);
        let tier = self.tiers.iter().rfind(|tier| usage.input > tier.above);
        let (factor, mut state) = match usage.service {
            Service::Standard => (Factor::ONE, PriceState::Valid),
            Service::Batch => known(self.batch),
            Service::Priority => known(self.priority),
        };
        let lines =
            quantities(usage).into_iter().filter(|(_, quantity)| *quantity > 0).filter_map(|(meter, quantity)| {
                let (own, rate) = self.rate(meter, tier);
                if meter.is_dearer() && own != meter || meter.is_of_a_tool() && rate.is_none() {
                    state = PriceState::Partial;
                }
                let as_it_stands = meter == Meter::Machine || meter.is_of_a_tool();
                let rate = if as_it_stands { rate? } else { rate?.times(factor).times(hour) };
                Some(Line { meter, quantity, rate })
            });
        (lines.collect(), state)
    }

    /// What an attempt that uses no more than `most` costs at worst, whichever kinds its tokens are of, in a call that began at
    /// `unix_ms`; `None`: it may use a tool whose fee is not known.
    pub(super) fn worst(&self, most: &Most, unix_ms: i64) -> Option<u128> {
        let hour = self.at_that_hour(unix_ms);
        let factor = [self.batch, self.priority].into_iter().flatten().fold(Factor::ONE, Factor::max);
        let tiers = || self.tiers.iter().filter(|tier| most.input > tier.above).map(Some).chain([None]);
        let dearest = |kinds: &dyn Fn(Meter) -> bool| {
            let rates = |tier| {
                Meter::ALL.into_iter().filter(|meter| kinds(*meter)).filter_map(move |meter| self.rate(meter, tier).1)
            };
            tiers().flat_map(rates).max().unwrap_or_default()
        };
        let tokens = |meter: Meter| meter < Meter::Request;
        let line = |meter, quantity, rate| Line { meter, quantity, rate }.amount();
        let mut fees = 0_u128;
        for (meter, uses) in uses(&most.tools).into_iter().filter(|(_, uses)| *uses > 0) {
            fees = fees.saturating_add(line(meter, uses, self.rates.get(meter)?));
        }
        let all = [
            line(Meter::Input, most.input, dearest(&|meter| meter < Meter::Output).times(factor).times(hour)),
            line(
                Meter::Output,
                most.output,
                dearest(&|meter| tokens(meter) && meter >= Meter::Output).times(factor).times(hour),
            ),
            line(Meter::Request, 1, dearest(&|meter| meter == Meter::Request).times(factor).times(hour)),
            line(Meter::Machine, most.machine_us, dearest(&|meter| meter == Meter::Machine)),
        ]
        .into_iter()
        .fold(fees, u128::saturating_add);
        Some(all)
    }

    /// The rate that counts for `meter`, and whose it is.
    fn rate(&self, meter: Meter, tier: Option<&Tier>) -> (Meter, Option<Rate>) {
        let tier = tier.filter(|_| !meter.is_of_a_tool());
        let own = tier.and_then(|tier| tier.rates.get(meter)).or(self.rates.get(meter));
        match (own, meter.whole()) {
            (None, Some(whole)) => self.rate(whole, tier),
            (own, _) => (meter, own),
        }
    }
}

/// A factor that is not known is 1, and the price is not the whole truth.
fn known(factor: Option<Factor>) -> (Factor, PriceState) {
    factor.map_or((Factor::ONE, PriceState::Partial), |factor| (factor, PriceState::Valid))
}

fn uses(tools: &ToolUses) -> [(Meter, u64); 3] {
    let ToolUses { web_searches, file_searches, code_sessions } = *tools;
    [(Meter::WebSearch, web_searches), (Meter::FileSearch, file_searches), (Meter::CodeSession, code_sessions)]
}

/// Each token in one kind. A vendor that counts more in parts than in all is believed about the whole.
fn quantities(usage: &TokenUsage) -> [(Meter, u64); 15] {
    let mut input = usage.input.saturating_sub(usage.unbilled_input);
    let mut output = usage.output.saturating_sub(usage.unbilled_output);
    let anything = input > 0 || output > 0;
    let take = |all: &mut u64, part: u64| {
        let taken = part.min(*all);
        *all -= taken;
        taken
    };
    let hour = usage.cache_write_1h.min(usage.cache_write);
    let cached = take(&mut input, usage.cached_input);
    let written_1h = take(&mut input, hour);
    let written_5m = take(&mut input, usage.cache_write - hour);
    let audio_in = take(&mut input, usage.audio_input);
    let image_in = take(&mut input, usage.image_input);
    let audio_out = take(&mut output, usage.audio_output);
    let image_out = take(&mut output, usage.image_output);
    let reasoning = take(&mut output, usage.reasoning);
    let [web_search, file_search, code_session] = uses(&usage.tools);
    [
        (Meter::Input, input),
        (Meter::CachedInput, cached),
        (Meter::CacheWrite5m, written_5m),
        (Meter::CacheWrite1h, written_1h),
        (Meter::AudioInput, audio_in),
        (Meter::ImageInput, image_in),
        (Meter::Output, output),
        (Meter::Reasoning, reasoning),
        (Meter::AudioOutput, audio_out),
        (Meter::ImageOutput, image_out),
        (Meter::Request, u64::from(anything)),
        web_search,
        file_search,
        code_session,
        (Meter::Machine, usage.machine_us),
    ]
}
