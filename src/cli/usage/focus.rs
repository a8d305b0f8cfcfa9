//! FinOps FOCUS 1.2, as CSV: https://focus.finops.org. docs/cost.md has the mapping.
//!
//! One row per day, tenant, feature, key, route, target and meter. `BilledCost` is the ledger's money, split among an
//! attempt's meters to the micro-dollar, so the rows add up to `backstop usage`; `ListCost` is quantity times unit price,
//! exactly, by the prices as they are configured now.

use std::collections::BTreeMap;

use serde_json::json;

use crate::{
    admin::verb::spending,
    cli::print,
    config::Settings,
    domain::{Line, Meter, Period, PriceState, Service, day_text},
    store::{Dimension, SpentRow, Store, UsageFilter},
};

const BY: [Dimension; 5] = [Dimension::Tenant, Dimension::Feature, Dimension::Key, Dimension::Route, Dimension::Use];

const COLUMNS: [&str; 40] = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingAccountType",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceId",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceDetails",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "SubAccountType",
    "Tags",
    "x_PriceState",
];

#[derive(Debug, Default)]
pub(super) struct Rows {
    charges: BTreeMap<Charge, Sum>,
    /// Who is behind a vendor's name.
    vendors: BTreeMap<String, Who>,
    pub(super) unpriced: u64,
}

/// What one row is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Charge {
    day: String,
    day_ms: i64,
    /// By [`BY`].
    group: Vec<Option<String>>,
    vendor: String,
    model: String,
    /// `None`: the attempt's cost is not known by its kinds.
    meter: Option<Meter>,
    unit_nanos: u64,
    service: &'static str,
    state: PriceState,
    price_row: String,
}

#[derive(Debug, Default)]
struct Sum {
    quantity: u128,
    billed_micros: i64,
}

#[derive(Debug, Clone, Default)]
struct Who {
    provider: String,
    publisher: String,
    region: Option<String>,
}

pub(super) async fn rows(store: &Store, filter: &UsageFilter, settings: &Settings) -> anyhow::Result<Rows> {
    let mut rows = Rows::default();
    let mut today = spending::Today::new(settings);
    spending::each(store, filter, &BY, |row| {
        let vendor = row.target.vendor.as_str().to_owned();
        rows.vendors.entry(vendor).or_insert_with(|| who(settings, &row));
        let lines = today
            .prices(&row.target)
            .and_then(|prices| prices.at(row.at.started_unix_ms))
            .map(|(prices, _)| (prices.lines(&row.usage, row.at.started_unix_ms).0, prices.name.to_string()));
        rows.add(&row, lines);
    })
    .await?;
    Ok(rows)
}

pub(super) fn csv(rows: &Rows) -> String {
    let cells: Vec<Vec<String>> = rows.charges.iter().map(|(charge, sum)| rows.cells(charge, sum)).collect();
    print::csv(&COLUMNS, &cells)
}

fn who(settings: &Settings, row: &SpentRow) -> Who {
    let vendor = settings.vendor(&row.target);
    Who {
        provider: vendor.map_or_else(|| row.target.vendor.to_string(), |vendor| vendor.kind.to_owned()),
        publisher: settings.operator(&row.target).to_owned(),
        region: vendor.and_then(|vendor| vendor.region.clone()),
    }
}

impl Rows {
    fn add(&mut self, row: &SpentRow, today: Option<(Vec<Line>, String)>) {
        self.unpriced += u64::from(row.cost.is_none());
        let (lines, known_row) = today.unwrap_or_default();
        let started = row.at.started_unix_ms;
        let charge = |meter: Option<Meter>, unit_nanos: u64| Charge {
            day: day_text(started),
            day_ms: Period::Day.start_ms(started),
            group: row.group.clone(),
            vendor: row.target.vendor.to_string(),
            model: row.target.model.to_string(),
            meter,
            unit_nanos,
            service: if row.usage.service == Service::Standard { "" } else { row.usage.service.as_str() },
            state: row.priced,
            price_row: [row.price_row.as_deref(), Some(known_row.as_str()), Some("unpriced")]
                .into_iter()
                .flatten()
                .find(|name| !name.is_empty())
                .unwrap_or_default()
                .to_owned(),
        };
        let billed = row.cost.map_or(0, |cost| cost.micros);
        if lines.is_empty() {
            let sum = self.charges.entry(charge(None, 0)).or_default();
            sum.quantity += u128::from(row.usage.input) + u128::from(row.usage.output);
            sum.billed_micros += billed;
            return;
        }
        for (line, micros) in lines.iter().zip(split(billed, &lines)) {
            let sum = self.charges.entry(charge(Some(line.meter), line.rate.nanos)).or_default();
            sum.quantity += u128::from(line.quantity);
            sum.billed_micros += micros;
        }
    }

