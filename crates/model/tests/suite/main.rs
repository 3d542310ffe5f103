//! Families, from configs to claims: made-up configs, hostile ones, and the reference checkpoints where they are.

mod checkpoint;
mod hostile;
mod mutation;
mod program;
mod reference;
mod rope;
