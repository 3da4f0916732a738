"""A/A: two identical versions behind a split, through the real gateway. They must look identical, at every share.

python tests/benchmarks/identical.py [--requests 100000] [--connections 16]

Every run is a rollout with the default guards that is held in its first step: the controller looks at it twice a second, as at any
other. Printed are its verdicts, and the run times and latencies of both arms from the lake with the probability (Mann–Whitney) that a
canary's request takes longer than a live one's, which is 0.500 for identical arms; requests of one turn are one block and have much in
common, so that its interval comes from forty stretches of time (batch means). The lake's latency ends when the answer is logged, just
before it leaves; that of ``/metrics``, from the last byte read to the reply handed to the socket, is printed by bin. It fails when a
rollout was not left running: nothing is worse than itself.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil
from prometheus_client.parser import text_string_to_metric_families
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.load import binary_request, wrk
from homes import add_version, answers, services, wait_for, workspace_at

from prodml_magics.actions.deploy import deploy
from prodml_magics.actions.rollout import rollout
from prodml_magics.wire.requests import Deploy, Rollout

SHARES = (1, 5, 25, 50)


def handed_over(url: str) -> dict[str, tuple[np.ndarray, float]]:
    """Answered requests by arm (live, canary) and bin of their seconds until the reply was handed to the socket, and these in all."""
    with urllib.request.urlopen("{0.scheme}://{0.netloc}/metrics".format(urlsplit(url))) as reply:
        families = list(text_string_to_metric_families(reply.read().decode()))
    samples = next(family for family in families if family.name == "prodml_latency_seconds").samples
    found = {}
    for arm in {sample.labels["arm"] for sample in samples}:
        mine = [sample for sample in samples if sample.labels["arm"] == arm]
        cumulative = [sample.value for sample in mine if sample.name.endswith("_bucket")]
        found[arm] = np.diff(cumulative, prepend=0.0), sum(sample.value for sample in mine if sample.name.endswith("_sum"))
    return found


def one(share: int, requests: int, connections: int) -> bool:
    """One rollout of identical versions at one share; whether it still runs at the end."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = workspace_at(Path(folder) / ".prodml")
        placed = add_version(workspace, 1)
        add_version(workspace, 2)
        with services(workspace) as running:
            url = str(deploy(workspace, Deploy(model="cancer@1")).url)
            wait_for(lambda: answers(url))
            report, controller = running.gateway(), running.controller()
            assert report is not None and controller is not None
            psutil.Process(report.pid).cpu_affinity([0])
            psutil.Process(controller.pid).cpu_affinity([1])
            body, headers = binary_request(placed.rows[:1].astype(np.float32))
            wrk(url + "/infer", body, headers, connections, 2, Path(folder))
            before = handed_over(url)["live"]
            deploy(workspace, Deploy(model="cancer@2", canary=f"{share},100", bake="2h"))
            sent = 0.0
            while sent < requests:
                sent += wrk(url + "/infer", body, headers, connections, 3, Path(folder))[0] * 3
            after = handed_over(url)
            running.drain()
            wait_for(lambda: running.drain() is not None)
            record = rollout(workspace, Rollout(model="cancer")).record
            rows = workspace.lake.rows("cancer", columns=["arm", "run_ms", "latency_ms", "rollout"])
            rows = rows.filter(rows["rollout"] > 0)
            canary = (rows["arm"] == "canary").to_numpy()
            verdicts = ", ".join(f"{guard.metric} {guard.verdict} (e {guard.e_worse:.2g})" for guard in record.guards)
            print(f"{share:2} %  {len(rows):8,} requests, {canary.mean():.4f} to the canary; {record.phase}; {verdicts}")
            for name in ("run_ms", "latency_ms"):
                values = rows[name].to_numpy()
                middle, half = _longer(values, canary)
                live, other = np.median(values[~canary]), np.median(values[canary])
                tails = np.quantile(values[~canary], 0.99), np.quantile(values[canary], 0.99)
                print(
                    f"      {name:10} median {live:.4f} and {other:.4f} ms, p99 {tails[0]:.3f} and {tails[1]:.3f} ms; "
                    f"P(canary takes longer) {middle:.4f} ± {half:.4f}"
                )
            live, other = (after["live"][0] - before[0], after["live"][1] - before[1]), after["canary"]
            means = [1e3 * seconds / bins.sum() for bins, seconds in (live, other)]
            shares = live[0] / live[0].sum(), other[0] / other[0].sum()
            longer = shares[1] @ (np.cumsum(shares[0]) - shares[0] / 2)
            print(
                f"      handed to the socket after {means[0]:.4f} and {means[1]:.4f} ms in the mean; P(canary takes longer) {longer:.4f}, "
                "those of one bin as even",
                flush=True,
            )
            return record.phase == "running"


def _longer(values: np.ndarray, canary: np.ndarray) -> tuple[float, float]:
    """Probability of superiority with the half width of its 95 % interval over batches in the order of arrival."""
    batches = np.array_split(np.arange(len(values)), 40)
    found = []
    for batch in batches:
        one, other = values[batch][canary[batch]], values[batch][~canary[batch]]
        if len(one) and len(other):
            found.append(stats.mannwhitneyu(one, other).statistic / (len(one) * len(other)))
    half = stats.t.ppf(0.975, len(found) - 1) * np.std(found, ddof=1) / np.sqrt(len(found))
    return float(np.mean(found)), float(half)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--connections", type=int, default=16)
    arguments = parser.parse_args()
    if shutil.which("wrk") is None or (os.cpu_count() or 1) < 2:
        sys.exit("wrk and two cores are needed: apt-get install wrk")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, CPU execution provider")
    kept = [one(share, arguments.requests, arguments.connections) for share in SHARES]
    print(f"rolled back or held: {kept.count(False)} of {len(kept)}")
    sys.exit(not all(kept))


if __name__ == "__main__":
    main()
