//! What comes of asking a release beside what serves: the comparisons summed up ([`Tally`], pure), stored in batches, and shown.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    domain::RouteId,
    relay::Compared,
    store::{ShadowRow, ShadowSums, Store},
};

/// How often what was compared is stored; that much is lost when the process dies.
const EVERY: Duration = Duration::from_secs(1);

/// What is not stored yet.
#[derive(Debug, Default)]
pub struct Tally {
    sums: BTreeMap<(RouteId, u32), ShadowSums>,
}

/// One release's comparisons, as operators see them. Shares are of those that were compared; `null`: there is nothing to compare yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShadowView {
    pub release: u32,
    /// Questions that it was sent, beside the calls that were served as ever.
    pub asked: u64,
    /// Of these, those that it gave no answer to.
    pub failed: u64,
    /// Questions that it was not sent because too many were under way.
    pub dropped: u64,
    /// Where both sides gave a whole answer.
    pub compared: u64,
    pub finish_equal: Option<f64>,
    /// Both texts are JSON documents, or neither is.
    pub json_equal: Option<f64>,
    /// Both call tools of the same names, or neither calls any.
    pub tools_equal: Option<f64>,
    pub refusal_rate: Option<f64>,
    pub served_refusal_rate: Option<f64>,
    /// Its text by that of what serves, over all.
    pub length_ratio: Option<f64>,
    /// Its time to the whole answer by that of what serves, over all.
    pub latency_ratio: Option<f64>,
}

impl Tally {
    pub fn add(&mut self, compared: Compared) {
        let Compared { route, release, canary, served, was_dropped } = compared;
        let sums = self.sums.entry((route, release)).or_default();
        if was_dropped {
            sums.dropped += 1;
            return;
        }
        sums.asked += 1;
        let Some(canary) = canary else {
            sums.failed += 1;
            return;
        };
        let Some(served) = served else { return };
        sums.compared += 1;
        sums.same_finish += u64::from(canary.finish == served.finish);
        sums.same_json += u64::from(canary.is_json == served.is_json);
        sums.same_tools += u64::from(canary.tools == served.tools);
        sums.refused += u64::from(canary.is_refusal);
        sums.served_refused += u64::from(served.is_refusal);
        sums.bytes += canary.bytes as u64;
        sums.served_bytes += served.bytes as u64;
        let us = |took: Duration| u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        sums.took_us = sums.took_us.saturating_add(us(canary.took));
        sums.served_us = sums.served_us.saturating_add(us(served.took));
    }

    fn take(&mut self) -> Vec<ShadowRow> {
        let row = |((route, release), sums)| ShadowRow { route, release, sums };
        std::mem::take(&mut self.sums).into_iter().map(row).collect()
    }

    fn give_back(&mut self, rows: Vec<ShadowRow>) {
        self.sums.extend(rows.into_iter().map(|row| ((row.route, row.release), row.sums)));
    }
}

/// Stores what comes, until nothing more can.
pub fn keep(store: Store, mut compared: mpsc::Receiver<Compared>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let (mut tally, mut tick) = (Tally::default(), tokio::time::interval(EVERY));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let open = tokio::select! {
                next = compared.recv() => match next {
                    Some(compared) => { tally.add(compared); continue }
                    None => false,
                },
                _ = tick.tick() => true,
            };
            let rows = tally.take();
            if !rows.is_empty()
                && let Err(error) = store.shadows_add(rows.clone()).await
            {
                tracing::debug!(error = &error as &dyn std::error::Error, "what shadows came to is not stored yet");
                tally.give_back(rows);
            }
            if !open {
                return;
            }
        }
    })
}

impl From<ShadowRow> for ShadowView {
    fn from(ShadowRow { release, sums, .. }: ShadowRow) -> Self {
        let ratio = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let share = |part: u64| ratio(part, sums.compared);
        Self {
            release,
            asked: sums.asked,
            failed: sums.failed,
            dropped: sums.dropped,
            compared: sums.compared,
            finish_equal: share(sums.same_finish),
            json_equal: share(sums.same_json),
            tools_equal: share(sums.same_tools),
            refusal_rate: share(sums.refused),
            served_refusal_rate: share(sums.served_refused),
            length_ratio: ratio(sums.bytes, sums.served_bytes),
            latency_ratio: ratio(sums.took_us, sums.served_us),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::Sketch;

    fn sketch(finish: &'static str, bytes: usize, ms: u64) -> Option<Sketch> {
        Some(Sketch { finish, bytes, took: Duration::from_millis(ms), ..Sketch::default() })
    }

    fn compared(canary: Option<Sketch>, served: Option<Sketch>) -> Compared {
        Compared { route: RouteId::new("chat"), release: 2, canary, served, was_dropped: false }
    }

    #[test]
    fn comparisons_come_to_shares_and_ratios() {
        let mut tally = Tally::default();
        tally.add(compared(sketch("stop", 30, 20), sketch("stop", 10, 10)));
        tally.add(compared(sketch("length", 10, 20), sketch("stop", 10, 30)));
        tally.add(compared(None, sketch("stop", 10, 10)));
        tally.add(compared(sketch("stop", 10, 10), None));
        tally.add(Compared { was_dropped: true, ..compared(None, None) });
        let view = ShadowView::from(tally.take().remove(0));
        assert_eq!((view.asked, view.failed, view.dropped, view.compared), (4, 1, 1, 2));
        assert_eq!((view.finish_equal, view.json_equal, view.tools_equal), (Some(0.5), Some(1.0), Some(1.0)));
        assert_eq!((view.length_ratio, view.latency_ratio, view.refusal_rate), (Some(2.0), Some(1.0), Some(0.0)));
        assert!(tally.take().is_empty());
    }

    #[test]
    fn nothing_compared_is_no_share() {
        let mut tally = Tally::default();
        tally.add(compared(None, None));
        let view = ShadowView::from(tally.take().remove(0));
        assert_eq!((view.finish_equal, view.length_ratio, view.latency_ratio), (None, None, None));
    }
}
