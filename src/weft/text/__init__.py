"""From text to ids and back: tokenizers, trained and applied."""
