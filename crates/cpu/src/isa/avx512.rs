//! AVX-512 with VNNI: sixteen lanes are one register.

use std::arch::asm;
use std::arch::x86_64::*;

use super::avx2::{ask, ask_far};
use crate::lanes::{Job, Lanes, fused_pairs};

/// Proof that this machine has AVX-512 F, BW and VNNI; and BF16, where jobs are to use that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512<const BF16: bool>(());

impl Avx512<false> {
    /// The token, if this machine runs it.
    pub(crate) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vnni");
        found.then_some(Avx512(()))
    }

    /// Runs a job with the instruction set enabled.
    pub(crate) fn run<J: Job>(self, job: J) -> J::Output {
        // SAFETY: a token exists only where `detect` has found what `enter` enables.
        unsafe { enter(self, job) }
    }
}

impl Avx512<true> {
    /// The token, if this machine runs it.
    pub(crate) fn detect() -> Option<Self> {
        let found = Avx512::<false>::detect().is_some() && is_x86_feature_detected!("avx512bf16");
        found.then_some(Avx512(()))
    }

    /// Runs a job with the instruction set enabled.
    pub(crate) fn run<J: Job>(self, job: J) -> J::Output {
        // SAFETY: a token exists only where `detect` has found what `enter_bf16` enables.
        unsafe { enter_bf16(self, job) }
    }
}

/// AVX-512 F includes AVX2, FMA and F16C.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn enter<J: Job>(lanes: Avx512<false>, job: J) -> J::Output {
    job.run(lanes)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx512bf16")]
fn enter_bf16<J: Job>(lanes: Avx512<true>, job: J) -> J::Output {
    job.run(lanes)
}

/// [`Lanes::now`]: compilers take this for a computation that touches any memory.
#[target_feature(enable = "avx512f")]
#[inline]
fn now(mut x: __m512) -> __m512 {
    // SAFETY: there is no instruction in it, only a comment.
    unsafe { asm!("/* {0} */", inout(zmm_reg) x, options(nostack, preserves_flags)) }
    x
}

/// Calls an intrinsic that touches no memory.
macro_rules! call {
    ($intrinsic:ident $(::<$n:tt>)? ($($x:expr),*)) => {
        // SAFETY: `self` proves that the machine has the instruction.
        unsafe { $intrinsic $(::<$n>)? ($($x),*) }
    };
}

impl<const BF16: bool> Lanes for Avx512<BF16> {
    type F = __m512;
    type I = __m512i;
    type P = __m512i;

