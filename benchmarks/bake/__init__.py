"""What baking and pushing an image takes, beside one streamed upload of the same bytes and other tools."""
