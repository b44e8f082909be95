"""Folders of published models that somebody damaged or made to mislead."""

from __future__ import annotations

import json
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from user_itr import load
from user_itr.errors import UserItrError

FIELDS = {
    "config.json": (
        *("model_type", "projection_dim", "text_config", "text_config.hidden_size"),
        *("text_config.max_position_embeddings", "text_config.projection_size"),
    ),
    "preprocessor_config.json": (
        *("image_processor_type", "size", "crop_size", "resample", "image_mean", "image_std"),
        *("do_resize", "do_center_crop", "do_rescale", "do_normalize", "rescale_factor"),
        "size.shortest_edge",
        "crop_size.height",
    ),
    "tokenizer_config.json": (
        *("tokenizer_class", "pad_token", "padding_side", "model_max_length", "model_input_names"),
        "do_lower_case",
    ),
}

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 70),
    st.sampled_from([2**31, 10**30, 1e308, float("nan"), float("inf"), "", "left", "a\0b", "é"]),
    st.lists(st.floats(-1, 2), max_size=4),
    st.just({"height": 9, "width": 10**9}),
    st.just({}),
)


@pytest.fixture(scope="module")
def folders(published, tmp_path_factory):
    home = tmp_path_factory.mktemp("damaged")
    return [shutil.copytree(folder, home / family) for family, folder in published.items()]


def sentence(folder):
    """What is said instead of two embeddings."""
    try:
        load(folder).encode_text(["a dog", ""])
    except UserItrError as error:
        return str(error)
    return ""


@given(data=st.data())
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_changed_field_ends_in_a_sentence_or_a_model(data, folders):
    folder = data.draw(st.sampled_from(folders))
    name = data.draw(st.sampled_from(sorted(FIELDS)))
    place = data.draw(st.sampled_from(FIELDS[name])).split(".")
    file = folder / name
    before = file.read_text("utf-8")
    values = json.loads(before)
    inner = values
    for key in place[:-1]:
        inner = inner.setdefault(key, {})
    inner[place[-1]] = data.draw(VALUES)
    file.write_text(json.dumps(values), "utf-8")
    said = sentence(folder)
    file.write_text(before, "utf-8")
    assert "\n" not in said


@given(data=st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_tokenizer_with_a_byte_changed_ends_in_a_sentence_or_a_model(data, folders):
    folder = data.draw(st.sampled_from(folders))
    file = folder / "tokenizer.json"
    before = file.read_bytes()
    place = data.draw(st.integers(0, len(before) - 1))
    byte = data.draw(st.sampled_from(b'{}[]",:0 -\\x\xff'))
    file.write_bytes(before[:place] + bytes([byte]) + before[place + 1 :])
    said = sentence(folder)
    file.write_bytes(before)
    assert "\n" not in said
