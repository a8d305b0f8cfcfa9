//! Who computes next: the decisions of continuous batching, without the computing.
//!
//! Pure: no clock, no I/O, no model. Every call that writes gets one token a step; what is left of the step goes to prompts,
//! the more important class first, then the earlier call, in chunks, so that one long prompt never holds up those who
//! write. When blocks run out, the least important and youngest call gives its blocks back and goes on later.

/// How much a call matters when not all can be served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Served before all others.
    Critical,
    #[default]
    Standard,
    /// Served when nobody else waits; gives way to critical calls even when it has begun.
    Batch,
}

impl Class {
    pub(crate) const ALL: [Self; 3] = [Self::Critical, Self::Standard, Self::Batch];

    /// How much of a bound of `whole` this class may fill: the rest is kept for those that matter more.
    pub(crate) fn share_of(self, whole: usize) -> usize {
        match self {
            Self::Critical => whole,
            Self::Standard => (whole * 4).div_ceil(5),
            Self::Batch => whole.div_ceil(2),
        }
    }
}

/// A call that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Item {
    pub class: Class,
    /// When it came: lower is earlier.
    pub order: u64,
    /// Tokens to compute before the next can be drawn; at least 1.
    pub pending: usize,
    /// Whether it has a place among those that run.
    pub active: bool,
}

impl Item {
    fn rank(&self) -> (Class, u64) {
        (self.class, self.order)
    }
}

/// What a step may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Calls that run at once.
    pub running: usize,
    /// Tokens of prompts in a step in which others write: what those wait for.
    pub chunk: usize,
    /// Tokens of prompts in a step in which nobody does.
    pub chunk_alone: usize,
}

/// The items from the most to the least important.
pub(crate) fn ranked(items: &[Item]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|index| items[*index].rank());
    order
}

/// Which items run now. An item that runs keeps its place, but for a critical one a batch item gives way, the youngest
/// first.
pub(crate) fn places(items: &[Item], limits: Limits) -> Vec<bool> {
    let order = ranked(items);
    let mut active: Vec<bool> = items.iter().map(|item| item.active).collect();
    let mut count = active.iter().filter(|active| **active).count();
    for index in &order {
        if active[*index] {
            continue;
        }
        if count < limits.running {
            active[*index] = true;
            count += 1;
            continue;
        }
        if items[*index].class != Class::Critical {
            continue;
        }
        let gives_way = order.iter().rev().find(|other| active[**other] && items[**other].class == Class::Batch);
        if let Some(other) = gives_way {
            active[*other] = false;
            active[*index] = true;
        }
    }
    active
}

/// How many tokens of each active item the next step computes.
pub(crate) fn share(items: &[Item], limits: Limits) -> Vec<usize> {
    let writes = |item: &Item| item.active && item.pending == 1;
    let mut left = if items.iter().any(writes) { limits.chunk } else { limits.chunk_alone };
    let mut shares = vec![0; items.len()];
    for index in ranked(items) {
        let item = &items[index];
        if !item.active {
            continue;
        }
        if item.pending == 1 {
            shares[index] = 1;
        } else {
            shares[index] = item.pending.min(left);
            left -= shares[index];
        }
    }
    shares
}

/// Who gives its blocks back so that `index` can go on: the least important that holds some and matters less.
pub(crate) fn victim(items: &[Item], holds: impl Fn(usize) -> bool, index: usize) -> Option<usize> {
    let last = ranked(items).into_iter().rev().find(|other| holds(*other))?;
    (items[last].rank() > items[index].rank()).then_some(last)
}

#[cfg(test)]
mod tests;
