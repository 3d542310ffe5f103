//! Figures as text, Markdown and JSON.

use std::io::{self, Write};
use std::sync::Arc;

use dewdrop::Plan;
use dewdrop_lab::bench::{Checked, Cost, Figure, Limits, Streamed, TestKind};
use serde_json::{Value, json};

use super::record::{Measured, Records, Timed};
use crate::table::{Side, Table};
use crate::units;

/// Columns of figures: those of llama-bench, and the share of what the machine can do.
const FIGURES: [&str; 8] = ["model", "size", "params", "backend", "threads", "test", "t/s", "of limit"];
const FIGURE_SIDES: [Side; 8] =
    [Side::Left, Side::Right, Side::Right, Side::Left, Side::Right, Side::Right, Side::Right, Side::Right];

/// Columns of costs.
const COSTS: [&str; 7] = ["model", "threads", "depth", "rows", "ms", "of one row", "of limit"];
const COST_SIDES: [Side; 7] =
    [Side::Left, Side::Right, Side::Right, Side::Right, Side::Right, Side::Right, Side::Right];

/// Columns of what streaming did.
const STREAMS: [&str; 7] = ["model", "threads", "test", "read", "read/s", "waited", "predicted t/s"];
const STREAM_SIDES: [Side; 7] =
    [Side::Left, Side::Right, Side::Right, Side::Right, Side::Right, Side::Right, Side::Right];

/// Writes figures for people.
pub(super) fn text(records: &Records, out: &mut impl Write) -> io::Result<()> {
    for line in notes(records) {
        writeln!(out, "{line}")?;
    }
    plain_table(&FIGURES, &FIGURE_SIDES, figure_rows(records), out)?;
    plain_table(&STREAMS, &STREAM_SIDES, stream_rows(records), out)?;
    plain_table(&COSTS, &COST_SIDES, cost_rows(records), out)
}

/// Writes figures as Markdown.
pub(super) fn markdown(records: &Records, out: &mut impl Write) -> io::Result<()> {
    for line in notes(records) {
        writeln!(out, "- {line}")?;
    }
    markdown_table(&FIGURES, &FIGURE_SIDES, figure_rows(records), out)?;
    markdown_table(&STREAMS, &STREAM_SIDES, stream_rows(records), out)?;
    markdown_table(&COSTS, &COST_SIDES, cost_rows(records), out)
}

/// Writes everything that was measured as one JSON document.
pub(super) fn json(records: &Records, out: &mut impl Write) -> io::Result<()> {
    let limits: Vec<Value> = records.limits.iter().map(limits_record).collect();
    let models: Vec<Value> = records.models.iter().map(model_record).collect();
    writeln!(out, "{:#}", json!({ "limits": limits, "models": models }))
}

/// What has to be known beside the figures.
fn notes(records: &Records) -> Vec<String> {
    let limits = records.limits.iter().map(limits_in_words);
    let checks = records.models.iter().filter_map(|model| {
        model.checked.as_ref().map(|checked| format!("{}: {}", model.name, check_in_words(checked)))
    });
    let plan = |model: &Measured, Timed { threads, value }: &Timed<Arc<Plan>>| {
        format!("{}, {}: {}", model.name, units::plural(*threads, "thread"), plan_in_words(value))
    };
    let plans =
        records.models.iter().flat_map(|model| model.plans.iter().map(move |timed| plan(model, timed)));
    limits.chain(checks).chain(plans).collect()
}

fn plan_in_words(plan: &Plan) -> String {
    format!(
        "budget {}, weights {} resident, {} per pass from disk, {} per pass",
        units::bytes(plan.budget),
        units::bytes(plan.resident),
        units::bytes(plan.streamed),
        units::plural(plan.chunk, "row"),
    )
}

fn limits_in_words(limits: &Limits) -> String {
    let Limits { threads, isa, read, integers, bf16, floats } = limits;
    let peak = |name: &str, peak: &dewdrop::machine::limits::Peak| {
        format!("{:.0} G {name} multiply-adds/s ({})", peak.per_second / 1e9, peak.instructions)
    };
    let (integers, bf16, floats) = (peak("int8", integers), peak("bf16", bf16), peak("f32", floats));
    format!(
        "limits of {} ({isa}): {:.1} GB/s read, {integers}, {bf16}, {floats}",
        units::plural(*threads, "thread"),
        read / 1e9
    )
}

