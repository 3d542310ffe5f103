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
use crate::panel::{CHANNELS, MAX_INPUTS, MAX_PANELS, SPAN};
use crate::panels::sixteen;
use crate::pass::Pass;
use crate::pool::Pool;
use crate::registers::Part;
use crate::rows::{Kind, Rows};
use crate::scratch::{FLOAT_CHANNELS, Scratch, pair_panel_bytes};
use crate::unpack::{Arrange, FewRows, Unpacker, arrange_pairs};

/// Bytes of weights that make entering a kernel worth it.
const LEAST_BYTES: usize = 64 << 10;

/// One of several products of the same input.
pub(crate) struct Linear<'a> {
    pub(crate) matrix: &'a Matrix,
    pub(crate) bias: Option<&'a [f32]>,
    /// As many channels as the matrix has.
    pub(crate) out: Part,
    /// Whether it is added to `out`.
    pub(crate) add: bool,
}

impl Pass {
    /// `out = weight input + bias`, or that added to it, for all of `products`, side by side.
    pub(crate) fn linear(&mut self, input: Register, products: &[Linear<'_>]) {
        let n_in = self.registers.width(input);
        let out = |i: usize| products[i].out.register;
        let alone = |i: usize| (0..i).all(|other| out(other) != out(i));
        assert!((0..products.len()).all(alone), "two products side by side write one register");
        for product in products {
            let kind = Kind::of(product.matrix.block_type, self.arithmetic);
            self.registers.prepare(&kind, self.isa, &mut self.pool, input);
        }
        let mut outs: Vec<Buffer> =
            products.iter().map(|product| self.registers.take_for(&product.out)).collect();
        let mut multiplies = Vec::with_capacity(products.len());
        for (product, out) in products.iter().zip(&mut outs) {
            let &Linear { matrix, bias, out: Part { register, ref channels, .. }, add } = product;
            let width = self.registers.width(register);
            assert!(matrix.n_in == n_in && channels.end <= width, "widths of a linear's registers");
            let rows = self.registers.rows(&Kind::of(matrix.block_type, self.arithmetic), input);
            let end = End { bias, old: add.then(|| self.registers.get(register)) };
            let (out, first) = (Disjoint::new(out), channels.start);
            multiplies.push(Multiply { isa: self.isa, matrix, rows, end, out, width, first });
        }
        run(&mut self.pool, &self.scratch, &multiplies);
        for (product, out) in products.iter().zip(outs) {
            self.registers.put_part(&product.out, out);
        }
    }
}

/// `out = end(matrix x)`, some channels of `[n_rows, width]`.
#[derive(Clone, Copy)]
pub(crate) struct Multiply<'a> {
    pub(crate) isa: Isa,
    pub(crate) matrix: &'a Matrix,
    pub(crate) rows: Rows<'a>,
    pub(crate) end: End<'a>,
    pub(crate) out: Disjoint<'a, f32>,
    pub(crate) width: usize,
    /// Which channel of `out` the matrix's first one is.
    pub(crate) first: usize,
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

    /// Tiles that are computed by one call of a kernel, at most.
    fn side_by_side(&self) -> usize {
        match self.rows {
            // Few rows go on from tile to tile of rearranged channels.
            Rows::Integers(x) if self.is_one_stream(x) => usize::MAX,
            Rows::Integers(x) if x.are_few() => 1,
            // Few rows wait for memory, which is read best in one stream.
            Rows::Pairs(x) if x.tiling().n_tiles() == 1 => 1,
            Rows::Integers(_) | Rows::Pairs(_) => self.isa.tile().panels,
            Rows::Floats(_) => 1,
        }
    }

    /// Whether few rows read all channels of a task in order, once.
    fn is_one_stream(&self, x: &Activations) -> bool {
        x.are_few() && x.tiling().n_tiles() == 1 && self.matrix.layout == Layout::Panels
    }

    fn n_tiles(&self) -> usize {
        self.matrix.n_out.div_ceil(self.tile_channels())
    }

