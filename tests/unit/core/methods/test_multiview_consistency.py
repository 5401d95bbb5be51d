"""Eq. 3 to 14 against literal loops, their gradients, and what each loss term alone and both together determine."""

import math
from dataclasses import replace

import pytest
import torch

from core.geometry.projection import project_points
from core.geometry.rig import ring_rig
from core.losses.norms import choose_norm
from core.methods.multiview_consistency import (
    ConsistencyConfig,
    ViewBatch,
    consistency_loss,
    orthographic,
    perspective,
    reprojection_loss,
    root_in_views,
    strong_loss,
    to_camera,
    to_world,
    view_average,
    weak_loss,
)
from core.nn.residual_lifter import PoseStatistics, ResidualLifter, ResidualLifterConfig, initialise_xavier

NUM_FRAMES, NUM_VIEWS, NUM_JOINTS = 2, 4, 5
SQUARES = ConsistencyConfig(norm="l2", projection="perspective")


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def true_poses_mm(num_frames=NUM_FRAMES):
    """Root-relative poses in the world; joint 0 is the root."""
    poses_mm = 300.0 * random(num_frames, NUM_JOINTS, 3)
    return poses_mm - poses_mm[:, :1]


def exact_views(poses_mm, num_views=NUM_VIEWS):
    """Every view of a ring, all joints detected exactly."""
    num_frames = len(poses_mm)
    rig = ring_rig(num_views)
    intrinsics = torch.stack([camera.intrinsics for camera in rig]).expand(num_frames, -1, -1, -1)
    poses = torch.stack([camera.world_to_camera for camera in rig]).expand(num_frames, -1, -1, -1)
    root_mm = torch.tensor([[100.0, -200.0, 1_000.0]], dtype=torch.float64).expand(num_frames, 3)
    return ViewBatch(
        points_px=project_points(intrinsics @ poses, poses_mm + root_mm[:, None]),
        present=torch.ones(num_frames, num_views, NUM_JOINTS, dtype=torch.bool),
        used=torch.ones(num_frames, num_views, dtype=torch.bool),
        intrinsics=intrinsics,
        world_to_camera=poses,
        root_mm=root_mm,
    )


def views_with_gaps():
    """Noisy detections, one joint missing in one view and one view that does not count."""
    views = exact_views(true_poses_mm())
    points_px = views.points_px + 5 * random(*views.points_px.shape, seed=3)
    present, used = views.present.clone(), views.used.clone()
    present[0, 1, 2], used[1, 3] = False, False
    points_px[0, 1, 2] = torch.nan
    return replace(views, points_px=points_px, present=present, used=used)


def literal_huber(vector, delta):
    d = math.sqrt(sum(float(x) ** 2 for x in vector))
    return 0.5 * d * d if d <= delta else delta * (d - 0.5 * delta)


def literal_average(views, relative_mm, frame, joint):
    """Eq. 5 and 6 for one joint."""
    turned = [
        views.world_to_camera[frame, view, :, :3].T @ relative_mm[frame, view, joint]
        for view in range(NUM_VIEWS)
        if views.used[frame, view]
    ]
    return turned, sum(turned) / len(turned)


def literal_image(views, pose_mm, frame, view, projection):
    """Eq. 8 to 10 with 12 or 14 for one joint's pose in camera axes."""
    R, t = views.world_to_camera[frame, view, :, :3], views.world_to_camera[frame, view, :, 3]
    root = R @ views.root_mm[frame] + t
    absolute = pose_mm + root
    x, y, z = (float(value) for value in absolute)
    if projection == "orthographic":
        z = float(root[2])
    image = views.intrinsics[frame, view] @ torch.tensor([x / z, y / z, 1.0], dtype=torch.float64)
    return image[:2]


def literal_terms(views, relative_mm, config, projection):
    consistency = reprojection = 0.0
    for frame in range(NUM_FRAMES):
        for joint in range(NUM_JOINTS):
            turned, average = literal_average(views, relative_mm, frame, joint)
            for pose in turned:
                consistency += literal_huber((average - pose) / config.pose_unit_mm, config.huber_delta)
            for view in range(NUM_VIEWS):
                if not (views.used[frame, view] and views.present[frame, view, joint]):
                    continue
                pose = relative_mm[frame, view, joint]
                if config.reprojected == "average":
                    pose = views.world_to_camera[frame, view, :, :3] @ average
                image = literal_image(views, pose, frame, view, projection)
                difference = (views.points_px[frame, view, joint] - image) / config.image_unit_px
                reprojection += literal_huber(difference, config.huber_delta)
    number = int(views.used.sum()) * NUM_JOINTS
    return consistency / number, reprojection / number


