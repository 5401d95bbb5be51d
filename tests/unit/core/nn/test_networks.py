import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.nn.detector import DetectorConfig, PoseDetector
from core.nn.lifter import Lifter, LifterConfig
from core.nn.resnet import ResNet50, load_imagenet_weights
from core.nn.soft_argmax import heatmap_cross_entropy, soft_argmax
from core.nn.view_weights import ConfidenceHead, normalise_over_views

CROPS = torch.randint(0, 255, (2, 3, 64, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@given(x=st.integers(0, 23), y=st.integers(0, 31), stride=st.sampled_from([1, 2, 4]))
def test_a_sharp_heatmap_gives_the_centre_of_its_cell(x, y, stride):
    logits = torch.full((1, 1, 32, 24), -1e4)
    logits[0, 0, y, x] = 0.0
    expected = torch.tensor([[[(x + 0.5) * stride - 0.5, (y + 0.5) * stride - 0.5]]])
    torch.testing.assert_close(soft_argmax(logits, stride), expected)


def test_soft_argmax_has_exact_gradients():
    logits = torch.randn(1, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: soft_argmax(x, 2), logits)


def test_heatmap_cross_entropy_is_least_where_the_heatmap_is_the_target():
    points_px = torch.tensor([[[20.5, 30.5]]])
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(24.0), indexing="ij")
    exact = -((columns - 10) ** 2 + (rows - 15) ** 2)[None, None] / 2
    assert heatmap_cross_entropy(exact, points_px, 2) < heatmap_cross_entropy(exact.roll(1, -1), points_px, 2)
    assert heatmap_cross_entropy(exact, points_px, 2) < heatmap_cross_entropy(exact * 2, points_px, 2)


def test_resnet50_has_the_published_parameters_under_the_published_names():
    weights = ResNet50().state_dict()
    assert (
        sum(value.numel() for key, value in weights.items() if "running" not in key and "num_b" not in key) == 23508032
    )
    assert weights["layer1.0.downsample.0.weight"].shape == (256, 64, 1, 1)
    assert weights["layer4.2.bn3.running_var"].shape == (2048,)
    assert len(weights) == 318


def test_resnet50_loads_a_file_with_a_classifier_and_refuses_another_network(tmp_path):
    network = ResNet50()
    torch.save({**ResNet50().state_dict(), "fc.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}, tmp_path / "ok.pt")
    load_imagenet_weights(network, tmp_path / "ok.pt")
    torch.save({"conv1.weight": network.conv1.weight}, tmp_path / "bad.pt")
    with pytest.raises(ValueError, match=r"bad\.pt: not a resnet50 weight file; missing"):
        load_imagenet_weights(network, tmp_path / "bad.pt")
    with pytest.raises(FileNotFoundError, match="no such weight file"):
        load_imagenet_weights(network, tmp_path / "none.pt")


@pytest.mark.parametrize(("network", "cells"), [("small", (32, 32)), ("resnet50", (16, 16))])
def test_both_detectors_speak_in_crop_pixels(network, cells):
    crops = torch.cat([CROPS, CROPS[..., :16]], dim=-1)
    detector = PoseDetector(DetectorConfig(network=network), num_joints=17).eval()
    with torch.no_grad():
        found = detector(crops)
    assert found.logits.shape == (2, 17, *cells)
    assert found.points_px.shape == (2, 17, 2)
    assert (found.points_px > -0.5).all()
    assert (found.points_px < 63.5).all()


def test_resnet50_refuses_a_crop_that_its_strides_do_not_divide():
    with pytest.raises(ValueError, match="multiples of 32 pixels, got 64x48"):
        PoseDetector(DetectorConfig(network="resnet50"), num_joints=17)(CROPS)


def test_the_small_detector_takes_the_published_crop_too():
    crops = torch.zeros(1, 3, 320, 256, dtype=torch.uint8)
    assert PoseDetector(DetectorConfig(), num_joints=17)(crops).logits.shape == (1, 17, 160, 128)


def test_confidences_are_normalised_over_views():
    head = ConfidenceHead(num_features=8, num_joints=17)
    confidences = head(torch.randn(6, 8, 8, 6)).unflatten(0, (2, 3))
    assert ((confidences > 0) & (confidences < 1)).all()
    torch.testing.assert_close(normalise_over_views(confidences).sum(-2), torch.full((2, 17), 1 + 3e-5))


@pytest.mark.parametrize("image_features", ["none", "small", "resnet50"])
def test_the_lifter_uses_images_only_if_told(image_features):
    lifter = Lifter(LifterConfig(num_hidden=8, dropout=0.0, image_features=image_features), num_joints=17)
    points = torch.zeros(2, 17, 2)
    depths_m = lifter(points, CROPS)
    assert depths_m.shape == (2, 17)
    assert torch.equal(depths_m, lifter(points, CROPS.flip(-1))) == (image_features == "none")


def test_a_lifter_with_image_features_asks_for_the_crops():
    lifter = Lifter(LifterConfig(num_hidden=8, image_features="small"), num_joints=17)
    with pytest.raises(ValueError, match="needs the crops"):
        lifter(torch.zeros(1, 17, 2))
