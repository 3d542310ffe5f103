//! The oracle against plain f64 mathematics, against itself (rows alone, in batches, in pieces), and against kept bits.

mod exact;
mod golden;
mod laws;
mod operations;
mod refusals;
mod sample;
