from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from odd_photographs import SHAPES, photograph, photographs
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from user_itr.data.pictures import as_rgb
from user_itr.errors import CheckpointError
from user_itr.runtime.dual_encoders.image_processor import read_processor

SQUARE = {"height": 32, "width": 32}
PROCESSORS = {
    "CLIP's own": CLIPImageProcessorPil(),
    "odd crop": CLIPImageProcessorPil(
        size={"shortest_edge": 41}, crop_size={"height": 33, "width": 28}
    ),
    "crop beyond the image": CLIPImageProcessorPil(
        size={"shortest_edge": 21}, crop_size={"height": 32, "width": 45}
    ),
    "crop alone": CLIPImageProcessorPil(do_resize=False, crop_size=SQUARE),
    "size and crop": CLIPImageProcessorPil(size={"height": 40, "width": 50}, crop_size=SQUARE),
    "raw pixels": CLIPImageProcessorPil(do_rescale=False, do_normalize=False),
    "unnormalised": SiglipImageProcessorPil(do_normalize=False, size=SQUARE),
    "SigLIP's own": SiglipImageProcessorPil(),
    "oblong, Lanczos": SiglipImageProcessorPil(size={"height": 24, "width": 48}, resample=1),
    "ViT's own": ViTImageProcessorPil(do_convert_rgb=True),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_pixels_are_those_of_transformers(name, tmp_path):
    theirs = PROCESSORS[name]
    theirs.save_pretrained(tmp_path)
    ours, normalization = read_processor(tmp_path)
    grey = 1.0 if not theirs.do_rescale else 1 / 255
    if theirs.do_normalize:
        grey /= min(theirs.image_std)
    for image in photographs():
        wanted = theirs(images=image, return_tensors="np")["pixel_values"]
        made = normalization(ours(as_rgb(image))[None])
        assert made.dtype == np.float32
        assert made.shape == wanted.shape
        assert np.abs(made - wanted).max() <= grey * 1.001, image
        if image.mode == "RGB" and max(image.size) < 1000:
            assert np.abs(made - wanted).mean() < grey / 50


def test_16_bits_a_pixel_become_8_before_they_are_processed(tmp_path):
    SiglipImageProcessorPil(size=SQUARE).save_pretrained(tmp_path)
    ours, _ = read_processor(tmp_path)
    grey = photograph(90, 61).convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    assert deep.mode == "I;16"
    np.testing.assert_array_equal(ours(as_rgb(deep)), ours(as_rgb(grey)))


def test_a_strip_takes_no_memory_beyond_its_crop(tmp_path):
    CLIPImageProcessorPil().save_pretrained(tmp_path)
    ours, _ = read_processor(tmp_path)
    for size in ((60_000, 1), (1, 60_000)):  # 224 x 13 million pixels, were it scaled whole
        assert ours(Image.new("RGB", size, (9, 8, 7))).tolist() == [[[9, 8, 7]] * 224] * 224


def test_a_processor_can_be_pickled(tmp_path):
    SiglipImageProcessorPil(size=SQUARE).save_pretrained(tmp_path)
    ours, _ = read_processor(tmp_path)
    image = photograph(*SHAPES[0])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(ours))(image), ours(image))


def test_sizes_as_older_releases_wrote_them(tmp_path):
    values = {"feature_extractor_type": "CLIPFeatureExtractor", "size": 48, "crop_size": 32}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(values))
    CLIPImageProcessorPil(size={"shortest_edge": 48}, crop_size=SQUARE).save_pretrained(
        tmp_path / "new"
    )
    assert read_processor(tmp_path) == read_processor(tmp_path / "new")


def test_the_processor_of_a_whole_processor_s_file_counts(tmp_path):
    values = {"image_processor_type": "SiglipImageProcessorFast", "size": SQUARE}
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": values}))
    assert read_processor(tmp_path)[0].height == 32


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (None, "preprocessor_config.json: is missing"),
        ({}, "image_processor_type is ''"),
        ({"image_processor_type": "Siglip2ImageProcessor"}, "Siglip2ImageProcessor"),
        ({"image_processor_type": "SiglipImageProcessor", "size": {"height": 0}}, "size.height"),
        ({"image_processor_type": "SiglipImageProcessor", "size": {"height": 9}}, "neither"),
        ({"image_processor_type": "SiglipImageProcessor", "resample": 7}, "resample"),
        ({"image_processor_type": "SiglipImageProcessor", "image_std": [0.5, 0, 1]}, "image_std"),
        ({"image_processor_type": "SiglipImageProcessor", "image_mean": [0.5]}, "image_mean"),
        ({"image_processor_type": "CLIPImageProcessor", "do_center_crop": False}, "different"),
        ({"image_processor_type": "CLIPImageProcessor", "do_pad": True}, "do_pad"),
        ({"image_processor_type": "CLIPImageProcessor", "size": {"longest_edge": 9}}, "longest"),
        ({"image_processor_type": "CLIPImageProcessor", "auto_map": {}}, "code of its own"),
    ],
)
def test_what_cannot_be_done_exactly_is_refused(values, said, tmp_path):
    if values is not None:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=said):
        read_processor(tmp_path)
