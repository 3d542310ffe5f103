//! Streams over small files, with readers that misbehave.

mod faulty;

use std::fs::{self, File};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use dewdrop_backend::Transform;
use dewdrop_format::{BlockType, gguf};
use tempfile::NamedTempFile;

use self::faulty::{Fault, Faulty};
use super::threads::Threads;
use super::*;

/// Bytes of each section's tensors; the first section is a table of rows of 48 bytes.
const SECTIONS: [&[usize]; 7] =
    [&[48 * 500], &[8, 5000, 36], &[20_000], &[4, 12_000, 4], &[9000, 9000], &[30_000, 8], &[]];
const ROW: usize = 48;

/// A file, and the stores' view of it.
struct Model {
    file: NamedTempFile,
    checkpoint: Arc<Checkpoint>,
    sections: Vec<Vec<WeightSource>>,
}

fn name(section: usize, tensor: usize) -> String {
    format!("{section}.{tensor}")
}

/// Bytes that tell section, tensor and place apart; any four of them are a small number.
fn content(section: usize, tensor: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i * 7 + i / 251 + 31 * section + 97 * tensor) % 120) as u8).collect()
}

impl Model {
    fn new(file: NamedTempFile) -> Model {
        let tensors = SECTIONS.iter().enumerate().flat_map(|(section, lens)| {
            lens.iter().enumerate().map(move |(tensor, len)| (section, tensor, *len))
        });
        let mut writer = gguf::Writer::new(gguf::Metadata::new(Path::new("test"))).unwrap();
        for (section, tensor, len) in tensors.clone() {
            writer.declare(&name(section, tensor), &[len / 4], BlockType::F32).unwrap();
        }
        let mut data = writer.start(Vec::new()).unwrap();
        for (section, tensor, len) in tensors {
            data.write(&name(section, tensor), &content(section, tensor, len)).unwrap();
        }
        file.as_file().write_all(&data.finish().unwrap()).unwrap();
        let checkpoint = Arc::new(Checkpoint::open(file.path()).unwrap());
        let source = |section: usize, tensor: usize, len: usize| WeightSource {
            info: checkpoint.tensors[&name(section, tensor)].clone(),
            transform: Transform::None,
            shape: if section == 0 { [len / ROW, ROW / 4] } else { [1, len / 4] },
        };
        let section = |(section, lens): (usize, &&[usize])| {
            lens.iter().enumerate().map(|(tensor, len)| source(section, tensor, *len)).collect()
        };
        let sections = SECTIONS.iter().enumerate().map(section).collect();
        Model { file, checkpoint, sections }
    }

    /// Rows of the first section; of the others, those of `pinned` stay.
    fn placement(&self, pinned: &[usize], n_slots: usize) -> Placement {
        let place = |section: usize| match section {
            0 => Place::Rows,
            _ if pinned.contains(&section) => Place::Pinned,
            _ => Place::Streamed,
        };
        let slot_bytes = self.sections[1..].iter().map(|sources| staging_len(sources)).max().unwrap();
        let places = (0..self.sections.len()).map(place).collect();
        Placement { places, n_slots, slot_bytes, row_bytes: 3 * PAGE }
    }

    fn space(&self, placement: &Placement) -> Space {
        Space::new(&self.sections, placement).unwrap()
    }

    fn stream(&self, placement: &Placement, reader: impl Fn(&Arc<[ReadFile]>) -> Box<dyn Reader>) -> Stream {
        let files: Arc<[ReadFile]> = ReadFile::all(&self.checkpoint).into();
        let reader = reader(&files);
        Stream::with_reader(self.checkpoint.clone(), self.space(placement), files, reader)
    }

