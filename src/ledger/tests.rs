//! What an operator would notice: a call that was recorded is in the database exactly once, whatever happens between.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use super::*;
use crate::{
    domain::{CallId, Ending},
    store::{CallFilter, sample},
};

const SOON: Duration = Duration::from_secs(30);
const CHILD_STATE: &str = "BACKSTOP_TEST_CHILD_STATE";

async fn opened(dir: &Path) -> (StateDir, Store) {
    let state = StateDir::open(Some(dir)).expect("state directory");
    let store = Store::open_sqlite(&state.database()).await.expect("database");
    (state, store)
}

async fn stored(store: &Store) -> BTreeMap<CallId, Ending> {
    let all = CallFilter { tenant: None, route: None, ending: None, limit: u32::MAX };
    store.list_calls(all).await.expect("lists").into_iter().map(|call| (call.call, call.ending)).collect()
}

fn journal_files(state: &StateDir, extension: &str) -> usize {
    let files = fs::read_dir(state.journal()).expect("lists");
    files
        .filter(|entry| entry.as_ref().expect("lists").path().extension().is_some_and(|kind| kind == extension))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_calls_reach_the_database_and_leave_the_journal() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (state, store) = opened(dir.path()).await;
    let ledger = Ledger::open(&state, store.clone()).await.expect("opens");
    let open = sample::ended(Ending::Open);
    let calls = [sample::answered(), sample::failed_over(), open.clone()];
    for call in &calls {
        ledger.record(call).expect("records");
    }
    ledger.record(&Outcome { ending: Ending::Cancelled, ..open.clone() }).expect("records");
    assert!(ledger.close(SOON).await);
    let stored = stored(&store).await;
    assert_eq!((stored.len(), stored[&open.call]), (3, Ending::Cancelled));
    assert_eq!(ledger.health(), Health { journal_ok: true, buffered: 0, lag_rows: 0, db_ok: true });
    assert_eq!(journal_files(&state, "calls"), 1, "only the segment that new calls would go to");
    let mode = |path| fs::metadata(path).expect("stats").permissions().mode() & 0o777;
    assert_eq!(mode(state.journal()), 0o700);
    for entry in fs::read_dir(state.journal()).expect("lists") {
        assert_eq!(mode(entry.expect("lists").path()), 0o600);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_threads_lose_nothing() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (state, store) = opened(dir.path()).await;
    let ledger = Ledger::open(&state, store.clone()).await.expect("opens");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    ledger.record(&sample::failed_over()).expect("records");
                }
            });
        }
    });
    assert!(ledger.close(SOON).await);
    let usage = ledger.usage(&UsageFilter::default(), &[]).await.expect("sums");
    assert_eq!((usage[0].totals.calls, usage[0].totals.attempts), (20_000, 40_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_calls_that_are_still_in_a_live_journal() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (state, store) = opened(dir.path()).await;
    let journal = Journal::open(&state.journal(), Bounds::default()).expect("opens");
    let call = sample::answered();
    journal.record(&call).expect("records");
    catch_up(&state, &store).await.expect("reads");
    catch_up(&state, &store).await.expect("reads again");
    assert_eq!(stored(&store).await, BTreeMap::from([(call.call, Ending::Answered)]));
    assert_eq!(journal_files(&state, "calls"), 1, "it belongs to its writer");

    // And the server does not take what lives for left over.
    let ledger = Ledger::open(&state, store.clone()).await.expect("opens");
    assert!(ledger.close(SOON).await);
    assert_eq!(journal_files(&state, "calls"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_process_left_is_stored_whatever_it_looks_like() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (state, store) = opened(dir.path()).await;
    let (whole, open, torn) = (sample::answered(), sample::ended(Ending::Open), sample::answered());
    let mut bytes = b"\0\0\0garbage".to_vec();
    let mut line = Vec::new();
    for call in [&whole, &open, &torn] {
        line::write(call, &mut line).expect("writes");
        bytes.extend_from_slice(&line);
    }
    bytes.truncate(bytes.len() - 20);
    fs::create_dir_all(state.journal()).expect("makes");
    fs::write(state.journal().join("1-1-aa.00000003.calls"), bytes).expect("writes");
    fs::write(state.journal().join("1-1-aa.lock"), b"").expect("writes");
    // Another version's row is put aside, not deleted.
    let other = format!("\n{:08x} {{}}\n", crc32fast::hash(b"{}"));
    fs::write(state.journal().join("2-2-bb.00000000.calls"), other).expect("writes");

    let ledger = Ledger::open(&state, store.clone()).await.expect("opens");
    assert!(ledger.close(SOON).await);
    let expected = BTreeMap::from([(whole.call, Ending::Answered), (open.call, Ending::Interrupted)]);
    assert_eq!(stored(&store).await, expected);
    assert_eq!((journal_files(&state, "calls"), journal_files(&state, "lock")), (1, 1), "only the new owner's");
    assert_eq!(journal_files(&state, "unknown"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_borne_until_memory_is_full_too() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (state, store) = opened(dir.path()).await;
    let bounds = Bounds { buffer_rows: 4, ..Bounds::default() };
    let journal = Journal::open(&state.journal(), bounds).expect("opens");
    journal.break_disk();
    let calls: Vec<Outcome> = (0..5).map(|_| sample::answered()).collect();
    journal.record(&calls[0]).expect("memory takes it");
    assert!(journal.takes_calls());
    for call in &calls[1..4] {
        journal.record(call).expect("memory takes it");
    }
    assert!(!journal.takes_calls(), "half of memory is for calls under way");
    let refused = journal.record(&calls[4]).expect_err("memory is full");
    assert!(matches!(refused, LedgerError::Full { buffered: 4 }), "{refused:?}");
    journal.retry();
    assert_eq!((journal.is_failing(), journal.buffered(), journal.lag_rows()), (true, 4, 4));

    journal.mend_disk();
    journal.retry();
    assert_eq!((journal.is_failing(), journal.buffered(), journal.takes_calls()), (false, 0, true));
    catch_up(&state, &store).await.expect("reads");
    assert_eq!(stored(&store).await.len(), 4);
}

/// Watches `journal` from another thread while `act` runs; whether it ever looked drained.
fn looked_drained(journal: &Journal, act: impl FnOnce()) -> bool {
    let acting = std::sync::atomic::AtomicBool::new(true);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = false;
            while acting.load(std::sync::atomic::Ordering::Relaxed) {
                seen |= journal.is_drained();
            }
            seen
        });
        act();
        acting.store(false, std::sync::atomic::Ordering::Relaxed);
        watcher.join().expect("watches")
    })
}

#[test]
fn a_call_on_its_way_to_the_database_is_never_taken_for_stored() {
    let dir = tempfile::tempdir().expect("temp dir");
    let state = StateDir::open(Some(dir.path())).expect("state directory");
    let journal = Journal::open(&state.journal(), Bounds::default()).expect("opens");
    for _ in 0..50 {
        journal.record(&sample::answered()).expect("records");
        let later = clock::now() + Duration::from_secs(1);
        assert!(!looked_drained(&journal, || assert!(journal.rotate(later).expect("rotates"))));
        journal.forget_oldest(1);
        assert!(journal.is_drained());
    }
    journal.break_disk();
    for _ in 0..1_000 {
        journal.record(&sample::answered()).expect("memory takes it");
    }
    journal.mend_disk();
    assert!(!looked_drained(&journal, || journal.retry()));
    assert_eq!(journal.buffered(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_outage_loses_nothing_and_the_journal_has_a_bound() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (state, store) = opened(dir.path()).await;
    let away = Store::open_sqlite(&dir.path().join("away.db")).await.expect("database");
    away.close().await;
    let bounds = Bounds { journal_bytes: 4096, buffer_rows: 2, ..Bounds::default() };
    let ledger = Ledger::with_bounds(&state, away, bounds).expect("opens");
    let mut recorded = 0;
    while ledger.record(&sample::answered()).is_ok() {
        recorded += 1;
        assert!(recorded < 100, "the journal has a bound");
    }
    assert!(recorded >= 6);
    assert!(!ledger.close(Duration::from_millis(300)).await, "nothing can be stored");
    let health = ledger.health();
    assert_eq!((health.db_ok, health.lag_rows), (false, recorded));

    // The database is back, for another process.
    drop(ledger);
    let ledger = Ledger::open(&state, store.clone()).await.expect("opens");
    let all = async {
        while stored(&store).await.len() < recorded as usize - 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            catch_up(&state, &store).await.expect("reads");
        }
    };
    tokio::time::timeout(SOON, all).await.expect("everything on disk is stored");
    assert!(ledger.close(SOON).await);
}

/// Not a test of its own: the child of the next one. Records until it is killed, and says what it recorded.
#[tokio::test(flavor = "multi_thread")]
async fn child_records_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD_STATE) else { return };
    let (state, store) = opened(Path::new(&dir)).await;
    let ledger = Ledger::open(&state, store).await.expect("opens");
    let writers: Vec<_> = (0..3)
        .map(|_| {
            let ledger = ledger.clone();
            thread::spawn(move || {
                for number in 0..200_000 {
                    let call = if number % 10 == 0 { sample::ended(Ending::Open) } else { sample::failed_over() };
                    ledger.record(&call).expect("records");
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "recorded {} {}", call.call, call.ending.as_str()).expect("the parent reads");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().expect("writes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_dash_nine_under_load_loses_nothing_and_doubles_nothing() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut recorded: BTreeMap<CallId, String> = BTreeMap::new();
    // Early, so that the database is hardly made; and late, so that segments were rotated and stored.
    for lines in [1, 700, 4_000, 9_000] {
        let mut child = Command::new(std::env::current_exe().expect("has a path"))
            .args(["--exact", "ledger::tests::child_records_until_it_is_killed", "--nocapture"])
            .env(CHILD_STATE, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut out = BufReader::new(child.stdout.take().expect("is piped")).lines();
        let mut left = lines;
        while let Some(Ok(line)) = out.next() {
            let mut words = line.split(' ').skip_while(|word| *word != "recorded").skip(1);
            let (Some(id), Some(ending)) = (words.next().and_then(CallId::parse), words.next()) else { continue };
            recorded.insert(id, ending.to_owned());
            left -= 1;
            if left == 0 {
                child.kill().expect("is killed with SIGKILL");
            } else if left < -200_000 {
                break;
            }
        }
        child.wait().expect("is gone");
    }
    assert!(recorded.len() >= 13_701, "{}", recorded.len());

    let (state, store) = opened(dir.path()).await;
    let ledger = Ledger::open(&state, store.clone()).await.expect("opens");
    assert!(ledger.close(SOON).await);
    let usage = store.usage(&UsageFilter::default(), &[]).await.expect("sums");
    for (id, ending) in &recorded {
        let found = store.find_call(*id).await.expect("reads").expect("was recorded");
        let expected = if ending == "open" { "interrupted" } else { ending.as_str() };
        assert_eq!(found.ending.as_str(), expected);
    }
    // A killed writer may have recorded one call each that it did not live to tell.
    let untold = usage[0].totals.calls - recorded.len() as u64;
    assert!(untold <= 4 * 3, "{untold}");
    let attempts = recorded.values().map(|ending| if ending == "open" { 1 } else { 2 }).sum::<u64>();
    assert!((attempts..=attempts + 2 * untold).contains(&usage[0].totals.attempts));
}
