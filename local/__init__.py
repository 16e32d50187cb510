"""The embedded platform: engine, cluster, registry and images made from package registries alone."""