    /// A round over some tokens: everything that is handed over is right. Yields which sections came.
    fn round(&self, stream: &mut Stream, tokens: &[u32]) -> Result<Vec<usize>, StoreError> {
        stream.begin(tokens.iter().copied())?;
        let mut came = Vec::new();
        for (section, sources) in self.sections.iter().enumerate() {
            let (blocks, _) = stream.take(section, sources)?;
            if !blocks.is_empty() {
                came.push(section);
            }
            for (tensor, blocks) in blocks.iter().enumerate() {
                let want = content(section, tensor, SECTIONS[section][tensor]);
                assert_eq!(blocks.len(), want.len());
                if section > 0 {
                    assert!(blocks[..] == want[..], "section {section}, tensor {tensor}");
                    continue;
                }
                for row in tokens.iter().map(|&token| token as usize * ROW..(token as usize + 1) * ROW) {
                    assert_eq!(blocks[row.clone()], want[row]);
                }
            }
        }
        Ok(came)
    }
}

/// A checkpoint of less than a buffer.
pub(super) fn small_checkpoint() -> Arc<Checkpoint> {
    Model::new(temporary()).checkpoint
}

fn temporary() -> NamedTempFile {
    // Beside the build rather than in /tmp, which may be memory.
    let program = std::env::current_exe().unwrap();
    NamedTempFile::new_in(program.parent().unwrap()).unwrap()
}

fn threads(files: &Arc<[ReadFile]>) -> Box<dyn Reader> {
    Box::new(Threads::new(files.clone()))
}

