"""This project's server on an NVIDIA GPU beside the same server on the machine's CPU."""
