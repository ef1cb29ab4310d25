"""Whether a Redis Cluster is laid out so that calls outlive a node, and share the nodes evenly."""

from collections import Counter

from conferral.check.result import CheckResult, ok, warn
from conferral.runtime.errors import StoreError
from conferral.storage.connection.client import Client, store_errors
from conferral.storage.connection.cluster import ClusterClient
from conferral.storage.keys import Keys

#: A node may have so many times the partitions that it would have if all had the same.
UNEVEN_RATIO = 1.1


async def check_cluster(client: Client, keys: Keys) -> list[CheckResult]:
    """Lines about a cluster's nodes; none for a single Redis."""
    if not isinstance(client, ClusterClient):
        return []
    return [_replicas(client), await _coverage(client), _partition_balance(client, keys)]


def _replicas(client: ClusterClient) -> CheckResult:
    count = client.replica_counts()
    without = [name for name, replicas in count.items() if not replicas]
    if without:
        return warn(
            "cluster",
            f"{len(without)} of {len(count)} primaries have no replica: {', '.join(sorted(without))}",
            "give each primary a replica: else its calls stand still when it dies",
        )
    return ok("cluster", f"{len(count)} primaries with {sum(count.values())} replicas")


async def _coverage(client: ClusterClient) -> CheckResult:
    name = "cluster-require-full-coverage"
    try:
        with store_errors():
            found = await client.config_get(name)
    except StoreError:
        return ok("coverage", f"{name} can't be read here")  # hosted Redis often forbids CONFIG
    if found.get(name) == "yes":
        return warn("coverage", f"{name} yes: while one node is down, all calls stand still", f"CONFIG SET {name} no")
    return ok("coverage", f"{name} no")


def _partition_balance(client: ClusterClient, keys: Keys) -> CheckResult:
    owners = (client.get_node_from_key(keys.lease(number)) for number in range(keys.partitions))
    nodes = Counter(node.name for node in owners if node is not None)
    shares = sorted(nodes.values(), reverse=True)
    told = f"{keys.partitions} partitions fall {'/'.join(map(str, shares))} on the nodes"
    if shares[0] > UNEVEN_RATIO * keys.partitions / len(client.replica_counts()):
        return warn("shares", told, "a multiple of 64 is shared more evenly; the number is fixed at first use")
    return ok("shares", told)
