//! Converting and evaluating models.

#![forbid(unsafe_code)]

pub mod convert;
pub mod evaluate;
