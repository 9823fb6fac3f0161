"""Parts of the benchmark of the proxy; see benchmarks/proxy.py."""
