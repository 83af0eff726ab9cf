"""Files of mmq that a test changes and writes as mmq does, so that no hash differs."""

import json
from pathlib import Path

from mmq._artifacts import sha256
from mmq._formats import json_bytes, read_json, write_json, write_tensors
from mmq._model_folder import CONFIG, HASH, WEIGHTS


def change_json(path: Path, change) -> None:
    """Let ``change`` alter the object that a file holds."""
    value = read_json(path, "file")
    change(value)
    write_json(path, value)


def replace_in_json(path: Path, old: str, new: str) -> None:
    """Replace a text that stands in a file."""
    text = json_bytes(read_json(path, "file")).decode()
    assert old in text
    text = text.replace(old, new, 1)
    try:
        write_json(path, json.loads(text))
    except ValueError:  # it is to be no JSON
        path.write_text(text)


def write_weights(folder: Path, tensors) -> None:
    """Give a model's folder other weights."""
    write_tensors(folder / WEIGHTS, tensors)
    change_json(folder / CONFIG, lambda config: config.update({HASH: sha256(folder / WEIGHTS)}))
