//! How a long fetch says what it is doing: a bar on a terminal, a plain line every few seconds elsewhere.
//!
//! It only reports; nothing here decides or fails.

use std::{
    io::IsTerminal as _,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{DecimalBytes, ProgressBar, ProgressStyle};

/// Where a fetch reports to. Calls come from one thread at a time, in the order `begin`, `advance`…, `finish`; a `note`
/// can come at any time.
pub trait Progress: Send + Sync {
    /// One line for people, e.g. which source failed and why.
    fn note(&self, line: &str);
    /// Something of `bytes` bytes begins; `None`: nobody knows how much it will be.
    fn begin(&self, what: &str, bytes: Option<u64>);
    /// So many bytes are here, counted from the start, resumed ones included.
    fn advance(&self, bytes: u64);
    /// What was begun has ended, well or not.
    fn finish(&self);
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

/// Reports on standard error.
#[derive(Debug, Default)]
pub struct Terminal {
    current: Mutex<Option<Shown>>,
}

#[derive(Debug)]
enum Shown {
    Bar(ProgressBar),
    Lines { what: String, bytes: Option<u64>, here: u64, said: Instant },
}

const BETWEEN_LINES: Duration = Duration::from_secs(3);

impl Progress for Silent {
    fn note(&self, _line: &str) {}
    fn begin(&self, _what: &str, _bytes: Option<u64>) {}
    fn advance(&self, _bytes: u64) {}
    fn finish(&self) {}
}

impl Progress for Terminal {
    fn note(&self, line: &str) {
        match &*self.current() {
            Some(Shown::Bar(bar)) => bar.suspend(|| eprintln!("{line}")),
            _ => eprintln!("{line}"),
        }
    }

    fn begin(&self, what: &str, bytes: Option<u64>) {
        *self.current() = Some(if std::io::stderr().is_terminal() {
            Shown::Bar(bar(what, bytes))
        } else {
            eprintln!("{what} …");
            Shown::Lines { what: what.to_owned(), bytes, here: 0, said: Instant::now() }
        });
    }

    fn advance(&self, count: u64) {
        match &mut *self.current() {
            Some(Shown::Bar(bar)) => bar.set_position(count),
            Some(Shown::Lines { what, bytes, here, said }) => {
                *here = count;
                if said.elapsed() >= BETWEEN_LINES {
                    *said = Instant::now();
                    eprintln!("{what}: {}", so_far(count, *bytes));
                }
            }
            None => {}
        }
    }

    fn finish(&self) {
        match self.current().take() {
            Some(Shown::Bar(bar)) if bar.position() == 0 => bar.finish_and_clear(),
            Some(Shown::Bar(bar)) => bar.abandon(),
            Some(Shown::Lines { what, bytes, here: here @ 1.., .. }) => eprintln!("{what}: {}", so_far(here, bytes)),
            Some(Shown::Lines { .. }) | None => {}
        }
    }
}

impl Terminal {
    fn current(&self) -> MutexGuard<'_, Option<Shown>> {
        // A bar is no invariant: one left by a panicking thread can be drawn on.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bar(what: &str, bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes {
        Some(bytes) => (
            ProgressBar::new(bytes),
            "{msg} [{bar:30}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} eta {eta}",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {msg} {decimal_bytes} in {elapsed}"),
    };
    let style = ProgressStyle::with_template(template).expect("the template is a literal that the tests render");
    bar.set_style(style.progress_chars("=> "));
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

fn so_far(here: u64, bytes: Option<u64>) -> String {
    match bytes {
        Some(bytes) => format!("{} of {}", DecimalBytes(here), DecimalBytes(bytes)),
        None => DecimalBytes(here).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_of_bar_render_and_a_line_says_how_much_of_how_much() {
        bar("known", Some(10)).finish();
        bar("unknown", None).finish();
        assert_eq!(so_far(34_100_000, Some(98_362_432)), "34.10 MB of 98.36 MB");
    }
}
