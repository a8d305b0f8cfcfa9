//! What a caller of the store would notice: nothing twice, nothing lost, sums that add up, clear refusals.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use proptest::prelude::*;

use super::*;
use crate::{
    clock,
    config::{Limits, Tenant},
    domain::{Act, Action, Actor, CallId, Ending, FaultKind, KeyId, Money, Outcome, RouteId, Task, TenantId, Volume},
};

async fn store(dir: &Path) -> Store {
    Store::open_sqlite(&dir.join("backstop.db")).await.expect("a fresh directory takes a database")
}

fn journaled(outcome: &Outcome) -> Journaled {
    Journaled { outcome: outcome.clone(), journal: "1-1-aa".into() }
}

async fn put(store: &Store, calls: &[Outcome]) {
    store.put_calls(calls.iter().map(journaled).collect()).await.expect("stores");
}

async fn find(store: &Store, id: CallId) -> Outcome {
    store.find_call(id).await.expect("reads").expect("is there")
}

async fn raw(path: &Path, sql: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.expect("opens");
    sqlx::raw_sql(sql).execute(&pool).await.expect("runs");
    pool.close().await;
}

#[tokio::test]
async fn a_call_comes_back_as_it_went_in() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = store(dir.path()).await;
    let embedded = Outcome { task: Task::Embed, drill: Some("d1".into()), ..sample::answered() };
    let mut calls = vec![sample::answered(), sample::failed_over(), embedded];
    calls.extend(FaultKind::ALL.into_iter().chain([FaultKind::ClientGone]).map(|kind| Outcome {
        attempts: vec![sample::attempt("openai/gpt-4o-mini", Some(kind))],
        served_by: None,
        ..sample::ended(Ending::Failed)
    }));
    put(&store, &calls).await;
    for call in &calls {
        assert_eq!(find(&store, call.call).await, *call);
    }
    let listed = store
        .list_calls(CallFilter { tenant: None, route: None, ending: Some(Ending::Answered), limit: 10 })
        .await
        .expect("lists");
    assert_eq!(listed.len(), 3);
    let other = CallFilter { tenant: None, route: Some(RouteId::new("other")), ending: None, limit: 10 };
    assert_eq!(store.list_calls(other).await.expect("lists"), []);
}

#[tokio::test]
async fn a_final_row_takes_an_open_ones_place_and_is_never_replaced() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = store(dir.path()).await;
    let last = sample::failed_over();
    let open = Outcome { ending: Ending::Open, attempts: last.attempts[..1].to_vec(), ..last.clone() };
    let late = Outcome { ending: Ending::Failed, ..last.clone() };
    put(&store, std::slice::from_ref(&open)).await;
    assert_eq!(find(&store, open.call).await, open);
    put(&store, &[open.clone(), last.clone(), open.clone(), late.clone()]).await;
    put(&store, &[late]).await;
    put(&store, &[open]).await;
    assert_eq!(find(&store, last.call).await, last);
    assert_eq!(store.interrupt_open("1-1-aa").await.expect("runs"), 0);
}

#[tokio::test]
async fn open_calls_of_a_dead_process_are_interrupted_and_no_others() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = store(dir.path()).await;
    let (mine, theirs) = (sample::ended(Ending::Open), sample::ended(Ending::Open));
    put(&store, std::slice::from_ref(&mine)).await;
    store.put_calls(vec![Journaled { outcome: theirs.clone(), journal: "2-2-bb".into() }]).await.expect("stores");
    assert_eq!(store.interrupt_open("2-2-bb").await.expect("runs"), 1);
    assert_eq!(find(&store, mine.call).await.ending, Ending::Open);
    assert_eq!(find(&store, theirs.call).await.ending, Ending::Interrupted);
}

#[tokio::test]
async fn a_call_counts_once_where_it_was_served_and_money_where_it_was_spent() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = store(dir.path()).await;
    let nobody = Outcome { attempts: Vec::new(), served_by: None, ..sample::ended(Ending::Failed) };
    put(&store, &[sample::answered(), sample::failed_over(), nobody]).await;
    let rows = store.usage(&UsageFilter::default(), &[Dimension::Vendor]).await.expect("sums");
    let seen: Vec<_> = rows
        .iter()
        .map(|row| {
            let UsageTotals { calls, failed, attempts, cost, unpriced_attempts, .. } = row.totals;
            (row.group[0].as_deref(), calls, failed, attempts, cost.micros, unpriced_attempts)
        })
        .collect();
    let expected = [
        (None, 1, 1, 0, 0, 0),
        (Some("eu"), 0, 0, 0, 27, 0),
        (Some("local"), 1, 0, 1, 0, 1),
        (Some("openai"), 1, 0, 2, 54, 0),
    ];
    assert_eq!(seen, expected);
    let days = store.usage(&UsageFilter::default(), &[Dimension::Day]).await.expect("sums");
    assert_eq!(days[0].group, [Some("2026-11-18".to_owned())]);
    let none = UsageFilter { since_unix_ms: Some(1_795_000_000_001), ..UsageFilter::default() };
    assert_eq!(store.usage(&none, &[]).await.expect("sums"), []);
}

