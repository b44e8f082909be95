"""Small random dual encoders of each family, saved as transformers and the hub hold them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import processors as post
from transformers.models.chinese_clip.image_processing_pil_chinese_clip import (
    ChineseCLIPImageProcessorPil,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

FAMILIES = ("clip", "mobileclip", "siglip", "siglip2", "chinese_clip", "altclip")

WORDS = (
    "a dog runs through the snow and a man in a red jacket climbs a rock near the water",
    "two children play football on the beach; it's late, isn't it? don't 12 345 ...!",
    "一只狗在雪地里奔跑 猫坐在沙发上 naïve café déjà vu Ünïcödé",
) * 4

TEXTS = (
    "two dogs play in the snow",
    "",
    "a",
    "  Ein Foto:  Müller's CAFÉ, (naïve) — “déjà vu”!  ",
    "👩‍👩‍👧 a family 🐶🎉",
    "一只狗在雪地里奔跑",
    "it's   the\tdog's\nball, don't",
    " ".join(f"word{n % 37}" for n in range(300)),
    "e\u0301 and é; ﬁ and fi; İ ß",
    "<|endoftext|> </s> [SEP] <eos>",
)

SIDE: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
VISION: dict[str, Any] = {**SIDE, "image_size": 32, "patch_size": 8}
SQUARE = {"height": 32, "width": 32}


def save_dual_encoder(family: str, folder: Path, **options: Any) -> Path:
    """Save a model with its processors, as a checkpoint; `options` are of `save_pretrained`."""
    torch.manual_seed(3)
    tokenizer, processor, model = globals()[f"_{family}"]()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    processor.save_pretrained(folder)
    model.eval().save_pretrained(folder, **options)
    if family == "siglip":  # as the hub has it
        _edit(folder / "tokenizer_config.json", tokenizer_class="SiglipTokenizer")
    return folder


def _edit(file: Path, **values: Any) -> None:
    known = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**known, **values}), "utf-8")


def as_transformers_js_has_it(family: str, folder: Path) -> None:
    """Make the JSON files those of the repositories that hold ONNX files alone."""
    if family == "mobileclip":
        (folder / "config.json").write_text('{"model_type": "clip"}', "utf-8")
        old = "CLIPFeatureExtractor"
        file = folder / "preprocessor_config.json"
        _edit(file, image_processor_type=old, feature_extractor_type=old)
        _edit(folder / "tokenizer_config.json", pad_token="!")


def _clip(**sizes: Any) -> tuple[Any, Any, Any]:
    tokenizer = _clip_tokenizer()
    vocab = tokenizer.get_vocab()
    text = {
        **SIDE,
        "vocab_size": len(vocab),
        "bos_token_id": vocab["<|startoftext|>"],
        "eos_token_id": vocab["<|endoftext|>"],
        "pad_token_id": vocab["<|endoftext|>"],
        **sizes.pop("text", {}),
    }
    vision = {**VISION, **sizes.pop("vision", {})}
    options = {"projection_dim": 12, **sizes}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, **options)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=SQUARE)
    return tokenizer, processor, transformers.CLIPModel(config)


def _mobileclip() -> tuple[Any, Any, Any]:
    """Pixels as they are, bilinear; and widths and depths that differ as in TinyCLIP."""
    tokenizer, _, model = _clip(
        text={"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3},
        vision={"hidden_size": 32, "num_hidden_layers": 2, "hidden_act": "gelu"},
        projection_dim=512,
    )
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size=SQUARE, resample=2, do_normalize=False
    )
    return tokenizer, processor, model


def _clip_tokenizer() -> Any:
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    trained.normalizer = normalizers.Lowercase()
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(
        WORDS,
        trainers.BpeTrainer(
            vocab_size=700,
            end_of_word_suffix="</w>",
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    vocab, merges = _bpe(trained)
    for token in (*(f"{letter}</w>" for letter in alphabet), "<|startoftext|>", "<|endoftext|>"):
        vocab.setdefault(token, len(vocab))
    return transformers.CLIPTokenizer(vocab, merges, model_max_length=77)


def _siglip() -> tuple[Any, Any, Any]:
    trained = Tokenizer(models.Unigram())
    trained.normalizer = normalizers.Sequence(
        [
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"""), ""),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(
        WORDS,
        trainers.UnigramTrainer(
            vocab_size=150,
            special_tokens=["<pad>", "</s>", "<unk>"],
            unk_token="<unk>",
            show_progress=False,
        ),
    )
    trained.post_processor = post.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=trained,
        pad_token="</s>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=64,
        model_input_names=["input_ids"],
    )
    return tokenizer, SiglipImageProcessorPil(size=SQUARE), _siglip_model(trained.get_vocab_size())


def _siglip_model(vocabulary: int) -> Any:
    config = transformers.SiglipConfig(
        text_config={**SIDE, "vocab_size": vocabulary, "projection_size": 16}, vision_config=VISION
    )
    return transformers.SiglipModel(config)


def _siglip2() -> tuple[Any, Any, Any]:
    """A fixed resolution: the architecture of SigLIP with Gemma's tokenizer."""
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    trained = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    trained.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace(" ", "▁")]
    )
    trained.decoder = decoders.ByteFallback()
    trained.train_from_iterator(
        WORDS,
        trainers.BpeTrainer(
            vocab_size=500,
            special_tokens=[*specials, *(f"<0x{byte:02X}>" for byte in range(256))],
            show_progress=False,
        ),
    )
    vocab, merges = _bpe(trained)
    tokenizer = transformers.Siglip2Tokenizer(
        vocab,
        merges,
        model_max_length=64,
        padding_side="right",
        model_input_names=["input_ids"],
    )
    tokenizer.backend_tokenizer.post_processor = post.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", 1)]
    )
    return tokenizer, SiglipImageProcessorPil(size=SQUARE), _siglip_model(len(tokenizer))


def _chinese_clip() -> tuple[Any, Any, Any]:
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.normalizer = normalizers.BertNormalizer()
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trained.train_from_iterator(
        WORDS,
        trainers.WordPieceTrainer(vocab_size=300, special_tokens=specials, show_progress=False),
    )
    tokenizer = transformers.BertTokenizer(trained.get_vocab(), model_max_length=60)
    text = {**SIDE, "vocab_size": len(tokenizer), "max_position_embeddings": 64}
    config = transformers.ChineseCLIPConfig(
        text_config=text, vision_config=VISION, projection_dim=12
    )
    processor = ChineseCLIPImageProcessorPil(size=SQUARE, crop_size=SQUARE)
    return tokenizer, processor, transformers.ChineseCLIPModel(config)


def _altclip() -> tuple[Any, Any, Any]:
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    trained = Tokenizer(models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    trained.train_from_iterator(
        WORDS,
        trainers.UnigramTrainer(
            vocab_size=160, special_tokens=specials, unk_token="<unk>", show_progress=False
        ),
    )
    pieces = [tuple(one) for one in json.loads(trained.to_str())["model"]["vocab"]]
    tokenizer = transformers.XLMRobertaTokenizer([*pieces, ("<mask>", 0.0)], model_max_length=60)
    text = {
        **SIDE,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 64,
        "project_dim": 20,
    }
    config = transformers.AltCLIPConfig(text_config=text, vision_config=VISION, projection_dim=12)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=SQUARE)
    return tokenizer, processor, transformers.AltCLIPModel(config)


def _bpe(trained: Tokenizer) -> tuple[dict[str, int], list[tuple[str, str]]]:
    model = json.loads(trained.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]
