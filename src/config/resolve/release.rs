//! `release:`.

use std::time::Duration;

use super::Resolver;
use crate::{
    config::{ReleaseSettings, RenewSettings, path::Path, raw},
    domain::Money,
};

impl Resolver<'_, '_> {
    pub(super) fn release(&mut self, raw: Option<&raw::Release>) -> ReleaseSettings {
        let mut release = ReleaseSettings::default();
        let Some(raw) = raw else { return release };
        let path = Path::root().key("release");
        if let Some(retain) = raw.retain.as_ref().and_then(|text| self.duration(&path.key("retain"), text)) {
            if retain < Duration::from_secs(1) {
                self.error(&path.key("retain"), "a replaced release is retained for at least 1s", "30d is usual");
            }
            release.retain = retain;
        }
        release.renew = self.renew(raw, &path);
        let none = raw::Approvals::default();
        let approvals = raw.approvals.as_ref().unwrap_or(&none);
        for (name, given, kept) in [
            ("critical", approvals.critical, &mut release.critical_persons),
            ("standard", approvals.standard, &mut release.standard_persons),
            ("batch", approvals.batch, &mut release.batch_persons),
        ] {
            if given == Some(0) {
                let help = "1: whoever promotes it is enough; 2: four eyes";
                self.error(&path.key("approvals").key(name), "somebody must promote a release", help);
            }
            *kept = given.unwrap_or(*kept);
        }
        let publish = raw.publish.iter().flatten().enumerate();
        release.publish =
            publish.filter_map(|(index, raw)| self.publish(&path.key("publish").index(index), raw)).collect();
        release
    }

    fn renew(&mut self, raw: &raw::Release, path: &Path) -> Option<RenewSettings> {
        let mut renew = RenewSettings::default();
        let key = path.key("renew_before");
        if let Some(before) = raw.renew_before.as_ref().and_then(|text| self.duration(&key, text)) {
            renew.before = before;
        }
        if let Some(usd) = raw.renew_max_usd {
            let key = path.key("renew_max_usd");
            match self.amount(&key, usd) {
                Some(Money::ZERO) => {
                    self.error(&key, "nothing is asked for nothing", "`renew: off` turns renewals off")
                }
                amount => renew.max_cost = amount.unwrap_or(renew.max_cost),
            }
        }
        (raw.renew != Some(raw::Renew::Off)).then_some(renew)
    }
}