    /// So many at least are computed by one thread: as many as go side by side, and where rows are few, as make it worth it.
    fn least_tiles(&self) -> usize {
        let tile_bytes = self.tile_channels() * self.matrix.block_type.bytes_for(self.matrix.n_in);
        let least = (LEAST_BYTES / tile_bytes.max(1)).max(1);
        match self.rows {
            Rows::Integers(x) if x.are_few() => least,
            Rows::Integers(_) => self.side_by_side(),
            Rows::Pairs(_) | Rows::Floats(_) => self.side_by_side().max(least),
        }
    }

    /// # Safety
    /// No other task computes these tiles, and nobody uses their columns of `out`.
    unsafe fn tiles(&self, tiles: Range<usize>, scratch: &Mutex<Scratch>) {
        let n = self.tile_channels();
        let mut scratch = scratch.try_lock().expect("a worker's scratch is its own");
        let step = self.side_by_side().min(tiles.len());
        for tile in tiles.clone().step_by(step) {
            let channels = tile * n..self.matrix.n_out.min((tile + step).min(tiles.end) * n);
            // SAFETY: by the caller.
            unsafe {
                match self.rows {
                    Rows::Integers(x) if x.are_few() => self.few_integers(channels, x, &mut scratch),
                    Rows::Integers(x) => match channels.len().div_ceil(CHANNELS) {
                        1 => self.integer_tile::<1>(channels, x, &mut scratch),
                        _ => self.integer_tile::<MAX_PANELS>(channels, x, &mut scratch),
                    },
                    Rows::Pairs(x) => match channels.len().div_ceil(CHANNELS) {
                        1 => self.pair_tile::<1>(channels, x, &mut scratch),
                        _ => self.pair_tile::<MAX_PANELS>(channels, x, &mut scratch),
                    },
                    Rows::Floats(x) => self.float_tile(channels, x, &mut scratch),
                }
            }
        }
    }