    fn cells(&self, charge: &Charge, sum: &Sum) -> Vec<String> {
        let who = self.vendors.get(&charge.vendor).cloned().unwrap_or_default();
        let [tenant, feature, key, route, used] = [0, 1, 2, 3, 4].map(|place| charge.group[place].clone());
        let midnight = |unix_ms: i64| format!("{}T00:00:00Z", day_text(unix_ms));
        let Measure { quantity, unit, consumed, consumed_unit, list_cost } = measure(charge, sum);
        let meter = charge.meter.map_or("tokens", Meter::as_str);
        let class = if charge.service.is_empty() { String::new() } else { format!("#{}", charge.service) };
        let billed = decimal(u128::from(sum.billed_micros.unsigned_abs()), 6);
        let billed = if sum.billed_micros < 0 { format!("-{billed}") } else { billed };
        let tags = json!({
            "backstop/feature": feature, "backstop/key": key, "backstop/route": route, "backstop/use": used,
        });
        let mut details = json!({ "x_Model": charge.model });
        if !charge.service.is_empty() {
            details["x_ServiceClass"] = charge.service.into();
        }
        let tenant = tenant.unwrap_or_default();
        let region = who.region.unwrap_or_default();
        let text = |text: &str| text.to_owned();
        vec![
            billed.clone(),
            charge.vendor.clone(),
            charge.vendor.clone(),
            text("Vendor account"),
            text("USD"),
            midnight(Period::Month.end_ms(charge.day_ms)),
            midnight(Period::Month.start_ms(charge.day_ms)),
            text("Usage"),
            String::new(),
            format!("{} {meter}", charge.model),
            text("Usage-Based"),
            midnight(Period::Day.end_ms(charge.day_ms)),
            midnight(charge.day_ms),
            consumed,
            text(consumed_unit),
            billed.clone(),
            billed,
            String::new(),
            charge.vendor.clone(),
            list_cost,
            decimal(u128::from(charge.unit_nanos), 9),
            text("Standard"),
            quantity,
            text(unit),
            who.provider.clone(),
            who.publisher,
            region.clone(),
            region,
            text("AI and Machine Learning"),
            charge.model.clone(),
            text("Generative AI"),
            format!("{}/{}/{meter}", who.provider, charge.model),
            text(meter),
            details.to_string(),
            format!("{}/{meter}@{}{class}", charge.price_row, decimal(u128::from(charge.unit_nanos), 9)),
            tenant.clone(),
            tenant,
            text("Tenant"),
            tags.to_string(),
            text(charge.state.as_str()),
        ]
    }
}

struct Measure {
    quantity: String,
    unit: &'static str,
    consumed: String,
    consumed_unit: &'static str,
    list_cost: String,
}

/// Quantities in the unit that prices are in, and in the unit that is counted.
fn measure(charge: &Charge, sum: &Sum) -> Measure {
    let nanos = u128::from(charge.unit_nanos);
    let (scaled, places, unit, consumed_unit) = match charge.meter {
        Some(Meter::Request) => (sum.quantity, 0, "Requests", "Requests"),
        Some(Meter::WebSearch | Meter::FileSearch) => (sum.quantity, 0, "Searches", "Searches"),
        Some(Meter::CodeSession) => (sum.quantity, 0, "Sessions", "Sessions"),
        // 12 decimals of an hour, of which there are 3.6 billion microseconds.
        Some(Meter::Machine) => (sum.quantity.saturating_mul(2500) / 9, 12, "Hours", "Seconds"),
        _ => (sum.quantity, 6, "1000000 Tokens", "Tokens"),
    };
    let consumed_places = if charge.meter == Some(Meter::Machine) { 6 } else { 0 };
    Measure {
        quantity: decimal(scaled, places),
        unit,
        consumed: decimal(sum.quantity, consumed_places),
        consumed_unit,
        list_cost: decimal(scaled.saturating_mul(nanos), places + 9),
    }
}

