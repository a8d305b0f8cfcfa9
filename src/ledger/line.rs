//! A call as a line of the journal: `\n`, eight hex digits of CRC-32, a space, JSON, `\n`.
//!
//! It starts with a newline of its own, so that whatever a failed write left before it ends there and costs no other
//! call. Reading is pure and takes any bytes: what the checksum does not vouch for is skipped and counted.

use crate::domain::Outcome;

/// What a segment holds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Contents {
    pub(super) calls: Vec<Outcome>,
    /// Lines that were not written to their end, or have changed since.
    pub(super) torn: usize,
    /// Whole lines that are not calls as this program knows them: another version wrote them.
    pub(super) unknown: usize,
}

/// Replaces what is in `line` by `outcome`'s line. What JSON has no word for (a time that is not a number) becomes 0.
pub(super) fn write(outcome: &Outcome, line: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    line.clear();
    line.extend_from_slice(b"\n00000000 ");
    let start = line.len();
    if is_finite(outcome) {
        serde_json::to_writer(&mut *line, outcome)?;
    } else {
        serde_json::to_writer(&mut *line, &with_finite_times(outcome.clone()))?;
    }
    let checksum = digits(crc32fast::hash(&line[start..]));
    line[1..9].copy_from_slice(&checksum);
    line.push(b'\n');
    Ok(())
}

/// Every call in `bytes`, in the order in which they were written.
pub(super) fn read(bytes: &[u8]) -> Contents {
    let mut contents = Contents::default();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match checked(line).map(serde_json::from_slice) {
            Some(Ok(call)) => contents.calls.push(call),
            Some(Err(_)) => contents.unknown += 1,
            None => contents.torn += 1,
        }
    }
    contents
}

/// The JSON of a line that is as it was written.
fn checked(line: &[u8]) -> Option<&[u8]> {
    let (checksum, json) = line.split_first_chunk::<8>()?;
    let json = json.strip_prefix(b" ")?;
    (digits(crc32fast::hash(json)) == *checksum).then_some(json)
}

/// As eight lower-case hex digits.
fn digits(checksum: u32) -> [u8; 8] {
    std::array::from_fn(|place| b"0123456789abcdef"[(checksum >> (28 - 4 * place)) as usize & 0xf])
}

fn is_finite(outcome: &Outcome) -> bool {
    outcome.total_ms.is_finite()
        && outcome.overhead_ms.is_finite()
        && outcome.attempts.iter().all(|attempt| attempt.started_ms.is_finite())
}

fn with_finite_times(mut outcome: Outcome) -> Outcome {
    let mend = |time: &mut f64| *time = if time.is_finite() { *time } else { 0.0 };
    mend(&mut outcome.total_ms);
    mend(&mut outcome.overhead_ms);
    for attempt in &mut outcome.attempts {
        mend(&mut attempt.started_ms);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{domain::Ending, store::sample};

    fn line_of(outcome: &Outcome) -> Vec<u8> {
        let mut line = Vec::new();
        write(outcome, &mut line).expect("outcomes are JSON");
        line
    }

    #[test]
    fn a_line_reads_as_it_was_written() {
        let outcome = sample::failed_over();
        let line = line_of(&outcome);
        assert_eq!(read(&line), Contents { calls: vec![outcome], torn: 0, unknown: 0 });
    }

    #[test]
    fn a_time_that_is_no_number_does_not_cost_the_call() {
        let mut outcome = sample::answered();
        outcome.total_ms = f64::NAN;
        outcome.attempts[0].started_ms = f64::INFINITY;
        let read = read(&line_of(&outcome)).calls;
        assert_eq!((read[0].total_ms, read[0].attempts[0].started_ms), (0.0, 0.0));
    }

    #[test]
    fn a_line_from_before_there_were_tasks_is_an_answers() {
        let outcome = sample::answered();
        let json = serde_json::to_string(&outcome).expect("outcomes are JSON");
        let before = json.replace("\"task\":\"answer\",", "");
        assert_ne!(json, before);
        let line = format!("\n{:08x} {before}\n", crc32fast::hash(before.as_bytes()));
        assert_eq!(read(line.as_bytes()).calls, [outcome]);
    }

    #[test]
    fn another_versions_line_is_not_taken_for_a_torn_one() {
        let json = b"{\"new\":1}";
        let line = format!("\n{:08x} {}\n", crc32fast::hash(json), String::from_utf8_lossy(json));
        assert_eq!(read(line.as_bytes()), Contents { calls: vec![], torn: 0, unknown: 1 });
    }

    proptest! {
        /// A write that stopped anywhere, then others: only the stopped one is lost.
        #[test]
        fn a_torn_line_costs_itself_alone(before in 0usize..4, after in 0usize..4, cut in 0.0f64..1.0) {
            let whole: Vec<Outcome> = (0..before + after).map(|_| sample::ended(Ending::Answered)).collect();
            let torn = line_of(&sample::failed_over());
            // Without at least its last brace; the final newline alone is not missed.
            let torn = &torn[..(cut * (torn.len() - 1) as f64) as usize];
            let mut bytes: Vec<u8> = whole[..before].iter().flat_map(line_of).collect();
            bytes.extend_from_slice(torn);
            bytes.extend(whole[before..].iter().flat_map(line_of));
            let contents = read(&bytes);
            prop_assert_eq!(contents.calls, whole);
            prop_assert!(contents.torn <= 1);
        }

        /// Bytes that are no journal never become a call and never stop the reader.
        #[test]
        fn garbage_between_lines_is_skipped(garbage in proptest::collection::vec(any::<u8>(), 0..400)) {
            let outcome = sample::answered();
            let mut bytes = garbage;
            bytes.extend(line_of(&outcome));
            prop_assert_eq!(read(&bytes).calls, vec![outcome]);
        }

        /// One flipped bit is seen.
        #[test]
        fn a_changed_line_is_not_a_call(place in 0.0f64..1.0, bit in 0u32..8) {
            let mut line = line_of(&sample::answered());
            let place = 1 + (place * (line.len() - 2) as f64) as usize;
            line[place] ^= 1 << bit;
            prop_assert_eq!(read(&line).calls.len(), 0);
        }
    }
}
