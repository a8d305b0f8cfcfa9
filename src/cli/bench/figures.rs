//! From samples to figures: percentiles, rates, a table.

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;

use super::{load::Sample, machine::Limits};

/// All of a benchmark.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    pub model: String,
    /// What computed: `cpu`, or a GPU.
    pub device: String,
    pub threads: usize,
    pub prompt_words: u32,
    pub shared_words: u32,
    pub output_tokens: u32,
    /// The weights' file.
    pub file_bytes: u64,
    /// The most memory that this process had; `null` where the system does not say.
    pub peak_bytes: Option<u64>,
    pub limits: Limits,
    pub rows: Vec<Row>,
}

/// One server under one number of clients.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    pub server: String,
    pub clients: usize,
    pub calls: usize,
    pub first_token_ms_p50: f64,
    pub first_token_ms_p99: f64,
    /// From an answer's first token to its last, of one client.
    pub tokens_per_second_p50: f64,
    /// All answers' tokens over the whole run, prompts included in the time.
    pub tokens_per_second: f64,
    /// Prompts' and answers' tokens over the whole run.
    pub all_tokens_per_second: f64,
}

impl Row {
    pub(super) fn of(server: String, clients: usize, samples: &[Sample]) -> Self {
        let end = samples.iter().map(|sample| sample.began + sample.whole).max().unwrap_or_default();
        let seconds = end.as_secs_f64().max(1e-9);
        let output: u64 = samples.iter().map(|sample| sample.output_tokens).sum();
        let prompts: u64 = samples.iter().map(|sample| sample.prompt_tokens).sum();
        let mut firsts: Vec<f64> = samples.iter().map(|sample| milliseconds(sample.first_token)).collect();
        let mut rates: Vec<f64> = samples.iter().filter_map(rate).collect();
        firsts.sort_by(f64::total_cmp);
        rates.sort_by(f64::total_cmp);
        Self {
            server,
            clients,
            calls: samples.len(),
            first_token_ms_p50: percentile(&firsts, 0.5),
            first_token_ms_p99: percentile(&firsts, 0.99),
            tokens_per_second_p50: percentile(&rates, 0.5),
            tokens_per_second: output as f64 / seconds,
            all_tokens_per_second: (output + prompts) as f64 / seconds,
        }
    }
}

impl Report {
    pub(super) fn table(&self) -> String {
        let on_cpu = self.device == "cpu";
        let place = if on_cpu { format!("{} threads", self.threads) } else { self.device.clone() };
        let mut text = format!(
            "{} on {place}, {} words in (+ {} shared), up to {} tokens out\n\n",
            self.model, self.prompt_words, self.shared_words, self.output_tokens
        );
        let header = ["server", "clients", "first p50", "first p99", "tok/s each", "tok/s", "with prompts"];
        let mut rows = vec![header.map(str::to_owned)];
        rows.extend(self.rows.iter().map(|row| {
            [
                row.server.clone(),
                row.clients.to_string(),
                format!("{:.0} ms", row.first_token_ms_p50),
                format!("{:.0} ms", row.first_token_ms_p99),
                format!("{:.1}", row.tokens_per_second_p50),
                format!("{:.1}", row.tokens_per_second),
                format!("{:.1}", row.all_tokens_per_second),
            ]
        }));
        let widths: Vec<usize> =
            (0..header.len()).map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0)).collect();
        for row in rows {
            for (cell, width) in row.iter().zip(&widths) {
                // Writing to a string cannot fail.
                let _ = write!(text, "{cell:>width$}  ");
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        let alone = self.rows.iter().find(|row| on_cpu && row.server == "backstop" && row.clients == 1);
        let _ = write!(
            text,
            "\nthis machine's processor, on {} threads: {:.1} GB/s from memory, {:.0} GFLOP/s in 32-bit floats",
            self.threads, self.limits.memory_gb_per_second, self.limits.gflop_per_second
        );
        if let Some(row) = alone {
            let read = row.tokens_per_second_p50 * self.file_bytes as f64 / 1e9;
            let _ = write!(
                text,
                "\none client reads the weights at {read:.1} GB/s: {:.0} % of that",
                100.0 * read / self.limits.memory_gb_per_second
            );
        }
        if let Some(peak) = self.peak_bytes {
            let _ = write!(text, "\npeak memory {} MiB, weights' file {} MiB", peak >> 20, self.file_bytes >> 20);
        }
        text
    }
}

fn milliseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

/// Tokens after the first, per second; an answer of one token has no rate.
fn rate(sample: &Sample) -> Option<f64> {
    let seconds = (sample.whole.saturating_sub(sample.first_token)).as_secs_f64();
    (sample.output_tokens > 1 && seconds > 0.0).then(|| (sample.output_tokens - 1) as f64 / seconds)
}

/// The nearest rank of sorted values; 0 of none.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn report() -> Report {
        let sample = |began, first, whole| Sample {
            began: Duration::from_millis(began),
            first_token: Duration::from_millis(first),
            whole: Duration::from_millis(whole),
            prompt_tokens: 100,
            output_tokens: 11,
        };
        let rows = vec![
            Row::of("backstop".into(), 1, &[sample(0, 100, 600), sample(600, 120, 1400)]),
            Row::of("127.0.0.1:8080".into(), 1, &[sample(0, 500, 2500)]),
            Row::of("backstop".into(), 4, &[sample(0, 200, 1200), sample(0, 400, 1500)]),
            Row::of("127.0.0.1:8080".into(), 4, &[sample(0, 2000, 9000)]),
        ];
        Report {
            model: "tiny".into(),
            device: "cpu".to_owned(),
            threads: 2,
            prompt_words: 128,
            shared_words: 0,
            output_tokens: 11,
            file_bytes: 100 << 20,
            peak_bytes: Some(300 << 20),
            limits: Limits { memory_gb_per_second: 20.0, gflop_per_second: 100.0 },
            rows,
        }
    }

    #[test]
    fn figures_are_what_they_say() {
        let row = &report().rows[0];
        assert_eq!((row.first_token_ms_p50, row.first_token_ms_p99), (100.0, 120.0));
        assert!((row.tokens_per_second - 11.0).abs() < 1e-9, "22 tokens in two seconds");
        assert!((row.all_tokens_per_second - 111.0).abs() < 1e-9);
        assert_eq!(percentile(&[], 0.5), 0.0);
        assert_eq!(percentile(&[1.0, 2.0, 3.0, 4.0], 0.99), 4.0);
    }

    #[test]
    fn the_table_and_the_json_are_these() {
        insta::assert_snapshot!(report().table());
        insta::assert_json_snapshot!(report());
    }
}
