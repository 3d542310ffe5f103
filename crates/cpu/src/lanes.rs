//! Sixteen lanes: the one shape in which kernels see a machine's vector registers.
//!
//! `docs/arithmetic.md` is written for sixteen lanes of f32, so every kernel body exists once, generic over [`Lanes`].
//! An implementor is a token: a value of it exists only where its instruction set was found (see [`crate::isa`]), and
//! so its methods are safe to call. They do exactly one thing each, the same on all machines, bit for bit. Everything
//! here and in the bodies is `#[inline(always)]`, because an instruction set is enabled per function: code that is not
//! inlined into the function that enables it would be compiled without it.

use crate::panel::MAX_PANELS;

/// Sixteen floats as memory: lanes in order.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Floats(pub(crate) [f32; 16]);

/// Sixteen times four bytes as memory: lane j holds bytes 4j to 4j + 3.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Bytes(pub(crate) [u8; 64]);

impl Floats {
    pub(crate) const ZERO: Floats = Floats([0.0; 16]);
}

impl Bytes {
    pub(crate) const ZERO: Bytes = Bytes([0; 64]);
}

/// An instruction set's sixteen lanes. Floats follow IEEE 754, one rounding per call; integers wrap.
pub(crate) trait Lanes: Copy + Send + Sync + 'static {
    /// 16 floats.
    type F: Copy;
    /// 16 integers of 32 bits, or 64 bytes; byte b of lane j is byte 4j + b (little endian).
    type I: Copy;
    /// Sums of products on their way to 32 bits, see [`Lanes::products`].
    type P: Copy;

    /// What [`Lanes::wide`] adds to signed weights: sums of products are too large by this times the activations' sum.
    const WIDE_BIAS: i32;
    /// Whether [`Lanes::whole_products`] are as fast as [`Lanes::products`], which need to be widened.
    const WHOLE: bool;
    /// Whether one instruction multiplies [`Lanes::pairs`].
    const PAIRED: bool = false;
    /// Words of a pair of activations, as [`Lanes::pairs`] takes them.
    const PAIR_WORDS: usize = if Self::PAIRED { 1 } else { 2 };
    /// Whether sixteen lanes are one register, of which there are 32.
    const WIDE: bool;
    /// Rows of a product's tile, as many as there are registers for.
    const TILE_ROWS: usize = if Self::WIDE { 8 } else { 4 };
    /// Panels that a tile of many rows is multiplied with, side by side: what is loaded of the rows serves them all, and as many
    /// more chains hide what an instruction takes.
    const TILE_PANELS: usize = if Self::WIDE { MAX_PANELS } else { 1 };
    /// Up to so many rows, weights are multiplied as they are unpacked: once for each tile, which is cheaper than panels for
    /// three of them, where a tile is large.
    const FEW_ROWS: usize = if Self::WIDE { 24 } else { 2 };

    fn splat(self, x: f32) -> Self::F;
    fn load(self, from: &[f32; 16]) -> Self::F;
    fn store(self, x: Self::F, to: &mut [f32; 16]);
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// The larger; `b` if one is NaN.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// The smaller; `b` if one is NaN.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// To a whole number, ties to even.
    fn round(self, x: Self::F) -> Self::F;
    /// Lanes where `mask` is all ones from `a`, where it is zero from `b`.
    fn select(self, mask: Self::I, a: Self::F, b: Self::F) -> Self::F;
    /// All ones where `a < b`, else zero.
    fn less(self, a: Self::F, b: Self::F) -> Self::I;
    /// The tree of `docs/arithmetic.md`: lanes j and j+8, then j and j+4, j and j+2, 0 and 1.
    fn sum(self, x: Self::F) -> f32;
    /// The largest of lanes without NaN.
    fn largest(self, x: Self::F) -> f32;
    fn load_half(self, from: &[u16; 16]) -> Self::F;
    /// Floats from their upper halves: bfloat16.
    fn load_upper(self, from: &[u16; 16]) -> Self::F;
    /// Rounded to half precision, ties to even.
    fn store_half(self, x: Self::F, to: &mut [u16; 16]);

    fn splat_int(self, x: i32) -> Self::I;
    fn load_bytes(self, from: &[u8; 64]) -> Self::I;
    fn store_bytes(self, x: Self::I, to: &mut [u8; 64]);
    /// Lane j is byte j.
    fn spread(self, from: &[u8; 16]) -> Self::I;
    fn bits(self, x: Self::F) -> Self::I;
    fn float(self, bits: Self::I) -> Self::F;
    /// Of values that are whole and fit.
    fn to_int(self, x: Self::F) -> Self::I;
    fn to_float(self, x: Self::I) -> Self::F;
    /// Of the lower 16 bits of each lane.
    fn half_to_float(self, x: Self::I) -> Self::F;
    fn add_int(self, a: Self::I, b: Self::I) -> Self::I;
    fn sub_int(self, a: Self::I, b: Self::I) -> Self::I;
    fn and(self, a: Self::I, b: Self::I) -> Self::I;
    fn or(self, a: Self::I, b: Self::I) -> Self::I;
    fn xor(self, a: Self::I, b: Self::I) -> Self::I;
    /// The larger of signed lanes.
    fn max_int(self, a: Self::I, b: Self::I) -> Self::I;
    fn largest_int(self, x: Self::I) -> i32;
    /// Lanes moved left by `n` bits.
    fn shl(self, x: Self::I, n: u32) -> Self::I;
    /// Lanes moved right by `n` bits, zeros coming in.
    fn shr(self, x: Self::I, n: u32) -> Self::I;
    /// Lanes moved right by `n` bits, the sign coming in.
    fn sar(self, x: Self::I, n: u32) -> Self::I;
    /// Each byte, which is below 16, replaced by the table's entry.
    fn look_up(self, table: &[i8; 16], x: Self::I) -> Self::I;
    /// 16 rows of 4 lanes to 4 vectors of 16 lanes: lane j of vector k holds bytes 4k to 4k + 3 of row j.
    fn transpose(self, rows: [&[u8; 16]; 16]) -> [Self::I; 4];
    /// The lowest byte of each lane of four vectors: byte i is that of lane `i % 16` of vector `i / 16`.
    fn narrow(self, x: [Self::I; 4], to: &mut [i8; 64]);
    /// The lower 16 bits of each lane.
    fn narrow_words(self, x: Self::I, to: &mut [i16; 16]);
    /// `x`, which compilers compute before anything is loaded that is written after this: in long code without branches they
    /// load too much at once otherwise, and have no registers for it.
    #[inline(always)]
    fn now(self, x: Self::F) -> Self::F {
        x
    }
    /// Asks for the cache line at `at`, which is needed within a few kilobytes of work; any address will do.
    fn prefetch(self, at: *const u8);
    /// Asks for the cache line at `at`, which is needed later, to come as near as the second cache.
    fn prefetch_far(self, at: *const u8);

    fn no_products(self) -> Self::P;
    /// Adds to lane j the products of its four bytes: `weights` unsigned, `activations` signed and not -128. The caller
    /// sees to it that the products of two neighbouring bytes, summed over all calls between two of
    /// [`Lanes::widen`], fit into 16 signed bits.
    fn products(self, sums: Self::P, weights: Self::I, activations: Self::I) -> Self::P;
    /// Adds partial sums to 32-bit ones.
    fn widen(self, sums: Self::I, partial: Self::P) -> Self::I;
    /// Both at once: adds products to 32-bit sums.
    #[inline(always)]
    fn whole_products(self, sums: Self::I, weights: Self::I, activations: Self::I) -> Self::I {
        self.widen(sums, self.products(self.no_products(), weights, activations))
    }
    /// Signed bytes as [`Lanes::wide_products`] take them: larger by [`Lanes::WIDE_BIAS`].
    #[inline(always)]
    fn wide(self, weights: Self::I) -> Self::I {
        weights
    }
    /// [`Lanes::look_up`], made [`Lanes::wide`].
    #[inline(always)]
    fn wide_look_up(self, table: &[i8; 16], x: Self::I) -> Self::I {
        self.wide(self.look_up(table, x))
    }
    /// Adds to lane j the products of two bfloat16 weights, the upper one's first, each by a fused multiply-add. Activations
    /// are both in the first word, if [`Lanes::PAIRED`], else as two floats, the upper one first. No weight and no sum is
    /// denormal.
    #[inline(always)]
    fn pairs(self, sums: Self::F, weights: Self::I, activations: [u32; 2]) -> Self::F {
        fused_pairs(self, sums, weights, activations)
    }
    /// Adds to lane j the products of its two signed words of 16 bits, neither of which is -2^15.
    fn word_products(self, sums: Self::I, a: Self::I, b: Self::I) -> Self::I;
    /// Adds to lane j the products of its four bytes: `weights` made [`Lanes::wide`], `activations` signed and not -128.
    fn wide_products(self, sums: Self::I, weights: Self::I, activations: Self::I) -> Self::I;
}

/// [`Lanes::pairs`] where no instruction does that.
#[inline(always)]
pub(crate) fn fused_pairs<L: Lanes>(l: L, sums: L::F, weights: L::I, activations: [u32; 2]) -> L::F {
    let upper = l.float(l.and(weights, l.splat_int(0xffff_0000u32.cast_signed())));
    let lower = l.float(l.shl(weights, 16));
    let sums = l.fma(upper, l.splat(f32::from_bits(activations[0])), sums);
    l.fma(lower, l.splat(f32::from_bits(activations[1])), sums)
}

/// A computation that can run on any instruction set.
pub(crate) trait Job {
    /// What it yields.
    type Output;

    /// Runs it. To be `#[inline(always)]`, with all it calls.
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}
