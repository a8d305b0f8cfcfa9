//! Every metric: its name, its labels, what it means; and the recorder that renders them for `/metrics`.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Finished calls. Labels: `route`, `dialect`, `task`, `ending`.
pub const CALLS: &str = "backstop_calls_total";
/// Attempts at targets, skipped ones too. Labels: `route`, `target`, `result` (`ok` or a fault kind).
pub const ATTEMPTS: &str = "backstop_attempts_total";
/// Calls served by a target that is not the route's first. Labels: `route`, `target`.
pub const FALLBACKS: &str = "backstop_fallbacks_total";
/// Calls refused before admission. Label: `reason`.
pub const REFUSED: &str = "backstop_refused_total";
/// Admission to last byte, in seconds. Label: `route`.
pub const CALL_SECONDS: &str = "backstop_call_duration_seconds";
/// Start of an attempt to its first content, in seconds. Label: `target`.
pub const FIRST_CONTENT_SECONDS: &str = "backstop_first_content_seconds";
/// What the gateway itself added to a call, in seconds.
pub const OVERHEAD_SECONDS: &str = "backstop_overhead_seconds";
/// A target's breaker: 0 closed, 0.5 half open or recovering, 1 open. Label: `target`.
pub const BREAKER: &str = "backstop_breaker_open";
/// 1 while the target's region or vendor is taken to be out. Label: `target`.
pub const OUTAGE: &str = "backstop_outage_open";
/// Attempts beside the ladder's own. Labels: `target`, `role` (`retry`, `hedge`, `restart`).
pub const EXTRA_ATTEMPTS: &str = "backstop_extra_attempts_total";
/// Tokens of all attempts. Labels: `target`, `type` (`input`, `output`, `cached_input`, `cache_write`, `reasoning`,
/// `audio_input`, `audio_output`, `image_input`, `image_output`).
pub const TOKENS: &str = "backstop_tokens_total";
/// Cost of all attempts in millionths of a US dollar. Label: `target`.
pub const COST_MICROS: &str = "backstop_cost_usd_micros_total";
/// Attempts whose cost is not known, or not known well. Labels: `target`, `state` (`missing`, `stale`, `partial`).
pub const DOUBTFUL_PRICES: &str = "backstop_doubtful_prices_total";
/// Calls that are being answered now.
pub const IN_FLIGHT: &str = "backstop_calls_in_flight";
/// Config reloads. Label: `result` (`applied`, `refused`, `unchanged`).
pub const RELOADS: &str = "backstop_config_reloads_total";
/// Targets that strict enforcement leaves out (or warn lets through) now. Label: `route`, `target`.
/// By target and outcome: `same`, `drift`, `unknown`.
pub const SENTINEL_PROBES: &str = "backstop_sentinel_probes_total";
/// Renewals of retained releases' certificates. Labels: `target`, `outcome` (`renewed`, `unsigned`, `failed`).
pub const RENEWALS: &str = "backstop_renewals_total";
/// Triggers of a rollback that fired. Labels: `route`, `kind` (`incident`, `rule`), `result` (`rolled_back`, `stayed`).
pub const TRIGGERS: &str = "backstop_triggers_total";
pub const UNCERTIFIED: &str = "backstop_target_uncertified";
/// Ledger rows that wait in memory because the journal cannot be written.
pub const LEDGER_BUFFERED: &str = "backstop_ledger_buffered_rows";
/// Ledger rows in the journal that the database does not have yet.
pub const LEDGER_LAG: &str = "backstop_ledger_lag_rows";
/// Calls that wait for the local engine. Label: `model`.
pub const LOCAL_QUEUED: &str = "backstop_local_queued";
/// 1 while the local engine can answer. Label: `model`.
pub const LOCAL_READY: &str = "backstop_local_ready";
/// Alerts sent, by what came of it. Labels: `sink` (its kind), `result` (`ok`, `retry`, `refused`, `gave_up`).
pub const ALERTS_SENT: &str = "backstop_alerts_sent_total";
/// Alerts that wait in the outbox. Label: `sink` (its kind).
pub const ALERTS_OUTBOX: &str = "backstop_alerts_outbox";
/// Alerts that left the outbox unsent because it was full. Label: `sink` (its kind).
pub const ALERTS_DROPPED: &str = "backstop_alerts_dropped_total";
/// Incidents that are open now. Label: `severity`.
pub const INCIDENTS: &str = "backstop_incidents_open";
/// Entries in the audit log.
pub const AUDIT_ENTRIES: &str = "backstop_audit_entries";
/// Audit entries in the local journal that the database does not have yet.
pub const AUDIT_WAITING: &str = "backstop_audit_waiting_entries";
/// 1 while the audit log cannot be signed: it is not what was signed last, or the key or the database cannot be used.
pub const AUDIT_UNSIGNED: &str = "backstop_audit_unsigned";
/// Audit entries that no checkpoint covers yet at a place off the host. Label: `sink` (its index and kind).
pub const AUDIT_UNPUBLISHED: &str = "backstop_audit_unpublished_entries";
/// Audit entries that a witness has not cosigned yet. Label: `witness` (its name).
pub const AUDIT_UNCOSIGNED: &str = "backstop_audit_uncosigned_entries";
/// Checkpoints published, by what came of it. Labels: `sink`, `result` (`ok`, `failed`).
pub const AUDIT_PUBLICATIONS: &str = "backstop_audit_publications_total";
/// A vendor's part of the volume in the share cap's window, 0 to 1. Label: `vendor` (who runs the models; `own_hardware`).
pub const VENDOR_SHARE: &str = "backstop_vendor_share";
/// What calls under way have set aside of it. Labels: `vendor`, `unit` (`tokens`, `requests`, `cost`: micro-dollars).
pub const VENDOR_SHARE_RESERVED: &str = "backstop_vendor_share_reserved";
/// 1 while the share cap is overridden.
pub const SHARE_OVERRIDDEN: &str = "backstop_share_override_active";
/// The number of the release that serves. Label: `route`.
pub const RELEASE_SERVING: &str = "backstop_release_serving";
/// The part of a route's calls that its canary answers, 0 to 1. Label: `route`.
pub const RELEASE_CANARY: &str = "backstop_release_canary_share";
/// Acts on releases that took effect. Labels: `route`, `act` (`promote`, `rollback`, `canary`, `canary_end`).
pub const RELEASE_MOVES: &str = "backstop_release_moves_total";
/// From the last decision to its traffic's shift, in seconds. Labels: `route`, `act`.
pub const RELEASE_SHIFT_SECONDS: &str = "backstop_release_shift_seconds";
/// Acts on releases in the state directory that the database does not have yet.
pub const RELEASES_WAITING: &str = "backstop_releases_waiting";
/// Finished calls that were part of a drill; they are in no other figure of their route. Labels: `route`, `ending`.
pub const DRILL_CALLS: &str = "backstop_drill_calls_total";
/// 1 while a drill is on. Label: `route`.
pub const DRILL_ON: &str = "backstop_drill_on";
/// Since the last drill that showed somebody serving, or since the route is known where there was none. Label: `route`.
pub const DRILL_AGE: &str = "backstop_drill_age_seconds";
/// Readings of figures from a Prometheus. Labels: `figure`, `result` (`ok`, `failed`).
pub const PROMETHEUS_READS: &str = "backstop_prometheus_reads_total";
/// Answers that were to be JSON. Label: `verdict` (`valid`, `not_json`, `not_schema`, `unchecked`; `not_looked_at`: too many came).
pub const ANSWER_JSON: &str = "backstop_answer_json_total";
/// Requests with a token of the company's identity provider. Label: `result` (`ok`, or why it was refused).
pub const ADMIN_LOGINS: &str = "backstop_admin_oidc_total";
/// Outcomes that metrics, traces or alerts did not get because a queue was full.
pub const UNPUBLISHED: &str = "backstop_outcomes_unpublished_total";

