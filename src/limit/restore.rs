//! What was used before this process began, read back from the ledger's own sums.

use super::{Limiter, account::Rate, subject::Subject, subjects::Limited, window::Span};
use crate::{
    config::{Limits, Settings},
    domain::Period,
    store::{Store, StoreError, UsedRow},
};

/// The windows and budgets cannot be read back.
#[derive(Debug, thiserror::Error)]
#[error("what was used so far cannot be read, so limits cannot be kept; mend the database and start again")]
pub struct RestoreError {
    #[from]
    pub source: StoreError,
}

impl Limiter {
    /// Once, before the first call, when the journals of earlier processes are in the database.
    pub async fn restore(&self, store: &Store, settings: &Settings, now_unix_ms: i64) -> Result<(), RestoreError> {
        for limited in self.limited_features(store, settings).await? {
            // Made first: those that nothing limits may not find room.
            self.account(&limited.subject, &limited.limits, now_unix_ms);
        }
        let day_ago = now_unix_ms - Span::DAY.ms() - Span::DAY.slice_ms;
        // And those before, for a clock that is set back.
        let periods = Period::ALL.map(|period| period.start_ms(period.start_ms(now_unix_ms) - 1));
        let since = periods.into_iter().fold(day_ago, i64::min);
        for row in store.used_since(since).await? {
            for subject in whom(&row) {
                let Some(account) = self.account(&subject, &Limits::NONE, now_unix_ms) else { continue };
                if row.since_unix_ms >= day_ago {
                    let used = (row.calls, row.tokens);
                    account.restore(row.since_unix_ms, used, &[Rate::RequestsPerDay, Rate::TokensPerDay]);
                }
                if subject.pays() {
                    account.restore_spent(row.since_unix_ms, row.cost, now_unix_ms);
                }
            }
        }
        let minute_ago = now_unix_ms - Span::MINUTE.ms() - Span::MINUTE.slice_ms;
        for row in store.used_by_second(minute_ago).await? {
            for subject in whom(&row) {
                let Some(account) = self.account(&subject, &Limits::NONE, now_unix_ms) else { continue };
                let used = (row.calls, row.tokens);
                account.restore(row.since_unix_ms, used, &[Rate::RequestsPerMinute, Rate::TokensPerMinute]);
            }
        }
        Ok(())
    }
}

impl Limiter {
    async fn limited_features(&self, store: &Store, settings: &Settings) -> Result<Vec<Limited>, RestoreError> {
        let stored = store.tenants().await?;
        let stored = stored.iter().map(|row| (&row.id, &row.policy));
        let mut limited = Vec::new();
        for (tenant, policy) in settings.tenants.iter().chain(stored) {
            limited.extend(policy.features.iter().map(|(feature, limits)| Limited {
                subject: Subject::Feature(tenant.clone(), feature.clone()),
                limits: *limits,
            }));
        }
        Ok(limited)
    }
}

/// Everybody whom a row concerns. Addresses are not in the ledger: their windows begin anew.
fn whom(row: &UsedRow) -> Vec<Subject> {
    let tenant = &row.tenant;
    let mut subjects = vec![
        Subject::Tenant(tenant.clone()),
        Subject::Key(row.key.clone()),
        Subject::Model(row.route.clone()),
        Subject::TenantModel(tenant.clone(), row.route.clone()),
    ];
    subjects.extend(row.feature.clone().map(|feature| Subject::Feature(tenant.clone(), feature)));
    subjects
}
