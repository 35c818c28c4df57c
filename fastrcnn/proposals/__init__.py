"""Selective search: where an object may be (Uijlings et al., IJCV 2013; paper, section 2)."""

from fastrcnn.proposals.hierarchy import SIMILARITIES, Hierarchy
from fastrcnn.proposals.segments import COLOUR_SPACES
from fastrcnn.proposals.selective_search import (
    MODES,
    Proposals,
    Segmentation,
    SelectiveSearch,
    prepare,
    search_stages,
    selective_search,
)

__all__ = [
    "COLOUR_SPACES",
    "MODES",
    "SIMILARITIES",
    "Hierarchy",
    "Proposals",
    "Segmentation",
    "SelectiveSearch",
    "prepare",
    "search_stages",
    "selective_search",
]
