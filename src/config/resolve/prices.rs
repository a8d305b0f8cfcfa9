//! `models: … prices:` and the four keys beside them: rows with a validity each.

use super::Resolver;
use crate::{
    config::{path::Path, raw, words},
    domain::{Factor, Hours, Meter, PriceRow, Prices, Rate, Rates, Tier, day_text, parse_day, parse_time},
};

/// The four keys that a model has beside `prices`.
const FLAT: [(&str, Meter); 4] = [
    ("input_per_mtok", Meter::Input),
    ("output_per_mtok", Meter::Output),
    ("cached_input_per_mtok", Meter::CachedInput),
    ("cache_write_per_mtok", Meter::CacheWrite5m),
];

impl Resolver<'_, '_> {
    /// What the config says that a model costs; `None`: nothing, or something faulty.
    pub(super) fn prices(&mut self, path: &Path, model: &raw::Model) -> Option<Prices> {
        let given =
            [model.input_per_mtok, model.output_per_mtok, model.cached_input_per_mtok, model.cache_write_per_mtok];
        let Some(rows) = &model.prices else { return self.flat(path, model, given) };
        let path = path.key("prices");
        if given.iter().any(Option::is_some) {
            let message = "there are `prices` beside `input_per_mtok` and its like";
            self.error(&path, message, "move those into a row of `prices`");
        }
        if rows.is_empty() {
            self.error(&path, "a list of prices has at least one row", "");
        }
        let embeds = model.embedding_space.is_some();
        let rows: Vec<Option<PriceRow>> = rows
            .iter()
            .enumerate()
            .map(|(index, row)| {
                let path = path.index(index);
                self.row(&path, row, embeds)
            })
            .collect();
        let rows: Vec<PriceRow> = rows.into_iter().collect::<Option<_>>()?;
        self.overlaps(&path, &rows);
        (!rows.is_empty()).then(|| Prices::new(rows))
    }

    fn flat(&mut self, path: &Path, model: &raw::Model, given: [Option<f64>; 4]) -> Option<Prices> {
        let mut rates = Rates::default();
        let mut whole = true;
        for ((key, meter), usd) in FLAT.into_iter().zip(given) {
            let Some(usd) = usd else { continue };
            rates.set(meter, self.rate(&path.key(key), usd));
            whole &= rates.get(meter).is_some();
        }
        // Embeddings have no output.
        if model.embedding_space.is_some() && given[0].is_some() && given[1].is_none() {
            rates.set(Meter::Output, Some(Rate::ZERO));
        }
        let has = |meter| rates.get(meter).is_some();
        if whole && has(Meter::Input) && has(Meter::Output) {
            return Some(Prices::new(vec![PriceRow::always("config:always", rates)]));
        }
        let both = ["input_per_mtok", "output_per_mtok"].iter().all(|key| self.tree.has(&path.key(*key)));
        // What is faulty has been reported.
        if given.iter().any(Option::is_some) && !both {
            self.error(path, "a price needs both `input_per_mtok` and `output_per_mtok`", "");
        }
        None
    }

    fn row(&mut self, path: &Path, raw: &raw::Price, embeds: bool) -> Option<PriceRow> {
        let from = self.day(&path.key("from"), raw.from.as_ref());
        let until = self.day(&path.key("until"), raw.until.as_ref());
        let mut rates = self.rates(path, raw.rates());
        let each = [
            ("per_request", Meter::Request, raw.per_request),
            ("per_web_search", Meter::WebSearch, raw.per_web_search),
            ("per_file_search", Meter::FileSearch, raw.per_file_search),
            ("per_code_session", Meter::CodeSession, raw.per_code_session),
        ];
        for (key, meter, usd) in each {
            if let (Some(usd), Some(rates)) = (usd, &mut rates) {
                rates.set(meter, self.rate(&path.key(key), usd));
            }
        }
        let batch = self.factor(path, "batch_factor", raw.batch_factor);
        let priority = self.factor(path, "priority_factor", raw.priority_factor);
        let hours = self.hours(&path.key("hours"), raw.hours.as_deref().unwrap_or_default());
        let mut tiers = Vec::new();
        for (index, tier) in raw.tiers.iter().flatten().enumerate() {
            let path = path.key("tiers").index(index);
            let (above, rates) = (tier.above_tokens, self.rates(&path, tier.rates()));
            if above.is_some_and(|above| tiers.iter().any(|tier: &Tier| tier.above == above)) {
                self.error(&path.key("above_tokens"), "there is a tier above as many tokens already", "");
            }
            tiers.extend(above.zip(rates).map(|(above, rates)| Tier { above, rates }));
        }
        tiers.sort_by_key(|tier| tier.above);
        let (from, until) = (from?, until?);
        if let (Some(first), Some(end)) = (from, until)
            && end <= first
        {
            self.error(
                &path.key("until"),
                "it ends before it begins",
                "`until` is the first day on which it is no more",
            );
        }
        let mut rates = rates?;
        if embeds && rates.get(Meter::Output).is_none() {
            rates.set(Meter::Output, Some(Rate::ZERO));
        }
        if rates.get(Meter::Input).is_none() || rates.get(Meter::Output).is_none() {
            // That the first is missing is a fault of shape.
            if !self.tree.has(&path.key("output_per_mtok")) {
                self.error(path, "a price needs both `input_per_mtok` and `output_per_mtok`", "");
            }
            return None;
        }
        let name = format!("config:{}", from.map_or_else(|| "always".to_owned(), day_text));
        let source = raw.source.as_deref().unwrap_or_default().into();
        let row = PriceRow::always(&name, rates);
        Some(PriceRow { from_ms: from, until_ms: until, tiers, batch, priority, hours, source, ..row })
    }

