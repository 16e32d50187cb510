"""What a preview found, read from the engine's events, and how it is told: Markdown, text, JSON, a comment."""
