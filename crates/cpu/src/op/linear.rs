//! Products of a weight matrix with all rows.
//!
//! A task owns some channels for all rows. Of a quantized matrix it unpacks one span of sixteen channels after another
//! into a panel, which then serves every row: each weight is read and unpacked once per pass.

use std::ops::Range;
use std::sync::Mutex;

use dewdrop_backend::{Arithmetic, Register};

use crate::activations::Activations;
use crate::body::decode::decode;
use crate::body::float_product::{FloatProduct, float_product};
use crate::body::integer_product::{End, Target, product};
use crate::disjoint::Disjoint;
use crate::isa::Isa;
use crate::loaded::{Layout, Matrix};
use crate::panel::{CHANNELS, Panel, SPAN};
use crate::pass::Pass;
use crate::pool::Pool;
use crate::unpack::{RowPanels, Source, Unpacker};

/// Bytes of weights of a task, about: long enough to make starting it cheap, short enough to share out evenly.
const TASK_BYTES: usize = 512 << 10;

/// A product's inputs.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a> {
    /// For quantized weights.
    Integers(&'a Activations),
    /// `[n_rows, n_in]`.
    Floats(&'a [f32]),
}

/// How a matrix is multiplied under an arithmetic: by integers if there is an unpacker.
pub(crate) fn unpacker(matrix: &Matrix, arithmetic: Arithmetic) -> Option<&'static Unpacker> {
    match arithmetic {
        Arithmetic::Quantized => Unpacker::of(matrix.block_type),
        Arithmetic::Exact => None,
    }
}

impl Pass {
    /// `out = weight input + bias`, or that added to it.
    pub(crate) fn linear(
        &mut self,
        input: Register,
        matrix: &Matrix,
        bias: Option<&[f32]>,
        out: Register,
        add: bool,
    ) {
        let widths = (self.registers.width(input), self.registers.width(out));
        assert_eq!(widths, (matrix.n_in, matrix.n_out), "widths of a linear's registers");
        let mut values = self.registers.take_spare(out);
        let rows = match unpacker(matrix, self.arithmetic) {
            Some(_) => {
                self.registers.quantize(self.isa, &mut self.pool, input);
                Rows::Integers(self.registers.quantized(input))
            }
            None => Rows::Floats(self.registers.get(input)),
        };
        let end = End { bias, old: add.then(|| self.registers.get(out)) };
        let product = Multiply { isa: self.isa, matrix, rows, end };
        product.run(&mut self.pool, &self.scratch, &mut values);
        self.registers.put(out, values);
    }
}

/// What a worker unpacks into.
#[derive(Default)]
pub(crate) struct Scratch {
    panels: [Box<Panel>; 2],
    floats: Vec<f32>,
}

/// `end(matrix x)`, `[n_rows, n_out]`.
#[derive(Clone, Copy)]
pub(crate) struct Multiply<'a> {
    pub(crate) isa: Isa,
    pub(crate) matrix: &'a Matrix,
    pub(crate) rows: Rows<'a>,
    pub(crate) end: End<'a>,
}

