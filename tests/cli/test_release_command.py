from __future__ import annotations

import json

from mmq.cli import main
from release_shop import write_shop


def test_parts_become_a_release(tmp_path, capsys) -> None:
    write_shop(tmp_path)
    given = ["--ids", "ids.parquet", "--model", "heterrec", "--tokenizer", "tokenizer"]
    named = [part if part.startswith("--") else str(tmp_path / part) for part in given]
    out = ["--out", str(tmp_path / "releases" / "monday")]
    assert main(["release", *named, *out, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["name"], result["items"], result["new_items"]) == ("monday", 36, 0)
    assert result["models"] == {"tokenizer": "rqkmeans", "recommender": "heterrec"}
    assert main(["release", *named, *out]) == 2
    assert "never changes" in capsys.readouterr().err
