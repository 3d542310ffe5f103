use super::*;
use proptest::prelude::*;

/// A function, what it should be, where the bound holds, and the bound on its error.
struct Case {
    name: &'static str,
    ours: fn(f32) -> f32,
    exact: fn(f64) -> f64,
    from: f32,
    to: f32,
    bound: Bound,
}

enum Bound {
    /// Of the result's last place, which for denormals is the smallest denormal.
    Ulps(f64),
    Absolute(f64),
}

const CASES: &[Case] = &[
    Case { name: "exp", ours: exp, exact: libm::exp, from: -104.5, to: 88.722_83, bound: Bound::Ulps(1.0) },
    Case { name: "ln", ours: ln, exact: libm::log, from: 0.0, to: f32::MAX, bound: Bound::Ulps(1.0) },
    Case {
        name: "ln_1p",
        ours: ln_1p,
        exact: libm::log1p,
        from: -1.0,
        to: f32::MAX,
        bound: Bound::Ulps(3.0),
    },
    Case {
        name: "sigmoid",
        ours: sigmoid,
        exact: exact_sigmoid,
        from: -88.7,
        to: 1e30,
        bound: Bound::Ulps(3.0),
    },
    Case { name: "silu", ours: silu, exact: exact_silu, from: -88.7, to: 1e30, bound: Bound::Ulps(4.0) },
    Case {
        name: "gelu_tanh",
        ours: gelu_tanh,
        exact: exact_gelu,
        from: 0.0,
        to: 1e12,
        bound: Bound::Ulps(4.0),
    },
    Case {
        name: "gelu_tanh",
        ours: gelu_tanh,
        exact: exact_gelu,
        from: -1e12,
        to: 0.0,
        bound: Bound::Absolute(1e-7),
    },
    Case {
        name: "softplus",
        ours: softplus,
        exact: exact_softplus,
        from: -104.5,
        to: 1e30,
        bound: Bound::Ulps(4.0),
    },
    Case { name: "tanh", ours: tanh, exact: libm::tanh, from: -1e30, to: 1e30, bound: Bound::Absolute(2e-7) },
];

fn exact_sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

fn exact_silu(x: f64) -> f64 {
    x * exact_sigmoid(x)
}

fn exact_gelu(x: f64) -> f64 {
    x * exact_sigmoid(2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x))
}

fn exact_softplus(x: f64) -> f64 {
    if x > 40.0 { x } else { libm::log1p(libm::exp(x)) }
}

impl Case {
    /// The largest error over every `step`-th f32, and where it is.
    fn worst(&self, step: usize) -> (f64, f32) {
        let mut worst = (0.0, 0.0);
        for bits in (0..=u32::MAX).step_by(step) {
            let x = f32::from_bits(bits);
            if x >= self.from && x <= self.to {
                let error = self.error(x);
                if error.is_nan() || error > worst.0 {
                    worst = (if error.is_nan() { f64::INFINITY } else { error }, x);
                }
            }
        }
        worst
    }

    fn error(&self, x: f32) -> f64 {
        let (ours, exact) = (f64::from((self.ours)(x)), (self.exact)(f64::from(x)));
        if ours == exact {
            return 0.0;
        }
        let error = (ours - exact).abs();
        match self.bound {
            Bound::Ulps(_) => error / ulp(exact),
            Bound::Absolute(_) => error,
        }
    }

    fn check(&self, step: usize) {
        let (error, x) = self.worst(step);
        let (Bound::Ulps(bound) | Bound::Absolute(bound)) = self.bound;
        let got = (self.ours)(x);
        assert!(error <= bound, "{}({x:e}) = {got:e}: error {error:.3e}, bound {bound:.3e}", self.name);
    }
}

/// The last place of f32 values around `x`.
fn ulp(x: f64) -> f64 {
    let exponent = libm::ilogb(x).max(-126) - 23;
    libm::ldexp(1.0, exponent)
}

#[test]
fn errors_stay_in_their_bounds() {
    CASES.iter().for_each(|case| case.check(19_997));
}

#[test]
#[ignore = "an hour: every f32"]
fn errors_stay_in_their_bounds_everywhere() {
    CASES.iter().for_each(|case| case.check(1));
}