/// `billed` in parts as large as the lines', whose sum it is: what is rounded off goes to the largest remainders.
fn split(billed: i64, lines: &[Line]) -> Vec<i64> {
    let weights: Vec<u128> = lines.iter().map(Line::amount).collect();
    let total = weights.iter().fold(0, |sum: u128, weight| sum.saturating_add(*weight));
    let mut parts = vec![0; lines.len()];
    if total == 0 {
        parts[0] = billed;
        return parts;
    }
    let money = u128::from(billed.unsigned_abs());
    // So that the products below fit whatever a vendor said.
    let shift = total.checked_ilog2().unwrap_or(0).saturating_sub(63);
    let (total, weights): (u128, Vec<u128>) = (
        weights.iter().map(|weight| weight >> shift).sum::<u128>().max(1),
        weights.iter().map(|weight| weight >> shift).collect(),
    );
    let mut rests: Vec<(u128, usize)> = Vec::with_capacity(lines.len());
    let mut given: u128 = 0;
    for (place, weight) in weights.iter().enumerate() {
        let exact = money * weight;
        parts[place] = i64::try_from(exact / total).unwrap_or(i64::MAX);
        given += exact / total;
        rests.push((exact % total, place));
    }
    rests.sort_by_key(|(rest, place)| (std::cmp::Reverse(*rest), *place));
    let left = usize::try_from(money.saturating_sub(given)).unwrap_or(0);
    rests.iter().cycle().take(left).for_each(|(_, place)| parts[*place] += 1);
    if billed < 0 {
        parts.iter_mut().for_each(|part| *part = -*part);
    }
    parts
}

/// `number` with so many decimals, without zeros at the end.
fn decimal(number: u128, places: usize) -> String {
    let digits = format!("{number:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Money, Rate, TargetId, TokenUsage, UsageSource};

    fn line(meter: Meter, quantity: u64, nanos: u64) -> Line {
        Line { meter, quantity, rate: Rate { nanos } }
    }

    proptest! {
        /// The parts are the whole, whatever was billed by whatever prices, and none has another's sign.
        #[test]
        fn nothing_is_lost_between_meters(
            billed in -1_000_000_000_000i64..1_000_000_000_000,
            lines in prop::collection::vec((0u64..1 << 40, any::<u64>()), 1..10),
        ) {
            let lines: Vec<Line> = lines.into_iter().map(|(quantity, nanos)| line(Meter::Input, quantity, nanos)).collect();
            let parts = split(billed, &lines);
            prop_assert_eq!(parts.iter().sum::<i64>(), billed);
            prop_assert!(parts.iter().all(|part| part.signum() * billed.signum() >= 0));
        }
    }

    #[test]
    fn decimals_are_exact() {
        assert_eq!(
            (decimal(0, 6), decimal(1, 6), decimal(1_500_000, 6)),
            ("0".into(), "0.000001".into(), "1.5".into())
        );
    }

    #[test]
    fn rows_are_as_the_specification_has_them() {
        let usage = TokenUsage { input: 1200, cached_input: 200, output: 77, ..TokenUsage::default() };
        let row = |position: u32, cost: Option<i64>, served: &str| SpentRow {
            at: crate::store::Cursor { started_unix_ms: 1_795_000_000_000, call: crate::clock::call_id(), position },
            group: ["acme", "", "sk-bs-aaaaaaaa", "support, chat", served]
                .map(|text| Some(text.to_owned()).filter(|text| !text.is_empty()))
                .to_vec(),
            target: TargetId::parse("openai/gpt-4o-mini").expect("a target"),
            usage,
            usage_source: UsageSource::Reported,
            cost: cost.map(Money::from_micros),
            priced: if cost.is_some() { PriceState::Valid } else { PriceState::Missing },
            price_row: cost.map(|_| "shipped:openai/gpt-4o-mini@always".into()),
        };
        let lines = vec![
            line(Meter::Input, 1000, 150_000_000),
            line(Meter::CachedInput, 200, 75_000_000),
            line(Meter::Output, 77, 600_000_000),
        ];
        let mut rows = Rows::default();
        for vendor in ["openai", "local"] {
            let who = Who { provider: vendor.to_owned(), publisher: vendor.to_owned(), region: Some("eu".to_owned()) };
            rows.vendors.insert(vendor.to_owned(), who);
        }
        rows.add(&row(0, Some(211), "unserved"), Some((lines.clone(), String::new())));
        rows.add(&row(1, Some(211), "served"), Some((lines.clone(), String::new())));
        rows.add(&row(0, Some(211), "served"), Some((lines, String::new())));
        let machine = vec![line(Meter::Machine, 1_000_001, 2_000_000_000)];
        let local =
            SpentRow { target: TargetId::parse("local/tiny").expect("a target"), ..row(0, Some(556), "served") };
        rows.add(&local, Some((machine, "local:machine".to_owned())));
        rows.add(&row(2, None, "served"), None);
        assert_eq!(rows.unpriced, 1);
        insta::assert_snapshot!("focus", csv(&rows));
    }
}
