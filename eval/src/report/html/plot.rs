//! One gate as a picture: an interval for the gate and for each of its slices, on one axis from 0 to 100 %.
//!
//! Where things stand is decided here; the template draws them, so that every text is escaped in one place.

use serde::Serialize;

use super::super::GateResult;
use crate::statistics::interval;

const LEFT: f64 = 190.0;
const AXIS: f64 = 400.0;
const ROW: f64 = 24.0;
const TOP: f64 = 30.0;
/// Longer names are cut; the table below the picture has them whole.
const LONGEST_NAME: usize = 26;

#[derive(Serialize)]
pub(super) struct Plot<'a> {
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    /// At 0, 25, 50, 75 and 100 %.
    ticks: Vec<Tick>,
    threshold_x: f64,
    rows: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Tick {
    x: f64,
    percent: u32,
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    short: String,
    y: f64,
    k: usize,
    n: usize,
    estimate: f64,
    /// Of the two-sided 95 % Clopper–Pearson interval.
    low: f64,
    high: f64,
    /// The one-sided bound, which decides for the gate itself.
    bound: f64,
    floor: Option<f64>,
    estimate_x: f64,
    low_x: f64,
    high_x: f64,
    bound_x: f64,
    floor_x: Option<f64>,
    is_gate: bool,
    misses_floor: bool,
}

impl<'a> Plot<'a> {
    pub(super) fn of(gate: &'a GateResult) -> Self {
        let whole = Row::of("all", (gate.k, gate.n), (gate.bound, None), 0);
        let slices = gate
            .slices
            .iter()
            .enumerate()
            .map(|(index, slice)| Row::of(&slice.slice, (slice.k, slice.n), (slice.bound, slice.floor), index + 1));
        let rows: Vec<Row<'a>> =
            std::iter::once(Row { is_gate: true, misses_floor: false, ..whole }).chain(slices).collect();
        let bottom = TOP + ROW * rows.len() as f64;
        Self {
            width: LEFT + AXIS + 90.0,
            height: bottom + 24.0,
            left: LEFT,
            right: LEFT + AXIS,
            top: TOP,
            bottom,
            ticks: (0..=4).map(|step| Tick { x: x(f64::from(step) / 4.0), percent: step * 25 }).collect(),
            threshold_x: x(gate.threshold),
            rows,
        }
    }
}

impl<'a> Row<'a> {
    fn of(name: &'a str, (k, n): (usize, usize), (bound, floor): (f64, Option<f64>), index: usize) -> Self {
        // An edited report may count more than there is; that is said elsewhere.
        let (low, high) = if n == 0 { (0.0, 1.0) } else { interval(k.min(n), n) };
        let estimate = if n == 0 { 0.0 } else { k.min(n) as f64 / n as f64 };
        let short = match name.char_indices().nth(LONGEST_NAME) {
            Some((end, _)) => format!("{}…", &name[..end]),
            None => name.to_owned(),
        };
        Self {
            name,
            short,
            y: TOP + ROW * (index as f64 + 0.5),
            k,
            n,
            estimate,
            low,
            high,
            bound,
            floor,
            estimate_x: x(estimate),
            low_x: x(low),
            high_x: x(high),
            bound_x: x(bound),
            floor_x: floor.map(x),
            is_gate: false,
            misses_floor: floor.is_some_and(|floor| n == 0 || estimate < floor),
        }
    }
}

/// Tenths are as fine as a screen shows.
fn x(share: f64) -> f64 {
    ((LEFT + AXIS * share.clamp(0.0, 1.0)) * 10.0).round() / 10.0
}
