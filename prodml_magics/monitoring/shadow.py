"""A shadow beside the live version, on exactly the rows that both have answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prodml_magics.contract.schema import Contract
from prodml_magics.wire.results import ShadowComparison

if TYPE_CHECKING:
    import polars as pl

__all__ = ["compare_shadow", "paired", "shadow_drawing"]


def paired(frame: pl.DataFrame, *, shadow: int) -> pl.DataFrame:
    """Rows ``live`` and ``shadow`` side by side (structs of outputs and run times), paired by writer and sequence number."""
    import polars as pl

    ok = frame.filter(pl.col("status") == 200)
    live = ok.filter(pl.col("arm") == "live").select("writer", "sequence", "version", live="outputs", live_run_ms="run_ms")
    mirrored = ok.filter(pl.col("arm") == "shadow", pl.col("version") == shadow)
    mirrored = mirrored.select("writer", pl.col("mirrors").alias("sequence"), shadow="outputs", shadow_run_ms="run_ms")
    return live.join(mirrored, on=["writer", "sequence"], how="inner")


def compare_shadow(
    frame: pl.DataFrame, *, model: str, live: int, shadow: int, contract: Contract, dropped: int = 0
) -> ShadowComparison:
    """Agreement, differences and run times of a shadow; `frame` holds rows of the lake of every arm and status."""
    import polars as pl

    empty = ShadowComparison(
        model=model, live=live, shadow=shadow, pairs=0, agreement=None, mean_difference=None, max_difference=None, dropped=dropped
    )
    if frame.is_empty():
        return empty
    pairs = paired(frame, shadow=shadow).filter(pl.col("version") == live)
    failed = frame.filter(pl.col("status") != 200)
    differences = _differences(pairs, contract)
    return ShadowComparison(
        model=model,
        live=live,
        shadow=shadow,
        pairs=pairs.height,
        agreement=_agreement(pairs),
        mean_difference=_number(differences.mean()) if differences is not None else None,
        max_difference=_number(differences.abs().max()) if differences is not None else None,
        live_errors=failed.filter(pl.col("arm") == "live").height,
        shadow_errors=failed.filter(pl.col("arm") == "shadow", pl.col("version") == shadow).height,
        live_run_ms=_number(pairs["live_run_ms"].median()),
        shadow_run_ms=_number(pairs["shadow_run_ms"].median()),
        dropped=dropped,
    )


def shadow_drawing(
    frame: pl.DataFrame, comparison: ShadowComparison, contract: Contract, *, most: int = 1000
) -> dict[str, Any] | None:
    """What a picture of `comparison` needs: up to `most` pairs of scores, evenly taken, and quantiles of the run times.

    None when there is nothing to draw: no pairs, or outputs without a score.
    """
    import polars as pl

    if not comparison.pairs:
        return None
    pairs = paired(frame, shadow=comparison.shadow).filter(pl.col("version") == comparison.live)
    fields = [field.name for field in pairs.schema["live"].fields]  # type: ignore[attr-defined]
    name = score_column(contract, fields)
    if name is None:
        return None
    taken = pairs.gather_every(max(1, -(-pairs.height // most)))
    sides = [taken[side].struct.field(name).to_list() for side in ("live", "shadow")]
    return {
        "model": comparison.model,
        "live": comparison.live,
        "shadow": comparison.shadow,
        "rows": comparison.pairs,
        "agreement": comparison.agreement,
        "pairs": [list(pair) for pair in zip(*sides, strict=True)],
        "score": name.replace("probability_", "probability of "),
        "latency_ms": {side: _quantiles(pairs[f"{side}_run_ms"]) for side in ("live", "shadow")},
    }


def _quantiles(values: pl.Series) -> dict[str, float | None]:
    return {f"p{percent}": _number(values.quantile(percent / 100)) for percent in (50, 95, 99)}


def score_column(contract: Contract, fields: list[str]) -> str | None:
    """The output that differences are taken of: the prediction, or the probability of the last class."""
    if "prediction" in fields:
        return "prediction"
    if contract.classes:
        name = f"probability_{contract.classes[-1]}"
        return name if name in fields else None
    return None


def _differences(pairs: pl.DataFrame, contract: Contract) -> pl.Series | None:
    import polars as pl

    fields = [field.name for field in pairs.schema["live"].fields] if pairs.height else []  # type: ignore[attr-defined]
    name = score_column(contract, fields)
    if name is None:
        return None
    return pairs.select(pl.col("shadow").struct.field(name) - pl.col("live").struct.field(name)).to_series()


def _agreement(pairs: pl.DataFrame) -> float | None:
    import polars as pl

    if not pairs.height or "label" not in [field.name for field in pairs.schema["live"].fields]:  # type: ignore[attr-defined]
        return None
    same = pl.col("live").struct.field("label") == pl.col("shadow").struct.field("label")
    return _number(pairs.select(same.mean()).item())


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
