//! Products of a weight matrix with all rows.
//!
//! A task owns some channels for all rows. Of a quantized matrix it unpacks one span of sixteen channels after another
//! into a panel, which then serves every row: each weight is read and unpacked once per pass.

use std::ops::Range;
use std::sync::Mutex;

use dewdrop_backend::{Arithmetic, Register, Weight};

use crate::activations::Activations;
use crate::body::float_product::{FloatProduct, float_product};
use crate::body::integer_product::{End, Target, product};
use crate::disjoint::Disjoint;
use crate::isa::Isa;
use crate::panel::{CHANNELS, Panel, SPAN};
use crate::pass::Pass;
use crate::pool::Pool;
use crate::unpack::Unpacker;

/// Bytes of weights of a task, about: long enough to make starting it cheap, short enough to share out evenly.
const TASK_BYTES: usize = 64 << 10;

/// A product's inputs.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a> {
    /// For quantized weights.
    Integers(&'a Activations),
    /// `[n_rows, n_in]`.
    Floats(&'a [f32]),
}

/// How a matrix is multiplied under an arithmetic: by integers if there is an unpacker.
pub(crate) fn unpacker(weight: &Weight, arithmetic: Arithmetic) -> Option<Unpacker> {
    match arithmetic {
        Arithmetic::Quantized => Unpacker::of(weight.block_type),
        Arithmetic::Exact => None,
    }
}

impl Pass {
    /// `out = weight input + bias`, or that added to it.
    pub(crate) fn linear(
        &mut self,
        input: Register,
        weight: &Weight,
        bias: Option<&[f32]>,
        out: Register,
        add: bool,
    ) {
        let widths = (self.registers.width(input), self.registers.width(out));
        assert_eq!(widths, (weight.n_in, weight.n_out), "widths of a linear's registers");
        let mut values = self.registers.take_spare(out);
        if unpacker(weight, self.arithmetic).is_some() {
            self.registers.quantize(self.isa, &mut self.pool, input);
        }
        let rows = match unpacker(weight, self.arithmetic) {
            Some(_) => Rows::Integers(self.registers.quantized(input)),
            None => Rows::Floats(self.registers.get(input)),
        };
        let end = End { bias, old: add.then(|| self.registers.get(out)) };
        multiply(self.isa, &mut self.pool, weight, rows, end, &mut values);
        self.registers.put(out, values);
    }
}

/// `out = end(weight x)`, `[n_rows, n_out]`.
pub(crate) fn multiply(
    isa: Isa,
    pool: &mut Pool,
    weight: &Weight,
    rows: Rows<'_>,
    end: End<'_>,
    out: &mut [f32],
) {
    let out = Disjoint::new(out);
    let n_tiles = weight.n_out.div_ceil(CHANNELS);
    let tile_bytes = (weight.blocks.len() / n_tiles).max(1);
    // At least a few tasks for each thread, so that all end at about the same time.
    let tiles_per_task = (TASK_BYTES / tile_bytes).min(n_tiles / (4 * pool.threads())).max(1);
    let scratch: Vec<_> = (0..pool.threads()).map(|_| Mutex::new(Scratch::default())).collect();
    pool.run(n_tiles.div_ceil(tiles_per_task), &|worker, task| {
        let mut scratch = scratch[worker].try_lock().expect("a worker's scratch is its own");
        for tile in task * tiles_per_task..n_tiles.min((task + 1) * tiles_per_task) {
            let channels = tile * CHANNELS..weight.n_out.min((tile + 1) * CHANNELS);
            // SAFETY: a tile's columns are its task's alone.
            unsafe {
                match rows {
                    Rows::Integers(x) => integer_tile(isa, weight, channels, x, end, out, &mut scratch),
                    Rows::Floats(x) => float_tile(isa, weight, channels, x, end, out, &mut scratch),
                }
            }
        }
    });
}

/// What a worker unpacks into.
#[derive(Default)]
struct Scratch {
    panel: Option<Box<Panel>>,
    floats: Vec<f32>,
}

/// # Safety
/// These columns of `out` are the present task's alone.
unsafe fn integer_tile(
    isa: Isa,
    weight: &Weight,
    channels: Range<usize>,
    x: &Activations,
    end: End<'_>,
    out: Disjoint<'_, f32>,
    scratch: &mut Scratch,
) {
    let Unpacker { form, unpack } = Unpacker::of(weight.block_type).expect("a quantized type");
    assert_eq!(x.n_in(), weight.n_in, "inputs of a matrix");
    let panel = scratch.panel.get_or_insert_with(Panel::new);
    for first in (0..weight.n_in).step_by(SPAN) {
        let n = SPAN.min(weight.n_in - first);
        // Channels beyond the last repeat it; their values go nowhere.
        let blocks =
            std::array::from_fn(|j| span(weight, (channels.start + j).min(channels.end - 1), first, n));
        unpack(isa, weight.block_type, blocks, panel.part_mut(form, n));
        let target = Target {
            out,
            n_out: weight.n_out,
            channel: channels.start,
            n_channels: channels.len(),
            first: first == 0,
            end: (first + n == weight.n_in).then_some(end),
        };
        // SAFETY: by the caller.
        unsafe { product(isa, form, panel.part(form, n), x, first, target) };
    }
}

/// # Safety
/// These columns of `out` are the present task's alone.
unsafe fn float_tile(
    isa: Isa,
    weight: &Weight,
    channels: Range<usize>,
    x: &[f32],
    end: End<'_>,
    out: Disjoint<'_, f32>,
    scratch: &mut Scratch,
) {
    for first in (0..weight.n_in).step_by(SPAN) {
        let n = SPAN.min(weight.n_in - first);
        scratch.floats.resize(channels.len() * n, 0.0);
        for (channel, floats) in channels.clone().zip(scratch.floats.chunks_exact_mut(n)) {
            (weight.block_type.block().decode)(span(weight, channel, first, n), floats);
        }
        let product = FloatProduct {
            weights: &scratch.floats,
            n_inputs: n,
            x,
            n_in: weight.n_in,
            first_input: first,
            out,
            n_out: weight.n_out,
            first_channel: channels.start,
        };
        // SAFETY: by the caller.
        unsafe { float_product(isa, product) };
    }
    for row in 0..x.len() / weight.n_in {
        let at = row * weight.n_out;
        // SAFETY: by the caller.
        let out = unsafe { out.part(at + channels.start..at + channels.end) };
        for (channel, out) in channels.clone().zip(out) {
            if let Some(bias) = end.bias {
                *out += bias[channel];
            }
            if let Some(old) = end.old {
                *out += old[at + channel];
            }
        }
    }
}

/// The blocks of `n` inputs of a channel from `first` on.
fn span(weight: &Weight, channel: usize, first: usize, n: usize) -> &[u8] {
    let bytes_for = |n| weight.block_type.bytes_for(n);
    &weight.blocks[channel * bytes_for(weight.n_in) + bytes_for(first)..][..bytes_for(n)]
}
