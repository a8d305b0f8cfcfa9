//! How fast the forward pass alone is: prints what it measures, and fails only when nothing is computed.

use std::time::Instant;

use super::*;

/// Runs of which the best and the median are printed.
const RUNS: usize = 6;
/// Tokens before those that eight sequences write.
const BEFORE: usize = 192;

/// `llama-bench -p 512` and `-n 64 -d 512` on the same file measure the same.
#[test]
#[ignore = "needs a model: set BACKSTOP_TEST_GGUF to its path; BACKSTOP_TEST_THREADS is 2 if not set"]
fn it_says_how_fast_the_forward_pass_is() {
    let path = std::env::var("BACKSTOP_TEST_GGUF").expect("BACKSTOP_TEST_GGUF is the model's path");
    let threads = std::env::var("BACKSTOP_TEST_THREADS").map_or(2, |threads| threads.parse().expect("a number"));
    let header = crate::load::read_header(&crate::load::tiny::files(path.into())).expect("it is sound");
    let model = Transformer::load(&header, 1024, threads).expect("it is sound");
    let shape = model.cache_shape();
    let prompt: Vec<u32> = (0..512).map(|i| 100 + (i * 37) % 4000).collect();
    let mut cache = Cache::new(shape, 96 * shape.block_bytes(), 1024);
    let (mut read, mut written, mut eight) = (Vec::new(), Vec::new(), Vec::new());
    let (mut scratch, mut logits) = (Scratch::default(), Vec::new());
    for _ in 0..RUNS {
        let mut sequence = cache.begin(&[]);
        sequence.reserve(576).expect("there is room");
        let started = Instant::now();
        let piece = Piece { tokens: &prompt, sequence: &sequence, want: Want::Last };
        model.forward(&[piece], &mut cache, &mut scratch, &mut logits).expect("it computes");
        read.push(512.0 / started.elapsed().as_secs_f64());
        sequence.advance(&prompt);
        let started = Instant::now();
        for token in 0..64 {
            let piece = Piece { tokens: &[200 + token], sequence: &sequence, want: Want::Last };
            model.forward(&[piece], &mut cache, &mut scratch, &mut logits).expect("it computes");
            sequence.advance(&[200 + token]);
        }
        written.push(64.0 / started.elapsed().as_secs_f64());
        drop(sequence);
        let mut several: Vec<_> = (0..8).map(|_| cache.begin(&[])).collect();
        several.iter_mut().for_each(|sequence| sequence.reserve(BEFORE + 32).expect("there is room"));
        for (sequence, own) in several.iter_mut().zip(1..) {
            let prompt = prompt.iter().take(BEFORE).map(|token| token + own).collect::<Vec<_>>();
            let piece = Piece { tokens: &prompt, sequence, want: Want::Last };
            model.forward(&[piece], &mut cache, &mut scratch, &mut logits).expect("it computes");
            sequence.advance(&prompt);
        }
        let started = Instant::now();
        for token in 0..32u32 {
            let tokens = [200 + token];
            let pieces: Vec<_> =
                several.iter().map(|sequence| Piece { tokens: &tokens, sequence, want: Want::Last }).collect();
            model.forward(&pieces, &mut cache, &mut scratch, &mut logits).expect("it computes");
            several.iter_mut().for_each(|sequence| sequence.advance(&tokens));
        }
        eight.push(8.0 * 32.0 / started.elapsed().as_secs_f64());
    }
    for (what, mut rates) in
        [("512 read", read), ("64 written after 512", written), ("8 side by side after 192", eight)]
    {
        rates.sort_by(f64::total_cmp);
        assert!(rates[0] > 0.0, "{what}");
        println!("{what}: {:.0} tok/s in the middle, {:.0} at best", rates[RUNS / 2], rates[RUNS - 1]);
    }
}
