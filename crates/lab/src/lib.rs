//! Converting and evaluating models.
