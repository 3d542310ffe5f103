//! Straightforward f64 mathematics of the operations.

pub(crate) fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

pub(crate) fn silu(x: f64) -> f64 {
    x * sigmoid(x)
}

pub(crate) fn gelu_tanh(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
}

pub(crate) fn softplus(x: f64) -> f64 {
    x.exp().ln_1p()
}

pub(crate) fn norm(x: &[f64], weight: &[f64], eps: f64) -> Vec<f64> {
    let rms = (dot(x, x) / x.len() as f64 + eps).sqrt();
    x.iter().zip(weight).map(|(x, weight)| x / rms * weight).collect()
}

/// Turns pairs `(i, i + r/2)`.
pub(crate) fn rope(x: &mut [f64], frequencies: &[f64], position: usize) {
    let n = frequencies.len();
    for (i, frequency) in frequencies.iter().enumerate() {
        let (sin, cos) = (position as f64 * frequency).sin_cos();
        let (a, b) = (x[i], x[i + n]);
        (x[i], x[i + n]) = (a * cos - b * sin, b * cos + a * sin);
    }
}

/// Softmax attention of one head's query over keys and values by position.
pub(crate) fn attend(q: &[f64], keys: &[Vec<f64>], values: &[Vec<f64>], scale: f64) -> Vec<f64> {
    let scores: Vec<f64> = keys.iter().map(|key| scale * dot(q, key)).collect();
    let max = scores.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
    let weights: Vec<f64> = scores.iter().map(|score| (score - max).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let out = |i: usize| weights.iter().zip(values).map(|(w, v)| w * v[i]).sum::<f64>() / sum;
    (0..q.len()).map(out).collect()
}

/// Causal convolution of all inputs at time `t`, zero before the start; `taps`: `[channels, kernel]`.
pub(crate) fn conv(inputs: &[Vec<f64>], taps: &[f64], t: usize) -> Vec<f64> {
    let channels = inputs[0].len();
    let kernel = taps.len() / channels;
    let input = |back: usize, c: usize| if back <= t { inputs[t - back][c] } else { 0.0 };
    let channel = |c| (0..kernel).map(|j| taps[c * kernel + j] * input(kernel - 1 - j, c)).sum();
    (0..channels).map(channel).collect()
}

/// Fails where two rows differ by more than `tolerance` of the larger magnitude, or of 1.
pub(crate) fn assert_close(ours: &[f32], exact: &[f64], tolerance: f64, what: &str) {
    assert_eq!(ours.len(), exact.len(), "{what}");
    for (i, (ours, exact)) in ours.iter().zip(exact).enumerate() {
        let error = (f64::from(*ours) - exact).abs();
        assert!(error <= tolerance * exact.abs().max(1.0), "{what}, value {i}: {ours} for {exact}");
    }
}
