from dataclasses import dataclass

import pytest
import torch

from core.geometry.projection import project_points
from core.geometry.rig import court_rig
from core.methods.lifting import lifting_loss, relative_depths_mm, root_depth_mm, unproject
from core.methods.multiview import MultiViewBatch, to_box
from core.methods.pose_errors import detection_errors, lifting_targets, multi_view_errors
from core.methods.triangulation_ssl import SelfSupervisionConfig, confidence_loss, self_supervision, triangulate
from core.nn.view_weights import normalise_over_views

NUM_SETS, NUM_JOINTS, WIDTH_PX, HEIGHT_PX = 3, 17, 48, 64


@dataclass
class Scene:
    batch: MultiViewBatch
    visible: torch.Tensor


@pytest.fixture
def scene():
    """Players on the court, in crops of 48x64 pixels around each, by the court's eight cameras."""
    generator = torch.Generator().manual_seed(0)
    projections = torch.stack([camera.projection for camera in court_rig()]).float()
    centre_mm = (torch.rand(NUM_SETS, 1, 3, generator=generator) - 0.5) * torch.tensor([6000.0, 4000.0, 1.0])
    offset_mm = torch.randn(NUM_SETS, NUM_JOINTS, 3, generator=generator) * torch.tensor([150.0, 150.0, 350.0])
    joints_mm = centre_mm + offset_mm + torch.tensor([0.0, 0.0, 1000.0])
    image_px = project_points(projections.expand(NUM_SETS, -1, 3, 4), joints_mm)
    low, high = image_px.amin(2) - 10, image_px.amax(2) + 10
    scale = torch.tensor([WIDTH_PX, HEIGHT_PX]) / (high - low)
    crop = torch.zeros(NUM_SETS, len(projections), 3, 3)
    crop[..., 0, 0], crop[..., 1, 1], crop[..., 2, 2] = scale[..., 0], scale[..., 1], 1.0
    crop[..., 0, 2], crop[..., 1, 2] = -low[..., 0] * scale[..., 0], -low[..., 1] * scale[..., 1]
    cropped = crop @ projections
    batch = MultiViewBatch(
        images=torch.zeros(NUM_SETS, len(projections), 3, HEIGHT_PX, WIDTH_PX, dtype=torch.uint8),
        projections=cropped,
        joints_mm=joints_mm,
        joints_px=project_points(cropped, joints_mm),
        usable=torch.ones(NUM_SETS, len(projections), dtype=torch.bool),
    )
    return Scene(batch=batch, visible=torch.rand(batch.joints_px.shape[:-1], generator=generator) > 0.3)


def corrupted(batch, view=0, by_px=12.0):
    points_px = batch.joints_px.clone()
    points_px[:, view] += by_px
    return points_px


@pytest.mark.parametrize("weighting", ["geometric", "uniform", "learned"])
def test_every_weighting_finds_exact_detections_exactly(scene, weighting):
    batch = scene.batch
    confidences = torch.rand(batch.joints_px.shape[:-1]) * 0.8 + 0.1
    found = triangulate(batch, batch.joints_px, confidences, weighting, SelfSupervisionConfig().training())
    torch.testing.assert_close(found.points_mm, batch.joints_mm, atol=0.5, rtol=0)
    assert found.kept.all()


def test_geometric_weights_silence_a_view_that_is_wrong(scene):
    points_px = corrupted(scene.batch)
    robust = SelfSupervisionConfig().measuring()
    weighted = triangulate(scene.batch, points_px, None, "geometric", robust)
    plain = triangulate(scene.batch, points_px, None, "uniform", robust)
    weighted_error_mm = (weighted.points_mm - scene.batch.joints_mm).norm(dim=-1).mean()
    plain_error_mm = (plain.points_mm - scene.batch.joints_mm).norm(dim=-1).mean()
    assert weighted.weights[:, 0].mean() < 0.1 * weighted.weights[:, 1:].mean()
    assert weighted_error_mm < 0.3 * plain_error_mm


@pytest.mark.parametrize("weighting", ["geometric", "uniform", "learned"])
def test_a_view_that_left_the_image_does_not_take_part(scene, weighting):
    batch = scene.batch
    batch.usable[:, 0] = False
    confidences = torch.full(batch.joints_px.shape[:-1], 0.5)
    robust = SelfSupervisionConfig().training()
    found = triangulate(batch, corrupted(batch, by_px=40.0), confidences, weighting, robust)
    torch.testing.assert_close(found.points_mm, batch.joints_mm, atol=0.5, rtol=0)
    assert (found.weights[:, 0] == 0).all()


def test_learned_weights_have_mean_one_over_the_views(scene):
    batch = scene.batch
    confidences = torch.rand(batch.joints_px.shape[:-1])
    found = triangulate(batch, batch.joints_px, confidences, "learned", SelfSupervisionConfig().training())
    torch.testing.assert_close(found.weights, normalise_over_views(confidences) * 8)


def gradient(batch, config):
    points_px = corrupted(batch, by_px=4.0).requires_grad_()
    loss, _ = self_supervision(batch, points_px, None, config)
    loss.backward()
    assert points_px.grad is not None
    return points_px.grad


