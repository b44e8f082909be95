from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest
from tiny_transformers import tiny_transformer

from user_itr.model.pretrained_text import MINILM, folder_notice

SCRIPT = """
from user_itr.errors import ConfigError
from user_itr.model.token_encoders import load_transformer
from user_itr.model.tokenizer import CaptionTokenizer
for load in (lambda: CaptionTokenizer.pretrained("bert-base-uncased", 64),
             lambda: load_transformer("bert-base-uncased")):
    try:
        load()
    except ConfigError as error:
        print(error)
"""


class Broken(BaseHTTPRequestHandler):
    """A hub that is out of order; it counts who asks."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_error(503)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def broken_hub() -> Iterator[str]:
    Broken.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Broken) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("offline", [True, False])
def test_a_missing_encoder_offline_ends_at_once_with_what_to_do(
    tmp_path: Path, broken_hub: str, offline: bool
) -> None:
    """The hub's own client would ask again and again for a minute."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={
            **os.environ,
            "HF_HOME": str(tmp_path),
            "HF_ENDPOINT": broken_hub,
            "HF_HUB_OFFLINE": str(int(offline)),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    message = (
        "model.text.encoder: 'bert-base-uncased' cannot be loaded (it is not on this machine, and "
        "the Hugging Face hub cannot be reached); run `hf download bert-base-uncased` where it can "
        "be, or give the folder with its files: --set model.text.encoder=FOLDER."
    )
    assert done.stdout.splitlines() == [message] * 2
    asked = [path for path in Broken.asked if "bert-base-uncased" in path]
    assert asked == ([] if offline else ["/api/models/bert-base-uncased"] * 2)


def test_a_folder_with_the_name_of_a_hub_model_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("bert-base-uncased", "google-bert/bert-base-uncased", MINILM):
        assert folder_notice(name) is None
        tiny_transformer("bert").save_pretrained(tmp_path / name)
    for name in ("bert-base-uncased", "google-bert/bert-base-uncased"):
        assert folder_notice(name) == (
            f"model.text.encoder: {name} is the folder {tmp_path / name}, not the hub's model of "
            f"that name; give ./{name} to leave out this notice."
        )
        assert folder_notice(f"./{name}") is None
        assert folder_notice(str(tmp_path / name)) is None
    assert folder_notice(MINILM) is None  # the packaged one is taken
