"""The prefix index of a catalogue's IDs and the searches in it: exact, and by beams."""

from mmq.decoding._beam import beam_scores, beam_search
from mmq.decoding._exact import exact_search, score_items
from mmq.decoding._filters import Excluded, Filters
from mmq.decoding._index_file import read_index, write_index
from mmq.decoding._items import Decoded
from mmq.decoding._prefix_index import PrefixIndex, codes_fingerprint
from mmq.decoding._scores import CodeScores, ParallelScores

__all__ = [
    "CodeScores",
    "Decoded",
    "Excluded",
    "Filters",
    "ParallelScores",
    "PrefixIndex",
    "beam_scores",
    "beam_search",
    "codes_fingerprint",
    "exact_search",
    "read_index",
    "score_items",
    "write_index",
]
