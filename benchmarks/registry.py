"""Every measure and every peer by name, in the order in which they run."""

from __future__ import annotations

from benchmarks import burst, cold, events, footprint, growth, profile, provisioned, sizes, throughput, warm
from benchmarks.bench import Measure
from benchmarks.peers import ministack, moto, sam

MEASURES = {
    "footprint": Measure("memory per idle environment, the engine at rest", footprint.run),
    "warm": Measure("warm latency, one at a time, over HTTP and boto3", warm.run),
    "throughput": Measure("synchronous invocations a second", throughput.run),
    "events": Measure("asynchronous invocations: enqueue and drain", events.run),
    "cold": Measure("cold starts: container ready, pool empty, pandas", cold.run),
    "provisioned": Measure("provisioned concurrency under open-loop arrivals", provisioned.run),
    "burst": Measure("0 → 50 environments at once", burst.run),
    "sizes": Measure("memory sizes: CPU in proportion", sizes.run),
    "growth": Measure("growth: 10,000 functions, 1,000,000 records, 10 GB of logs", growth.run, quick=False),
    "profile": Measure("where the time of a warm invocation goes", profile.run),
}

#: Products a user could pick instead.
PEERS = {
    "peer-sam": Measure("AWS SAM CLI", sam.run),
    "peer-moto": Measure("moto's server", moto.run),
    "peer-ministack": Measure("ministack", ministack.run),
    "peer-ministack-docker": Measure("ministack with Docker", ministack.run_docker),
}


def measure(name: str) -> Measure:
    """By name."""
    return (MEASURES | PEERS)[name]
