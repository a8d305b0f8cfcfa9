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
    /// How many weights each token of a prompt is multiplied with.
    pub weights_per_token: u64,
    /// The most memory that this process had; `null` where the system does not say.
    pub peak_bytes: Option<u64>,
    pub limits: Limits,
    /// `null` on a GPU, whose limits are not measured, and without a row of one client.
    pub of_limits: Option<OfLimits>,
    pub rows: Vec<Row>,
    /// Servers that were not asked on, because they failed.
    pub failures: Vec<Failure>,
}

/// What one client of our engine makes use of: 1 is all that the machine has.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct OfLimits {
    /// Of its bandwidth, while it writes: each token reads all weights.
    pub memory: f64,
    /// Of its products of bytes, while it reads a prompt; `null` where calls share a beginning, which is read once.
    pub arithmetic: Option<f64>,
}

/// A server that failed.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Failure {
    pub server: String,
    pub clients: usize,
    pub why: String,
}

/// One server under one number of clients.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    pub server: String,
    pub clients: usize,
    pub calls: usize,
    pub first_token_ms_p50: f64,
    pub first_token_ms_p99: f64,
    /// Of a prompt, from the question to the first token of its answer, of one client.
    pub read_per_second_p50: f64,
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
        let mut reads: Vec<f64> = samples.iter().map(read).collect();
        for figures in [&mut firsts, &mut rates, &mut reads] {
            figures.sort_by(f64::total_cmp);
        }
        Self {
            server,
            clients,
            calls: samples.len(),
            first_token_ms_p50: percentile(&firsts, 0.5),
            first_token_ms_p99: percentile(&firsts, 0.99),
            read_per_second_p50: percentile(&reads, 0.5),
            tokens_per_second_p50: percentile(&rates, 0.5),
            tokens_per_second: output as f64 / seconds,
            all_tokens_per_second: (output + prompts) as f64 / seconds,
        }
    }
}

impl OfLimits {
    /// Of a benchmark with its rows and limits.
    pub(super) fn of(report: &Report) -> Option<Self> {
        let row = report.rows.iter().find(|row| row.server == "backstop" && row.clients == 1)?;
        let read = row.tokens_per_second_p50 * report.file_bytes as f64 / 1e9;
        let products = 2.0 * row.read_per_second_p50 * report.weights_per_token as f64 / 1e9;
        (report.device == "cpu").then(|| Self {
            memory: read / report.limits.memory_gb_per_second,
            arithmetic: (report.shared_words == 0).then_some(products / report.limits.byte_gop_per_second),
        })
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
        let Limits { memory_gb_per_second: memory, gflop_per_second: floats, byte_gop_per_second: bytes } = self.limits;
        let _ = write!(
            text,
            "\nthis machine's processor, on {} threads: {memory:.1} GB/s from memory, {bytes:.0} GOP/s in products of bytes, \
             {floats:.0} GFLOP/s in 32-bit floats",
            self.threads
        );
        if let Some(of) = self.of_limits {
            let (share, read) = (100.0 * of.memory, of.memory * memory);
            let _ = write!(text, "\none client that writes reads the weights at {read:.1} GB/s: {share:.0} % of that");
            if let Some(arithmetic) = of.arithmetic {
                let (share, made) = (100.0 * arithmetic, arithmetic * bytes);
                let _ = write!(text, "\nits prompt is read with {made:.0} GOP/s: {share:.0} % of that");
            }
        }
        if let Some(peak) = self.peak_bytes {
            let _ = write!(text, "\npeak memory {} MiB, weights' file {} MiB", peak >> 20, self.file_bytes >> 20);
        }
        for Failure { server, clients, why } in &self.failures {
            let _ = write!(text, "\n{server} failed at {clients} clients and was not asked on: {why}");
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

/// Tokens of the prompt, per second until the answer began.
fn read(sample: &Sample) -> f64 {
    sample.prompt_tokens as f64 / sample.first_token.as_secs_f64().max(1e-9)
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
        let mut report = Report {
            model: "tiny".into(),
            device: "cpu".to_owned(),
            threads: 2,
            prompt_words: 128,
            shared_words: 0,
            output_tokens: 11,
            file_bytes: 100 << 20,
            weights_per_token: 100_000_000,
            peak_bytes: Some(300 << 20),
            limits: Limits { memory_gb_per_second: 20.0, gflop_per_second: 100.0, byte_gop_per_second: 400.0 },
            of_limits: None,
            rows,
            failures: vec![Failure { server: "127.0.0.1:8080".into(), clients: 8, why: "it answered 500".into() }],
        };
        report.of_limits = OfLimits::of(&report);
        report
    }

    #[test]
    fn figures_are_what_they_say() {
        let row = &report().rows[0];
        assert_eq!((row.first_token_ms_p50, row.first_token_ms_p99), (100.0, 120.0));
        assert!((row.tokens_per_second - 11.0).abs() < 1e-9, "22 tokens in two seconds");
        assert!((row.all_tokens_per_second - 111.0).abs() < 1e-9);
        assert!((row.read_per_second_p50 - 833.3).abs() < 0.1, "100 tokens in 120 ms, the slower of two");
        assert_eq!(percentile(&[], 0.5), 0.0);
        assert_eq!(percentile(&[1.0, 2.0, 3.0, 4.0], 0.99), 4.0);
    }

    #[test]
    fn the_table_and_the_json_are_these() {
        insta::assert_snapshot!(report().table());
        insta::assert_json_snapshot!(report());
    }
}
