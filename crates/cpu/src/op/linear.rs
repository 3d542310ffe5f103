//! Products of weight matrices with all rows.
//!
//! A task owns some channels for all rows. Of a quantized matrix it unpacks some inputs of sixteen channels after another
//! into a panel, which then serves every row: each weight is read and unpacked once per pass.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Mutex;

use dewdrop_backend::Register;
use dewdrop_format::BlockType;

use crate::activations::Activations;
use crate::body::decode::decode;
use crate::body::float_product::{FloatProduct, float_product};
use crate::body::float_row::{BF16, F16, F32, FloatRow, Stored};
use crate::body::integer_product::{asks, product};
use crate::body::next::Next;
use crate::body::pair_product::pair_product;
use crate::body::target::{End, Target};
use crate::buffer::Buffer;
use crate::disjoint::Disjoint;
use crate::isa::Isa;
use crate::loaded::{Layout, Matrix};
use crate::pairs::Pairs;
use crate::panel::{CHANNELS, MAX_INPUTS, SPAN};
use crate::panels::sixteen;
use crate::pass::Pass;
use crate::pool::Pool;
use crate::rows::{Kind, Rows};
use crate::scratch::{FLOAT_CHANNELS, Scratch};
use crate::unpack::{Arrange, FewRows, Unpacker, arrange_pairs};

/// Bytes of weights that make entering a kernel worth it.
const LEAST_BYTES: usize = 64 << 10;

/// One of several products of the same input.
pub(crate) struct Linear<'a> {
    pub(crate) matrix: &'a Matrix,
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) out: Register,
    /// Whether it is added to `out`.
    pub(crate) add: bool,
}

impl Pass {
    /// `out = weight input + bias`, or that added to it, for all of `products`, side by side.
    pub(crate) fn linear(&mut self, input: Register, products: &[Linear<'_>]) {
        let width = self.registers.width(input);
        let alone = |i: usize| products[..i].iter().all(|other| other.out != products[i].out);
        assert!((0..products.len()).all(alone), "two products side by side write one register");
        for product in products {
            let kind = Kind::of(product.matrix.block_type, self.arithmetic);
            self.registers.prepare(&kind, self.isa, &mut self.pool, input);
        }
        let mut outs: Vec<Buffer> =
            products.iter().map(|product| self.registers.take_spare(product.out)).collect();
        let mut multiplies = Vec::with_capacity(products.len());
        for (product, out) in products.iter().zip(&mut outs) {
            let &Linear { matrix, bias, out: register, add } = product;
            let widths = (width, self.registers.width(register));
            assert_eq!(widths, (matrix.n_in, matrix.n_out), "widths of a linear's registers");
            let rows = self.registers.rows(&Kind::of(matrix.block_type, self.arithmetic), input);
            let end = End { bias, old: add.then(|| self.registers.get(register)) };
            multiplies.push(Multiply { isa: self.isa, matrix, rows, end, out: Disjoint::new(out) });
        }
        run(&mut self.pool, &self.scratch, &multiplies);
        for (product, out) in products.iter().zip(outs) {
            self.registers.put(product.out, out);
        }
    }
}

/// `out = end(matrix x)`, `[n_rows, n_out]`.
#[derive(Clone, Copy)]
pub(crate) struct Multiply<'a> {
    pub(crate) isa: Isa,
    pub(crate) matrix: &'a Matrix,
    pub(crate) rows: Rows<'a>,
    pub(crate) end: End<'a>,
    pub(crate) out: Disjoint<'a, f32>,
}

