"""Verdicts that stay valid however often one looks: e-processes, confidence sequences, and what they need.

Every function is pure, in float64, and takes counts that add up over batches and workers. An e-value of 1/alpha or more, at any look,
speaks against its null with an error of at most alpha (Ville's inequality). Rollouts decide by them; nothing here knows of traffic.
"""

from prodml_magics.stats.sequential.e_bh import e_benjamini_hochberg
from prodml_magics.stats.sequential.interval import RatioInterval, ratio_interval
from prodml_magics.stats.sequential.rate_ratio import FEWER, MORE, log_e_value, within
from prodml_magics.stats.sequential.sample_ratio import log_mismatch

__all__ = ["FEWER", "MORE", "RatioInterval", "e_benjamini_hochberg", "log_e_value", "log_mismatch", "ratio_interval", "within"]
