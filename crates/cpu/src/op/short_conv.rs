//! Gated short convolution, a task per row; and the inputs that a convolution's taps meet.

use dewdrop_backend::{Register, ShortConv};

use crate::body::conv::{Conv, Finish};
use crate::disjoint::Disjoint;
use crate::pass::Pass;

impl Pass {
    /// `out = c * causal_conv(b * x)` of the three slices of `bcx`. `taps`: `[kernel, width]`.
    pub(crate) fn short_conv(
        &mut self,
        spec: &ShortConv,
        taps: &[f32],
        bias: Option<&[f32]>,
        bcx: Register,
        out: Register,
        state: u16,
    ) {
        let width = spec.width;
        assert_eq!(
            (self.registers.width(bcx), self.registers.width(out)),
            (3 * width, width),
            "short convolution"
        );
        let mut values = self.registers.take_spare(out);
        let rows = self.registers.get(bcx);
        let inputs: Vec<f32> = rows
            .chunks_exact(3 * width)
            .flat_map(|row| row[..width].iter().zip(&row[2 * width..]).map(|(b, x)| b * x))
            .collect();
        let histories = Histories::new(self, state, &inputs, width);
        let (isa, target) = (self.isa, Disjoint::new(&mut values));
        self.pool.run(self.rows.len(), &|_, row| {
            let gate = &rows[row * 3 * width + width..][..width];
            // SAFETY: a row of the target is its task's alone.
            let out = unsafe { target.part(row * width..(row + 1) * width) };
            let inputs = &histories.inputs(row, &inputs);
            let finish = Finish::Gate { gate, bias };
            isa.run(Conv { inputs, taps, channels: width, first: 0, finish, out });
        });
        histories.advance(self, state, &inputs);
        self.registers.put(out, values);
    }
}

/// For every row of a pass, where the inputs of its convolution lie.
pub(crate) struct Histories {
    channels: usize,
    /// Inputs kept by each row's sequence, `[history, channels]`, oldest first.
    kept: Vec<Vec<f32>>,
    /// For each row the rows before it in its sequence, oldest first, itself last; at most a kernel of them.
    rows: Vec<Vec<usize>>,
    /// Index in `kept` for each row.
    of_row: Vec<usize>,
}

impl Histories {
    /// Of recurrent state `state`; `inputs` are this pass's, `[n_rows, channels]`.
    pub(crate) fn new(pass: &Pass, state: u16, inputs: &[f32], channels: usize) -> Self {
        let n_rows = inputs.len() / channels;
        let mut histories =
            Histories { channels, kept: Vec::new(), rows: vec![Vec::new(); n_rows], of_row: vec![0; n_rows] };
        for (id, rows) in &pass.by_sequence {
            let recurrent = pass.sequences.get(*id).recurrent(state.into());
            assert_eq!(recurrent.channels(), channels, "channels of a convolution's state");
            let kernel = recurrent.history().len() / channels + 1;
            for (i, &row) in rows.iter().enumerate() {
                histories.rows[row] = rows[(i + 1).saturating_sub(kernel)..=i].to_vec();
                histories.of_row[row] = histories.kept.len();
            }
            histories.kept.push(recurrent.history().to_vec());
        }
        histories
    }

    /// What the taps of a row meet, oldest first.
    pub(crate) fn inputs<'a>(&'a self, row: usize, inputs: &'a [f32]) -> Vec<&'a [f32]> {
        let kept = self.kept[self.of_row[row]].chunks_exact(self.channels);
        // As many of the kept inputs as there are fewer rows than taps.
        let skip = self.rows[row].len() - 1;
        let rows = self.rows[row].iter().map(|&row| &inputs[row * self.channels..][..self.channels]);
        kept.skip(skip).chain(rows).collect()
    }

    /// Moves the sequences' histories on.
    pub(crate) fn advance(&self, pass: &mut Pass, state: u16, inputs: &[f32]) {
        for (id, rows) in &pass.by_sequence {
            let last = self.inputs(*rows.last().expect("a sequence in a pass has rows"), inputs);
            let history = pass.sequences.get_mut(*id).recurrent_mut(state.into()).history_mut();
            for (kept, input) in history.chunks_exact_mut(self.channels).zip(&last[1..]) {
                kept.copy_from_slice(input);
            }
        }
    }
}
