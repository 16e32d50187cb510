"""How long a model takes from a pod's creation on a node without its image to its first right answer."""
