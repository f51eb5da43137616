"""What a user of flatnas can mend."""

from __future__ import annotations


class FlatnasError(Exception):
    """Base of this package's errors: one line that says what was wanted, what came, and what to do."""


class DataError(FlatnasError):
    """Data that is damaged or unfit."""


class MissingDataError(DataError):
    """Data that is not on this machine; it can be fetched."""


class SupernetError(FlatnasError):
    """A supernet file that can't be used here."""


class LabelsError(FlatnasError):
    """Soft labels that can't be used here."""


class CheckpointError(FlatnasError):
    """A checkpoint of another training."""


class TrainingDivergedError(FlatnasError):
    """The loss is no longer a finite number."""