    /// Where the channels' values go.
    fn target(&self, channels: &Range<usize>) -> Target<'_> {
        Target {
            out: self.out,
            n_out: self.width,
            channel: self.channels_of_out(channels).start,
            n_channels: channels.len(),
            first: true,
            end: Some(self.end),
        }
    }

    /// The channels' blocks, rearranged: where they lie, or in `room`, which they fill.
    fn arranged<'s>(&'s self, arrange: Arrange, channels: &Range<usize>, room: &'s mut [u8]) -> &'s [u8] {
        let Matrix { block_type, n_in, layout, blocks, .. } = self.matrix;
        let channel_bytes = block_type.bytes_for(*n_in);
        if *layout == Layout::Panels {
            let n_channels = channels.len().next_multiple_of(CHANNELS);
            return &blocks[channels.start * channel_bytes..][..n_channels * channel_bytes];
        }
        let firsts = channels.clone().step_by(CHANNELS);
        let sixteen_bytes = room.len() / firsts.len();
        for (first, room) in firsts.zip(room.chunks_exact_mut(sixteen_bytes)) {
            arrange(self.isa, sixteen(blocks, channel_bytes, first), room);
        }
        room
    }

    /// Where as many bytes lie as these channels take that will be needed after them.
    fn following(&self, channels: &Range<usize>) -> *const u8 {
        let Matrix { block_type, n_in, blocks, .. } = self.matrix;
        blocks.as_ptr().wrapping_add(channels.end.next_multiple_of(CHANNELS) * block_type.bytes_for(*n_in))
    }

    /// The same, if channels lie in file order. Read in one stream while these are multiplied, they come faster than in sixteen
    /// while they are rearranged. None if the channels are rearranged where they lie: then the next ones follow.
    fn soon(&self, channels: &Range<usize>) -> Option<*const u8> {
        (self.matrix.layout == Layout::File).then(|| self.following(channels))
    }

    /// Multiplies channels as they are unpacked.
    ///
    /// # Safety
    /// These columns of `out` are the present task's alone.
    unsafe fn few_integers(&self, channels: Range<usize>, x: &Activations, scratch: &mut Scratch) {
        let &Matrix { block_type, n_in, .. } = self.matrix;
        assert_eq!(x.n_in(), n_in, "inputs of a matrix");
        let unpacker = Unpacker::of(block_type).expect("a quantized type");
        let (room, [panel, ..]) = scratch.panels(CHANNELS * block_type.bytes_for(n_in));
        let bytes = self.arranged(unpacker.arrange, &channels, room);
        let target = self.target(&channels);
        let soon = (!self.is_one_stream(x)).then(|| self.following(&channels));
        // For each further tile of rows they are unpacked once more, from the cache.
        for tile in 0..x.tiling().n_tiles() {
            let room = panel.part_mut(unpacker.form, block_type.block().len);
            // SAFETY: by the caller.
            unsafe { (unpacker.few)(self.isa, FewRows { bytes, soon, x, tile, target, room }) };
        }
    }

    /// Unpacks `PANELS` panels, of whose channels there may be fewer, and multiplies them with all rows.
    ///
    /// # Safety
    /// These columns of `out` are the present task's alone.
    unsafe fn integer_tile<const PANELS: usize>(
        &self,
        channels: Range<usize>,
        x: &Activations,
        scratch: &mut Scratch,
    ) {
        let &Matrix { block_type, n_in, .. } = self.matrix;
        assert_eq!(x.n_in(), n_in, "inputs of a matrix");
        let unpacker = Unpacker::of(block_type).expect("a quantized type");
        let at = |input| CHANNELS * block_type.bytes_for(input);
        let (room, panels) = scratch.panels(PANELS * at(n_in));
        let all = self.arranged(unpacker.arrange, &channels, room);
        let (target, soon) = (self.target(&channels), self.soon(&channels));
        for first in (0..n_in).step_by(MAX_INPUTS) {
            let n = MAX_INPUTS.min(n_in - first);
            let n_asks = x.tiling().n_tiles() * asks(n / unpacker.form.group);
            let mut next = [Next::NOTHING; PANELS];
            for p in 0..PANELS {
                let bytes = &all[p * at(n_in) + at(first)..][..at(n)];
                let following = match soon {
                    Some(soon) => soon.wrapping_add(p * at(n_in) + at(first)),
                    None if first + n < n_in => bytes.as_ptr_range().end,
                    None => all.as_ptr().wrapping_add((PANELS + p) * at(n_in)),
                };
                next[p] = Next::new(following, bytes.len(), n_asks);
                (unpacker.unpack)(self.isa, bytes, panels[p].part_mut(unpacker.form, n));
            }
            let panels = std::array::from_fn::<_, PANELS, _>(|p| panels[p].part(unpacker.form, n));
            let target = target.part(first == 0, first + n == n_in);
            // SAFETY: by the caller.
            unsafe { product(self.isa, unpacker.form, panels, x, first, target, next) };
        }
    }

    /// # Safety
    /// These columns of `out` are the present task's alone.
    unsafe fn pair_tile<const PANELS: usize>(
        &self,
        channels: Range<usize>,
        x: &Pairs,
        scratch: &mut Scratch,
    ) {
        let n_in = self.matrix.n_in;
        assert_eq!(x.n_in(), n_in, "inputs of a matrix");
        let (room, _) = scratch.panels(PANELS * pair_panel_bytes(n_in));
        let bytes = self.arranged(arrange_pairs, &channels, room);
        let (target, soon) = (self.target(&channels), self.soon(&channels));
        let (all, n) = (bytes.as_chunks().0, n_in.div_ceil(2));
        let panels = std::array::from_fn::<_, PANELS, _>(|p| &all[p * n..][..n]);
        // SAFETY: by the caller.
        unsafe { pair_product(self.isa, panels, x, target, soon) };
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
        let channels = self.channels_of_out(&channels);
        for row in 0..self.n_rows(x) {
            let at = row * self.width;
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

    /// Where some of the matrix's channels stand in a row of `out`.
    fn channels_of_out(&self, channels: &Range<usize>) -> Range<usize> {
        self.first + channels.start..self.first + channels.end
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
        let out = unsafe { self.out.part(self.channels_of_out(channels)) };
        self.isa.run(FloatRow { weights, x, out, stored: PhantomData::<S> });
    }

    /// # Safety
    /// These columns of `out` are the present task's alone.
    unsafe fn float_rows(&self, channels: &Range<usize>, x: &[f32], scratch: &mut Scratch) {
        let floats = &mut scratch.floats;
        let Matrix { block_type, n_in, ref blocks, .. } = *self.matrix;
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
                n_out: self.width,
                first_channel: self.channels_of_out(channels).start,
            };
            // SAFETY: by the caller.
            unsafe { float_product(self.isa, product) };
        }
    }
}
