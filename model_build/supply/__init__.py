"""What lets another trust an image: who signed it, what it was made from, what lies in it."""
