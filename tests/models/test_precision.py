"""Lower precision rounds weights, and nothing that positions hang on."""

import torch


def test_rotary_frequencies_keep_fp32_in_bf16(load_golden):
    exact = load_golden(engine="packed")._forward
    rounded = load_golden(engine="packed", dtype="bfloat16")._forward
    assert rounded.dtype is torch.bfloat16
    assert torch.equal(rounded._language._frequencies, exact._language._frequencies)
    assert torch.equal(rounded._vision._frequencies, exact._vision._frequencies)


def test_plain_engine_keeps_them_too(load_golden):
    model = load_golden(engine="plain", dtype="bfloat16")._forward
    backbone = next(value for value in vars(model).values() if hasattr(value, "language_model"))
    assert backbone.language_model.rotary_emb.inv_freq.dtype is torch.float32
    assert backbone.visual.rotary_pos_emb.inv_freq.dtype is torch.float32
    assert next(backbone.parameters()).dtype is torch.bfloat16
