//! What this machine can do at most: the yardstick that speeds are held against.
//!
//! Peaks come from tiles of a matrix product with everything else left out: no unpacking, no scales, no stores. Each
//! tile's accumulators are chains of their own, with factors of their own that are read as the loop goes on, so that a
//! compiler can neither merge two chains nor move a product out of the loop. Several shapes of tile run, and the best
//! counts: how many chains hide an instruction's latency, and how many fit the registers, differs between machines.
//! Times are taken inside the threads, from the first that starts to the last that ends.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use dewdrop_backend::BackendError;

use crate::isa::Isa;
use crate::lanes::{Bytes, Floats, Job, Lanes};
use crate::pool::check_threads;

/// Steps of a tile between two looks at the clock or at the count.
const STEPS: usize = 32;
/// Most rows of a tile.
const MAX_ROWS: usize = 6;
/// Vectors of activations: what a tile reads in a round. 12 KiB, which every first cache holds.
const N_VECTORS: usize = STEPS * MAX_ROWS;
/// A measurement takes at least this long; shorter ones say more about the clock.
const LEAST_SECONDS: f64 = 10e-3;
/// The best of so many measurements counts, where nobody asks otherwise: whatever else runs only makes them slower.
const TRIALS: usize = 7;
/// How far ahead of a read memory is asked for, if it is.
const AHEAD: usize = 4096;
/// Lines that a read takes in a round.
const ROUND: usize = 4;

/// Measures the limits of some threads with one instruction set.
pub struct Gauge {
    isa: Isa,
    threads: usize,
    trials: usize,
}

/// How much of something can be done in a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Multiply-adds per second, all threads together.
    pub per_second: f64,
    /// The instructions that do them, for people.
    pub instructions: &'static str,
}

impl Gauge {
    /// For so many threads. `isa` names an instruction set, as for [`Cpu::new`](crate::Cpu::new).
    ///
    /// # Errors
    /// If this machine does not have the instruction set, or there are too many threads.
    pub fn new(threads: usize, isa: Option<&str>) -> Result<Self, BackendError> {
        check_threads(threads)?;
        Ok(Gauge { isa: Isa::choose(isa)?, threads: threads.max(1), trials: TRIALS })
    }

    /// Takes the best of `n` measurements of each kind.
    pub fn trials(self, n: usize) -> Self {
        Gauge { trials: n.max(1), ..self }
    }

