//! AVX2 with FMA and F16C: sixteen lanes are two registers of eight.

use std::arch::asm;
use std::arch::x86_64::*;

use crate::lanes::{Job, Lanes};

/// Proof that this machine has AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// The token, if this machine runs it.
    pub(crate) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        found.then_some(Avx2(()))
    }

    /// Runs a job with the instruction set enabled.
    pub(crate) fn run<J: Job>(self, job: J) -> J::Output {
        // SAFETY: a token exists only where `detect` has found what `enter` enables.
        unsafe { enter(self, job) }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn enter<J: Job>(lanes: Avx2, job: J) -> J::Output {
    job.run(lanes)
}

/// Writes a method over both registers: `each!(a, b => intrinsic)`.
macro_rules! each {
    ($($x:ident),+ => $intrinsic:ident $(::<$n:tt>)?) => {
        // SAFETY: `self` proves that the machine has the instruction.
        unsafe { [$intrinsic $(::<$n>)? ($($x[0]),+), $intrinsic $(::<$n>)? ($($x[1]),+)] }
    };
}

/// Asks for a cache line. Written out, since compilers gather the intrinsic's many in one place, where the processor waits
/// until it can ask for all of them; these stay among the work that they stand in.
#[inline(always)]
pub(super) fn ask(at: *const u8) {
    // SAFETY: a hint, which touches no memory; every x86-64 has the instruction.
    unsafe { asm!("prefetcht0 [{}]", in(reg) at.addr(), options(nomem, nostack, preserves_flags)) }
}

/// As [`ask`], for the second cache.
#[inline(always)]
pub(super) fn ask_far(at: *const u8) {
    // SAFETY: as in `ask`.
    unsafe { asm!("prefetcht1 [{}]", in(reg) at.addr(), options(nomem, nostack, preserves_flags)) }
}

impl Lanes for Avx2 {
    type F = [__m256; 2];
    type I = [__m256i; 2];
    type P = [__m256i; 2];

    const WIDE_BIAS: i32 = 0;
    const WHOLE: bool = false;
    const WIDE: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> [__m256; 2] {
        // SAFETY: `self` proves that the machine has the instruction.
        unsafe { [_mm256_set1_ps(x); 2] }
    }

    #[inline(always)]
    fn load(self, from: &[f32; 16]) -> [__m256; 2] {
        // SAFETY: two times 8 of 16 floats; the instruction as above.
        unsafe { [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))] }
    }

    #[inline(always)]
    fn store(self, x: [__m256; 2], to: &mut [f32; 16]) {
        let to = to.as_mut_ptr();
        // SAFETY: two times 8 of 16 floats; the instruction as above.
        unsafe {
            _mm256_storeu_ps(to, x[0]);
            _mm256_storeu_ps(to.add(8), x[1]);
        }
    }

    #[inline(always)]
    fn add(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        each!(a, b => _mm256_add_ps)
    }

    #[inline(always)]
    fn sub(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        each!(a, b => _mm256_sub_ps)
    }

    #[inline(always)]
    fn mul(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        each!(a, b => _mm256_mul_ps)
    }

    #[inline(always)]
    fn div(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        each!(a, b => _mm256_div_ps)
    }

    #[inline(always)]
    fn fma(self, a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
        each!(a, b, c => _mm256_fmadd_ps)
    }

    #[inline(always)]
    fn max(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        each!(a, b => _mm256_max_ps)
    }

    #[inline(always)]
    fn min(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        each!(a, b => _mm256_min_ps)
    }

    #[inline(always)]
    fn round(self, x: [__m256; 2]) -> [__m256; 2] {
        each!(x => _mm256_round_ps::<8>) // to nearest even, no exceptions
    }

    #[inline(always)]
    fn select(self, mask: [__m256i; 2], a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        let mask = self.float(mask);
        each!(b, a, mask => _mm256_blendv_ps)
    }

    #[inline(always)]
    fn less(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256i; 2] {
        let mask = each!(a, b => _mm256_cmp_ps::<_CMP_LT_OQ>);
        self.bits(mask)
    }

    #[inline(always)]
    fn sum(self, x: [__m256; 2]) -> f32 {
        // SAFETY: `self` proves that the machine has the instructions.
        unsafe {
            let eight = _mm256_add_ps(x[0], x[1]);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    fn largest(self, x: [__m256; 2]) -> f32 {
        // SAFETY: `self` proves that the machine has the instructions.
        unsafe {
            let eight = _mm256_max_ps(x[0], x[1]);
            let four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    fn load_half(self, from: &[u16; 16]) -> [__m256; 2] {
        let from = from.as_ptr().cast::<__m128i>();
        // SAFETY: two times 8 of 16 halves, at any alignment; the instructions as above.
        unsafe { [_mm256_cvtph_ps(_mm_loadu_si128(from)), _mm256_cvtph_ps(_mm_loadu_si128(from.add(1)))] }
    }

    #[inline(always)]
    fn load_upper(self, from: &[u16; 16]) -> [__m256; 2] {
        let from = from.as_ptr().cast::<__m128i>();
        // SAFETY: two times 8 of 16 halves, at any alignment; the instructions as above.
        unsafe {
            let low = _mm256_cvtepu16_epi32(_mm_loadu_si128(from));
            let high = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.add(1)));
            [
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(low)),
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(high)),
            ]
        }
    }

    #[inline(always)]
    fn store_half(self, x: [__m256; 2], to: &mut [u16; 16]) {
        let to = to.as_mut_ptr().cast::<__m128i>();
        // SAFETY: two times 8 of 16 halves, at any alignment; the instructions as above. 0: to nearest even.
        unsafe {
            _mm_storeu_si128(to, _mm256_cvtps_ph::<0>(x[0]));
            _mm_storeu_si128(to.add(1), _mm256_cvtps_ph::<0>(x[1]));
        }
    }

    #[inline(always)]
    fn splat_int(self, x: i32) -> [__m256i; 2] {
        // SAFETY: `self` proves that the machine has the instruction.
        unsafe { [_mm256_set1_epi32(x); 2] }
    }

    #[inline(always)]
    fn load_bytes(self, from: &[u8; 64]) -> [__m256i; 2] {
        let from = from.as_ptr().cast::<__m256i>();
        // SAFETY: two times 32 of 64 bytes, at any alignment; the instruction as above.
        unsafe { [_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1))] }
    }

    #[inline(always)]
    fn store_bytes(self, x: [__m256i; 2], to: &mut [u8; 64]) {
        let to = to.as_mut_ptr().cast::<__m256i>();
        // SAFETY: two times 32 of 64 bytes, at any alignment; the instruction as above.
        unsafe {
            _mm256_storeu_si256(to, x[0]);
            _mm256_storeu_si256(to.add(1), x[1]);
        }
    }

    #[inline(always)]
    fn spread(self, from: &[u8; 16]) -> [__m256i; 2] {
        // SAFETY: 16 bytes, at any alignment; `self` proves that the machine has the instructions.
        unsafe {
            let bytes = _mm_loadu_si128(from.as_ptr().cast());
            [_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(bytes))]
        }
    }

    #[inline(always)]
    fn bits(self, x: [__m256; 2]) -> [__m256i; 2] {
        each!(x => _mm256_castps_si256)
    }

    #[inline(always)]
    fn float(self, bits: [__m256i; 2]) -> [__m256; 2] {
        each!(bits => _mm256_castsi256_ps)
    }

    #[inline(always)]
    fn to_int(self, x: [__m256; 2]) -> [__m256i; 2] {
        each!(x => _mm256_cvttps_epi32)
    }

    #[inline(always)]
    fn to_float(self, x: [__m256i; 2]) -> [__m256; 2] {
        each!(x => _mm256_cvtepi32_ps)
    }

    #[inline(always)]
    fn half_to_float(self, x: [__m256i; 2]) -> [__m256; 2] {
        let low = self.and(x, self.splat_int(0xffff));
        // SAFETY: `self` proves that the machine has the instructions. Packing works on 128-bit halves: its quarters
        // come out in the order 0 2 1 3, which 0b11_01_10_00 puts right.
        unsafe {
            let packed = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(low[0], low[1]));
            let halves = [_mm256_castsi256_si128(packed), _mm256_extracti128_si256::<1>(packed)];
            [_mm256_cvtph_ps(halves[0]), _mm256_cvtph_ps(halves[1])]
        }
    }

    #[inline(always)]
    fn add_int(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        each!(a, b => _mm256_add_epi32)
    }

    #[inline(always)]
    fn sub_int(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        each!(a, b => _mm256_sub_epi32)
    }

    #[inline(always)]
    fn and(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        each!(a, b => _mm256_and_si256)
    }

    #[inline(always)]
    fn or(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        each!(a, b => _mm256_or_si256)
    }

    #[inline(always)]
    fn xor(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        each!(a, b => _mm256_xor_si256)
    }

    #[inline(always)]
    fn max_int(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        each!(a, b => _mm256_max_epi32)
    }

    #[inline(always)]
    fn largest_int(self, x: [__m256i; 2]) -> i32 {
        // SAFETY: `self` proves that the machine has the instructions.
        unsafe {
            let eight = _mm256_max_epi32(x[0], x[1]);
            let four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256::<1>(eight));
            let two = _mm_max_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
            _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two)))
        }
    }

    #[inline(always)]
    fn shl(self, x: [__m256i; 2], n: u32) -> [__m256i; 2] {
        // SAFETY: `self` proves that the machine has the instruction.
        unsafe {
            let n = _mm_cvtsi32_si128(n.cast_signed());
            [_mm256_sll_epi32(x[0], n), _mm256_sll_epi32(x[1], n)]
        }
    }

    #[inline(always)]
    fn shr(self, x: [__m256i; 2], n: u32) -> [__m256i; 2] {
        // SAFETY: `self` proves that the machine has the instruction.
        unsafe {
            let n = _mm_cvtsi32_si128(n.cast_signed());
            [_mm256_srl_epi32(x[0], n), _mm256_srl_epi32(x[1], n)]
        }
    }

    #[inline(always)]
    fn sar(self, x: [__m256i; 2], n: u32) -> [__m256i; 2] {
        // SAFETY: `self` proves that the machine has the instruction.
        unsafe {
            let n = _mm_cvtsi32_si128(n.cast_signed());
            [_mm256_sra_epi32(x[0], n), _mm256_sra_epi32(x[1], n)]
        }
    }

    #[inline(always)]
    fn look_up(self, table: &[i8; 16], x: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: the table has 16 bytes, at any alignment; `self` proves that the machine has the instructions.
        let table = unsafe { [_mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast())); 2] };
        each!(table, x => _mm256_shuffle_epi8)
    }

    #[inline(always)]
    fn transpose(self, rows: [&[u8; 16]; 16]) -> [[__m256i; 2]; 4] {
        // SAFETY: each row has 16 bytes, at any alignment; `self` proves that the machine has the instructions.
        unsafe {
            let [a, b] = [eight_rows(&rows, 0), eight_rows(&rows, 8)];
            [[a[0], b[0]], [a[1], b[1]], [a[2], b[2]], [a[3], b[3]]]
        }
    }

    #[inline(always)]
    fn narrow(self, x: [[__m256i; 2]; 4], to: &mut [i8; 64]) {
        let [a, b, c, d] = x;
        for (half, to) in [[a, b], [c, d]].into_iter().zip(to.as_chunks_mut::<32>().0) {
            // SAFETY: 32 bytes, at any alignment; `self` proves that the machine has the instructions. Both packs work
            // on 128-bit halves; the permutation puts the eight lots of four bytes in order.
            unsafe {
                let low = _mm256_set1_epi32(0xff);
                let [p, q, r, s] = [half[0][0], half[0][1], half[1][0], half[1][1]];
                let first = _mm256_packus_epi32(_mm256_and_si256(p, low), _mm256_and_si256(q, low));
                let second = _mm256_packus_epi32(_mm256_and_si256(r, low), _mm256_and_si256(s, low));
                let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
                let bytes = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(first, second), order);
                _mm256_storeu_si256(to.as_mut_ptr().cast(), bytes);
            }
        }
    }

    #[inline(always)]
    fn narrow_words(self, x: [__m256i; 2], to: &mut [i16; 16]) {
        // SAFETY: 32 bytes, at any alignment; `self` proves that the machine has the instructions. The pack works on
        // 128-bit halves; the permutation puts the four lots of eight bytes in order.
        unsafe {
            let low = _mm256_set1_epi32(0xffff);
            let words = _mm256_packus_epi32(_mm256_and_si256(x[0], low), _mm256_and_si256(x[1], low));
            _mm256_storeu_si256(to.as_mut_ptr().cast(), _mm256_permute4x64_epi64::<0b11_01_10_00>(words));
        }
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
    fn no_products(self) -> [__m256i; 2] {
        self.splat_int(0)
    }

    /// Partial sums are pairs of 16-bit lanes.
    #[inline(always)]
    fn products(self, sums: [__m256i; 2], weights: [__m256i; 2], activations: [__m256i; 2]) -> [__m256i; 2] {
        let pairs = each!(weights, activations => _mm256_maddubs_epi16);
        each!(sums, pairs => _mm256_add_epi16)
    }

    #[inline(always)]
    fn widen(self, sums: [__m256i; 2], partial: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: `self` proves that the machine has the instruction.
        let ones = unsafe { [_mm256_set1_epi16(1); 2] };
        let lanes = each!(partial, ones => _mm256_madd_epi16);
        each!(sums, lanes => _mm256_add_epi32)
    }

    #[inline(always)]
    fn word_products(self, sums: [__m256i; 2], a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        let products = each!(a, b => _mm256_madd_epi16);
        each!(sums, products => _mm256_add_epi32)
    }

    /// `|w| * (a with w's sign)`: at most 128 * 127 each, so that a pair fits into 16 bits.
    #[inline(always)]
    fn wide_products(
        self,
        sums: [__m256i; 2],
        weights: [__m256i; 2],
        activations: [__m256i; 2],
    ) -> [__m256i; 2] {
        let magnitudes = each!(weights => _mm256_abs_epi8);
        let turned = each!(activations, weights => _mm256_sign_epi8);
        self.whole_products(sums, magnitudes, turned)
    }
}

/// Rows `first` to `first + 7`: lane j of vector k holds bytes 4k to 4k + 3 of row `first + j`.
///
/// # Safety
/// The machine has AVX2.
#[inline(always)]
unsafe fn eight_rows(rows: &[&[u8; 16]; 16], first: usize) -> [__m256i; 4] {
    // SAFETY: a row has 16 bytes, read at any alignment; the caller has AVX2.
    unsafe {
        let mut pairs = [_mm256_setzero_si256(); 4];
        for j in 0..4 {
            let low = _mm_loadu_si128(rows[first + j].as_ptr().cast());
            let high = _mm_loadu_si128(rows[first + j + 4].as_ptr().cast());
            pairs[j] = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high);
        }
        let [r0, r1, r2, r3] = pairs;
        let [a, b] = [_mm256_unpacklo_epi32(r0, r1), _mm256_unpackhi_epi32(r0, r1)];
        let [c, d] = [_mm256_unpacklo_epi32(r2, r3), _mm256_unpackhi_epi32(r2, r3)];
        [
            _mm256_unpacklo_epi64(a, c),
            _mm256_unpackhi_epi64(a, c),
            _mm256_unpacklo_epi64(b, d),
            _mm256_unpackhi_epi64(b, d),
        ]
    }
}
