//! On-device inference for language models.
