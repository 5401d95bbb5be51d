"""What a keypoint detector looks at: people before calibrated cameras, their images, size, heading and hidden joints.

`N` frames of one person each, `V` views, `J` joints.
"""

from dataclasses import dataclass

import torch

from core.simulator.detector_model import body_length_mm
from core.simulator.occlusion import body_capsules, focal_lengths_px, hidden_by
from core.simulator.openpose_body import frame_of
from core.skeleton import HUMAN36M, Skeleton
from core.typing import Bool, Float, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What the detector looks at.

    Attributes:
        skeleton: Joints that it detects.
        joints_mm: Where they are.
        body_mm: The same bodies in Human3.6M's joints, for their outline, size and heading.
        projections: True cameras, `K [R | t]`, float64.
        size_px: Width and height of each view's images.
    """

    skeleton: Skeleton
    joints_mm: Float[Tensor, "N J 3"]
    body_mm: Float[Tensor, "N 17 3"]
    projections: Float[Tensor, "V 3 4"]
    size_px: Float[Tensor, "V 2"]

    def images_px(self, points_mm: Float[Tensor, "N J 3"]) -> Float[Tensor, "N V J 2"]:
        """Project points into every view, in float64; they are taken to be before the cameras."""
        image = torch.einsum("vab,njb->nvja", self.projections[..., :3], points_mm.double())
        image += self.projections[:, None, :, 3]
        return (image[..., :2] / image[..., 2:]).to(points_mm.dtype)

    def body_frames(self) -> Float[Tensor, "N 3 3"]:
        """Columns forward, left and up of the trunk."""
        at = {name: self.body_mm[:, index] for index, name in enumerate(HUMAN36M.names)}
        up = at["LShoulder"] + at["RShoulder"] - at["LHip"] - at["RHip"]
        return frame_of(up, at["LShoulder"] - at["RShoulder"] + at["LHip"] - at["RHip"])

    def body_length_px(self) -> Float[Tensor, "N V"]:
        """The body length as it appears at the depth of the pelvis."""
        pelvis = self.body_mm[:, 0].double()
        depth_mm = pelvis @ self.projections[:, 2, :3].T + self.projections[:, 2, 3]
        focal_px = focal_lengths_px(self.projections)
        return (body_length_mm(self.body_mm)[:, None] * focal_px / depth_mm.clamp(min=1.0)).float()

    def hidden(self) -> Bool[Tensor, "N V J"]:
        """Whether the body itself is before a joint; a hand is hidden with its wrist."""
        names = self.skeleton.names
        tested = [name for name in names if shown_by(name, names) == name]
        of = [tested.index(shown_by(name, names)) for name in names]
        points_mm = self.joints_mm[:, [names.index(name) for name in tested]]
        return hidden_by(body_capsules(self.body_mm), points_mm, self.projections.float())[..., of]


def shown_by(name: str, names: tuple[str, ...]) -> str:
    """Give the joint whose lot another one shares: the wrist for the joints of its hand, else the joint itself."""
    is_of_hand = f"{name[0]}Palm" in names and names.index(name) >= names.index("LPalm")
    return f"{name[0]}Wrist" if is_of_hand else name
