//! NEON: sixteen lanes are four registers of four. With `DOT`, the machine has the dot product extension too.

use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};

use crate::lanes::{Job, Lanes};

/// Proof that this machine has NEON, and if `DOT`, its dot product extension.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neon<const DOT: bool>(());

impl Neon<true> {
    /// The token, if this machine runs it.
    pub(crate) fn detect() -> Option<Self> {
        let found = is_aarch64_feature_detected!("neon") && is_aarch64_feature_detected!("dotprod");
        found.then_some(Neon(()))
    }

    /// Runs a job with the instruction set enabled.
    pub(crate) fn run<J: Job>(self, job: J) -> J::Output {
        // SAFETY: a token exists only where `detect` has found what `enter_dot` enables.
        unsafe { enter_dot(self, job) }
    }
}

impl Neon<false> {
    /// The token, if this machine runs it.
    pub(crate) fn detect() -> Option<Self> {
        is_aarch64_feature_detected!("neon").then_some(Neon(()))
    }

    /// Runs a job with the instruction set enabled.
    pub(crate) fn run<J: Job>(self, job: J) -> J::Output {
        // SAFETY: a token exists only where `detect` has found what `enter` enables.
        unsafe { enter(self, job) }
    }
}

#[target_feature(enable = "neon,dotprod")]
fn enter_dot<J: Job>(lanes: Neon<true>, job: J) -> J::Output {
    job.run(lanes)
}

#[target_feature(enable = "neon")]
fn enter<J: Job>(lanes: Neon<false>, job: J) -> J::Output {
    job.run(lanes)
}

/// Writes a method over all four registers: `each!(a, b => intrinsic)`.
macro_rules! each {
    ($($x:ident),+ => $intrinsic:ident) => {
        // SAFETY: `self` proves that the machine has the instruction.
        unsafe {
            [
                $intrinsic($($x[0]),+),
                $intrinsic($($x[1]),+),
                $intrinsic($($x[2]),+),
                $intrinsic($($x[3]),+),
            ]
        }
    };
}

impl<const DOT: bool> Lanes for Neon<DOT> {
    type F = [float32x4_t; 4];
    type I = [int32x4_t; 4];
    type P = [int32x4_t; 4];

    const WIDE_BIAS: i32 = 0;
    const WHOLE: bool = true;
    const WIDE: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> [float32x4_t; 4] {
        // SAFETY: `self` proves that the machine has the instruction.
        unsafe { [vdupq_n_f32(x); 4] }
    }

    #[inline(always)]
    fn load(self, from: &[f32; 16]) -> [float32x4_t; 4] {
        let from = from.as_ptr();
        // SAFETY: four times 4 of 16 floats; the instruction as above.
        unsafe { [vld1q_f32(from), vld1q_f32(from.add(4)), vld1q_f32(from.add(8)), vld1q_f32(from.add(12))] }
    }

    #[inline(always)]
    fn store(self, x: [float32x4_t; 4], to: &mut [f32; 16]) {
        for (x, to) in x.into_iter().zip(to.as_chunks_mut::<4>().0) {
            // SAFETY: 4 floats; the instruction as above.
            unsafe { vst1q_f32(to.as_mut_ptr(), x) }
        }
    }

    #[inline(always)]
    fn add(self, a: [float32x4_t; 4], b: [float32x4_t; 4]) -> [float32x4_t; 4] {
        each!(a, b => vaddq_f32)
    }

    #[inline(always)]
    fn sub(self, a: [float32x4_t; 4], b: [float32x4_t; 4]) -> [float32x4_t; 4] {
        each!(a, b => vsubq_f32)
    }

    #[inline(always)]
    fn mul(self, a: [float32x4_t; 4], b: [float32x4_t; 4]) -> [float32x4_t; 4] {
        each!(a, b => vmulq_f32)
    }

    #[inline(always)]
    fn div(self, a: [float32x4_t; 4], b: [float32x4_t; 4]) -> [float32x4_t; 4] {
        each!(a, b => vdivq_f32)
    }

    #[inline(always)]
    fn fma(self, a: [float32x4_t; 4], b: [float32x4_t; 4], c: [float32x4_t; 4]) -> [float32x4_t; 4] {
        each!(c, a, b => vfmaq_f32)
    }

