"""The benchmark: squib and other routers of the same runtime, in one run. See docs/benchmarks.md."""
