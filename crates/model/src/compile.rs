//! From a descriptor to a program: one way for all families.

use dewdrop_backend::{Attention, Op, Program, Register, Section, StateSpec, WeightSlot, WeightSpec};

use crate::descriptor::{self, Descriptor, FeedForward, Mixer};

/// What a register is for. Layers share registers; values of the same purpose but another width have their own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// The residual stream.
    Residual,
    /// What a mixer or a feed-forward starts from.
    Normed,
    /// What it projects that to.
    Projected(u8),
    /// What it yields, before the projection back to the stream's width.
    Mixed,
    /// That projection, where it is normed before it is added to the stream.
    Branch,
}

/// The program of a model that [`describe`](crate::describe) returned.
pub fn compile(model: &Descriptor) -> Program {
    let mut c = Compiler::new(model);

    c.section("entry".into());
    let table = c.weight("token_embd.weight", model.n_vocab, model.width);
    let out = c.program.residual;
    c.op(Op::Embed { table, scale: model.embed_scale, out });

    for (index, layer) in model.layers.iter().enumerate() {
        c.section(format!("layer {index}"));
        c.norm("attn_norm.weight");
        let post_norm = |role| layer.post_norms.then_some(role);
        match &layer.mixer {
            Mixer::Attention(attention) => {
                c.attend(attention);
                let n_mixed = attention.n_heads * attention.head_dim;
                c.join(
                    "attn_output",
                    n_mixed,
                    attention.output_bias,
                    post_norm("post_attention_norm.weight"),
                );
            }
            Mixer::DeltaRule(spec) => {
                let (n_keys, n_values) =
                    (spec.n_key_heads * spec.key_dim, spec.n_value_heads * spec.value_dim);
                let (n_channels, n_heads) = (2 * n_keys + n_values, spec.n_value_heads);
                let qkv = c.linear("attn_qkv", n_channels, false, 0);
                let z = c.linear("attn_gate", n_values, false, 1);
                let beta = c.linear("ssm_beta", n_heads, false, 2);
                let alpha = c.linear("ssm_alpha", n_heads, false, 3);
                let conv = c.weight("ssm_conv1d.weight", n_channels, spec.kernel);
                let decay = c.weight("ssm_a", 1, n_heads);
                let dt_bias = c.weight("ssm_dt.bias", 1, n_heads);
                let norm = c.weight("ssm_norm.weight", 1, spec.value_dim);
                let state = c.state(StateSpec::Recurrent {
                    channels: n_channels,
                    history: spec.kernel - 1,
                    n_heads,
                    key_dim: spec.key_dim,
                    value_dim: spec.value_dim,
                });
                let (out, spec) = (c.register(Purpose::Mixed, n_values), spec.clone());
                c.op(Op::DeltaRule { qkv, z, beta, alpha, out, conv, decay, dt_bias, norm, state, spec });
                c.join("ssm_out", n_values, false, post_norm("post_attention_norm.weight"));
            }
            Mixer::ShortConv { spec, bias } => {
                let bcx = c.linear("shortconv.in_proj", 3 * spec.width, *bias, 0);
                let conv = c.weight("shortconv.conv.weight", spec.width, spec.kernel);
                let conv_bias = bias.then(|| c.weight("shortconv.conv.bias", 1, spec.width));
                let (channels, history) = (spec.width, spec.kernel - 1);
                let state =
                    c.state(StateSpec::Recurrent { channels, history, n_heads: 0, key_dim: 0, value_dim: 0 });
                let out = c.register(Purpose::Mixed, spec.width);
                c.op(Op::ShortConv { bcx, out, conv, bias: conv_bias, state, spec: spec.clone() });
                c.join("shortconv.out_proj", spec.width, *bias, post_norm("post_attention_norm.weight"));
            }
        }
        c.norm("ffn_norm.weight");
        let FeedForward { width, activation, bias } = layer.feed_forward;
        let gate = c.linear("ffn_gate", width, bias, 0);
        let up = c.linear("ffn_up", width, bias, 1);
        let out = c.register(Purpose::Mixed, width);
        c.op(Op::Glu { gate, up, out, channels: 0..width, activation });
        c.join("ffn_down", width, bias, post_norm("post_ffw_norm.weight"));
    }

    c.section("exit".into());
    let input = c.norm("output_norm.weight");
    let head = if model.tied { "token_embd.weight" } else { "output.weight" };
    let weight = c.weight(head, model.n_vocab, model.width);
    c.op(Op::Unembed { input, weight, first: 0, softcap: model.logit_softcap });
    c.program
}

/// A program in the making; operations and weights go to its last section.
struct Compiler<'a> {
    model: &'a Descriptor,
    program: Program,
    /// Of the program's registers.
    purposes: Vec<Purpose>,
}