impl Multiply<'_> {
    /// Computes it. `scratch`: one for each worker.
    pub(crate) fn run(&self, pool: &mut Pool, scratch: &[Mutex<Scratch>], out: &mut [f32]) {
        let (out, n_out) = (Disjoint::new(out), self.matrix.n_out);
        let (_, panels) = self.isa.tile();
        let n_tiles = n_out.div_ceil(panels * CHANNELS);
        let tile_bytes = panels * CHANNELS * self.matrix.block_type.bytes_for(self.matrix.n_in);
        // At least a few tasks for each thread, so that all end at about the same time.
        let tiles_per_task = (TASK_BYTES / tile_bytes.max(1)).min(n_tiles / (4 * pool.threads())).max(1);
        pool.run(n_tiles.div_ceil(tiles_per_task), &|worker, task| {
            let mut scratch = scratch[worker].try_lock().expect("a worker's scratch is its own");
            for tile in task * tiles_per_task..n_tiles.min((task + 1) * tiles_per_task) {
                let channels = tile * panels * CHANNELS..n_out.min((tile + 1) * panels * CHANNELS);
                // SAFETY: a tile's columns are its task's alone.
                unsafe {
                    match self.rows {
                        Rows::Integers(x) => self.integer_tile(channels, x, out, &mut scratch),
                        Rows::Floats(x) => self.float_tile(channels, x, out, &mut scratch),
                    }
                }
            }
        });
    }

    /// # Safety
    /// These columns of `out` are the present task's alone.
    unsafe fn integer_tile(
        &self,
        channels: Range<usize>,
        x: &Activations,
        out: Disjoint<'_, f32>,
        scratch: &mut Scratch,
    ) {
        let &Matrix { block_type, n_in, n_out, layout, .. } = self.matrix;
        let unpacker = Unpacker::of(block_type).expect("a quantized type");
        assert_eq!(x.n_in(), n_in, "inputs of a matrix");
        for first in (0..n_in).step_by(SPAN) {
            let n = SPAN.min(n_in - first);
            let target = Target {
                out,
                n_out,
                channel: channels.start,
                n_channels: channels.len(),
                first: first == 0,
                end: (first + n == n_in).then_some(self.end),
            };
            // SAFETY: by the caller.
            unsafe {
                if layout == Layout::Panels && x.n_rows() == 1 {
                    self.one_row(unpacker, x, first, n, target);
                } else {
                    self.rows(unpacker, x, first, n, target, &mut scratch.panels);
                }
            }
        }
    }

    /// One span of one row, multiplied as the weights are unpacked.
    ///
    /// # Safety
    /// The target's columns are the present task's alone.
    unsafe fn one_row(
        &self,
        unpacker: &Unpacker,
        x: &Activations,
        first: usize,
        n: usize,
        target: Target<'_>,
    ) {
        let x = x.tile(0, first, n, unpacker.form.group);
        for panel in 0..target.n_channels.div_ceil(CHANNELS) {
            let bytes = self.panel(target.channel + panel * CHANNELS, first, n);
            let y = (unpacker.row)(self.isa, RowPanels { bytes, x });
            // SAFETY: by the caller.
            unsafe { target.put(0, panel, y) };
        }
    }

    /// One span of all rows, multiplied with weights that are unpacked first.
    ///
    /// # Safety
    /// The target's columns are the present task's alone.
    unsafe fn rows(
        &self,
        unpacker: &Unpacker,
        x: &Activations,
        first: usize,
        n: usize,
        target: Target<'_>,
        panels: &mut [Box<Panel>; 2],
    ) {
        let form = unpacker.form;
        let n_panels = target.n_channels.div_ceil(CHANNELS);
        for (i, panel) in panels[..n_panels].iter_mut().enumerate() {
            let start = target.channel + i * CHANNELS;
            let channels = start..self.matrix.n_out.min(start + CHANNELS);
            (unpacker.unpack)(self.isa, &self.source(&channels, first, n), panel.part_mut(form, n));
        }
        let parts = [panels[0].part(form, n), panels[1].part(form, n)];
        // SAFETY: by the caller.
        unsafe { product(self.isa, form, &parts[..n_panels], x, first, target) };
    }

    /// The rearranged blocks of `n` inputs from `first` on.
    fn panel(&self, channel: usize, first: usize, n: usize) -> &[u8] {
        let Matrix { block_type, n_in, blocks, .. } = self.matrix;
        let at = channel * block_type.bytes_for(*n_in) + CHANNELS * block_type.bytes_for(first);
        &blocks[at..][..CHANNELS * block_type.bytes_for(n)]
    }

    /// The blocks of `n` inputs from `first` on.
    fn source(&self, channels: &Range<usize>, first: usize, n: usize) -> Source<'_> {
        let Matrix { block_type, n_in, layout, blocks, .. } = self.matrix;
        match layout {
            Layout::Panels => Source::Panels(self.panel(channels.start, first, n)),
            Layout::File => {
                let (at, n, channel_bytes) =
                    (block_type.bytes_for(first), block_type.bytes_for(n), block_type.bytes_for(*n_in));
                // Channels beyond the last repeat it; their values go nowhere.
                let channel = |j: usize| (channels.start + j).min(channels.end - 1) * channel_bytes;
                // The next sixteen channels follow these in the file. Read in one stream while these are unpacked, a
                // share with each span, they come faster than in the sixteen streams of their own unpacking.
                let soon = channel_bytes * (channels.start + CHANNELS) + CHANNELS * at;
                Source::File {
                    channels: std::array::from_fn(|j| &blocks[channel(j) + at..][..n]),
                    soon: blocks.as_ptr().wrapping_add(soon),
                }
            }
        }
    }

    /// # Safety
    /// These columns of `out` are the present task's alone.
    unsafe fn float_tile(
        &self,
        channels: Range<usize>,
        x: &[f32],
        out: Disjoint<'_, f32>,
        scratch: &mut Scratch,
    ) {
        let Matrix { block_type, n_in, n_out, ref blocks, .. } = *self.matrix;
        for first in (0..n_in).step_by(SPAN) {
            let n = SPAN.min(n_in - first);
            scratch.floats.resize(channels.len() * n, 0.0);
            for (channel, floats) in channels.clone().zip(scratch.floats.chunks_exact_mut(n)) {
                let at = block_type.bytes_for(channel * n_in + first);
                let bytes = &blocks[at..][..block_type.bytes_for(n)];
                decode(self.isa, block_type, bytes, floats);
            }
            let product = FloatProduct {
                weights: &scratch.floats,
                n_inputs: n,
                x,
                n_in,
                first_input: first,
                out,
                n_out,
                first_channel: channels.start,
            };
            // SAFETY: by the caller.
            unsafe { float_product(self.isa, product) };
        }
        for row in 0..x.len() / n_in {
            let at = row * n_out;
            // SAFETY: by the caller.
            let out = unsafe { out.part(at + channels.start..at + channels.end) };
            for (channel, out) in channels.clone().zip(out) {
                if let Some(bias) = self.end.bias {
                    *out += bias[channel];
                }
                if let Some(old) = self.end.old {
                    *out += old[at + channel];
                }
            }
        }
    }
}
