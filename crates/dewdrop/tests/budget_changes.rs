//! Budgets that change while an answer is under way: the same tokens, and errors that change nothing.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use dewdrop::{Cancel, Completion, Engine, Error, Event, Options, Request, Sampling};

/// Tokens of an answer.
const N: usize = 120;

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/dew-10m.gguf")
}

fn options(memory: Option<u64>) -> Options {
    Options { threads: Some(2), memory, ..Options::default() }
}

fn sampling() -> Sampling {
    Sampling { n: Some(N), seed: 11, ignore_end: true, ..Sampling::default() }
}

/// An answer, with `change` called before each of its tokens.
fn answer(engine: &Engine, mut change: impl FnMut(usize)) -> Vec<u32> {
    let mut session = engine.session().unwrap();
    session
        .prompt("The morning dew lay on the grass when the first of them came out of the house and")
        .unwrap();
    let mut generation = session.generate(&sampling()).unwrap();
    (0..N)
        .map(|i| {
            change(i);
            generation.next().unwrap().unwrap().id
        })
        .collect()
}

/// The least budget at present.
fn least(engine: &Engine) -> u64 {
    match engine.set_memory(1) {
        Err(Error::Memory { refusal, .. }) => refusal.least,
        other => panic!("{:?}", other.map(|plan| plan.budget)),
    }
}

#[test]
fn budgets_that_change_mid_answer_change_no_token() {
    let wanted = answer(&Engine::open(&model(), options(None)).unwrap(), |_| ());
    for memory in [None, Some(1 << 30)] {
        let engine = Engine::open(&model(), options(memory)).unwrap();
        let mut streamed = Vec::new();
        let tokens = answer(&engine, |i| {
            // From all that fits to the least and back, in steps of all sizes, some of them cut alike.
            let more = [40 << 20, 3 << 20, 0, 1 << 20, 4 << 20, 5 << 20, 9 << 20, 1 << 29][i / 5 % 8];
            if i % 5 == 4 {
                let plan = engine.set_memory(least(&engine) + (more as u64)).unwrap();
                assert_eq!(engine.streaming().unwrap().unwrap().bytes_per_round, plan.streamed);
                assert_eq!(engine.plan().unwrap(), plan);
                streamed.push(plan.streamed);
            }
        });
        assert_eq!(tokens, wanted);
        assert!(streamed.contains(&0) && streamed.iter().any(|bytes| *bytes > 4 << 20), "{streamed:?}");
    }
}

#[test]
fn a_budget_that_is_cut_by_half_mid_answer_changes_no_token() {
    let wanted = answer(&Engine::open(&model(), options(None)).unwrap(), |_| ());
    let engine = Engine::open(&model(), options(Some(1 << 30))).unwrap();
    let mut half = 0;
    let tokens = answer(&engine, |i| {
        if i == N / 4 {
            half = least(&engine) + (1 << 20);
            engine.set_memory(2 * half).unwrap();
        }
        if i == N / 2 {
            let (before, after) = (engine.plan().unwrap(), engine.set_memory(half).unwrap());
            assert!(after.resident < before.resident && after.streamed > before.streamed);
        }
    });
    assert_eq!(tokens, wanted);
    let plan = engine.plan().unwrap();
    assert!(plan.budget == half && plan.peak() <= half, "{} of {half}", plan.peak());
    let streaming = engine.streaming().unwrap().unwrap();
    assert_eq!((streaming.bytes_per_round, streaming.pinned_bytes), (plan.streamed, plan.resident));
}

#[test]
fn a_budget_that_is_too_small_is_refused_and_the_answer_goes_on() {
    let engine = Engine::open(&model(), options(Some(64 << 20))).unwrap();
    let wanted = answer(&engine, |_| ());
    let before = engine.plan().unwrap();
    let tokens = answer(&engine, |i| {
        if i % 30 == 7 {
            let error = engine.set_memory(2 << 20).unwrap_err();
            assert!(
                error.to_string().contains("a memory budget of 2 MiB is too small for this model"),
                "{error}"
            );
        }
    });
    assert_eq!(tokens, wanted);
    assert_eq!(engine.plan().unwrap(), before, "nothing has changed");
}

#[test]
fn what_sessions_hold_and_what_was_asked_for_stays() {
    let asked = Options { context: Some(1000), ..options(Some(256 << 20)) };
    let engine = Engine::open(&model(), asked).unwrap();
    assert_eq!(engine.set_memory(least(&engine)).unwrap().context, 1000);

    // Nobody asked: without a budget it is the model's own, and becomes shorter, but not than a session.
    let engine = Engine::open(&model(), options(None)).unwrap();
    let whole = engine.context();
    let mut session = engine.session().unwrap();
    session.set_prompt(&vec![1; 700]).unwrap();
    engine.set_memory(least(&engine)).unwrap();
    assert!((700..whole).contains(&engine.context()), "{}", engine.context());
    assert_eq!(session.context(), engine.context());
    session.feed(&[1, 2, 3]).unwrap();
    engine.set_memory(1 << 30).unwrap();
    assert_eq!(engine.context(), whole, "it comes back");
}

#[test]
fn prompts_of_a_batch_keep_their_room() {
    let request = |tag| Request { tag, prompt: vec![1 + tag as u32; 700], sampling: sampling() };
    let complete = |engine: &Engine, shrinks: bool| {
        let mut all: Vec<Completion> = Vec::new();
        let tell = |event| -> Result<(), Error> {
            match event {
                Event::Computed { .. } if shrinks => drop(engine.set_memory(least(engine))?),
                Event::Computed { .. } => {}
                Event::Completed(completion) => all.push(completion),
            }
            Ok(())
        };
        engine.complete_together((0..5).map(request), 4, &Cancel::default(), tell).unwrap();
        all
    };
    // So many that their keys and values make the context shorter with the least budget.
    let of = |memory| Options { sessions: 4, chunk: Some(64), ..options(memory) };
    let wanted = complete(&Engine::open(&model(), of(None)).unwrap(), false);
    let engine = Engine::open(&model(), of(Some(1 << 30))).unwrap();
    let whole = engine.context();
    assert_eq!(complete(&engine, true), wanted);
    assert!(engine.context() < whole, "{whole}");
}

#[test]
fn another_thread_may_change_the_budget_at_any_time() {
    let engine = Engine::open(&model(), options(Some(1 << 30))).unwrap();
    let wanted = answer(&engine, |_| ());
    let (done, least) = (AtomicBool::new(false), least(&engine));
    std::thread::scope(|scope| {
        let changing = scope.spawn(|| {
            let mut streamed = Vec::new();
            for more in [0_u64, 5 << 20, 30 << 20, 2 << 20].into_iter().cycle() {
                if done.load(Ordering::SeqCst) {
                    break;
                }
                // What other tests take at the same time may make it too small.
                if let Ok(plan) = engine.set_memory(least + more) {
                    streamed.push(plan.streamed);
                }
                std::thread::sleep(std::time::Duration::from_millis(3));
            }
            streamed
        });
        let tokens = answer(&engine, |_| ());
        done.store(true, Ordering::SeqCst);
        assert_eq!(tokens, wanted);
        let streamed = changing.join().unwrap();
        assert!(streamed.iter().min() < streamed.iter().max(), "the budget changed: {streamed:?}");
    });
}