fn check_in_words(checked: &Checked) -> String {
    let layers: Vec<String> = checked.layers.iter().map(ToString::to_string).collect();
    format!(
        "{} through {} {} give the oracle's logits, bit for bit",
        units::plural(checked.n_rows, "row"),
        if layers.len() == 1 { "layer" } else { "layers" },
        layers.join(", ")
    )
}

fn figure_rows(records: &Records) -> Vec<[String; 8]> {
    let isa = records.limits.first().map_or("", |limits| limits.isa);
    let row = |model: &Measured, Timed { threads, value }: &Timed<Figure>| {
        let (speed, deviation) = value.speed();
        [
            model.name.clone(),
            units::bytes(model.bytes),
            units::count(model.n_weights),
            format!("cpu {isa}"),
            threads.to_string(),
            value.test.to_string(),
            format!("{speed:.2} ± {deviation:.2}"),
            percent(value.share()),
        ]
    };
    let rows =
        records.models.iter().flat_map(|model| model.figures.iter().map(move |figure| row(model, figure)));
    rows.collect()
}

fn stream_rows(records: &Records) -> Vec<[String; 7]> {
    let row = |model: &Measured, Timed { threads, value }: &Timed<Figure>| {
        let Streamed { bytes_read, stalled, predicted } = value.streamed.as_ref()?;
        let seconds: f64 = value.seconds.iter().sum();
        Some([
            model.name.clone(),
            threads.to_string(),
            value.test.to_string(),
            units::bytes(*bytes_read),
            units::bytes((*bytes_read as f64 / seconds) as u64),
            percent(stalled.as_secs_f64() / seconds),
            predicted.map_or(String::new(), |speed| format!("{speed:.2}")),
        ])
    };
    let rows = records
        .models
        .iter()
        .flat_map(|model| model.figures.iter().filter_map(move |figure| row(model, figure)));
    rows.collect()
}

fn cost_rows(records: &Records) -> Vec<[String; 7]> {
    let row = |model: &Measured, cost: &Timed<Cost>| {
        let median = cost.value.median();
        [
            model.name.clone(),
            cost.threads.to_string(),
            cost.value.depth.to_string(),
            cost.value.n_rows.to_string(),
            format!("{:.2}", median * 1e3),
            model.one_row(cost).map_or(String::new(), |one| format!("{:.2}", median / one)),
            percent(cost.value.least / median),
        ]
    };
    let rows = records.models.iter().flat_map(|model| model.costs.iter().map(move |cost| row(model, cost)));
    rows.collect()
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A table behind an empty line, if it has rows.
fn plain_table<const N: usize>(
    titles: &[&str; N],
    sides: &[Side; N],
    rows: Vec<[String; N]>,
    out: &mut impl Write,
) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut table = Table::new(sides);
    table.row(titles.map(String::from));
    for row in rows {
        table.row(row);
    }
    table.write(out)
}

/// The same as Markdown.
fn markdown_table<const N: usize>(
    titles: &[&str; N],
    sides: &[Side; N],
    rows: Vec<[String; N]>,
    out: &mut impl Write,
) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n| {} |", titles.join(" | "))?;
    let rulers = sides.map(|side| if side == Side::Left { "---" } else { "---:" });
    writeln!(out, "| {} |", rulers.join(" | "))?;
    rows.iter().try_for_each(|row| writeln!(out, "| {} |", row.join(" | ")))
}

fn limits_record(limits: &Limits) -> Value {
    json!({
        "threads": limits.threads,
        "instruction_set": limits.isa,
        "read_bytes_per_second": limits.read,
        "int8_multiply_adds_per_second": limits.integers.per_second,
        "int8_instructions": limits.integers.instructions,
        "bf16_multiply_adds_per_second": limits.bf16.per_second,
        "bf16_instructions": limits.bf16.instructions,
        "f32_multiply_adds_per_second": limits.floats.per_second,
        "f32_instructions": limits.floats.instructions,
    })
}

fn model_record(model: &Measured) -> Value {
    let costs = model.costs.iter().map(|cost| cost_record(cost, model.one_row(cost)));
    json!({
        "model": model.name,
        "bytes": model.bytes,
        "parameters": model.n_weights,
        "plans": model.plans.iter().map(plan_record).collect::<Vec<_>>(),
        "checked": model.checked.as_ref().map(|checked| json!({ "layers": checked.layers, "rows": checked.n_rows })),
        "tests": model.figures.iter().map(figure_record).collect::<Vec<_>>(),
        "passes": costs.collect::<Vec<_>>(),
    })
}

