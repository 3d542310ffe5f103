//! The vocabulary of operations, the arithmetic, and the oracle.
