//! What must hold of every step.

use proptest::prelude::*;

use super::*;

fn class() -> impl Strategy<Value = Class> {
    prop_oneof![Just(Class::Critical), Just(Class::Standard), Just(Class::Batch)]
}

fn items() -> impl Strategy<Value = Vec<Item>> {
    prop::collection::vec((class(), 1..600usize, any::<bool>()), 0..24).prop_map(|items| {
        items
            .into_iter()
            .enumerate()
            .map(|(order, (class, pending, active))| Item { class, order: order as u64, pending, active })
            .collect()
    })
}

const LIMITS: Limits = Limits { running: 24, chunk: 64, chunk_alone: 256 };

proptest! {
    #[test]
    fn those_who_write_always_write_and_prompts_keep_their_bound(items in items()) {
        let shares = share(&items, LIMITS);
        let writes = items.iter().any(|item| item.active && item.pending == 1);
        let mut prompts = 0;
        for (item, share) in items.iter().zip(&shares) {
            prop_assert!(*share <= item.pending);
            prop_assert!(item.active || *share == 0);
            if item.active && item.pending == 1 {
                prop_assert_eq!(*share, 1);
            } else {
                prompts += share;
            }
        }
        let bound = if writes { LIMITS.chunk } else { LIMITS.chunk_alone };
        prop_assert!(prompts <= bound);
        prop_assert!(items.iter().all(|item| !item.active) || shares.iter().sum::<usize>() > 0, "something is done");
    }

    #[test]
    fn no_prompt_is_read_before_a_more_important_one_is_read_whole(items in items()) {
        let shares = share(&items, LIMITS);
        let order = ranked(&items);
        for (place, index) in order.iter().enumerate() {
            let item = &items[*index];
            if item.active && item.pending > 1 && shares[*index] < item.pending {
                for later in &order[place + 1..] {
                    prop_assert!(items[*later].pending == 1 || shares[*later] == 0);
                }
            }
        }
    }

    #[test]
    fn a_place_is_lost_only_by_a_batch_call_to_a_critical_one(items in items(), running in 1..12usize) {
        let mut items = items;
        let mut kept = running;
        for item in &mut items {
            item.active &= kept > 0;
            kept -= usize::from(item.active);
        }
        let after = places(&items, Limits { running, ..LIMITS });
        let count = after.iter().filter(|active| **active).count();
        prop_assert!(count <= running);
        let wanting = items.len();
        prop_assert!(count == running.min(wanting), "no place is left empty");
        for (item, active) in items.iter().zip(&after) {
            if item.active && !active {
                prop_assert_eq!(item.class, Class::Batch);
            }
        }
        let critical_waits = items.iter().zip(&after).any(|(item, active)| !active && item.class == Class::Critical);
        let batch_runs = items.iter().zip(&after).any(|(item, active)| *active && item.class == Class::Batch);
        prop_assert!(!(critical_waits && batch_runs));
    }

    #[test]
    fn a_victim_matters_less(items in items(), index in any::<prop::sample::Index>()) {
        prop_assume!(!items.is_empty());
        let index = index.index(items.len());
        if let Some(victim) = victim(&items, |other| items[other].active, index) {
            prop_assert!(items[victim].active);
            prop_assert!((items[victim].class, items[victim].order) > (items[index].class, items[index].order));
        }
    }
}

#[test]
fn part_of_every_bound_is_kept_for_those_that_matter_more() {
    assert_eq!([Class::Critical, Class::Standard, Class::Batch].map(|class| class.share_of(10)), [10, 8, 5]);
    assert_eq!([Class::Critical, Class::Standard, Class::Batch].map(|class| class.share_of(1)), [1, 1, 1]);
}
