//! Times, told to people.

/// `2026-11-26`
pub fn moment(unix_ms: i64) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp(unix_ms.div_euclid(1000));
    at.map_or_else(|_| unix_ms.to_string(), |at| format!("{} {:02}:{:02} UTC", at.date(), at.hour(), at.minute()))
}
