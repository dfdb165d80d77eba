"""A GGUF file made into a plain model folder: bfloat16 safetensors, configuration, tokenizer.

Reading GGUF takes a minute and leaves weights that cannot be trained; the folder loads in a second. The
work is done by a process of its own (``python -m tastemaker.weights.convert GGUF FOLDER [--tied]``), so
its memory (about three times the folder) is given back and no library writes into the caller's terminal.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tastemaker.errors import WeightsError

SAME_MATRIX = 0.99
"""Mean row cosine above which two quantised matrices count as one (two quantisations of Qwen's: 0.999)."""
ROWS_COMPARED = 4_096


def convert_gguf(gguf: Path, folder: Path, *, tied: bool) -> None:
    """Write the model of ``gguf`` into the existing ``folder``.

    With ``tied``, a GGUF that holds the input embedding and the output matrix of a tied model as two
    quantisations is given back its single matrix: the output's, which is stored with more bits. It saves
    a fifth of the memory of a 0.5B model and lowers its loss a little.

    Raises:
        WeightsError: the file cannot be read, or the two matrices are not the same one.
        OSError: the disk is full.
    """
    command = [sys.executable, "-P", "-m", "tastemaker.weights.convert", str(gguf), str(folder)]
    command += ["--tied"] if tied else []
    quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=quiet)
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        if os.strerror(errno.ENOSPC) in done.stderr:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        reason = lines[-1] if lines else f"exit code {done.returncode}"
        raise WeightsError(f"{gguf.name} could not be unpacked: {reason}")


def _convert(gguf: Path, folder: Path, *, tied: bool) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(
        str(gguf.parent),
        gguf_file=gguf.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    if tied and not model.config.tie_word_embeddings:
        _tie(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _tie(model: Any) -> None:
    import torch

    embedding, output = model.get_input_embeddings(), model.get_output_embeddings()
    a, b = (layer.weight.data[:ROWS_COMPARED].float() for layer in (embedding, output))  # (rows, hidden)
    agreement = torch.nn.functional.cosine_similarity(a, b, dim=1).mean().item()
    if agreement < SAME_MATRIX:
        raise WeightsError(f"input and output matrix differ (mean cosine {agreement:.3f}); one is wanted")
    embedding.weight = output.weight
    model.config.tie_word_embeddings = True


if __name__ == "__main__":
    _convert(Path(sys.argv[1]), Path(sys.argv[2]), tied="--tied" in sys.argv[3:])
