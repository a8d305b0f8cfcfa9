//! What a call meets on its way out: one line appended to this process's segment, or kept in memory while that fails.
//!
//! No lock is shared by calls except on the failing path. Everything else (sync, retry, rotation) is called from one
//! background thread; nothing here waits for the database.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;

use super::{
    Bounds, LedgerError, line,
    segment::{Owner, Segment},
};
use crate::{config::create_private, domain::Outcome};

/// A segment is handed over once it is as large or as old.
const SEGMENT_BYTES: u64 = 4 << 20;
const SEGMENT_AGE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Journal {
    dir: PathBuf,
    owner: Owner,
    bounds: Bounds,
    current: ArcSwap<Segment>,
    /// Segments that no new call is written to, oldest first.
    retired: Mutex<VecDeque<Arc<Segment>>>,
    buffer: Mutex<Buffer>,
    failing: AtomicBool,
    crowded: AtomicBool,
    synced: AtomicU64,
    number: AtomicU64,
    /// Rows that were recorded, and rows of this process that are in the database.
    recorded: AtomicU64,
    stored: AtomicU64,
    /// Bytes of lines that are not in the database.
    bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Buffer {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// One line was taken out and is not known to be written.
    in_hand: bool,
}

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Journal {
    pub(super) fn open(dir: &Path, bounds: Bounds) -> io::Result<Self> {
        create_private(dir)?;
        let owner = Owner::claim(dir)?;
        let first = Segment::create(dir, &owner, 0)?;
        Ok(Self {
            dir: dir.to_owned(),
            owner,
            bounds,
            current: ArcSwap::from_pointee(first),
            retired: Mutex::default(),
            buffer: Mutex::default(),
            failing: AtomicBool::new(false),
            crowded: AtomicBool::new(false),
            synced: AtomicU64::new(0),
            number: AtomicU64::new(1),
            recorded: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        })
    }

    pub(super) fn owner(&self) -> &Arc<str> {
        &self.owner.name
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn record(&self, outcome: &Outcome) -> Result<(), LedgerError> {
        LINE.with_borrow_mut(|line| {
            line::write(outcome, line).map_err(|source| LedgerError::Unwritable { source })?;
            match self.append(line) {
                Ok(()) if !self.is_failing() => {}
                Ok(()) => self.failing.store(false, Ordering::Relaxed),
                Err(_) => {
                    self.failing.store(true, Ordering::Relaxed);
                    self.keep(line)?;
                }
            }
            self.recorded.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
    }

    /// Whether new calls should be admitted: there is room in memory for those under way even if no write succeeds.
    pub(super) fn takes_calls(&self) -> bool {
        !self.crowded.load(Ordering::Relaxed)
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    pub(super) fn buffered(&self) -> usize {
        self.buffer().lines.len()
    }

    pub(super) fn lag_rows(&self) -> u64 {
        self.recorded.load(Ordering::Relaxed).saturating_sub(self.stored.load(Ordering::Relaxed))
    }

    /// Whether everything recorded is in the database.
    pub(super) fn is_drained(&self) -> bool {
        // In the order in which a call moves, so that one on its way is met at the next place at the latest.
        self.buffer().is_empty() && self.current.load().is_empty() && self.retired().is_empty()
    }

    /// Writes what waits in memory, as far as it goes.
    pub(super) fn retry(&self) {
        loop {
            // Taken out one by one: no call waits for this lock while a write is under way.
            let Some(line) = self.buffer().pop() else { break };
            if let Err(error) = self.append(&line) {
                tracing::debug!(%error, "the journal still cannot be written");
                self.buffer().put_back(line);
                break;
            }
            self.buffer().in_hand = false;
            self.failing.store(false, Ordering::Relaxed);
        }
        let crowded = self.buffer().is_crowded(&self.bounds);
        self.crowded.store(crowded, Ordering::Relaxed);
    }

    /// Makes what was written survive a power loss.
    pub(super) fn sync(&self) -> io::Result<()> {
        let segment = self.current.load_full();
        let written = segment.written();
        if written != self.synced.load(Ordering::Relaxed) {
            segment.sync()?;
            self.synced.store(written, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Starts a new segment when the current one is large, or old and nothing else waits to be stored. While the
    /// database is away only size counts, so that an outage does not fill the directory with small files.
    pub(super) fn rotate(&self, now: Instant) -> io::Result<bool> {
        let current = self.current.load_full();
        let is_old = now.duration_since(current.since()) >= SEGMENT_AGE && self.retired().is_empty();
        if current.is_empty() || !(is_old || current.written() >= SEGMENT_BYTES) {
            return Ok(false);
        }
        drop(current);
        create_private(&self.dir)?;
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let next = Segment::create(&self.dir, &self.owner, number)?;
        let retired = {
            // Under one lock, so that nobody finds the segment in neither place; and before the sync, whose failure
            // must not keep it from being stored.
            let mut queue = self.retired();
            let retired = self.current.swap(Arc::new(next));
            queue.push_back(Arc::clone(&retired));
            retired
        };
        self.synced.store(0, Ordering::Relaxed);
        retired.sync()?;
        Ok(true)
    }

    /// The oldest retired segment, once no call is writing to it any more.
    pub(super) fn oldest_retired(&self) -> Option<Arc<Segment>> {
        let retired = self.retired();
        // `swap` turned every borrow of the old segment into a count of its own, so 1 means that only the queue has it.
        retired.front().filter(|segment| Arc::strong_count(segment) == 1).cloned()
    }

    /// The oldest retired segment was stored, with `rows` rows.
    pub(super) fn forget_oldest(&self, rows: usize) {
        if let Some(segment) = self.retired().pop_front() {
            self.bytes.fetch_sub(segment.written(), Ordering::Relaxed);
            self.stored.fetch_add(rows as u64, Ordering::Relaxed);
        }
    }

    fn append(&self, line: &[u8]) -> io::Result<()> {
        if self.bytes.load(Ordering::Relaxed) >= self.bounds.journal_bytes {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        self.current.load().append(line)?;
        self.bytes.fetch_add(line.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn keep(&self, line: &[u8]) -> Result<(), LedgerError> {
        let mut buffer = self.buffer();
        if buffer.is_full(line.len(), &self.bounds) {
            self.crowded.store(true, Ordering::Relaxed);
            return Err(LedgerError::Full { buffered: buffer.lines.len() });
        }
        buffer.bytes += line.len();
        buffer.lines.push_back(line.to_vec());
        if buffer.is_crowded(&self.bounds) {
            self.crowded.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn retired(&self) -> MutexGuard<'_, VecDeque<Arc<Segment>>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    fn is_full(&self, more: usize, bounds: &Bounds) -> bool {
        self.lines.len() >= bounds.buffer_rows || self.bytes + more > bounds.buffer_bytes
    }

    /// Half full: what is left is for the calls under way.
    fn is_crowded(&self, bounds: &Bounds) -> bool {
        self.lines.len() * 2 >= bounds.buffer_rows || self.bytes * 2 >= bounds.buffer_bytes
    }

    fn is_empty(&self) -> bool {
        self.lines.is_empty() && !self.in_hand
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        let line = self.lines.pop_front()?;
        self.in_hand = true;
        self.bytes -= line.len();
        Some(line)
    }

    fn put_back(&mut self, line: Vec<u8>) {
        self.in_hand = false;
        self.bytes += line.len();
        self.lines.push_front(line);
    }
}

#[cfg(test)]
impl Journal {
    /// Makes every write fail as on a full disk.
    pub(super) fn break_disk(&self) {
        let full = std::fs::OpenOptions::new().append(true).open("/dev/full").expect("Linux has /dev/full");
        self.current.store(Arc::new(Segment::over(full, PathBuf::from("/dev/full"))));
    }

    pub(super) fn mend_disk(&self) {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        self.current.store(Arc::new(Segment::create(&self.dir, &self.owner, number).expect("the disk is well")));
    }
}
