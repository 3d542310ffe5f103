//! Sessions on a backend that tells what it was asked.

mod fake;

use dewdrop_engine::{Batch, EngineError, Finish, Limits, Room, Sampling, Session};
use fake::{CONTEXT, N_VOCAB, core, next, session};

fn best(logits: &[f32]) -> u32 {
    dewdrop_backend::largest(logits)
}

#[test]
fn a_prompt_is_fed_in_chunks_and_weights_are_loaded_once() {
    let (core, log) = core(false);
    let mut session = session(&core, 4);
    session.feed(&[1, 2, 3, 4, 5, 6, 7, 8, 9]).unwrap();
    assert_eq!(best(session.logits()), next(session.tokens()));
    let log = log.lock().unwrap();
    assert_eq!(log.passes, [4, 4, 1]);
    assert_eq!((log.n_loads, log.n_unloads), (2, 0));
}

#[test]
fn each_row_is_visited_from_a_position_on() {
    let (core, _) = core(false);
    let mut session = session(&core, 4);
    session.feed(&[9, 9]).unwrap();
    let ids = [1, 2, 3, 4, 5, 6, 7];
    let mut seen = Vec::new();
    session.feed_each(&ids, 4, |position, logits| seen.push((position, best(logits)))).unwrap();
    let all = [&[9, 9], &ids[..]].concat();
    let wanted: Vec<_> = (4..9).map(|position| (position, next(&all[..=position]))).collect();
    assert_eq!(seen, wanted);
}

#[test]
fn rows_that_want_logits_come_few_at_a_time_where_room_for_them_is_short() {
    let (core, log) = core(false);
    let limits = Limits { context: CONTEXT, chunk: 4, logits: 2, n_choices: N_VOCAB };
    let mut session = Session::new(core, limits).unwrap();
    let mut seen = Vec::new();
    session.feed_each(&[1, 2, 3, 4, 5, 6, 7, 8, 9], 5, |position, _| seen.push(position)).unwrap();
    assert_eq!(seen, [5, 6, 7, 8]);
    // Five rows that want none, and four that do.
    assert_eq!(log.lock().unwrap().passes, [4, 3, 2]);
}

#[test]
fn greedy_generation_follows_the_logits_and_computes_no_more_than_needed() {
    let (core, log) = core(false);
    let mut session = session(&core, 8);
    session.feed(&[1, 2]).unwrap();
    let sampling = Sampling { n: Some(4), ..Sampling::greedy() };
    let mut generation = session.generate(&sampling, &[]).unwrap();
    let ids: Vec<u32> = generation.by_ref().map(|choice| choice.unwrap().id).collect();
    assert_eq!(generation.finish(), Some(&Finish::Limit));
    assert_eq!(ids, [3, 6, 2, 4]);
    assert_eq!(session.tokens(), [1, 2, 3, 6, 2, 4]);
    assert_eq!(session.n_computed(), 5);
    assert_eq!(log.lock().unwrap().passes, [2, 1, 1, 1], "the last token is not computed");
    assert_eq!(session.stats().generated_tokens, 4);
    assert!(session.stats().time_to_first_token.is_some());
    session.feed(&[]).unwrap();
    assert_eq!(session.n_computed(), 6);
}

#[test]
fn generation_goes_on_where_it_stopped() {
    let (core, _) = core(false);
    let run = |pieces: &[usize]| {
        let mut session = session(&core, 8);
        session.feed(&[1, 2]).unwrap();
        for n in pieces {
            let sampling = Sampling { n: Some(*n), seed: 5, ..Sampling::default() };
            session.generate(&sampling, &[]).unwrap().for_each(|choice| drop(choice.unwrap()));
        }
        session.tokens().to_vec()
    };
    assert_eq!(run(&[6]), run(&[1, 2, 3]));
}

