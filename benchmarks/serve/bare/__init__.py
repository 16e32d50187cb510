"""Applications without a framework, for the web stacks that benchmarks/serve/stacks.py compares."""
