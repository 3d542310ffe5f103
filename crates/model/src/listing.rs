//! Programs as text, for people and for tests.

use std::fmt::{self, Display, Formatter};

use dewdrop_backend::{Op, Program, Register, Section, StateSpec, WeightSlot};

/// A program as text: a line per operation, in the manner of an assembler's listing.
pub struct Listing<'a>(
    /// The program.
    pub &'a Program,
);

impl Display for Listing<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let program = self.0;
        writeln!(f, "program n_vocab={} width={}", program.n_vocab, program.width)?;
        writeln!(f, "registers {:?}, residual {}", program.registers, Reg(program.residual))?;
        for (index, rope) in program.ropes.iter().enumerate() {
            let n = 2 * rope.frequencies.len();
            let ends = rope.frequencies.first().zip(rope.frequencies.last());
            let (first, last) = ends.unwrap_or((&0.0, &0.0));
            writeln!(
                f,
                "rope{index} {:?} n={n} {first:.6} .. {last:.6} factor={}",
                rope.pairing, rope.factor
            )?;
        }
        for (index, state) in program.states.iter().enumerate() {
            writeln!(f, "state{index} {}", State(state))?;
        }
        program.sections.iter().try_for_each(|section| {
            writeln!(f, "\n{}:", section.name)?;
            section.ops.iter().try_for_each(|op| writeln!(f, "    {}", Line { section, op }))
        })
    }
}

struct Reg(Register);

impl Display for Reg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0.0)
    }
}

struct State<'a>(&'a StateSpec);

impl Display for State<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            StateSpec::Attention { n_kv_heads, head_dim, window } => {
                write!(f, "attention {n_kv_heads}x{head_dim}")?;
                window.map_or(Ok(()), |window| write!(f, " window={window}"))
            }
            StateSpec::Recurrent { channels, history, n_heads: 0, .. } => {
                write!(f, "recurrent {channels}x{history}")
            }
            StateSpec::Recurrent { channels, history, n_heads, key_dim, value_dim } => {
                write!(f, "recurrent {channels}x{history} + {n_heads}x{key_dim}x{value_dim}")
            }
        }
    }
}

/// An operation with its weights by role.
struct Line<'a> {
    section: &'a Section,
    op: &'a Op,
}

impl Line<'_> {
    /// `role[n_out, n_in]`.
    fn weight(&self, slot: WeightSlot) -> String {
        match self.section.weights.get(usize::from(slot.0)) {
            None => format!("slot {}?", slot.0),
            Some(spec) if spec.n_out == 1 => format!("{}[{}]", spec.role, spec.n_in),
            Some(spec) => format!("{}[{}, {}]", spec.role, spec.n_out, spec.n_in),
        }
    }

    fn and(&self, slot: Option<WeightSlot>) -> String {
        slot.map_or_else(String::new, |slot| format!(" + {}", self.weight(slot)))
    }
}

fn becomes(out: Register, add: bool) -> String {
    format!("{} {}=", Reg(out), if add { "+" } else { "" })
}

impl Display for Line<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.op {
            Op::Embed { table, scale, out } => {
                write!(f, "{} embed {} * {scale}", becomes(*out, false), self.weight(*table))
            }
            Op::Norm { input, weight, eps, out, add } => {
                let weight = weight.map_or("1".into(), |weight| self.weight(weight));
                write!(f, "{} norm {}, {weight} eps={eps}", becomes(*out, *add), Reg(*input))
            }
            Op::Linear { input, weight, bias, out, add, .. } => {
                let (weight, bias) = (self.weight(*weight), self.and(*bias));
                write!(f, "{} linear {}, {weight}{bias}", becomes(*out, *add), Reg(*input))
            }
            Op::Attend { q, k, v, out, state, spec } => {
                write!(f, "{} attend {}, {}, {}", becomes(*out, false), Reg(*q), Reg(*k), Reg(*v))?;
                write!(f, " state{state} heads={}/{}x{}", spec.n_heads, spec.n_kv_heads, spec.head_dim)?;
                write!(f, " scale={}", spec.scale)?;
                for norm in spec.q_norm.iter().chain(&spec.k_norm) {
                    write!(f, " {}", self.weight(*norm))?;
                }
                spec.rope.map_or(Ok(()), |rope| write!(f, " rope{rope}"))?;
                spec.window.map_or(Ok(()), |window| write!(f, " window={window}"))?;
                if spec.gated { f.write_str(" gated") } else { Ok(()) }
            }
            Op::DeltaRule { qkv, z, beta, alpha, out, conv, decay, dt_bias, norm, state, spec } => {
                write!(f, "{} delta_rule {}, {}", becomes(*out, false), Reg(*qkv), Reg(*z))?;
                write!(f, ", {}, {} state{state} {:?}", Reg(*beta), Reg(*alpha), spec.order)?;
                write!(f, " keys={}x{}", spec.n_key_heads, spec.key_dim)?;
                write!(f, " values={}x{}", spec.n_value_heads, spec.value_dim)?;
                [conv, decay, dt_bias, norm]
                    .into_iter()
                    .try_for_each(|slot| write!(f, " {}", self.weight(*slot)))
            }
            Op::ShortConv { bcx, out, conv, bias, state, .. } => {
                let (conv, bias) = (self.weight(*conv), self.and(*bias));
                write!(f, "{} short_conv {} state{state} {conv}{bias}", becomes(*out, false), Reg(*bcx))
            }
            Op::Glu { gate, up, out, activation, .. } => {
                write!(f, "{} glu {}, {} {activation:?}", becomes(*out, false), Reg(*gate), Reg(*up))
            }
            Op::Unembed { input, weight, softcap, .. } => {
                write!(f, "unembed {}, {}", Reg(*input), self.weight(*weight))?;
                softcap.map_or(Ok(()), |cap| write!(f, " softcap={cap}"))
            }
        }
    }
}