#[test]
fn an_end_token_ends_unless_ignored() {
    let (core, _) = core(false);
    let mut session = session(&core, 8);
    session.feed(&[1, 2]).unwrap();
    let mut generation = session.generate(&Sampling::greedy(), &[2]).unwrap();
    let ids: Vec<u32> = generation.by_ref().map(|choice| choice.unwrap().id).collect();
    assert_eq!((ids, generation.finish()), (vec![3, 6, 2], Some(&Finish::End)));
    let sampling = Sampling { ignore_end: true, n: Some(2), ..Sampling::greedy() };
    assert_eq!(session.generate(&sampling, &[4]).unwrap().count(), 2);
}

#[test]
fn the_context_ends_generation_and_refuses_longer_prompts() {
    let (core, _) = core(false);
    let mut session = session(&core, 8);
    session.feed(&[1; CONTEXT - 2]).unwrap();
    let mut generation = session.generate(&Sampling::greedy(), &[]).unwrap();
    assert_eq!(generation.by_ref().count(), 2);
    assert_eq!(generation.finish(), Some(&Finish::Context));
    let error = session.feed(&[1]).unwrap_err();
    assert!(matches!(error, EngineError::ContextFull { needed: 33, context: 32 }), "{error}");
    assert_eq!(session.tokens().len(), CONTEXT);
}

#[test]
fn a_prompt_reuses_what_is_computed() {
    let (core, log) = core(false);
    let mut session = session(&core, 8);
    assert_eq!(session.set_prompt(&[1, 2, 3, 4]).unwrap(), 0);
    for (prompt, reused) in
        [(&[1, 2, 3, 4, 5, 6][..], 4), (&[1, 2, 3, 4, 5, 6], 6), (&[1, 2, 9], 2), (&[1, 2], 1), (&[5], 0)]
    {
        assert_eq!(session.set_prompt(prompt).unwrap(), reused, "{prompt:?}");
        assert_eq!(session.tokens(), prompt);
        assert_eq!(best(session.logits()), next(prompt));
        assert_eq!(session.stats().reused_tokens, reused);
    }
    assert_eq!(log.lock().unwrap().passes, [4, 2, 1, 1, 1]);
}

#[test]
fn generation_after_truncating_computes_the_last_token_again() {
    for is_recurrent in [false, true] {
        let (core, _) = core(is_recurrent);
        let mut session = session(&core, 8);
        session.feed(&[1, 2, 3, 4]).unwrap();
        let left = session.truncate(2).unwrap();
        assert_eq!(left, if is_recurrent { 0 } else { 2 });
        if is_recurrent {
            session.feed(&[1, 2]).unwrap();
        }
        let choice = session.generate(&Sampling::greedy(), &[]).unwrap().next().unwrap().unwrap();
        assert_eq!((choice.id, session.tokens()), (3, &[1, 2, 3][..]));
    }
}

#[test]
fn recurrent_state_is_reused_only_going_on() {
    let (core, _) = core(true);
    let mut session = session(&core, 8);
    session.set_prompt(&[1, 2, 3]).unwrap();
    assert_eq!(session.set_prompt(&[1, 2, 3, 4]).unwrap(), 3);
    assert_eq!(session.set_prompt(&[1, 2, 9]).unwrap(), 0);
    assert_eq!(best(session.logits()), next(&[1, 2, 9]));
    assert_eq!(session.set_prompt(&[1, 2]).unwrap(), 0);
    assert_eq!(session.tokens(), [1, 2]);
}

#[test]
fn a_generated_prompt_is_reused_with_its_last_token() {
    let (core, _) = core(true);
    let mut session = session(&core, 8);
    session.set_prompt(&[1, 2]).unwrap();
    let sampling = Sampling { n: Some(3), ..Sampling::greedy() };
    session.generate(&sampling, &[]).unwrap().for_each(|choice| drop(choice.unwrap()));
    assert_eq!(session.set_prompt(&[1, 2, 3, 6, 2, 7]).unwrap(), 4);
    assert_eq!(best(session.logits()), next(&[1, 2, 3, 6, 2, 7]));
}

