//! Tokens per second over budgets, as a picture.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
/// Where the axes are.
const LEFT: f64 = 64.0;
const RIGHT: f64 = WIDTH - 24.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = HEIGHT - 56.0;
/// Most lines across the picture, in each direction.
const MOST_LINES: f64 = 7.0;

/// A curve through `points`, budgets in bytes and tokens per second, as SVG.
pub(super) fn svg(model: &str, points: &[(u64, f64)]) -> String {
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let points: Vec<(f64, f64)> = points.iter().map(|(budget, speed)| (mebibytes(*budget), *speed)).collect();
    let most = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).fold(0.0, f64::max).max(1e-9) * 1.05;
    let (right, top) = (most(|point| point.0), most(|point| point.1));
    let x = |budget: f64| LEFT + budget / right * (RIGHT - LEFT);
    let y = |speed: f64| BOTTOM - speed / top * (BOTTOM - TOP);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
    );
    let mut add = |line: String| writeln!(out, "{line}").expect("text takes all that is written to it");
    add(text(
        LEFT,
        26.0,
        "start",
        &format!("{}: predicted tokens per second under a memory budget", escaped(model)),
    ));
    for speed in ticks(top) {
        let at = y(speed);
        add(format!("<line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>"));
        add(text(LEFT - 8.0, at + 4.0, "end", &number(speed)));
    }
    for budget in ticks(right) {
        let at = x(budget);
        add(format!(
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{BOTTOM}\" y2=\"{}\" stroke=\"#888888\"/>",
            BOTTOM + 5.0
        ));
        add(text(at, BOTTOM + 20.0, "middle", &number(budget)));
    }
    add(text(f64::midpoint(LEFT, RIGHT), HEIGHT - 14.0, "middle", "budget, MiB"));
    let path: Vec<String> =
        points.iter().map(|(budget, speed)| format!("{:.1},{:.1}", x(*budget), y(*speed))).collect();
    add(format!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#1b6ca8\" stroke-width=\"2.5\"/>",
        path.join(" ")
    ));
    for (budget, speed) in &points {
        add(format!("<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"#1b6ca8\"/>", x(*budget), y(*speed)));
    }
    add("</svg>".into());
    out
}

fn text(x: f64, y: f64, anchor: &str, text: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#222222\">{text}</text>")
}

/// From zero up to `most`, in steps of one, two or five times a power of ten.
fn ticks(most: f64) -> Vec<f64> {
    let power = 10f64.powf((most / MOST_LINES).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let step = steps.into_iter().find(|step| most / step <= MOST_LINES).unwrap_or(steps[3]);
    (0..).map(|i| f64::from(i) * step).take_while(|tick| *tick <= most).collect()
}

/// Without the noise of steps that are not exact in binary.
fn number(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_few_and_round() {
        assert_eq!(ticks(7.6), [0.0, 2.0, 4.0, 6.0]);
        assert_eq!(ticks(2400.0), [0.0, 500.0, 1000.0, 1500.0, 2000.0]);
        assert_eq!(
            ticks(0.34).iter().map(|tick| number(*tick)).collect::<Vec<_>>(),
            ["0", "0.05", "0.1", "0.15", "0.2", "0.25", "0.3"]
        );
    }

    #[test]
    fn all_budgets_stand_in_the_picture() {
        let picture = svg("a<b", &[(64 << 20, 1.5), (128 << 20, 3.0)]);
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n") && picture.contains("a&lt;b"));
        assert_eq!(picture.matches("<circle").count(), 2);
    }
}
