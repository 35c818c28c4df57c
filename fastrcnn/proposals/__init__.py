"""Selective search: where an object may be (Uijlings et al., IJCV 2013; paper, section 2)."""

from fastrcnn.proposals.hierarchy import SIMILARITIES, Hierarchy
from fastrcnn.proposals.selective_search import (
    MODES,
    Proposals,
    Segmentation,
    SelectiveSearch,
    search_stages,
    selective_search,
)
from fastrcnn.proposals.segments import COLOUR_SPACES

__all__ = [
    "COLOUR_SPACES",
    "MODES",
    "SIMILARITIES",
    "Hierarchy",
    "Proposals",
    "Segmentation",
    "SelectiveSearch",
    "search_stages",
    "selective_search",
]
