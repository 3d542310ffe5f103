//! Keys and values of 64 positions, laid out for sixteen lanes: lanes are keys where queries meet keys, and dimensions
//! where weights meet values. Either way a kernel reads a head from its first byte to its last.

use half::{bf16, f16};

use crate::kv_type::KV_LANES as LANES;
use crate::quantize::{BLOCK, quantize_block, quantize_words};
use crate::{KV_GROUP, KvType, KvTypes};

/// Positions in a page.
pub const PAGE: usize = 64;

/// Keys and values of 64 positions of all key/value heads. Positions that are not written yet hold anything finite.
#[derive(Clone, Debug)]
pub struct Page {
    head_dim: usize,
    keys: Elements,
    values: Elements,
}

/// Where elements of a head lie. `d` is the head's width, `i` a dimension below it, `j` a position below 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Floats as `[4, d, 16 keys]`, integers as `[4, d / LOT, 16 keys, LOT dimensions]`, where a lot fills 32 bits.
    Keys,
    /// Floats as `[d / 16, 64, 16 dimensions]`, where the last lot may have fewer dimensions; integers as
    /// `[d / 16, 64 / LOT, 16 dimensions, LOT positions]`.
    Values,
}

impl Layout {
    /// Index of an element of a float type.
    #[inline(always)]
    pub fn float(self, d: usize, i: usize, j: usize) -> usize {
        match self {
            Layout::Keys => (j / LANES * d + i) * LANES + j % LANES,
            Layout::Values => {
                let first = i / LANES * LANES;
                first * PAGE + j * LANES.min(d - first) + i % LANES
            }
        }
    }

    /// Index of an integer: `LOT` is 4 for those of 8 bits, 2 for those of 16.
    #[inline(always)]
    pub fn integer<const LOT: usize>(self, d: usize, i: usize, j: usize) -> usize {
        match self {
            Layout::Keys => ((j / LANES * (d / LOT) + i / LOT) * LANES + j % LANES) * LOT + i % LOT,
            Layout::Values => ((i / LANES * (PAGE / LOT) + j / LOT) * LANES + i % LANES) * LOT + j % LOT,
        }
    }

    /// Index of the scale of an integer of 8 bits: `[d / 32, 64]`.
    #[inline(always)]
    pub fn scale(self, i: usize, j: usize) -> usize {
        i / KV_GROUP * PAGE + j
    }
}

/// Keys or values of some heads, one after another, by their type.
#[derive(Clone, Debug)]
enum Elements {
    F32(Vec<f32>),
    F16(Vec<f16>),
    BF16(Vec<bf16>),
    I16 { integers: Vec<i16>, scales: Vec<[bf16; PAGE]> },
    Q8_0 { integers: Vec<i8>, scales: Vec<f16> },
}

/// Keys or values of one head of a page.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "`Layout` says where elements lie")]
pub enum Head<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    BF16(&'a [bf16]),
    /// A scale for each position.
    I16 {
        integers: &'a [i16],
        scales: &'a [bf16; PAGE],
    },
    Q8_0 {
        integers: &'a [i8],
        scales: &'a [f16],
    },
}