#[test]
#[ignore = "prints what the table in docs/arithmetic.md says"]
fn errors() {
    let step = std::env::var("STEP").map_or(997, |step| step.parse().expect("STEP is a number"));
    for case in CASES {
        let (error, x) = case.worst(step);
        eprintln!("{:9} {error:.4e} at {x:e}", case.name);
    }
}

#[test]
fn edges_of_exp() {
    assert_eq!((exp(0.0), exp(-0.0)), (1.0, 1.0));
    assert_eq!((exp(f32::INFINITY), exp(f32::NEG_INFINITY)), (f32::INFINITY, 0.0));
    assert_eq!(
        (exp(f32::MAX), exp(f32::MIN), exp(88.722_84), exp(-104.0)),
        (f32::INFINITY, 0.0, f32::INFINITY, 0.0)
    );
    assert!(exp(f32::NAN).is_nan() && exp(88.722_83).is_finite());
    assert_eq!(exp(-103.5), f32::from_bits(1));
    assert_eq!(exp(f32::from_bits(1)), 1.0);
}

#[test]
fn edges_of_ln() {
    assert_eq!((ln(0.0), ln(-0.0)), (f32::NEG_INFINITY, f32::NEG_INFINITY));
    assert_eq!((ln(1.0).to_bits(), ln(f32::INFINITY)), (0, f32::INFINITY));
    for x in [f32::NAN, -1.0, -f32::from_bits(1), f32::NEG_INFINITY] {
        assert!(ln(x).is_nan(), "ln({x})");
    }
    assert_eq!(ln(f32::from_bits(1)), -103.278_93);
    assert_eq!((ln_1p(0.0).to_bits(), ln_1p(-0.0).to_bits()), (0, 0x8000_0000));
    assert_eq!((ln_1p(f32::INFINITY), ln_1p(-1.0)), (f32::INFINITY, f32::NEG_INFINITY));
    assert_eq!(ln_1p(f32::from_bits(1)), f32::from_bits(1));
    assert!(ln_1p(f32::NAN).is_nan() && ln_1p(-1.5).is_nan());
}

#[test]
fn edges_of_activations() {
    let (inf, tiny) = (f32::INFINITY, f32::from_bits(1));
    assert_eq!((sigmoid(-inf), sigmoid(inf), sigmoid(0.0), sigmoid(-89.0)), (0.0, 1.0, 0.5, 0.0));
    assert_eq!((silu(inf), silu(-1e30).to_bits(), silu(0.0)), (inf, 0x8000_0000, 0.0));
    assert_eq!((gelu_tanh(inf), gelu_tanh(-1e12).to_bits(), gelu_tanh(0.0)), (inf, 0x8000_0000, 0.0));
    assert_eq!((softplus(inf), softplus(-inf), softplus(20.5)), (inf, 0.0, 20.5));
    assert_eq!((tanh(inf), tanh(-inf), tanh(-0.0).to_bits(), tanh(tiny)), (1.0, -1.0, 0, 0.0));
    for f in [sigmoid, silu, gelu_tanh, softplus, tanh] {
        assert!(f(f32::NAN).is_nan());
    }
}

#[test]
fn edges_of_sums() {
    assert_eq!((dot(&[], &[]).to_bits(), sum(&[]).to_bits()), (0, 0));
    assert!(dot(&[f32::NAN], &[0.0]).is_nan() && sum(&[f32::INFINITY, f32::NEG_INFINITY]).is_nan());
    // Filling up with zeros makes a sum of sixteen -0 and a partial sixteen +0.
    assert_eq!(sum(&[-0.0; 16]).to_bits(), 0);
    // Products that underflow to -0 in all lanes sum to -0; another sixteen, of zeros, makes it +0.
    let (a, b) = ([-1e-30; 16], [1e-30; 16]);
    assert_eq!(dot(&a, &b).to_bits(), 0x8000_0000);
    let filled = |x: [f32; 16]| [x, [0.0; 16]].concat();
    assert_eq!(dot(&filled(a), &filled(b)).to_bits(), 0);
}

