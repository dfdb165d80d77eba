"""ServerLM against a small OpenAI-compatible server over real HTTP that serves a tiny real model."""

from __future__ import annotations

import json
import socket
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
import torch

from tastemaker.agent.llm import TransformersLM
from tastemaker.agent.llm_server import MAX_CHOICE_CHARS, ServerLM
from tastemaker.errors import ModelError
from tastemaker.testing.language_model_contract import ANSWERS, BARE, LABELS, TITLES, LanguageModelContract
from tastemaker.testing.language_models import tiny_model_folder
from tastemaker.types import Prompt

KEY = "sk-test-123"


class StubServer:
    """Serves ``model``; ``scripted`` (status, headers, body) goes first; ``asked`` keeps the requests."""

    def __init__(self, model: TransformersLM) -> None:
        self.model = model
        self.top: int | None = None  # None: every token is reported, more than any real server does
        self.key = ""
        self.scripted: deque[tuple[int, dict[str, str], Any]] = deque()
        self.asked: list[tuple[str, Any]] = []
        self.running = self.most_running = 0
        self.lock = threading.Lock()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.reply(None)

            def do_POST(self) -> None:
                self.reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def reply(self, body: Any) -> None:
                with stub.lock:
                    stub.running += 1
                    stub.most_running = max(stub.most_running, stub.running)
                    stub.asked.append((self.path, body))
                    scripted = stub.scripted.popleft() if stub.scripted and body is not None else None
                status, headers, told = scripted or stub.answer(self.path, body, self.headers)
                content = told if isinstance(told, bytes) else json.dumps(told).encode()
                with stub.lock:
                    stub.running -= 1
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answer(self, path: str, body: Any, headers: Any) -> tuple[int, dict[str, str], Any]:
        if self.key and headers["Authorization"] != f"Bearer {self.key}":
            return 401, {}, {"error": {"message": "Incorrect API key provided"}}
        if path == "/v1/models":
            return 200, {}, {"data": [{"id": "tiny", "max_model_len": 2048}, {"id": "other"}]}
        if body["model"] != "tiny":
            return 404, {}, {"error": {"message": f"The model {body['model']} does not exist"}}
        return 200, {}, {"choices": [self.chat(body) if "chat" in path else self.complete(body)]}

    def chat(self, body: Any) -> Any:
        texts = {message["role"]: message["content"] for message in body["messages"]}
        prompt = Prompt(system=texts.get("system", ""), user=texts["user"])
        told: dict[str, Any] = {
            "message": {"content": self.model.generate([prompt], max_new_tokens=body["max_tokens"])[0]}
        }
        if body.get("logprobs"):
            layout = self.model._layout
            [ids] = layout.prefix_ids([layout.before_reply(prompt.system, prompt.user)])
            last = self.log_probs(ids)[-1]
            entries = [
                {"token": self.model._loaded.tokenizer.decode([token]), "logprob": float(last[token])}
                for token in last.argsort(descending=True).tolist()[: self.top]
            ]
            told["logprobs"] = {"content": [{**entries[0], "top_logprobs": entries}]}
        return told

    def complete(self, body: Any) -> Any:
        tokenizer, text = self.model._loaded.tokenizer, body["prompt"]
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids, starts = encoded["input_ids"], [start for start, _ in encoded["offset_mapping"]]
        table = self.log_probs(ids)
        new = int(table[-1].argmax())
        values = [None, *(float(table[i, token]) for i, token in enumerate(ids[1:])), float(table[-1, new])]
        return {
            "text": text + tokenizer.decode([new]),
            "logprobs": {"token_logprobs": values, "text_offset": [*starts, len(text)]},
        }

    @torch.inference_mode()
    def log_probs(self, ids: Any) -> torch.Tensor:
        with self.model._lock:
            return torch.log_softmax(self.model._network.causal(torch.tensor([list(ids)])).logits[0], dim=-1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TransformersLM:
    """Without a chat template, so that the server and the model in process read the same text."""
    folder = tiny_model_folder(tmp_path_factory.mktemp("served"), chat_template=None)
    return TransformersLM.load(folder, name="tiny", dtype="float32", device="cpu")


@pytest.fixture
def stub(tiny: TransformersLM) -> Iterator[StubServer]:
    server = StubServer(tiny)
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def client(stub: StubServer) -> Iterator[ServerLM]:
    client = ServerLM(stub.url, pause=0.01)
    yield client
    client.close()


class TestServedModel(LanguageModelContract):
    @pytest.fixture
    def language_model(self, client: ServerLM) -> ServerLM:
        return client


class TestServedModelThatReportsTwentyTokens(LanguageModelContract):
    @pytest.fixture
    def language_model(self, stub: StubServer, client: ServerLM) -> ServerLM:
        stub.top = 20
        return client


def test_titles_and_answers_equal_the_model_in_process(client: ServerLM, tiny: TransformersLM) -> None:
    titles = replace(TITLES, choices=("Heat (1995)", "推荐一部电影", ""))
    np.testing.assert_allclose(client.score([titles])[0], tiny.score([titles])[0], atol=1e-3)
    answers = replace(ANSWERS, answers=("是", "否"))
    if tiny.count_tokens(answers.answers) == [1, 1]:
        np.testing.assert_allclose(client.score([answers])[0], tiny.score([answers])[0], atol=1e-3)


def test_labels_add_up_the_token_with_and_without_a_space(client: ServerLM, tiny: TransformersLM) -> None:
    spelled = tiny.score([replace(LABELS, choices=("A", " A", "B", " B"))])[0]
    assert tiny.count_tokens([" A", " B"]) == [1, 1]
    wanted = [np.logaddexp(*spelled[:2]), np.logaddexp(*spelled[2:])]
    np.testing.assert_allclose(client.score([LABELS])[0], wanted, atol=1e-3)
    assert client.take_repairs() == 0


def reported(tokens: dict[str, float]) -> tuple[int, dict[str, str], Any]:
    top = [{"token": token, "logprob": value} for token, value in tokens.items()]
    return (
        200,
        {},
        {"choices": [{"message": {"content": "A"}, "logprobs": {"content": [{"top_logprobs": top}]}}]},
    )


def test_a_label_beyond_the_reported_ones_gets_a_floor_and_is_counted(
    stub: StubServer, client: ServerLM
) -> None:
    stub.scripted.append(reported({"B": -0.1, "The": -3.0, " I": -4.0}))
    a, b = client.score([LABELS])[0]
    assert b == pytest.approx(-0.1)
    assert a < -4.0
    assert client.take_repairs() == 1
    assert client.take_repairs() == 0


def test_log_odds_come_from_the_two_answers(stub: StubServer, client: ServerLM) -> None:
    stub.scripted.append(reported({"yes": -0.5, "no": -1.5, "maybe": -3.0}))
    assert client.score([replace(ANSWERS, choices=("Heat",))])[0].tolist() == [1.0]
    assert stub.asked[-1][1]["messages"] == [{"role": "user", "content": ANSWERS.user + "Heat"}]


def test_requests_ask_for_what_the_api_allows(stub: StubServer, client: ServerLM) -> None:
    client.score([LABELS])
    client.generate([BARE], max_new_tokens=7)
    (_, labels), (path, text) = stub.asked[-2:]
    assert (labels["top_logprobs"], labels["max_tokens"], labels["temperature"]) == (20, 1, 0)
    assert (path, text["max_tokens"], text["temperature"]) == ("/v1/chat/completions", 7, 0)
    assert text["messages"][0] == {"role": "system", "content": BARE.system}


def test_choices_are_asked_for_at_the_same_time_but_boundedly(stub: StubServer) -> None:
    client = ServerLM(stub.url, concurrency=3)
    many = tuple(f"film {number}" for number in range(20))
    together = client.score([replace(ANSWERS, choices=many)])[0]
    assert 2 <= stub.most_running <= 3
    assert together[7] == pytest.approx(client.score([replace(ANSWERS, choices=many[7:8])])[0][0])


def test_long_choices_are_cut(stub: StubServer, client: ServerLM) -> None:
    client.score([replace(ANSWERS, choices=("x" * 10_000,))])
    assert len(stub.asked[-1][1]["messages"][-1]["content"]) == len(ANSWERS.user) + MAX_CHOICE_CHARS


def test_the_model_is_the_first_one_or_the_one_asked_for(stub: StubServer) -> None:
    first, other = ServerLM(stub.url + "/v1/"), ServerLM(stub.url, model="other")
    assert (first.name, first.context_length, first.adapter) == ("tiny", 2048, None)
    assert (other.name, other.context_length) == ("other", 8192)
    with pytest.raises(ModelError, match="HTTP 404: The model other does not exist"):
        other.generate([BARE], max_new_tokens=1)
    with pytest.raises(ModelError, match="serves no model 'gpt'; it serves tiny, other"):
        ServerLM(stub.url, model="gpt")


def test_the_key_is_sent_and_never_told(stub: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    stub.key = KEY
    monkeypatch.delenv("TASTEMAKER_API_KEY", raising=False)
    with pytest.raises(ModelError, match="refuses the API key: HTTP 401") as caught:
        ServerLM(stub.url)
    assert "TASTEMAKER_API_KEY" in str(caught.value)
    with pytest.raises(ModelError) as caught:
        ServerLM(stub.url, api_key="sk-wrong")
    assert "sk-wrong" not in str(caught.value)
    monkeypatch.setenv("TASTEMAKER_API_KEY", KEY)
    assert ServerLM(stub.url).name == "tiny"


@pytest.mark.parametrize("status", [429, 502, 503])
def test_a_busy_server_is_asked_again(stub: StubServer, client: ServerLM, status: int) -> None:
    stub.scripted.extend([(status, {"Retry-After": "0"}, {}), (status, {}, b"busy")])
    before = len(stub.asked)
    client.score([LABELS])
    assert len(stub.asked) - before == 3


def test_retries_are_bounded(stub: StubServer, client: ServerLM) -> None:
    stub.scripted.extend([(503, {"Retry-After": "0"}, {"error": {"message": "warming up"}})] * 9)
    with pytest.raises(ModelError, match="overloaded: HTTP 503 after 4 tries: warming up"):
        client.score([LABELS])
    stub.scripted.clear()
    stub.scripted.append((429, {"Retry-After": "3600"}, {}))
    with pytest.raises(ModelError, match="overloaded: HTTP 429 after 1 tries"):
        client.score([LABELS])


def test_a_server_that_is_not_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ModelError, match="cannot be reached") as caught:
        ServerLM(f"http://127.0.0.1:{port}")
    assert caught.value.hint == "is the server running?"


def test_a_server_that_never_answers() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(ModelError, match="did not answer in time"):
            ServerLM(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2)


MALFORMED = [
    b"<html>not json</html>",
    b"[1, 2]",
    {},
    {"choices": []},
    {"choices": ["text"]},
    {"choices": [{}]},
    {"choices": [{"message": {"content": None}, "logprobs": None}]},
    {"choices": [{"message": None, "logprobs": {"content": []}}]},
    {"choices": [{"logprobs": {"content": [{"top_logprobs": []}]}}]},
    {"choices": [{"logprobs": {"content": [{"top_logprobs": [{"token": "A", "logprob": "much"}]}]}}]},
    {"choices": [{"logprobs": {"content": [{"top_logprobs": [{"token": "A", "logprob": float("nan")}]}]}}]},
    {"choices": [{"text": "no echo", "logprobs": {"token_logprobs": [None, -1.0], "text_offset": [0, 3]}}]},
]


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_replies_are_model_errors(stub: StubServer, client: ServerLM, body: Any) -> None:
    for use in (
        lambda: client.score([LABELS]),
        lambda: client.score([replace(ANSWERS, choices=("Heat",))]),
        lambda: client.score([replace(TITLES, choices=("Heat",))]),
        lambda: client.generate([BARE], max_new_tokens=2),
    ):
        stub.scripted.append((200, {}, body))
        with pytest.raises(ModelError):
            use()


def test_missing_logprobs_are_named(stub: StubServer, client: ServerLM) -> None:
    stub.scripted.append((200, {}, {"choices": [{"message": {"content": "A"}, "logprobs": None}]}))
    with pytest.raises(ModelError, match="no usable log-probabilities"):
        client.score([LABELS])


def test_titles_need_echo_and_the_error_names_what_works(stub: StubServer, client: ServerLM) -> None:
    one = replace(TITLES, choices=("Heat (1995)",))
    stub.scripted.append((400, {}, {"error": {"message": "echo is not supported"}}))
    with pytest.raises(ModelError, match=r"cannot score titles.*echo is not supported.*labels or answer"):
        client.score([one])
    stub.scripted.append((401, {}, {}))
    with pytest.raises(ModelError, match="refuses the API key"):
        client.score([one])


def test_one_failure_of_many_is_the_failure_of_all(stub: StubServer, client: ServerLM) -> None:
    stub.scripted.extend([(200, {}, b"{"), (400, {}, {"error": "bad"})])
    with pytest.raises(ModelError):
        client.score([replace(ANSWERS, choices=tuple("abcdefgh"))])


def test_token_counts_are_a_safe_estimate(client: ServerLM) -> None:
    assert client.count_tokens(["", "abc", "abcd", "推荐", "ab推"]) == [0, 1, 2, 2, 2]


def test_max_new_tokens_must_be_positive(client: ServerLM) -> None:
    with pytest.raises(ModelError, match="at least 1"):
        client.generate([BARE], max_new_tokens=0)
