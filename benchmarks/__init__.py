"""Speed and scale, beside other libraries; run one with `python -m benchmarks.NAME`."""
