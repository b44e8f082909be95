from __future__ import annotations

import json
import shutil
import string

import numpy as np
import pytest
import transformers
import transformers_oracle as oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_dual_encoders import FAMILIES, TEXTS
from tokenizers import Tokenizer

from user_itr.errors import CheckpointError
from user_itr.runtime.dual_encoders.layout import read_architecture
from user_itr.runtime.dual_encoders.tokens import read_text_processor


def inputs_of(folder, texts, length=None):
    processor = read_text_processor(folder, read_architecture(folder))
    tokens = processor.tokenizer(texts)
    return processor.inputs(tokens, np.arange(len(texts)), length)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("text", TEXTS)
def test_tokens_are_those_of_transformers(family, text, checkpoints):
    folder = checkpoints[family]
    wanted, made = oracle.tokens(family, folder, text), inputs_of(folder, [text])
    np.testing.assert_array_equal(made["input_ids"], wanted["input_ids"])
    if "attention_mask" in wanted:
        np.testing.assert_array_equal(made["attention_mask"], wanted["attention_mask"])
    else:
        assert made["attention_mask"].all()


@pytest.mark.parametrize("family", FAMILIES)
def test_batches_are_padded_as_transformers_pads_them(family, checkpoints):
    folder = checkpoints[family]
    padding = "max_length" if family.startswith("siglip") else True
    wanted = oracle.tokenizer(family, folder)(
        list(TEXTS), padding=padding, truncation=True, return_tensors="np"
    )
    np.testing.assert_array_equal(inputs_of(folder, TEXTS)["input_ids"], wanted["input_ids"])


@pytest.fixture(scope="module")
def both(checkpoints):
    return {
        family: (
            read_text_processor(checkpoints[family], read_architecture(checkpoints[family])),
            oracle.tokenizer(family, checkpoints[family]),
        )
        for family in FAMILIES
    }


@given(text=st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_text_has_the_tokens_of_transformers(both, text):
    for ours, theirs in both.values():
        wanted = theirs(text, truncation=True)["input_ids"]
        assert ours.tokenizer([text]).ids.tolist() == wanted


@given(text=st.text(st.characters(max_codepoint=127, min_codepoint=32), max_size=60))
@settings(max_examples=40, deadline=None)
def test_siglip_reads_lower_case_without_punctuation(both, text):
    ours, _ = both["siglip"]
    plain = text.lower().translate(str.maketrans("", "", string.punctuation))
    made = ours.tokenizer([text, " ".join(plain.split())])
    assert made.ids[: made.offsets[1]].tolist() == made.ids[made.offsets[1] :].tolist()


def test_padding_stands_before_the_text_where_the_settings_say_so(checkpoints, tmp_path):
    folder = shutil.copytree(checkpoints["siglip2"], tmp_path / "left")
    file = folder / "tokenizer_config.json"
    known = json.loads(file.read_text())
    for change in ({"padding_side": "left"}, {"padding_side": None}):
        kept = {key: value for key, value in {**known, **change}.items() if value is not None}
        file.write_text(json.dumps(kept))
        wanted = oracle.tokens("siglip2", folder, TEXTS[0])["input_ids"]
        assert wanted[0, 0] == 0
        np.testing.assert_array_equal(inputs_of(folder, TEXTS[:1])["input_ids"], wanted)


def test_a_tokenizer_without_lower_case_of_siglip2_gets_it(checkpoints, tmp_path):
    folder = shutil.copytree(checkpoints["siglip2"], tmp_path / "mixed")
    file = folder / "tokenizer.json"
    values = json.loads(file.read_text("utf-8"))
    values["normalizer"] = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    file.write_text(json.dumps(values), "utf-8")
    assert (
        Tokenizer.from_file(str(file)).encode("DOG").ids
        != Tokenizer.from_file(str(file)).encode("dog").ids
    )
    made = inputs_of(folder, ["A DOG", "a dog"])["input_ids"]
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_array_equal(made[:1], oracle.tokens("siglip2", folder, "A DOG")["input_ids"])


def test_ids_fill_a_length_that_the_graph_insists_on(checkpoints):
    made = inputs_of(checkpoints["clip"], ["a dog", "word " * 300], 77)
    assert made["input_ids"].shape == (2, 77)
    wanted = oracle.tokens("clip", checkpoints["clip"], "word " * 300)["input_ids"]
    np.testing.assert_array_equal(made["input_ids"][1:], wanted)


def test_mobileclip_sees_its_padding_as_open_clip_pads(checkpoints, published):
    wanted = oracle.tokenizer("clip", checkpoints["mobileclip"])(
        list(TEXTS), padding="max_length", truncation=True, return_tensors="np"
    )
    made = inputs_of(published["mobileclip"], TEXTS)["input_ids"]
    np.testing.assert_array_equal(made, np.where(wanted["attention_mask"], wanted["input_ids"], 0))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("tokenizer.json", None, "tokenizer.json: is missing"),
        ("tokenizer.json", "{}", "is no tokenizer"),
        ("tokenizer_config.json", "[", "not valid JSON"),
        ("tokenizer_config.json", '{"auto_map": {"AutoTokenizer": ["a.b", null]}}', "code of its"),
    ],
)
def test_what_is_no_tokenizer_is_refused(name, content, said, checkpoints, tmp_path):
    folder = shutil.copytree(checkpoints["clip"], tmp_path / "clip")
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(CheckpointError, match=said):
        read_text_processor(folder, read_architecture(folder))


@pytest.mark.parametrize("options", [{}, {"do_lower_case": False}, {"strip_accents": True}])
def test_words_in_a_text_file_are_enough_for_chinese_clip(options, checkpoints, tmp_path):
    known = read_text_processor(
        checkpoints["chinese_clip"], read_architecture(checkpoints["chinese_clip"])
    )
    words = json.loads(known.tokenizer.to_json())["model"]["vocab"]
    folder = tmp_path / "published"
    theirs = transformers.BertTokenizer(words, **options)
    folder.mkdir()
    shutil.copy(checkpoints["chinese_clip"] / "config.json", folder)
    (folder / "vocab.txt").write_text("\n".join(sorted(words, key=words.__getitem__)), "utf-8")
    if options:
        (folder / "tokenizer_config.json").write_text(json.dumps(options))
    for text in TEXTS:
        wanted = theirs([text], truncation=True, max_length=64, return_tensors="np")["input_ids"]
        np.testing.assert_array_equal(inputs_of(folder, [text])["input_ids"], wanted)