#[test]
fn a_cancelled_session_stops_between_passes() {
    let (core, log) = core(false);
    let mut session = session(&core, 2);
    let cancel = session.cancel_flag().clone();
    let result = session.feed_each(&[1, 2, 3, 4, 5], 0, |position, _| {
        if position == 1 {
            cancel.cancel();
        }
    });
    assert!(matches!(result, Err(EngineError::Cancelled)));
    assert_eq!(session.tokens(), [1, 2]);
    assert_eq!(log.lock().unwrap().passes, [2]);
    let mut generation = session.generate(&Sampling::greedy(), &[]).unwrap();
    assert!(generation.next().is_none());
    assert_eq!(generation.finish(), Some(&Finish::Cancelled));
    cancel.reset();
    assert_eq!(session.generate(&Sampling::greedy(), &[]).unwrap().take(2).count(), 2);
}

#[test]
fn a_failed_pass_leaves_everything_usable() {
    for fail_in in [0, 1] {
        let (core, log) = core(false);
        let mut session = session(&core, 8);
        session.feed(&[1, 2]).unwrap();
        log.lock().unwrap().fail_in = Some(fail_in);
        assert!(matches!(session.feed(&[3]), Err(EngineError::Backend(_))));
        assert_eq!(session.tokens(), [1, 2]);
        session.feed(&[3]).unwrap();
        assert_eq!(best(session.logits()), next(&[1, 2, 3]));
        let log = log.lock().unwrap();
        assert_eq!(log.n_loads, log.n_unloads + 2, "weights are loaded anew");
    }
}

#[test]
fn a_failed_pass_empties_recurrent_state() {
    let (core, log) = core(true);
    let mut session = session(&core, 8);
    session.feed(&[1, 2]).unwrap();
    log.lock().unwrap().fail_in = Some(1);
    assert!(session.feed(&[3]).is_err());
    assert!(session.tokens().is_empty() && session.logits().is_empty());
    session.feed(&[1, 2, 3]).unwrap();
    assert_eq!(best(session.logits()), next(&[1, 2, 3]));
}

#[test]
fn ids_beyond_the_vocabulary_change_nothing() {
    let (core, _) = core(true);
    let mut session = session(&core, 8);
    session.feed(&[1, 2]).unwrap();
    assert!(session.feed(&[N_VOCAB as u32]).is_err());
    assert_eq!(session.tokens(), [1, 2]);
    session.feed(&[3]).unwrap();
    assert_eq!(best(session.logits()), next(&[1, 2, 3]));
}

#[test]
fn sessions_share_a_core_and_close_their_sequences() {
    let (core, log) = core(false);
    let (mut a, mut b) = (session(&core, 8), session(&core, 8));
    a.feed(&[1, 2]).unwrap();
    b.feed(&[3]).unwrap();
    a.feed(&[4]).unwrap();
    assert_eq!((best(a.logits()), best(b.logits())), (next(&[1, 2, 4]), next(&[3])));
    assert_eq!(log.lock().unwrap().n_open, 2);
    drop(a);
    drop(b);
    assert_eq!(log.lock().unwrap().n_open, 0);
}

#[test]
fn a_batch_runs_sessions_in_one_pass() {
    let (core, log) = core(false);
    let (mut a, mut b) = (session(&core, 4), session(&core, 4));
    a.feed(&[1, 2]).unwrap();
    let mut batch = Batch::new();
    batch.add(&mut a, &[3]).unwrap();
    batch.add(&mut b, &[4, 5, 6]).unwrap();
    batch.run().unwrap();
    assert_eq!((best(a.logits()), best(b.logits())), (next(&[1, 2, 3]), next(&[4, 5, 6])));
    assert_eq!(log.lock().unwrap().passes, [2, 4]);

    log.lock().unwrap().fail_in = Some(1);
    let mut batch = Batch::new();
    batch.add(&mut a, &[7]).unwrap();
    batch.add(&mut b, &[7]).unwrap();
    assert!(batch.run().is_err());
    assert_eq!((a.tokens(), b.tokens()), (&[1, 2, 3][..], &[4, 5, 6][..]));
}