    const WIDE_BIAS: i32 = 128;
    const WHOLE: bool = true;
    const PAIRED: bool = BF16;
    const WIDE: bool = true;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        call!(_mm512_set1_ps(x))
    }

    #[inline(always)]
    fn load(self, from: &[f32; 16]) -> __m512 {
        // SAFETY: 16 floats, at any alignment; `self` proves that the machine has the instruction.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, x: __m512, to: &mut [f32; 16]) {
        // SAFETY: as in `load`.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), x) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_div_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        call!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_min_ps(a, b))
    }

    #[inline(always)]
    fn round(self, x: __m512) -> __m512 {
        call!(_mm512_roundscale_ps::<8>(x)) // to nearest even, no exceptions
    }

    #[inline(always)]
    fn select(self, mask: __m512i, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_mask_blend_ps(_mm512_test_epi32_mask(mask, mask), b, a))
    }

    #[inline(always)]
    fn less(self, a: __m512, b: __m512) -> __m512i {
        call!(_mm512_maskz_set1_epi32(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), -1))
    }

    #[inline(always)]
    fn sum(self, x: __m512) -> f32 {
        // SAFETY: `self` proves that the machine has the instructions.
        unsafe {
            let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(x)));
            let eight = _mm256_add_ps(_mm512_castps512_ps256(x), high);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    fn largest(self, x: __m512) -> f32 {
        call!(_mm512_reduce_max_ps(x))
    }

    #[inline(always)]
    fn load_half(self, from: &[u16; 16]) -> __m512 {
        // SAFETY: 16 halves, at any alignment; `self` proves that the machine has the instructions.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast())) }
    }

    #[inline(always)]
    fn load_upper(self, from: &[u16; 16]) -> __m512 {
        // SAFETY: 16 halves, at any alignment; `self` proves that the machine has the instructions.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }

    #[inline(always)]
    fn store_half(self, x: __m512, to: &mut [u16; 16]) {
        // SAFETY: as in `load_half`. 0: to nearest even.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), _mm512_cvtps_ph::<0>(x)) }
    }

    #[inline(always)]
    fn splat_int(self, x: i32) -> __m512i {
        call!(_mm512_set1_epi32(x))
    }

    #[inline(always)]
    fn load_bytes(self, from: &[u8; 64]) -> __m512i {
        // SAFETY: 64 bytes, at any alignment; `self` proves that the machine has the instruction.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store_bytes(self, x: __m512i, to: &mut [u8; 64]) {
        // SAFETY: as in `load_bytes`.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), x) }
    }

    #[inline(always)]
    fn spread(self, from: &[u8; 16]) -> __m512i {
        // SAFETY: 16 bytes, at any alignment; `self` proves that the machine has the instructions.
        unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(from.as_ptr().cast())) }
    }

    #[inline(always)]
    fn bits(self, x: __m512) -> __m512i {
        call!(_mm512_castps_si512(x))
    }

    #[inline(always)]
    fn float(self, bits: __m512i) -> __m512 {
        call!(_mm512_castsi512_ps(bits))
    }

    #[inline(always)]
    fn to_int(self, x: __m512) -> __m512i {
        call!(_mm512_cvttps_epi32(x))
    }

    #[inline(always)]
    fn to_float(self, x: __m512i) -> __m512 {
        call!(_mm512_cvtepi32_ps(x))
    }

    #[inline(always)]
    fn half_to_float(self, x: __m512i) -> __m512 {
        call!(_mm512_cvtph_ps(_mm512_cvtepi32_epi16(x)))
    }

    #[inline(always)]
    fn add_int(self, a: __m512i, b: __m512i) -> __m512i {
        call!(_mm512_add_epi32(a, b))
    }

    #[inline(always)]
    fn sub_int(self, a: __m512i, b: __m512i) -> __m512i {
        call!(_mm512_sub_epi32(a, b))
    }

    #[inline(always)]
    fn and(self, a: __m512i, b: __m512i) -> __m512i {
        call!(_mm512_and_si512(a, b))
    }

    #[inline(always)]
    fn or(self, a: __m512i, b: __m512i) -> __m512i {
        call!(_mm512_or_si512(a, b))
    }

    #[inline(always)]
    fn xor(self, a: __m512i, b: __m512i) -> __m512i {
        call!(_mm512_xor_si512(a, b))
    }

    #[inline(always)]
    fn max_int(self, a: __m512i, b: __m512i) -> __m512i {
        call!(_mm512_max_epi32(a, b))
    }

    #[inline(always)]
    fn largest_int(self, x: __m512i) -> i32 {
        call!(_mm512_reduce_max_epi32(x))
    }

    #[inline(always)]
    fn shl(self, x: __m512i, n: u32) -> __m512i {
        call!(_mm512_sll_epi32(x, _mm_cvtsi32_si128(n.cast_signed())))
    }

    #[inline(always)]
    fn shr(self, x: __m512i, n: u32) -> __m512i {
        call!(_mm512_srl_epi32(x, _mm_cvtsi32_si128(n.cast_signed())))
    }

    #[inline(always)]
    fn sar(self, x: __m512i, n: u32) -> __m512i {
        call!(_mm512_sra_epi32(x, _mm_cvtsi32_si128(n.cast_signed())))
    }

    #[inline(always)]
    fn look_up(self, table: &[i8; 16], x: __m512i) -> __m512i {
        // SAFETY: the table has 16 bytes, at any alignment; `self` proves that the machine has the instructions.
        unsafe { _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast())), x) }
    }

    #[inline(always)]
    fn transpose(self, rows: [&[u8; 16]; 16]) -> [__m512i; 4] {
        // SAFETY: each row has 16 bytes, at any alignment; `self` proves that the machine has the instructions.
        unsafe {
            // Quarter q of vector r is row 4q + r.
            let mut quads = [_mm512_setzero_si512(); 4];
            for r in 0..4 {
                let quad = _mm512_castsi128_si512(_mm_loadu_si128(rows[r].as_ptr().cast()));
                let quad = _mm512_inserti32x4::<1>(quad, _mm_loadu_si128(rows[4 + r].as_ptr().cast()));
                let quad = _mm512_inserti32x4::<2>(quad, _mm_loadu_si128(rows[8 + r].as_ptr().cast()));
                quads[r] = _mm512_inserti32x4::<3>(quad, _mm_loadu_si128(rows[12 + r].as_ptr().cast()));
            }
            let [r0, r1, r2, r3] = quads;
            let [a, b] = [_mm512_unpacklo_epi32(r0, r1), _mm512_unpackhi_epi32(r0, r1)];
            let [c, d] = [_mm512_unpacklo_epi32(r2, r3), _mm512_unpackhi_epi32(r2, r3)];
            [
                _mm512_unpacklo_epi64(a, c),
                _mm512_unpackhi_epi64(a, c),
                _mm512_unpacklo_epi64(b, d),
                _mm512_unpackhi_epi64(b, d),
            ]
        }
    }

    #[inline(always)]
    fn narrow(self, x: [__m512i; 4], to: &mut [i8; 64]) {
        for (x, to) in x.into_iter().zip(to.as_chunks_mut::<16>().0) {
            // SAFETY: 16 bytes, at any alignment; `self` proves that the machine has the instructions.
            unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(x)) }
        }
    }

    #[inline(always)]
    fn narrow_words(self, x: __m512i, to: &mut [i16; 16]) {
        // SAFETY: 32 bytes, at any alignment; `self` proves that the machine has the instructions.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi16(x)) }
    }

    #[inline(always)]
    fn now(self, x: __m512) -> __m512 {
        call!(now(x))
    }

    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        ask(at);
    }

    #[inline(always)]
    fn prefetch_far(self, at: *const u8) {
        ask_far(at);
    }

    #[inline(always)]
    fn no_products(self) -> __m512i {
        self.splat_int(0)
    }

    /// VNNI sums four products in 32 bits at once: partial sums are whole ones.
    #[inline(always)]
    fn products(self, sums: __m512i, weights: __m512i, activations: __m512i) -> __m512i {
        call!(_mm512_dpbusd_epi32(sums, weights, activations))
    }

    #[inline(always)]
    fn widen(self, sums: __m512i, partial: __m512i) -> __m512i {
        self.add_int(sums, partial)
    }

    #[inline(always)]
    fn whole_products(self, sums: __m512i, weights: __m512i, activations: __m512i) -> __m512i {
        self.products(sums, weights, activations)
    }

    /// VNNI's first factors are unsigned: flipping the sign bit adds 128.
    #[inline(always)]
    fn wide(self, weights: __m512i) -> __m512i {
        self.xor(weights, self.splat_int(0x8080_8080u32.cast_signed()))
    }

    #[inline(always)]
    fn wide_look_up(self, table: &[i8; 16], x: __m512i) -> __m512i {
        let mut wide = *table;
        for entry in &mut wide {
            *entry ^= i8::MIN;
        }
        self.look_up(&wide, x)
    }

    #[inline(always)]
    fn word_products(self, sums: __m512i, a: __m512i, b: __m512i) -> __m512i {
        call!(_mm512_dpwssd_epi32(sums, a, b))
    }

    #[inline(always)]
    fn wide_products(self, sums: __m512i, weights: __m512i, activations: __m512i) -> __m512i {
        self.products(sums, weights, activations)
    }

    /// The instruction multiplies upper halves first, with two roundings, and takes denormals for zero.
    #[inline(always)]
    fn pairs(self, sums: __m512, weights: __m512i, activations: [u32; 2]) -> __m512 {
        if BF16 {
            // SAFETY: 64 bytes are 32 halves; `self` proves that the machine has the instruction.
            unsafe {
                let halves = std::mem::transmute::<__m512i, __m512bh>;
                let activations = _mm512_set1_epi32(activations[0].cast_signed());
                _mm512_dpbf16_ps(sums, halves(activations), halves(weights))
            }
        } else {
            fused_pairs(self, sums, weights, activations)
        }
    }
}
