//! The whole way, on the model that is built in.
#![cfg(feature = "built-in")]

use std::sync::OnceLock;

use dewdrop::{Choice, Engine, Error, Finish, Options, Residency, Sampling, Session};

const PROMPT: &str = "Once upon a time";

fn engine() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let options = Options { threads: Some(2), ..Options::default() };
    ENGINE.get_or_init(|| Engine::built_in(options).expect("the built-in model opens")).clone()
}

fn session() -> Session {
    let mut session = engine().session().unwrap();
    session.prompt(PROMPT).unwrap();
    session
}

fn sampling() -> Sampling {
    Sampling { n: Some(40), seed: 3, ignore_end: true, ..Sampling::default() }
}

/// Text, ids and the reason it ended.
fn generate(session: &mut Session, sampling: &Sampling) -> (String, Vec<u32>, Option<Finish>) {
    let mut generation = session.generate(sampling).unwrap();
    let tokens: Vec<_> = generation.by_ref().map(|token| token.unwrap()).collect();
    assert_eq!(generation.rest(), "", "a whole run holds nothing back");
    let finish = generation.finish().cloned();
    let text = tokens.iter().map(|token| token.text.as_str()).collect();
    (text, tokens.iter().map(|token| token.id).collect(), finish)
}

#[test]
fn the_text_is_that_of_the_ids() {
    let (text, ids, finish) = generate(&mut session(), &sampling());
    assert_eq!(finish, Some(Finish::Limit));
    let mut detokenizer = engine().tokenizer().detokenizer(true);
    let mut whole: String = ids.iter().map(|id| detokenizer.push(*id)).collect();
    whole += &detokenizer.finish();
    assert_eq!(text, whole);
    assert!(text.chars().any(char::is_alphabetic), "{text:?}");
}

#[test]
fn a_seed_gives_the_same_text_however_it_is_run() {
    let (wanted, ids, _) = generate(&mut session(), &sampling());
    let options = Options { threads: Some(1), ..Options::default() };
    for options in [
        Options { chunk: Some(1), ..options.clone() },
        Options { threads: Some(3), ..options.clone() },
        Options { residency: Residency::Resident, ..options.clone() },
        Options { context: Some(64), ..options },
    ] {
        let mut session = Engine::built_in(options.clone()).unwrap().session().unwrap();
        session.prompt(PROMPT).unwrap();
        assert_eq!(generate(&mut session, &sampling()).0, wanted, "{options:?}");
    }
    let oracle = Options { backend: Choice::Oracle, ..Options::default() };
    let mut session = Engine::built_in(oracle).unwrap().session().unwrap();
    session.prompt(PROMPT).unwrap();
    let short = Sampling { n: Some(4), ..sampling() };
    assert_eq!(generate(&mut session, &short).1, ids[..4]);
    let other = Sampling { seed: 4, ..sampling() };
    assert_ne!(generate(&mut self::session(), &other).0, wanted);
}

#[test]
fn a_stop_text_ends_and_is_not_shown() {
    let (whole, ..) = generate(&mut session(), &sampling());
    let middle: Vec<(usize, char)> = whole.char_indices().skip(whole.chars().count() / 2).take(4).collect();
    let stop: String = middle.iter().map(|(_, c)| c).collect();
    let sampling = Sampling { stop: vec!["never in here".into(), stop.clone()], ..sampling() };
    let (text, _, finish) = generate(&mut session(), &sampling);
    assert_eq!(finish, Some(Finish::Stop(1)));
    assert_eq!(text, whole[..whole.find(&stop).unwrap()]);
}

#[test]
fn an_end_token_is_yielded_without_text() {
    let end = engine().end_tokens()[0];
    let sampling = Sampling { bias: vec![(end, 1e6)], ..Sampling::greedy() };
    let (text, ids, finish) = generate(&mut session(), &sampling);
    assert_eq!((text.as_str(), ids, finish), ("", vec![end], Some(Finish::End)));
}

#[test]
fn a_prompt_that_goes_on_is_reused() {
    let mut session = session();
    let n = session.tokens().len();
    assert_eq!(session.prompt(PROMPT).unwrap(), n);
    let longer = [session.tokens(), &[5, 6, 7]].concat();
    assert_eq!(session.set_prompt(&longer).unwrap(), n);
    let logits = session.logits().to_vec();
    let mut fresh = engine().session().unwrap();
    fresh.feed(&longer).unwrap();
    assert_eq!(fresh.logits(), logits);
    assert_eq!(session.stats().prompt_tokens, 3);
}

#[test]
fn sessions_run_on_threads_of_their_own() {
    let (wanted, ..) = generate(&mut session(), &sampling());
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| generate(&mut session(), &sampling()).0)).collect();
        for run in runs {
            assert_eq!(run.join().unwrap(), wanted);
        }
    });
}

#[test]
fn logprobs_come_with_tokens() {
    let sampling = Sampling { n: Some(3), logprobs: Some(4), ..Sampling::greedy() };
    for token in session().generate(&sampling).unwrap() {
        let token = token.unwrap();
        let logprobs = token.logprobs.expect("asked for");
        assert_eq!(logprobs.top.len(), 4);
        assert_eq!(logprobs.top[0], (token.id, logprobs.chosen), "greedy takes the most probable");
        assert!(logprobs.top.iter().map(|(_, logprob)| logprob.exp()).sum::<f32>() <= 1.0 + 1e-5);
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let too_long = Options { context: Some(usize::MAX), ..Options::default() };
    assert!(matches!(Engine::built_in(too_long), Err(Error::Context { .. })));
    let isa = Options { backend: Choice::Cpu { isa: Some("abacus".into()) }, ..Options::default() };
    assert!(matches!(Engine::built_in(isa), Err(Error::Backend(_))));
    let mut session = session();
    assert!(session.generate(&Sampling { top_p: f32::NAN, ..Sampling::default() }).is_err());
}

#[test]
fn everything_can_move_to_another_thread() {
    fn check<T: Send>() {}
    check::<Engine>();
    check::<Session>();
    check::<dewdrop::Generation<'_>>();
    check::<Error>();
}
