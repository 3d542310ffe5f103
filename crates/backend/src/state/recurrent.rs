//! What a convolution or a delta rule keeps of one sequence.

/// The last inputs of a convolution and, for the delta rule, a matrix per value head.
#[derive(Clone, Debug, PartialEq)]
pub struct RecurrentState {
    channels: usize,
    matrix_len: usize,
    history: Vec<f32>,
    matrices: Vec<f32>,
}

impl RecurrentState {
    /// All zero: `history` inputs of `channels`, and `n_heads` matrices `[key_dim, value_dim]`.
    pub fn new(channels: usize, history: usize, n_heads: usize, key_dim: usize, value_dim: usize) -> Self {
        RecurrentState {
            channels,
            matrix_len: key_dim * value_dim,
            history: vec![0.0; history * channels],
            matrices: vec![0.0; n_heads * key_dim * value_dim],
        }
    }

    /// Channels of the convolution.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The last inputs, oldest first, `[history, channels]`.
    pub fn history(&self) -> &[f32] {
        &self.history
    }

    /// The last inputs, to be written.
    pub fn history_mut(&mut self) -> &mut [f32] {
        &mut self.history
    }

    /// Drops the oldest input and appends `input`, `[channels]`.
    pub fn push(&mut self, input: &[f32]) {
        assert_eq!(input.len(), self.channels, "input of a convolution of {} channels", self.channels);
        if !self.history.is_empty() {
            self.history.copy_within(self.channels.., 0);
            let newest = self.history.len() - self.channels;
            self.history[newest..].copy_from_slice(input);
        }
    }

    /// All matrices, `[n_heads, key_dim, value_dim]`.
    pub fn matrices(&self) -> &[f32] {
        &self.matrices
    }

    /// History and matrices, to be written.
    pub fn parts_mut(&mut self) -> (&mut [f32], &mut [f32]) {
        (&mut self.history, &mut self.matrices)
    }

    /// One head's matrix, `[key_dim, value_dim]`.
    pub fn matrix_mut(&mut self, head: usize) -> &mut [f32] {
        &mut self.matrices[head * self.matrix_len..][..self.matrix_len]
    }

    /// Back to the beginning of the sequence.
    pub fn reset(&mut self) {
        self.history.fill(0.0);
        self.matrices.fill(0.0);
    }

    /// Bytes it takes.
    pub fn bytes(&self) -> usize {
        (self.history.len() + self.matrices.len()) * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_moves_by_one() {
        let mut state = RecurrentState::new(2, 2, 0, 0, 0);
        for i in 0..3 {
            state.push(&[i as f32, 10.0 + i as f32]);
        }
        assert_eq!(state.history(), [1.0, 11.0, 2.0, 12.0]);
        state.reset();
        assert_eq!(state, RecurrentState::new(2, 2, 0, 0, 0));
        RecurrentState::new(2, 0, 0, 0, 0).push(&[1.0, 2.0]);
    }

    #[test]
    fn matrices_follow_each_other() {
        let mut state = RecurrentState::new(1, 1, 2, 2, 3);
        state.matrix_mut(1)[4] = 1.0;
        assert_eq!(state.matrices()[6 + 4], 1.0);
        assert_eq!(state.bytes(), (1 + 12) * 4);
    }
}
