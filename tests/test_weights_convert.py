"""GGUF to a model folder, on a two-layer Qwen2 that is written here value by value."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from tastemaker.errors import WeightsError
from tastemaker.weights.convert import _convert, convert_gguf
from tastemaker.weights.fetch import ensure

HIDDEN, INNER, LAYERS, HEADS = 64, 96, 2, 4
TEMPLATE = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"


def byte_tokens() -> list[str]:
    """The 256 letters of byte-level BPE: printable bytes stand for themselves."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    letters = {byte: chr(byte) for byte in plain} | {byte: chr(256 + n) for n, byte in enumerate(others)}
    return [letters[byte] for byte in range(256)]


def write_gguf(path: Path, output_scale: float | None) -> dict[str, np.ndarray]:
    """``output_scale``: None leaves the output matrix out, 1.0 repeats the embedding with some noise."""
    rng = np.random.default_rng(0)
    tokens = [*byte_tokens(), "he", "<|endoftext|>", "<|im_end|>"]
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_name("tiny")
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(2)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 257 + [3, 3])
    writer.add_token_merges(["h e"])
    writer.add_eos_token_id(258)
    writer.add_pad_token_id(257)
    writer.add_bos_token_id(257)
    writer.add_chat_template(TEMPLATE)
    shapes = {"token_embd.weight": (len(tokens), HIDDEN), "output_norm.weight": (HIDDEN,)}
    for n in range(LAYERS):
        block = {
            "attn_norm.weight": (HIDDEN,),
            "attn_q.weight": (HIDDEN, HIDDEN),
            "attn_q.bias": (HIDDEN,),
            "attn_k.weight": (HIDDEN // 2, HIDDEN),
            "attn_k.bias": (HIDDEN // 2,),
            "attn_v.weight": (HIDDEN // 2, HIDDEN),
            "attn_v.bias": (HIDDEN // 2,),
            "attn_output.weight": (HIDDEN, HIDDEN),
            "ffn_norm.weight": (HIDDEN,),
            "ffn_gate.weight": (INNER, HIDDEN),
            "ffn_up.weight": (INNER, HIDDEN),
            "ffn_down.weight": (HIDDEN, INNER),
        }
        shapes |= {f"blk.{n}.{name}": shape for name, shape in block.items()}
    tensors = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    if output_scale is not None:
        noise = rng.normal(size=tensors["token_embd.weight"].shape).astype(np.float32)
        kept = tensors["token_embd.weight"] * output_scale
        tensors["output.weight"] = (kept + (0.02 if output_scale else 1.0) * noise).astype(np.float32)
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors


def rounded(values: np.ndarray) -> np.ndarray:
    import torch

    return torch.from_numpy(values).to(torch.bfloat16).float().numpy()


def load(folder: Path) -> dict[str, np.ndarray]:
    import torch
    from safetensors.torch import load_file as load_torch

    found = load_torch(folder / "model.safetensors")
    assert {tensor.dtype for tensor in found.values()} == {torch.bfloat16}
    return {name: tensor.float().numpy() for name, tensor in found.items()}


def test_the_folder_alone_suffices(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path / "folder"
    folder.mkdir()
    tensors = write_gguf(tmp_path / "tiny.gguf", output_scale=1.0)
    convert_gguf(tmp_path / "tiny.gguf", folder, tied=True)
    (tmp_path / "tiny.gguf").unlink()
    found = load(folder)
    assert "lm_head.weight" not in found
    np.testing.assert_array_equal(found["model.embed_tokens.weight"], rounded(tensors["output.weight"]))
    np.testing.assert_array_equal(
        found["model.layers.1.mlp.down_proj.weight"], rounded(tensors["blk.1.ffn_down.weight"])
    )
    np.testing.assert_array_equal(
        found["model.layers.0.self_attn.q_proj.bias"], rounded(tensors["blk.0.attn_q.bias"])
    )
    model = AutoModelForCausalLM.from_pretrained(str(folder))
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    assert tokenizer.chat_template == TEMPLATE
    assert tokenizer("hehello").input_ids == [256, 256, ord("l"), ord("l"), ord("o")]
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")


def test_two_matrices_stay_two_unless_the_model_is_tied(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    tensors = write_gguf(tmp_path / "tiny.gguf", output_scale=0.0)
    _convert(tmp_path / "tiny.gguf", folder, tied=False)
    found = load(folder)
    np.testing.assert_array_equal(found["lm_head.weight"], rounded(tensors["output.weight"]))
    np.testing.assert_array_equal(found["model.embed_tokens.weight"], rounded(tensors["token_embd.weight"]))
    with pytest.raises(WeightsError, match="input and output matrix differ"):
        _convert(tmp_path / "tiny.gguf", folder, tied=True)


def test_a_file_that_is_no_gguf(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(WeightsError, match=r"bad\.gguf could not be unpacked: ") as caught:
        convert_gguf(tmp_path / "bad.gguf", tmp_path, tied=False)
    assert "\n" not in str(caught.value)


@pytest.mark.weights
def test_the_default_model_is_whole() -> None:
    """Its own chat template, one matrix for input and output, and sense in what it says."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = ensure("qwen2.5-coder-0.5b-instruct").path
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    assert model.config.tie_word_embeddings
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    asked = [{"role": "user", "content": "What is the capital of France? One word."}]
    prompt = tokenizer.apply_chat_template(
        asked, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    with torch.inference_mode():
        said = model.generate(**prompt, max_new_tokens=4, do_sample=False)
    assert "Paris" in tokenizer.decode(said[0, prompt["input_ids"].shape[1] :])
