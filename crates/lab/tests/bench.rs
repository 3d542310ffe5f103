//! Measuring a made-up model: everything but how fast it is.

use std::sync::Arc;

use dewdrop::machine::limits::Peak;
use dewdrop::{Cancel, Options, recognize};
use dewdrop_lab::bench::{
    BenchError, Checked, Limits, Mixture, Rig, Shape, Synthetic, Test, TestKind, check,
};

/// Limits of no machine in particular.
fn limits() -> Limits {
    let peak = Peak { per_second: 1e12, instructions: "made up" };
    Limits { threads: 2, isa: "", read: 1e12, integers: peak, bf16: peak, floats: peak }
}

#[test]
fn a_made_up_model_is_compared_and_timed() {
    // Convolutions, whose state cannot go back to a depth, and attention.
    let shape = Shape::named("lfm2-350m").unwrap();
    let synthetic = Synthetic::new(shape, Mixture::named("Q4_0").unwrap()).unwrap();
    let checkpoint = Arc::new(synthetic.in_memory(2).unwrap());
    let model = recognize(&checkpoint).unwrap();
    let options = Options { threads: Some(2), ..Options::default() };
    let checked = check(&checkpoint, &model, &options).unwrap();
    assert_eq!(checked, Checked { layers: vec![0, 2], n_rows: 4 });

    let cancel = Cancel::default();
    let mut rig = Rig::new(&checkpoint, &model, &options, cancel.clone()).unwrap();
    for kind in [TestKind::Prompt, TestKind::Generation] {
        let test = Test { kind, n_tokens: 3, depth: 2, chunk: 2 };
        let figure = rig.figure(test, 2, &limits()).unwrap();
        assert_eq!(figure.seconds.len(), 2);
        assert!(figure.share() > 0.0 && figure.share().is_finite());
    }
    let cost = rig.cost(3, 2, 1, &limits()).unwrap();
    assert!((cost.n_rows, cost.depth, cost.seconds.len()) == (3, 2, 1) && cost.limit > 0.0);
    let too_deep = Test { kind: TestKind::Prompt, n_tokens: 1, depth: 128_000, chunk: 512 };
    assert!(matches!(
        rig.figure(too_deep, 1, &limits()),
        Err(BenchError::Context { asked: 128_001, most: 128_000 })
    ));
    cancel.cancel();
    assert!(matches!(rig.cost(1, 0, 1, &limits()), Err(BenchError::Cancelled)));
}