fn any_call() -> impl Strategy<Value = Outcome> {
    let attempt = (0usize..3, 0usize..3, any::<bool>(), 0u64..1 << 50, proptest::option::of(0i64..1 << 50));
    let attempts = proptest::collection::vec(attempt, 0..4);
    (0usize..3, proptest::option::of(0usize..2), attempts, any::<bool>()).prop_map(
        |(tenant, feature, attempts, open)| {
            let attempts: Vec<_> = attempts
                .into_iter()
                .map(|(vendor, model, made, tokens, cost)| {
                    let mut attempt = sample::attempt(&format!("v{vendor}/m{model}"), Some(FaultKind::Reset));
                    attempt.duration_ms = made.then_some(1.0);
                    attempt.usage.input = tokens;
                    attempt.cost = cost.map(Money::from_micros);
                    attempt
                })
                .collect();
            Outcome {
                tenant: TenantId::new(format!("t{tenant}")),
                feature: feature.map(|feature| crate::domain::FeatureId::new(format!("f{feature}"))),
                served_by: attempts.len().checked_sub(1),
                attempts,
                ..sample::ended(if open { Ending::Open } else { Ending::Interrupted })
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However it is grouped, the rows sum to the same totals, and those to what the calls themselves say.
    #[test]
    fn totals_are_the_sum_of_the_rows(calls in proptest::collection::vec(any_call(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        let dir = tempfile::tempdir().expect("temp dir");
        let bound = |value: i64| value.min(1 << 40);
        let cost: i64 = calls.iter().flat_map(|call| &call.attempts).filter_map(|made| made.cost).map(|cost| bound(cost.micros)).sum();
        let input: u64 = calls.iter().flat_map(|call| &call.attempts).map(|made| made.usage.input.min(1 << 40)).sum();
        runtime.block_on(async {
            let store = store(dir.path()).await;
            put(&store, &calls).await;
            let whole = store.usage(&UsageFilter::default(), &[]).await.expect("sums")[0].totals;
            prop_assert_eq!((whole.calls, whole.cost.micros, whole.input_tokens), (calls.len() as u64, cost, input));
            use Dimension::{Day, Feature, Key, Model, Route, Tenant, Vendor};
            for group_by in [&[Tenant][..], &[Vendor], &[Model, Vendor], &[Feature, Day], &[Route, Key, Tenant, Model]] {
                let rows = store.usage(&UsageFilter::default(), group_by).await.expect("sums");
                prop_assert_eq!(rows.iter().map(|row| row.totals).sum::<UsageTotals>(), whole);
            }
            // Narrowed to each value of any dimension, the parts are the rows that it has.
            for dimension in <Dimension as clap::ValueEnum>::value_variants() {
                let rows = store.usage(&UsageFilter::default(), &[*dimension]).await.expect("sums");
                prop_assert_eq!(rows.iter().map(|row| row.totals).sum::<UsageTotals>(), whole);
                for row in rows {
                    let only = Only { dimension: *dimension, values: row.group };
                    let filter = UsageFilter { only: vec![only], ..UsageFilter::default() };
                    prop_assert_eq!(store.usage(&filter, &[]).await.expect("sums")[0].totals, row.totals);
                }
            }
            // One by one, a page at a time, it is the same money.
            let (mut after, mut spent) = (None, Vec::new());
            loop {
                let page = store.spent(&UsageFilter::default(), &[Tenant], (after.as_ref(), 3)).await.expect("reads");
                let Some(last) = page.last() else { break };
                after = Some(last.at.clone());
                spent.extend(page);
            }
            prop_assert_eq!(spent.iter().filter_map(|row| row.cost).map(|cost| cost.micros).sum::<i64>(), cost);
            // The hourly sums are those of the calls, before and after what a dead process left open is ended.
            for _ in 0..2 {
                for rows in [store.used_since(0).await, store.used_by_second(0).await] {
                    let rows = rows.expect("sums");
                    let cost_of_rows: i64 = rows.iter().map(|row| row.cost.micros).sum();
                    let calls_of_rows: u64 = rows.iter().map(|row| row.calls).sum();
                    prop_assert_eq!((calls_of_rows, cost_of_rows), (calls.len() as u64, cost));
                    let tokens: u64 = rows.iter().map(|row| row.tokens).sum();
                    prop_assert_eq!(tokens, whole.input_tokens + whole.output_tokens);
                }
                // So are vendors' shares, and those of all but one process.
                let shares = store.shares_since(0, None).await.expect("sums");
                let mut share = Volume::ZERO;
                shares.iter().for_each(|row| share += row.volume);
                let mut attempts = Volume::ZERO;
                calls.iter().flat_map(|call| &call.attempts).for_each(|attempt| attempts += Volume::of_attempt(attempt));
                prop_assert_eq!(share, attempts);
                prop_assert_eq!(store.shares_since(0, Some("1-1-aa".to_owned())).await.expect("sums"), []);
                store.interrupt_open("1-1-aa").await.expect("ends");
                // Told twice, counted once.
                put(&store, &calls).await;
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    let dir = tempfile::tempdir().expect("temp dir");
    fs::write(dir.path().join("backstop.db"), b"").expect("writes");
    fs::set_permissions(dir.path().join("backstop.db"), fs::Permissions::from_mode(0o644)).expect("widens");
    let store = store(dir.path()).await;
    put(&store, &[sample::answered()]).await;
    for entry in fs::read_dir(dir.path()).expect("lists") {
        let entry = entry.expect("lists");
        assert_eq!(entry.metadata().expect("stats").permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
}

#[tokio::test]
async fn what_is_not_ours_is_refused_and_left_as_it_was() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("backstop.db");

    fs::write(&path, [b'x'; 8192]).expect("writes");
    let error = Store::open_sqlite(&path).await.expect_err("is no database");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    assert_eq!(fs::read(&path).expect("reads"), [b'x'; 8192]);

    fs::remove_file(&path).expect("removes");
    raw(&path, "CREATE TABLE songs (title TEXT)").await;
    let error = Store::open_sqlite(&path).await.expect_err("is another application's");
    assert!(matches!(error, StoreError::Foreign { .. }), "{error:?}");

    fs::remove_file(&path).expect("removes");
    drop(store(dir.path()).await);
    raw(&path, "PRAGMA user_version = 99").await;
    let error = Store::open_sqlite(&path).await.expect_err("is newer");
    assert!(matches!(error, StoreError::NewerSchema { found: 99, .. }), "{error:?}");

    let error = Store::open_sqlite(&dir.path().join("no/such/dir.db")).await.expect_err("has no directory");
    assert!(matches!(error, StoreError::Create { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_open_a_new_database_at_once() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("backstop.db");
    let openers: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            tokio::spawn(async move {
                let store = Store::open_sqlite(&path).await?;
                store.put_calls(vec![journaled(&sample::answered())]).await
            })
        })
        .collect();
    for opener in openers {
        opener.await.expect("runs").expect("opens and stores");
    }
    let usage = store(dir.path()).await.usage(&UsageFilter::default(), &[]).await.expect("sums");
    assert_eq!(usage[0].totals.calls, 8);
}

fn entry() -> Record {
    Record::of(&Act::new(Actor::gateway(), Action::KeyIssue, ("client_key", "sk-bs-12345678")))
}

#[tokio::test]
async fn changes_to_clients_change_the_revision() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = store(dir.path()).await;
    let tenant = TenantRow { id: TenantId::new("acme"), created_unix_ms: 1, policy: Tenant::default() };
    let key = |id: &str| KeyRow {
        hash: clock::random_bytes(),
        key_id: KeyId::new(id),
        tenant: TenantId::new("acme"),
        name: Some("laptop".to_owned()),
        created_unix_ms: 1,
        expires_unix_ms: None,
        revoked_unix_ms: None,
        may: May::default(),
    };
    let mut seen = vec![store.clients_revision().await.expect("reads")];
    assert!(store.add_first(tenant.clone(), key("a"), entry()).await.expect("adds"));
    seen.push(store.clients_revision().await.expect("reads"));
    assert!(!store.add_first(tenant.clone(), key("b"), entry()).await.expect("is not empty"));
    assert!(!store.add_tenant(tenant.clone(), entry()).await.expect("is there"));
    let limits = Limits { requests_per_minute: Some(60), ..Limits::NONE };
    let policy = Tenant { limits, ..Tenant::default() };
    let limited = TenantRow { policy: policy.clone(), ..tenant };
    let was = Some(Tenant::default());
    assert!(store.limit_tenant(was.clone(), limited.clone(), entry()).await.expect("limits"));
    assert!(!store.limit_tenant(was, limited, entry()).await.expect("it is another by now"));
    seen.push(store.clients_revision().await.expect("reads"));
    assert!(store.replace_key(KeyId::new("a"), key("c"), None, entry()).await.expect("replaces"));
    assert!(!store.replace_key(KeyId::new("a"), key("d"), None, entry()).await.expect("is revoked"));
    seen.push(store.clients_revision().await.expect("reads"));
    assert!(store.revoke_key(KeyId::new("c"), 5, entry()).await.expect("revokes"));
    assert!(!store.revoke_key(KeyId::new("c"), 6, entry()).await.expect("is revoked"));
    seen.push(store.clients_revision().await.expect("reads"));
    let changes = seen.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert_eq!(changes, seen.len() - 1, "{seen:?}");
    assert_eq!(store.tenants().await.expect("lists")[0].policy, policy);
    let keys = store.keys().await.expect("lists");
    assert_eq!(keys.iter().map(|key| key.key_id.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(keys[1].revoked_unix_ms, Some(5));
    // One entry for each change, none for what changed nothing.
    assert_eq!(store.audit_size().await.expect("counts"), 4);
}
