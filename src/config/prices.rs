//! The prices that are known without being configured: `prices.toml`, by vendor kind and model.

use std::{collections::HashMap, sync::LazyLock};

use serde::Deserialize;

use super::{Prices, Settings};
use crate::domain::Money;

/// Gives every target of a route its built-in price, where it has none of its own. Our own hardware sends no bill.
pub(super) fn fill_in(settings: &mut Settings) {
    let missing: Vec<_> =
        settings.targets().into_iter().filter(|id| !settings.prices.contains_key(id)).cloned().collect();
    for target in missing {
        let known = match settings.vendor(&target) {
            _ if settings.is_own_hardware(&target) => Some(FREE),
            Some(vendor) => built_in(vendor.kind, &target.model),
            None => None,
        };
        if let Some(prices) = known {
            settings.prices.insert(target, prices);
        }
    }
}

/// What `model` costs at a vendor of `kind`, if that is known.
pub fn built_in(kind: &str, model: &str) -> Option<Prices> {
    let models = TABLE.get(kind)?;
    models.get(model).or_else(|| models.get(undated(model)?)).copied()
}

const FREE: Prices = Prices {
    input_per_mtok: Money::ZERO,
    output_per_mtok: Money::ZERO,
    cached_input_per_mtok: Money::ZERO,
    cache_write_per_mtok: Money::ZERO,
};

static TABLE: LazyLock<HashMap<String, HashMap<String, Prices>>> = LazyLock::new(|| {
    let rows: HashMap<String, HashMap<String, Row>> =
        toml::from_str(include_str!("prices.toml")).expect("the built-in table is read by a test");
    let priced = |rows: HashMap<String, Row>| rows.into_iter().map(|(model, row)| (model, row.prices())).collect();
    rows.into_iter().map(|(kind, rows)| (kind, priced(rows))).collect()
});

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    input: f64,
    output: f64,
    cached_input: Option<f64>,
    cache_write: Option<f64>,
}

impl Row {
    fn prices(self) -> Prices {
        let money = |usd| Money::from_usd(usd).expect("the built-in table is read by a test");
        Prices {
            input_per_mtok: money(self.input),
            output_per_mtok: money(self.output),
            cached_input_per_mtok: money(self.cached_input.unwrap_or(self.input)),
            cache_write_per_mtok: money(self.cache_write.unwrap_or(self.input)),
        }
    }
}

/// `model` without the date or `latest` at its end: `-2024-07-18`, `-20251001`, `-latest`.
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
    let start = model.match_indices('-').map(|(at, _)| at).find(|at| is_date(&model[at + 1..]))?;
    Some(&model[..start])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_read_and_a_cache_hit_is_never_dearer() {
        assert!(TABLE.values().map(HashMap::len).sum::<usize>() > 20);
        for (model, prices) in TABLE.values().flatten() {
            assert!(prices.cached_input_per_mtok <= prices.input_per_mtok, "{model}");
            let embeds = prices.output_per_mtok == Money::ZERO;
            assert!(embeds || prices.input_per_mtok < prices.output_per_mtok, "{model}");
        }
    }

    #[test]
    fn dated_names_have_their_familys_price_unless_listed() {
        assert_eq!(built_in("openai", "gpt-4o-mini-2024-07-18"), built_in("openai", "gpt-4o-mini"));
        assert_eq!(built_in("anthropic", "claude-haiku-4-5-20251001"), built_in("anthropic", "claude-haiku-4-5"));
        assert_eq!(built_in("anthropic", "claude-3-7-sonnet-latest"), built_in("anthropic", "claude-3-7-sonnet"));
        assert_ne!(built_in("openai", "gpt-4o-2024-05-13"), built_in("openai", "gpt-4o"));
        assert_eq!(built_in("openai", "gpt-4o-transcribe"), None);
        assert_eq!(built_in("groq", "gpt-4o"), None);
    }
}
