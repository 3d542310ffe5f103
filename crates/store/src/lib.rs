//! Where weights live: mapped or resident.
