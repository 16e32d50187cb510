"""Parts of documents that others write: held to their form, and named in errors without what they hold."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """An object of such a document; fields that are not named are left out."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)
