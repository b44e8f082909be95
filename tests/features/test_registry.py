from __future__ import annotations

import sys
from pathlib import Path

import pytest

from user_itr.errors import FeatureError, MissingExtraError
from user_itr.features.backbones.base import hash_files
from user_itr.features.backbones.efficientnet_lite import EfficientNetLite
from user_itr.features.backbones.registry import backbone_names, create_backbone


def test_creates_by_name() -> None:
    backbone = create_backbone("efficientnet-lite0")
    assert isinstance(backbone, EfficientNetLite)
    assert backbone.name == "efficientnet-lite0"


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("efficientnet-lite9", "did you mean 'efficientnet-lite"),
        ("EfficientNet-Lite0", "did you mean 'efficientnet-lite0'"),
        ("transformer", "did you mean 'transformers:'"),
        ("google/vit-base-patch16-224", "did you mean 'transformers:google/vit-base-patch16-224'"),
        ("zzz", "'zzz' is unknown; choose"),
    ],
)
def test_unknown_names_list_what_there_is(spec: str, hint: str) -> None:
    with pytest.raises(FeatureError) as caught:
        create_backbone(spec)
    assert hint in str(caught.value)
    assert all(name in str(caught.value) for name in backbone_names())


def test_timm_without_timm_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'user-itr\[timm\]'"):
        create_backbone("timm:resnet18")


def test_hash_of_one_file_is_its_sha256_and_order_of_many_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").write_bytes(b"")
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hash_files([tmp_path / "a"]) == abc
    both = hash_files([tmp_path / "a", tmp_path / "b"])
    assert both == hash_files([tmp_path / "b", tmp_path / "a"])
    assert len(both) == 64
    assert both != abc