    /// How many threads.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The name of the instruction set.
    pub fn isa(&self) -> &'static str {
        self.isa.name()
    }

    /// Bytes per second that all threads together read in order, whether processors look ahead best when they are asked
    /// to or when they are left alone. `memory` should be several times the caches and lie in huge pages.
    pub fn read(&self, memory: &[u8]) -> f64 {
        let lines = memory.as_chunks::<64>().0;
        let part = lines.len().div_ceil(self.threads).max(1);
        let read = |asks: bool| {
            self.together(&|thread| {
                let lines = black_box(lines.chunks(part).nth(thread).unwrap_or_default());
                black_box(match asks {
                    true => self.isa.run(Read::<true> { lines }),
                    false => self.isa.run(Read::<false> { lines }),
                });
            })
        };
        let seconds = (0..self.trials).flat_map(|_| [read(true), read(false)]).fold(f64::INFINITY, f64::min);
        (lines.len() * 64) as f64 / seconds
    }

    /// Multiply-adds of bytes, summed in 32 bits.
    pub fn integers(&self) -> Peak {
        let instructions = match self.isa.name() {
            "avx512" => "vpdpbusd",
            "avx2" => "vpmaddubsw, vpmaddwd, vpaddd",
            "neon-dot" => "sdot",
            "neon" => "smull, sadalp",
            _ => "no vector instructions",
        };
        let per_second = self.best(|tile| match tile {
            Tile::Small => self.products::<2, 2>(64),
            Tile::Medium => self.products::<3, 2>(64),
            Tile::Large => self.products::<6, 2>(64),
        });
        Peak { per_second, instructions }
    }

    /// Fused multiply-adds of singles.
    pub fn floats(&self) -> Peak {
        let instructions = match self.isa.name() {
            "avx512" | "avx2" => "vfmadd231ps",
            "neon-dot" | "neon" => "fmla",
            _ => "no vector instructions",
        };
        let per_second = self.best(|tile| match tile {
            Tile::Small => self.fused::<2, 2>(),
            Tile::Medium => self.fused::<3, 2>(),
            Tile::Large => self.fused::<6, 2>(),
        });
        Peak { per_second, instructions }
    }

    /// Multiply-adds of BF16, summed in singles; none where no instruction does that.
    pub fn bf16(&self) -> Option<Peak> {
        #[cfg(target_arch = "x86_64")]
        if self.isa.name() == "avx512" && is_x86_feature_detected!("avx512bf16") {
            let inputs = [Bytes::ZERO; N_VECTORS];
            let run = |rounds| {
                // SAFETY: both features were found, AVX-512's by the token in `isa`.
                black_box(unsafe { bf16::tile(&inputs, rounds) });
            };
            let per_second = self.rate((STEPS * bf16::PRODUCTS) as f64, &run);
            return Some(Peak { per_second, instructions: "vdpbf16ps" });
        }
        None
    }

    /// The best rate of any tile.
    fn best(&self, rate: impl Fn(Tile) -> f64) -> f64 {
        [Tile::Small, Tile::Medium, Tile::Large].map(rate).into_iter().fold(0.0, f64::max)
    }

    fn products<const ROWS: usize, const VECTORS: usize>(&self, per_product: usize) -> f64 {
        // Small enough that sums of two products fit 16 bits.
        let activations: Vec<Bytes> = (0..N_VECTORS).map(|i| Bytes([i as u8 % 100; 64])).collect();
        let weights: [Bytes; VECTORS] = std::array::from_fn(|i| Bytes([i as u8 + 3; 64]));
        let widens_each = self.isa.name() == "avx2";
        let run = |rounds| {
            let (activations, weights) = (black_box(&activations[..]), black_box(&weights));
            if widens_each {
                black_box(self.isa.run(Products::<ROWS, VECTORS, true> { activations, weights, rounds }));
            } else {
                black_box(self.isa.run(Products::<ROWS, VECTORS, false> { activations, weights, rounds }));
            }
        };
        self.rate((STEPS * ROWS * VECTORS * per_product) as f64, &run)
    }

    fn fused<const ROWS: usize, const VECTORS: usize>(&self) -> f64 {
        let activations: Vec<Floats> = (0..N_VECTORS).map(|i| Floats([i as f32; 16])).collect();
        let weights: [Floats; VECTORS] = std::array::from_fn(|i| Floats([1e-3 * i as f32; 16]));
        let run = |rounds| {
            let (activations, weights) = (black_box(&activations[..]), black_box(&weights));
            black_box(self.isa.run(Fused::<ROWS, VECTORS> { activations, weights, rounds }));
        };
        self.rate((STEPS * ROWS * VECTORS * 16) as f64, &run)
    }

    /// Multiply-adds per second, of all threads, when `run(rounds)` does `per_round` of them in each round.
    fn rate(&self, per_round: f64, run: &(dyn Fn(usize) + Sync)) -> f64 {
        let seconds = |rounds: usize| self.together(&|_| run(rounds));
        let mut rounds = 1;
        while seconds(rounds) < LEAST_SECONDS {
            rounds *= 2;
        }
        let best = (0..self.trials).map(|_| seconds(rounds)).fold(f64::INFINITY, f64::min);
        per_round * rounds as f64 * self.threads as f64 / best
    }

    /// Seconds from the first thread's start of `work(thread)` to the last one's end.
    fn together(&self, work: &(dyn Fn(usize) + Sync)) -> f64 {
        let barrier = Barrier::new(self.threads);
        let timed = |thread| {
            barrier.wait();
            let start = Instant::now();
            work(thread);
            (start, Instant::now())
        };
        let times: Vec<(Instant, Instant)> = thread::scope(|scope| {
            let timed = &timed;
            let threads: Vec<_> = (0..self.threads).map(|i| scope.spawn(move || timed(i))).collect();
            threads.into_iter().map(|thread| thread.join().expect("loops do not panic")).collect()
        });
        let start = times.iter().map(|(start, _)| *start).min();
        let end = times.iter().map(|(_, end)| *end).max();
        start.zip(end).map_or(0.0, |(start, end)| (end - start).as_secs_f64())
    }
}

/// How many accumulators a tile has.
#[derive(Clone, Copy, Debug)]
enum Tile {
    Small,
    Medium,
    Large,
}

/// A tile of an integer product.
struct Products<'a, const ROWS: usize, const VECTORS: usize, const WIDENS_EACH: bool> {
    activations: &'a [Bytes],
    weights: &'a [Bytes; VECTORS],
    rounds: usize,
}