    /// The machine's own maximum spreads NaN, so this is a comparison.
    #[inline(always)]
    fn max(self, a: [float32x4_t; 4], b: [float32x4_t; 4]) -> [float32x4_t; 4] {
        let larger = each!(a, b => vcgtq_f32);
        each!(larger, a, b => vbslq_f32)
    }

    #[inline(always)]
    fn min(self, a: [float32x4_t; 4], b: [float32x4_t; 4]) -> [float32x4_t; 4] {
        let smaller = each!(a, b => vcltq_f32);
        each!(smaller, a, b => vbslq_f32)
    }

    #[inline(always)]
    fn round(self, x: [float32x4_t; 4]) -> [float32x4_t; 4] {
        each!(x => vrndnq_f32)
    }

    #[inline(always)]
    fn select(self, mask: [int32x4_t; 4], a: [float32x4_t; 4], b: [float32x4_t; 4]) -> [float32x4_t; 4] {
        let mask = each!(mask => vreinterpretq_u32_s32);
        each!(mask, a, b => vbslq_f32)
    }

    #[inline(always)]
    fn less(self, a: [float32x4_t; 4], b: [float32x4_t; 4]) -> [int32x4_t; 4] {
        let mask = each!(a, b => vcltq_f32);
        each!(mask => vreinterpretq_s32_u32)
    }

    #[inline(always)]
    fn sum(self, x: [float32x4_t; 4]) -> f32 {
        // SAFETY: `self` proves that the machine has the instructions.
        unsafe {
            let four = vaddq_f32(vaddq_f32(x[0], x[2]), vaddq_f32(x[1], x[3]));
            let two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
            vget_lane_f32::<0>(two) + vget_lane_f32::<1>(two)
        }
    }

    #[inline(always)]
    fn largest(self, x: [float32x4_t; 4]) -> f32 {
        // SAFETY: `self` proves that the machine has the instructions.
        unsafe { vmaxvq_f32(vmaxq_f32(vmaxq_f32(x[0], x[1]), vmaxq_f32(x[2], x[3]))) }
    }

    #[inline(always)]
    fn load_half(self, from: &[u16; 16]) -> [float32x4_t; 4] {
        let mut out = self.splat(0.0);
        for (out, from) in out.iter_mut().zip(from.as_chunks::<4>().0) {
            // SAFETY: 4 halves; `self` proves that the machine has the instruction.
            *out = widen_half(unsafe { vld1_u16(from.as_ptr()) });
        }
        out
    }

    #[inline(always)]
    fn load_upper(self, from: &[u16; 16]) -> [float32x4_t; 4] {
        // SAFETY: two times 8 of 16 halves; `self` proves that the machine has the instructions.
        unsafe {
            let (low, high) = (vld1q_u16(from.as_ptr()), vld1q_u16(from.as_ptr().add(8)));
            [
                vreinterpretq_f32_u32(vshll_n_u16::<16>(vget_low_u16(low))),
                vreinterpretq_f32_u32(vshll_n_u16::<16>(vget_high_u16(low))),
                vreinterpretq_f32_u32(vshll_n_u16::<16>(vget_low_u16(high))),
                vreinterpretq_f32_u32(vshll_n_u16::<16>(vget_high_u16(high))),
            ]
        }
    }

    #[inline(always)]
    fn store_half(self, x: [float32x4_t; 4], to: &mut [u16; 16]) {
        for (x, to) in x.into_iter().zip(to.as_chunks_mut::<4>().0) {
            // SAFETY: 4 halves; `self` proves that the machine has the instruction.
            unsafe { vst1_u16(to.as_mut_ptr(), narrow_half(x)) }
        }
    }

    #[inline(always)]
    fn splat_int(self, x: i32) -> [int32x4_t; 4] {
        // SAFETY: `self` proves that the machine has the instruction.
        unsafe { [vdupq_n_s32(x); 4] }
    }

    #[inline(always)]
    fn load_bytes(self, from: &[u8; 64]) -> [int32x4_t; 4] {
        let mut out = self.splat_int(0);
        for (out, from) in out.iter_mut().zip(from.as_chunks::<16>().0) {
            // SAFETY: 16 bytes; `self` proves that the machine has the instruction.
            *out = unsafe { vreinterpretq_s32_u8(vld1q_u8(from.as_ptr())) };
        }
        out
    }

