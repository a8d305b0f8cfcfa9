//! Domain values as columns and back. What SQLite cannot hold or add up is bounded here.

use serde::{Deserialize, de::IntoDeserializer as _};
use sqlx::{Row as _, sqlite::SqliteRow};

use crate::{
    domain::{
        Attempt, CallId, Ending, FeatureId, KeyId, Money, Outcome, RouteId, TargetId, TenantId, TokenUsage, ToolUses,
        VendorId,
    },
    store::StoreError,
};

/// The most that one attempt is booked with, so that no vendor's absurd number can overflow a sum.
const MOST: i64 = 1 << 40;

/// A count as a column, at most [`MOST`].
pub(super) fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(MOST).min(MOST)
}

/// An amount as a column, at most about a million dollars either way.
pub(super) fn micros(money: Money) -> i64 {
    money.micros.clamp(-MOST, MOST)
}

pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// A word of one of the domain's enums.
pub(super) fn word<T: for<'de> Deserialize<'de>>(what: &'static str, value: &str) -> Result<T, StoreError> {
    let deserializer: serde::de::value::StrDeserializer<'_, serde::de::value::Error> = value.into_deserializer();
    T::deserialize(deserializer).map_err(|_| StoreError::Unknown { what, value: value.to_owned() })
}

/// The position of the attempt that the call is counted under: the one that served, else the last that was made, else
/// the last.
pub(super) fn counted_under(outcome: &Outcome) -> Option<usize> {
    let last = outcome.attempts.len().checked_sub(1)?;
    let made = outcome.attempts.iter().rposition(|attempt| attempt.duration_ms.is_some() || attempt.fault.is_none());
    Some(outcome.served_by.filter(|index| *index <= last).or(made).unwrap_or(last))
}

pub(super) fn call(row: &SqliteRow) -> Result<Outcome, StoreError> {
    let id: String = row.try_get("id")?;
    let text = |name| row.try_get::<String, _>(name);
    Ok(Outcome {
        call: CallId::parse(&id).ok_or(StoreError::Unknown { what: "call id", value: id })?,
        started_unix_ms: row.try_get("started_unix_ms")?,
        tenant: TenantId::new(text("tenant")?),
        key: KeyId::new(text("key_id")?),
        feature: row.try_get::<Option<String>, _>("feature")?.map(FeatureId::new),
        route: RouteId::new(text("route")?),
        release: row.try_get("release")?,
        dialect: word("dialect", &text("dialect")?)?,
        task: word("task", &text("task")?)?,
        streamed: row.try_get("streamed")?,
        attempts: Vec::new(),
        served_by: row.try_get::<Option<i64>, _>("served_by")?.and_then(|index| usize::try_from(index).ok()),
        ending: word::<Ending>("ending", &text("ending")?)?,
        finish: row.try_get::<Option<String>, _>("finish")?.map(|end| word("finish reason", &end)).transpose()?,
        json: row.try_get::<Option<String>, _>("json_verdict")?.map(|found| word("verdict", &found)).transpose()?,
        status: row.try_get("status")?,
        ttft_ms: row.try_get("ttft_ms")?,
        total_ms: row.try_get("total_ms")?,
        overhead_ms: row.try_get("overhead_ms")?,
        drill: row.try_get::<Option<String>, _>("drill")?.map(Into::into),
    })
}

pub(super) fn attempt(row: &SqliteRow) -> Result<Attempt, StoreError> {
    let text = |name| row.try_get::<String, _>(name);
    let fault: Option<String> = row.try_get("fault")?;
    Ok(Attempt {
        target_index: usize::try_from(row.try_get::<i64, _>("target_index")?).unwrap_or(0),
        target: TargetId { vendor: VendorId::new(text("vendor")?), model: text("model")?.into() },
        role: word("role", &text("role")?)?,
        started_ms: row.try_get("started_ms")?,
        ttft_ms: row.try_get("ttft_ms")?,
        duration_ms: row.try_get("duration_ms")?,
        fault: fault.map(|kind| word("fault", &kind)).transpose()?,
        status: row.try_get("status")?,
        detail: row.try_get::<Option<String>, _>("detail")?.map(Into::into),
        usage: usage(row)?,
        usage_source: word("usage source", &text("usage_source")?)?,
        cost: row.try_get::<Option<i64>, _>("cost_micros")?.map(Money::from_micros),
        priced: word("price state", &text("priced")?)?,
        price_row: row.try_get::<Option<String>, _>("price_row")?.map(Into::into),
    })
}

/// What an attempt's row says was used.
pub(super) fn usage(row: &SqliteRow) -> Result<TokenUsage, StoreError> {
    let number = |name| row.try_get::<i64, _>(name).map(unsigned);
    Ok(TokenUsage {
        input: number("input_tokens")?,
        output: number("output_tokens")?,
        cached_input: number("cached_tokens")?,
        cache_write: number("cache_write_tokens")?,
        cache_write_1h: number("cache_write_1h_tokens")?,
        audio_input: number("audio_input_tokens")?,
        image_input: number("image_input_tokens")?,
        unbilled_input: number("unbilled_input_tokens")?,
        reasoning: number("reasoning_tokens")?,
        audio_output: number("audio_output_tokens")?,
        image_output: number("image_output_tokens")?,
        unbilled_output: number("unbilled_output_tokens")?,
        machine_us: number("machine_us")?,
        tools: ToolUses {
            web_searches: number("web_searches")?,
            file_searches: number("file_searches")?,
            code_sessions: number("code_sessions")?,
        },
        service: word("class of service", row.try_get("service")?)?,
    })
}
