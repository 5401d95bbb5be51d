"""Independent streams of random numbers from one seed, named so that changing one part leaves the others alone."""

from hashlib import blake2b

import torch


def stream(seed: int, *names: str | int) -> torch.Generator:
    """Make a CPU generator whose numbers depend on the seed and on every name, in their order."""
    text = "/".join(str(name) for name in (seed, *names))
    digest = blake2b(text.encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest) >> 1)