    #[inline(always)]
    fn store_bytes(self, x: [int32x4_t; 4], to: &mut [u8; 64]) {
        for (x, to) in x.into_iter().zip(to.as_chunks_mut::<16>().0) {
            // SAFETY: 16 bytes; `self` proves that the machine has the instruction.
            unsafe { vst1q_u8(to.as_mut_ptr(), vreinterpretq_u8_s32(x)) }
        }
    }

    #[inline(always)]
    fn spread(self, from: &[u8; 16]) -> [int32x4_t; 4] {
        // SAFETY: 16 bytes; `self` proves that the machine has the instructions.
        unsafe {
            let bytes = vld1q_u8(from.as_ptr());
            let (low, high) = (vmovl_u8(vget_low_u8(bytes)), vmovl_u8(vget_high_u8(bytes)));
            [
                vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low))),
                vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(low))),
                vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high))),
                vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(high))),
            ]
        }
    }

    #[inline(always)]
    fn bits(self, x: [float32x4_t; 4]) -> [int32x4_t; 4] {
        each!(x => vreinterpretq_s32_f32)
    }

    #[inline(always)]
    fn float(self, bits: [int32x4_t; 4]) -> [float32x4_t; 4] {
        each!(bits => vreinterpretq_f32_s32)
    }

    #[inline(always)]
    fn to_int(self, x: [float32x4_t; 4]) -> [int32x4_t; 4] {
        each!(x => vcvtq_s32_f32)
    }

    #[inline(always)]
    fn to_float(self, x: [int32x4_t; 4]) -> [float32x4_t; 4] {
        each!(x => vcvtq_f32_s32)
    }

    #[inline(always)]
    fn half_to_float(self, x: [int32x4_t; 4]) -> [float32x4_t; 4] {
        let mut out = self.splat(0.0);
        for (out, x) in out.iter_mut().zip(x) {
            // SAFETY: `self` proves that the machine has the instructions.
            *out = widen_half(unsafe { vmovn_u32(vreinterpretq_u32_s32(x)) });
        }
        out
    }

    #[inline(always)]
    fn add_int(self, a: [int32x4_t; 4], b: [int32x4_t; 4]) -> [int32x4_t; 4] {
        each!(a, b => vaddq_s32)
    }

    #[inline(always)]
    fn sub_int(self, a: [int32x4_t; 4], b: [int32x4_t; 4]) -> [int32x4_t; 4] {
        each!(a, b => vsubq_s32)
    }

    #[inline(always)]
    fn and(self, a: [int32x4_t; 4], b: [int32x4_t; 4]) -> [int32x4_t; 4] {
        each!(a, b => vandq_s32)
    }

    #[inline(always)]
    fn or(self, a: [int32x4_t; 4], b: [int32x4_t; 4]) -> [int32x4_t; 4] {
        each!(a, b => vorrq_s32)
    }

    #[inline(always)]
    fn xor(self, a: [int32x4_t; 4], b: [int32x4_t; 4]) -> [int32x4_t; 4] {
        each!(a, b => veorq_s32)
    }

    #[inline(always)]
    fn max_int(self, a: [int32x4_t; 4], b: [int32x4_t; 4]) -> [int32x4_t; 4] {
        each!(a, b => vmaxq_s32)
    }

    #[inline(always)]
    fn largest_int(self, x: [int32x4_t; 4]) -> i32 {
        // SAFETY: `self` proves that the machine has the instructions.
        unsafe { vmaxvq_s32(vmaxq_s32(vmaxq_s32(x[0], x[1]), vmaxq_s32(x[2], x[3]))) }
    }

    #[inline(always)]
    fn shl(self, x: [int32x4_t; 4], n: u32) -> [int32x4_t; 4] {
        let n = self.splat_int(n.cast_signed());
        each!(x, n => vshlq_s32)
    }

    #[inline(always)]
    fn shr(self, x: [int32x4_t; 4], n: u32) -> [int32x4_t; 4] {
        let (x, n) = (each!(x => vreinterpretq_u32_s32), self.splat_int(-n.cast_signed()));
        let shifted = each!(x, n => vshlq_u32);
        each!(shifted => vreinterpretq_s32_u32)
    }

    #[inline(always)]
    fn sar(self, x: [int32x4_t; 4], n: u32) -> [int32x4_t; 4] {
        let n = self.splat_int(-n.cast_signed());
        each!(x, n => vshlq_s32)
    }

    #[inline(always)]
    fn look_up(self, table: &[i8; 16], x: [int32x4_t; 4]) -> [int32x4_t; 4] {
        let x = each!(x => vreinterpretq_u8_s32);
        // SAFETY: the table has 16 bytes; `self` proves that the machine has the instruction.
        let table = unsafe { [vld1q_s8(table.as_ptr()); 4] };
        let found = each!(table, x => vqtbl1q_s8);
        each!(found => vreinterpretq_s32_s8)
    }

    #[inline(always)]
    fn transpose(self, rows: [&[u8; 16]; 16]) -> [[int32x4_t; 4]; 4] {
        let mut out = [self.splat_int(0); 4];
        for (quarter, rows) in rows.as_chunks::<4>().0.iter().enumerate() {
            let columns = four_rows(rows);
            for k in 0..4 {
                out[k][quarter] = columns[k];
            }
        }
        out
    }

    #[inline(always)]
    fn narrow(self, x: [[int32x4_t; 4]; 4], to: &mut [i8; 64]) {
        for (x, to) in x.into_iter().zip(to.as_chunks_mut::<16>().0) {
            // SAFETY: 16 bytes; `self` proves that the machine has the instructions.
            unsafe {
                let low = vcombine_s16(vmovn_s32(x[0]), vmovn_s32(x[1]));
                let high = vcombine_s16(vmovn_s32(x[2]), vmovn_s32(x[3]));
                vst1q_s8(to.as_mut_ptr(), vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
            }
        }
    }

    #[inline(always)]
    fn narrow_words(self, x: [int32x4_t; 4], to: &mut [i16; 16]) {
        for (x, to) in x.into_iter().zip(to.as_chunks_mut::<4>().0) {
            // SAFETY: 4 words; `self` proves that the machine has the instructions.
            unsafe { vst1_s16(to.as_mut_ptr(), vmovn_s32(x)) }
        }
    }

    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        // SAFETY: a hint, which touches no memory.
        unsafe { asm!("prfm pldl1keep, [{}]", in(reg) at, options(nostack, readonly, preserves_flags)) }
    }

    #[inline(always)]
    fn prefetch_far(self, at: *const u8) {
        // SAFETY: a hint, which touches no memory.
        unsafe { asm!("prfm pldl2keep, [{}]", in(reg) at, options(nostack, readonly, preserves_flags)) }
    }

    #[inline(always)]
    fn no_products(self) -> [int32x4_t; 4] {
        self.splat_int(0)
    }

    /// Weights below 64 are the same signed.
    #[inline(always)]
    fn products(
        self,
        sums: [int32x4_t; 4],
        weights: [int32x4_t; 4],
        activations: [int32x4_t; 4],
    ) -> [int32x4_t; 4] {
        self.wide_products(sums, weights, activations)
    }

    #[inline(always)]
    fn widen(self, sums: [int32x4_t; 4], partial: [int32x4_t; 4]) -> [int32x4_t; 4] {
        self.add_int(sums, partial)
    }

    #[inline(always)]
    fn whole_products(
        self,
        sums: [int32x4_t; 4],
        weights: [int32x4_t; 4],
        activations: [int32x4_t; 4],
    ) -> [int32x4_t; 4] {
        self.products(sums, weights, activations)
    }

    #[inline(always)]
    fn word_products(self, sums: [int32x4_t; 4], a: [int32x4_t; 4], b: [int32x4_t; 4]) -> [int32x4_t; 4] {
        let mut out = sums;
        for i in 0..4 {
            // SAFETY: `self` proves that the machine has the instructions.
            out[i] = unsafe {
                let (a, b) = (vreinterpretq_s16_s32(a[i]), vreinterpretq_s16_s32(b[i]));
                let (low, high) = (vmull_s16(vget_low_s16(a), vget_low_s16(b)), vmull_high_s16(a, b));
                vaddq_s32(sums[i], vpaddq_s32(low, high))
            };
        }
        out
    }

    #[inline(always)]
    fn wide_products(
        self,
        sums: [int32x4_t; 4],
        weights: [int32x4_t; 4],
        activations: [int32x4_t; 4],
    ) -> [int32x4_t; 4] {
        let mut out = sums;
        for i in 0..4 {
            // SAFETY: `self` proves that the machine has the instructions, and if `DOT`, the dot product.
            out[i] = unsafe {
                if DOT {
                    dot(sums[i], weights[i], activations[i])
                } else {
                    four_products(sums[i], weights[i], activations[i])
                }
            };
        }
        out
    }
}

