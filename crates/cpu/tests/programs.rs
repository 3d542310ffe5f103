//! Whole programs: the CPU's bits are the oracle's, whatever the instruction set, the threads and the cut of the rows.

mod model;

use dewdrop_backend::oracle::Oracle;
use dewdrop_backend::{
    Arithmetic, Backend, KV_TYPES, KvType, KvTypes, LoadedId, Op, Register, Row, Section, SequenceId,
};
use dewdrop_cpu::{Cpu, instruction_sets};
use model::{Model, Shape};
use proptest::prelude::*;

/// A pass: for each row, which sequence it extends and whether it wants logits.
type Cut = Vec<(usize, bool)>;

/// A backend with a model loaded and three sequences open.
struct Run {
    backend: Box<dyn Backend>,
    loaded: Vec<LoadedId>,
    sequences: Vec<SequenceId>,
    lengths: Vec<usize>,
}

impl Run {
    fn new(mut backend: Box<dyn Backend>, model: &Model) -> Self {
        let load = |(i, weights): (usize, &Vec<_>)| backend.load(i, weights.clone()).expect("shapes fit");
        let loaded = model.weights.iter().enumerate().map(load).collect();
        let sequences = (0..3).map(|_| backend.open_sequence()).collect();
        Run { backend, loaded, sequences, lengths: vec![0; 3] }
    }

    /// All registers after each section, then the logits.
    fn pass(&mut self, model: &Model, cut: &Cut) -> Vec<Vec<f32>> {
        let rows: Vec<Row> =
            cut.iter().map(|&(sequence, wants_logits)| self.row(model, sequence, wants_logits)).collect();
        self.backend.begin(&rows).expect("rows continue their sequences");
        let mut seen = Vec::new();
        for (i, id) in self.loaded.iter().enumerate() {
            self.backend.run(i, *id).expect("sections run");
            // Registers that no section has written yet may hold anything.
            if i > 0 {
                seen.push(self.backend.read(model.program.residual));
            }
        }
        seen.extend((0..model.program.registers.len()).map(|r| self.backend.read(Register(r as u8))));
        seen.push(self.backend.logits().expect("finite logits").to_vec());
        seen
    }

    fn row(&mut self, model: &Model, sequence: usize, wants_logits: bool) -> Row {
        let position = self.lengths[sequence];
        self.lengths[sequence] += 1;
        let token = (position * 7 + sequence * 3) % model.program.n_vocab;
        Row { sequence: self.sequences[sequence], position, token: token as u32, wants_logits }
    }
}

fn bits(values: &[Vec<f32>]) -> Vec<Vec<u32>> {
    values.iter().map(|values| values.iter().map(|x| x.to_bits()).collect()).collect()
}

fn compare(model: &Model, arithmetic: Arithmetic, kv: KvTypes, cuts: &[Cut], threads: usize) {
    let mut oracle = Run::new(Box::new(Oracle::new(model.program.clone(), arithmetic, kv)), model);
    let wants: Vec<_> = cuts.iter().map(|cut| bits(&oracle.pass(model, cut))).collect();
    for isa in instruction_sets() {
        let cpu =
            Cpu::new(model.program.clone(), arithmetic, kv, threads, Some(isa)).expect("an available set");
        let mut cpu = Run::new(Box::new(cpu), model);
        for (i, (cut, want)) in cuts.iter().zip(&wants).enumerate() {
            let got = bits(&cpu.pass(model, cut));
            for (what, (got, want)) in got.iter().zip(want).enumerate() {
                let is_last = what + 1 == want.len();
                // What no later section reads may be gone.
                if got.is_empty() && !is_last {
                    continue;
                }
                assert_eq!(got.len(), want.len());
                let differ = got.iter().zip(want).position(|(got, want)| got != want);
                assert_eq!(
                    differ,
                    None,
                    "{isa}, pass {i}, value {what} of {}: {:?}",
                    want.len(),
                    model.shape
                );
            }
        }
    }
}