@pytest.mark.parametrize("projection", ["orthographic", "perspective"])
@pytest.mark.parametrize("reprojected", ["average", "each_view"])
def test_the_loss_is_equations_3_to_14(projection, reprojected):
    config = ConsistencyConfig(
        consistency_weight=0.7, huber_delta=2.0, pose_unit_mm=20.0, image_unit_px=3.0, reprojected=reprojected
    )
    views = views_with_gaps()
    relative_mm = 200 * random(NUM_FRAMES, NUM_VIEWS, NUM_JOINTS, 3, seed=1)
    loss, terms = weak_loss(relative_mm, views, config, projection)
    consistency, reprojection = literal_terms(views, relative_mm, config, projection)
    assert float(terms["consistency"]) == pytest.approx(consistency)
    assert float(terms["reprojection"]) == pytest.approx(reprojection)
    assert float(loss) == pytest.approx(0.7 * consistency + 0.3 * reprojection)


def test_the_strong_loss_compares_in_each_cameras_axes():
    views, target_mm = views_with_gaps(), true_poses_mm()
    known = torch.ones(NUM_FRAMES, NUM_JOINTS, dtype=torch.bool)
    known[1, 4] = False
    target_mm[1, 4] = torch.nan
    relative_mm = 200 * random(NUM_FRAMES, NUM_VIEWS, NUM_JOINTS, 3, seed=1)
    config = ConsistencyConfig()
    expected = 0.0
    for frame in range(NUM_FRAMES):
        for view in range(NUM_VIEWS):
            for joint in range(NUM_JOINTS):
                if views.used[frame, view] and known[frame, joint]:
                    wanted = views.world_to_camera[frame, view, :, :3] @ target_mm[frame, joint]
                    expected += literal_huber((relative_mm[frame, view, joint] - wanted) / 15, 1.0)
    loss, _ = strong_loss(relative_mm, target_mm, known, views, config)
    assert float(loss) == pytest.approx(expected / (int(views.used.sum()) * NUM_JOINTS))


@pytest.mark.parametrize("norm", ["huber", "l1", "l2"])
@pytest.mark.parametrize("projection", ["orthographic", "perspective"])
def test_the_losses_have_right_gradients(norm, projection):
    views = views_with_gaps()
    relative_mm = (200 * random(NUM_FRAMES, NUM_VIEWS, NUM_JOINTS, 3, seed=1)).requires_grad_()
    config = ConsistencyConfig(norm=norm)
    assert torch.autograd.gradcheck(lambda x: weak_loss(x, views, config, projection)[0], (relative_mm,))
    known = torch.ones(NUM_FRAMES, NUM_JOINTS, dtype=torch.bool)
    assert torch.autograd.gradcheck(lambda x: strong_loss(x, true_poses_mm(), known, views, config)[0], (relative_mm,))


def test_projections_of_the_true_pose_are_the_detections():
    poses_mm = true_poses_mm()
    views = exact_views(poses_mm)
    camera_mm = to_camera(poses_mm, views.world_to_camera)
    root_mm = root_in_views(views.root_mm, views.world_to_camera)
    torch.testing.assert_close(perspective(views.intrinsics, camera_mm + root_mm[..., None, :]), views.points_px)
    for scale in ("root_depth", "mean_depth"):
        flat_px = orthographic(views.intrinsics, camera_mm, root_mm, scale)
        torch.testing.assert_close(flat_px[..., 0, :], views.points_px[..., 0, :])
        assert (flat_px - views.points_px)[..., 1:, :].norm(dim=-1).mean() > 1


def test_orthographic_and_perspective_agree_where_the_pose_is_flat():
    views = exact_views(true_poses_mm())
    relative_mm = true_poses_mm()[:, None].expand(-1, NUM_VIEWS, -1, -1).clone()
    relative_mm[..., 2] = 0
    root_mm = root_in_views(views.root_mm, views.world_to_camera)
    torch.testing.assert_close(
        orthographic(views.intrinsics, relative_mm, root_mm, "root_depth"),
        perspective(views.intrinsics, relative_mm + root_mm[..., None, :]),
    )


def test_the_jacobian_of_perspective_is_equation_13():
    intrinsics = torch.eye(3, dtype=torch.float64).expand(1, 1, 3, 3)
    point = torch.tensor([300.0, -200.0, 4_000.0], dtype=torch.float64)
    found = torch.autograd.functional.jacobian(lambda p: perspective(intrinsics, p.view(1, 1, 1, 3)).view(2), point)
    x, y, z = point.tolist()
    expected = torch.tensor([[1 / z, 0, -x / z**2], [0, 1 / z, -y / z**2]], dtype=torch.float64)
    torch.testing.assert_close(found, expected)


