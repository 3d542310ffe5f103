//! Lanes as arrays: runs everywhere, and is what the other instruction sets are compared with.

use half::f16;

use crate::lanes::Lanes;

/// No instruction set in particular.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

#[inline(always)]
fn zip<T: Copy, U: Copy, V: Copy + Default>(a: [T; 16], b: [U; 16], f: impl Fn(T, U) -> V) -> [V; 16] {
    let mut out = [V::default(); 16];
    for j in 0..16 {
        out[j] = f(a[j], b[j]);
    }
    out
}

/// The products of the four bytes of a lane, weights as `weight` reads them.
#[inline(always)]
fn dot4(weights: i32, activations: i32, weight: impl Fn(u8) -> i32) -> i32 {
    let pairs = weights.to_le_bytes().into_iter().zip(activations.to_le_bytes());
    pairs.map(|(w, a)| weight(w) * i32::from(a.cast_signed())).sum()
}

impl Lanes for Portable {
    type F = [f32; 16];
    type I = [i32; 16];
    type P = [i32; 16];

    const WIDE_BIAS: i32 = 0;
    const WHOLE: bool = true;
    const WIDE: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; 16] {
        [x; 16]
    }

    #[inline(always)]
    fn load(self, from: &[f32; 16]) -> [f32; 16] {
        *from
    }

    #[inline(always)]
    fn store(self, x: [f32; 16], to: &mut [f32; 16]) {
        *to = x;
    }

    #[inline(always)]
    fn add(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        zip(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        zip(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        zip(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        zip(a, b, |a, b| a / b)
    }

    #[inline(always)]
    fn fma(self, a: [f32; 16], b: [f32; 16], c: [f32; 16]) -> [f32; 16] {
        let mut out = c;
        for j in 0..16 {
            out[j] = a[j].mul_add(b[j], c[j]);
        }
        out
    }

    #[inline(always)]
    fn max(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        zip(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        zip(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn round(self, x: [f32; 16]) -> [f32; 16] {
        x.map(f32::round_ties_even)
    }

    #[inline(always)]
    fn select(self, mask: [i32; 16], a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        let mut out = b;
        for j in 0..16 {
            out[j] = if mask[j] != 0 { a[j] } else { b[j] };
        }
        out
    }

    #[inline(always)]
    fn less(self, a: [f32; 16], b: [f32; 16]) -> [i32; 16] {
        zip(a, b, |a, b| -i32::from(a < b))
    }

    #[inline(always)]
    fn sum(self, mut x: [f32; 16]) -> f32 {
        for half in [8, 4, 2, 1] {
            for j in 0..half {
                x[j] += x[j + half];
            }
        }
        x[0]
    }

    #[inline(always)]
    fn largest(self, x: [f32; 16]) -> f32 {
        x.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    #[inline(always)]
    fn load_half(self, from: &[u16; 16]) -> [f32; 16] {
        from.map(|bits| f16::from_bits(bits).to_f32())
    }

    #[inline(always)]
    fn load_upper(self, from: &[u16; 16]) -> [f32; 16] {
        from.map(|upper| f32::from_bits(u32::from(upper) << 16))
    }

    #[inline(always)]
    fn store_half(self, x: [f32; 16], to: &mut [u16; 16]) {
        *to = x.map(|x| f16::from_f32(x).to_bits());
    }

    #[inline(always)]
    fn splat_int(self, x: i32) -> [i32; 16] {
        [x; 16]
    }

    #[inline(always)]
    fn load_bytes(self, from: &[u8; 64]) -> [i32; 16] {
        let mut out = [0; 16];
        for (lane, bytes) in out.iter_mut().zip(from.as_chunks().0) {
            *lane = i32::from_le_bytes(*bytes);
        }
        out
    }

    #[inline(always)]
    fn store_bytes(self, x: [i32; 16], to: &mut [u8; 64]) {
        for (lane, bytes) in x.into_iter().zip(to.as_chunks_mut().0) {
            *bytes = lane.to_le_bytes();
        }
    }

    #[inline(always)]
    fn spread(self, from: &[u8; 16]) -> [i32; 16] {
        from.map(i32::from)
    }

    #[inline(always)]
    fn bits(self, x: [f32; 16]) -> [i32; 16] {
        x.map(|x| x.to_bits().cast_signed())
    }

    #[inline(always)]
    fn float(self, bits: [i32; 16]) -> [f32; 16] {
        bits.map(|bits| f32::from_bits(bits.cast_unsigned()))
    }

    #[inline(always)]
    fn to_int(self, x: [f32; 16]) -> [i32; 16] {
        x.map(|x| x as i32)
    }

    #[inline(always)]
    fn to_float(self, x: [i32; 16]) -> [f32; 16] {
        x.map(|x| x as f32)
    }

    #[inline(always)]
    fn half_to_float(self, x: [i32; 16]) -> [f32; 16] {
        x.map(|x| f16::from_bits(x as u16).to_f32())
    }

    #[inline(always)]
    fn add_int(self, a: [i32; 16], b: [i32; 16]) -> [i32; 16] {
        zip(a, b, i32::wrapping_add)
    }

    #[inline(always)]
    fn sub_int(self, a: [i32; 16], b: [i32; 16]) -> [i32; 16] {
        zip(a, b, i32::wrapping_sub)
    }

    #[inline(always)]
    fn and(self, a: [i32; 16], b: [i32; 16]) -> [i32; 16] {
        zip(a, b, |a, b| a & b)
    }

    #[inline(always)]
    fn or(self, a: [i32; 16], b: [i32; 16]) -> [i32; 16] {
        zip(a, b, |a, b| a | b)
    }

    #[inline(always)]
    fn xor(self, a: [i32; 16], b: [i32; 16]) -> [i32; 16] {
        zip(a, b, |a, b| a ^ b)
    }

    #[inline(always)]
    fn max_int(self, a: [i32; 16], b: [i32; 16]) -> [i32; 16] {
        zip(a, b, i32::max)
    }

    #[inline(always)]
    fn largest_int(self, x: [i32; 16]) -> i32 {
        x.into_iter().fold(i32::MIN, i32::max)
    }

    #[inline(always)]
    fn shl(self, x: [i32; 16], n: u32) -> [i32; 16] {
        x.map(|x| x << n)
    }

    #[inline(always)]
    fn shr(self, x: [i32; 16], n: u32) -> [i32; 16] {
        x.map(|x| (x.cast_unsigned() >> n).cast_signed())
    }

    #[inline(always)]
    fn sar(self, x: [i32; 16], n: u32) -> [i32; 16] {
        x.map(|x| x >> n)
    }

    #[inline(always)]
    fn look_up(self, table: &[i8; 16], x: [i32; 16]) -> [i32; 16] {
        x.map(|x| {
            i32::from_le_bytes(x.to_le_bytes().map(|code| table[usize::from(code & 15)].cast_unsigned()))
        })
    }

    #[inline(always)]
    fn transpose(self, rows: [&[u8; 16]; 16]) -> [[i32; 16]; 4] {
        let mut out = [[0; 16]; 4];
        for (j, row) in rows.into_iter().enumerate() {
            for (k, bytes) in row.as_chunks().0.iter().enumerate() {
                out[k][j] = i32::from_le_bytes(*bytes);
            }
        }
        out
    }

    #[inline(always)]
    fn narrow(self, x: [[i32; 16]; 4], to: &mut [i8; 64]) {
        for (i, byte) in to.iter_mut().enumerate() {
            *byte = x[i / 16][i % 16] as i8;
        }
    }

    #[inline(always)]
    fn narrow_words(self, x: [i32; 16], to: &mut [i16; 16]) {
        *to = x.map(|x| x as i16);
    }

    #[inline(always)]
    fn prefetch(self, _: *const u8) {}

    #[inline(always)]
    fn prefetch_far(self, _: *const u8) {}

    #[inline(always)]
    fn no_products(self) -> [i32; 16] {
        [0; 16]
    }

    #[inline(always)]
    fn products(self, sums: [i32; 16], weights: [i32; 16], activations: [i32; 16]) -> [i32; 16] {
        self.add_int(sums, zip(weights, activations, |w, a| dot4(w, a, i32::from)))
    }

    #[inline(always)]
    fn widen(self, sums: [i32; 16], partial: [i32; 16]) -> [i32; 16] {
        self.add_int(sums, partial)
    }

    #[inline(always)]
    fn word_products(self, sums: [i32; 16], a: [i32; 16], b: [i32; 16]) -> [i32; 16] {
        let words = |x: i32| [i32::from(x as i16), x >> 16];
        self.add_int(sums, zip(a, b, |a, b| words(a)[0] * words(b)[0] + words(a)[1] * words(b)[1]))
    }

    #[inline(always)]
    fn wide_products(self, sums: [i32; 16], weights: [i32; 16], activations: [i32; 16]) -> [i32; 16] {
        self.add_int(sums, zip(weights, activations, |w, a| dot4(w, a, |w| i32::from(w.cast_signed()))))
    }
}
