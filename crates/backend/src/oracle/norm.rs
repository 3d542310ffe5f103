//! RMS norm (Zhang and Sennrich 2019). `docs/arithmetic.md`, "Norm".

use crate::math;

/// `x / rms(x) * weight`; no weight: one.
pub fn norm(x: &[f32], weight: Option<&[f32]>, eps: f32) -> Vec<f32> {
    let r = math::inverse_rms(x, eps);
    match weight {
        None => x.iter().map(|x| x * r).collect(),
        Some(weight) => {
            assert_eq!(x.len(), weight.len(), "norm of {} values with {} weights", x.len(), weight.len());
            x.iter().zip(weight).map(|(x, weight)| (x * r) * weight).collect()
        }
    }
}
