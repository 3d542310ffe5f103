//! The planner as a pure function.

use super::*;
use crate::{built_in, recognize};

const HELD: u64 = 30 << 20;

/// Options of all kinds.
fn all_options() -> Vec<Options> {
    let mut all = Vec::new();
    for sessions in [1, 3, 40] {
        for context in [None, Some(1), Some(300), Some(2000)] {
            for chunk in [None, Some(4), Some(1000)] {
                all.push(Options { threads: Some(2), sessions, context, chunk, ..Options::default() });
            }
        }
    }
    all
}

/// Calls `check` with options, a planner for them and the least budget that it names.
fn for_all(check: impl Fn(&Options, &dyn Fn(u64) -> Result<Plan, TooSmall>, u64)) {
    let model = recognize(&built_in().unwrap()).unwrap();
    for options in all_options() {
        let planned = |budget| plan(&Question { model: &model, options: &options, budget, held: HELD });
        let least = planned(1).unwrap_err().least;
        check(&options, &planned, least);
    }
}

#[test]
fn the_least_budget_that_is_named_is_the_least() {
    for_all(|options, planned, least| {
        let exactly = least - HELD_VARIES;
        let plan = planned(exactly).unwrap_or_else(|refusal| panic!("{options:?}: {refusal}"));
        assert!(plan.streamed > 0 && plan.peak() <= exactly, "{options:?}");
        assert_eq!(planned(exactly - 1).unwrap_err().least, least, "{options:?}");
    });
}

#[test]
fn a_larger_budget_is_never_refused() {
    for_all(|options, planned, least| {
        for step in 0..60 {
            let budget = least - HELD_VARIES + step * 430_007;
            let plan = planned(budget).unwrap_or_else(|refusal| panic!("{options:?}: {refusal}"));
            assert!(plan.peak() <= budget, "{options:?}: {} of {budget}", plan.peak());
        }
    });
}

#[test]
fn a_pass_serves_all_sessions_unless_fewer_rows_were_asked_for() {
    for_all(|options, planned, least| {
        for budget in [least, least + (3 << 20), least + (1 << 30)] {
            let plan = planned(budget).unwrap();
            let most = options.chunk.unwrap_or(usize::MAX);
            assert!(
                plan.chunk >= options.sessions.min(most) && plan.chunk <= most,
                "{options:?}: {}",
                plan.chunk
            );
            assert_eq!(plan.sessions, options.sessions);
        }
    });
}

#[test]
fn a_short_budget_shortens_the_context_before_it_is_refused() {
    let model = recognize(&built_in().unwrap()).unwrap();
    let options = Options { threads: Some(2), sessions: 8, ..Options::default() };
    let planned = |budget| plan(&Question { model: &model, options: &options, budget, held: HELD });
    let least = planned(1).unwrap_err().least;
    let contexts: Vec<usize> = (0..60).map(|step| planned(least + (step << 23)).unwrap().context).collect();
    assert_eq!(contexts[0], LEAST_CONTEXT);
    assert!(contexts.is_sorted() && contexts[59] > LEAST_CONTEXT, "{contexts:?}");
}
