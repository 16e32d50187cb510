"""A stand-in for pulumi-resource-kubernetes: any kind an API server serves, over server-side apply."""
