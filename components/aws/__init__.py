"""Amazon Web Services: what a stack brings up there before anything runs in Kubernetes."""
