"""The settings of cleaning a corpus."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from noria.core.settings import Settings


class CleanSettings(Settings):
    """How raw documents become a clean corpus. The defaults suit Chinese and English alike."""

    text_field: str = "text"
    """Field or column of a row that holds the text."""
    unit: Literal["file", "paragraph", "line"] = "file"
    """What one document is in a plain text file."""
    skip_bad_rows: bool = False
    """Count rows that cannot be read, rather than stop at the first."""
    markup: Literal["auto", "strip", "keep"] = "auto"
    """HTML tags: strip them where the text is plainly a page (auto), everywhere, or nowhere."""
    simplify: bool = False
    """Turn Traditional Chinese into Simplified."""
    min_length: Annotated[int, Field(ge=0)] = 5
    """Shortest text to keep, in Chinese characters plus words of other scripts."""
    max_length: Annotated[int, Field(ge=1)] = 1_000_000
    """Longest text to keep, in the same units."""
    max_symbols: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Largest share of a text that may be neither letters, digits nor white space; a repeated symbol counts once."""
    max_repetition: Annotated[float, Field(ge=0, le=1)] = 0.7
    """Largest share of a text that may repeat itself."""
    languages: tuple[str, ...] = ()
    """Languages to keep, as ISO 639-1 codes such as zh and en; empty keeps all."""
    mask: bool = True
    """Put <PHONE>, <EMAIL>, <ID> and the like in the place of personal data."""
    near: Annotated[float, Field(ge=0, le=1)] = 0.8
    """Jaccard similarity of character shingles from which texts are near duplicates; 0 leaves near duplicates alone."""
    valid_share: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the groups that goes into the validation split."""
    test_share: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the groups that goes into the test split."""
    seed: int = 0
    """Seed of the split and of the hashes."""

    @model_validator(mode="after")
    def _leaves_training(self) -> CleanSettings:
        if self.valid_share + self.test_share >= 1:
            raise ValueError(
                f"valid_share {self.valid_share} and test_share {self.test_share} leave nothing for training: together less than 1"
            )
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} is above max_length {self.max_length}")
        return self
