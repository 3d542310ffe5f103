//! Keys and values on their way to a page.

use dewdrop_backend::KV_GROUP;
use dewdrop_backend::state::{HeadMut, Layout};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::body::math::padded;
use crate::body::quantize;
use crate::lanes::{Job, Lanes};

/// Writes a key or a value of a page's head, rounded to what is kept.
pub(crate) struct Keep<'a, 'p> {
    /// `[head_dim]`.
    pub(crate) x: &'a [f32],
    pub(crate) layout: Layout,
    /// The position's index in the page.
    pub(crate) index: usize,
    pub(crate) to: &'a mut HeadMut<'p>,
}

impl Job for Keep<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let (x, layout, j) = (self.x, self.layout, self.index);
        match self.to {
            HeadMut::F32(to) => scatter(x.iter().copied(), layout, x.len(), j, to),
            HeadMut::F16(to) => {
                for (c, x16) in x.chunks(16).enumerate() {
                    let mut lanes = [f16::ZERO; 16];
                    let halves = lanes.reinterpret_cast_mut().first_chunk_mut().expect("sixteen values");
                    l.store_half(l.load(&padded(x16)), halves);
                    for (i, half) in lanes[..x16.len()].iter().enumerate() {
                        to[layout.float(x.len(), 16 * c + i, j)] = *half;
                    }
                }
            }
            HeadMut::BF16(to) => scatter(x.iter().map(|x| bf16::from_f32(*x)), layout, x.len(), j, to),
            HeadMut::I16 { integers, scales } => {
                let lots = x.as_chunks::<16>().0;
                let (scale, inverse) = quantize::scale_of_words(l, lots);
                scales[j] = bf16::from_f32(scale);
                for (lot, x16) in lots.iter().enumerate() {
                    for (i, q) in quantize::words(l, x16, inverse).into_iter().enumerate() {
                        integers[layout.integer::<2>(x.len(), lot * 16 + i, j)] = q;
                    }
                }
            }
            HeadMut::Q8_0 { integers, scales } => {
                for (g, group) in x.as_chunks::<KV_GROUP>().0.iter().enumerate() {
                    let block = quantize::block(l, group);
                    scales[layout.scale(g * KV_GROUP, j)] = half(l, block.scale);
                    for (i, q) in block.q.into_iter().enumerate() {
                        integers[layout.integer::<4>(x.len(), g * KV_GROUP + i, j)] = q;
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn scatter<T>(x: impl Iterator<Item = T>, layout: Layout, d: usize, j: usize, to: &mut [T]) {
    for (i, x) in x.enumerate() {
        to[layout.float(d, i, j)] = x;
    }
}

/// Rounded to half precision.
#[inline(always)]
fn half<L: Lanes>(l: L, x: f32) -> f16 {
    let mut halves = [0; 16];
    l.store_half(l.splat(x), &mut halves);
    f16::from_bits(halves[0])
}
