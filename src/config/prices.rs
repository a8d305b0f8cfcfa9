//! The prices that are known without being configured: `prices.toml`, by vendor kind and model.

use std::{collections::HashMap, sync::LazyLock};

use serde::Deserialize;

use super::Settings;
use crate::domain::{Factor, Meter, PriceRow, Prices, Rate, Rates, Tier, day_text, parse_day};

/// Gives every target of a route its built-in price, where it has none of its own, and our own machine what an hour of it
/// costs. Other hardware of our own sends no bill.
pub(super) fn fill_in(settings: &mut Settings) {
    let missing: Vec<_> =
        settings.targets().into_iter().filter(|id| !settings.prices.contains_key(id)).cloned().collect();
    for target in missing {
        if let Some(prices) = known(settings, &target) {
            settings.prices.insert(target, prices);
        }
    }
}

/// What `target` costs where the config does not say: by its vendor's kind, or by whose machine it runs on.
pub(super) fn known(settings: &Settings, target: &crate::domain::TargetId) -> Option<Prices> {
    if target.is_local() {
        return Some(our_machine(settings.local.usd_per_hour));
    }
    let vendor = settings.vendor(target)?;
    if vendor.self_hosted {
        return Some(no_bill());
    }
    let list = shipped(vendor.kind, &target.model)?;
    Some(vendor.price_factor.map_or(list.clone(), |factor| list.times(factor)))
}

/// What `model` costs at a vendor of `kind`, if that is known.
pub fn shipped(kind: &str, model: &str) -> Option<Prices> {
    let models = TABLE.get(kind)?;
    let found = models.get(model).or_else(|| models.get(undated(model)?));
    if kind == "bedrock" { found.or_else(|| models.get(&bedrock_family(model)?)).cloned() } else { found.cloned() }
}

/// Every row of the table, by kind and model.
pub fn all_shipped() -> Vec<(&'static str, &'static str, &'static Prices)> {
    let of = |(kind, models): (&'static String, &'static HashMap<String, Prices>)| {
        models.iter().map(move |(model, prices)| (kind.as_str(), model.as_str(), prices))
    };
    let mut rows: Vec<_> = TABLE.iter().flat_map(of).collect();
    rows.sort_unstable_by_key(|(kind, model, _)| (*kind, *model));
    rows
}

fn our_machine(usd_per_hour: Option<Rate>) -> Prices {
    let rates = free().with(Meter::Machine, usd_per_hour.unwrap_or_default());
    Prices::new(vec![PriceRow::always("local:machine", rates)])
}

fn no_bill() -> Prices {
    Prices::new(vec![PriceRow::always("self-hosted", free())])
}

/// Nothing for any token, nor for tools that are run beside.
fn free() -> Rates {
    let all = Meter::ALL.into_iter().filter(|meter| *meter < Meter::Request || meter.is_of_a_tool());
    all.fold(Rates::default(), |rates, meter| rates.with(meter, Rate::ZERO))
}

