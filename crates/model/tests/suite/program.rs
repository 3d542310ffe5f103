//! What is compiled, as text.

use dewdrop_model::{Listing, Source, compile, describe};
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::checkpoint::{Tensors, tensor, tensors_of};

fn listing(config: Value) -> String {
    // The head's absence and the width of lfm2's feed-forward are read off tensors.
    let some = [
        ("model.embed_tokens.weight", [32, 8]),
        ("model.layers.0.feed_forward.w1.weight", [12, 8]),
        ("model.layers.1.feed_forward.w1.weight", [12, 8]),
    ];
    let tensors: Tensors = some.iter().map(|(name, shape)| ((*name).into(), tensor(name, shape))).collect();
    let model = describe(Source::HuggingFace(&config), &tensors, None).unwrap();
    let program = compile(&model);
    dewdrop_model::claim(&model, &program, &tensors_of(&model)).unwrap();
    Listing(&program).to_string()
}

#[test]
fn gated_delta_rule_and_gated_attention() {
    assert_snapshot!(listing(json!({
        "model_type": "qwen3_5_text", "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "vocab_size": 32,
        "layer_types": ["linear_attention", "full_attention"], "linear_num_key_heads": 1,
        "linear_num_value_heads": 2, "linear_key_head_dim": 4, "linear_value_head_dim": 6,
        "linear_conv_kernel_dim": 4, "rope_parameters": {"rope_type": "default", "rope_theta": 100.0},
    })), @r"
    program n_vocab=32 width=8
    registers [8, 8, 20, 12, 2, 2, 12, 12, 32, 8, 8, 16], residual r0
    rope0 Halves n=2 1.000000 .. 1.000000 factor=1
    state0 recurrent 20x3 + 2x4x6
    state1 attention 1x8

    entry:
        r0 = embed token_embd.weight[32, 8] * 1

    layer 0:
        r1 = norm r0, attn_norm.weight[8] eps=0.000001
        r2 = linear r1, attn_qkv.weight[20, 8]
        r3 = linear r1, attn_gate.weight[12, 8]
        r4 = linear r1, ssm_beta.weight[2, 8]
        r5 = linear r1, ssm_alpha.weight[2, 8]
        r6 = delta_rule r2, r3, r4, r5 state0 Grouped keys=1x4 values=2x6 ssm_conv1d.weight[20, 4] ssm_a[2] ssm_dt.bias[2] ssm_norm.weight[6]
        r0 += linear r6, ssm_out.weight[8, 12]
        r1 = norm r0, ffn_norm.weight[8] eps=0.000001
        r7 = linear r1, ffn_gate.weight[12, 8]
        r3 = linear r1, ffn_up.weight[12, 8]
        r6 = glu r7, r3 Silu
        r0 += linear r6, ffn_down.weight[8, 12]

    layer 1:
        r1 = norm r0, attn_norm.weight[8] eps=0.000001
        r8 = linear r1, attn_q.weight[32, 8]
        r9 = linear r1, attn_k.weight[8, 8]
        r10 = linear r1, attn_v.weight[8, 8]
        r11 = attend r8, r9, r10 state1 heads=2/1x8 scale=0.35355338 attn_q_norm.weight[8] attn_k_norm.weight[8] rope0 gated
        r0 += linear r11, attn_output.weight[8, 16]
        r1 = norm r0, ffn_norm.weight[8] eps=0.000001
        r7 = linear r1, ffn_gate.weight[12, 8]
        r3 = linear r1, ffn_up.weight[12, 8]
        r6 = glu r7, r3 Silu
        r0 += linear r6, ffn_down.weight[8, 12]

    exit:
        r1 = norm r0, output_norm.weight[8] eps=0.000001
        unembed r1, token_embd.weight[32, 8]
    ");
}

#[test]
fn norms_on_both_sides_and_windows() {
    assert_snapshot!(listing(json!({
        "model_type": "gemma3", "final_logit_softcapping": 5.0, "text_config": {
            "model_type": "gemma3_text", "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4, "vocab_size": 32,
            "sliding_window": 16, "sliding_window_pattern": 2, "query_pre_attn_scalar": 16,
            "rope_scaling": {"type": "linear", "factor": 8.0},
        },
    })), @r"
    program n_vocab=32 width=8
    registers [8, 8, 8, 4, 4, 8, 8, 12, 12, 12], residual r0
    rope0 Halves n=4 0.125000 .. 0.000125 factor=1
    rope1 Halves n=4 1.000000 .. 0.010000 factor=1
    state0 attention 1x4 window=16
    state1 attention 1x4

    entry:
        r0 = embed token_embd.weight[32, 8] * 2.828427

    layer 0:
        r1 = norm r0, attn_norm.weight[8] eps=0.000001
        r2 = linear r1, attn_q.weight[8, 8]
        r3 = linear r1, attn_k.weight[4, 8]
        r4 = linear r1, attn_v.weight[4, 8]
        r5 = attend r2, r3, r4 state0 heads=2/1x4 scale=0.25 attn_q_norm.weight[4] attn_k_norm.weight[4] rope1 window=16
        r6 = linear r5, attn_output.weight[8, 8]
        r0 += norm r6, post_attention_norm.weight[8] eps=0.000001
        r1 = norm r0, ffn_norm.weight[8] eps=0.000001
        r7 = linear r1, ffn_gate.weight[12, 8]
        r8 = linear r1, ffn_up.weight[12, 8]
        r9 = glu r7, r8 GeluTanh
        r6 = linear r9, ffn_down.weight[8, 12]
        r0 += norm r6, post_ffw_norm.weight[8] eps=0.000001

    layer 1:
        r1 = norm r0, attn_norm.weight[8] eps=0.000001
        r2 = linear r1, attn_q.weight[8, 8]
        r3 = linear r1, attn_k.weight[4, 8]
        r4 = linear r1, attn_v.weight[4, 8]
        r5 = attend r2, r3, r4 state1 heads=2/1x4 scale=0.25 attn_q_norm.weight[4] attn_k_norm.weight[4] rope0
        r6 = linear r5, attn_output.weight[8, 8]
        r0 += norm r6, post_attention_norm.weight[8] eps=0.000001
        r1 = norm r0, ffn_norm.weight[8] eps=0.000001
        r7 = linear r1, ffn_gate.weight[12, 8]
        r8 = linear r1, ffn_up.weight[12, 8]
        r9 = glu r7, r8 GeluTanh
        r6 = linear r9, ffn_down.weight[8, 12]
        r0 += norm r6, post_ffw_norm.weight[8] eps=0.000001

    exit:
        r1 = norm r0, output_norm.weight[8] eps=0.000001
        unembed r1, token_embd.weight[32, 8] softcap=5
    ");
}

#[test]
fn short_convolutions_with_biases() {
    assert_snapshot!(listing(json!({
        "model_type": "lfm2", "hidden_size": 8, "block_ff_dim": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 32, "conv_bias": true,
        "full_attn_idxs": [1], "conv_L_cache": 3,
    })), @r"
    program n_vocab=32 width=8
    registers [8, 8, 24, 8, 12, 12, 12, 8, 4, 4], residual r0
    rope0 Halves n=4 1.000000 .. 0.001000 factor=1
    state0 recurrent 8x2
    state1 attention 1x4

    entry:
        r0 = embed token_embd.weight[32, 8] * 1

    layer 0:
        r1 = norm r0, attn_norm.weight[8] eps=0.00001
        r2 = linear r1, shortconv.in_proj.weight[24, 8] + shortconv.in_proj.bias[24]
        r3 = short_conv r2 state0 shortconv.conv.weight[8, 3] + shortconv.conv.bias[8]
        r0 += linear r3, shortconv.out_proj.weight[8, 8] + shortconv.out_proj.bias[8]
        r1 = norm r0, ffn_norm.weight[8] eps=0.00001
        r4 = linear r1, ffn_gate.weight[12, 8]
        r5 = linear r1, ffn_up.weight[12, 8]
        r6 = glu r4, r5 Silu
        r0 += linear r6, ffn_down.weight[8, 12]

    layer 1:
        r1 = norm r0, attn_norm.weight[8] eps=0.00001
        r7 = linear r1, attn_q.weight[8, 8]
        r8 = linear r1, attn_k.weight[4, 8]
        r9 = linear r1, attn_v.weight[4, 8]
        r3 = attend r7, r8, r9 state1 heads=2/1x4 scale=0.5 attn_q_norm.weight[4] attn_k_norm.weight[4] rope0
        r0 += linear r3, attn_output.weight[8, 8]
        r1 = norm r0, ffn_norm.weight[8] eps=0.00001
        r4 = linear r1, ffn_gate.weight[12, 8]
        r5 = linear r1, ffn_up.weight[12, 8]
        r6 = glu r4, r5 Silu
        r0 += linear r6, ffn_down.weight[8, 12]

    exit:
        r1 = norm r0, output_norm.weight[8] eps=0.00001
        unembed r1, token_embd.weight[32, 8]
    ");
}