def test_without_the_gradient_through_the_triangulation_the_target_is_fixed(scene):
    """The direct gradient is 2 w (x - xbar) in box coordinates: nothing else may remain."""
    config = SelfSupervisionConfig(differentiable=False, wss_selection=False)
    points_px = corrupted(scene.batch, by_px=4.0)
    found = triangulate(scene.batch, points_px, None, "geometric", config.training())
    size_px = torch.tensor([WIDTH_PX, HEIGHT_PX]).float()
    reprojected = to_box(project_points(scene.batch.projections, found.points_mm), size_px)
    difference = to_box(points_px, size_px) - reprojected
    expected = 2 * found.weights[..., None] * difference / found.weights.numel() * 2 / size_px
    torch.testing.assert_close(gradient(scene.batch, config), expected, rtol=1e-3, atol=1e-7)


def test_the_switches_change_the_gradient(scene):
    base = gradient(scene.batch, SelfSupervisionConfig(sigma_mm=500.0, wss_threshold_mm=1e6))
    for change in ({"differentiable": False}, {"weighting": "uniform"}, {"weights_in_loss": False}):
        options = {"sigma_mm": 500.0, "wss_threshold_mm": 1e6, **change}
        assert not torch.allclose(base, gradient(scene.batch, SelfSupervisionConfig(**options)), rtol=1e-2, atol=0)


def test_joints_whose_pairs_scatter_are_left_out_if_selection_is_on(scene):
    tight = {"wss_threshold_mm": 1e-3, "weighting": "uniform"}
    assert (gradient(scene.batch, SelfSupervisionConfig(**tight)) == 0).all()
    assert (gradient(scene.batch, SelfSupervisionConfig(**tight, wss_selection=False)) != 0).any()


def test_the_confidence_head_learns_to_distrust_a_wrong_view(scene):
    logits = torch.zeros(scene.batch.joints_px.shape[:-1], requires_grad=True)
    points_px = corrupted(scene.batch)
    loss = confidence_loss(scene.batch, points_px, logits.sigmoid(), SelfSupervisionConfig(weighting="learned"))
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[:, 0].mean() > 0 > logits.grad[:, 1:].mean()


def test_unprojecting_the_true_depth_gives_the_joint_back(scene):
    batch = scene.batch
    depths_mm = root_depth_mm(batch.projections, batch.joints_mm, 0)[..., None]
    depths_mm = depths_mm + relative_depths_mm(batch.projections, batch.joints_mm, 0)
    found_mm = unproject(batch.projections, batch.joints_px, depths_mm)
    torch.testing.assert_close(found_mm, batch.joints_mm[:, None].expand_as(found_mm), atol=0.5, rtol=0)


def test_a_joint_without_a_pseudo_pose_teaches_the_lifter_nothing(scene):
    kept = torch.ones(NUM_SETS, NUM_JOINTS, dtype=torch.bool)
    kept[0, 5] = kept[1, 0] = False
    joints_mm = scene.batch.joints_mm.clone()
    joints_mm[0, 5] = torch.nan
    depths_m, known = lifting_targets(scene.batch, joints_mm, kept, root=0)
    assert not known[0, :, 5].any()
    assert known[0, :, 6].all()
    assert not known[1].any()
    assert lifting_loss(torch.full_like(depths_m, 9.0).flatten(0, 1), depths_m.flatten(0, 1), known.flatten(0, 1)) > 0
    nothing = torch.zeros_like(known)
    assert lifting_loss(depths_m.flatten(0, 1) + 1, depths_m.flatten(0, 1), nothing.flatten(0, 1)) == 0


def test_errors_are_zero_for_exact_detections(scene):
    robust = SelfSupervisionConfig().measuring()
    errors = multi_view_errors(
        scene.batch, scene.batch.joints_px, None, weighting="uniform", robust=robust, root=0
    ) | detection_errors(scene.batch, scene.batch.joints_px, scene.visible)
    assert set(errors) >= {"multiview/mpjpe", "multiview_fixed/pmpjpe", "multiview/absolute", "detection/hidden"}
    assert max(errors.values()) < 0.5


def test_hidden_and_visible_joints_are_measured_apart(scene):
    points_px = scene.batch.joints_px + torch.where(scene.visible, 0.0, 5.0)[..., None]
    errors = detection_errors(scene.batch, points_px, scene.visible)
    assert errors["detection/visible"] == 0
    assert errors["detection/hidden"] == pytest.approx(5 * 2**0.5, rel=1e-4)


@pytest.mark.parametrize("weighting", ["geometric", "uniform"])
def test_hardly_any_gradient_comes_through_the_triangulation(scene, weighting):
    """Why "non-differentiable" changes so little: the triangulation minimises nearly the loss it is measured by.

    The gradient through a minimiser is zero to first order (envelope theorem); what is left is the difference between
    the algebraic error that the DLT minimises and the image error of the loss.
    """
    noise_px = torch.randn(scene.batch.joints_px.shape, generator=torch.Generator().manual_seed(1))
    gradients = []
    for differentiable in (True, False):
        config = SelfSupervisionConfig(weighting=weighting, wss_selection=False, differentiable=differentiable)
        points_px = (scene.batch.joints_px + 2 * noise_px).requires_grad_()
        self_supervision(scene.batch, points_px, None, config)[0].backward()
        gradients.append(points_px.grad.flatten())
    full, direct = gradients
    through = full - direct
    assert through.norm() < 0.25 * direct.norm()
    assert abs(torch.cosine_similarity(through, direct, dim=0)) < 0.1