static TABLE: LazyLock<HashMap<String, HashMap<String, Prices>>> = LazyLock::new(|| {
    let kinds: HashMap<String, Kind> =
        toml::from_str(include_str!("prices.toml")).expect("the built-in table is read by a test");
    let read = |(name, kind): (String, Kind)| {
        let models = kind.models.iter().map(|(model, rows)| (model.clone(), kind.prices(&name, model, rows))).collect();
        (name, models)
    };
    kinds.into_iter().map(read).collect()
});

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kind {
    source: String,
    checked: String,
    batch: Option<f64>,
    web_search: Option<f64>,
    file_search: Option<f64>,
    code_session: Option<f64>,
    models: HashMap<String, Rows>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Rows {
    One(Box<Row>),
    Several(Vec<Row>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    from: Option<String>,
    until: Option<String>,
    checked: Option<String>,
    input: f64,
    output: f64,
    cached: Option<f64>,
    write: Option<f64>,
    write_1h: Option<f64>,
    reasoning: Option<f64>,
    audio_in: Option<f64>,
    audio_out: Option<f64>,
    image_in: Option<f64>,
    image_out: Option<f64>,
    request: Option<f64>,
    batch: Option<f64>,
    priority: Option<f64>,
    long: Option<Long>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Long {
    above: u64,
    input: f64,
    output: f64,
    cached: Option<f64>,
    write: Option<f64>,
    write_1h: Option<f64>,
}

impl Kind {
    fn prices(&self, kind: &str, model: &str, rows: &Rows) -> Prices {
        let rows = match rows {
            Rows::One(row) => std::slice::from_ref(&**row),
            Rows::Several(rows) => rows,
        };
        Prices::new(rows.iter().map(|row| self.row(kind, model, row)).collect())
    }

    fn row(&self, kind: &str, model: &str, row: &Row) -> PriceRow {
        let day = |text: &str| parse_day(text).expect("the built-in table is read by a test");
        let (from_ms, until_ms) = (row.from.as_deref().map(day), row.until.as_deref().map(day));
        let since = from_ms.map_or_else(|| "always".to_owned(), day_text);
        let fees = [
            (Meter::WebSearch, self.web_search),
            (Meter::FileSearch, self.file_search),
            (Meter::CodeSession, self.code_session),
        ];
        let all = with(row.rates(), fees);
        let always = PriceRow::always(&format!("shipped:{kind}/{model}@{since}"), all);
        PriceRow {
            from_ms,
            until_ms,
            tiers: row.long.iter().map(Long::tier).collect(),
            batch: row.batch.or(self.batch).and_then(Factor::from_number),
            priority: row.priority.and_then(Factor::from_number),
            source: self.source.as_str().into(),
            checked_ms: Some(day(row.checked.as_deref().unwrap_or(&self.checked))),
            ..always
        }
    }
}

impl Row {
    fn rates(&self) -> Rates {
        rates([
            (Meter::Input, Some(self.input)),
            (Meter::Output, Some(self.output)),
            (Meter::CachedInput, self.cached),
            (Meter::CacheWrite5m, self.write),
            (Meter::CacheWrite1h, self.write_1h),
            (Meter::Reasoning, self.reasoning),
            (Meter::AudioInput, self.audio_in),
            (Meter::AudioOutput, self.audio_out),
            (Meter::ImageInput, self.image_in),
            (Meter::ImageOutput, self.image_out),
            (Meter::Request, self.request),
        ])
    }
}

impl Long {
    fn tier(&self) -> Tier {
        let rates = rates([
            (Meter::Input, Some(self.input)),
            (Meter::Output, Some(self.output)),
            (Meter::CachedInput, self.cached),
            (Meter::CacheWrite5m, self.write),
            (Meter::CacheWrite1h, self.write_1h),
        ]);
        Tier { above: self.above, rates }
    }
}

fn rates<const N: usize>(usd: [(Meter, Option<f64>); N]) -> Rates {
    with(Rates::default(), usd)
}

fn with<const N: usize>(rates: Rates, usd: [(Meter, Option<f64>); N]) -> Rates {
    let rate = |usd| Rate::from_usd(usd).expect("the built-in table is read by a test");
    usd.into_iter().fold(rates, |mut rates, (meter, usd)| {
        rates.set(meter, usd.map(rate));
        rates
    })
}

/// `model` without the date or `latest` at its end: `-2024-07-18`, `-20251001`, `@20251001`, `-latest`.
fn undated(model: &str) -> Option<&str> {
    if let Some(family) = model.strip_suffix("-latest") {
        return Some(family);
    }
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_date = |text: &str| match text.split('-').collect::<Vec<_>>().as_slice() {
        [day] => digits(day, 8),
        [year, month, day] => digits(year, 4) && digits(month, 2) && digits(day, 2),
        _ => false,
    };
    let start = model.match_indices(['-', '@']).map(|(at, _)| at).find(|at| is_date(&model[at + 1..]))?;
    Some(&model[..start])
}

/// `eu.anthropic.claude-opus-4-5-20251101-v1:0` as `regional.anthropic.claude-opus-4-5`.
fn bedrock_family(model: &str) -> Option<String> {
    let unversioned = model.rsplit_once("-v").filter(|(_, version)| version.starts_with(|c: char| c.is_ascii_digit()));
    let model = unversioned.map_or(model, |(family, _)| family);
    let model = undated(model).unwrap_or(model);
    let (place, rest) = model.split_once('.')?;
    match place {
        "global" => Some(model.to_owned()),
        "us" | "eu" | "jp" | "au" | "apac" => Some(format!("regional.{rest}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_read_and_says_when_and_where_it_was_checked() {
        let rows = all_shipped();
        assert!(rows.len() > 70);
        for (kind, model, prices) in rows {
            for (index, row) in prices.rows().iter().enumerate() {
                let rate = |meter| row.rates.get(meter).unwrap_or_default();
                let (input, output) = (rate(Meter::Input), rate(Meter::Output));
                assert!(rate(Meter::CachedInput) <= input, "{kind}/{model}");
                assert!(output == Rate::ZERO || input <= output, "{kind}/{model}");
                assert!(row.source.starts_with("https://") && row.checked_ms.is_some(), "{kind}/{model}");
                assert!(row.tiers.iter().all(|tier| tier.rates.get(Meter::Input) > Some(input)), "{kind}/{model}");
                let next = prices.rows().get(index + 1);
                assert!(next.is_none_or(|next| next.from_ms == row.until_ms), "{kind}/{model} has a gap");
            }
        }
    }

    #[test]
    fn dated_names_have_their_familys_price_unless_listed() {
        assert_eq!(shipped("openai", "gpt-4o-mini-2024-07-18"), shipped("openai", "gpt-4o-mini"));
        assert_eq!(shipped("anthropic", "claude-haiku-4-5-20251001"), shipped("anthropic", "claude-haiku-4-5"));
        assert_eq!(shipped("anthropic", "claude-3-7-sonnet-latest"), shipped("anthropic", "claude-3-7-sonnet"));
        assert_ne!(shipped("openai", "gpt-4o-2024-05-13"), shipped("openai", "gpt-4o"));
        assert_eq!(shipped("openai", "gpt-4o-transcribe"), None);
        assert_eq!(shipped("groq", "gpt-4o"), None);
        let regional = shipped("bedrock", "regional.anthropic.claude-opus-4-8");
        assert_eq!(shipped("bedrock", "eu.anthropic.claude-opus-4-8-20260528-v1:0"), regional);
        assert_ne!(shipped("bedrock", "global.anthropic.claude-opus-4-8-v1:0"), regional);
        assert_eq!(shipped("bedrock", "anthropic.claude-opus-4-8-v1:0"), None, "in one region: not checked");
    }
}
