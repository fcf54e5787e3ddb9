"""Search of hyperparameters: proposes and is told; knows nothing of stores, of running or of scoring."""

from smlmbench.search.proposing import Direction, Proposal, Searcher, Sorts, Trial
from smlmbench.search.pruning import Judge

__all__ = ["Direction", "Judge", "Proposal", "Searcher", "Sorts", "Trial"]
