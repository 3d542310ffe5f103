//! Many prompts in shared passes: each as if it were alone.
#![cfg(feature = "built-in")]

use dewdrop::{
    Cancel, Completion, EncodeOptions, Engine, EngineError, Error, Event, Finish, Options, Request, Sampling,
};

fn engine(options: Options) -> Engine {
    Engine::built_in(Options { threads: Some(2), context: Some(200), ..options }).unwrap()
}

/// Prompts of different lengths with different wishes.
fn requests(engine: &Engine) -> Vec<Request> {
    let texts =
        ["Once upon a time", "The", "In the morning the river was so quiet that", "A dog and a cat", "1"];
    let sampling = |i: usize| Sampling {
        seed: i as u64,
        n: Some([20, 1, 0, 31, 12][i]),
        stop: if i == 3 { vec![" the".into()] } else { Vec::new() },
        ..Sampling::default()
    };
    let request = |(i, text): (usize, &&str)| Request {
        tag: i as u64,
        prompt: engine.encode(text, EncodeOptions { add_special: true, parse_special: true }).unwrap(),
        sampling: sampling(i),
    };
    texts.iter().enumerate().map(request).collect()
}

fn alone(engine: &Engine, request: &Request) -> Completion {
    let mut session = engine.session().unwrap();
    session.set_prompt(&request.prompt).unwrap();
    let mut generation = session.generate(&request.sampling).unwrap();
    let tokens: Vec<_> = generation.by_ref().map(Result::unwrap).collect();
    Completion {
        tag: request.tag,
        n_prompt: request.prompt.len(),
        ids: tokens.iter().map(|token| token.id).collect(),
        text: tokens.iter().map(|token| token.text.as_str()).collect(),
        finish: generation.finish().unwrap().clone(),
    }
}

fn together(engine: &Engine, requests: Vec<Request>, width: usize) -> Vec<Completion> {
    let mut all = Vec::new();
    let tell = |event| -> Result<(), Error> {
        if let Event::Completed(completion) = event {
            all.push(completion);
        }
        Ok(())
    };
    engine.complete_together(requests, width, &Cancel::default(), tell).unwrap();
    all.sort_by_key(|completion| completion.tag);
    all
}

#[test]
fn each_is_as_if_it_were_alone() {
    let plain = engine(Options::default());
    let wanted: Vec<_> = requests(&plain).iter().map(|request| alone(&plain, request)).collect();
    for (chunk, width) in [(None, 1), (None, 3), (Some(4), 5), (Some(1), 9)] {
        let engine = engine(Options { chunk, ..Options::default() });
        assert_eq!(together(&engine, requests(&engine), width), wanted, "chunk {chunk:?}, width {width}");
    }
}

#[test]
fn a_prompt_beyond_the_context_ends_at_once_and_others_go_on() {
    let engine = engine(Options::default());
    let mut requests = requests(&engine);
    requests[1].prompt = vec![5; 200];
    let all = together(&engine, requests, 2);
    assert_eq!((&all[1].finish, all[1].ids.len()), (&Finish::Context, 0));
    assert_eq!(all[0].ids.len(), 20);
}

#[test]
fn a_cancel_ends_all() {
    let engine = engine(Options::default());
    let cancel = Cancel::default();
    let tell = |_| -> Result<(), Error> {
        cancel.cancel();
        Ok(())
    };
    let error = engine.complete_together(requests(&engine), 2, &cancel, tell).unwrap_err();
    assert!(matches!(error, Error::Engine(EngineError::Cancelled)), "{error}");
}

#[test]
fn all_tokens_are_told() {
    let engine = engine(Options::default());
    let (mut computed, mut generated) = ((0, 0), 0);
    let tell = |event| -> Result<(), Error> {
        match event {
            Event::Computed { prompt, generated } => computed = (computed.0 + prompt, computed.1 + generated),
            // The last one is not computed.
            Event::Completed(completion) => generated += completion.ids.len().saturating_sub(1),
        }
        Ok(())
    };
    let requests: Vec<_> = requests(&engine).into_iter().filter(|request| request.tag != 2).collect();
    let n_prompt: usize = requests.iter().map(|request| request.prompt.len()).sum();
    engine.complete_together(requests, 3, &Cancel::default(), tell).unwrap();
    assert_eq!(computed, (n_prompt, generated));
}

#[test]
fn a_budget_is_for_as_many_sessions_as_were_asked_for() {
    let engine = engine(Options { memory: Some(1 << 30), sessions: 2, ..Options::default() });
    let (_a, b) = (engine.session().unwrap(), engine.session().unwrap());
    let error = engine.session().err().expect("a refusal");
    assert!(matches!(error, Error::Engine(EngineError::SessionsFull { most: 2 })), "{error}");
    drop(b);
    engine.session().unwrap();
}