#[test]
fn every_placement_hands_over_the_files_bytes_round_after_round() {
    let model = Model::new(temporary());
    for reader in [reader::best, threads] {
        for pinned in [&[][..], &[2], &[1, 3, 5], &[1, 2, 3, 4, 5]] {
            for n_slots in [1, 2, 3, 9] {
                let mut stream = model.stream(&model.placement(pinned, n_slots), reader);
                let first = model.round(&mut stream, &[0, 499, 7, 7]).unwrap();
                assert_eq!(first, [0, 1, 2, 3, 4, 5], "all come in the first round");
                let streamed: Vec<usize> = (0..6).filter(|section| !pinned.contains(section)).collect();
                for round in 1..5 {
                    let tokens = [round, 100 * round + 3, 250];
                    assert_eq!(model.round(&mut stream, &tokens).unwrap(), streamed);
                }
                stream.restart();
                assert_eq!(model.round(&mut stream, &[1]).unwrap(), [0, 1, 2, 3, 4, 5], "after a restart");
            }
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_system_in_memory_is_read_too() {
    let Ok(file) = NamedTempFile::new_in("/dev/shm") else {
        return eprintln!("skipped: no /dev/shm");
    };
    let model = Model::new(file);
    let mut stream = model.stream(&model.placement(&[3], 2), reader::best);
    for _ in 0..3 {
        model.round(&mut stream, &[3, 4]).unwrap();
    }
}

#[test]
fn reads_that_are_short_slow_or_fail_at_first_change_nothing() {
    let model = Model::new(temporary());
    for fault in [Fault::Short, Fault::Slow(10), Fault::Attempts(0..3)] {
        for reader in [reader::best, threads] {
            let faulty = |files: &_| Box::new(Faulty::new(reader(files), fault.clone())) as Box<dyn Reader>;
            let mut stream = model.stream(&model.placement(&[2, 3], 2), faulty);
            for round in 0..3 {
                model.round(&mut stream, &[round, 400]).unwrap();
            }
        }
    }
}

#[test]
fn sections_may_live_otherwise_between_rounds() {
    let model = Model::new(temporary());
    let all = [1, 2, 3, 4, 5];
    let placements: [(&[usize], usize); 7] =
        [(&[], 1), (&all, 2), (&[2, 4], 3), (&[2, 4], 3), (&[1, 2, 5], 1), (&[], 2), (&all, 1)];
    for fault in [Fault::Short, Fault::Slow(10), Fault::Attempts(0..3)] {
        for reader in [reader::best, threads] {
            let faulty = |files: &_| Box::new(Faulty::new(reader(files), fault.clone())) as Box<dyn Reader>;
            let mut stream = model.stream(&model.placement(&[3], 2), faulty);
            let mut settled = BTreeSet::new();
            for (same, (pinned, n_slots)) in placements.into_iter().enumerate().map(|(i, p)| (i % 5 != 4, p))
            {
                let placement = model.placement(pinned, n_slots);
                stream.replace(model.space(&placement), same);
                settled.retain(|section| same && pinned.contains(section));
                for round in 0..2 {
                    let come: Vec<usize> = (0..6).filter(|section| !settled.contains(section)).collect();
                    assert_eq!(model.round(&mut stream, &[round, 300]).unwrap(), come);
                    settled.extend(pinned);
                }
            }
        }
    }
}

#[test]
fn a_failed_round_and_other_placements_go_together() {
    let model = Model::new(temporary());
    let fault = |files: &_| Box::new(Faulty::new(threads(files), Fault::Attempts(9..17))) as Box<dyn Reader>;
    let mut stream = model.stream(&model.placement(&[], 2), fault);
    while model.round(&mut stream, &[1]).is_ok() {}
    stream.restart();
    stream.replace(model.space(&model.placement(&[1, 3], 1)), true);
    for _ in 0..2 {
        model.round(&mut stream, &[2]).unwrap();
    }
}

#[test]
fn a_read_that_keeps_failing_names_the_tensor_and_can_be_asked_for_again() {
    let model = Model::new(temporary());
    let fault = |files: &_| Box::new(Faulty::new(threads(files), Fault::Attempts(9..17))) as Box<dyn Reader>;
    let mut stream = model.stream(&model.placement(&[], 2), fault);
    let error = loop {
        if let Err(error) = model.round(&mut stream, &[1]) {
            break error;
        }
    };
    let StoreError::ReadTensor { tensor, attempts: 4, source, .. } = &error else { panic!("{error}") };
    assert!(model.checkpoint.tensors.contains_key(tensor), "{tensor}");
    assert_eq!(source.raw_os_error(), Some(5));
    stream.restart();
    for _ in 0..2 {
        model.round(&mut stream, &[2]).unwrap();
    }
}

#[test]
fn files_that_change_are_errors() {
    let mut model = Model::new(temporary());
    let bytes = fs::read(model.file.path()).unwrap();
    let path = model.file.path().to_owned();
    let write = |bytes: &[u8]| fs::write(&path, bytes).unwrap();
    for (pinned, cut) in [(&[][..], 20_000), (&[1, 2, 3, 4], 4)] {
        write(&bytes);
        model.checkpoint = Arc::new(Checkpoint::open(&path).unwrap());
        let mut stream = model.stream(&model.placement(pinned, 2), reader::best);
        model.round(&mut stream, &[1]).unwrap();
        write(&bytes[..bytes.len() - cut]);
        let error = model.round(&mut stream, &[2]).unwrap_err();
        assert!(matches!(error, StoreError::Changed { .. }), "{error}");
    }
}

#[test]
fn a_file_that_was_written_to_is_an_error() {
    let model = Model::new(temporary());
    let mut stream = model.stream(&model.placement(&[], 2), reader::best);
    model.round(&mut stream, &[1]).unwrap();
    // As far from the last change as any file system's clock is coarse.
    let later = std::time::SystemTime::now() + Duration::from_secs(2);
    File::options().write(true).open(model.file.path()).unwrap().set_modified(later).unwrap();
    let error = model.round(&mut stream, &[2]).unwrap_err();
    assert!(matches!(error, StoreError::Rewritten { .. }), "{error}");
}

/// The model with checksums beside its file, and with a byte of a tensor changed after they were made.
fn damaged(section: usize, tensor: usize, at: u64) -> (Model, tempfile::TempDir) {
    let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    let mut model = Model::new(NamedTempFile::new_in(folder.path()).unwrap());
    let path = model.file.path().to_owned();
    let checksums = crate::Checksums::compute(&model.checkpoint, 0, &mut |_| ControlFlow::Continue(()));
    fs::write(crate::sidecar_path(&path), checksums.unwrap().unwrap().to_json()).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[(model.checkpoint.tensors[&name(section, tensor)].offset + at) as usize] ^= 1;
    fs::write(&path, bytes).unwrap();
    model.checkpoint = Arc::new(Checkpoint::open(&path).unwrap().with_checksums().unwrap());
    (model, folder)
}

#[test]
fn a_byte_that_changed_is_an_error_that_names_its_tensor_each_time() {
    for (section, tensor, at) in [(1, 0, 7), (1, 1, 4999), (2, 0, 0), (3, 2, 3), (5, 0, 20_000)] {
        let (model, _folder) = damaged(section, tensor, at);
        for pinned in [&[][..], &[1, 2, 3, 4, 5]] {
            let mut stream = model.stream(&model.placement(pinned, 2), reader::best);
            for _ in 0..2 {
                let error = model.round(&mut stream, &[1]).unwrap_err();
                let StoreError::Damaged { place, .. } = &error else { panic!("{error}") };
                assert_eq!(*place, format!("tensor `{}`", name(section, tensor)));
                stream.restart();
            }
        }
    }
}

#[test]
fn a_row_that_changed_is_an_error_once_it_is_looked_at() {
    // All rows are in one piece, which is summed whole; so the damage is found with any of them.
    let (model, _folder) = damaged(0, 0, 300 * ROW as u64 + 5);
    let mut stream = model.stream(&model.placement(&[], 2), reader::best);
    for tokens in [&[300][..], &[299, 301], &[1]] {
        let error = model.round(&mut stream, tokens).unwrap_err();
        let StoreError::Damaged { place, .. } = &error else { panic!("{error}") };
        assert_eq!(place, "tensor `0.0`");
        stream.restart();
    }
}

#[test]
fn checksums_that_agree_change_nothing_also_for_parts_of_tensors() {
    // Damage beyond the last byte that anyone reads: the padding between two tensors.
    let (mut model, _folder) = damaged(1, 2, 36);
    let [WeightSource { info, shape, .. }] = &mut model.sections[2][..] else { panic!("one tensor") };
    let whole = info.clone();
    for (start, len) in [(0, 20_000), (4, 8000), (16_000, 4000)] {
        (info.offset, info.len, shape[1]) = (whole.offset + start, len, len as usize / 4);
        let bytes = &content(2, 0, 20_000)[start as usize..][..len as usize];
        model.checkpoint.check_sums(info, bytes).unwrap();
        let wrong: Vec<u8> = bytes.iter().rev().copied().collect();
        assert!(matches!(model.checkpoint.check_sums(info, &wrong), Err(StoreError::Damaged { .. })));
    }
    (*info, shape[1]) = (whole, 5000);
    let mut stream = model.stream(&model.placement(&[2], 2), reader::best);
    for round in 0..3 {
        model.round(&mut stream, &[round, 499]).unwrap();
    }
}

#[test]
fn weights_that_are_kept_leave_no_place_for_the_next() {
    let model = Model::new(temporary());
    let mut stream = model.stream(&model.placement(&[], 2), threads);
    stream.begin([1]).unwrap();
    let mut kept = Vec::new();
    let error = loop {
        match stream.take(kept.len(), &model.sections[kept.len()]) {
            Ok((blocks, _)) => kept.push(blocks),
            Err(error) => break error,
        }
    };
    assert_eq!(
        error.to_string(),
        "weights of 2 sections were not given back, so that section 3 has no place"
    );
    assert!(matches!(stream.begin([1]), Err(StoreError::Held { .. })));
    drop(kept);
    stream.restart();
    model.round(&mut stream, &[1]).unwrap();
}

#[test]
fn statistics_count_what_was_read() {
    let model = Model::new(temporary());
    let mut stream = model.stream(&model.placement(&[2, 4], 2), reader::best);
    model.round(&mut stream, &[]).unwrap();
    let first = stream.statistics();
    model.round(&mut stream, &[]).unwrap();
    let second = stream.statistics();
    let len = |len: fn(&[WeightSource]) -> usize, sections: &[usize]| -> u64 {
        sections.iter().map(|&section| len(&model.sections[section]) as u64).sum()
    };
    let pinned = len(pinned_len, &[2, 4]);
    assert_eq!((first.bytes_per_round, first.pinned_bytes), (len(staging_len, &[1, 3, 5]), pinned));
    assert!(first.bytes_read <= second.bytes_read, "{first:?} {second:?}");
    assert!(second.bytes_read >= 2 * len(staging_len, &[1, 3]) + pinned, "{second:?}");
}
