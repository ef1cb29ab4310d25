"""Check that a Redis Cluster survives a lost node and is balanced."""

from collections import Counter

from conferral.check.result import CheckResult, ok, warn
from conferral.runtime.errors import StoreError
from conferral.storage.connection.client import Client, store_errors
from conferral.storage.connection.cluster import ClusterClient
from conferral.storage.keys import Keys

#: Ratio of a node's partitions to its even share above which the check warns.
UNEVEN_RATIO = 1.1


async def check_cluster(client: Client, keys: Keys) -> list[CheckResult]:
    """Check a cluster's nodes; return no lines for a single Redis."""
    if not isinstance(client, ClusterClient):
        return []
    return [_check_replicas(client), await _check_coverage(client), _check_balance(client, keys)]


def _check_replicas(client: ClusterClient) -> CheckResult:
    count = client.replica_counts()
    without = [name for name, replicas in count.items() if not replicas]
    if without:
        return warn(
            "cluster",
            f"{len(without)} of {len(count)} primaries have no replica: {', '.join(sorted(without))}",
            "add a replica to each primary: without one, its calls stop when it fails",
        )
    return ok("cluster", f"{len(count)} primaries with {sum(count.values())} replicas")


async def _check_coverage(client: ClusterClient) -> CheckResult:
    name = "cluster-require-full-coverage"
    try:
        with store_errors():
            found = await client.config_get(name)
    except StoreError:
        return ok("coverage", f"{name} can't be read here")  # hosted Redis often forbids CONFIG
    if found.get(name) == "yes":
        return warn("coverage", f"{name} yes: while one node is down, all calls stop", f"CONFIG SET {name} no")
    return ok("coverage", f"{name} no")


def _check_balance(client: ClusterClient, keys: Keys) -> CheckResult:
    owners = (client.get_node_from_key(keys.lease(number)) for number in range(keys.partitions))
    shares = sorted(Counter(node.name for node in owners if node is not None).values(), reverse=True)
    distribution = f"{keys.partitions} partitions, {'/'.join(map(str, shares))} per node"
    if shares[0] > UNEVEN_RATIO * keys.partitions / len(client.replica_counts()):
        return warn(
            "shares",
            distribution,
            "use a multiple of 64 partitions for a more even spread; the number is fixed at first use",
        )
    return ok("shares", distribution)