/// Computes all products, as one job of the pool. `scratch`: one for each worker.
pub(crate) fn run(pool: &mut Pool, scratch: &[Mutex<Scratch>], products: &[Multiply<'_>]) {
    let n_tiles = products.iter().map(Multiply::n_tiles).sum();
    let least = products.iter().map(Multiply::least_tiles).max().unwrap_or(1);
    pool.run_ranges(n_tiles, least..=usize::MAX, &|worker, tiles| {
        let mut first = 0;
        for product in products {
            let n = product.n_tiles();
            let own = tiles.start.max(first)..tiles.end.min(first + n);
            if !own.is_empty() {
                // SAFETY: each tile of each product is in one range.
                unsafe { product.tiles(own.start - first..own.end - first, &scratch[worker]) };
            }
            first += n;
        }
    });
}

impl Multiply<'_> {
    /// Channels that are computed at a time.
    fn tile_channels(&self) -> usize {
        match self.rows {
            Rows::Integers(_) | Rows::Pairs(_) => CHANNELS,
            Rows::Floats(_) => FLOAT_CHANNELS,
        }
    }

    fn n_tiles(&self) -> usize {
        self.matrix.n_out.div_ceil(self.tile_channels())
    }

    /// So many at least are computed by one thread; one where it is multiplied with many rows.
    fn least_tiles(&self) -> usize {
        let tile_bytes = self.tile_channels() * self.matrix.block_type.bytes_for(self.matrix.n_in);
        match self.rows {
            Rows::Integers(x) if !x.are_few() => 1,
            _ => (LEAST_BYTES / tile_bytes.max(1)).max(1),
        }
    }

    /// # Safety
    /// No other task computes these tiles, and nobody uses their columns of `out`.
    unsafe fn tiles(&self, tiles: Range<usize>, scratch: &Mutex<Scratch>) {
        let n = self.tile_channels();
        let mut scratch = scratch.try_lock().expect("a worker's scratch is its own");
        // Few rows go on from tile to tile of rearranged channels.
        let step = match self.rows {
            Rows::Integers(x) if x.are_few() && self.matrix.layout == Layout::Panels => tiles.len(),
            _ => 1,
        };
        for tile in tiles.step_by(step) {
            let channels = tile * n..self.matrix.n_out.min((tile + step) * n);
            // SAFETY: by the caller.
            unsafe {
                match self.rows {
                    Rows::Integers(x) => self.integer_tile(channels, x, &mut scratch),
                    Rows::Pairs(x) => self.pair_tile(channels, x, &mut scratch),
                    Rows::Floats(x) => self.float_tile(channels, x, &mut scratch),
                }
            }
        }
    }

    /// Where the channels' values go.
    fn target(&self, channels: &Range<usize>) -> Target<'_> {
        Target {
            out: self.out,
            n_out: self.matrix.n_out,
            channel: channels.start,
            n_channels: channels.len(),
            first: true,
            end: Some(self.end),
        }
    }

    /// The channels' blocks, rearranged: where they lie, or, of up to sixteen, in `room`.
    fn arranged<'s>(&'s self, arrange: Arrange, channels: &Range<usize>, room: &'s mut [u8]) -> &'s [u8] {
        let Matrix { block_type, n_in, layout, blocks, .. } = self.matrix;
        let channel_bytes = block_type.bytes_for(*n_in);
        if *layout == Layout::Panels {
            let n_channels = channels.len().next_multiple_of(CHANNELS);
            return &blocks[channels.start * channel_bytes..][..n_channels * channel_bytes];
        }
        arrange(self.isa, sixteen(blocks, channel_bytes, channels.start), room);
        room
    }

    /// Where as many bytes lie in file order as up to sixteen channels take that will be needed after them. Read in one stream
    /// while these are multiplied, they come faster than in sixteen while they are rearranged. None if the channels are
    /// rearranged where they lie: then the next ones follow.
    fn soon(&self, channels: &Range<usize>) -> Option<*const u8> {
        let Matrix { block_type, n_in, layout, blocks, .. } = self.matrix;
        let at = (channels.start + CHANNELS) * block_type.bytes_for(*n_in);
        (*layout == Layout::File).then(|| blocks.as_ptr().wrapping_add(at))
    }

    /// # Safety
    /// These columns of `out` are the present task's alone.
    unsafe fn integer_tile(&self, channels: Range<usize>, x: &Activations, scratch: &mut Scratch) {
        let &Matrix { block_type, n_in, .. } = self.matrix;
        assert_eq!(x.n_in(), n_in, "inputs of a matrix");
        let unpacker = Unpacker::of(block_type).expect("a quantized type");
        let (room, panel) = scratch.sixteen(block_type.bytes_for(n_in));
        let bytes = self.arranged(unpacker.arrange, &channels, room);
        let (target, soon) = (self.target(&channels), self.soon(&channels));
        if x.are_few() {
            // Multiplied as they are unpacked: for a second tile of rows once more, from the cache.
            for tile in 0..x.tiling().n_tiles() {
                let room = panel.part_mut(unpacker.form, block_type.block().len);
                // SAFETY: by the caller.
                unsafe { (unpacker.few)(self.isa, FewRows { bytes, soon, x, tile, target, room }) };
            }
            return;
        }
        for first in (0..n_in).step_by(MAX_INPUTS) {
            let n = MAX_INPUTS.min(n_in - first);
            let at = |input| CHANNELS * block_type.bytes_for(input);
            let bytes = &bytes[at(first)..at(first + n)];
            // What follows in memory is used next, but for a tile's last span.
            let next = soon.map_or(bytes.as_ptr_range().end, |soon| soon.wrapping_add(at(first)));
            let n_asks = x.tiling().n_tiles() * asks(n / unpacker.form.group);
            let next = Next::new(next, bytes.len(), n_asks);
            let target = target.part(first == 0, first + n == n_in);
            (unpacker.unpack)(self.isa, bytes, panel.part_mut(unpacker.form, n));
            let panel = panel.part(unpacker.form, n);
            // SAFETY: by the caller.
            unsafe { product(self.isa, unpacker.form, panel, x, first, target, next) };
        }
    }

    /// # Safety
    /// These columns of `out` are the present task's alone.
    unsafe fn pair_tile(&self, channels: Range<usize>, x: &Pairs, scratch: &mut Scratch) {
        let &Matrix { block_type, n_in, .. } = self.matrix;
        assert_eq!(x.n_in(), n_in, "inputs of a matrix");
        let (room, _) = scratch.sixteen(block_type.bytes_for(n_in));
        let panel = self.arranged(arrange_pairs, &channels, room);
        let (target, soon) = (self.target(&channels), self.soon(&channels));
        // SAFETY: by the caller.
        unsafe { pair_product(self.isa, panel.as_chunks().0, x, target, soon) };
    }

    /// # Safety
    /// These columns of `out` are the present task's alone.
    unsafe fn float_tile(&self, channels: Range<usize>, x: &[f32], scratch: &mut Scratch) {
        // SAFETY: by the caller.
        unsafe {
            match self.matrix.block_type {
                BlockType::F32 if self.n_rows(x) == 1 => self.float_row::<F32>(&channels, x),
                BlockType::F16 if self.n_rows(x) == 1 => self.float_row::<F16>(&channels, x),
                BlockType::BF16 if self.n_rows(x) == 1 => self.float_row::<BF16>(&channels, x),
                _ => self.float_rows(&channels, x, scratch),
            }
        }
        for row in 0..self.n_rows(x) {
            let at = row * self.matrix.n_out;
            // SAFETY: by the caller.
            let out = unsafe { self.out.part(at + channels.start..at + channels.end) };
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

    fn n_rows(&self, x: &[f32]) -> usize {
        x.len() / self.matrix.n_in
    }

    /// # Safety
    /// These columns of `out` are the present task's alone.
    unsafe fn float_row<S: Stored>(&self, channels: &Range<usize>, x: &[f32]) {
        let n = self.matrix.n_in * S::BYTES;
        let weights = &self.matrix.blocks[channels.start * n..channels.end * n];
        // SAFETY: by the caller.
        let out = unsafe { self.out.part(channels.clone()) };
        self.isa.run(FloatRow { weights, x, out, stored: PhantomData::<S> });
    }

    /// # Safety
    /// These columns of `out` are the present task's alone.
    unsafe fn float_rows(&self, channels: &Range<usize>, x: &[f32], scratch: &mut Scratch) {
        let floats = &mut scratch.floats;
        let Matrix { block_type, n_in, n_out, ref blocks, .. } = *self.matrix;
        for first in (0..n_in).step_by(SPAN) {
            let n = SPAN.min(n_in - first);
            floats.grow(channels.len() * n);
            let floats = &mut floats[..channels.len() * n];
            for (channel, floats) in channels.clone().zip(floats.chunks_exact_mut(n)) {
                let at = block_type.bytes_for(channel * n_in + first);
                decode(self.isa, block_type, &blocks[at..][..block_type.bytes_for(n)], floats);
            }
            let product = FloatProduct {
                weights: floats,
                n_inputs: n,
                x,
                n_in,
                first_input: first,
                out: self.out,
                n_out,
                first_channel: channels.start,
            };
            // SAFETY: by the caller.
            unsafe { float_product(self.isa, product) };
        }
    }
}
