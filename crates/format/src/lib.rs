//! Bytes on disk: GGUF, safetensors, block types.
