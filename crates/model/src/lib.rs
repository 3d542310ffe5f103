//! Model families as data: from a config to a program.
