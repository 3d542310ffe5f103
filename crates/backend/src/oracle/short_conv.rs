//! Causal depthwise convolution, bare and gated. `docs/arithmetic.md`, "ShortConv".

use crate::ShortConv;
use crate::state::RecurrentState;

/// Convolves the state's history and `x` with `taps` (`[channels, kernel]`, the last meets `x`), then appends `x`.
pub fn causal_conv(state: &mut RecurrentState, taps: &[f32], x: &[f32]) -> Vec<f32> {
    let channels = state.channels();
    assert_eq!(x.len(), channels, "inputs of a convolution of {channels} channels");
    let kernel = state.history().len() / channels + 1;
    assert_eq!(taps.len(), channels * kernel, "taps of a convolution of {channels} channels by {kernel}");
    let inputs = state.history().chunks_exact(channels).chain([x]);
    let mut out = vec![0f32; channels];
    for (t, input) in inputs.enumerate() {
        for c in 0..channels {
            out[c] = taps[c * kernel + t].mul_add(input[c], out[c]);
        }
    }
    state.push(x);
    out
}

/// `c * causal_conv(b * x)` of `bcx`, three slices of `width`.
pub fn short_conv(
    spec: &ShortConv,
    taps: &[f32],
    bias: Option<&[f32]>,
    bcx: &[f32],
    state: &mut RecurrentState,
) -> Vec<f32> {
    let width = spec.width;
    assert_eq!(bcx.len(), 3 * width, "inputs of a short convolution {width} wide");
    let (b, gate, x) = (&bcx[..width], &bcx[width..2 * width], &bcx[2 * width..]);
    let s: Vec<f32> = b.iter().zip(x).map(|(b, x)| b * x).collect();
    let mut out = causal_conv(state, taps, &s);
    for (i, out) in out.iter_mut().enumerate() {
        if let Some(bias) = bias {
            *out += bias[i];
        }
        *out *= gate[i];
    }
    out
}