impl<'a> Compiler<'a> {
    fn new(model: &'a Descriptor) -> Self {
        let program = Program {
            n_vocab: model.n_vocab,
            width: model.width,
            registers: vec![model.width],
            residual: Register(0),
            ropes: model.ropes.clone(),
            states: Vec::new(),
            sections: Vec::new(),
        };
        Compiler { model, program, purposes: vec![Purpose::Residual] }
    }

    fn section(&mut self, name: String) {
        self.program.sections.push(Section { name, ops: Vec::new(), weights: Vec::new() });
    }

    fn last(&mut self) -> &mut Section {
        self.program.sections.last_mut().expect("operations come after their section's beginning")
    }

    fn op(&mut self, op: Op) {
        self.last().ops.push(op);
    }

    fn weight(&mut self, role: &str, n_out: usize, n_in: usize) -> WeightSlot {
        let weights = &mut self.last().weights;
        weights.push(WeightSpec { role: role.into(), n_out, n_in });
        WeightSlot(u16::try_from(weights.len() - 1).expect("a section has a few dozen weights"))
    }

    fn state(&mut self, spec: StateSpec) -> u16 {
        self.program.states.push(spec);
        u16::try_from(self.program.states.len() - 1).expect("layers are counted to 4096 at most")
    }

    fn register(&mut self, purpose: Purpose, width: usize) -> Register {
        let mut known = self.purposes.iter().zip(&self.program.registers);
        let index = known.position(|known| known == (&purpose, &width)).unwrap_or_else(|| {
            self.purposes.push(purpose);
            self.program.registers.push(width);
            self.purposes.len() - 1
        });
        Register(u8::try_from(index).expect("a model has few widths"))
    }

    /// Norms the stream.
    fn norm(&mut self, role: &str) -> Register {
        let weight = Some(self.weight(role, 1, self.model.width));
        let (input, out) = (self.program.residual, self.register(Purpose::Normed, self.model.width));
        self.op(Op::Norm { input, weight, eps: self.model.norm_eps, out, add: false });
        out
    }

    /// Projects the normed stream.
    fn linear(&mut self, role: &str, n_out: usize, bias: bool, index: u8) -> Register {
        let weight = self.weight(&format!("{role}.weight"), n_out, self.model.width);
        let bias = bias.then(|| self.weight(&format!("{role}.bias"), 1, n_out));
        let input = self.register(Purpose::Normed, self.model.width);
        let out = self.register(Purpose::Projected(index), n_out);
        self.op(Op::Linear { input, weight, bias, out, first: 0, add: false });
        out
    }

    /// Projects what was mixed back and adds it to the stream, normed if there is a role for that norm.
    fn join(&mut self, role: &str, n_mixed: usize, bias: bool, post_norm: Option<&str>) {
        let (width, residual) = (self.model.width, self.program.residual);
        let input = self.register(Purpose::Mixed, n_mixed);
        let weight = self.weight(&format!("{role}.weight"), width, n_mixed);
        let bias = bias.then(|| self.weight(&format!("{role}.bias"), 1, width));
        let Some(norm) = post_norm else {
            return self.op(Op::Linear { input, weight, bias, out: residual, first: 0, add: true });
        };
        let branch = self.register(Purpose::Branch, width);
        self.op(Op::Linear { input, weight, bias, out: branch, first: 0, add: false });
        let weight = Some(self.weight(norm, 1, width));
        self.op(Op::Norm { input: branch, weight, eps: self.model.norm_eps, out: residual, add: true });
    }

    fn attend(&mut self, a: &descriptor::Attention) {
        let (n_queries, n_keys) = (a.n_heads * a.head_dim, a.n_kv_heads * a.head_dim);
        let q = self.linear("attn_q", if a.gated { 2 * n_queries } else { n_queries }, a.qkv_bias, 0);
        let k = self.linear("attn_k", n_keys, a.qkv_bias, 1);
        let v = self.linear("attn_v", n_keys, a.qkv_bias, 2);
        let (n_kv_heads, head_dim, window) = (a.n_kv_heads, a.head_dim, a.window);
        let spec = Attention {
            n_heads: a.n_heads,
            n_kv_heads,
            head_dim,
            q_norm: a.head_norms.then(|| self.weight("attn_q_norm.weight", 1, head_dim)),
            k_norm: a.head_norms.then(|| self.weight("attn_k_norm.weight", 1, head_dim)),
            norm_eps: self.model.norm_eps,
            rope: a.rope,
            window,
            scale: a.scale,
            gated: a.gated,
        };
        let state = self.state(StateSpec::Attention { n_kv_heads, head_dim, window });
        let out = self.register(Purpose::Mixed, n_queries);
        self.op(Op::Attend { q, k, v, out, state, spec });
    }
}