def test_a_point_behind_the_camera_has_a_finite_image_and_gradient():
    intrinsics = torch.eye(3, dtype=torch.float64).expand(1, 1, 3, 3)
    point = torch.tensor([[[[300.0, -200.0, -50.0]]]], dtype=torch.float64, requires_grad=True)
    image = perspective(intrinsics, point)
    image.sum().backward()
    assert image.isfinite().all()
    assert point.grad.isfinite().all()


def test_the_projection_switches_after_the_fraction_of_the_epochs():
    config = ConsistencyConfig(switch_after=0.3)
    assert [config.projection_in(epoch, 10)[0] for epoch in range(10)] == ["o"] * 3 + ["p"] * 7
    assert replace(config, projection="perspective").projection_in(0, 10) == "perspective"
    assert replace(config, projection="orthographic").projection_in(9, 10) == "orthographic"


def test_views_that_agree_have_no_inconsistency_whatever_they_agree_on():
    views = exact_views(true_poses_mm())
    norm = choose_norm("huber", 1.0)
    for pose_mm in (true_poses_mm(), 5 * true_poses_mm(), torch.zeros_like(true_poses_mm())):
        world_mm = to_world(to_camera(pose_mm, views.world_to_camera), views.world_to_camera)
        loss = consistency_loss(world_mm, view_average(world_mm, views.used), views.used, norm)
        assert float(loss) == pytest.approx(0.0, abs=1e-12)


def test_consistency_alone_is_zero_at_one_constant_output_only():
    views = exact_views(true_poses_mm())
    config = replace(SQUARES, consistency_weight=1.0)
    constant = torch.zeros(NUM_FRAMES, NUM_VIEWS, NUM_JOINTS, 3, dtype=torch.float64)
    assert float(weak_loss(constant, views, config, "perspective")[0]) == 0
    assert float(weak_loss(constant + 100.0, views, config, "perspective")[0]) > 1


def test_one_view_leaves_the_depth_free():
    poses_mm = true_poses_mm(1)
    views = exact_views(poses_mm, num_views=1)
    relative_mm = to_camera(poses_mm, views.world_to_camera) + 50 * random(1, 1, NUM_JOINTS, 3, seed=2)
    relative_mm.requires_grad_()
    loss, _ = weak_loss(relative_mm, views, replace(SQUARES, consistency_weight=0.0), "orthographic")
    (slope,) = torch.autograd.grad(loss, relative_mm)
    assert slope[..., :2].abs().max() > 0
    assert slope[..., 2].abs().max() < 1e-12 * slope[..., :2].abs().max()
    loss, _ = weak_loss(relative_mm, views, replace(SQUARES, consistency_weight=0.0), "perspective")
    (slope,) = torch.autograd.grad(loss, relative_mm)
    root_mm = root_in_views(views.root_mm, views.world_to_camera)
    along_ray = ((relative_mm + root_mm[..., None, :]) * slope).sum(dim=-1)
    assert along_ray.abs().max() < 1e-9 * slope.abs().max() * 5_000


def test_reprojection_alone_does_not_see_what_views_exchange():
    views = exact_views(true_poses_mm())
    config = replace(SQUARES, consistency_weight=0.0)
    relative_mm = to_camera(true_poses_mm(), views.world_to_camera)
    shift_mm = 300 * random(NUM_FRAMES, NUM_JOINTS, 3, seed=4)
    exchanged_mm = to_world(relative_mm, views.world_to_camera).clone()
    exchanged_mm[:, 0] += shift_mm
    exchanged_mm[:, 1] -= shift_mm
    exchanged_mm = (views.world_to_camera[..., :3] @ exchanged_mm.mT).mT
    assert (exchanged_mm - relative_mm).norm(dim=-1).max() > 100
    loss, terms = weak_loss(exchanged_mm, views, config, "perspective")
    assert float(loss) == pytest.approx(0.0, abs=1e-9)
    assert float(terms["consistency"]) > 1