/// Keys or values of one head of a page, to be written.
#[derive(Debug)]
#[expect(missing_docs, reason = "`Layout` says where elements lie")]
pub enum HeadMut<'a> {
    F32(&'a mut [f32]),
    F16(&'a mut [f16]),
    BF16(&'a mut [bf16]),
    /// A scale for each position.
    I16 {
        integers: &'a mut [i16],
        scales: &'a mut [bf16; PAGE],
    },
    Q8_0 {
        integers: &'a mut [i8],
        scales: &'a mut [f16],
    },
}

/// A key or a value of one head, as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Vector {
    /// The kept values, `[head_dim]`.
    Floats(Vec<f32>),
    /// Integers with their scale.
    Words {
        /// `[head_dim]`.
        integers: Vec<i16>,
        /// Of all of them.
        scale: f32,
    },
    /// Integers with their scales.
    Integers {
        /// `[head_dim]`.
        integers: Vec<i8>,
        /// One for each 32.
        scales: Vec<f32>,
    },
}

impl Page {
    /// A page of zeros.
    pub fn new(n_kv_heads: usize, head_dim: usize, types: KvTypes) -> Self {
        let elements = |kv| Elements::zeros(n_kv_heads, head_dim, kv);
        Page { head_dim, keys: elements(types.keys), values: elements(types.values) }
    }

    /// A head's keys and values.
    pub fn head(&self, head: usize) -> (Head<'_>, Head<'_>) {
        (self.keys.head(head, self.head_dim), self.values.head(head, self.head_dim))
    }

    /// All heads' keys and values, to be written.
    pub fn heads_mut(&mut self) -> impl Iterator<Item = (HeadMut<'_>, HeadMut<'_>)> {
        let heads = |elements| Elements::heads_mut(elements, self.head_dim);
        heads(&mut self.keys).zip(heads(&mut self.values))
    }

    /// Writes keys and values of the page's position `j`, `[n_kv_heads * head_dim]` each, rounding them.
    pub fn write(&mut self, j: usize, keys: &[f32], values: &[f32]) {
        assert!(j < PAGE, "position {j} of a page of {PAGE}");
        let d = self.head_dim;
        let of_heads = keys.chunks_exact(d).zip(values.chunks_exact(d));
        for ((mut to_keys, mut to_values), (key, value)) in self.heads_mut().zip(of_heads) {
            to_keys.write(Layout::Keys, j, key);
            to_values.write(Layout::Values, j, value);
        }
    }
}

impl Elements {
    /// Zeros for 64 positions.
    fn zeros(n_heads: usize, head_dim: usize, kv: KvType) -> Self {
        let n = n_heads * head_dim * PAGE;
        match kv {
            KvType::F32 => Elements::F32(vec![0.0; n]),
            KvType::F16 => Elements::F16(vec![f16::ZERO; n]),
            KvType::BF16 => Elements::BF16(vec![bf16::ZERO; n]),
            KvType::I16 => Elements::I16 { integers: vec![0; n], scales: vec![[bf16::ZERO; PAGE]; n_heads] },
            KvType::Q8_0 => Elements::Q8_0 { integers: vec![0; n], scales: vec![f16::ZERO; n / KV_GROUP] },
        }
    }

    fn head(&self, head: usize, head_dim: usize) -> Head<'_> {
        let n = head_dim * PAGE;
        match self {
            Elements::F32(all) => Head::F32(&all[head * n..][..n]),
            Elements::F16(all) => Head::F16(&all[head * n..][..n]),
            Elements::BF16(all) => Head::BF16(&all[head * n..][..n]),
            Elements::I16 { integers, scales } => {
                Head::I16 { integers: &integers[head * n..][..n], scales: &scales[head] }
            }
            Elements::Q8_0 { integers, scales } => {
                let n_scales = n / KV_GROUP;
                Head::Q8_0 {
                    integers: &integers[head * n..][..n],
                    scales: &scales[head * n_scales..][..n_scales],
                }
            }
        }
    }

    fn heads_mut(&mut self, head_dim: usize) -> Box<dyn Iterator<Item = HeadMut<'_>> + '_> {
        let n = head_dim * PAGE;
        match self {
            Elements::F32(all) => Box::new(all.chunks_exact_mut(n).map(HeadMut::F32)),
            Elements::F16(all) => Box::new(all.chunks_exact_mut(n).map(HeadMut::F16)),
            Elements::BF16(all) => Box::new(all.chunks_exact_mut(n).map(HeadMut::BF16)),
            Elements::I16 { integers, scales } => {
                let heads = integers.chunks_exact_mut(n).zip(scales);
                Box::new(heads.map(|(integers, scales)| HeadMut::I16 { integers, scales }))
            }
            Elements::Q8_0 { integers, scales } => {
                let heads = integers.chunks_exact_mut(n).zip(scales.chunks_exact_mut(n / KV_GROUP));
                Box::new(heads.map(|(integers, scales)| HeadMut::Q8_0 { integers, scales }))
            }
        }
    }
}