    /// What is faulty is reported and left out.
    fn hours(&mut self, path: &Path, given: &[raw::Hours]) -> Vec<Hours> {
        let mut all: Vec<Hours> = Vec::new();
        for (index, raw) in given.iter().enumerate() {
            let path = path.index(index);
            let factor = self.factor(&path, "factor", raw.factor);
            let [from, until] = [("from", &raw.from), ("until", &raw.until)].map(|(key, text)| {
                let time = parse_time(text.as_deref()?);
                if time.is_none() {
                    self.error(&path.key(key), "this is not a time of the day", "write it as `08:30`, in UTC");
                }
                time
            });
            let (Some(from_min), Some(until_min), Some(factor)) = (from, until, factor) else { continue };
            let hours = Hours { from_min, until_min, factor };
            if from_min == until_min {
                self.error(&path, "it ends when it begins", "a factor that always holds belongs into the rates");
            } else if all.iter().any(|other| other.overlaps(&hours)) {
                self.error(&path, "it holds at the same time as another one", "end the earlier one with `until`");
            } else {
                all.push(hours);
            }
        }
        all
    }

    /// `None`: one of them is faulty, which was reported.
    fn rates(&mut self, path: &Path, given: raw::RatesOf) -> Option<Rates> {
        let (mut rates, mut whole) = (Rates::default(), true);
        for (meter, (key, usd)) in Meter::ALL.into_iter().zip(given) {
            let Some(usd) = usd else { continue };
            rates.set(meter, self.rate(&path.key(key), usd));
            whole &= rates.get(meter).is_some();
        }
        whole.then_some(rates)
    }

    /// US dollars, not negative, kept to a billionth.
    pub(super) fn rate(&mut self, path: &Path, usd: f64) -> Option<Rate> {
        let rate = Rate::from_usd(usd);
        if rate.is_none() {
            self.error(path, "an amount is from 0 to a billion US dollars", "the smallest is 0.000000001");
        }
        rate
    }

    pub(super) fn factor(&mut self, path: &Path, key: &str, number: Option<f64>) -> Option<Factor> {
        let factor = Factor::from_number(number?);
        if factor.is_none() {
            self.error(&path.key(key), "a factor is from 0 to 100", "0.5 is half the price");
        }
        factor
    }

    /// Midnight UTC at which the day begins, where one is given; `None`: it is faulty.
    fn day(&mut self, path: &Path, text: Option<&raw::DateText>) -> Option<Option<i64>> {
        let Some(text) = text.and_then(raw::DateText::as_str) else { return Some(None) };
        let day = parse_day(text);
        if day.is_none() {
            self.error(path, format!("`{}` is not a day", words::cut(text)), "write it as `2026-01-31`");
        }
        day.map(Some)
    }

    /// On any day one row is valid at most.
    fn overlaps(&mut self, path: &Path, rows: &[PriceRow]) {
        for (index, row) in rows.iter().enumerate() {
            let ends = |row: &PriceRow| row.until_ms.unwrap_or(i64::MAX);
            let begins = |row: &PriceRow| row.from_ms.unwrap_or(i64::MIN);
            let other = rows[..index].iter().position(|other| begins(row) < ends(other) && begins(other) < ends(row));
            if let Some(other) = other {
                let message = format!("it is valid at the same time as row {}", other + 1);
                self.error(&path.index(index), message, "end the earlier one with `until`");
            }
        }
    }
}
