//! Kernels: one body per operation, generic over [`crate::lanes::Lanes`].

pub(crate) mod attend;
pub(crate) mod conv;
pub(crate) mod decode;
pub(crate) mod delta_rule;
pub(crate) mod float_product;
pub(crate) mod float_row;
pub(crate) mod glu;
pub(crate) mod integer_product;
pub(crate) mod math;
pub(crate) mod next;
pub(crate) mod norm;
pub(crate) mod pair_product;
pub(crate) mod quantize;
pub(crate) mod rope;
pub(crate) mod round;
pub(crate) mod target;
pub(crate) mod tiles;