proptest! {
    #[test]
    fn sums_are_close(pairs in prop::collection::vec((-8f32..8.0, -8f32..8.0), 0..400)) {
        let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
        let exact: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        let size: f64 = a.iter().zip(&b).map(|(a, b)| (f64::from(*a) * f64::from(*b)).abs()).sum();
        prop_assert!((f64::from(dot(&a, &b)) - exact).abs() <= size * 3e-6);
        let (exact, size) = a.iter().fold((0.0, 0.0), |(e, s), x| (e + f64::from(*x), s + f64::from(x.abs())));
        prop_assert!((f64::from(sum(&a)) - exact).abs() <= size * 3e-6);
    }

    /// Bit for bit within the last sixteen, which the definition fills up; beyond it but for the sign of a zero.
    #[test]
    fn zeros_at_the_end_change_nothing(a in prop::collection::vec(-1e-20f32..1e-20, 1..40), n in 0usize..40) {
        let b: Vec<f32> = a.iter().rev().map(|x| -x * 1e-8).collect();
        let with_zeros = |x: &[f32]| [x, &vec![0.0; n]].concat();
        let bits = |x: f32| if a.len() + n <= a.len().next_multiple_of(16) { x.to_bits() } else { (x + 0.0).to_bits() };
        prop_assert_eq!(bits(dot(&a, &b)), bits(dot(&with_zeros(&a), &with_zeros(&b))));
        prop_assert_eq!(bits(sum(&a)), bits(sum(&with_zeros(&a))));
    }
}

/// Bits that must not change: they are what other devices compute as well.
#[test]
fn golden() {
    const X: [f32; 6] = [-101.3, -7.25, -0.3, 1e-3, 0.9, 13.6];
    let bits = |f: fn(f32) -> f32| X.map(|x| f(x).to_bits());
    let found = [
        ("exp", bits(exp)),
        ("ln", X.map(|x| ln(x.abs()).to_bits())),
        ("ln_1p", X.map(|x| ln_1p(x.abs()).to_bits())),
        ("sigmoid", bits(sigmoid)),
        ("silu", bits(silu)),
        ("gelu_tanh", bits(gelu_tanh)),
        ("softplus", bits(softplus)),
        ("tanh", bits(tanh)),
    ];
    for ((name, found), want) in found.iter().zip(GOLDEN) {
        assert_eq!((*name, *found), *want, "{found:#010x?}");
    }
    let x: Vec<f32> = (0..53).map(|i| (i as f32 * 0.37).fract() - 0.41).collect();
    let sums = [dot(&x, &x), sum(&x), inverse_rms(&x, 1e-6)].map(f32::to_bits);
    assert_eq!(sums, [0x4099_f486, 0x4084_2903, 0x4054_6b44], "{sums:#010x?}");
}

const GOLDEN: &[(&str, [u32; 6])] = &[
    ("exp", [0x0000_0007, 0x3a3a_2aff, 0x3f3d_a643, 0x3f80_20c9, 0x401d_6a23, 0x4944_cf21]),
    ("ln", [0x4093_c75d, 0x3ffd_9175, 0xbf9a_1bc8, 0xc0dd_0c55, 0xbdd7_c745, 0x4027_0b62]),
    ("ln_1p", [0x4094_17d6, 0x4007_0dbc, 0x3e86_549d, 0x3a83_01aa, 0x3f24_5089, 0x402b_95db]),
    ("sigmoid", [0x0000_0000, 0x3a3a_092d, 0x3ed9_e2ac, 0x3f00_1062, 0x3f36_00c9, 0x3f7f_ffec]),
    ("silu", [0x8000_0000, 0xbba8_9851, 0xbe02_bb34, 0x3a03_2336, 0x3f23_cd81, 0x4159_9989]),
    ("gelu_tanh", [0x8000_0000, 0xa4f5_27e3, 0xbdea_c2a8, 0x3a03_2d35, 0x3f3b_f666, 0x4159_999a]),
    ("softplus", [0x0000_0007, 0x3a3a_1a14, 0x3f0d_ea39, 0x3f31_92df, 0x3f9e_de21, 0x4159_999b]),
    ("tanh", [0xbf80_0000, 0xbf7f_ffef, 0xbe95_26ec, 0x3a83_1000, 0x3f37_5f4a, 0x3f80_0000]),
];
