//! Many prompts in shared passes: each as if it were alone.
#![cfg(feature = "built-in")]

use dewdrop::{
    Cancel, Completion, EncodeOptions, Engine, EngineError, Error, Finish, Options, Request, Sampling,
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
    let done = |completion| -> Result<(), Error> {
        all.push(completion);
        Ok(())
    };
    engine.complete_together(requests, width, &Cancel::default(), done).unwrap();
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
    let done = |_| -> Result<(), Error> {
        cancel.cancel();
        Ok(())
    };
    let error = engine.complete_together(requests(&engine), 2, &cancel, done).unwrap_err();
    assert!(matches!(error, Error::Engine(EngineError::Cancelled)), "{error}");
}
