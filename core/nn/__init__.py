"""Networks: backbones, detectors, lifters, weight heads."""
