//! `drill:`.

use std::time::Duration;

use super::Resolver;
use crate::config::{DrillSettings, path::Path, raw};

impl Resolver<'_, '_> {
    pub(super) fn drill(&mut self, raw: Option<&raw::Drill>) -> DrillSettings {
        let mut drill = DrillSettings::default();
        let Some(raw) = raw else { return drill };
        let path = Path::root().key("drill");
        if let Some(after) = raw.warn_after.as_ref().and_then(|text| self.duration(&path.key("warn_after"), text)) {
            if after < Duration::from_secs(1) {
                self.error(&path.key("warn_after"), "nobody is drilled that often: at least 1s", "35d is usual");
            }
            drill.warn_after = after;
        }
        if let Some(questions) = raw.questions {
            if !(1..=1000).contains(&questions) {
                self.error(&path.key("questions"), "a drill asks 1 to 1000 questions", "40 is usual");
            }
            drill.questions = questions;
        }
        drill
    }
}
