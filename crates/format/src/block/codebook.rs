//! Codebooks: types whose codes name values from a list of 16.

use super::plane::Plane;

/// Sixteen values that a 4-bit code can mean.
pub(super) struct Codebook(pub(super) [i8; 16]);

impl Codebook {
    /// The values of codes that lie in stretches of 16 bytes, low nibbles first.
    pub(super) fn unpack(&self, bytes: &[u8], quants: &mut [i8]) {
        quants.fill(0);
        Plane::<4, 16>::add_to(bytes, 0, quants);
        for quant in quants {
            *quant = self.0[usize::from(quant.cast_unsigned())];
        }
    }

    /// The code whose value lies nearest to `x`; of equally near ones the first.
    pub(super) fn nearest(&self, x: f32) -> u8 {
        // Beyond all values, so that the distances of even an infinite `x` can be told apart.
        let x = x.clamp(-512.0, 512.0);
        let mut best = (0, f32::INFINITY);
        for (code, &value) in (0..).zip(&self.0) {
            let distance = (x - f32::from(value)).abs();
            if distance < best.1 {
                best = (code, distance);
            }
        }
        best.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::iq4_nl::CODEBOOK;

    #[test]
    fn nearest_knows_both_ends() {
        assert_eq!(CODEBOOK.nearest(f32::NEG_INFINITY), 0);
        assert_eq!(CODEBOOK.nearest(0.0), 8);
        assert_eq!(CODEBOOK.nearest(f32::INFINITY), 15);
    }
}
