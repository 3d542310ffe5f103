//! Models in several files.

use std::path::{Path, PathBuf};

use dewdrop_format::gguf::{self, Gguf, Split, merge_shards, shard_paths};

use super::Raw;

/// Shard `number` of `count`, with one tensor.
fn shard(number: u32, count: u32, tensor: &str) -> Gguf {
    let raw =
        Raw::new(1, 3).entry("split.no", number).entry("split.count", count).entry("split.tensors.count", 2);
    let bytes = raw.tensor(tensor, &[8], 0, 0).data(32).0;
    let path = format!("m-{:05}-of-{count:05}.gguf", number + 1);
    gguf::parse(Path::new(&path), &bytes, bytes.len() as u64, number as usize).unwrap()
}

fn refusal(shards: Vec<Gguf>) -> String {
    merge_shards(shards).unwrap_err().to_string()
}

#[test]
fn shards_become_one() {
    let merged = merge_shards(vec![shard(0, 2, "a"), shard(1, 2, "b")]).unwrap();
    let tensors: Vec<_> = merged.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.file)).collect();
    assert_eq!(tensors, [("a", 0), ("b", 1)]);
}

#[test]
fn shards_that_do_not_belong_together_are_refused() {
    let cases = [
        refusal(vec![shard(0, 2, "a")]),
        refusal(vec![shard(1, 2, "b"), shard(0, 2, "a")]),
        refusal(vec![shard(0, 2, "a"), shard(1, 3, "b")]),
        refusal(vec![shard(0, 2, "a"), shard(1, 2, "a")]),
        refusal(vec![shard(0, 3, "a"), shard(1, 3, "b"), shard(2, 3, "c")]),
    ];
    insta::assert_snapshot!(cases.join("\n"), @"
    m-00001-of-00002.gguf: shard 1 of 2, expected shard 1 of 1 (are all shards of one model in this folder?)
    m-00002-of-00002.gguf: shard 2 of 2, expected shard 1 of 2 (are all shards of one model in this folder?)
    m-00002-of-00003.gguf: shard 2 of 3, expected shard 2 of 2 (are all shards of one model in this folder?)
    m-00001-of-00002.gguf: tensor `a` appears twice (damaged file? fetch it again)
    m-00001-of-00003.gguf: 3 tensors in 3 shards, expected 2 (are all shards of one model in this folder?)
    ");
}

#[test]
fn a_number_beyond_the_count_is_refused() {
    let refusal = |raw: Raw| super::parse(&raw.0).unwrap().split().unwrap_err();
    insta::assert_snapshot!(refusal(Raw::new(0, 2).entry("split.no", 4).entry("split.count", 3)), @"m.gguf: keys `split.no`, `split.count`: number 4 of 3, expected a number below a count of at most 65535 (written by a faulty tool? convert the model again)");
    insta::assert_snapshot!(refusal(Raw::new(0, 1).entry("split.count", 3)), @"m.gguf: keys `split.no`, `split.count`: no number of 3, expected a number below a count of at most 65535 (written by a faulty tool? convert the model again)");
    insta::assert_snapshot!(refusal(Raw::new(0, 2).entry("split.no", 4).entry("split.count", 70_000)), @"m.gguf: keys `split.no`, `split.count`: number 4 of 70000, expected a number below a count of at most 65535 (written by a faulty tool? convert the model again)");
}

#[test]
fn a_whole_model_is_no_split() {
    assert_eq!(super::parse(&Raw::new(0, 0).0).unwrap().split().unwrap(), None);
    assert_eq!(super::parse(&Raw::new(0, 1).entry("split.count", 1).0).unwrap().split().unwrap(), None);
}

#[test]
fn any_shard_names_all() {
    let split = Split { number: 1, count: 3 };
    let paths = shard_paths(Path::new("folder/m-00002-of-00003.gguf"), split).unwrap();
    let names = ["m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"];
    assert_eq!(paths, names.map(|name| PathBuf::from("folder").join(name)));
    let error = shard_paths(Path::new("folder/renamed.gguf"), split).unwrap_err();
    insta::assert_snapshot!(error, @"folder/renamed.gguf: a file name that does not end in `-00002-of-00003.gguf`, expected the name of shard 2 of 3 (are all shards of one model in this folder?)");
}
