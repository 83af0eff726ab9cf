"""A world of any size: items, what users do with them, and nothing of it from outside.

    python -m benchmarks.world --items 1000000 --users 500000 --out DIR

Tastes are a tree. Its leaves are small groups of items with a place in a latent space; a branch
holds :data:`~benchmarks.world.tree.LEAVES` of them. Every modality shows a known share of that
place, the rest is its own. Leaves and the items inside are taken by Zipf's law. Users have a few
branches that drift, and what was taken last calls for a leaf that follows it, so that there is
something to learn for those who know popularity, tastes, items and order.

The world is written in parts. Part p is a function of (seed, p): parts are made in any order, in
several processes, and again, to the same bytes, each in bounded memory.
"""

from benchmarks.world.settings import World
from benchmarks.world.write import make_world, write_catalogue_part, write_interactions_part

__all__ = ["World", "make_world", "write_catalogue_part", "write_interactions_part"]