fn cuts() -> impl Strategy<Value = Vec<Cut>> {
    let row = (0..3usize, any::<bool>());
    prop::collection::vec(prop::collection::vec(row, 1..20), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn programs_have_the_oracles_bits(
        shape in model::shapes(),
        cuts in cuts(),
        most in prop::option::of(1_000..30_000u64),
        exact in any::<bool>(),
        keys in prop::sample::select(KV_TYPES.to_vec()),
        values in prop::sample::select(KV_TYPES.to_vec()),
        threads in 1..4usize,
    ) {
        let arithmetic = if exact { Arithmetic::Exact } else { Arithmetic::Quantized };
        let or_half = |kv: KvType| if kv.fits(shape.head_dim) { kv } else { KvType::F16 };
        let kv = KvTypes { keys: or_half(keys), values: or_half(values) };
        let model = Model::new(shape);
        compare(&most.map_or(model.clone(), |most| model.cut(most)), arithmetic, kv, &cuts, threads);
    }
}

/// Sections cut between operations and within them: the logits of the whole.
#[test]
fn cut_sections_do_not_show() {
    let logits = |backend: Box<dyn Backend>, model: &Model, cuts: &[Cut]| {
        let mut run = Run::new(backend, model);
        cuts.iter().map(|cut| run.pass(model, cut).pop().expect("logits")).collect::<Vec<_>>()
    };
    let cpu = |model: &Model| {
        let cpu = Cpu::new(model.program.clone(), Arithmetic::Quantized, KvType::F16, 2, None);
        Box::new(cpu.expect("the fastest set"))
    };
    let oracle =
        |model: &Model| Box::new(Oracle::new(model.program.clone(), Arithmetic::Quantized, KvType::F16));
    // More rows than a section takes at a time, a few, and one.
    let cuts: [Cut; 3] =
        [(0..140).map(|i| (0, i % 70 == 69)).collect(), vec![(0, true), (1, true)], vec![(1, true)]];
    for types in 0..8 {
        // Gates are cut together with what they let through where these have no bias and the result is apart.
        let is_gated = types % 2 == 1;
        let shape = Shape { types, n_vocab: 200, bias: !is_gated, glu_apart: is_gated, ..Shape::default() };
        let model = Model::new(shape);
        let cut = model.cut(8_000);
        let has_slices = |section: &Section| {
            section.ops.iter().any(|op| section.channels(op).is_some_and(|of| of.start > 0))
        };
        assert!(cut.program.sections.iter().filter(|section| has_slices(section)).count() > 10);
        let is_gate = |op: &Op| matches!(op, Op::Glu { channels, .. } if channels.start > 0);
        let n_gates = cut.program.sections.iter().flat_map(|section| &section.ops).filter(|op| is_gate(op));
        assert_eq!(n_gates.count() > 0, is_gated);
        let whole = logits(cpu(&model), &model, &cuts);
        assert_eq!(logits(cpu(&cut), &cut, &cuts), whole, "{:?}", model.shape);
        assert_eq!(logits(oracle(&cut), &cut, &cuts), whole, "{:?}", model.shape);
    }
}

/// More rows than a section takes at a time, of several sequences, some that want logits in each tile.
#[test]
fn many_rows_are_taken_in_tiles() {
    let row = |i: usize| ((i / 50 + i % 2) % 3, i % 60 == 7);
    let cuts = [(0..300).map(row).collect(), vec![(0, true), (2, false)], (0..129).map(row).collect()];
    for types in [0, 5] {
        let shape = Shape { types, ..Shape::default() };
        compare(&Model::new(shape), Arithmetic::Quantized, KvType::F16.into(), &cuts, 2);
    }
}

/// Long enough for several pages, with a window that begins within one.
#[test]
fn pages_and_windows() {
    for kv in KV_TYPES {
        for window in [None, Some(70), Some(64), Some(1)] {
            let shape = Shape { window, head_dim: 32, ..Shape::default() };
            let cuts =
                [vec![(0, false); 61], vec![(0, true); 5], vec![(0, false); 90], vec![(1, true), (0, true)]];
            compare(&Model::new(shape), Arithmetic::Quantized, kv.into(), &cuts, 2);
        }
    }
}

/// More query heads than go together, and fewer key/value heads than threads.
#[test]
fn many_heads_and_many_pages() {
    for (kv, group, n_kv_heads) in [(KvType::F16, 19, 1), (KvType::Q8_0, 18, 2), (KvType::BF16, 1, 1)] {
        let shape = Shape { group, n_kv_heads, head_dim: 32, ..Shape::default() };
        let cuts = [vec![(0, false); 150], vec![(0, true)], vec![(1, true), (0, true)]];
        compare(&Model::new(shape), Arithmetic::Quantized, kv.into(), &cuts, 3);
    }
}

/// A prompt at once, row by row, and beside others: equal logits.
#[test]
fn cuts_do_not_show() {
    let model = Model::new(Shape { head_dim: 64, ..Shape::default() });
    let cpu = |threads| {
        let cpu = Cpu::new(model.program.clone(), Arithmetic::Quantized, KvType::Q8_0, threads, None);
        Run::new(Box::new(cpu.expect("the fastest set")), &model)
    };
    let last = |run: &mut Run, cuts: &[Cut]| {
        cuts.iter().map(|cut| run.pass(&model, cut).pop().expect("logits")).last().expect("a pass")
    };
    let at_once = last(&mut cpu(2), &[(0..70).map(|i| (0, i == 69)).collect()]);
    let one_by_one: Vec<Cut> = (0..70).map(|i| vec![(0, i == 69)]).collect();
    assert_eq!(last(&mut cpu(3), &one_by_one), at_once);
    let beside: Cut = (0..70).flat_map(|i| [(1, false), (0, i == 69), (2, false)]).collect();
    assert_eq!(last(&mut cpu(1), &[beside]), at_once);
}

#[test]
fn unknown_instruction_sets_are_refused() {
    let model = Model::new(Shape::default());
    let error = Cpu::new(model.program.clone(), Arithmetic::Quantized, KvType::F16, 1, Some("mmx"));
    let error = error.err().expect("there is no such set").to_string();
    assert!(error.contains("`mmx`") && error.contains("portable"), "{error}");
}
