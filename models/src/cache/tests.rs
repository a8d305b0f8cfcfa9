//! Blocks are held once, given back, shared and forgotten as they should be.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const SHAPE: CacheShape = CacheShape { layers: 1, kv_heads: 1, head_width: 1 };

fn cache(blocks: usize) -> Cache {
    Cache::new(SHAPE, blocks * SHAPE.block_bytes(), 0)
}

fn run(cache: &Cache, prompt: &[u32]) -> Option<Sequence> {
    let mut sequence = cache.begin(prompt);
    sequence.reserve(prompt.len() - sequence.len()).ok()?;
    let rest = prompt[sequence.len()..].to_vec();
    sequence.advance(&rest);
    Some(sequence)
}

#[test]
fn a_shared_beginning_is_stored_once() {
    let cache = cache(10);
    let prompt: Vec<u32> = (0..100).collect();
    let first = run(&cache, &prompt).expect("there is room");
    assert_eq!(cache.free_blocks(), 6);
    let second = cache.begin(&prompt);
    assert_eq!(second.len(), 96);
    assert_eq!(second.blocks(), &first.blocks()[..3]);
    let mut other = prompt.clone();
    other[40] = 7;
    assert_eq!(cache.begin(&other).len(), 32, "only what leads to the difference");
    drop((first, second));
    assert_eq!(cache.free_blocks(), 10);
    assert_eq!(cache.begin(&prompt).len(), 96, "what nobody holds can still be found");
    assert_eq!(cache.begin(&prompt[..96]).len(), 64, "never the whole prompt");
}

#[test]
fn an_opening_is_copied_where_it_does_not_fill_a_block() {
    let mut cache = cache(10);
    let opening: Vec<u32> = (0..40).collect();
    cache.open_with(opening.clone());
    let prompt = |own: u32| opening.iter().copied().chain([own; 20]).collect::<Vec<u32>>();
    let lent = |cache: &mut Cache, prompt: &[u32]| {
        let mut sequence = cache.begin(prompt);
        let rest = cache.lend_opening(&mut sequence, prompt);
        (sequence, rest)
    };
    assert_eq!(lent(&mut cache, &prompt(1)).1, 0, "nobody has computed it");
    let first = run(&cache, &prompt(1)).expect("there is room");
    cache.keep_opening(&first, &prompt(1));
    let (second, rest) = lent(&mut cache, &prompt(2));
    assert_eq!((second.len(), rest), (40, 8));
    assert_eq!(second.blocks()[0], first.blocks()[0], "the whole block is the same one");
    assert_ne!(second.blocks()[1], first.blocks()[1], "the rest is a copy of its own");
    // A sequence that goes on from there is known like any other.
    let mut second = second;
    second.reserve(20).expect("there is room");
    second.advance(&[2; 20]);
    assert_eq!(second.len(), 60);
    let mut other = prompt(3);
    other[35] = 9;
    assert_eq!(lent(&mut cache, &other).1, 0, "it does not open so");
    assert_eq!(lent(&mut cache, &opening).1, 0, "never the whole prompt");
    drop((first, second));
    assert_eq!(lent(&mut cache, &prompt(4)).0.len(), 40, "it outlives whoever computed it");
}

#[test]
fn an_opening_gives_way_when_its_block_is_needed() {
    let mut cache = cache(4);
    let opening: Vec<u32> = (0..40).collect();
    cache.open_with(opening.clone());
    let prompt: Vec<u32> = (0..60).collect();
    let first = run(&cache, &prompt).expect("there is room");
    cache.keep_opening(&first, &prompt);
    drop(first);
    assert_eq!(cache.free_blocks(), 4);
    let all = run(&cache, &(500..628).collect::<Vec<_>>()).expect("a sequence may have all there is");
    assert_eq!((all.blocks().len(), cache.free_blocks()), (4, 0));
    drop(all);
    assert_eq!(cache.free_blocks(), 4);
}

#[test]
fn the_least_recently_used_is_forgotten_first() {
    let cache = cache(4);
    let prompt = |from: u32| -> Vec<u32> { (from..from + 33).collect() };
    drop(run(&cache, &prompt(0)));
    drop(run(&cache, &prompt(100)));
    drop(run(&cache, &prompt(0)));
    let held = run(&cache, &(500..596).collect::<Vec<_>>()).expect("there is room");
    assert_eq!(held.blocks().len(), 3);
    assert_eq!(cache.begin(&prompt(100)).len(), 0);
    assert_eq!(cache.begin(&prompt(0)).len(), 32);
    assert_eq!(run(&cache, &prompt(700)).map(|_| ()), None, "what is held is not taken");
}

#[test]
fn a_sequence_takes_over_what_another_stored_meanwhile() {
    let cache = cache(20);
    let prompt: Vec<u32> = (0..100).collect();
    let mut late = cache.begin(&prompt);
    late.reserve(40).expect("there is room");
    let first = run(&cache, &prompt).expect("there is room");
    assert_eq!(late.catch_up(&prompt), 96);
    assert_eq!(late.blocks(), &first.blocks()[..3]);
    assert_eq!(late.catch_up(&prompt), 0);
    assert_eq!(cache.free_blocks(), 16, "what was reserved is free again");
    late.reserve(4).expect("there is room");
    late.advance(&prompt[96..]);
    assert_eq!(late.len(), 100);
    drop((first, late));
    assert_eq!(cache.free_blocks(), 20);
}

proptest! {
    #[test]
    fn no_block_has_two_writers_and_all_come_back(
        steps in prop::collection::vec((0..4u32, 1..140usize, 0..6usize), 1..60),
    ) {
        let cache = cache(12);
        let mut running: Vec<(Vec<u32>, Sequence)> = Vec::new();
        for (family, length, drop_at) in steps {
            let prompt: Vec<u32> = (0..length as u32).map(|i| if i < 64 { i } else { i + family * 1000 }).collect();
            let free = cache.free_blocks();
            match run(&cache, &prompt) {
                Some(sequence) => running.push((prompt, sequence)),
                None => prop_assert_eq!(cache.free_blocks(), free, "a refusal takes nothing"),
            }
            if drop_at < running.len() {
                running.remove(drop_at);
            }
            let mut writers = HashSet::new();
            for (prompt, sequence) in &running {
                prop_assert_eq!(sequence.len(), prompt.len());
                if !prompt.len().is_multiple_of(BLOCK) {
                    prop_assert!(writers.insert(*sequence.blocks().last().expect("it has a block")));
                }
            }
            for (prompt, sequence) in &running {
                for (other, theirs) in &running {
                    for (place, block) in sequence.blocks().iter().enumerate() {
                        if let Some(same) = theirs.blocks().iter().position(|theirs| theirs == block) {
                            let end = (place + 1) * BLOCK;
                            prop_assert_eq!(same, place);
                            prop_assert_eq!(&prompt[..end.min(prompt.len())], &other[..end.min(other.len())]);
                        }
                    }
                }
            }
            let held: HashSet<u32> = running.iter().flat_map(|(_, sequence)| sequence.blocks().to_vec()).collect();
            prop_assert_eq!(cache.free_blocks(), 12 - held.len());
        }
        drop(running);
        prop_assert_eq!(cache.free_blocks(), cache.total_blocks());
    }
}