def minimise(config, views, projection="perspective"):
    """Free poses of every view, by L-BFGS from zero; the root is held."""
    free_mm = torch.zeros(NUM_FRAMES, views.used.shape[1], NUM_JOINTS - 1, 3, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([free_mm], lr=1, max_iter=500, tolerance_change=1e-12, line_search_fn="strong_wolfe")

    def pose_mm():
        return torch.cat([torch.zeros_like(free_mm[..., :1, :]), 100 * free_mm], dim=-2)

    def closure():
        optimiser.zero_grad()
        loss, _ = weak_loss(pose_mm(), views, config, projection)
        loss.backward()
        return loss

    optimiser.step(closure)
    return pose_mm().detach()


@pytest.mark.parametrize("reprojected", ["average", "each_view"])
def test_both_terms_recover_the_truth_from_exact_detections(reprojected):
    poses_mm = true_poses_mm()
    views = exact_views(poses_mm)
    found_mm = minimise(replace(SQUARES, consistency_weight=0.8, reprojected=reprojected), views)
    torch.testing.assert_close(found_mm, to_camera(poses_mm, views.world_to_camera), rtol=0, atol=0.5)


def test_consistency_alone_stays_where_it_starts():
    views = exact_views(true_poses_mm())
    assert (minimise(replace(SQUARES, consistency_weight=1.0), views) == 0).all()


def test_a_detached_average_changes_the_gradient_but_not_for_squares():
    views = views_with_gaps()
    relative_mm = (200 * random(NUM_FRAMES, NUM_VIEWS, NUM_JOINTS, 3, seed=1)).requires_grad_()

    def slope(norm, detach):
        config = ConsistencyConfig(norm=norm, detach_average=detach, consistency_weight=1.0)
        return torch.autograd.grad(weak_loss(relative_mm, views, config, "perspective")[0], relative_mm)[0]

    torch.testing.assert_close(slope("l2", True), slope("l2", False))
    assert (slope("huber", True) - slope("huber", False)).abs().max() > 1e-3 * slope("huber", False).abs().max()


@pytest.mark.parametrize(("weight", "collapses"), [(1.0, True), (0.8, False)])
def test_a_network_trained_on_consistency_alone_collapses(weight, collapses):
    poses_mm = true_poses_mm(16)
    views = exact_views(poses_mm)
    inputs_px = (views.points_px - views.points_px[..., :1, :]).float().flatten(0, 1)
    moving = torch.tensor([0.0, 1, 1, 1, 1])[:, None]
    statistics = PoseStatistics(
        input_mean_px=torch.zeros(NUM_JOINTS, 2),
        input_deviation_px=100 * moving.expand(-1, 2),
        output_mean_mm=100 * moving.expand(-1, 3),
        output_deviation_mm=300 * moving.expand(-1, 3),
    )
    network = ResidualLifter(ResidualLifterConfig(num_hidden=64, num_layers=3), statistics)
    initialise_xavier(network, torch.Generator().manual_seed(0))
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    present = torch.ones(inputs_px.shape[:2], dtype=torch.bool)
    config = ConsistencyConfig(consistency_weight=weight)
    single = ViewBatch(
        **{
            name: getattr(views, name).float() if getattr(views, name).is_floating_point() else getattr(views, name)
            for name in ViewBatch.__dataclass_fields__
        }
    )
    for _ in range(150):
        optimiser.zero_grad()
        relative_mm = network(inputs_px, present).unflatten(0, (16, NUM_VIEWS))
        weak_loss(relative_mm, single, config, "perspective")[0].backward()
        optimiser.step()
    relative_mm = network(inputs_px, present).detach()
    true_mm = to_camera(poses_mm, views.world_to_camera).flatten(0, 1)
    error_mm = float((relative_mm - true_mm).norm(dim=-1)[:, 1:].mean())
    found, wanted = (lateral_spread_mm(pose.flatten(0, 1)) for pose in (turned(relative_mm, single), poses_mm[:, None]))
    assert (found < 0.2 * wanted) == collapses
    assert (error_mm > 500) == collapses
    assert collapses or error_mm < 150


def turned(relative_mm, views):
    return to_world(relative_mm.unflatten(0, (16, NUM_VIEWS)), views.world_to_camera)


def lateral_spread_mm(world_mm):
    """Without the height: all cameras of the ring have one pitch, so that they can agree on that as it is."""
    return float(world_mm[..., :2].var(dim=0).sum(dim=-1).sqrt()[1:].mean())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"consistency_weight": 1.1}, r"\(lambda\) must be in \[0, 1\], got 1.1"),
        ({"switch_after": -0.1}, r"switch_after must be in \[0, 1\], got -0.1"),
        ({"pose_unit_mm": 0.0}, r"must be > 0, got 1.0, 0.0, 1.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ConsistencyConfig(**settings)


def test_reprojection_counts_no_missing_detection():
    views = views_with_gaps()
    image_px = torch.zeros_like(views.points_px)
    found = reprojection_loss(views.points_px, image_px, views.present, views.used, choose_norm("l1", 1.0))
    distances = views.points_px.norm(dim=-1)[views.present & views.used[..., None]]
    assert float(found) == pytest.approx(float(distances.sum()) / (7 * NUM_JOINTS))
    assert distances.isfinite().all()
