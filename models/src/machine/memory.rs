//! One bound in bytes, and who holds how much of it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Memory that models share; clones share it. Unbounded by default.
#[derive(Debug, Clone)]
pub struct Memory {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    total: u64,
    held: Mutex<u64>,
}

/// A part of the memory; dropping it gives it back.
#[derive(Debug)]
pub struct Hold {
    shared: Arc<Shared>,
    bytes: u64,
}

/// There is not as much left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "needs {}, {} of {} are left (`local.memory`)",
    Bytes(*needs), Bytes(*left), Bytes(*total)
)]
pub struct Short {
    pub needs: u64,
    pub left: u64,
    pub total: u64,
}

/// A number of bytes as people read it: `1.2 GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl Default for Memory {
    fn default() -> Self {
        Self::of(u64::MAX)
    }
}

impl Memory {
    pub fn of(total: u64) -> Self {
        Self { shared: Arc::new(Shared { total, held: Mutex::new(0) }) }
    }

    pub fn total(&self) -> u64 {
        self.shared.total
    }

    pub fn left(&self) -> u64 {
        self.shared.total - *self.shared.held()
    }

    /// Takes all of `bytes` or nothing.
    pub fn take(&self, bytes: u64) -> Result<Hold, Short> {
        let total = self.shared.total;
        let mut held = self.shared.held();
        let left = total - *held;
        if bytes > left {
            return Err(Short { needs: bytes, left, total });
        }
        *held += bytes;
        Ok(Hold { shared: Arc::clone(&self.shared), bytes })
    }
}

impl Hold {
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives back what is beyond `bytes`.
    pub fn keep(&mut self, bytes: u64) {
        let back = self.bytes.saturating_sub(bytes);
        *self.shared.held() -= back;
        self.bytes -= back;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        *self.shared.held() -= self.bytes;
    }
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, u64> {
        // A number is never half written.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: f64 = (1u64 << 20) as f64;
        let mib = self.0 as f64 / MIB;
        let (number, unit) = if mib >= 1024.0 { (mib / 1024.0, "GiB") } else { (mib, "MiB") };
        // Whole numbers without a digit that says nothing.
        let digits = if (number * 10.0).round() % 10.0 == 0.0 { 0 } else { 1 };
        write!(f, "{number:.digits$} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_never_more_than_there_is_and_comes_back() {
        let memory = Memory::of(100);
        let first = memory.take(60).expect("it is there");
        let mut second = memory.take(40).expect("it is there");
        assert_eq!(memory.take(1).map(|_| ()), Err(Short { needs: 1, left: 0, total: 100 }));
        second.keep(10);
        assert_eq!(memory.left(), 30);
        second.keep(50);
        assert_eq!(memory.left(), 30, "keeping more takes nothing");
        drop(first);
        assert_eq!(memory.left(), 90);
        drop(second);
        assert_eq!(memory.left(), 100);
    }

    #[test]
    fn shortage_is_said_in_figures() {
        let short = Short { needs: 1_300_000_000, left: 400 << 20, total: 4 << 30 };
        assert_eq!(short.to_string(), "needs 1.2 GiB, 400 MiB of 4 GiB are left (`local.memory`)");
        assert_eq!(Bytes(1_600_000).to_string(), "1.5 MiB");
    }
}
