//! Measuring a made-up model: everything but how fast it is.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use dewdrop::machine::limits::Peak;
use dewdrop::{Cancel, Checkpoint, Options, Prepared, recognize};
use dewdrop_lab::bench::{
    BenchError, Checked, Limits, Mixture, Rig, Shape, Synthetic, Test, TestKind, Yardstick, check,
};

/// A budget is the whole process's: tests take turns.
static TURN: Mutex<()> = Mutex::new(());

/// Limits of no machine in particular.
fn yardstick() -> Yardstick {
    let peak = Peak { per_second: 1e12, instructions: "made up" };
    Yardstick::fixed(&Limits { threads: 2, isa: "", read: 1e12, integers: peak, bf16: peak, floats: peak })
}

#[test]
fn a_made_up_model_is_compared_and_timed() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // Convolutions, whose state cannot go back to a depth, and attention.
    let shape = Shape::named("lfm2-350m").unwrap();
    let synthetic = Synthetic::new(shape, Mixture::named("Q4_0").unwrap()).unwrap();
    let checkpoint = Arc::new(synthetic.in_memory(2).unwrap());
    let model = recognize(&checkpoint).unwrap();
    let options = Options { threads: Some(2), ..Options::default() };
    let checked = check(&checkpoint, &model, &options).unwrap();
    assert_eq!(checked, Checked { layers: vec![0, 2], n_rows: 26 });

    let cancel = Cancel::default();
    let mut rig = Rig::new(Prepared::new(checkpoint, options).unwrap(), cancel.clone()).unwrap();
    for kind in [TestKind::Prompt, TestKind::Generation] {
        let test = Test { kind, n_tokens: 3, depth: 2, chunk: 2 };
        let figure = rig.figure(test, 2, &yardstick()).unwrap();
        assert_eq!(figure.seconds.len(), 2);
        assert!(figure.share() > 0.0 && figure.share().is_finite());
    }
    let cost = rig.cost(3, 2, 1, &yardstick()).unwrap();
    assert!((cost.n_rows, cost.depth, cost.seconds.len()) == (3, 2, 1) && cost.least > 0.0);
    let too_deep = Test { kind: TestKind::Prompt, n_tokens: 1, depth: 128_000, chunk: 512 };
    assert!(matches!(
        rig.figure(too_deep, 1, &yardstick()),
        Err(BenchError::Context { asked: 128_001, most: 128_000 })
    ));
    cancel.cancel();
    assert!(matches!(rig.cost(1, 0, 1, &yardstick()), Err(BenchError::Cancelled)));
}

#[test]
fn streaming_is_measured_within_a_budget() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/dew-10m.gguf");
    let options = Options { threads: Some(2), context: Some(64), chunk: Some(16), ..Options::default() };
    let prepare = |memory| {
        let checkpoint = Checkpoint::open(&model).unwrap();
        Prepared::new(checkpoint, Options { memory: Some(memory), ..options.clone() }).unwrap()
    };
    let least = prepare(1).plan(1).unwrap_err().least;
    let mut rig = Rig::new(prepare(least + (2 << 20)), Cancel::default()).unwrap();
    let plan = rig.engine().plan().unwrap();
    assert!(plan.streamed > 0);
    let prompt = Test { kind: TestKind::Prompt, n_tokens: 32, depth: 0, chunk: 16 };
    for (test, n_passes) in [(prompt, 2), (Test { kind: TestKind::Generation, n_tokens: 8, ..prompt }, 8)] {
        let figure = rig.figure(test, 2, &yardstick()).unwrap();
        let streamed = figure.streamed.unwrap();
        let passes = 2 * n_passes * plan.streamed;
        // What is under way before and after aside.
        assert!(streamed.bytes_read.abs_diff(passes) < plan.streamed, "{} of {passes}", streamed.bytes_read);
        assert!(streamed.stalled.as_secs_f64() <= figure.seconds.iter().sum());
        assert!(streamed.predicted.is_some_and(|speed| speed > 0.0) && figure.least.len() == 2);
    }
    assert!(matches!(rig.cost(17, 0, 1, &yardstick()), Err(BenchError::Rows { asked: 17, most: 16 })));
}