/// Four halves to floats.
#[inline(always)]
fn widen_half(x: uint16x4_t) -> float32x4_t {
    let out;
    // SAFETY: every AArch64 with NEON has it; only registers are touched. (The intrinsic needs a type that is unstable.)
    unsafe {
        asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) out, in(vreg) x, options(pure, nomem, nostack, preserves_flags));
    }
    out
}

/// Four floats to halves, to nearest even.
#[inline(always)]
fn narrow_half(x: float32x4_t) -> uint16x4_t {
    let out;
    // SAFETY: as in `widen_half`.
    unsafe {
        asm!("fcvtn {0:v}.4h, {1:v}.4s", out(vreg) out, in(vreg) x, options(pure, nomem, nostack, preserves_flags));
    }
    out
}

/// Vector k holds bytes 4k to 4k + 3 of each row.
#[inline(always)]
fn four_rows(rows: &[&[u8; 16]; 4]) -> [int32x4_t; 4] {
    // SAFETY: each row has 16 bytes; every AArch64 that runs this has NEON.
    unsafe {
        let r0 = vreinterpretq_s32_u8(vld1q_u8(rows[0].as_ptr()));
        let r1 = vreinterpretq_s32_u8(vld1q_u8(rows[1].as_ptr()));
        let r2 = vreinterpretq_s32_u8(vld1q_u8(rows[2].as_ptr()));
        let r3 = vreinterpretq_s32_u8(vld1q_u8(rows[3].as_ptr()));
        let a = vreinterpretq_s64_s32(vtrn1q_s32(r0, r1));
        let b = vreinterpretq_s64_s32(vtrn2q_s32(r0, r1));
        let c = vreinterpretq_s64_s32(vtrn1q_s32(r2, r3));
        let d = vreinterpretq_s64_s32(vtrn2q_s32(r2, r3));
        [
            vreinterpretq_s32_s64(vtrn1q_s64(a, c)),
            vreinterpretq_s32_s64(vtrn1q_s64(b, d)),
            vreinterpretq_s32_s64(vtrn2q_s64(a, c)),
            vreinterpretq_s32_s64(vtrn2q_s64(b, d)),
        ]
    }
}

