"""What a stack costs a month, by prices that somebody gives, and which machines are large enough for a model."""
