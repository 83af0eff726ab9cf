"""Without a terminal, a line a minute says how far work is."""

from mmq import _progress as progress


def told(capsys, monkeypatch, seconds, **options):
    clock = iter(seconds)
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.bar("fit", 1000, "rows", **options) as advance:
        for number in range(len(seconds) - 1):
            advance(100, f"loss {number}" if number else "")
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.splitlines()


def test_a_line_a_minute(capsys, monkeypatch):
    lines = told(capsys, monkeypatch, [0, 30, 61, 90, 120, 125], done=500)
    assert lines == [
        "mmq: fit: 700 of 1,000 rows (70%), 3 rows/s, 1 min 32 s left, loss 1",
        "mmq: fit: 1,000 of 1,000 rows (100%), 4 rows/s, 0 s left, loss 4",
    ]


def test_what_is_quick_says_nothing(capsys, monkeypatch):
    assert told(capsys, monkeypatch, [0, 10, 20, 59]) == []
    assert told(capsys, monkeypatch, [0, 100, 200], shown=False) == []
