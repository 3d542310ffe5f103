//! Small files with known contents.
#![allow(dead_code, reason = "not every test file uses all of it")]

use std::path::Path;

use dewdrop_format::BlockType;
use dewdrop_format::gguf::{Metadata, Writer};

type Tensors<'a> = &'a [(&'a str, &'a [f32])];

/// A GGUF file of F32 vectors.
pub(crate) fn gguf(tensors: Tensors<'_>) -> Vec<u8> {
    write(Metadata::new(Path::new("test")), tensors)
}

/// Part `number` (from 0) of a split GGUF file.
pub(crate) fn shard(number: u32, count: u32, tensors: Tensors<'_>) -> Vec<u8> {
    let mut metadata = Metadata::new(Path::new("test"));
    metadata.insert("split.no", number);
    metadata.insert("split.count", count);
    write(metadata, tensors)
}

fn write(metadata: Metadata, tensors: Tensors<'_>) -> Vec<u8> {
    let mut writer = Writer::new(metadata).unwrap();
    for (name, values) in tensors {
        writer.declare(name, &[values.len()], BlockType::F32).unwrap();
    }
    let mut data = writer.start(Vec::new()).unwrap();
    for (name, values) in tensors {
        data.write(name, &bytes(values)).unwrap();
    }
    data.finish().unwrap()
}

/// A safetensors file of F32 vectors.
pub(crate) fn safetensors(tensors: Tensors<'_>) -> Vec<u8> {
    let (mut entries, mut data) = (Vec::new(), Vec::new());
    for (name, values) in tensors {
        let (start, n) = (data.len(), values.len());
        data.extend(bytes(values));
        let end = data.len();
        entries.push(format!(r#""{name}":{{"dtype":"F32","shape":[{n}],"data_offsets":[{start},{end}]}}"#));
    }
    let header = format!("{{{}}}", entries.join(","));
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
