//! Bit planes: the one pattern in which all these types store their small fields.
//!
//! A plane cuts its bytes into stretches of `STRIDE`. A stretch holds `STRIDE * 8 / BITS` fields: the lowest bits of
//! its bytes are the first `STRIDE` fields, the next higher bits the next `STRIDE`, and so on. Quants of more bits
//! than a plane has are split over two planes.

/// Fields of `BITS` bits in stretches of `STRIDE` bytes.
pub(super) struct Plane<const BITS: usize, const STRIDE: usize>;

impl<const BITS: usize, const STRIDE: usize> Plane<BITS, STRIDE> {
    const MASK: u8 = (1 << BITS) - 1;
    const RUNS: usize = 8 / BITS;

    /// Adds the fields, moved left by `left` bits, to `quants`.
    pub(super) fn add_to(bytes: &[u8], left: u32, quants: &mut [i8]) {
        for (run, quants) in quants.chunks_exact_mut(STRIDE).enumerate() {
            let (start, shift) = Self::place(run);
            for (quant, byte) in quants.iter_mut().zip(&bytes[start..start + STRIDE]) {
                *quant += (((byte >> shift) & Self::MASK) << left) as i8;
            }
        }
    }

    /// Stores `BITS` bits of each code, from bit `right` up, in zeroed bytes.
    pub(super) fn put(codes: &[u8], right: u32, bytes: &mut [u8]) {
        for (run, codes) in codes.chunks_exact(STRIDE).enumerate() {
            let (start, shift) = Self::place(run);
            for (byte, code) in bytes[start..start + STRIDE].iter_mut().zip(codes) {
                *byte |= ((code >> right) & Self::MASK) << shift;
            }
        }
    }

    /// The first byte and the shift of a run of `STRIDE` fields.
    fn place(run: usize) -> (usize, usize) {
        (run / Self::RUNS * STRIDE, run % Self::RUNS * BITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_planes_hold_six_bits() {
        let codes: Vec<u8> = (0..256).map(|i| (i * 7 % 64) as u8).collect();
        let (mut low, mut high) = ([0; 128], [0; 64]);
        Plane::<4, 64>::put(&codes, 0, &mut low);
        Plane::<2, 32>::put(&codes, 4, &mut high);
        let mut quants = [0; 256];
        Plane::<4, 64>::add_to(&low, 0, &mut quants);
        Plane::<2, 32>::add_to(&high, 4, &mut quants);
        assert!(quants.iter().zip(&codes).all(|(&quant, &code)| quant == code as i8));
    }

    #[test]
    fn a_stride_of_one_is_little_endian_bits() {
        let mut quants = [0; 8];
        Plane::<1, 1>::add_to(&[0b1000_0011], 0, &mut quants);
        assert_eq!(quants, [1, 1, 0, 0, 0, 0, 0, 1]);
    }
}
