//! The command `dewdrop`.
fn main() {}
