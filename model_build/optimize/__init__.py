"""Everything that imports torch or rewrites a model: train, export, reference outputs, quantize."""
