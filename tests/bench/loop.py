"""A fixed loop of pure Python: says how fast a machine is at the moment, beside work that has no peer."""

LOOP = "a loop of pure Python"
LOOP_S = 0.3
"""What the loop takes on one quiet core of 2023."""


def python_loop() -> None:
    """Add 12 million numbers."""
    total = 0
    for number in range(12_000_000):
        total += number & 7
    assert total > 0
