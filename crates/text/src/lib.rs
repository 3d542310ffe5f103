//! Tokenizers, incremental detokenizing, chat templates.