impl<const ROWS: usize, const VECTORS: usize, const WIDENS_EACH: bool> Job
    for Products<'_, ROWS, VECTORS, WIDENS_EACH>
{
    type Output = i32;

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> i32 {
        let mut sums = [[l.splat_int(0); VECTORS]; ROWS];
        let mut partial = [[l.no_products(); VECTORS]; ROWS];
        for _ in 0..self.rounds {
            for row_vectors in self.activations.as_chunks::<ROWS>().0.iter().take(STEPS) {
                for r in 0..ROWS {
                    let activations = l.load_bytes(&row_vectors[r].0);
                    for v in 0..VECTORS {
                        let weights = l.load_bytes(&self.weights[v].0);
                        if WIDENS_EACH {
                            sums[r][v] = l.whole_products(sums[r][v], weights, activations);
                        } else {
                            partial[r][v] = l.products(partial[r][v], weights, activations);
                        }
                    }
                }
            }
        }
        let mut all = l.splat_int(0);
        for r in 0..ROWS {
            for v in 0..VECTORS {
                all = l.xor(all, l.widen(sums[r][v], partial[r][v]));
            }
        }
        l.largest_int(all)
    }
}

/// A tile of a product of singles.
struct Fused<'a, const ROWS: usize, const VECTORS: usize> {
    activations: &'a [Floats],
    weights: &'a [Floats; VECTORS],
    rounds: usize,
}

impl<const ROWS: usize, const VECTORS: usize> Job for Fused<'_, ROWS, VECTORS> {
    type Output = f32;

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> f32 {
        let mut sums = [[l.splat(0.0); VECTORS]; ROWS];
        for _ in 0..self.rounds {
            for row_vectors in self.activations.as_chunks::<ROWS>().0.iter().take(STEPS) {
                for r in 0..ROWS {
                    let activations = l.load(&row_vectors[r].0);
                    for v in 0..VECTORS {
                        sums[r][v] = l.fma(l.load(&self.weights[v].0), activations, sums[r][v]);
                    }
                }
            }
        }
        let mut all = l.splat(0.0);
        for r in 0..ROWS {
            for v in 0..VECTORS {
                all = l.max(all, sums[r][v]);
            }
        }
        l.largest(all)
    }
}

/// A read of memory from its start to its end. `ASKS`: for what comes, ahead of time.
struct Read<'a, const ASKS: bool> {
    lines: &'a [[u8; 64]],
}

impl<const ASKS: bool> Job for Read<'_, ASKS> {
    type Output = i32;

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> i32 {
        let mut sums = [l.splat_int(0); ROUND];
        let (rounds, rest) = self.lines.as_chunks::<ROUND>();
        for lines in rounds {
            for i in 0..ROUND {
                if ASKS {
                    l.prefetch(lines[i].as_ptr().wrapping_add(AHEAD));
                }
                sums[i] = l.xor(sums[i], l.load_bytes(&lines[i]));
            }
        }
        for line in rest {
            sums[0] = l.xor(sums[0], l.load_bytes(line));
        }
        let [a, b, c, d] = sums;
        l.largest_int(l.xor(l.xor(a, b), l.xor(c, d)))
    }
}

/// The dot product of BF16 pairs, which [`Lanes`] does without.
#[cfg(target_arch = "x86_64")]
mod bf16 {
    use std::arch::x86_64::*;

    use super::{Bytes, MAX_ROWS, STEPS};

    const VECTORS: usize = 2;
    /// Multiply-adds of a step.
    pub(super) const PRODUCTS: usize = MAX_ROWS * VECTORS * 32;

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) fn tile(activations: &[Bytes], rounds: usize) -> f32 {
        let weights = [1e-3, 2e-3].map(|w| _mm512_cvtne2ps_pbh(_mm512_set1_ps(w), _mm512_set1_ps(w)));
        let mut sums = [[_mm512_setzero_ps(); VECTORS]; MAX_ROWS];
        for _ in 0..rounds {
            for row_vectors in activations.as_chunks::<MAX_ROWS>().0.iter().take(STEPS) {
                for r in 0..MAX_ROWS {
                    // SAFETY: both are 64 bytes without rules of their own.
                    let activations = unsafe { std::mem::transmute::<Bytes, __m512bh>(row_vectors[r]) };
                    for v in 0..VECTORS {
                        sums[r][v] = _mm512_dpbf16_ps(sums[r][v], activations, weights[v]);
                    }
                }
            }
        }
        let all = sums.as_flattened().iter().fold(_mm512_setzero_ps(), |all, sum| _mm512_max_ps(all, *sum));
        _mm512_reduce_max_ps(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instruction_sets;

    #[test]
    fn every_instruction_set_has_limits() {
        let memory = vec![1; 1 << 16];
        for isa in instruction_sets() {
            let gauge = Gauge::new(2, Some(isa)).unwrap();
            assert_eq!(gauge.isa(), isa);
            for peak in [gauge.integers(), gauge.floats()].into_iter().chain(gauge.bf16()) {
                assert!(peak.per_second > 0.0 && peak.per_second.is_finite(), "{isa} {peak:?}");
            }
            assert!(gauge.read(&memory) > 0.0);
        }
        assert!(Gauge::new(1, Some("abacus")).is_err());
    }
}
