//! Sessions, batches of rows, sampling.