fn figure_record(Timed { threads, value }: &Timed<Figure>) -> Value {
    let (speed, deviation) = value.speed();
    let is_prompt = value.test.kind == TestKind::Prompt;
    json!({
        "test": value.test.to_string(),
        "threads": threads,
        "n_prompt": if is_prompt { value.test.n_tokens } else { 0 },
        "n_gen": if is_prompt { 0 } else { value.test.n_tokens },
        "n_depth": value.test.depth,
        "batch_size": value.test.chunk,
        "seconds": value.seconds,
        "least_seconds": value.least,
        "tokens_per_second": speed,
        "deviation": deviation,
        "share_of_limit": value.share(),
        "streamed": value.streamed.as_ref().map(|Streamed { bytes_read, stalled, predicted }| json!({
            "bytes_read": bytes_read,
            "stalled_seconds": stalled.as_secs_f64(),
            "predicted_tokens_per_second": predicted,
        })),
    })
}

fn plan_record(Timed { threads, value }: &Timed<Arc<Plan>>) -> Value {
    json!({
        "threads": threads,
        "budget_bytes": value.budget,
        "planned_peak_bytes": value.peak(),
        "resident_bytes": value.resident,
        "streamed_bytes_per_pass": value.streamed,
        "rows_per_pass": value.chunk,
    })
}

fn cost_record(cost: &Timed<Cost>, one_row: Option<f64>) -> Value {
    let Timed { threads, value } = cost;
    let median = value.median();
    json!({
        "rows": value.n_rows,
        "threads": threads,
        "n_depth": value.depth,
        "seconds": value.seconds,
        "median_seconds": median,
        "of_one_row": one_row.map(|one| median / one),
        "least_seconds": value.least,
        "share_of_limit": value.least / median,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dewdrop::machine::limits::Peak;
    use dewdrop_lab::bench::Test;

    use super::*;

    /// Made-up figures of one model.
    fn records() -> Records {
        let peak = |per_second, instructions| Peak { per_second, instructions };
        let limits = Limits {
            threads: 2,
            isa: "avx512",
            read: 50e9,
            integers: peak(1000e9, "vpdpbusd"),
            bf16: peak(500e9, "vdpbf16ps"),
            floats: peak(250e9, "vfmadd231ps"),
        };
        let test = |kind, n_tokens, depth| Test { kind, n_tokens, depth, chunk: 512 };
        let timed = |value| Timed { threads: 2, value };
        let figures = vec![
            timed(Figure {
                test: test(TestKind::Prompt, 512, 0),
                seconds: vec![0.5, 0.512, 0.5],
                least: vec![0.25; 3],
                streamed: None,
            }),
            timed(Figure {
                test: test(TestKind::Generation, 64, 4096),
                seconds: vec![1.0],
                least: vec![0.92],
                streamed: Some(Streamed {
                    bytes_read: 64 << 20,
                    stalled: Duration::from_millis(250),
                    predicted: Some(70.5),
                }),
            }),
        ];
        let cost = |n_rows, milliseconds: f64| Timed {
            threads: 2,
            value: Cost { n_rows, depth: 0, seconds: vec![milliseconds / 1e3], least: 8e-3 },
        };
        let model = Measured {
            name: "qwen3-0.6b Q4_K_M".into(),
            bytes: 394 << 20,
            n_weights: 596_049_920,
            checked: Some(Checked { layers: vec![0, 3], n_rows: 4 }),
            plans: Vec::new(),
            figures,
            costs: vec![cost(1, 10.0), cost(8, 12.5)],
        };
        Records { limits: vec![limits], models: vec![model] }
    }

    fn written(write: impl Fn(&Records, &mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&records(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn for_people() {
        insta::assert_snapshot!(written(text));
    }

    #[test]
    fn as_markdown() {
        insta::assert_snapshot!(written(markdown));
    }

    #[test]
    fn as_json() {
        insta::assert_snapshot!(written(json));
    }

    #[test]
    fn nothing_measured_is_nothing_shown() {
        let mut out = Vec::new();
        text(&Records::default(), &mut out).unwrap();
        assert!(out.is_empty());
    }
}
