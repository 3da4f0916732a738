"""Rows of a log that holds a sample of the traffic: how many requests each stands for, and what has to be said of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import polars as pl

__all__ = ["requests_behind", "sampling_note"]


def requests_behind(rows: pl.DataFrame) -> np.ndarray:
    """For each row [rows], how many requests it stands for: the inverse of the probability with which it was logged."""
    if "log_share" not in rows.columns:  # written before logs could be sampled
        return np.ones(rows.height)
    return 1 / rows["log_share"].fill_null(1.0).to_numpy()


def sampling_note(rows: pl.DataFrame) -> str:
    """What a person has to know of a sampled log; empty where all requests were logged."""
    shares = sorted(set((1 / requests_behind(rows)).round(9).tolist()))
    if shares in ([], [1.0]):
        return ""
    if len(shares) == 1:
        return f"{shares[0]:.3g} of the requests are logged"
    return f"between {shares[0]:.3g} and {shares[-1]:.3g} of the requests are logged, so that fuller stretches weigh more"
