"""What all configurations have in common."""

from pydantic import BaseModel, ConfigDict

__all__ = ["Config"]


class Config(BaseModel):
    """The base of all configurations: frozen; an unknown or ill-typed key, or a number that is not finite, is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
