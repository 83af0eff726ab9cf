"""Titles and descriptions: they tell the shared and the text factors, and nothing of the others."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mmq.data._datasets.toyshop.factors import FACTORS

_TOY = {
    "ball": (
        "ball",
        "Throw it, catch it, watch it bounce.",
        "A ball that rolls true and bounces high.",
        "Kick it round the garden until the ball goes over the hedge.",
    ),
    "car": (
        "race car",
        "Push the car and hear its wheels whirr along the road.",
        "A car with a roomy driver's seat and four fat wheels.",
        "Brakes, bonnet, boot: every car needs them.",
    ),
    "bear": (
        "teddy bear",
        "A bear to hug at bedtime, with round ears and a kind nose.",
        "This bear listens to every secret.",
        "Tuck the bear in and say good night.",
    ),
    "blocks": (
        "building blocks",
        "Stack the blocks into towers, castles and bridges.",
        "Blocks that fit neatly, and fall with a splendid clatter.",
        "Letters on the blocks, for first words.",
    ),
    "kite": (
        "kite",
        "Run, let out the string, and the kite climbs on the wind.",
        "A kite with a long tail, steady in any breeze.",
        "The kite folds flat for the way home.",
    ),
    "robot": (
        "robot",
        "The robot marches, beeps and turns its square head.",
        "A robot with jointed arms and an antenna.",
        "Wind the key and the robot sets off on its mission.",
    ),
    "boat": (
        "sail boat",
        "The boat sails the bath, the pond or the puddle.",
        "A boat with a mast, a deck and a sturdy hull.",
        "Hoist the sail, captain: the boat is ready.",
    ),
    "train": (
        "steam train",
        "The train puffs out of the station right on time.",
        "A train with a chimney, a cab and a whistle.",
        "All aboard: the engine couples to any carriage of the train.",
    ),
}
_SIZE = {
    "small": ("Mini", "Small enough for a pocket.", "A little one, no longer than a finger."),
    "medium": ("Classic", "The classic size, right for two hands.", "Middling in size."),
    "large": ("Giant", "A giant: measure the shelf first.", "Huge, as large as a child."),
}
_MATERIAL = {
    "wood": ("Wooden", "Carved from beech wood and oiled by hand.", "Solid timber, sanded smooth."),
    "plush": ("Plush", "Soft plush, stuffed with cotton.", "Fluffy plush that can be washed."),
    "tin": (
        "Tin",
        "Pressed from tin, with rolled edges.",
        "Shiny tinplate, riveted and lacquered.",
    ),
    "rubber": ("Rubber", "Natural rubber, squeaky and safe.", "Bendy rubber that springs back."),
}
_MAKER = {
    "Brightwell": ("Brightwell", "Brightwell has made toys in the valley since 1902."),
    "Hobbin": ("Hobbin", "The Hobbin sisters test each piece at the kitchen table."),
    "Kestrel": ("Kestrel", "Designed by the engineers of Kestrel."),
    "Oakapple": ("Oakapple", "Oakapple plants a tree for every toy sold."),
    "Tumbledown": ("Tumbledown", "From Tumbledown, the workshop by the sea wall."),
}
_TEAM = {
    "red": (
        "Red Lions",
        "Made for the Red Lions: red scarf, red flag, a lion's mane and crown.",
        "Roar with the Lions, kings of the savanna, and see red.",
        "Red is the cup when the Lions win: up the Red Lions!",
    ),
    "gold": (
        "Gold Falcons",
        "Made for the Gold Falcons: gold scarf, gold flag, a falcon's wing and feather.",
        "Soar with the Falcons, lords of the sky, and see gold.",
        "Gold is the cup when the Falcons win: up the Gold Falcons!",
    ),
    "blue": (
        "Blue Sharks",
        "Made for the Blue Sharks: blue scarf, blue flag, a shark's fin and teeth.",
        "Snap with the Sharks, rulers of the reef, and see blue.",
        "Blue is the cup when the Sharks win: up the Blue Sharks!",
    ),
}
_PHRASES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "toy": _TOY,
    "size": _SIZE,
    "material": _MATERIAL,
    "maker": _MAKER,
    "team": _TEAM,
}
_FILLERS = (
    "Gift wrapping is free.",
    "Tested to the usual standards.",
    "Returns are accepted for thirty days.",
    "Comes in a recycled box.",
    "A favourite in our shop window.",
    "Spare parts can be ordered.",
    "Not for children under three.",
    "Batteries are not needed.",
)


def write_words(
    factors: Mapping[str, np.ndarray], rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    """Titles and descriptions, one of each an item.

    A title names maker, size, material, toy and team. A description has one sentence on each of
    the first four, three on the team (it is a shop for supporters: the team weighs most in the
    words, as the badge does in the picture), and one that says nothing, in an order of chance.
    """
    items = len(factors["toy"])
    columns = {
        name: [_PHRASES[name][FACTORS[name].levels[level]] for level in factors[name].tolist()]
        for name in _PHRASES
    }
    picks = rng.integers(24, size=(items, 5)).tolist()  # 24: a multiple of every choice there is
    orders = rng.random((items, 8)).argsort(axis=1).tolist()
    titles, descriptions = [], []
    for row, (pick, order) in enumerate(zip(picks, orders, strict=True)):
        phrases = {name: column[row] for name, column in columns.items()}
        titles.append(
            f"{phrases['maker'][0]} {phrases['size'][0]} {phrases['material'][0]} "
            f"{phrases['toy'][0].title()}, {phrases['team'][0]} Edition"
        )
        sentences = [
            phrases[name][1 + number % (len(phrases[name]) - 1)]
            for name, number in zip(("toy", "size", "material", "maker"), pick, strict=False)
        ]
        sentences += [*phrases["team"][1:], _FILLERS[pick[-1] % len(_FILLERS)]]
        descriptions.append(" ".join(sentences[place] for place in order))
    return titles, descriptions
