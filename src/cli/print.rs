//! What the verbs print: tables for people, JSON and CSV for programs. A reader that has seen enough is no error.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// How a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Prints `text` as it is.
pub(super) fn text(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut json = serde_json::to_string_pretty(value)?;
    json.push('\n');
    Ok(text(&json)?)
}

/// A line for people; nothing where a program reads.
pub(super) fn note(text: &str) {
    if io::stderr().is_terminal() {
        eprintln!("{text}");
    }
}

/// Columns under their heads, two spaces apart.
pub(super) fn table(columns: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let heads: Vec<String> = columns.iter().map(|(head, _)| (*head).to_owned()).collect();
    let lines = || std::iter::once(&heads).chain(rows);
    let width = |column: usize| lines().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut table = String::new();
    for line in lines() {
        let cells = line.iter().zip(columns).zip(&widths).map(|((cell, (_, align)), width)| match align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        });
        table.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        table.push('\n');
    }
    table
}

/// RFC 4180, with line feeds. A cell that a spreadsheet would run as a formula gets an apostrophe.
pub(super) fn csv(heads: &[&str], rows: &[Vec<String>]) -> String {
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    let mut csv = String::new();
    for line in std::iter::once(&heads).chain(rows) {
        let cells: Vec<String> = line.iter().map(|cell| csv_cell(cell)).collect();
        csv.push_str(&cells.join(","));
        csv.push('\n');
    }
    csv
}

/// `2026-11-22T19:26:00Z`
pub(super) fn moment(unix_ms: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(unix_ms.div_euclid(1000));
    moment.ok().and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_else(|| unix_ms.to_string())
}

fn csv_cell(cell: &str) -> String {
    let is_number = cell.parse::<f64>().is_ok();
    let guarded = match cell.chars().next() {
        Some('=' | '+' | '-' | '@') if !is_number => format!("'{cell}"),
        _ => cell.to_owned(),
    };
    if guarded.contains([',', '"', '\n', '\r']) { format!("\"{}\"", guarded.replace('"', "\"\"")) } else { guarded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["é".to_owned(), "1".to_owned()], vec!["long name".to_owned(), "1000".to_owned()]];
        let printed = table(&[("tenant", Align::Left), ("calls", Align::Right)], &rows);
        assert_eq!(printed, "tenant     calls\né              1\nlong name   1000\n");
    }

    #[test]
    fn cells_cannot_break_out_of_a_csv() {
        let rows = [vec!["a,\"b\"\n".to_owned(), "=1+1".to_owned(), "-5".to_owned()]];
        assert_eq!(csv(&["x", "y", "z"], &rows), "x,y,z\n\"a,\"\"b\"\"\n\",'=1+1,-5\n");
    }

    #[test]
    fn moments_are_utc() {
        assert_eq!(moment(1_795_000_000_123), "2026-11-18T11:06:40Z");
    }
}
