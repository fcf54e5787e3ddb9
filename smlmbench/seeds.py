"""Random seeds from scope, so that the order of cells changes nothing."""

import hashlib


def derive_seed(root: int, *scope: str) -> int:
    """Hash a root seed and a scope to a seed in 0 .. 2**63 - 1.

    The scope names what must influence the draw (role, digest of the description, repeat), never the name of
    a study, of data or of a condition.
    """
    text = "\x1f".join([str(int(root)), *scope])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