impl Head<'_> {
    /// The vector of the page's position `j`, of `d` dimensions.
    pub fn read(self, layout: Layout, d: usize, j: usize) -> Vector {
        let floats =
            |at: &dyn Fn(usize) -> f32| Vector::Floats((0..d).map(|i| at(layout.float(d, i, j))).collect());
        match self {
            Head::F32(all) => floats(&|at| all[at]),
            Head::F16(all) => floats(&|at| all[at].to_f32()),
            Head::BF16(all) => floats(&|at| all[at].to_f32()),
            Head::I16 { integers, scales } => Vector::Words {
                integers: (0..d).map(|i| integers[layout.integer::<2>(d, i, j)]).collect(),
                scale: scales[j].to_f32(),
            },
            Head::Q8_0 { integers, scales } => Vector::Integers {
                integers: (0..d).map(|i| integers[layout.integer::<4>(d, i, j)]).collect(),
                scales: (0..d).step_by(KV_GROUP).map(|i| scales[layout.scale(i, j)].to_f32()).collect(),
            },
        }
    }
}

impl HeadMut<'_> {
    /// Writes the vector of the page's position `j`, rounding it.
    fn write(&mut self, layout: Layout, j: usize, x: &[f32]) {
        let d = x.len();
        let floats = x.iter().enumerate().map(|(i, &value)| (layout.float(d, i, j), value));
        match self {
            HeadMut::F32(all) => floats.for_each(|(at, value)| all[at] = value),
            HeadMut::F16(all) => floats.for_each(|(at, value)| all[at] = f16::from_f32(value)),
            HeadMut::BF16(all) => floats.for_each(|(at, value)| all[at] = bf16::from_f32(value)),
            HeadMut::I16 { integers, scales } => {
                let mut q = vec![0; d];
                scales[j] = bf16::from_f32(quantize_words(x, &mut q));
                for (i, q) in q.into_iter().enumerate() {
                    integers[layout.integer::<2>(d, i, j)] = q;
                }
            }
            HeadMut::Q8_0 { integers, scales } => {
                for (g, x) in x.chunks_exact(KV_GROUP).enumerate() {
                    let mut q = [0; BLOCK];
                    scales[layout.scale(g * KV_GROUP, j)] = f16::from_f32(quantize_block(x, &mut q));
                    for (i, q) in q.into_iter().enumerate() {
                        integers[layout.integer::<4>(d, g * KV_GROUP + i, j)] = q;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KV_TYPES;

    #[test]
    fn elements_fill_a_head_once() {
        for layout in [Layout::Keys, Layout::Values] {
            let elements = |d| (0..d).flat_map(|i| (0..PAGE).map(move |j| (i, j)));
            let all_once = |d, at: &dyn Fn(usize, usize) -> usize| {
                let mut times = vec![0; d * PAGE];
                elements(d).for_each(|(i, j)| times[at(i, j)] += 1);
                times.iter().all(|&n| n == 1)
            };
            assert!(all_once(96, &|i, j| layout.integer::<4>(96, i, j)), "{layout:?}");
            assert!(all_once(48, &|i, j| layout.integer::<2>(48, i, j)), "{layout:?}");
            for d in [96, 24, 3] {
                assert!(all_once(d, &|i, j| layout.float(d, i, j)), "{layout:?} of {d}");
            }
        }
    }

    #[test]
    fn elements_lie_as_documented() {
        assert_eq!(Layout::Keys.float(24, 5, 33), (2 * 24 + 5) * 16 + 1);
        assert_eq!(Layout::Values.float(24, 5, 33), 33 * 16 + 5);
        assert_eq!(Layout::Values.float(24, 17, 33), 64 * 16 + 33 * 8 + 1);
        assert_eq!(Layout::Keys.integer::<4>(32, 5, 33), ((2 * 8 + 1) * 16 + 1) * 4 + 1);
        assert_eq!(Layout::Values.integer::<4>(32, 21, 33), ((16 + 8) * 16 + 5) * 4 + 1);
        assert_eq!(Layout::Keys.integer::<2>(32, 5, 33), ((2 * 16 + 2) * 16 + 1) * 2 + 1);
        assert_eq!(Layout::Values.integer::<2>(32, 21, 33), ((32 + 16) * 16 + 5) * 2 + 1);
        assert_eq!(Layout::Keys.scale(33, 5), 64 + 5);
    }

    fn written(kv: KvType, x: &[f32]) -> Vec<Vector> {
        let mut page = Page::new(2, x.len() / 2, kv.into());
        page.write(37, x, x);
        let read = |head| {
            let (keys, values) = page.head(head);
            let (key, value) =
                (keys.read(Layout::Keys, x.len() / 2, 37), values.read(Layout::Values, x.len() / 2, 37));
            assert_eq!(key, value);
            key
        };
        (0..2).map(read).collect()
    }

    #[test]
    fn heads_come_back_as_they_were_written() {
        let x: Vec<f32> = (0..128).map(|i| i as f32 - 50.0).collect();
        for kv in [KvType::F32, KvType::F16, KvType::BF16] {
            let want = [&x[..64], &x[64..]].map(|x| Vector::Floats(x.to_vec()));
            assert_eq!(written(kv, &x), want);
        }
        let Vector::Words { integers, scale } = &written(KvType::I16, &x)[1] else { panic!("words") };
        assert_eq!((integers[0], integers[63]), ((14.0 / scale).round_ties_even() as i16, 8139));
        assert_eq!(*scale, 2f32.powi(-7) * (1.0 + 27.0 / 128.0), "77 / 8191 = 0.0094005 rounded up");
        let Vector::Integers { integers, scales } = &written(KvType::Q8_0, &x)[1] else { panic!("integers") };
        assert_eq!((scales.len(), integers[31], integers[63]), (2, 127, 127));
        assert_eq!(scales[1], f16::from_f32(77.0 / 127.0).to_f32());
        assert_eq!(integers[32], (46f32 / (77.0 / 127.0)).round_ties_even() as i8);
    }

    #[test]
    fn sixteen_bits_round_to_even() {
        let tie = 1.0 + 2f32.powi(-11);
        let half = written(KvType::F16, &[tie, tie + 2f32.powi(-10), 1e6, 2f32.powi(-24)]);
        assert_eq!(half[0], Vector::Floats(vec![1.0, 1.0 + 2f32.powi(-9)]));
        assert_eq!(half[1], Vector::Floats(vec![f32::INFINITY, 2f32.powi(-24)]));
        let tie = 1.0 + 2f32.powi(-8);
        let brain = written(KvType::BF16, &[tie, tie + 2f32.powi(-7), 1e6, -0.0]);
        assert_eq!(brain[0], Vector::Floats(vec![1.0, 1.0 + 2f32.powi(-6)]));
    }

    #[test]
    fn pages_take_the_bytes_of_their_types() {
        for kv in KV_TYPES {
            let mut page = Page::new(3, 64, kv.into());
            let bytes = |head: HeadMut<'_>| match head {
                HeadMut::F32(all) => size_of_val(all),
                HeadMut::F16(all) => size_of_val(all),
                HeadMut::BF16(all) => size_of_val(all),
                HeadMut::I16 { integers, scales } => size_of_val(integers) + size_of_val(scales),
                HeadMut::Q8_0 { integers, scales } => size_of_val(integers) + size_of_val(scales),
            };
            let found: usize = page.heads_mut().map(|(keys, values)| bytes(keys) + bytes(values)).sum();
            assert_eq!(found, 3 * PAGE * KvTypes::from(kv).bytes_for(64));
        }
    }
}
