//! Checks of numbers that clap does not have.

use std::num::NonZeroUsize;

/// A count from one up.
pub(crate) fn positive(text: &str) -> Result<usize, String> {
    match text.parse::<NonZeroUsize>() {
        Ok(n) => Ok(n.get()),
        Err(_) => Err("expected a whole number from 1 up".into()),
    }
}

/// Bytes: a number, with `K`, `M`, `G` or `T` in powers of 1024, as in `1.5G` (or `1.5GiB`).
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong = || "expected a size, as in 2G, 1.5GiB or 800M".to_string();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit.to_ascii_uppercase().trim_end_matches("IB").trim_end_matches('B') {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let bytes = number * 2f64.powi(shift);
    if (1.0..2f64.powi(60)).contains(&bytes) { Ok(bytes as u64) } else { Err(wrong()) }
}

/// A count; `-1`, as llama.cpp writes it, is no limit.
pub(super) fn limit(text: &str) -> Result<Limit, String> {
    if text == "-1" {
        return Ok(Limit(None));
    }
    let n = text.parse().map_err(|_| "expected a whole number from 0 up, or -1 for no limit")?;
    Ok(Limit(Some(n)))
}

/// At most so many, if that is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<usize>);

/// A seed; `-1`, as llama.cpp writes it, is one that nobody chose.
pub(super) fn seed(text: &str) -> Result<Seed, String> {
    if text == "-1" {
        return Ok(Seed(None));
    }
    let seed = text.parse().map_err(|_| "expected a whole number below 2^64, or -1 for a random one")?;
    Ok(Seed(Some(seed)))
}

/// The seed that was chosen, if one was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(pub(crate) Option<u64>);

/// A token's id and what is added to its logit, `ID=VALUE`.
pub(super) fn bias(text: &str) -> Result<(u32, f32), String> {
    let wrong = || "expected a token's id and a number, as in `15=-2.5`".to_string();
    let (id, value) = text.split_once('=').ok_or_else(wrong)?;
    Ok((id.parse().map_err(|_| wrong())?, value.parse().map_err(|_| wrong())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minus_one_is_no_limit_and_no_seed() {
        assert_eq!(limit("-1"), Ok(Limit(None)));
        assert_eq!(limit("0"), Ok(Limit(Some(0))));
        assert!(limit("-2").is_err());
        assert_eq!(seed("-1"), Ok(Seed(None)));
        assert_eq!(seed("18446744073709551615"), Ok(Seed(Some(u64::MAX))));
        assert!(seed("18446744073709551616").is_err());
    }

    #[test]
    fn counts_begin_at_one() {
        assert_eq!(positive("1"), Ok(1));
        assert!(positive("0").is_err() && positive("-1").is_err());
    }

    #[test]
    fn sizes_are_in_powers_of_1024() {
        assert_eq!(size("2G"), Ok(2 << 30));
        assert_eq!(size("1.5GiB"), Ok(3 << 29));
        assert_eq!(size("800mb"), Ok(800 << 20));
        assert_eq!(size("4096"), Ok(4096));
        for wrong in ["", "G", "-1G", "1X", "0", "1e9G", "1..5M", "nan"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_bias_is_an_id_and_a_number() {
        assert_eq!(bias("15=-2.5"), Ok((15, -2.5)));
        for wrong in ["15", "x=1", "15=", "-1=2"] {
            assert!(bias(wrong).is_err(), "{wrong}");
        }
    }
}
