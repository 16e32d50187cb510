"""OCI images without a daemon: reproducible layers, manifests, and a registry client."""
