//! What happens to a model's file while an answer streams from it: a clear error or the right answer, never a wrong token.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use dewdrop::{Engine, EngineError, Error, Options, Sampling};
use dewdrop_store::StoreError;
use tempfile::TempDir;

/// Tokens before the fault, and after it.
const BEFORE: usize = 8;
const AFTER: usize = 24;

/// What one test takes and gives back while another looks for its budget would count for that one.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/dew-10m.gguf")
}

/// A copy of the model beside the build, which is on a disk rather than in memory.
fn copy() -> (TempDir, PathBuf) {
    let program = std::env::current_exe().unwrap();
    let folder = tempfile::tempdir_in(program.parent().unwrap()).unwrap();
    let path = folder.path().join("model.gguf");
    fs::copy(model(), &path).unwrap();
    (folder, path)
}

/// An engine that streams nearly all of the model.
fn streaming(path: &Path) -> Engine {
    let options = |memory| Options { threads: Some(2), context: Some(256), memory, ..Options::default() };
    let mut budget = 1;
    loop {
        match Engine::open(path, options(Some(budget))) {
            // The last engine's memory may not be back with the system when the next one asks.
            Err(Error::Memory { refusal, .. }) => budget = budget.max(refusal.least) + (1 << 18),
            result => return result.unwrap(),
        }
    }
}

/// The tokens of an answer up to an error, and the error; `fault` happens in the middle.
fn answer(engine: &Engine, fault: impl FnOnce()) -> (Vec<u32>, Option<Error>) {
    let mut session = engine.session().unwrap();
    session.prompt("Once upon a time").unwrap();
    let sampling = Sampling { n: Some(BEFORE + AFTER), seed: 3, ignore_end: true, ..Sampling::default() };
    let mut generation = session.generate(&sampling).unwrap();
    let mut tokens: Vec<u32> = generation.by_ref().take(BEFORE).map(|token| token.unwrap().id).collect();
    fault();
    for token in generation {
        match token {
            Ok(token) => tokens.push(token.id),
            Err(error) => return (tokens, Some(error)),
        }
    }
    (tokens, None)
}

/// The answer of a model to which nothing happens.
fn right_answer() -> Vec<u32> {
    let engine = streaming(&model());
    assert!(engine.plan().unwrap().streamed > 4 << 20);
    let (tokens, error) = answer(&engine, || ());
    assert!(error.is_none() && tokens.len() == BEFORE + AFTER);
    tokens
}

/// What a fault ends in, after nothing but right tokens.
fn error_after(fault: impl FnOnce(&Path)) -> StoreError {
    let (_folder, path) = copy();
    let (tokens, error) = answer(&streaming(&path), || fault(&path));
    assert!(right_answer().starts_with(&tokens), "{tokens:?}");
    match error {
        Some(Error::Engine(EngineError::Store(error))) => error,
        other => panic!("{other:?}"),
    }
}

/// Writes to a file in place. Its time of change becomes another one, however coarse the file system's clock is.
fn write_at(path: &Path, offset: u64, bytes: &[u8]) {
    let mut file = File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(bytes).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(2)).unwrap();
}

#[test]
fn a_file_that_is_overwritten_is_an_error() {
    let _turn = turn();
    let error = error_after(|path| write_at(path, 1 << 20, &[7; 4 << 20]));
    assert!(matches!(error, StoreError::Rewritten { .. }), "{error}");
}

#[test]
fn a_file_that_is_replaced_in_place_by_a_shorter_or_longer_one_is_an_error() {
    let _turn = turn();
    for len in [0, 100, 5 << 20, 16 << 20] {
        let error = error_after(|path| fs::write(path, vec![0; len]).unwrap());
        assert!(matches!(error, StoreError::Changed { found, .. } if found == len as u64), "{len}: {error}");
    }
}

#[test]
fn a_file_that_is_renamed_over_removed_or_locked_away_does_not_matter_to_who_has_it_open() {
    let _turn = turn();
    let wanted = right_answer();
    let faults: [fn(&Path); 3] = [
        |path| {
            let other = path.with_extension("new");
            fs::write(&other, vec![0; 16 << 20]).unwrap();
            fs::rename(other, path).unwrap();
        },
        |path| fs::remove_file(path).unwrap(),
        |path| fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap(),
    ];
    for (i, fault) in faults.into_iter().enumerate() {
        let (_folder, path) = copy();
        let engine = streaming(&path);
        let (tokens, error) = answer(&engine, || {
            fault(&path);
            // A budget that changes now goes on with the open file, too.
            let budget = engine.plan().unwrap().budget;
            engine.set_memory(1 << 30).unwrap();
            engine.set_memory(budget).unwrap();
        });
        assert!(error.is_none(), "{i}: {error:?}");
        assert_eq!(tokens, wanted, "{i}");
    }
}

#[test]
fn weights_that_stay_are_not_read_again_when_their_file_changes() {
    let _turn = turn();
    let wanted = right_answer();
    let (_folder, path) = copy();
    let engine =
        Engine::open(&path, Options { memory: Some(1 << 30), threads: Some(2), ..Options::default() });
    let engine = engine.unwrap();
    assert_eq!(engine.plan().unwrap().streamed, 0);
    let (tokens, error) = answer(&engine, || fs::write(&path, [0; 100]).unwrap());
    assert!(error.is_none(), "{error:?}");
    assert_eq!(tokens, wanted);
}
