//! A tiny model whose answers are known: after a letter comes the next one, after `z` the end, after all else `a`.
//!
//! A llama of one layer with a token for each byte. The layer adds nothing. Each letter's embedding is a direction of its
//! own, and all other tokens share one; the head's row of a token is the direction of what it follows. So the likeliest
//! token has a logit of 8 (the root of the width), and all others have 0.

use std::fs::File;
use std::path::{Path, PathBuf};

use dewdrop_format::BlockType;
use dewdrop_format::gguf::{Array, Metadata, Strings, Value, Writer};

/// Floats of the residual stream.
const WIDTH: usize = 64;
const HEAD: usize = 32;
const N_TOKENS: usize = 259;
/// Token that ends an answer.
const END: usize = 258;
const CONTEXT: usize = 256;

const TEMPLATE: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n\
    {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// Whether the file says how conversations are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Template {
    Chat,
    None,
}

/// Writes the model into a folder.
pub fn write(folder: &Path, template: Template) -> PathBuf {
    let path = folder.join("alphabet.gguf");
    let mut writer = Writer::new(metadata(&path, template)).expect("an alignment");
    let tensors = tensors();
    for (name, shape, _) in &tensors {
        writer.declare(name, shape, BlockType::F32).expect("a tensor");
    }
    let mut data = writer.start(File::create(&path).expect("a file")).expect("a header");
    for (name, _, values) in &tensors {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        data.write(name, &bytes).expect("its data");
    }
    data.finish().expect("an end");
    path
}

fn metadata(path: &Path, template: Template) -> Metadata {
    let mut metadata = Metadata::new(path);
    let mut number = |key: &str, n: usize| metadata.insert(key, Value::U32(u32::try_from(n).expect("small")));
    number("llama.context_length", CONTEXT);
    number("llama.embedding_length", WIDTH);
    number("llama.block_count", 1);
    number("llama.feed_forward_length", WIDTH);
    number("llama.attention.head_count", WIDTH / HEAD);
    number("llama.attention.head_count_kv", 1);
    number("llama.rope.dimension_count", HEAD);
    number("tokenizer.ggml.eos_token_id", END);
    metadata.insert("general.architecture", Value::String("llama".into()));
    metadata.insert("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-6));
    metadata.insert("tokenizer.ggml.model", Value::String("gpt2".into()));
    metadata.insert("tokenizer.ggml.pre", Value::String("qwen2".into()));
    metadata.insert("tokenizer.ggml.add_bos_token", Value::Bool(false));
    metadata.insert("tokenizer.ggml.tokens", Value::Array(Array::String(tokens())));
    let kinds = (0..N_TOKENS).map(|id| if id < 256 { 1 } else { 3 }).collect();
    metadata.insert("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds)));
    metadata.insert("tokenizer.ggml.merges", Value::Array(Array::String(Strings::default())));
    if template == Template::Chat {
        metadata.insert("tokenizer.chat_template", Value::String(TEMPLATE.into()));
    }
    metadata
}

/// A token per byte, written as GPT-2 writes bytes, then the special ones.
fn tokens() -> Strings {
    let mut n_moved = 0;
    let bytes = (0_u8..=255).map(|byte| match byte {
        33..=126 | 161..=172 | 174..=255 => char::from(byte).to_string(),
        _ => {
            n_moved += 1;
            char::from_u32(255 + n_moved).expect("a character").to_string()
        }
    });
    let special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"].map(String::from);
    bytes.chain(special).collect()
}

type Tensor = (&'static str, Vec<usize>, Vec<f32>);

fn tensors() -> Vec<Tensor> {
    let embedding: Vec<Vec<f32>> = (0..N_TOKENS).map(|id| unit(direction(id))).collect();
    let mut head = vec![vec![0.0; WIDTH]; N_TOKENS];
    for id in 0..N_TOKENS {
        head[successor(id)] = unit(direction(id));
    }
    let zeros = |n_out: usize, n_in: usize| (vec![n_out, n_in], vec![0.0; n_out * n_in]);
    let ones = || (vec![WIDTH], vec![1.0; WIDTH]);
    let table = |rows: Vec<Vec<f32>>| (vec![N_TOKENS, WIDTH], rows.concat());
    let tensor = |name, (shape, values)| (name, shape, values);
    vec![
        tensor("token_embd.weight", table(embedding)),
        tensor("blk.0.attn_norm.weight", ones()),
        tensor("blk.0.attn_q.weight", zeros(WIDTH, WIDTH)),
        tensor("blk.0.attn_k.weight", zeros(HEAD, WIDTH)),
        tensor("blk.0.attn_v.weight", zeros(HEAD, WIDTH)),
        tensor("blk.0.attn_output.weight", zeros(WIDTH, WIDTH)),
        tensor("blk.0.ffn_norm.weight", ones()),
        tensor("blk.0.ffn_gate.weight", zeros(WIDTH, WIDTH)),
        tensor("blk.0.ffn_up.weight", zeros(WIDTH, WIDTH)),
        tensor("blk.0.ffn_down.weight", zeros(WIDTH, WIDTH)),
        tensor("output_norm.weight", ones()),
        tensor("output.weight", table(head)),
    ]
}

fn successor(id: usize) -> usize {
    match u8::try_from(id) {
        Ok(b'z') => END,
        Ok(letter @ b'a'..=b'y') => usize::from(letter) + 1,
        _ => usize::from(b'a'),
    }
}

/// Letters have the first directions, everything else has the one behind them.
fn direction(id: usize) -> usize {
    match u8::try_from(id) {
        Ok(letter @ b'a'..=b'z') => usize::from(letter - b'a'),
        _ => 26,
    }
}

fn unit(direction: usize) -> Vec<f32> {
    (0..WIDTH).map(|i| if i == direction { 1.0 } else { 0.0 }).collect()
}