#[test]
fn a_batch_takes_as_many_passes_as_its_rows_need() {
    let (core, log) = core(false);
    let mut sessions: Vec<_> = (0..5).map(|_| session(&core, 8)).collect();
    core.set_room(Room { chunk: 2, ..Room::default() });
    let mut batch = Batch::new();
    for (i, session) in (1..).zip(&mut sessions) {
        batch.add(session, if i == 2 { &[2, 2, 2] } else { &[1] }).unwrap();
    }
    batch.run().unwrap();
    let wanted = [&[1][..], &[2, 2, 2], &[1], &[1], &[1]];
    for (session, ids) in sessions.iter().zip(wanted) {
        assert_eq!((session.tokens(), best(session.logits())), (ids, next(ids)));
    }
    assert_eq!(log.lock().unwrap().passes, [2, 2, 2, 1]);

    sessions[3].cancel_flag().cancel();
    let mut batch = Batch::new();
    sessions.iter_mut().for_each(|session| batch.add(session, &[1]).unwrap());
    assert!(matches!(batch.run(), Err(EngineError::Cancelled)));
}

#[test]
fn what_is_to_be_fed_counts_as_in_use() {
    let (core, _) = core(false);
    let (mut a, b) = (session(&core, 2), session(&core, 2));
    a.feed(&[1, 2]).unwrap();
    a.hold(20).unwrap();
    assert_eq!(core.lock().unwrap().longest_sequence(), 22);
    assert!(matches!(a.hold(CONTEXT), Err(EngineError::ContextFull { .. })));
    a.truncate(1).unwrap();
    assert_eq!(core.lock().unwrap().longest_sequence(), 1);
    drop((a, b));
    assert_eq!(core.lock().unwrap().longest_sequence(), 0);
}

#[test]
fn there_are_no_more_sessions_than_there_is_memory_for() {
    let (core, _) = core(false);
    core.set_room(Room { sequences: 2, ..Room::default() });
    let limits = Limits { context: CONTEXT, chunk: 2, logits: 1, n_choices: N_VOCAB };
    let (a, _b) = (session(&core, 2), session(&core, 2));
    let third = || Session::new(core.clone(), limits);
    let error = third().err().expect("a refusal");
    assert!(matches!(error, EngineError::SessionsFull { most: 2 }));
    assert!(error.to_string().contains("`Options::sessions`"), "{error}");
    drop(a);
    assert!(third().is_ok());
}

#[test]
fn a_batch_refuses_strangers_and_nothing() {
    let ((core_a, _), (core_b, _)) = (core(false), core(false));
    let (mut a, mut b, mut c) = (session(&core_a, 8), session(&core_b, 8), session(&core_a, 8));
    let mut batch = Batch::new();
    batch.add(&mut a, &[1]).unwrap();
    assert!(matches!(batch.add(&mut b, &[1]), Err(EngineError::ForeignSession)));
    assert!(matches!(batch.add(&mut c, &[]), Err(EngineError::EmptyPrompt)));
    batch.run().unwrap();
    Batch::new().run().unwrap();
}

#[test]
fn nothing_comes_of_nothing() {
    let (core, _) = core(false);
    let mut session = session(&core, 8);
    let error = session.generate(&Sampling::greedy(), &[]).err();
    assert!(matches!(error, Some(EngineError::EmptyPrompt)));
    session.set_prompt(&[]).unwrap();
    assert!(session.logits().is_empty());
}

#[test]
fn everything_can_move_to_another_thread() {
    fn check<T: Send>() {}
    check::<dewdrop_engine::Session>();
    check::<dewdrop_engine::Generation<'_>>();
    check::<dewdrop_engine::Batch<'_>>();
    check::<dewdrop_engine::SharedCore>();
    check::<EngineError>();
}
