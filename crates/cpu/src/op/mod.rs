//! Operations over all rows of a pass: cut into tasks, run on the pool, each task a kernel of [`crate::body`].
//!
//! How an operation is cut never shows in its result: every value is computed whole, by one task, in the order that
//! `docs/arithmetic.md` gives.

pub(crate) mod attend;
pub(crate) mod delta_rule;
mod embed;
mod glu;
pub(crate) mod linear;
mod norm;
mod short_conv;
mod unembed;

#[cfg(test)]
mod tests;