const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0];
const OVERHEAD: [f64; 10] = [0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.02, 0.1];

/// Installs the process-wide recorder. Once per process.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(OVERHEAD_SECONDS.into()), &OVERHEAD)?
        .set_buckets(&SECONDS)?
        .install_recorder()?;
    describe();
    Ok(handle)
}

fn describe() {
    describe_counter!(CALLS, "Finished calls by route, dialect, task and ending");
    describe_counter!(ATTEMPTS, "Attempts at targets by route, target and result");
    describe_counter!(FALLBACKS, "Calls served by a target that is not the route's first");
    describe_counter!(REFUSED, "Calls refused before admission, by reason");
    describe_histogram!(CALL_SECONDS, Unit::Seconds, "Admission to last byte");
    describe_histogram!(FIRST_CONTENT_SECONDS, Unit::Seconds, "Start of an attempt to its first content");
    describe_histogram!(OVERHEAD_SECONDS, Unit::Seconds, "What the gateway itself added to a call");
    describe_gauge!(BREAKER, "A target's breaker: 0 closed, 0.5 half open or recovering, 1 open");
    describe_gauge!(OUTAGE, "1 while the target's region or vendor is taken to be out");
    describe_counter!(EXTRA_ATTEMPTS, "Attempts beside the ladder's own, by target and role");
    describe_counter!(TOKENS, "Tokens of all attempts by target and type");
    describe_counter!(COST_MICROS, "Cost of all attempts in millionths of a US dollar");
    describe_counter!(DOUBTFUL_PRICES, "Attempts whose cost is not known, or not known well, by target and state");
    describe_gauge!(IN_FLIGHT, "Calls that are being answered now");
    describe_counter!(RELOADS, "Config reloads by result");
    describe_counter!(RENEWALS, "Renewals of certificates of retained releases, by what came of them");
    describe_counter!(SENTINEL_PROBES, "Probes of certified models of vendors, by what they found");
    describe_counter!(TRIGGERS, "Triggers of a rollback that fired, by route, kind and result");
    describe_gauge!(UNCERTIFIED, "1 for each target of a route that has no valid certificate");
    describe_gauge!(LEDGER_BUFFERED, "Ledger rows that wait in memory because the journal cannot be written");
    describe_gauge!(LEDGER_LAG, "Ledger rows in the journal that the database does not have yet");
    describe_gauge!(LOCAL_QUEUED, "Calls that wait for the local engine");
    describe_gauge!(LOCAL_READY, "1 while the local engine can answer");
    describe_counter!(ALERTS_SENT, "Alerts sent, by kind of sink and result");
    describe_gauge!(ALERTS_OUTBOX, "Alerts that wait in the outbox, by kind of sink");
    describe_counter!(ALERTS_DROPPED, "Alerts that left the outbox unsent because it was full, by kind of sink");
    describe_gauge!(INCIDENTS, "Incidents that are open now, by severity");
    describe_gauge!(AUDIT_ENTRIES, "Entries in the audit log");
    describe_gauge!(AUDIT_WAITING, "Audit entries in the local journal that the database does not have yet");
    describe_gauge!(AUDIT_UNSIGNED, "1 while the audit log cannot be signed");
    describe_gauge!(AUDIT_UNPUBLISHED, "Audit entries that no checkpoint covers yet at a place off the host, by sink");
    describe_gauge!(AUDIT_UNCOSIGNED, "Audit entries that a witness has not cosigned yet, by witness");
    describe_counter!(AUDIT_PUBLICATIONS, "Checkpoints published, by sink and result");
    describe_gauge!(VENDOR_SHARE, "A vendor's part of the volume in the share cap's window, 0 to 1");
    describe_gauge!(VENDOR_SHARE_RESERVED, "What calls under way have set aside with a vendor, by unit");
    describe_gauge!(SHARE_OVERRIDDEN, "1 while the share cap is overridden");
    describe_gauge!(RELEASE_SERVING, "The number of the release that serves, by route");
    describe_gauge!(RELEASE_CANARY, "The part of a route's calls that its canary answers, 0 to 1");
    describe_counter!(RELEASE_MOVES, "Promotions, rollbacks and canaries that took effect, by route and act");
    describe_gauge!(
        RELEASE_SHIFT_SECONDS,
        Unit::Seconds,
        "From the last decision to its traffic's shift, by route and act"
    );
    describe_gauge!(RELEASES_WAITING, "Acts on releases that the database does not have yet");
    describe_counter!(DRILL_CALLS, "Finished calls that were part of a drill, by route and ending");
    describe_gauge!(DRILL_ON, "1 while a drill is on, by route");
    describe_gauge!(DRILL_AGE, Unit::Seconds, "Since the last drill, or since the route is known where there was none");
    describe_counter!(PROMETHEUS_READS, "Readings of figures from a Prometheus, by figure and result");
    describe_counter!(ANSWER_JSON, "Answers that were to be JSON, by what they were worth");
    describe_counter!(ADMIN_LOGINS, "Requests with a token of the company's identity provider, by result");
    describe_counter!(UNPUBLISHED, "Outcomes that metrics, traces or alerts did not get because a queue was full");
}