/// Adds to each lane the products of its four signed bytes.
///
/// # Safety
/// The machine has the dot product extension.
#[inline(always)]
unsafe fn dot(sums: int32x4_t, weights: int32x4_t, activations: int32x4_t) -> int32x4_t {
    let mut sums = sums;
    // SAFETY: the caller has the instruction; only registers are touched. (The intrinsic is unstable.)
    unsafe {
        asm!("sdot {0:v}.4s, {1:v}.16b, {2:v}.16b", inout(vreg) sums, in(vreg) weights, in(vreg) activations,
            options(pure, nomem, nostack, preserves_flags));
    }
    sums
}

/// The same without the extension: products of 16 bits, whose pairs fit into 32.
///
/// # Safety
/// The machine has NEON.
#[inline(always)]
unsafe fn four_products(sums: int32x4_t, weights: int32x4_t, activations: int32x4_t) -> int32x4_t {
    // SAFETY: the caller has the instructions.
    unsafe {
        let (w, a) = (vreinterpretq_s8_s32(weights), vreinterpretq_s8_s32(activations));
        let low = vpaddlq_s16(vmull_s8(vget_low_s8(w), vget_low_s8(a)));
        let high = vpaddlq_s16(vmull_s8(vget_high_s8(w), vget_high_s8(a)));
        vaddq_s32(sums, vpaddq_s32(low, high))
    }
}
