//! Why there is no plan, and what helps.

use std::fmt;

/// Keys and values of a larger share of the least budget are spoken of.
const STATE_SHARE: u64 = 10;

/// Why there is no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSmall {
    /// The budget.
    pub budget: u64,
    /// Somebody asked for it; otherwise it is what the system has to spare.
    pub is_given: bool,
    /// The smallest that works.
    pub least: u64,
    /// Bytes that each token then waits for.
    pub streamed: u64,
    /// Bytes of keys and values within the least.
    pub state: u64,
}

impl fmt::Display for TooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let budget = mebibytes(self.budget);
        if self.is_given {
            write!(f, "a memory budget of {budget} is")?;
        } else {
            write!(f, "{budget}, which the system has to spare, are")?;
        }
        let (least, streamed) = (mebibytes(self.least), mebibytes(self.streamed));
        write!(
            f,
            " too small for this model: {least} is the least, and each token then reads {streamed} from disk"
        )?;
        if self.state < self.least / STATE_SHARE {
            return Ok(());
        }
        write!(
            f,
            " (keys and values are {} of that: they take less with a shorter context, `-c`, in q8_0, `-ctk` and `-ctv`, \
             or with fewer prompts at a time, `--parallel`)",
            mebibytes(self.state)
        )
    }
}

impl std::error::Error for TooSmall {}

/// Rounded up, as `120 MiB`.
fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn nobody_is_blamed_for_a_budget_that_he_did_not_give_and_what_helps_is_told() {
        let given =
            TooSmall { budget: MIB, is_given: true, least: 80 * MIB, streamed: 9 * MIB, state: 7 * MIB };
        assert_eq!(
            given.to_string(),
            "a memory budget of 1 MiB is too small for this model: 80 MiB is the least, and each token then reads 9 MiB \
             from disk"
        );
        let found = TooSmall { is_given: false, state: 8 * MIB, ..given }.to_string();
        assert!(
            found.starts_with("1 MiB, which the system has to spare, are too small for this model"),
            "{found}"
        );
        assert!(found.contains("(keys and values are 8 MiB of that: ") && found.contains("`-c`"), "{found}");
    }
}
