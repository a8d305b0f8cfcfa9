//! The report as a picture: tokens per second, and the 99th percentile of the first token, over clients.

use std::fmt::Write as _;

use super::figures::{Report, Row};

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 40.0;
/// Distinct in print, and for eyes that confuse red and green.
const COLORS: [&str; 3] = ["#0b6bcb", "#c4620d", "#444444"];

/// A whole SVG document.
pub(super) fn svg(report: &Report) -> String {
    let (width, height) = (2.0 * (WIDTH + LEFT + 30.0), HEIGHT + TOP + 90.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    panel(&mut svg, report, (LEFT, "answers' tokens per second, all clients"), |row| row.tokens_per_second);
    let second = WIDTH + 2.0 * LEFT + 30.0;
    panel(&mut svg, report, (second, "time to first token, p99, ms"), |row| row.first_token_ms_p99);
    for (index, server) in servers(report).iter().enumerate() {
        let x = LEFT + 200.0 * index as f64;
        let (y, color) = (height - 18.0, COLORS[index % COLORS.len()]);
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{color}\"/><text x=\"{}\" y=\"{y}\">{}</text>",
            y - 10.0,
            x + 18.0,
            escaped(server)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, report: &Report, (left, title): (f64, &str), value: fn(&Row) -> f64) {
    let top = rounded_up(report.rows.iter().map(value).fold(0.0, f64::max));
    let mut clients: Vec<usize> = report.rows.iter().map(|row| row.clients).collect();
    clients.sort_unstable();
    clients.dedup();
    let x = |count: usize| {
        let place = clients.iter().position(|known| *known == count).unwrap_or(0) as f64;
        left + WIDTH * (place + 0.5) / clients.len() as f64
    };
    let y = |value: f64| TOP + HEIGHT * (1.0 - value / top);
    let _ = writeln!(svg, "<text x=\"{left}\" y=\"{}\" font-size=\"14\">{title}</text>", TOP - 16.0);
    for step in 0..=4 {
        let at = top * f64::from(step) / 4.0;
        let _ = writeln!(
            svg,
            "<line x1=\"{left}\" x2=\"{:.1}\" y1=\"{1:.1}\" y2=\"{1:.1}\" stroke=\"#ddd\"/><text x=\"{2:.1}\" y=\"{3:.1}\" \
             text-anchor=\"end\">{at}</text>",
            left + WIDTH,
            y(at),
            left - 6.0,
            y(at) + 4.0
        );
    }
    for count in &clients {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{count}</text>",
            x(*count),
            TOP + HEIGHT + 18.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">clients</text>",
        left + WIDTH / 2.0,
        TOP + HEIGHT + 38.0
    );
    for (index, server) in servers(report).iter().enumerate() {
        let color = COLORS[index % COLORS.len()];
        let rows = || report.rows.iter().filter(|row| row.server == *server);
        let points: Vec<String> = rows().map(|row| format!("{:.1},{:.1}", x(row.clients), y(value(row)))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>",
            points.join(" ")
        );
        for row in rows() {
            let (x, y) = (x(row.clients), y(value(row)));
            let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{color}\"/>");
        }
    }
}

fn servers(report: &Report) -> Vec<String> {
    let mut servers: Vec<String> = Vec::new();
    for row in &report.rows {
        if !servers.contains(&row.server) {
            servers.push(row.server.clone());
        }
    }
    servers
}

/// The next of 1, 2, 4, 5 or 8 times a power of ten.
fn rounded_up(value: f64) -> f64 {
    let power = 10f64.powf(value.max(1e-3).log10().floor());
    [1.0, 2.0, 4.0, 5.0, 8.0, 10.0].map(|step| step * power).into_iter().find(|top| *top >= value).unwrap_or(value)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::{super::figures::tests::report, *};

    #[test]
    fn the_picture_is_this() {
        insta::assert_snapshot!(svg(&report()));
    }

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!([0.7, 1.0, 3.0, 47.0, 810.0].map(rounded_up), [0.8, 1.0, 4.0, 50.0, 1000.0]);
    }
}
