//! Instruction sets: which ones this machine has, and running a job on one of them.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__cpuid, CpuidResult};
#[cfg(target_arch = "x86_64")]
use std::sync::LazyLock;

use dewdrop_backend::BackendError;

use crate::lanes::{Job, Lanes};
use crate::panel::Range;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

/// An instruction set that this machine has: a value of it is made only after detection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Isa {
    #[cfg(target_arch = "x86_64")]
    Avx512 {
        lanes: avx512::Avx512<false>,
        /// For products of bfloat16, where its instruction pays.
        pairs: Option<avx512::Avx512<true>>,
    },
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    #[cfg(target_arch = "aarch64")]
    NeonDot(neon::Neon<true>),
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Neon<false>),
    Portable(portable::Portable),
}

/// The family of this processor if AMD made it, for what no feature tells: 25 is Zen 3 and 4, 26 Zen 5. Looked up once, which
/// takes long on virtual machines.
#[cfg(target_arch = "x86_64")]
static AMD_FAMILY: LazyLock<Option<u32>> = LazyLock::new(|| {
    let CpuidResult { ebx, ecx, edx, .. } = __cpuid(0);
    let is_amd = [ebx, edx, ecx].map(u32::to_le_bytes).as_flattened() == b"AuthenticAMD";
    // Four bits, and if they are all ones eight more to add (AMD64 Architecture Programmer's Manual, function 1).
    let signature = __cpuid(1).eax;
    let family = match signature >> 8 & 15 {
        15 => 15 + (signature >> 20 & 255),
        family => family,
    };
    is_amd.then_some(family)
});

/// The environment variable that names the instruction set where no option does.
const VARIABLE: &str = "DEWDROP_ISA";

/// How many rows a product takes at a time.
#[derive(Clone, Copy)]
pub(crate) struct TileShape {
    /// Of a tile, at most.
    pub(crate) rows: usize,
    /// Panels that are multiplied side by side with many rows.
    pub(crate) panels: usize,
    /// Up to so many are multiplied as weights are unpacked.
    pub(crate) few_rows: usize,
}

impl Isa {
    /// Those of this machine, fastest first; the portable one is last.
    pub(crate) fn available() -> Vec<Isa> {
        let found = [
            #[cfg(target_arch = "x86_64")]
            avx512::Avx512::<false>::detect().map(|lanes| Isa::Avx512 {
                lanes,
                // AMD's `vdpbf16ps` is twice as fast as two fused multiply-adds; Intel's (Sapphire Rapids and its
                // successor) takes longer than they do.
                pairs: avx512::Avx512::<true>::detect().filter(|_| AMD_FAMILY.is_some()),
            }),
            #[cfg(target_arch = "x86_64")]
            avx2::Avx2::detect().map(Isa::Avx2),
            #[cfg(target_arch = "aarch64")]
            neon::Neon::<true>::detect().map(Isa::NeonDot),
            #[cfg(target_arch = "aarch64")]
            neon::Neon::<false>::detect().map(Isa::Neon),
            Some(Isa::Portable(portable::Portable)),
        ];
        found.into_iter().flatten().collect()
    }

    /// Those of this machine, and the ways to multiply bfloat16 that do not pay on it.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Isa> {
        let mut all = Isa::available();
        #[cfg(target_arch = "x86_64")]
        if let Some(lanes) = avx512::Avx512::<false>::detect() {
            all.push(Isa::Avx512 { lanes, pairs: None });
            all.push(Isa::Avx512 { lanes, pairs: avx512::Avx512::<true>::detect() });
        }
        all
    }

    /// The one of this name; else the one that the environment names; else the fastest.
    pub(crate) fn choose(name: Option<&str>) -> Result<Isa, BackendError> {
        let name = name.map(Into::into).or_else(|| std::env::var(VARIABLE).ok());
        let available = Isa::available();
        let found = available.iter().find(|isa| name.as_ref().is_none_or(|name| name == isa.name()));
        found.copied().ok_or_else(|| BackendError::InstructionSet {
            found: name.unwrap_or_default(),
            available: available.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", "),
        })
    }

    /// For people and for choosing.
    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 { .. } => "avx512",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDot(_) => "neon-dot",
            #[cfg(target_arch = "aarch64")]
            Isa::Neon(_) => "neon",
            Isa::Portable(_) => "portable",
        }
    }

    /// Whether the processor fetches most lines of what is read in order by itself. AMD's Zen 4 does, and each line that it is
    /// asked for takes one of the few places of its first cache; Intel's read half as fast if they are not asked for each, AMD's
    /// Zen 5 some per cent slower.
    pub(crate) fn follows_streams(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return AMD_FAMILY.is_some_and(|family| family < 26);
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    /// How products are cut.
    pub(crate) fn tile(self) -> TileShape {
        struct Tile;
        impl Job for Tile {
            type Output = TileShape;

            #[inline(always)]
            fn run<L: Lanes>(self, _: L) -> TileShape {
                TileShape { rows: L::TILE_ROWS, panels: L::TILE_PANELS, few_rows: L::FEW_ROWS }
            }
        }
        self.run(Tile)
    }

    /// What has been added to weights of a range that are multiplied.
    pub(crate) fn bias(self, range: Range) -> i32 {
        struct Bias(Range);
        impl Job for Bias {
            type Output = i32;

            #[inline(always)]
            fn run<L: Lanes>(self, _: L) -> i32 {
                self.0.bias::<L>()
            }
        }
        self.run(Bias(range))
    }

    /// Words of a pair of activations as bfloat16.
    pub(crate) fn words_per_pair(self) -> usize {
        struct Words;
        impl Job for Words {
            type Output = usize;

            #[inline(always)]
            fn run<L: Lanes>(self, _: L) -> usize {
                L::PAIR_WORDS
            }
        }
        self.run_pairs(Words)
    }

    /// Runs a job with this instruction set enabled.
    pub(crate) fn run<J: Job>(self, job: J) -> J::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 { lanes, .. } => lanes.run(job),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(lanes) => lanes.run(job),
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDot(lanes) => lanes.run(job),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon(lanes) => lanes.run(job),
            Isa::Portable(lanes) => job.run(lanes),
        }
    }

    /// Runs a job that multiplies [`Lanes::pairs`], with the instruction for it where there is one.
    pub(crate) fn run_pairs<J: Job>(self, job: J) -> J::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 { pairs: Some(lanes), .. } => lanes.run(job),
            _ => self.run(job),
        }
    }
}
