"""The method library: multi-camera 3D human pose, in torch. Needs nothing of the platform that studies it."""
